import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault } from '../../base/index.ts'
import {
  featureTable,
  featuresBetween,
  firstLevel,
  type HeardLevel,
  levelFault,
  levelOf,
  newestLevel,
  oldestLevel,
  planRaise,
} from './feature-levels.ts'

const member = (id: number, change: Partial<HeardLevel> = {}): HeardLevel => ({
  id,
  name: `node-${id}`,
  state: 'online',
  isHeard: true,
  level: 2,
  version: '0.2.0',
  ...change,
})

test('a feature is there from its level on', () => {
  assert.equal(levelOf({}).supports('services-by-capability'), false)
  assert.equal(levelOf({ level: 2 }).supports('services-by-capability'), true)
  assert.equal(levelOf({ level: 9 }).supports('services-by-capability'), true)
  const named = featuresBetween(firstLevel, newestLevel).map(({ name }) => name)
  assert.deepEqual(named, Object.keys(featureTable).sort())
  assert.deepEqual(featuresBetween(newestLevel, newestLevel + 1), [])
})

test('levels are counted without gaps, and the oldest is no newer than the newest', () => {
  const levels = new Set(Object.values(featureTable).map(({ level }) => level))
  const expected = Array.from({ length: newestLevel - firstLevel }, (_, at) => firstLevel + 1 + at)
  assert.deepEqual([...levels].sort(), expected)
  assert.ok(oldestLevel <= newestLevel)
})

test('the level rises to what every member supports, as far as the leader knows levels', () => {
  const three = [member(1), member(2, { level: 3 }), member(3, { level: 4 })]
  assert.deepEqual(planRaise(three, 1, 4), { to: 2, blockers: [] })
  assert.deepEqual(planRaise(three, 1, 1), { to: 1, blockers: [] })
  assert.deepEqual(planRaise(three, 2, 4), {
    to: 2,
    blockers: ['node-1 runs 0.2.0, which does not know level 3'],
  })
  assert.deepEqual(planRaise([member(3, { level: 9 })], 1, 4), { to: 4, blockers: [] })
  assert.deepEqual(planRaise([], 1, 4), { to: 1, blockers: [] })
})

test('whoever is a member and not here keeps the level down; the removed do not', () => {
  const cases: readonly (readonly [Partial<HeardLevel>, string])[] = [
    [{ level: 0, version: '' }, 'node-2 runs an older program, which does not know level 2'],
    [{ level: 1, version: '0.1.0' }, 'node-2 runs 0.1.0, which does not know level 2'],
    [{ isHeard: false }, 'node-2 has not been heard'],
    [{ state: 'offline' }, 'node-2 is offline'],
    [{ state: 'suspect' }, 'node-2 is suspect'],
    [{ state: 'joining' }, 'node-2 is joining'],
  ]
  for (const [change, blocker] of cases) {
    const plan = planRaise([member(1), member(2, change)], 1)
    assert.deepEqual(plan, { to: 1, blockers: [blocker] })
  }
  assert.equal(planRaise([member(1), member(2, { state: 'removed', level: 0 })], 1).to, 2)
  assert.equal(planRaise([member(1), member(2, { state: 'draining' })], 1).to, 2)
})

test('a program is refused by a cluster that is ahead of it, or too far behind', () => {
  const program = { newest: 3, oldest: 2 }
  assert.equal(levelFault(2, program), undefined)
  assert.equal(levelFault(3, program), undefined)
  assert.equal(levelFault(newestLevel), undefined)
  const refused = (active: number, words: RegExp): void => {
    const fault = levelFault(active, program)
    assert.ok(isFault(fault, 'precondition') && words.test(`${fault.message}; ${fault.next}`))
  }
  refused(4, /too old: .* up to 3, .* level 4; install the version that the other nodes run/)
  refused(1, /too new: .* from 2, .* level 1; install the release in between/)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { quickScopes } from './explore.ts'
import { explore } from './explorer.ts'
import { plants } from './plants.ts'

test('every behaviour at a small scope keeps the invariants, and can still decide', () => {
  for (const scope of quickScopes) {
    const { states, decided, completed, violation } = explore(scope)
    assert.equal(violation, undefined)
    assert.ok(states > 500 && decided > 50 && completed > 5, `${states} states`)
  }
})

test('the reductions leave fewer states, and lose nothing that the disks can come to hold', () => {
  for (const scope of [
    { nodes: 3, size: 2, ballots: 2, crashes: 0 },
    { nodes: 3, size: 3, ballots: 1, crashes: 1 },
    { nodes: 4, size: 3, ballots: 1, crashes: 0 },
  ]) {
    const { states, outcomes, violation } = explore(scope)
    assert.equal(violation, undefined)
    const all = explore({ ...scope, isPlain: true })
    assert.equal(all.violation, undefined)
    assert.equal(outcomes, all.outcomes)
    assert.ok(states < all.states / 2, `${states} of ${all.states}`)
  }
})

/** The most states that may be seen before each bug is. */
const caughtWithin = new Map([
  ['promise-not-synced', 10_000],
  ['acceptance-not-synced', 1_000],
  ['own-acceptance-unsynced', 1_000],
  ['majority-decides', 1_000],
  ['silence-is-no', 10_000],
  ['joiner-founds', 10_000],
])

for (const [name, plant] of plants) {
  test(`the explorer catches ${name}`, () => {
    let states = 0
    let violation: string | undefined
    for (const scope of quickScopes) {
      const explored = explore({ ...scope, plant })
      states += explored.states
      violation = explored.violation
      if (violation !== undefined) break
    }
    assert.ok(violation !== undefined, 'not caught')
    assert.ok(states <= (caughtWithin.get(name) ?? 0), `${states} states`)
  })
}

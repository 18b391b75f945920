import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../base/index.ts'
import { SupersedingRevisions } from './superseding.ts'

test('no revision that was noted, or is not known, is ever passed over', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seededRandom(seed)
    const knownFrom = random.integer(30)
    const runsMax = 2 + random.integer(40)
    const superseding = new SupersedingRevisions(knownFrom, { runsMax })
    const noted = new Set<number>()
    let forgotten = 0
    for (let revision = knownFrom; revision < 400; revision++) {
      if (random.chance(0.4)) {
        superseding.note(revision)
        if (random.chance(0.3)) superseding.note(revision)
        noted.add(revision)
      }
      if (random.chance(0.02)) {
        forgotten = Math.max(forgotten, revision - random.integer(60))
        superseding.forgetBefore(forgotten)
      }
      const visited = new Set<number>()
      let at = forgotten
      for (let run = superseding.from(at); run !== undefined; run = superseding.from(at)) {
        assert.ok(run.start >= at && run.end >= run.start)
        for (let i = run.start; i <= run.end; i++) visited.add(i)
        at = run.end + 1
      }
      for (const one of noted)
        assert.ok(one < forgotten || visited.has(one), `seed ${seed}: ${one}`)
      for (let i = forgotten; i < knownFrom; i++) assert.ok(visited.has(i))
    }
  }
})

test('what made new keys only is passed over', () => {
  const superseding = new SupersedingRevisions(5)
  assert.deepEqual(superseding.from(2), { start: 2, end: 4 })
  assert.equal(superseding.from(5), undefined)
  for (const revision of [7, 8, 12]) superseding.note(revision)
  assert.deepEqual(superseding.from(5), { start: 7, end: 8 })
  assert.deepEqual(superseding.from(8), { start: 8, end: 8 })
  assert.deepEqual(superseding.from(9), { start: 12, end: 12 })
  assert.equal(superseding.from(13), undefined)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realLoop } from '../main.ts'
import { runSeed, workloads } from '../run-seed.ts'
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

test('renaming nodes that never propose leaves fewer states and the same verdict', () => {
  const scope = { nodes: 4, size: 4, ballots: 1, crashes: 1 }
  const { states, violation } = explore(scope)
  assert.equal(violation, undefined)
  const all = explore({ ...scope, isPlain: true })
  assert.equal(all.violation, undefined)
  assert.ok(states < all.states / 2, `${states} of ${all.states}`)
})

/** The most states that may be seen before each bug is. */
const caughtWithin = new Map([
  ['promise-not-synced', 30_000],
  ['acceptance-not-synced', 1_000],
  ['own-acceptance-unsynced', 1_000],
  ['majority-decides', 1_000],
  ['silence-is-no', 30_000],
  ['joiner-founds', 30_000],
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

test('founding under faults: one seed of each scenario, the first twice alike', async () => {
  const workload = await workloads.get('founding')?.()
  assert.ok(workload)
  const given = { nodes: 3, durationMs: 30_000, workload, loop: realLoop }
  const digests = new Map<number, string>()
  for (let seed = 0; seed < 17; seed++) {
    const { problem, digest } = await runSeed({ ...given, seed })
    assert.equal(problem, undefined, `npm run sim -- --workload founding --seed ${seed}`)
    digests.set(seed, digest)
  }
  for (const seed of [0, 8]) {
    assert.equal((await runSeed({ ...given, seed })).digest, digests.get(seed))
  }
})

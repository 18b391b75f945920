import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realLoop } from '../main.ts'
import { runSeed, workloads } from '../run-seed.ts'
import { scenarios } from './scenarios.ts'

test('founding under faults: one seed of each scenario, the first twice alike', async () => {
  const workload = await workloads.get('founding')?.()
  assert.ok(workload)
  const given = { nodes: 3, durationMs: 30_000, workload, loop: realLoop }
  const digests = new Map<number, string>()
  for (let seed = 0; seed < scenarios.length; seed++) {
    const { problem, digest } = await runSeed({ ...given, seed })
    assert.equal(problem, undefined, `npm run sim -- --workload founding --seed ${seed}`)
    digests.set(seed, digest)
  }
  for (const seed of [0, 8]) {
    assert.equal((await runSeed({ ...given, seed })).digest, digests.get(seed))
  }
})

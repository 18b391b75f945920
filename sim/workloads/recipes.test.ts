import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realLoop } from '../main.ts'
import { exerciseNames, runSeed, workloads } from '../run-seed.ts'

const nodes = 3
const durationMs = 1_500

test('recipes under faults: a fixed seed of each passes, the first twice alike', async () => {
  for (const name of exerciseNames) {
    const workload = await workloads.get(name)?.()
    assert.ok(workload)
    const options = { seed: 7, nodes, durationMs, workload, loop: realLoop }
    const { problem, digest } = await runSeed(options)
    assert.equal(problem, undefined, `${name}, seed 7, ${durationMs} ms`)
    if (name !== exerciseNames[0]) continue
    assert.equal((await runSeed(options)).digest, digest)
  }
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realLoop } from '../main.ts'
import { runSeed, workloads } from '../run-seed.ts'

const nodes = 3
const durationMs = 1_500

/** One that waits in line, one that counts time, one that repeats; batches play them all. */
const names = ['lock', 'schedule', 'once']

test('recipes under faults: a fixed seed passes, the first twice alike', async () => {
  for (const name of names) {
    const workload = await workloads.get(name)?.()
    assert.ok(workload)
    const options = { seed: 7, nodes, durationMs, workload, loop: realLoop }
    const { problem, digest } = await runSeed(options)
    assert.equal(problem, undefined, `${name}, seed 7, ${durationMs} ms`)
    if (name !== names[0]) continue
    assert.equal((await runSeed(options)).digest, digest)
  }
})

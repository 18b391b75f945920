import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realLoop } from '../main.ts'
import { runSeed } from '../run-seed.ts'
import { keyspacePromises, runKeyspaceWorkload } from './keyspace.ts'

test('a namespace under faults: a fixed seed passes, twice alike', async () => {
  const workload = { run: runKeyspaceWorkload, promises: keyspacePromises }
  const options = { seed: 4, nodes: 3, durationMs: 5_000, workload, loop: realLoop }
  const first = await runSeed(options)
  assert.equal(first.problem, undefined, 'npm run sim -- --workload keyspace --seed 4 --seconds 5')
  const second = await runSeed(options)
  assert.equal(first.digest, second.digest)
  assert.ok((first.counts.get('operations judged') ?? 0) > 50)
  assert.ok((first.counts.get('watches judged') ?? 0) > 3)
})

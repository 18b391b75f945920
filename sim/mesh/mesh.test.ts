import assert from 'node:assert/strict'
import { test } from 'node:test'
import { realLoop } from '../main.ts'
import { runSeed, workloads } from '../run-seed.ts'
import { scenarios } from './scenarios.ts'

/** The other scenarios take longer: `npm run sim -- --workload mesh --seeds 26`. */
const quick = ['simultaneous', 'wiped disk', 'two clusters meet']

test('meshes found, lose a disk, and refuse each other; the last twice alike', async () => {
  const workload = await workloads.get('mesh')?.()
  assert.ok(workload)
  const given = { nodes: 3, durationMs: 30_000, workload, loop: realLoop }
  let digest = ''
  let seed = 0
  for (const name of quick) {
    seed = scenarios.findIndex((scenario) => scenario.name === name)
    const result = await runSeed({ ...given, seed })
    assert.equal(result.problem, undefined, `npm run sim -- --workload mesh --seed ${seed}`)
    digest = result.digest
  }
  assert.equal((await runSeed({ ...given, seed })).digest, digest)
})

// npm run sim -- --seed 8731 [--seeds N] [--nodes 3] [--workload raft|s3] [--seconds 30] [--verbose]
//
// Runs each seed twice and compares the trace digests; prints what the seeds have seen; fails when
// something that the workload promises was never seen, and prints one line that replays a failing seed.

import { parseArgs } from 'node:util'
import { runSeed, workloads } from './run-seed.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '8731' },
    seeds: { type: 'string', default: '1' },
    nodes: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '30' },
    workload: { type: 'string', default: 'raft' },
    verbose: { type: 'boolean', default: false },
    once: { type: 'boolean', default: false },
  },
})

const workload = workloads.get(values.workload)
if (workload === undefined) {
  process.stderr.write(
    `no workload ${values.workload}; there are ${[...workloads.keys()].join(', ')}\n`,
  )
  process.exit(64)
}

const totals = new Map<string, number>()
const first = Number(values.seed)
const nodes = Number(values.nodes)
const durationMs = Number(values.seconds) * 1_000
let failed = 0
for (let seed = first; seed < first + Number(values.seeds); seed++) {
  const replay = `npm run sim -- --workload ${values.workload} --seed ${seed} --nodes ${nodes} --seconds ${values.seconds}`
  const options = { seed, nodes, durationMs, workload, isVerbose: values.verbose }
  const result = await runSeed(options)
  const again = values.once ? result : await runSeed({ ...options, isVerbose: false })
  for (const [kind, count] of result.counts) totals.set(kind, (totals.get(kind) ?? 0) + count)
  const problem =
    result.problem ??
    (result.digest === again.digest
      ? undefined
      : 'the second run went another way (digests differ)')
  const { eventCount, realMs } = result
  console.log(
    `seed ${seed}: ${problem === undefined ? 'ok' : 'FAILED'}, ${eventCount} events, ${realMs.toFixed(0)} ms, digest ${result.digest.slice(0, 16)}`,
  )
  if (problem === undefined) continue
  failed++
  console.log(problem)
  console.log(`replay: ${replay}`)
}

for (const kind of [...totals.keys()].sort()) console.log(`  ${kind}: ${totals.get(kind)}`)
const missing = workload.promises.filter((kind) => (totals.get(kind) ?? 0) === 0)
if (missing.length > 0) console.log(`never seen: ${missing.join(', ')} (run more seeds)`)
process.exitCode = failed > 0 || missing.length > 0 ? 1 : 0

// npm run sim -- --seed 8731 [--seeds N] [--nodes 3] [--workload raft|s3] [--seconds 30] [--trace]
//
// Runs each seed twice and compares the trace digests; prints what the seeds have seen; fails when
// something that the workload promises was never seen, and prints one line that replays a failing seed.

import { parseArgs } from 'node:util'
import { runSeed, type Workload, workloads } from './run-seed.ts'
import type { RealLoop } from './world.ts'

export const realLoop: RealLoop = {
  macrotask: () => new Promise((resolve) => setImmediate(resolve)),
  watchRejections(failed) {
    process.on('unhandledRejection', failed)
    return () => process.off('unhandledRejection', failed)
  },
}

type Options = {
  readonly seed: number
  readonly seeds: number
  readonly nodes: number
  readonly seconds: number
  readonly workload: string
  readonly isTraced: boolean
  /** Skips the second run of each seed. */
  readonly isOnce: boolean
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '8731' },
      seeds: { type: 'string', default: '1' },
      nodes: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '30' },
      workload: { type: 'string', default: 's3' },
      trace: { type: 'boolean', default: false },
      once: { type: 'boolean', default: false },
    },
  })
  return {
    seed: Number(values.seed),
    seeds: Number(values.seeds),
    nodes: Number(values.nodes),
    seconds: Number(values.seconds),
    workload: values.workload,
    isTraced: values.trace,
    isOnce: values.once,
  }
}

const totals = new Map<string, number>()

/** False when the seed fails. */
async function judge(seed: number, workload: Workload, options: Options): Promise<boolean> {
  const { nodes, seconds } = options
  const given = { seed, nodes, durationMs: seconds * 1_000, workload, loop: realLoop }
  const onTrace = (line: string): void => {
    process.stderr.write(`${line}\n`)
  }
  const startMs = performance.now()
  const result = await runSeed({ ...given, onTrace: options.isTraced ? onTrace : undefined })
  const realMs = performance.now() - startMs
  const again = options.isOnce ? result : await runSeed(given)
  for (const [kind, count] of result.counts) totals.set(kind, (totals.get(kind) ?? 0) + count)
  const isSame = result.digest === again.digest
  const problem = result.problem ?? (isSame ? undefined : 'the second run has another digest')
  const verdict = problem === undefined ? 'ok' : 'FAILED'
  const virtualSeconds = (result.virtualMs / 1_000).toFixed(1)
  print(
    `seed ${seed}: ${verdict}, ${result.eventCount} events in ${virtualSeconds} s of virtual and ${(realMs / 1_000).toFixed(1)} s of real time, digest ${result.digest.slice(0, 16)}`,
  )
  if (problem === undefined) return true
  print(problem)
  print(
    `replay: npm run sim -- --workload ${options.workload} --seed ${seed} --nodes ${nodes} --seconds ${seconds}`,
  )
  return false
}

async function main(): Promise<number> {
  const options = readOptions()
  const load = workloads.get(options.workload)
  if (load === undefined) {
    print(`no workload ${options.workload}; there are: ${[...workloads.keys()].join(', ')}`)
    return 64
  }
  const workload = await load()
  let failed = 0
  for (let seed = options.seed; seed < options.seed + options.seeds; seed++) {
    if (!(await judge(seed, workload, options))) failed++
  }
  for (const kind of [...totals.keys()].sort()) print(`  ${kind}: ${totals.get(kind)}`)
  const missing = workload.promises.filter((kind) => (totals.get(kind) ?? 0) === 0)
  if (missing.length > 0) print(`never seen: ${missing.join(', ')} (run more seeds)`)
  print(`${options.seeds - failed} passed, ${failed} failed`)
  return failed > 0 || missing.length > 0 ? 1 : 0
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

if (import.meta.main) process.exitCode = await main()

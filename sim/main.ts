// npm run sim -- --seed 8731 [--seeds N] [--nodes 3] [--workload raft|s3|founding] [--seconds 8] [--once] [--trace]
// npm run sim -- --workload founding --explore [--deep] [--plant NAME]
// npm run sim -- --plant list | --plant NAME [--seeds N] | --plants         (sim/plants)
//
// Runs each seed twice (--once: once) and compares the trace digests; prints what the seeds have seen and
// how many ran per minute; fails when something that the workload promises was never seen, and prints one
// line that replays a failing seed (--partial: a batch too small to demand that of). A batch that is stopped goes on with the same command (--fresh: from
// its first seed). --explore visits every state of a small scope instead of seeds.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { addSeed, type Batch, decodeBatch, encodeBatch, neverSeen, startBatch } from './batch.ts'
import { runSeed, type Workload, workloads } from './run-seed.ts'
import { isHelpGiven } from '../tools/usage.ts'
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
  readonly isFresh: boolean
  /** Every behaviour at a small scope instead of seeds. */
  readonly isExploring: boolean
  readonly isDeep: boolean
  readonly plant: string | undefined
  readonly isAllPlants: boolean
  /** Too few seeds to have seen all that the workload promises. */
  readonly isPartial: boolean
}

/** Larger batches print failures and a line of progress now and then. */
const toldOneByOneMax = 20
const progressEveryMs = 10_000
const keptEveryMs = 2_000
const keptIn = join(import.meta.dirname, '..', 'node_modules', '.cache', 'sim')

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '8731' },
      seeds: { type: 'string', default: '1' },
      nodes: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '8' },
      workload: { type: 'string', default: 's3' },
      trace: { type: 'boolean', default: false },
      once: { type: 'boolean', default: false },
      fresh: { type: 'boolean', default: false },
      explore: { type: 'boolean', default: false },
      deep: { type: 'boolean', default: false },
      plant: { type: 'string' },
      plants: { type: 'boolean', default: false },
      partial: { type: 'boolean', default: false },
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
    isFresh: values.fresh,
    isExploring: values.explore,
    isDeep: values.deep,
    plant: values.plant,
    isAllPlants: values.plants,
    isPartial: values.partial,
  }
}

/** Runs a seed and tells what came of it. */
async function judge(
  seed: number,
  workload: Workload,
  options: Options,
): Promise<{ readonly isPassed: boolean; readonly counts: ReadonlyMap<string, number> }> {
  const { nodes, seconds } = options
  const given = { seed, nodes, durationMs: seconds * 1_000, workload, loop: realLoop }
  const onTrace = (line: string): void => {
    process.stderr.write(`${line}\n`)
  }
  const startMs = performance.now()
  const result = await runSeed({ ...given, onTrace: options.isTraced ? onTrace : undefined })
  const realMs = performance.now() - startMs
  const again = options.isOnce ? result : await runSeed(given)
  const { counts, digest } = result
  const isSame = digest === again.digest
  const problem = result.problem ?? (isSame ? undefined : 'the second run has another digest')
  if (problem === undefined && options.seeds > toldOneByOneMax) return { isPassed: true, counts }
  const verdict = problem === undefined ? 'ok' : 'FAILED'
  const virtualSeconds = (result.virtualMs / 1_000).toFixed(1)
  print(
    `seed ${seed}: ${verdict}, ${result.eventCount} events in ${virtualSeconds} s of virtual and ${(realMs / 1_000).toFixed(1)} s of real time, digest ${digest.slice(0, 16)}`,
  )
  if (problem !== undefined) {
    print(problem)
    print(`replay: ${replayOf(seed, options)}`)
  }
  return { isPassed: problem === undefined, counts }
}

function replayOf(seed: number, { workload, nodes, seconds }: Options): string {
  return `npm run sim -- --workload ${workload} --seed ${seed} --nodes ${nodes} --seconds ${seconds}`
}

async function main(): Promise<number> {
  if (isHelpGiven(import.meta.filename)) return 0
  const options = readOptions()
  if (options.isExploring) return runExplorer(options)
  if (options.isAllPlants || options.plant !== undefined) return runPlanted(options)
  const load = workloads.get(options.workload)
  if (load === undefined) {
    print(`no workload ${options.workload}; there are: ${[...workloads.keys()].join(', ')}`)
    return 64
  }
  const workload = await load()
  const { batch, keep, forget } = openBatch(options)
  const pace = createPace(options)
  while (batch.next < options.seed + options.seeds) {
    addSeed(batch, await judge(batch.next, workload, options))
    keep()
    pace.tell(batch)
  }
  forget()
  for (const kind of [...batch.counts.keys()].sort()) print(`  ${kind}: ${batch.counts.get(kind)}`)
  // One seed cannot keep a batch's promises: it is run to replay a failure.
  const missing =
    options.seeds === 1 || options.isPartial ? [] : neverSeen(batch, workload.promises)
  if (missing.length > 0) print(`never seen: ${missing.join(', ')} (run more seeds)`)
  for (const seed of batch.failed) print(`failed: ${replayOf(seed, options)}`)
  print(`${pace.perMinute()} seeds per minute`)
  print(`${batch.passed} passed, ${batch.failed.length} failed`)
  return batch.failed.length > 0 || missing.length > 0 ? 1 : 0
}

/** The batch as it was left, if it was, and what writes it down. One seed alone is never resumed. */
function openBatch(options: Options): {
  readonly batch: Batch
  readonly keep: () => void
  readonly forget: () => void
} {
  const { workload, seed, seeds, nodes, seconds, isOnce, isFresh } = options
  const name = [workload, seed, seeds, nodes, seconds, isOnce ? 'once' : 'twice'].join('-')
  const fresh = startBatch(name, seed)
  if (seeds === 1) return { batch: fresh, keep: () => {}, forget: () => {} }
  const path = join(keptIn, `${name}.json`)
  mkdirSync(keptIn, { recursive: true })
  const kept = isFresh ? undefined : decodeBatch(readIfThere(path), name)
  if (kept !== undefined) print(`going on with seed ${kept.next} (--fresh begins with ${seed})`)
  const batch = kept ?? fresh
  let keptMs = 0
  const keep = (): void => {
    if (performance.now() - keptMs < keptEveryMs) return
    keptMs = performance.now()
    writeFileSync(path, encodeBatch(batch))
  }
  return { batch, keep, forget: () => rmSync(path, { force: true }) }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function createPace(options: Options): {
  readonly tell: (batch: Batch) => void
  readonly perMinute: () => string
} {
  const startMs = performance.now()
  let ran = 0
  let toldMs = startMs
  const perMinute = (): string => ((ran * 60_000) / (performance.now() - startMs)).toFixed(1)
  const tell = (batch: Batch): void => {
    ran++
    if (options.seeds <= toldOneByOneMax || performance.now() - toldMs < progressEveryMs) return
    toldMs = performance.now()
    const done = batch.next - options.seed
    print(
      `${done} of ${options.seeds} seeds, ${perMinute()} per minute, ${batch.failed.length} failed`,
    )
  }
  return { tell, perMinute }
}

/** Loads the runner of plants before any workload, so that sources can still be edited. */
async function runPlanted({ isAllPlants, plant: name, seeds }: Options): Promise<number> {
  const { listPlants, runPlant, runPlants } = await import('./plants/run-plants.ts')
  if (isAllPlants) return runPlants(print)
  const { plants } = await import('./plants/index.ts')
  const plant = plants.find((one) => one.name === name)
  if (plant !== undefined) {
    const seedsMax = seeds === 1 ? plant.seedsMax : seeds
    return runPlant(plant, { loop: realLoop, print, seedsMax })
  }
  listPlants(print)
  print('and, with --workload founding --explore, those of sim/founding/plants.ts')
  return name === 'list' ? 0 : 64
}

async function runExplorer({ workload, isDeep, plant }: Options): Promise<number> {
  if (workload !== 'founding') {
    print('only the workload founding can be explored')
    return 64
  }
  const { runExploration } = await import('./founding/explore.ts')
  return runExploration({ isDeep, plant }, print)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

if (import.meta.main) process.exitCode = await main()

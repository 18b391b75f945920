// One seed of one workload, from an empty world to its verdict.

import { raftPromises, runRaftWorkload } from './workloads/raft.ts'
import { World } from './world.ts'

export type Workload = {
  readonly run: (
    world: World,
    options: { readonly nodes: number; readonly durationMs: number },
  ) => Promise<void>
  /** Kinds of events that a batch of seeds must have seen. */
  readonly promises: readonly string[]
}

export const workloads: ReadonlyMap<string, Workload> = new Map([
  ['raft', { run: runRaftWorkload, promises: raftPromises }],
])

export type SeedResult = {
  readonly digest: string
  readonly counts: ReadonlyMap<string, number>
  readonly eventCount: number
  readonly realMs: number
  /** Why it failed. */
  readonly problem: string | undefined
}

export async function runSeed(options: {
  readonly seed: number
  readonly nodes: number
  readonly durationMs: number
  readonly workload: Workload
  readonly isVerbose?: boolean
}): Promise<SeedResult> {
  const world = new World({ seed: options.seed, isVerbose: options.isVerbose ?? false })
  const startMs = performance.now()
  const limitMs = options.durationMs + 300_000
  let problem: string | undefined
  try {
    await world.run(options.workload.run(world, options), limitMs)
  } catch (error) {
    problem = error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  return {
    digest: world.digest(),
    counts: world.counts,
    eventCount: world.eventCount,
    realMs: performance.now() - startMs,
    problem,
  }
}

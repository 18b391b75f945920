// One seed of one workload, from an empty world to its verdict.

import { type RealLoop, World } from './world.ts'

export type Workload = {
  readonly run: (
    world: World,
    options: { readonly nodes: number; readonly durationMs: number },
  ) => Promise<void>
  /** Kinds of events that a batch of seeds must have seen. */
  readonly promises: readonly string[]
}

/** Loaded when asked for: a workload brings the rooms that it exercises. */
export const workloads: ReadonlyMap<string, () => Promise<Workload>> = new Map([
  [
    'core',
    async () => {
      const { corePromises, runCoreWorkload } = await import('./workloads/core.ts')
      return { run: runCoreWorkload, promises: corePromises }
    },
  ],
  [
    'raft',
    async () => {
      const { raftPromises, runRaftWorkload } = await import('./workloads/raft.ts')
      return { run: runRaftWorkload, promises: raftPromises }
    },
  ],
  [
    'founding',
    async () => {
      const { foundingPromises, runFoundingWorkload } = await import('./founding/workload.ts')
      return { run: runFoundingWorkload, promises: foundingPromises }
    },
  ],
  [
    'mesh',
    async () => {
      const { meshPromises, runMeshWorkload } = await import('./mesh/workload.ts')
      return { run: runMeshWorkload, promises: meshPromises }
    },
  ],
  [
    'keyspace',
    async () => {
      const { keyspacePromises, runKeyspaceWorkload } = await import('./workloads/keyspace.ts')
      return { run: runKeyspaceWorkload, promises: keyspacePromises }
    },
  ],
  [
    's3',
    async () => {
      const { runS3Workload, s3Promises } = await import('./workloads/s3.ts')
      return { run: runS3Workload, promises: s3Promises }
    },
  ],
])

export type SeedResult = {
  readonly digest: string
  readonly counts: ReadonlyMap<string, number>
  readonly eventCount: number
  readonly virtualMs: number
  /** Why it failed. */
  readonly problem: string | undefined
}

/** How much virtual time a workload may take after its faults have ended. */
const afterwardsMs = 600_000

export async function runSeed(options: {
  readonly seed: number
  readonly nodes: number
  readonly durationMs: number
  readonly workload: Workload
  readonly loop: RealLoop
  readonly onTrace?: ((line: string) => void) | undefined
}): Promise<SeedResult> {
  const { seed, loop, onTrace } = options
  const world = new World({ seed, loop, ...(onTrace === undefined ? {} : { onTrace }) })
  let problem: string | undefined
  try {
    await world.run(options.workload.run(world, options), options.durationMs + afterwardsMs)
  } catch (error) {
    problem = error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  return {
    digest: world.digest(),
    counts: world.counts,
    eventCount: world.eventCount,
    virtualMs: world.nowMs,
    problem,
  }
}

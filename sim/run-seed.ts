// One seed of one workload, from an empty world to its verdict.

import type { ExerciseKind } from './workloads/recipes.ts'
import { type RealLoop, World } from './world.ts'

export type Workload = {
  readonly run: (
    world: World,
    options: { readonly nodes: number; readonly durationMs: number },
  ) => Promise<void>
  /** Kinds of events that a batch of seeds must have seen. */
  readonly promises: readonly string[]
}

type LoadExercise = () => Promise<ExerciseKind>

/** Recipes, one workload each. */
const exercises: readonly (readonly [string, LoadExercise])[] = [
  ['lock', async () => (await import('./workloads/recipes/locks.ts')).locks],
  ['semaphore', async () => (await import('./workloads/recipes/semaphores.ts')).semaphores],
  ['lease', async () => (await import('./workloads/recipes/leases.ts')).leases],
  ['once', async () => (await import('./workloads/recipes/once.ts')).once],
  ['queue', async () => (await import('./workloads/recipes/queues.ts')).queues],
  ['barrier', async () => (await import('./workloads/recipes/barriers.ts')).barriers],
  ['schedule', async () => (await import('./workloads/recipes/schedules.ts')).schedules],
  [
    'steady-schedule',
    async () => (await import('./workloads/recipes/schedules.ts')).steadySchedules,
  ],
]

/** Each seed plays one of them. */
async function loadRecipes(): Promise<Workload> {
  const kinds = await Promise.all(exercises.map(([, load]) => load()))
  const { recipePromises, runExercise } = await import('./workloads/recipes.ts')
  return {
    run: (world, options) => {
      const kind = kinds[world.seed % kinds.length] as ExerciseKind
      world.count(`exercise ${kind.name}`)
      return runExercise(world, kind, options)
    },
    promises: [
      ...new Set([
        ...recipePromises,
        ...kinds.flatMap(({ name, promises }) => [`exercise ${name}`, ...promises]),
      ]),
    ],
  }
}

async function asWorkload(kind: ExerciseKind): Promise<Workload> {
  const { recipePromises, runExercise } = await import('./workloads/recipes.ts')
  return {
    run: (world, options) => runExercise(world, kind, options),
    promises: [...recipePromises, ...kind.promises],
  }
}

/** Loaded when asked for: a workload brings the rooms that it exercises. */
export const workloads: ReadonlyMap<string, () => Promise<Workload>> = new Map<
  string,
  () => Promise<Workload>
>([
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
  ['recipes', loadRecipes],
  ...exercises.map(([name, load]) => {
    return [name, async () => asWorkload(await load())] as const
  }),
  [
    's3',
    async () => {
      const { runS3Workload, s3Promises } = await import('./workloads/s3.ts')
      return { run: runS3Workload, promises: s3Promises }
    },
  ],
  [
    'rights',
    async () => {
      const { rightsPromises, runRightsWorkload } = await import('./workloads/rights.ts')
      return { run: runRightsWorkload, promises: rightsPromises }
    },
  ],
  [
    'life',
    async () => {
      const { lifePromises, runLifeWorkload } = await import('./workloads/life.ts')
      return { run: runLifeWorkload, promises: lifePromises }
    },
  ],
  [
    'formation',
    async () => {
      const { formationPromises, runFormationWorkload } = await import('./workloads/formation.ts')
      return { run: runFormationWorkload, promises: formationPromises }
    },
  ],
  [
    'calm',
    async () => {
      const { calmPromises, runCalmWorkload } = await import('./workloads/health.ts')
      return { run: runCalmWorkload, promises: calmPromises }
    },
  ],
  [
    'health',
    async () => {
      const { healthPromises, runHealthWorkload } = await import('./workloads/health.ts')
      return { run: runHealthWorkload, promises: healthPromises }
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

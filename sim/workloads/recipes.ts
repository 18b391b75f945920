// Recipes under faults: their owners run on the nodes of a namespace, are paused, cut off and killed with them, and are
// born again when a node starts; members change meanwhile. Each exercise has its own judge (recipes/*.ts); a run plays one of them.
//
// An exercise goes on for a while after the heal, then ends in order; what must hold is then checked on what
// its owners saw and on what is left in the keyspace.

import { equalBytes, isFault, type Random, utf8Decode, utf8Encode } from '../../src/base/index.ts'
import type { Ground } from '../../src/keyspace/index.ts'
import type { Host } from '../../src/host/index.ts'
import { WorldFailure } from '../failures.ts'
import { Faults, type FaultKind } from '../faults.ts'
import type { SimHost } from '../sim-host.ts'
import type { World } from '../world.ts'
import { KeyspaceCluster, type RunningNode } from './keyspace-cluster.ts'
import { countJournals, nodeFaultKinds, nodePromises } from './promises.ts'

/** What exercises see of their run. */
export type Stage = {
  readonly world: World
  readonly cluster: KeyspaceCluster
  /** Owners begin nothing new. */
  isOver: boolean
  /** Faults have ended: virtual time; 0 before. */
  healedMs: number
}

export type Exercise = {
  /** A node has opened: its owners begin. */
  readonly opened: (node: RunningNode) => void
  /** After the end, before the check: what is left is brought in. */
  readonly settle: () => Promise<void>
  /** Throws a WorldFailure. */
  readonly check: () => void
}

export type ExerciseKind = {
  readonly name: string
  readonly promises: readonly string[]
  readonly faults?: readonly FaultKind[]
  /** The host that the keyspace sees. */
  readonly hostOf?: (host: SimHost) => Host
  readonly create: (stage: Stage) => Exercise
}

const historyRevisionsMax = 80
const historyMs = 1_000
/** Leases last seconds: faults go on for longer than in other workloads. */
const durationFactor = 2
const calmMs = 8_000
const endMs = 6_000

export const recipePromises: readonly string[] = [...nodePromises, 'fault stalled disk']

export async function runExercise(
  world: World,
  kind: ExerciseKind,
  options: { readonly nodes: number; readonly durationMs: number },
): Promise<void> {
  const cluster = new KeyspaceCluster(world, {
    founders: options.nodes,
    hasSpare: true,
    historyRevisionsMax,
    historyMs,
    opened: (node) => exercise.opened(node),
    ...(kind.hostOf === undefined ? {} : { hostOf: kind.hostOf }),
  })
  const stage: Stage = { world, cluster, isOver: false, healedMs: 0 }
  const exercise = kind.create(stage)
  for (const node of cluster.nodes) cluster.start(node)
  const faults = new Faults(world, {
    nodes: cluster.nodes,
    kinds: [...(kind.faults ?? nodeFaultKinds), 'stalled disk'],
    mayFlip: (path) => path.startsWith('db/values'),
    isReplicated: true,
    restart: (node) => cluster.start(node),
    everyMs: 1_000,
  })
  let isOperatorDone = false
  const operator = cluster.changeMembers(() => isOperatorDone)
  await faults.run(options.durationMs * durationFactor)
  isOperatorDone = true
  // What it asked for last may still move the lead.
  await operator
  stage.healedMs = world.nowMs
  await world.sleep(calmMs)
  stage.isOver = true
  await world.sleep(endMs)
  await exercise.settle()
  await cluster.hashesAgree()
  countJournals(world)
  exercise.check()
}

const paddedBytesMax = 1_500

/** The text with dots behind it, of many lengths: also longer than what the store keeps beside the key. */
export function padded(text: string): Uint8Array {
  const sum = [...text].reduce((before, one) => before * 31 + (one.codePointAt(0) ?? 0), 7)
  return utf8Encode(text.padEnd(sum % paddedBytesMax, '.'))
}

/** Throws a WorldFailure for bytes that nobody wrote. */
export function unpadded(bytes: Uint8Array): string {
  const text = utf8Decode(bytes).replace(/\.*$/, '')
  if (equalBytes(bytes, padded(text))) return text
  throw new WorldFailure(
    `a value of ${bytes.length} bytes that nobody wrote: ${text.slice(0, 100)}`,
  )
}

/** An owner's life on a node: again and again until the exercise is over or the node is gone. */
export function repeat(
  stage: Stage,
  { host }: RunningNode,
  turn: (random: Random) => Promise<void>,
): void {
  const random = stage.world.drawRandom()
  const live = async (): Promise<void> => {
    while (!stage.isOver) {
      await host.clock.sleep(1 + random.integer(100))
      try {
        await turn(random)
      } catch (error) {
        if (!isFault(error)) throw error
        stage.world.count(`refused: ${error.code}`)
        await host.clock.sleep(100)
      }
    }
  }
  live().catch((error: unknown) => stage.world.fail(error))
}

export function groundOf({ host, keyspace }: RunningNode): Ground {
  return { host, keyspace }
}

// What a node is told about founding a namespace. The size decides who may be the quorum; every time in here
// decides only when something is tried.

import { Fault } from '../../base/index.ts'
import { foundersMax, type GenesisParameters, namespaceBytesMax } from './genesis.ts'

/**
 * Who may found. `size`: any so many nodes, which must be more than half of all nodes that may ever found.
 * `list`: exactly these member numbers, so that disjoint founders are impossible. `join`: never this node.
 */
export type Universe =
  | { readonly kind: 'size'; readonly size: number }
  | { readonly kind: 'list'; readonly nodes: readonly number[] }
  | { readonly kind: 'join' }

export type FoundingTimes = {
  /** Looking for peers and for an existing cluster before founding is tried. */
  readonly bootstrapMs: number
  /** Share of bootstrapMs; who was seen later than this is not listed at the first try. In (0, 1]. */
  readonly threshold: number
  /** Between two exchanges of who was seen. */
  readonly exchangeMs: number
  /** How long a ballot may take before the next; also the step between two nodes' tries. */
  readonly attemptMs: number
  /** Between two requests to be taken into a cluster. */
  readonly joinMs: number
}

export type FoundingConfig = {
  readonly namespace: string
  readonly universe: Universe
  /** Found alone, at once, unless this node belongs to or has seen a cluster, or agreed to another genesis. */
  readonly isForced: boolean
  readonly times: FoundingTimes
  readonly parameters: GenesisParameters
  /** Where others reach this node. */
  readonly address: string
}

export type PresetName = 'local' | 'regional' | 'global'

/** A preset: distances within one building, one region, the world. */
export type Preset = { readonly times: FoundingTimes; readonly parameters: GenesisParameters }

const threshold = 0.8

/**
 * The names are Taubyte's, the founding window its 10 s. Its Raft timeouts (heartbeat/election: local 1/1 s,
 * regional 5/10 s, global 15/30 s) leave a cluster without leader for that long after each crash; ours are
 * ten round trips of the distance that the name stands for.
 */
export const presets: Readonly<Record<PresetName, Preset>> = {
  local: {
    times: { bootstrapMs: 3_000, threshold, exchangeMs: 100, attemptMs: 200, joinMs: 250 },
    parameters: { heartbeatMs: 100, electionMs: 500 },
  },
  regional: {
    times: { bootstrapMs: 10_000, threshold, exchangeMs: 250, attemptMs: 1_000, joinMs: 500 },
    parameters: { heartbeatMs: 200, electionMs: 1_000 },
  },
  global: {
    times: { bootstrapMs: 30_000, threshold, exchangeMs: 1_000, attemptMs: 4_000, joinMs: 2_000 },
    parameters: { heartbeatMs: 1_000, electionMs: 5_000 },
  },
}

/** How many founders a genesis of this node has; 0: it never founds. */
export function sizeOf({ universe, isForced }: FoundingConfig): number {
  if (isForced) return 1
  if (universe.kind === 'size') return universe.size
  return universe.kind === 'list' ? universe.nodes.length : 0
}

/** Fault 'invalid' for what cannot be meant. */
export function checkConfig(config: FoundingConfig): void {
  const { namespace, universe, times } = config
  if (!/^\/raft\/./.test(namespace) || namespace.length > namespaceBytesMax) {
    throw new Fault('invalid', `a namespace begins with /raft/, unlike ${namespace.slice(0, 80)}`)
  }
  const size = sizeOf(config)
  const isWhole = Number.isSafeInteger(size) && size <= foundersMax
  if (!isWhole || (universe.kind !== 'join' && size < 1)) {
    throw new Fault('invalid', `1 to ${foundersMax} founders can be expected, not ${size}`)
  }
  if (universe.kind === 'list' && new Set(universe.nodes).size !== universe.nodes.length) {
    throw new Fault('invalid', 'the list of founders names a node twice')
  }
  const { bootstrapMs, exchangeMs, attemptMs, joinMs } = times
  if (!(times.threshold > 0 && times.threshold <= 1)) {
    throw new Fault('invalid', 'the bootstrap threshold is more than 0 and at most 1')
  }
  if (![bootstrapMs, exchangeMs, attemptMs, joinMs].every((ms) => ms > 0 && ms <= 3_600_000)) {
    throw new Fault('invalid', 'times of founding are between 1 ms and an hour')
  }
}

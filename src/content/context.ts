// What every part of the content room of one thread works with.

import type { NodeId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Rpc } from '../rpc/index.ts'
import type { Segments } from '../storage/index.ts'
import type { ClusterView } from '../cluster/index.ts'
import type { ChunkTable } from './chunk-table.ts'
import type { ChunkId, DamageReport } from './damage.ts'
import type { Holders } from './holders.ts'
import type { HedgeClock } from './hedge-clock.ts'
import type { Kernel } from './kernel/kernel.ts'
import type { Pace } from './pace.ts'
import type { SlotPool } from './slots.ts'

export type Context = {
  readonly self: NodeId
  readonly host: Host
  readonly rpc: Rpc
  readonly segments: Segments
  readonly view: ClusterView
  readonly kernel: Kernel
  readonly slots: SlotPool
  readonly table: ChunkTable
  readonly holders: Holders
  readonly hedge: HedgeClock
  readonly pace: Pace
  readonly limits: Limits
  /** A shard failed its checksum, or is not where the chunk table says. */
  readonly onDamage: (report: DamageReport) => void
  /** A chunk was stored with shards missing. */
  readonly onIncomplete: (chunk: ChunkId) => void
}

export type Limits = {
  readonly chunkBytesMax: number
  readonly unitBytes: number
  /** A holder that makes no progress for this long has failed. */
  readonly stallMs: number
  /** Shards that are still under way this long after enough are durable are given up. */
  readonly lingerMs: number
  /** Memory of one upload. */
  readonly uploadBytesMax: number
}

/** Deadline of a shard's stream: bounds what a dead caller can leave behind, not how slow a client may be. */
export const streamDeadlineMs = 3_600_000
/** Deadline of a call about shards. */
export const callDeadlineMs = 10_000

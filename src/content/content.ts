// Content: the only way to store bytes above storage. A stream becomes chunks; a chunk becomes k data
// and m parity shards on k+m different nodes (Reed-Solomon), named in the chunk table of a namespace.
// Contract only; formats and arguments in DESIGN.md.
//
// Chunk table, in the namespace that owns the object (all keys of one transaction with the object's):
//   c/<chunk id>            -> ChunkRecord: k, m, unit bytes, length, holder of each shard (0: missing)
//   n/<node>/<chunk id>     -> empty: index by node
//   x/<node>/<chunk id>     -> shard number, time: the node shall delete its shard (freed chunk)
//   s                       -> sweep number (law 10)
// An owner keeps its own keys out of these four prefixes.

import type { NodeId } from '../base/index.ts'
import type { ChooseHolders, ClusterView } from '../cluster/index.ts'
import type { Host } from '../host/index.ts'
import type { Compare, Keyspace, Keyspaces, Operation } from '../keyspace/index.ts'
import type { Rpc } from '../rpc/index.ts'
import type { Segments } from '../storage/index.ts'
import type { HolderCount } from './auditor.ts'
import type { MovesStatus } from './mover.ts'

export type ChunkRef = { readonly id: Uint8Array; readonly length: number }

/** Names chunks in order; their lengths add up to `length`. */
export type Manifest = { readonly length: number; readonly chunks: readonly ChunkRef[] }

/**
 * Bytes that are durable but not yet named. The owner names them in one transaction: it adds
 * `compares` and `operations` to its own. When the transaction fails because the sweep number moved,
 * refresh() touches the shards again and gives new compares and operations; when it fails for another
 * reason, discard(). With an unknown outcome do neither: the sweep decides.
 */
export type Draft = {
  readonly manifest: Manifest
  readonly compares: readonly Compare[]
  readonly operations: readonly Operation[]
  /** Fault 'unavailable' when shards are gone: the upload must be repeated by its client. */
  refresh(): Promise<Draft>
  discard(): Promise<void>
}

export type ContentWriteOptions = {
  readonly keyspace: Keyspace
  /** Known length, or undefined. */
  readonly length?: number
  readonly allowsBareQuorum: boolean
  readonly signal?: AbortSignal
}

export type Content = {
  /**
   * Stores a stream while it arrives (memory per write bounded, 16 MiB at most). Settles once every chunk
   * has at least k+1 durable shards (k only while k+1 nodes are not up and allowsBareQuorum), each on a
   * different node. Fault 'unavailable' when not enough nodes are up, 'no-space' when their disks are full.
   * A fault of `body` is thrown as it is, after the shards written so far are discarded.
   */
  write(body: AsyncIterable<Uint8Array>, options: ContentWriteOptions): Promise<Draft>
  /**
   * The bytes of [at, at + count) of a manifest, verified before they are given, in slices of at most
   * 64 KiB (valid until the next is asked for). k shards in parallel, nearest first, another one when
   * one is slow, missing or damaged (which is repaired behind the reader's back).
   */
  read(
    manifest: Manifest,
    options: {
      readonly keyspace: Keyspace
      readonly at: number
      readonly count: number
      readonly signal?: AbortSignal
    },
  ): AsyncIterable<Uint8Array>
  /**
   * Operations that free a manifest's chunks, for the transaction that drops the object: it must compare
   * that the object is still the one whose manifest this is.
   */
  release(manifest: Manifest, keyspace: Keyspace): Promise<readonly Operation[]>
  status(): ContentStatus
  /** Verifies every shard of this node once; damaged ones are repaired before it settles, where that is possible. */
  runScrub(): Promise<{ readonly verified: number; readonly damaged: number }>
  /** One audit of the chunk tables with all repairs that fall to this node; `missing` shards remain. */
  runRepair(): Promise<{ readonly repaired: number; readonly missing: number }>
  /**
   * One sweep: raises the sweep numbers (on the first live member only), then deletes shards here that were
   * freed or that nobody named and nobody can name any more. An abandoned shard goes with the second sweep.
   */
  runSweep(): Promise<{ readonly deleted: number }>
  /** Fetches the shards that the last audit found to belong here and not to be; throttled. */
  runMoves(): Promise<{ readonly moved: number }>
  /**
   * For a node whose member drains, to be asked until it is true: nothing here is named, and nothing here can be
   * named any more. False as well while it does not drain. Faults of the keyspace.
   */
  runEmptying(): Promise<boolean>
  close(): Promise<void>
}

/** What the room tells people, besides. */
export type ContentReports = {
  /** What repair would do now, as this node sees it; nothing is changed. */
  planReplication(request: ReplicationPlanRequest): Promise<ReplicationPlan>
  /** Who holds each shard of a chunk, 0 where nobody does; undefined when there is no such chunk. */
  holdersOf(chunk: Uint8Array, keyspace: Keyspace): Promise<readonly NodeId[] | undefined>
}

export type ReplicationPlanRequest = {
  /** `next` of the plan before; absent: from the beginning. */
  readonly after?: string | undefined
  /** Items at most. */
  readonly limit: number
}

/** One chunk that lacks lasting holders. */
export type ReplicationItem = {
  readonly namespace: string
  /** Its id, in hexadecimal. */
  readonly chunk: string
  readonly shards: number
  readonly current: readonly NodeId[]
  /** Who holds it once it is repaired; fewer than shards while there are too few members. */
  readonly desired: readonly NodeId[]
  readonly missing: readonly NodeId[]
  /** Holders that are removed, replaced, draining, or offline for too long. */
  readonly extra: readonly NodeId[]
}

export type ReplicationPlan = {
  /** Looked at. */
  readonly chunks: number
  readonly items: readonly ReplicationItem[]
  /** Where to go on; undefined: this was all. */
  readonly next: string | undefined
}

export type ContentStatus = {
  readonly chunks: number
  /** Shards that chunks lack or whose holder is gone or damaged, as of the last audit. */
  readonly underReplicatedShards: number
  /** False while members have come, gone or changed since the last audit began: its count is old then. */
  readonly isAuditCurrent: boolean
  readonly liveBytes: number
  readonly garbageBytes: number
  readonly freeBytes: number
  readonly totalBytes: number
  /** Less is free than lowDiskBytes. */
  readonly isDiskLow: boolean
  /** Since this node started. */
  readonly repairedShards: number
  /** Found damaged or lost on this node since it started, repaired or not yet. */
  readonly damagedShards: number
  /** By this node's monotonic clock; 0: none has ended yet. */
  readonly lastAuditMs: number
  readonly moves: MovesStatus
  /** What the last audit saw at every holder that the chunk tables name. */
  readonly holders: readonly HolderCount[]
}

export type ContentOptions = {
  readonly self: NodeId
  /** Chunk payload at most. Default 16 MiB. */
  readonly chunkBytesMax?: number
  /** Stripe unit: bytes of one shard per stripe. Default 64 KiB. */
  readonly unitBytes?: number
  /** Namespaces whose chunk tables this node looks after. */
  readonly namespaces: readonly string[]
  /** A pass over the chunk tables starts this long after the one before. Default 60 s. */
  readonly auditEveryMs?: number
  /** Default 8 MiB. */
  readonly scrubBytesPerSecond?: number
  /** Shards of a member that is offline for longer are made again elsewhere. Default: as the placement rule says. */
  readonly repairAfterMs?: number
  /** The sweep number is raised this often. Default 15 min. */
  readonly sweepEveryMs?: number
  /** Freed shards stay readable this long for readers that hold their manifest. Default 60 s. */
  readonly freedGraceMs?: number
  /** With less free disk than this, freed shards go without grace and all garbage is compacted. */
  readonly lowDiskBytes?: number
  /** A holder that takes or gives nothing for this long has failed. Default 5 s. */
  readonly stallMs?: number
  /** A shard counts as slow after three times the usual wait, at least this. Default 50 ms. */
  readonly hedgeMsMin?: number
  /** Memory for units of all transfers of this thread; touched as needed. Default 48 MiB. */
  readonly memoryBytesMax?: number
  /** Memory of one upload. Default 8 MiB. */
  readonly uploadBytesMax?: number
  /** False: no timers; background work only by runScrub, runRepair and runSweep. Default true. */
  readonly runsBackground?: boolean
}

export type ContentDependencies = {
  readonly host: Host
  /** The bulk port. Handlers are registered here: create content before listen(). */
  readonly rpc: Rpc
  /** Shards of this node. */
  readonly segments: Segments
  readonly view: ClusterView
  readonly keyspaces: Keyspaces
  /** The cluster's placement. */
  readonly chooseHolders: ChooseHolders
}

// Log: one write-ahead log per node, shared by all groups. Contract only; docs in DESIGN.md.
//
// A batch is everything one turn of the core wants durable: for any number of groups, a new hard
// state and entries. Batches are written in order, one concatenated write and one fdatasync for all
// that wait (group commit), on the log's own thread.
//
// Entries of one group are contiguous. Appending at an index that exists replaces it and everything
// after it (Raft's conflict rule), durably with the batch.

import type { GroupId, LogIndex, Term } from '../base/index.ts'

export type LogEntry = {
  readonly index: LogIndex
  readonly term: Term
  /** Meaning belongs to raft: 0 normal, 1 configuration change, 2 configuration change v2. */
  readonly kind: number
  readonly payload: Uint8Array
}

export type HardState = {
  readonly term: Term
  /** 0: no vote. */
  readonly vote: number
  readonly commit: LogIndex
}

export type GroupAppend = {
  readonly group: GroupId
  readonly hardState?: HardState
  readonly entries?: readonly LogEntry[]
  /**
   * Forget every entry at and before this index: the group's state as of it is durable in the store
   * (the caller has seen Store.checkpoint() end). With `entries` absent and index beyond the last
   * entry this is an installed snapshot: the log starts anew after it.
   */
  readonly cut?: { readonly index: LogIndex; readonly term: Term }
  /**
   * A number that stands for the cluster the group belongs to (raft/fence.ts); kept until the group is
   * forgotten, so that a log is never taken for another cluster's. Positive.
   */
  readonly fence?: number
  /** Forget the group altogether. */
  readonly remove?: boolean
}

/** What recovery found for one group. */
export type RecoveredGroup = {
  readonly group: GroupId
  readonly hardState: HardState
  /** The entry before the first kept one (0, 0 for a whole log). */
  readonly cut: { readonly index: LogIndex; readonly term: Term }
  /** Contiguous, from cut.index + 1. */
  readonly entries: readonly LogEntry[]
  /** Absent when none was ever appended. */
  readonly fence?: number
}

export type LogStatistics = {
  readonly bytes: number
  readonly segments: number
  readonly appendedBatches: number
  readonly syncs: number
  readonly lastSyncMs: number
}

export type Log = {
  readonly recovered: ReadonlyMap<GroupId, RecoveredGroup>
  /**
   * `done` runs on the caller's loop once the batch is durable, in order of append() calls.
   * A failed write or sync never reports done: the node stops (law 12); a full disk reports a Fault
   * 'no-space' for this and all later batches until space returns, and nothing of them is kept.
   */
  append(
    batch: readonly GroupAppend[],
    done: (fault?: import('../base/index.ts').Fault) => void,
  ): void
  /**
   * Entries low..high (both inclusive) that are no longer in raft's memory; total payload is bounded by
   * bytesMax but at least one entry is given. Fault 'compacted' below the cut.
   */
  read(
    group: GroupId,
    range: { readonly low: LogIndex; readonly high: LogIndex; readonly bytesMax: number },
  ): Promise<readonly LogEntry[]>
  /** Bytes in live segments: the caller checkpoints and cuts when it grows. */
  statistics(): LogStatistics
  close(): Promise<void>
}

export type LogOptions = {
  /** Directory under the host's disk root. */
  readonly path: string
  /** Preallocated size of a segment file. Default 4 MiB; a larger batch gets a segment of its own size. */
  readonly segmentBytes?: number
  /** Batches waiting for the disk beyond this many bytes make append() throw Fault 'overloaded'. */
  readonly waitingBytesMax?: number
  /** False: everything runs on the caller's loop (simulator, tests). Default true. */
  readonly ownThread?: boolean
}

// Payload of a log record: what append() was given, one operation per GroupAppend, in order.
// All numbers are little-endian.
//
//    0 u32 length of the operation   4 u8 flags   5 u64 group
//   then, as the flags say: hard state (u64 term, vote, commit); cut (u64 index, term);
//   entries (u64 first index, u32 count, then each: u64 term, u32 kind, u32 length, payload);
//   fence (u64)
//
// `restated` marks what the log itself wrote again, forward, so that an old segment could go: its
// entries take their places without truncating what follows them. `restart` marks a cut that leaves
// no entry behind, because the log's entry at the cut was of another term (an installed snapshot).

import { assert, Fault, type GroupId, type LogIndex, type Term } from '../../base/index.ts'
import type { GroupAppend, HardState, LogEntry } from '../log.ts'
import {
  alignRecord,
  getUint64,
  recordHeaderBytes,
  reserveRecord,
  setUint64,
  viewOf,
} from './log-format.ts'

const flag = {
  hardState: 1,
  entries: 2,
  cut: 4,
  remove: 8,
  restated: 16,
  restart: 32,
  fence: 64,
} as const
const operationHeaderBytes = 13
const hardStateBytes = 24
const cutBytes = 16
const entriesHeaderBytes = 12
const entryHeaderBytes = 16
const fenceBytes = 8
/** A record takes no further batch once it holds this much: what read() must load at a time. */
const recordBytesGoal = 256 * 1024

export type Cut = { readonly index: LogIndex; readonly term: Term }

/** Collects batches as records with reserved headers (log-format.ts), ready to be stamped and written. */
export class BatchEncoder {
  #bytes = new Uint8Array(16 * 1024)
  #view = new DataView(this.#bytes.buffer)
  #length = 0
  /** -1: no record is open. */
  #recordAt = -1
  #batches = 0

  get length(): number {
    return this.#length
  }

  /** Adds one call of append(); it never spans two records. */
  addBatch(batch: readonly GroupAppend[], isRestated = false): void {
    if (this.#recordAt >= 0 && this.#length - this.#recordAt >= recordBytesGoal) this.#endRecord()
    if (this.#recordAt < 0) {
      this.#reserve(recordHeaderBytes)
      this.#recordAt = this.#length
      this.#length += recordHeaderBytes
    }
    for (const append of batch) this.#addOperation(append, isRestated)
    if (!isRestated) this.#batches++
  }

  /** Everything added so far, in a buffer of its own, and begins anew. */
  take(): Uint8Array {
    this.#endRecord()
    const taken = this.#bytes.slice(0, this.#length)
    this.#length = 0
    if (this.#bytes.length > 4 * 1024 * 1024) {
      this.#bytes = new Uint8Array(16 * 1024)
      this.#view = new DataView(this.#bytes.buffer)
    }
    return taken
  }

  #endRecord(): void {
    if (this.#recordAt < 0) return
    const payloadBytes = this.#length - this.#recordAt - recordHeaderBytes
    this.#bytes.fill(0, this.#recordAt, this.#recordAt + recordHeaderBytes)
    reserveRecord(this.#bytes, this.#recordAt, { payloadBytes, batches: this.#batches })
    const end = alignRecord(this.#length)
    this.#reserve(end - this.#length)
    this.#bytes.fill(0, this.#length, end)
    this.#length = end
    this.#recordAt = -1
    this.#batches = 0
  }

  #addOperation(append: GroupAppend, isRestated: boolean): void {
    const { group, hardState, entries = [], cut, remove = false, fence } = append
    const start = this.#length
    this.#reserve(operationHeaderBytes + hardStateBytes + cutBytes + entriesHeaderBytes)
    let flags = (remove ? flag.remove : 0) | (isRestated ? flag.restated : 0)
    this.#length += operationHeaderBytes
    if (hardState !== undefined) {
      flags |= flag.hardState
      this.#uint64(hardState.term)
      this.#uint64(hardState.vote)
      this.#uint64(hardState.commit)
    }
    if (cut !== undefined) {
      flags |= flag.cut
      this.#uint64(cut.index)
      this.#uint64(cut.term)
    }
    if (entries.length > 0) {
      flags |= flag.entries
      this.#addEntries(entries)
    }
    if (fence !== undefined) {
      flags |= flag.fence
      this.#reserve(fenceBytes)
      this.#uint64(fence)
    }
    this.#view.setUint32(start, this.#length - start, true)
    this.#view.setUint8(start + 4, flags)
    setUint64(this.#view, start + 5, group)
  }

  #addEntries(entries: readonly LogEntry[]): void {
    let next = (entries[0] as LogEntry).index as number
    this.#uint64(next)
    this.#view.setUint32(this.#length, entries.length, true)
    this.#length += 4
    for (const { index, term, kind, payload } of entries) {
      assert(index === next, 'entries of a batch are contiguous')
      next++
      this.#reserve(entryHeaderBytes + payload.length)
      this.#uint64(term)
      this.#view.setUint32(this.#length, kind, true)
      this.#view.setUint32(this.#length + 4, payload.length, true)
      this.#length += 8
      this.#bytes.set(payload, this.#length)
      this.#length += payload.length
    }
  }

  #uint64(value: number): void {
    setUint64(this.#view, this.#length, value)
    this.#length += 8
  }

  #reserve(count: number): void {
    const need = this.#length + count
    if (need <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(need, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
    this.#view = new DataView(grown.buffer)
  }
}

/** Who learns what a payload says, in order. */
export type BatchSink = {
  onHardState(group: GroupId, hardState: HardState): void
  onCut(group: GroupId, cut: Cut, isRestart: boolean): void
  /** Before the entries of an operation, unless they are restated: what is there from `first` on goes. */
  onTruncate(group: GroupId, first: LogIndex): void
  /** `at` is the offset of the entry's header in the payload, `length` that of header and payload. */
  onEntry(
    group: GroupId,
    entry: {
      readonly index: LogIndex
      readonly term: Term
      readonly at: number
      readonly length: number
    },
  ): void
  onFence(group: GroupId, fence: number): void
  onRemove(group: GroupId): void
}

/** Fault 'corrupt' when the payload is not well-formed (its checksum held: a fault of the writer). */
export function decodeBatches(payload: Uint8Array, sink: BatchSink): void {
  const view = viewOf(payload)
  for (let at = 0; at < payload.length; ) {
    const end = operationEnd(view, at)
    const flags = view.getUint8(at + 4)
    const group = getUint64(view, at + 5) as GroupId
    at += operationHeaderBytes
    if ((flags & flag.remove) !== 0) sink.onRemove(group)
    if ((flags & flag.hardState) !== 0) {
      mustFit(at + hardStateBytes <= end)
      const term = getUint64(view, at) as Term
      const commit = getUint64(view, at + 16) as LogIndex
      sink.onHardState(group, { term, vote: getUint64(view, at + 8), commit })
      at += hardStateBytes
    }
    if ((flags & flag.cut) !== 0) {
      mustFit(at + cutBytes <= end)
      const cut = { index: getUint64(view, at) as LogIndex, term: getUint64(view, at + 8) as Term }
      sink.onCut(group, cut, (flags & flag.restart) !== 0)
      at += cutBytes
    }
    if ((flags & flag.entries) !== 0) {
      mustFit(at + entriesHeaderBytes <= end)
      if ((flags & flag.restated) === 0) sink.onTruncate(group, getUint64(view, at) as LogIndex)
      at = decodeEntries(view, { at, end, group }, sink)
    }
    if ((flags & flag.fence) !== 0) {
      mustFit(at + fenceBytes <= end)
      sink.onFence(group, getUint64(view, at))
      at += fenceBytes
    }
    mustFit(at === end)
  }
}

function decodeEntries(
  view: DataView,
  { at, end, group }: { readonly at: number; readonly end: number; readonly group: GroupId },
  sink: BatchSink,
): number {
  const first = getUint64(view, at)
  const count = view.getUint32(at + 8, true)
  let position = at + entriesHeaderBytes
  for (let i = 0; i < count; i++) {
    mustFit(position + entryHeaderBytes <= end)
    const term = getUint64(view, position) as Term
    const length = entryHeaderBytes + view.getUint32(position + 12, true)
    mustFit(position + length <= end)
    sink.onEntry(group, { index: (first + i) as LogIndex, term, at: position, length })
    position += length
  }
  return position
}

/** The entry whose header is at `at`; its payload is a view. */
export function entryAt(payload: Uint8Array, at: number, index: LogIndex): LogEntry {
  const view = viewOf(payload)
  const length = view.getUint32(at + 12, true)
  const start = at + entryHeaderBytes
  return {
    index,
    term: getUint64(view, at) as Term,
    kind: view.getUint32(at + 8, true),
    payload: payload.subarray(start, start + length),
  }
}

/**
 * Marks every cut that `isRestart` says leaves nothing behind. Done before the records of one write are
 * stamped, while the entries before that write are known: at recovery they may be in a segment that is
 * gone. `written` spans the records of one write: per group the lowest index that the write itself puts
 * an entry at. What is from there on is in the log beside the cut, and needs no mark.
 */
export function markRestarts(
  payload: Uint8Array,
  written: Map<GroupId, number>,
  isRestart: (group: GroupId, cut: Cut) => boolean,
): void {
  const view = viewOf(payload)
  for (let at = 0; at < payload.length; at = operationEnd(view, at)) {
    const flags = view.getUint8(at + 4)
    if ((flags & flag.restated) !== 0) continue
    const group = getUint64(view, at + 5) as GroupId
    if ((flags & flag.remove) !== 0) written.set(group, 0)
    const cutAt = at + operationHeaderBytes + ((flags & flag.hardState) !== 0 ? hardStateBytes : 0)
    const entriesAt = cutAt + ((flags & flag.cut) !== 0 ? cutBytes : 0)
    const lowest = written.get(group) ?? Number.POSITIVE_INFINITY
    if ((flags & flag.cut) !== 0) {
      const index = getUint64(view, cutAt) as LogIndex
      const cut = { index, term: getUint64(view, cutAt + 8) as Term }
      if (index < lowest && isRestart(group, cut)) view.setUint8(at + 4, flags | flag.restart)
    }
    if ((flags & flag.entries) !== 0) {
      written.set(group, Math.min(lowest, getUint64(view, entriesAt)))
    }
  }
}

function operationEnd(view: DataView, at: number): number {
  mustFit(at + operationHeaderBytes <= view.byteLength)
  const length = view.getUint32(at, true)
  mustFit(length >= operationHeaderBytes && at + length <= view.byteLength)
  return at + length
}

function mustFit(fits: boolean): void {
  if (!fits) throw new Fault('corrupt', 'a log record is not well-formed')
}

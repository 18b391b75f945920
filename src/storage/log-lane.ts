// LogLane: the side of the log that owns the files. Runs on the log thread, or on the caller's loop.
//
// One step at a time: everything that waits is written with one call, synced once, entered into the
// index, and reported. Then, in steps of their own: segments without live items are released (once a
// durable record says that they no longer matter), and when garbage outweighs what is live, the live
// items of the oldest segment are restated forward, so that no quiet group pins it (law 12).
//
// Faults: a full disk fails the batches at hand and leaves no trace of them; any other failed write or
// sync stops the node, `done` is then never called.

import { assert, Fault, type GroupId, isFault, type LogIndex, toFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { EntryIndex, fenceOf, type Rewrite } from './core/entry-index.ts'
import { BatchEncoder, decodeBatches, entryAt, markRestarts } from './core/log-batch.ts'
import {
  alignRecord,
  encodeSegmentHeader,
  readRecord,
  recordHeaderBytes,
  reservedRecord,
  segmentHeaderBytes,
  stampRecord,
} from './core/log-format.ts'
import { stopNode } from './disk-errors.ts'
import { type LogSegment, recoverLog, segmentPath, spareName } from './log-files.ts'
import type { GroupAppend, LogEntry, RecoveredGroup } from './log.ts'

export type LaneOptions = { readonly path: string; readonly segmentBytes: number }

export type LaneStatistics = {
  readonly bytes: number
  readonly segments: number
  readonly syncs: number
  readonly lastSyncMs: number
}

/** A record in a segment; `payload` while it is cached. */
export type LaneRecord = {
  readonly segment: LogSegment
  readonly at: number
  /** Header and payload. */
  readonly length: number
  payload: Uint8Array | undefined
}

type Pending = { readonly buffer: Uint8Array; readonly at: number; readonly length: number }
type OnDone = (batches: number, fault: Fault | undefined) => void

const cachedBytesMax = 8 * 1024 * 1024
const rewriteBytesMax = 1024 * 1024
const writePartsMax = 512

export class LogLane {
  readonly #host: Host
  readonly #options: LaneOptions
  readonly #onDone: OnDone
  readonly #index = new EntryIndex<LogSegment, LaneRecord>()
  /** In order; the last one is `active` when there is an active one. */
  #segments: LogSegment[] = []
  #active: LogSegment | undefined
  #hasSpare = false
  #nextSequence = 1
  #nextRecord = 1
  /** Segments without live items, and the record that must be durable before each may go. */
  #released: { readonly segment: LogSegment; readonly after: number }[] = []
  #waiting: Uint8Array[] = []
  #cached: LaneRecord[] = []
  #cachedBytes = 0
  #running: Promise<void> | undefined
  #isDead = false
  #isRewriting = true
  /** Bytes that may be written again: no more than were appended, so that rewriting always ends. */
  #rewriteCredit = 0
  #syncs = 0
  #lastSyncMs = 0

  private constructor(host: Host, options: LaneOptions, onDone: OnDone) {
    this.#host = host
    this.#options = options
    this.#onDone = onDone
  }

  /** Fault 'corrupt' when durable bytes are damaged. */
  static async open(
    host: Host,
    options: LaneOptions,
    onDone: OnDone,
  ): Promise<{ readonly lane: LogLane; readonly recovered: readonly RecoveredGroup[] }> {
    const lane = new LogLane(host, options, onDone)
    const found = await recoverLog(host, options.path)
    lane.#nextRecord = found.nextRecord
    lane.#nextSequence = found.nextSequence
    const entered: LaneRecord[] = []
    for (const { segment, records } of found.segments) {
      lane.#segments.push(segment)
      lane.#rewriteCredit += segment.end
      for (const { at, payload } of records) {
        const length = recordHeaderBytes + payload.length
        const record: LaneRecord = { segment, at, length, payload }
        lane.#enter(record)
        entered.push(record)
      }
    }
    lane.#index.mustBeContiguous()
    const recovered = lane.#recovered()
    for (const record of entered) record.payload = undefined
    await lane.#prepareSpare()
    return { lane, recovered }
  }

  /** Takes records with reserved headers, as BatchEncoder makes them; reports through onDone, in order. */
  write(buffer: Uint8Array): void {
    assert(buffer.length > 0, 'a write carries records')
    this.#waiting.push(buffer)
    this.#kick()
  }

  async read(
    group: GroupId,
    range: { readonly low: LogIndex; readonly high: LogIndex; readonly bytesMax: number },
  ): Promise<readonly LogEntry[]> {
    const state = this.#index.groups.get(group)
    if (state === undefined || range.low <= state.cut.index) {
      throw new Fault('compacted', `the log of group ${group} begins after entry ${range.low}`)
    }
    if (range.high > state.last || range.low > range.high) {
      throw new Fault(
        'invalid',
        `the log of group ${group} ends at ${state.last}, not ${range.high}`,
      )
    }
    const entries: LogEntry[] = []
    let bytes = 0
    let loaded: { readonly record: LaneRecord; readonly payload: Uint8Array } | undefined
    for (let index: number = range.low; index <= range.high; index++) {
      const slot = state.slots.get(index)
      if (slot === undefined) {
        if (entries.length > 0) break
        throw new Fault('compacted', `entry ${index} of group ${group} was cut`)
      }
      if (loaded?.record !== slot.record) {
        loaded = { record: slot.record, payload: await this.#load(slot.record) }
      }
      const entry = entryAt(loaded.payload, slot.at, index as LogIndex)
      bytes += entry.payload.length
      if (bytes > range.bytesMax && entries.length > 0) break
      entries.push(entry)
    }
    return entries
  }

  statistics(): LaneStatistics {
    let bytes = 0
    for (const segment of this.#segments) bytes += segment.end
    return {
      bytes,
      segments: this.#segments.length,
      syncs: this.#syncs,
      lastSyncMs: this.#lastSyncMs,
    }
  }

  /** Ends after everything that waits. */
  async close(): Promise<void> {
    while (this.#running !== undefined) await this.#running
    for (const segment of [...this.#segments, ...this.#released.map((entry) => entry.segment)]) {
      await segment.file.close()
    }
  }

  #kick(): void {
    if (this.#running !== undefined || this.#isDead) return
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      if (this.#waiting.length > 0) this.#kick()
    })
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const buffers = this.#waiting
        this.#waiting = []
        for (const { length } of buffers) this.#rewriteCredit += length
        await this.#writeAll(recordsOf(buffers))
        await this.#tidy()
      }
    } catch (error) {
      this.#isDead = true
      stopNode(this.#host, 'storage.log_failed', error)
      await new Promise<never>(() => {})
    }
  }

  /** False when the disk was full for some of them. */
  async #writeAll(records: readonly Pending[]): Promise<boolean> {
    for (let from = 0; from < records.length; ) {
      let to = from
      try {
        const segment = await this.#segmentFor((records[from] as Pending).length)
        let room = segment.bytes - segment.end
        while (to < records.length && to - from < writePartsMax) {
          room -= (records[to] as Pending).length
          if (room < 0) break
          to++
        }
        await this.#writeSome(segment, records.slice(from, to))
      } catch (error) {
        if (!isFault(error, 'no-space')) throw error
        if (to > from) await this.#retireActive()
        this.#onDone(batchesIn(records.slice(from)), error)
        return false
      }
      this.#onDone(batchesIn(records.slice(from, to)), undefined)
      from = to
    }
    return true
  }

  async #writeSome(segment: LogSegment, records: readonly Pending[]): Promise<void> {
    const oldest = segment.sequence - (this.#segments[0] as LogSegment).sequence
    const written = new Map<GroupId, number>()
    for (const [i, { buffer, at, length }] of records.entries()) {
      const payload = payloadOf(buffer, at)
      if (length > recordHeaderBytes) {
        markRestarts(payload, written, (group, cut) => this.#index.isRestart(group, cut))
      }
      const number = this.#nextRecord + i
      stampRecord(buffer, at, { salt: segment.salt, number, unsynced: i, oldest })
    }
    await segment.file.write(segment.end, partsOf(records))
    const startedMs = this.#host.clock.monotonicMs()
    await segment.file.sync()
    this.#lastSyncMs = this.#host.clock.monotonicMs() - startedMs
    this.#syncs++
    this.#nextRecord += records.length
    for (const { buffer, at, length } of records) {
      const payload = payloadOf(buffer, at)
      const whole = recordHeaderBytes + payload.length
      const record: LaneRecord = { segment, at: segment.end, length: whole, payload }
      segment.end += length
      this.#enter(record)
      this.#cache(record)
    }
  }

  #enter(record: LaneRecord): void {
    this.#index.begin(record)
    decodeBatches(record.payload as Uint8Array, this.#index)
  }

  #cache(record: LaneRecord): void {
    this.#cached.push(record)
    this.#cachedBytes += record.length
    let drop = 0
    while (this.#cachedBytes > cachedBytesMax && drop < this.#cached.length - 1) {
      const old = this.#cached[drop++] as LaneRecord
      this.#cachedBytes -= old.length
      old.payload = undefined
    }
    if (drop > 0) this.#cached.splice(0, drop)
  }

  async #load(record: LaneRecord): Promise<Uint8Array> {
    if (record.payload !== undefined) return record.payload
    const { segment, at, length } = record
    segment.readers++
    try {
      const read = readRecord(await segment.file.read(at, length), 0, segment.salt)
      if (read !== undefined) return read.payload
      throw new Fault('corrupt', `the log record at ${segment.path}, offset ${at}, is damaged`, {
        next: 'restore the file from a copy, or replace this node',
      })
    } finally {
      segment.readers--
    }
  }

  // ---- segments ----

  async #segmentFor(length: number): Promise<LogSegment> {
    const active = this.#active
    if (active !== undefined && active.bytes - active.end >= length) return active
    const bytes = Math.max(this.#options.segmentBytes, segmentHeaderBytes + length)
    const segment = await this.#makeSegment(bytes)
    this.#segments.push(segment)
    this.#active = segment
    return segment
  }

  async #makeSegment(bytes: number): Promise<LogSegment> {
    const { disk } = this.#host
    const sequence = this.#nextSequence++
    const path = segmentPath(this.#options.path, sequence)
    if (this.#hasSpare && bytes === this.#options.segmentBytes) {
      this.#hasSpare = false
      await disk.rename(this.#sparePath(), path)
    }
    const salt = this.#host.random.bytes(8)
    const file = await disk.open(path, { create: true })
    try {
      await file.preallocate(bytes)
      await file.write(0, [encodeSegmentHeader({ salt, sequence, firstRecord: this.#nextRecord })])
      await file.sync()
      await disk.syncDirectory(this.#options.path)
    } catch (error) {
      await file.close()
      await disk.remove(path)
      throw error
    }
    const end = segmentHeaderBytes
    return { sequence, path, file, salt, bytes, end, live: 0, liveBytes: 0, readers: 0 }
  }

  /**
   * After a write that failed for lack of space. Without cutting the file here: 1. the failed write left
   * records A and B whole, their batches were refused; 2. a new record of A's length takes A's place;
   * 3. after a crash B follows on it, and a refused batch has come true.
   */
  async #retireActive(): Promise<void> {
    const segment = this.#active
    if (segment === undefined) return
    this.#active = undefined
    await segment.file.truncate(segment.end)
    await segment.file.sync()
    segment.bytes = segment.end
  }

  #sparePath(): string {
    return `${this.#options.path}/${spareName}`
  }

  async #prepareSpare(): Promise<void> {
    const { disk } = this.#host
    if (!(await disk.exists(this.#sparePath()))) return
    const file = await disk.open(this.#sparePath())
    const bytes = await file.size()
    await file.close()
    if (bytes === this.#options.segmentBytes) this.#hasSpare = true
    else await disk.remove(this.#sparePath())
  }

  // ---- garbage ----

  async #tidy(): Promise<void> {
    while (this.#waiting.length === 0) {
      this.#releaseOldest()
      const rewrite = this.#mustRewrite() ? await this.#encodeRewrite() : undefined
      const isMarkNeeded = this.#released.some(({ after }) => after >= this.#nextRecord)
      if (rewrite === undefined && !isMarkNeeded) break
      this.#rewriteCredit -= rewrite?.length ?? 0
      if (!(await this.#writeAll(recordsOf([rewrite ?? emptyRecord()])))) break
    }
    await this.#recycle()
  }

  #releaseOldest(): void {
    for (;;) {
      const segment = this.#segments[0]
      if (segment === undefined || segment === this.#active || segment.live > 0) return
      if (this.#segments.length === 1) return
      this.#segments.shift()
      this.#released.push({ segment, after: this.#nextRecord })
    }
  }

  /** When closed segments hold more than three times what is live, and one more. */
  #mustRewrite(): boolean {
    if (!this.#isRewriting || this.#active === undefined || this.#rewriteCredit <= 0) return false
    let liveBytes = 0
    for (const segment of this.#segments) liveBytes += segment.liveBytes
    const closed = this.#segments.length - 1
    const room = this.#options.segmentBytes - segmentHeaderBytes
    return closed > 1 + Math.floor((3 * liveBytes) / room)
  }

  async #encodeRewrite(): Promise<Uint8Array | undefined> {
    const plan = this.#index.plan(this.#segments[0] as LogSegment, rewriteBytesMax)
    const encoder = new BatchEncoder()
    try {
      for (const rewrite of plan) encoder.addBatch(await this.#restate(rewrite), true)
    } catch (error) {
      this.#isRewriting = false
      this.#host.journal.event('error', 'storage.log_damaged', { why: toFault(error).message })
      return undefined
    }
    return encoder.length === 0 ? undefined : encoder.take()
  }

  async #restate({ group, indexes }: Rewrite): Promise<readonly GroupAppend[]> {
    const state = this.#index.groups.get(group)
    assert(state !== undefined, 'a planned group exists')
    const { hardState, cut } = state
    const appends: GroupAppend[] = [{ group, hardState, cut, ...fenceOf(state) }]
    let run: LogEntry[] = []
    for (const index of indexes) {
      const slot = state.slots.get(index)
      assert(slot !== undefined, 'a planned entry exists')
      const entry = entryAt(await this.#load(slot.record), slot.at, index)
      if (run.length > 0 && run.at(-1)?.index !== index - 1) {
        appends.push({ group, entries: run })
        run = []
      }
      run.push(entry)
    }
    if (run.length > 0) appends.push({ group, entries: run })
    return appends
  }

  /** Lets go of released segments: one becomes the spare, the others are removed. */
  async #recycle(): Promise<void> {
    const isFree = ({ segment, after }: { segment: LogSegment; after: number }): boolean =>
      after < this.#nextRecord && segment.readers === 0
    const free = this.#released.filter(isFree)
    if (free.length === 0) return
    this.#released = this.#released.filter((entry) => !isFree(entry))
    for (const { segment } of free) {
      await segment.file.close()
      if (!this.#hasSpare && segment.bytes === this.#options.segmentBytes) {
        this.#hasSpare = true
        await this.#host.disk.rename(segment.path, this.#sparePath())
      } else {
        await this.#host.disk.remove(segment.path)
      }
    }
  }

  #recovered(): readonly RecoveredGroup[] {
    const recovered: RecoveredGroup[] = []
    for (const group of [...this.#index.groups.keys()].sort((a, b) => a - b)) {
      const state = this.#index.groups.get(group)
      if (state === undefined) continue
      const entries: LogEntry[] = []
      for (let index: number = state.cut.index + 1; index <= state.last; index++) {
        const slot = state.slots.get(index)
        assert(slot?.record.payload !== undefined, 'recovered entries are at hand')
        const entry = entryAt(slot.record.payload, slot.at, index as LogIndex)
        entries.push({ ...entry, payload: entry.payload.slice() })
      }
      const { hardState, cut } = state
      recovered.push({ group, hardState, cut, entries, ...fenceOf(state) })
    }
    return recovered
  }
}

function payloadOf(buffer: Uint8Array, at: number): Uint8Array {
  const start = at + recordHeaderBytes
  return buffer.subarray(start, start + reservedRecord(buffer, at).payloadBytes)
}

/** The records of some buffers, each with its padding. */
function recordsOf(buffers: readonly Uint8Array[]): readonly Pending[] {
  const records: Pending[] = []
  for (const buffer of buffers) {
    for (let at = 0; at < buffer.length; ) {
      const length = alignRecord(recordHeaderBytes + reservedRecord(buffer, at).payloadBytes)
      records.push({ buffer, at, length })
      at += length
    }
  }
  return records
}

/** Neighbours in one buffer are written as one part. */
function partsOf(records: readonly Pending[]): readonly Uint8Array[] {
  const parts: Uint8Array[] = []
  let from = 0
  for (let i = 0; i < records.length; i++) {
    const first = records[from] as Pending
    const last = records[i] as Pending
    if (records[i + 1]?.buffer === first.buffer) continue
    parts.push(first.buffer.subarray(first.at, last.at + last.length))
    from = i + 1
  }
  return parts
}

function batchesIn(records: readonly Pending[]): number {
  let batches = 0
  for (const { buffer, at } of records) batches += reservedRecord(buffer, at).batches
  return batches
}

/** Carries nothing but the number of the oldest segment that matters. */
function emptyRecord(): Uint8Array {
  const encoder = new BatchEncoder()
  encoder.addBatch([], true)
  return encoder.take()
}

// SegmentAppender: the one place that writes to segment files. Records of all writers wait in one
// queue; each step takes up to a few MiB of it, writes that with one call at the end of the active
// file, and tells each record its place. Syncs run beside the writes: everyone who waits shares one
// per dirty file, and one starts by itself every few MiB, so that no flush is big.
//
// Faults: when the disk is full (or nearly, see reserveBytes) the records at hand fail and the file is
// cut back to where it was, so that it stays a sequence of whole records. A failed sync, or a failed
// write of another kind, stops the node.

import { assert, crc32c, Fault, isFault } from '../base/index.ts'
import type { DiskFile, Host } from '../host/index.ts'
import {
  decodeEvent,
  encodeFileHeader,
  encodeTrailer,
  EventList,
  fileHeaderBytes,
  type RecordKind,
  recordBytes,
  recordLength,
  writeRecordHeader,
} from './core/segment-format.ts'
import { stopNode } from './disk-errors.ts'
import { writeSegmentEnds } from './segment-ends.ts'
import type { SegmentEnd } from './core/segment-ends.ts'
import { type OpenFiles, type SegmentFile, segmentFilePath } from './segment-files.ts'

export type AppenderOptions = {
  readonly path: string
  readonly fileBytesMax: number
  readonly reserveBytes: number | undefined
}

/** A record that waits for its place. */
export type Item = {
  readonly kind: RecordKind
  readonly write: number
  readonly number: number
  /** A unit's bytes or a record's body; unchanged until placed or failed. */
  readonly payload: Uint8Array
  /** CRC32C of a unit's payload, where it is known already. */
  readonly sum?: number | undefined
  /** May use the space that is kept in reserve: deletes, and what frees space. */
  readonly mayUseReserve: boolean
  /** Before it is written: a record whose write has failed already is left out. */
  fault(): Fault | undefined
  placed(file: SegmentFile, at: number): void
  failed(fault: Fault): void
}

const stepBytesMax = 4 * 1024 * 1024
const stepItemsMax = 400
/** Smaller payloads are copied beside their headers, so that they cost no part of their own. */
const copiedBytesMax = 16 * 1024
const syncEveryBytes = 8 * 1024 * 1024
const queueBytesMax = 256 * 1024 * 1024
const spaceCheckBytes = 16 * 1024 * 1024
const spaceCheckMs = 1000
const markAfterMs = 200

type Waiter = { readonly resolve: () => void }

export class SegmentAppender {
  readonly #host: Host
  readonly #options: AppenderOptions
  readonly #files: Map<number, SegmentFile>
  readonly #open: OpenFiles
  #active: SegmentFile | undefined
  #nextNumber: number
  /** Files that may still grow, need a sync, or wait for their footer. */
  readonly #unfinished = new Set<SegmentFile>()
  #queue: Item[] = []
  #queueBytes = 0
  #running: Promise<void> | undefined
  #syncWaiters: Waiter[] = []
  #syncing: Promise<void> | undefined
  #bytesSinceSync = 0
  #bytesSinceCheck = Number.POSITIVE_INFINITY
  #checkedMs = 0
  #isLow = false
  #isDead = false
  #isClosing = false
  #isMarkDue = false

  constructor(
    host: Host,
    options: AppenderOptions,
    state: {
      readonly files: Map<number, SegmentFile>
      readonly open: OpenFiles
      readonly active: SegmentFile | undefined
      readonly lastNumber: number
    },
  ) {
    this.#host = host
    this.#options = options
    this.#files = state.files
    this.#open = state.open
    this.#active = state.active
    this.#nextNumber = state.lastNumber + 1
    for (const file of state.files.values()) if (!file.isClosed) this.#unfinished.add(file)
  }

  get active(): SegmentFile | undefined {
    return this.#active
  }

  /** Queues a record; it is placed or fails in order. */
  add(item: Item): void {
    assert(!this.#isClosing, 'closed segments are not used')
    if (this.#queueBytes > queueBytesMax) {
      item.failed(new Fault('overloaded', 'too many bytes wait for the segment files'))
      return
    }
    this.#queue.push(item)
    this.#queueBytes += item.payload.length
    this.#kick()
  }

  /** Settles once everything placed before the call is durable. */
  sync(): Promise<void> {
    if (!this.#isDirty() && this.#syncing === undefined) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#syncWaiters.push({ resolve })
    this.#startSync()
    return promise
  }

  /** Settles once the queue is empty. */
  async drain(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  /** The active file takes no more records and gets its footer; the next record opens a new file. */
  async retireActive(): Promise<void> {
    await this.drain()
    this.#active = undefined
    await this.sync()
  }

  async close(): Promise<void> {
    await this.drain()
    await this.sync()
    while (this.#running !== undefined || this.#syncing !== undefined) {
      await this.#running
      await this.#syncing
    }
    this.#isClosing = true
    try {
      await this.#proveEnds()
    } catch (error) {
      await this.#die(error)
    }
  }

  #kick(): void {
    if (this.#running !== undefined || this.#isDead) return
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      if (this.#queue.length > 0) this.#kick()
    })
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    await null
    try {
      while (this.#queue.length > 0) await this.#step()
    } catch (error) {
      await this.#die(error)
    }
  }

  async #die(error: unknown): Promise<never> {
    this.#isDead = true
    stopNode(this.#host, 'storage.segments_failed', error)
    return new Promise<never>(() => {})
  }

  async #step(): Promise<void> {
    const isLow = await this.#checkSpace()
    let file: SegmentFile
    try {
      file = await this.#activeFile()
    } catch (error) {
      if (!isFault(error, 'no-space')) throw error
      this.#fail(this.#queue.splice(0), error)
      return
    }
    const items = this.#take(file, isLow)
    if (items.length === 0) return
    const layout = layOut(file, items)
    const opened = await this.#open.get(file)
    try {
      await opened.write(file.end, layout.parts)
    } catch (error) {
      if (!isFault(error, 'no-space')) throw error
      await opened.truncate(file.end)
      this.#bytesSinceCheck = Number.POSITIVE_INFINITY
      this.#fail(items, error)
      return
    }
    const start = file.end
    file.end += layout.length
    this.#bytesSinceSync += layout.length
    this.#bytesSinceCheck += layout.length
    for (const [i, item] of items.entries()) {
      const at = start + (layout.places[i] as number)
      noteEvent(file, item, at)
      item.placed(file, at)
    }
    if (this.#bytesSinceSync >= syncEveryBytes) this.#startSync()
  }

  /** Records for one step, those that cannot be written left out and failed. */
  #take(file: SegmentFile, isLow: boolean): readonly Item[] {
    const items: Item[] = []
    let bytes = 0
    let taken = 0
    for (const item of this.#queue) {
      if (items.length >= stepItemsMax || bytes >= stepBytesMax) break
      if (items.length > 0 && file.end + bytes >= this.#options.fileBytesMax) break
      taken++
      this.#queueBytes -= item.payload.length
      const fault = item.fault() ?? (isLow && !item.mayUseReserve ? noSpace() : undefined)
      if (fault !== undefined) {
        item.failed(fault)
        continue
      }
      items.push(item)
      bytes += recordLength(item.payload.length)
    }
    this.#queue.splice(0, taken)
    return items
  }

  #fail(items: readonly Item[], fault: Fault): void {
    if (this.#queue.length === 0) this.#queueBytes = 0
    for (const item of items) item.failed(fault)
  }

  async #checkSpace(): Promise<boolean> {
    const nowMs = this.#host.clock.monotonicMs()
    const isFresh =
      this.#bytesSinceCheck < spaceCheckBytes && nowMs - this.#checkedMs < spaceCheckMs
    if (isFresh && !this.#isLow) return false
    const { freeBytes, totalBytes } = await this.#host.disk.space()
    const reserve = this.#options.reserveBytes ?? Math.min(totalBytes / 100, 256 * 1024 * 1024)
    this.#isLow = freeBytes < reserve
    this.#bytesSinceCheck = 0
    this.#checkedMs = nowMs
    return this.#isLow
  }

  // ---- files ----

  async #activeFile(): Promise<SegmentFile> {
    const active = this.#active
    if (active !== undefined && active.end < this.#options.fileBytesMax) return active
    this.#active = undefined
    this.#active = await this.#makeFile()
    return this.#active
  }

  async #makeFile(): Promise<SegmentFile> {
    const number = this.#nextNumber++
    const path = segmentFilePath(this.#options.path, number)
    const salt = this.#host.random.bytes(8)
    const opened = await this.#host.disk.open(path, { create: true })
    try {
      await opened.write(0, [encodeFileHeader({ salt, number })])
      await opened.sync()
      await this.#host.disk.syncDirectory(this.#options.path)
    } catch (error) {
      await opened.close()
      await this.#host.disk.remove(path)
      throw error
    }
    const file: SegmentFile = {
      number,
      path,
      salt,
      end: fileHeaderBytes,
      durable: fileHeaderBytes,
      live: 0,
      pins: 0,
      isClosed: false,
      hasFooter: false,
      doomed: undefined,
      isDamaged: false,
      events: new EventList(),
    }
    this.#files.set(number, file)
    this.#unfinished.add(file)
    this.#open.adopt(file, opened)
    return file
  }

  // ---- syncs ----

  #isDirty(): boolean {
    for (const file of this.#unfinished) {
      if (file.durable < file.end || file !== this.#active) return true
    }
    return false
  }

  #startSync(): void {
    if (this.#syncing !== undefined || this.#isDead) return
    this.#syncing = this.#runSyncs().finally(() => {
      this.#syncing = undefined
      if (this.#syncWaiters.length > 0) this.#startSync()
    })
  }

  async #runSyncs(): Promise<void> {
    try {
      const waiters = this.#syncWaiters
      this.#syncWaiters = []
      this.#bytesSinceSync = 0
      for (const file of [...this.#unfinished]) {
        if (file.durable < file.end) await this.#syncFile(file)
      }
      for (const { resolve } of waiters) resolve()
      for (const file of [...this.#unfinished]) {
        if (file !== this.#active && !file.isClosed && file.durable === file.end)
          await this.#endFile(file)
      }
      this.#markSoon()
    } catch (error) {
      await this.#die(error)
    }
  }

  async #syncFile(file: SegmentFile): Promise<void> {
    const end = file.end
    await (await this.#open.get(file)).sync()
    file.durable = Math.max(file.durable, end)
  }

  /** A mark may have come after the last sync, so that each file is synced once more. */
  async #proveEnds(): Promise<void> {
    const ends: SegmentEnd[] = []
    for (const file of this.#files.values()) {
      if (file.doomed !== undefined || file.hasFooter) continue
      await (await this.#open.get(file)).sync()
      ends.push({ number: file.number, salt: file.salt, durable: file.end })
    }
    if (ends.length > 0) await writeSegmentEnds(this.#host, this.#options.path, ends)
  }

  /** Writes the footer of a file that takes no more records. Without space it goes without one. */
  async #endFile(file: SegmentFile): Promise<void> {
    const events = file.events
    assert(events !== undefined, 'an open file has its events')
    file.isClosed = true
    file.events = undefined
    this.#unfinished.delete(file)
    const opened = await this.#open.get(file)
    try {
      await writeFooter(opened, file, events)
      file.hasFooter = true
    } catch (error) {
      if (!isFault(error, 'no-space')) throw error
      await opened.truncate(file.end)
    }
  }

  /**
   * Once nothing is written for a while, a mark records how far the file is synced. Without it: 1. the
   * last seal before a pause was acknowledged; 2. one of its units is damaged on disk; 3. at the next
   * start nothing proves that the unit was ever durable, and it would pass for a torn tail.
   */
  #markSoon(): void {
    if (this.#isMarkDue || this.#isClosing) return
    this.#isMarkDue = true
    this.#host.clock.after(markAfterMs, () => {
      this.#isMarkDue = false
      if (this.#isClosing || this.#isDead || this.#queue.length > 0) return
      const active = this.#active
      if (active === undefined || active.durable < active.end || active.isClosed) return
      this.add(mark)
    })
  }
}

const mark: Item = {
  kind: 'mark',
  write: 0,
  number: 0,
  payload: new Uint8Array(0),
  mayUseReserve: true,
  fault: () => undefined,
  placed(file) {
    // A mark is worth nothing itself, so that it needs no sync and no further mark.
    if (file.durable === file.end - recordLength(0)) file.durable = file.end
  },
  failed() {},
}

type Layout = {
  readonly parts: readonly Uint8Array[]
  readonly places: readonly number[]
  readonly length: number
}

/** For the file's footer. */
function noteEvent(file: SegmentFile, item: Item, at: number): void {
  const { kind, write, number, payload } = item
  const length = payload.length
  if (kind === 'unit') file.events?.addUnit(at, { write, number, length })
  else {
    const header = { kind, write, number, length, unitChecksum: 0, durable: 0 }
    const event = decodeEvent(header, at, payload)
    if (event !== undefined) file.events?.add(event)
  }
}

/** Headers and small payloads in one buffer, large payloads as they are. */
function layOut(file: SegmentFile, items: readonly Item[]): Layout {
  let own = 0
  for (const { payload } of items) {
    own += payload.length <= copiedBytesMax ? recordLength(payload.length) : recordBytes + 7
  }
  const buffer = new Uint8Array(own)
  const parts: Uint8Array[] = []
  const places: number[] = []
  let filled = 0
  let partFrom = 0
  let length = 0
  for (const { kind, write, number, payload, sum } of items) {
    places.push(length)
    const at = filled
    filled += recordBytes
    const isCopied = payload.length <= copiedBytesMax
    if (isCopied) buffer.set(payload, filled)
    const unitChecksum = kind === 'unit' ? (sum ?? crc32c(payload)) : 0
    writeRecordHeader(buffer, at, {
      salt: file.salt,
      header: { kind, write, number, length: payload.length, unitChecksum, durable: file.durable },
    })
    if (isCopied) filled += payload.length
    else {
      parts.push(buffer.subarray(partFrom, filled), payload)
      partFrom = filled
    }
    const whole = recordLength(payload.length)
    filled += whole - recordBytes - payload.length
    length += whole
  }
  if (filled > partFrom) parts.push(buffer.subarray(partFrom, filled))
  return { parts, places, length }
}

async function writeFooter(opened: DiskFile, file: SegmentFile, events: EventList): Promise<void> {
  const body = events.finish()
  const record = new Uint8Array(recordLength(body.length))
  record.set(body, recordBytes)
  writeRecordHeader(record, 0, {
    salt: file.salt,
    header: {
      kind: 'footer',
      write: 0,
      number: 0,
      length: body.length,
      unitChecksum: 0,
      durable: file.durable,
    },
  })
  await opened.write(file.end, [record, encodeTrailer(file.end, body.length)])
  await opened.sync()
}

function noSpace(): Fault {
  return new Fault('no-space', 'the disk has only its reserve left', {
    next: 'free space on the disk of this node, or add a node',
  })
}

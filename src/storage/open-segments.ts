// Opens segments: rebuilds the index from what the files tell, and answers the contract by the parts:
// SegmentAppender writes, SegmentReader reads, ObjectIndex knows, compaction cleans.
//
// Order of effects: a seal, delete or touch takes its sequence number when it is queued, is queued in
// that order, and enters the index once durable. putUnsynced() enters it at once and is read from memory
// until its bytes are in the file.

import { assert, type Fault, toFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { ObjectIndex, unplacedEntry } from './core/object-index.ts'
import { keyBytes, keyText } from './core/key-text.ts'
import { stopNode } from './disk-errors.ts'
import { addControl, ObjectWrite, objectMissing, type WriteContext } from './object-write.ts'
import { SegmentAppender } from './segment-appender.ts'
import { compactFiles, removeFile } from './segment-compaction.ts'
import { OpenFiles, type SegmentFile } from './segment-files.ts'
import { type SegmentEntry, SegmentReader } from './segment-reader.ts'
import { recoverSegments } from './segment-recovery.ts'
import { cutUnproven, type Highest, replay } from './segment-replay.ts'
import type {
  SegmentObject,
  Segments,
  SegmentsOptions,
  SegmentStatistics,
  SegmentWrite,
  StoredUnit,
} from './segments.ts'

const unitBytesMax = 256 * 1024
const unitBytesDefault = 64 * 1024
const fileBytesDefault = 64 * 1024 * 1024
const keyBytesMax = 64
const garbageRatioDefault = 0.3

/** Opens the segment files below `options.path` and rebuilds the index. */
export async function openSegments(host: Host, options: SegmentsOptions): Promise<Segments> {
  const unitBytes = options.unitBytes ?? unitBytesDefault
  const fileBytesMax = options.fileBytesMax ?? fileBytesDefault
  const open = new OpenFiles(host)
  const { files: all, lastNumber } = await recoverSegments(host, options.path, open)
  const found = await cutUnproven(all, open)
  const files = new Map(found.map(({ file }) => [file.number, file]))
  const index = new ObjectIndex<SegmentFile>(files)
  const highest = replay(index, found)
  const last = found.at(-1)
  const canGrow = last !== undefined && !last.isShort && !last.file.isClosed
  const active = canGrow && last.file.end < fileBytesMax / 2 ? last.file : undefined
  const { path, reserveBytes } = options
  const appender = new SegmentAppender(
    host,
    { path, fileBytesMax, reserveBytes },
    { files, open, active, lastNumber },
  )
  await appender.sync()
  return new PackedSegments({ host, files, open, index, appender, unitBytes, highest })
}

type Parts = {
  readonly host: Host
  readonly files: Map<number, SegmentFile>
  readonly open: OpenFiles
  readonly index: ObjectIndex<SegmentFile>
  readonly appender: SegmentAppender
  readonly unitBytes: number
  readonly highest: Highest
}

class PackedSegments implements Segments {
  readonly #parts: Parts
  readonly #context: WriteContext
  readonly #reader: SegmentReader
  #compacting: Promise<number> | undefined
  readonly #removals = new Set<Promise<void>>()

  constructor(parts: Parts) {
    this.#parts = parts
    const { appender, index, highest } = parts
    const unpinned = (file: SegmentFile): void => this.#removeDoomed(file)
    this.#context = {
      appender,
      index,
      nextWrite: () => ++highest.write,
      nextSequence: () => ++highest.sequence,
      unpinned,
    }
    this.#reader = new SegmentReader(parts.files, parts.open, unpinned)
  }

  write(
    key: Uint8Array,
    options: { readonly stamp?: number; readonly unitBytes?: number } = {},
  ): SegmentWrite {
    const write = this.#startWrite(options.unitBytes)
    const own = checkedKey(key).slice()
    return {
      append: (slice, sum) => write.append(slice, sum),
      seal: () => this.#seal(own, write, options.stamp ?? 0),
      abort: async () => write.abort(),
    }
  }

  async put(
    key: Uint8Array,
    bytes: Uint8Array,
    options: { readonly stamp?: number } = {},
  ): Promise<void> {
    const write = this.#startWrite()
    const own = checkedKey(key).slice()
    const appended = write.append(bytes)
    const sealed = this.#seal(own, write, options.stamp ?? 0)
    await Promise.all([appended, sealed])
  }

  async putUnsynced(key: Uint8Array, bytes: Uint8Array): Promise<void> {
    const own = checkedKey(key).slice()
    const text = keyText(own)
    const { index } = this.#parts
    const sequence = this.#context.nextSequence()
    const pending = bytes.slice()
    const entry: SegmentEntry = {
      ...unplacedEntry(sequence, 0),
      bytes: pending.length,
      unitBytes: this.#parts.unitBytes,
      pending,
    }
    const before = index.get(text)
    index.seal(text, entry)
    const write = this.#startWrite()
    try {
      const appended = write.append(pending)
      const sealed = write.seal({ key: own, sequence, stamp: 0, stampSequence: sequence })
      const [placement] = await Promise.all([sealed, appended])
      if (index.get(text) === entry) index.place(entry, placement)
    } catch (error) {
      index.revoke(text, entry, before !== undefined && this.#isOnDisk(before) ? before : undefined)
      throw error
    } finally {
      write.unpin()
    }
  }

  sync(): Promise<void> {
    return this.#parts.appender.drain().then(() => this.#parts.appender.sync())
  }

  async read(
    key: Uint8Array,
    range?: { readonly at: number; readonly count: number },
  ): Promise<Uint8Array> {
    return this.#reader.read(this.#entry(key), range)
  }

  stream(
    key: Uint8Array,
    range?: { readonly at: number; readonly count: number },
  ): AsyncIterable<Uint8Array> {
    const iterate = (): AsyncIterator<Uint8Array> =>
      this.#reader.stream(this.#entry(key), range)[Symbol.asyncIterator]()
    return { [Symbol.asyncIterator]: iterate }
  }

  units(
    key: Uint8Array,
    range: { readonly first: number; readonly last: number },
  ): AsyncIterable<StoredUnit> {
    const iterate = (): AsyncIterator<StoredUnit> =>
      this.#reader.units(this.#entry(key), range)[Symbol.asyncIterator]()
    return { [Symbol.asyncIterator]: iterate }
  }

  recycle(unit: StoredUnit): void {
    this.#reader.recycle(unit)
  }

  find(key: Uint8Array): SegmentObject | undefined {
    const entry = this.#parts.index.get(keyText(key))
    return entry === undefined ? undefined : { key, bytes: entry.bytes, stamp: entry.stamp }
  }

  async touch(keys: readonly Uint8Array[], stamp: number): Promise<void> {
    const { index, appender } = this.#parts
    for (const key of keys) this.#entry(key)
    await this.#control(
      keys.map(async (key) => {
        const own = key.slice()
        const sequence = this.#context.nextSequence()
        const placed = await addControl(appender, { kind: 'touch', key: own, sequence, stamp })
        return { ...placed, apply: () => index.touch(keyText(own), { ...placed, sequence, stamp }) }
      }),
    )
  }

  async delete(keys: readonly Uint8Array[]): Promise<void> {
    const { index, appender } = this.#parts
    const present = keys.filter((key) => index.get(keyText(key)) !== undefined)
    await this.#control(
      present.map(async (key) => {
        const own = key.slice()
        const sequence = this.#context.nextSequence()
        const placed = await addControl(appender, { kind: 'delete', key: own, sequence })
        return { ...placed, apply: () => index.delete(keyText(own), { ...placed, sequence }) }
      }),
    )
  }

  list(after: Uint8Array | undefined, limit: number): readonly SegmentObject[] {
    const objects: SegmentObject[] = []
    if (limit <= 0) return objects
    this.#parts.index.scan(after === undefined ? undefined : keyText(after), (key, entry) => {
      objects.push({ key: keyBytes(key), bytes: entry.bytes, stamp: entry.stamp })
      return objects.length < limit
    })
    return objects
  }

  async verify(key: Uint8Array): Promise<'intact' | 'damaged' | 'missing'> {
    const entry = this.#parts.index.get(keyText(key))
    if (entry === undefined) return 'missing'
    if (await this.#reader.isIntact(entry)) return 'intact'
    return this.#parts.index.get(keyText(key)) === entry ? 'damaged' : 'missing'
  }

  compact(options: { readonly garbageRatio?: number } = {}): Promise<number> {
    const { host, files, open } = this.#parts
    const context = { ...this.#context, host, files, open, reader: this.#reader }
    const run = (): Promise<number> =>
      compactFiles(context, options.garbageRatio ?? garbageRatioDefault)
    const mine = (this.#compacting ?? Promise.resolve(0)).then(run, run)
    this.#compacting = mine
    return mine.then(async (freed) => {
      await Promise.all(this.#removals)
      return freed
    })
  }

  statistics(): SegmentStatistics {
    const { files, index } = this.#parts
    let garbageBytes = 0
    for (const file of files.values()) garbageBytes += file.end - file.live
    return { files: files.size, liveBytes: index.liveBytes, garbageBytes, objects: index.size }
  }

  async close(): Promise<void> {
    await this.#compacting?.catch(() => undefined)
    await Promise.all(this.#removals)
    await this.#parts.appender.close()
    await this.#parts.open.closeAll()
  }

  #startWrite(unitBytes = this.#parts.unitBytes): ObjectWrite {
    assert(unitBytes > 0 && unitBytes <= unitBytesMax, 'a unit is of a supported length')
    return new ObjectWrite(this.#context, { unitBytes })
  }

  async #seal(key: Uint8Array, write: ObjectWrite, stamp: number): Promise<void> {
    const sequence = this.#context.nextSequence()
    try {
      const placement = await write.seal({ key, sequence, stamp, stampSequence: sequence })
      await this.#parts.appender.sync()
      this.#parts.index.seal(keyText(key), {
        ...unplacedEntry(sequence, stamp),
        ...placement,
        bytes: write.bytes,
        unitBytes: write.unitBytes,
      })
    } finally {
      write.unpin()
    }
  }

  /** Waits until all are written, then durable, then applies them in order. */
  async #control(
    placing: readonly Promise<{ readonly file: SegmentFile; readonly apply: () => void }>[],
  ): Promise<void> {
    const results = await Promise.allSettled(placing)
    await this.#parts.appender.sync()
    let fault: Fault | undefined
    for (const result of results) {
      if (result.status === 'rejected') {
        fault ??= toFault(result.reason)
        continue
      }
      result.value.apply()
      result.value.file.pins--
      this.#removeDoomed(result.value.file)
    }
    if (fault !== undefined) throw fault
  }

  #entry(key: Uint8Array): SegmentEntry {
    const entry = this.#parts.index.get(keyText(key))
    if (entry === undefined) throw objectMissing()
    return entry
  }

  #isOnDisk(entry: SegmentEntry): boolean {
    const { files } = this.#parts
    for (let i = 0; i < entry.extents.length; i += 3) {
      if (!files.has(entry.extents[i] as number)) return false
    }
    return entry.sealIn !== undefined && files.has(entry.sealIn.number)
  }

  #removeDoomed(file: SegmentFile): void {
    if (file.doomed === undefined || file.pins > 0) return
    const removal = removeFile(this.#parts, file).catch((error: unknown) => {
      stopNode(this.#parts.host, 'storage.segment_not_removed', error)
    })
    this.#removals.add(removal)
    void removal.then(() => this.#removals.delete(removal))
  }
}

function checkedKey(key: Uint8Array): Uint8Array {
  assert(key.length > 0 && key.length <= keyBytesMax, `a key has 1 to ${keyBytesMax} bytes`)
  return key
}

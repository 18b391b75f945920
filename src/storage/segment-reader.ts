// Reads objects: loads runs of neighbouring units with one call, each unit into pooled memory of its own,
// so that reading leaves nothing for the collector (fresh half megabytes per read cost a third of the CPU
// of a GET). units() gives what lies on disk with the checksum it was stored under, for callers that check
// where the bytes are used; everything else checks here. The files of an object are pinned while it is
// read, so that compaction may move the object meanwhile.

import { BufferPool, crc32c, Fault, isFault } from '../base/index.ts'
import type { DiskFile } from '../host/index.ts'
import type { Entry } from './core/object-index.ts'
import { readRecordHeader, recordBytes, recordLength } from './core/segment-format.ts'
import type { OpenFiles, SegmentFile } from './segment-files.ts'
import { type StoredUnit, unitHeadRoomBytes } from './segments.ts'

const loadBytesMax = 1024 * 1024
const keptBytesMax = 8 * 1024 * 1024

export type ByteRange = { readonly at: number; readonly count: number }
export type UnitRange = { readonly first: number; readonly last: number }
export type SegmentEntry = Entry<SegmentFile>

/** Neighbouring units in one file, loaded with one call. */
type Load = {
  readonly file: SegmentFile
  readonly at: number
  /** Number of the first unit. */
  readonly number: number
  readonly units: number
}

/** Records as they lie in the file: their headers, one after the other, and what follows each. */
type Loaded = {
  readonly headers: Uint8Array
  readonly payloads: readonly Uint8Array[]
}

export class SegmentReader {
  readonly #files: ReadonlyMap<number, SegmentFile>
  readonly #open: OpenFiles
  readonly #onUnpinned: (file: SegmentFile) => void
  readonly #pool = new BufferPool(keptBytesMax)

  constructor(
    files: ReadonlyMap<number, SegmentFile>,
    open: OpenFiles,
    onUnpinned: (file: SegmentFile) => void,
  ) {
    this.#files = files
    this.#open = open
    this.#onUnpinned = onUnpinned
  }

  /**
   * Units [first, last], not checked against their sums; the next load is under way while a unit is used.
   * Fault 'corrupt' where a record is not the one that should be there, 'invalid' for units beyond the object.
   */
  async *units(entry: SegmentEntry, range: UnitRange): AsyncGenerator<StoredUnit, void, void> {
    if (range.first < 0 || range.last >= unitCount(entry) || range.first > range.last) {
      throw new Fault('invalid', `the object has ${unitCount(entry)} units, not ${range.last + 1}`)
    }
    if (entry.pending !== undefined) {
      yield* pendingUnits(entry, entry.pending, range)
      return
    }
    const { write, unitBytes, bytes } = entry
    const object = { write, unitBytes, bytes }
    const loads = this.#plan(entry, range)
    const files = new Set(loads.map(({ file }) => file))
    for (const file of files) file.pins++
    let next: Promise<Loaded> | undefined
    try {
      next = this.#load(object, loads[0] as Load)
      for (const [i, load] of loads.entries()) {
        const loaded = await next
        const following = loads[i + 1]
        next = following === undefined ? undefined : this.#load(object, following)
        if (loaded === undefined) return
        for (let unit = 0; unit < load.units; unit++) yield unitOf(object, load, { loaded, unit })
      }
    } finally {
      await next?.catch(() => undefined)
      for (const file of files) {
        file.pins--
        this.#onUnpinned(file)
      }
    }
  }

  /** Nobody looks at the unit any more: its memory serves another read. */
  recycle({ bytes }: StoredUnit): void {
    this.#pool.give(bytes)
  }

  /** All units, each checked, and valid until the next is asked for. */
  async *checkedUnits(
    entry: SegmentEntry,
    range: UnitRange = { first: 0, last: unitCount(entry) - 1 },
  ): AsyncGenerator<StoredUnit, void, void> {
    if (range.first > range.last) return
    let number = range.first
    for await (const unit of this.units(entry, range)) {
      if (crc32c(unit.bytes) !== unit.sum) {
        throw damaged(`unit ${number} of an object fails its checksum`)
      }
      yield unit
      this.recycle(unit)
      number++
    }
  }

  /**
   * The range in slices, one per unit, each valid until the next is asked for. Fault 'corrupt' for a
   * damaged unit, 'invalid' for a range beyond the object.
   */
  async *stream(entry: SegmentEntry, range: ByteRange | undefined): AsyncGenerator<Uint8Array> {
    const { at, count } = checkedRange(entry, range)
    if (count === 0) return
    const { unitBytes } = entry
    const first = Math.floor(at / unitBytes)
    let start = first * unitBytes
    const last = Math.floor((at + count - 1) / unitBytes)
    for await (const { bytes } of this.checkedUnits(entry, { first, last })) {
      yield bytes.subarray(Math.max(0, at - start), Math.min(bytes.length, at + count - start))
      start += unitBytes
    }
  }

  async read(entry: SegmentEntry, range: ByteRange | undefined): Promise<Uint8Array> {
    const { count } = checkedRange(entry, range)
    const whole = new Uint8Array(count)
    let filled = 0
    for await (const slice of this.stream(entry, range)) {
      whole.set(slice, filled)
      filled += slice.length
    }
    return whole
  }

  /** Reads every unit; false when one is damaged or gone. */
  async isIntact(entry: SegmentEntry): Promise<boolean> {
    try {
      for await (const unit of this.checkedUnits(entry)) void unit
      return true
    } catch (error) {
      if (isFault(error, 'corrupt')) return false
      throw error
    }
  }

  #plan(entry: SegmentEntry, { first, last }: UnitRange): readonly Load[] {
    const { unitBytes, extents } = entry
    const whole = recordLength(unitBytes)
    const perLoad = Math.max(1, Math.floor(loadBytesMax / whole))
    const loads: Load[] = []
    let number = 0
    for (let i = 0; i < extents.length; i += 3) {
      const file = this.#files.get(extents[i] as number)
      const offset = extents[i + 1] as number
      const units = extents[i + 2] as number
      const end = Math.min(number + units, last + 1)
      for (let from = Math.max(number, first); from < end; ) {
        const taken = Math.min(perLoad, end - from)
        if (file === undefined) throw damaged(`segment file ${extents[i]} is gone`)
        loads.push({ file, at: offset + (from - number) * whole, number: from, units: taken })
        from += taken
      }
      number += units
    }
    if (number <= last) throw damaged('units of the object are damaged or gone')
    return loads
  }

  async #load(object: ObjectShape, load: Load): Promise<Loaded> {
    const file: DiskFile = await this.#open.get(load.file)
    const { unitBytes } = object
    const padding = recordLength(unitBytes) - recordBytes - unitBytes
    const headers = new Uint8Array(load.units * recordBytes)
    const payloads: Uint8Array[] = []
    const parts: Uint8Array[] = []
    for (let unit = 0; unit < load.units; unit++) {
      const length = unitLength(object, load.number + unit)
      const taken = unit === load.units - 1 ? length : length + padding
      const memory = this.#pool.take(unitHeadRoomBytes + taken)
      parts.push(headers.subarray(unit * recordBytes, (unit + 1) * recordBytes))
      parts.push(memory.subarray(unitHeadRoomBytes, unitHeadRoomBytes + taken))
      payloads.push(memory.subarray(unitHeadRoomBytes, unitHeadRoomBytes + length))
    }
    await file.readInto(load.at, parts)
    return { headers, payloads }
  }
}

type ObjectShape = {
  readonly write: number
  readonly unitBytes: number
  readonly bytes: number
}

function unitCount({ bytes, unitBytes }: { readonly bytes: number; readonly unitBytes: number }) {
  return Math.ceil(bytes / unitBytes)
}

function unitLength({ bytes, unitBytes }: ObjectShape, number: number): number {
  return Math.min(unitBytes, bytes - number * unitBytes)
}

/** The range asked for, the whole object when none is. Fault 'invalid' beyond its end. */
function checkedRange(entry: SegmentEntry, range: ByteRange | undefined): ByteRange {
  if (range === undefined) return { at: 0, count: entry.bytes }
  if (range.at < 0 || range.count < 0 || range.at + range.count > entry.bytes) {
    throw new Fault('invalid', `the object has ${entry.bytes} bytes, not ${range.at + range.count}`)
  }
  return range
}

/** Bytes that are not in a file yet. */
function* pendingUnits(
  entry: SegmentEntry,
  pending: Uint8Array,
  { first, last }: UnitRange,
): Generator<StoredUnit, void, void> {
  const { unitBytes } = entry
  for (let number = first; number <= last; number++) {
    const bytes = pending.slice(number * unitBytes, (number + 1) * unitBytes)
    yield { bytes, sum: crc32c(bytes) }
  }
}

function unitOf(
  object: ObjectShape,
  load: Load,
  { loaded, unit }: { readonly loaded: Loaded; readonly unit: number },
): StoredUnit {
  const at = unit * recordBytes
  const number = load.number + unit
  const bytes = loaded.payloads[unit] as Uint8Array
  const header = readRecordHeader(loaded.headers, at, { salt: load.file.salt })
  const isExpected =
    header?.kind === 'unit' &&
    header.write === object.write &&
    header.number === number &&
    header.length === bytes.length
  if (isExpected) return { bytes, sum: header.unitChecksum }
  const offset = load.at + unit * recordLength(object.unitBytes)
  throw damaged(`${load.file.path} is damaged at offset ${offset}`)
}

function damaged(what: string): Fault {
  return new Fault('corrupt', what, {
    next: 'read the object from another node and repair this copy',
  })
}

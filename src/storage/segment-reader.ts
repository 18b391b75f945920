// Reads objects: loads runs of neighbouring units with one call, and checks every unit before any of
// its bytes are given. The files of an object are pinned while it is read, so that compaction may move
// the object meanwhile.

import { crc32c, Fault, isFault } from '../base/index.ts'
import type { DiskFile } from '../host/index.ts'
import type { Entry } from './core/object-index.ts'
import { readRecordHeader, recordBytes, recordLength } from './core/segment-format.ts'
import type { OpenFiles, SegmentFile } from './segment-files.ts'

const loadBytesMax = 1024 * 1024

export type ByteRange = { readonly at: number; readonly count: number }
export type SegmentEntry = Entry<SegmentFile>

/** Neighbouring units in one file, loaded with one call. */
type Load = {
  readonly file: SegmentFile
  readonly at: number
  /** Number of the first unit. */
  readonly number: number
  readonly units: number
  readonly length: number
}

export class SegmentReader {
  readonly #files: ReadonlyMap<number, SegmentFile>
  readonly #open: OpenFiles
  readonly #onUnpinned: (file: SegmentFile) => void

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
   * The range in slices, one per unit; the next load is under way while a slice is used. Fault
   * 'corrupt' for a damaged unit, 'invalid' for a range beyond the object.
   */
  async *stream(entry: SegmentEntry, range: ByteRange | undefined): AsyncGenerator<Uint8Array> {
    const { at, count } = checkedRange(entry, range)
    if (count === 0) return
    if (entry.pending !== undefined) {
      yield entry.pending.slice(at, at + count)
      return
    }
    const object = { write: entry.write, unitBytes: entry.unitBytes, bytes: entry.bytes }
    const loads = this.#plan(entry, { at, count })
    const files = new Set(loads.map(({ file }) => file))
    for (const file of files) file.pins++
    let next: Promise<Uint8Array> | undefined
    try {
      next = this.#load(loads[0])
      for (const [i, load] of loads.entries()) {
        const bytes = (await next) as Uint8Array
        next = loads[i + 1] === undefined ? undefined : this.#load(loads[i + 1])
        for (let unit = 0; unit < load.units; unit++) {
          const slice = unitOf(bytes, { load, unit, object })
          const start = (load.number + unit) * object.unitBytes
          yield slice.subarray(Math.max(0, at - start), Math.min(slice.length, at + count - start))
        }
      }
    } finally {
      await next?.catch(() => undefined)
      for (const file of files) {
        file.pins--
        this.#onUnpinned(file)
      }
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
      for await (const slice of this.stream(entry, undefined)) void slice
      return true
    } catch (error) {
      if (isFault(error, 'corrupt')) return false
      throw error
    }
  }

  #plan(entry: SegmentEntry, { at, count }: ByteRange): readonly Load[] {
    const { unitBytes, bytes, extents } = entry
    const first = Math.floor(at / unitBytes)
    const last = Math.floor((at + count - 1) / unitBytes)
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
        const lastBytes = Math.min(unitBytes, bytes - (from + taken - 1) * unitBytes)
        if (file === undefined) throw damaged(`segment file ${extents[i]} is gone`)
        loads.push({
          file,
          at: offset + (from - number) * whole,
          number: from,
          units: taken,
          length: (taken - 1) * whole + recordBytes + lastBytes,
        })
        from += taken
      }
      number += units
    }
    if (number <= last) throw damaged('units of the object are damaged or gone')
    return loads
  }

  async #load(load: Load | undefined): Promise<Uint8Array> {
    if (load === undefined) return new Uint8Array(0)
    const file: DiskFile = await this.#open.get(load.file)
    return file.read(load.at, load.length)
  }
}

/** The range asked for, the whole object when none is. Fault 'invalid' beyond its end. */
function checkedRange(entry: SegmentEntry, range: ByteRange | undefined): ByteRange {
  if (range === undefined) return { at: 0, count: entry.bytes }
  if (range.at < 0 || range.count < 0 || range.at + range.count > entry.bytes) {
    throw new Fault('invalid', `the object has ${entry.bytes} bytes, not ${range.at + range.count}`)
  }
  return range
}

function unitOf(
  bytes: Uint8Array,
  {
    load,
    unit,
    object,
  }: {
    readonly load: Load
    readonly unit: number
    readonly object: { readonly write: number; readonly unitBytes: number; readonly bytes: number }
  },
): Uint8Array {
  const at = unit * recordLength(object.unitBytes)
  const number = load.number + unit
  const length = Math.min(object.unitBytes, object.bytes - number * object.unitBytes)
  const header = readRecordHeader(bytes, at, { salt: load.file.salt })
  const isExpected =
    header?.kind === 'unit' &&
    header.write === object.write &&
    header.number === number &&
    header.length === length
  const payload = bytes.subarray(at + recordBytes, at + recordBytes + length)
  if (isExpected && crc32c(payload) === header.unitChecksum) return payload
  throw damaged(`${load.file.path} is damaged at offset ${load.at + at}`)
}

function damaged(what: string): Fault {
  return new Fault('corrupt', what, {
    next: 'read the object from another node and repair this copy',
  })
}

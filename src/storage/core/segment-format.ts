// Bytes of segment files. All numbers are little-endian; everything begins at a multiple of 8.
//
// A file begins with 64 bytes:
//    0 magic 'A' 'S' 'F' 1   4 u32 CRC32C of bytes 8 to 64   8 salt, 8 random bytes   16 u32 file number
// Records follow:
//    0 magic 'A' 'S', u8 kind, u8 version 1
//    4 u32 CRC32C of bytes 0 to 4 and 8 to 40, and of the body unless the record is a unit
//    8 salt of the file      16 u64 write id (unit, seal)   24 u32 unit number (unit), units (seal)
//   28 u32 length of body or unit   32 u32 CRC32C of the unit (else 0)
//   36 u32 durable: how many bytes of this file were synced when the record was written
//   40 body, then zeros up to a multiple of 8
// Bodies are base's wire primitives; see encodeBody(). A closed file ends with a footer record, whose
// body lists the file's events, and 16 bytes: magic 'A' 'S' 'X' 1, u32 CRC32C of the rest, u32 offset of
// the footer, u32 its length. The salt keeps a segment file stored as an object from being taken for
// records. `durable` tells which bytes a crash may have torn: those beyond the highest one found.

import { crc32c, equalBytes, Fault, Reader, Writer } from '../../base/index.ts'
import { alignRecord, getUint64, setUint64, viewOf } from './log-format.ts'

export const fileHeaderBytes = 64
export const recordBytes = 40
export const trailerBytes = 16
const fileMagic = 0x01465341
const trailerMagic = 0x01585341
const version = 1

export type RecordKind = 'unit' | 'seal' | 'delete' | 'touch' | 'mark' | 'footer'
const kinds: readonly (RecordKind | undefined)[] = [
  undefined,
  'unit',
  'seal',
  'delete',
  'touch',
  'mark',
  'footer',
]

export type RecordHeader = {
  readonly kind: RecordKind
  readonly write: number
  readonly number: number
  readonly length: number
  readonly unitChecksum: number
  readonly durable: number
}

/** What a file tells about objects, in order of its records. */
export type SegmentEvent =
  | {
      readonly kind: 'units'
      readonly at: number
      readonly write: number
      /** Number of the first one. */
      readonly number: number
      readonly count: number
      /** Of the last one; the others have unitBytes. */
      readonly length: number
    }
  | ({
      readonly kind: 'seal'
      readonly at: number
      readonly write: number
      readonly units: number
    } & SealBody)
  | ({ readonly kind: 'delete'; readonly at: number } & DeleteBody)
  | ({ readonly kind: 'touch'; readonly at: number } & TouchBody)

export type SealBody = {
  readonly key: Uint8Array
  readonly bytes: number
  readonly unitBytes: number
  /** Order among seals and deletes of a key; a copy made by compaction keeps it. */
  readonly sequence: number
  readonly stamp: number
  readonly stampSequence: number
}
export type DeleteBody = { readonly key: Uint8Array; readonly sequence: number }
export type TouchBody = {
  readonly key: Uint8Array
  readonly sequence: number
  readonly stamp: number
}

export function encodeFileHeader(header: {
  readonly salt: Uint8Array
  readonly number: number
}): Uint8Array {
  const bytes = new Uint8Array(fileHeaderBytes)
  const view = viewOf(bytes)
  view.setUint32(0, fileMagic, true)
  bytes.set(header.salt, 8)
  view.setUint32(16, header.number, true)
  view.setUint32(4, crc32c(bytes.subarray(8)), true)
  return bytes
}

/** The salt, undefined when the header is damaged. */
export function decodeFileHeader(bytes: Uint8Array, number: number): Uint8Array | undefined {
  if (bytes.length < fileHeaderBytes) return undefined
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== fileMagic || view.getUint32(16, true) !== number) return undefined
  if (view.getUint32(4, true) !== crc32c(bytes.subarray(8, fileHeaderBytes))) return undefined
  return bytes.slice(8, 16)
}

/** Writes a record's header at `at`; a body, if any, must be in place behind it already. */
export function writeRecordHeader(
  bytes: Uint8Array,
  at: number,
  { salt, header }: { readonly salt: Uint8Array; readonly header: RecordHeader },
): void {
  const view = viewOf(bytes)
  bytes[at] = 0x41
  bytes[at + 1] = 0x53
  bytes[at + 2] = kinds.indexOf(header.kind)
  bytes[at + 3] = version
  bytes.set(salt, at + 8)
  setUint64(view, at + 16, header.write)
  view.setUint32(at + 24, header.number, true)
  view.setUint32(at + 28, header.length, true)
  view.setUint32(at + 32, header.unitChecksum, true)
  view.setUint32(at + 36, header.durable, true)
  view.setUint32(at + 4, headerChecksum(bytes, at, checkedEnd(at, header)), true)
}

/**
 * The header at `at` when it is intact. A body that ends beyond `bytes` cannot be checked: then
 * `isCut` is called with the number of bytes that are needed from `at` on.
 */
export function readRecordHeader(
  bytes: Uint8Array,
  at: number,
  { salt, isCut }: { readonly salt: Uint8Array; readonly isCut?: (need: number) => void },
): RecordHeader | undefined {
  if (at + recordBytes > bytes.length) return undefined
  if (bytes[at] !== 0x41 || bytes[at + 1] !== 0x53 || bytes[at + 3] !== version) return undefined
  const kind = kinds[bytes[at + 2] as number]
  if (kind === undefined || !equalBytes(bytes.subarray(at + 8, at + 16), salt)) return undefined
  const view = viewOf(bytes)
  const header: RecordHeader = {
    kind,
    write: getUint64(view, at + 16),
    number: view.getUint32(at + 24, true),
    length: view.getUint32(at + 28, true),
    unitChecksum: view.getUint32(at + 32, true),
    durable: view.getUint32(at + 36, true),
  }
  const end = checkedEnd(at, header)
  if (end > bytes.length) {
    isCut?.(end - at)
    return undefined
  }
  return headerChecksum(bytes, at, end) === view.getUint32(at + 4, true) ? header : undefined
}

/** The salt that a record header claims; it counts only if the header is then intact. */
export function claimedSalt(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.slice(at + 8, at + 16)
}

/** Whole length of a record, padding included. */
export function recordLength(length: number): number {
  return alignRecord(recordBytes + length)
}

function checkedEnd(at: number, { kind, length }: RecordHeader): number {
  return kind === 'unit' ? at + recordBytes : at + recordBytes + length
}

function headerChecksum(bytes: Uint8Array, at: number, end: number): number {
  return crc32c(bytes.subarray(at + 8, end), crc32c(bytes.subarray(at, at + 4)))
}

// ---- bodies ----

export type Body =
  | ({ readonly kind: 'seal' } & SealBody)
  | ({ readonly kind: 'delete' } & DeleteBody)
  | ({ readonly kind: 'touch' } & TouchBody)

export function encodeBody(body: Body): Uint8Array {
  const writer = new Writer()
  writeBody(writer, body)
  return writer.finish()
}

function writeBody(writer: Writer, body: Body): void {
  writer.bytes(body.key)
  writer.varint(body.sequence)
  if (body.kind === 'seal') {
    writer.varint(body.bytes)
    writer.varint(body.unitBytes)
    writer.varint(body.stamp)
    writer.varint(body.stampSequence)
  } else if (body.kind === 'touch') writer.varint(body.stamp)
}

export function readSealBody(reader: Reader): SealBody {
  const key = reader.bytes()
  const sequence = reader.varint()
  const bytes = reader.varint()
  const unitBytes = reader.varint()
  const stamp = reader.varint()
  return { key, sequence, bytes, unitBytes, stamp, stampSequence: reader.varint() }
}

/** The event of a record that has a body; undefined for marks and footers. */
export function decodeEvent(
  header: RecordHeader,
  at: number,
  body: Uint8Array,
): SegmentEvent | undefined {
  const reader = new Reader(body, 0)
  if (header.kind === 'seal') {
    return { kind: 'seal', at, write: header.write, units: header.number, ...readSealBody(reader) }
  }
  if (header.kind !== 'delete' && header.kind !== 'touch') return undefined
  const key = reader.bytes()
  const sequence = reader.varint()
  if (header.kind === 'delete') return { kind: 'delete', at, key, sequence }
  return { kind: 'touch', at, key, sequence, stamp: reader.varint() }
}

// ---- footer ----

const eventCodes = { units: 1, seal: 2, delete: 3, touch: 4 } as const

/** Collects a file's events for its footer; neighbouring units of one write and length become one event. */
export class EventList {
  readonly #writer = new Writer()
  #units: { at: number; write: number; number: number; count: number; length: number } | undefined
  /** Length of the first unit of the open run: all but the last one have it. */
  #fullBytes = 0

  addUnit(
    at: number,
    unit: { readonly write: number; readonly number: number; readonly length: number },
  ): void {
    const open = this.#units
    if (
      open !== undefined &&
      open.write === unit.write &&
      open.number + open.count === unit.number &&
      open.length === this.#fullBytes &&
      open.at + open.count * recordLength(this.#fullBytes) === at
    ) {
      open.count++
      open.length = unit.length
      return
    }
    this.#endUnits()
    this.#units = { at, count: 1, ...unit }
    this.#fullBytes = unit.length
  }

  add(event: SegmentEvent): void {
    if (event.kind === 'units') {
      this.#endUnits()
      this.#units = { ...event }
      this.#fullBytes = event.count === 1 ? event.length : 0
      return
    }
    this.#endUnits()
    this.#writer.varint(eventCodes[event.kind])
    this.#writer.varint(event.at)
    if (event.kind === 'seal') {
      this.#writer.varint(event.write)
      this.#writer.varint(event.units)
    }
    writeBody(this.#writer, event)
  }

  finish(): Uint8Array {
    this.#endUnits()
    return this.#writer.finish()
  }

  #endUnits(): void {
    if (this.#units === undefined) return
    const { at, write, number, count, length } = this.#units
    for (const value of [eventCodes.units, at, write, number, count, length])
      this.#writer.varint(value)
    this.#units = undefined
  }
}

/** Fault 'corrupt' when malformed. */
export function decodeEvents(body: Uint8Array): readonly SegmentEvent[] {
  const reader = new Reader(body, 0)
  const events: SegmentEvent[] = []
  while (!reader.isAtEnd) {
    const code = reader.varint()
    const at = reader.varint()
    if (code === eventCodes.units) {
      const [write, number] = [reader.varint(), reader.varint()]
      events.push({
        kind: 'units',
        at,
        write,
        number,
        count: reader.varint(),
        length: reader.varint(),
      })
    } else if (code === eventCodes.seal) {
      const [write, units] = [reader.varint(), reader.varint()]
      events.push({ kind: 'seal', at, write, units, ...readSealBody(reader) })
    } else if (code === eventCodes.delete || code === eventCodes.touch) {
      const key = reader.bytes()
      const sequence = reader.varint()
      if (code === eventCodes.delete) events.push({ kind: 'delete', at, key, sequence })
      else events.push({ kind: 'touch', at, key, sequence, stamp: reader.varint() })
    } else {
      throw new Fault('corrupt', `a segment footer holds an unknown event ${code}`)
    }
  }
  return events
}

export function encodeTrailer(at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(trailerBytes)
  const view = viewOf(bytes)
  view.setUint32(0, trailerMagic, true)
  view.setUint32(8, at, true)
  view.setUint32(12, length, true)
  view.setUint32(4, crc32c(bytes.subarray(8)), true)
  return bytes
}

export function decodeTrailer(
  bytes: Uint8Array,
): { readonly at: number; readonly length: number } | undefined {
  const view = viewOf(bytes)
  if (bytes.length !== trailerBytes || view.getUint32(0, true) !== trailerMagic) return undefined
  if (view.getUint32(4, true) !== crc32c(bytes.subarray(8))) return undefined
  return { at: view.getUint32(8, true), length: view.getUint32(12, true) }
}

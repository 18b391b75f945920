// Bytes of the write-ahead log's files. All numbers are little-endian.
//
// A segment begins with its header twice, at 0 and at 512 (a sector each), then zeros up to 1024:
//    0 magic 'A' 'L' 'S' 1   4 u32 CRC32C of bytes 8 to 40   8 salt, 8 random bytes
//   16 u64 sequence          24 u64 number of its first record   32 zeros (8)
// Records follow, each at a multiple of 8:
//    0 magic 'A' 'L' 'R' 1   4 u32 CRC32C of everything from 8 to the end of the payload
//    8 salt of the segment   16 u64 number   24 u32 payload length
//   28 u32 unsynced: how many records directly before it were not yet durable when it was written
//   32 u32 oldest: its segment's sequence less that of the oldest segment that still matters
//   36 u32 batches: append() calls that it carries   40 payload, then zeros up to a multiple of 8
//
// The salt makes bytes of a recycled file, and forgeries inside of payloads, never count as records.
// `unsynced` tells a torn tail from damage: a record of number n proves that every record up to
// n - unsynced - 1 had been synced. Without it this would happen:
//   1. one write carries records 7 and 8; 2. power fails, the disk kept 8 and lost 7; 3. recovery sees
//   a bad 7 before a good 8, takes it for damage and refuses a log that lost nothing acknowledged.

import { assert, crc32c, equalBytes } from '../../base/index.ts'

export const segmentHeaderBytes = 1024
export const recordHeaderBytes = 40
const headerBytes = 40
const secondHeaderAt = 512
const segmentMagic = 0x01534c41
const recordMagic = 0x01524c41
const uint32Range = 0x1_0000_0000

export type SegmentHeader = {
  readonly salt: Uint8Array
  readonly sequence: number
  readonly firstRecord: number
}

export type LogRecord = {
  /** Offset of its header. */
  readonly at: number
  readonly number: number
  readonly unsynced: number
  readonly oldest: number
  readonly batches: number
  readonly payload: Uint8Array
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / uint32Range), true)
}

export function getUint64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * uint32Range
}

export function alignRecord(length: number): number {
  return Math.ceil(length / 8) * 8
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  assert(header.salt.length === 8, 'a salt has 8 bytes')
  const bytes = new Uint8Array(segmentHeaderBytes)
  const view = viewOf(bytes)
  view.setUint32(0, segmentMagic, true)
  bytes.set(header.salt, 8)
  setUint64(view, 16, header.sequence)
  setUint64(view, 24, header.firstRecord)
  view.setUint32(4, crc32c(bytes.subarray(8, headerBytes)), true)
  bytes.copyWithin(secondHeaderAt, 0, headerBytes)
  return bytes
}

/** Undefined when neither copy is a header of that sequence. */
export function decodeSegmentHeader(
  bytes: Uint8Array,
  sequence: number,
): SegmentHeader | undefined {
  for (const at of [0, secondHeaderAt]) {
    if (bytes.length < at + headerBytes) continue
    const header = bytes.subarray(at, at + headerBytes)
    const view = viewOf(header)
    if (view.getUint32(0, true) !== segmentMagic) continue
    if (view.getUint32(4, true) !== crc32c(header.subarray(8))) continue
    if (getUint64(view, 16) !== sequence) continue
    return { salt: header.slice(8, 16), sequence, firstRecord: getUint64(view, 24) }
  }
  return undefined
}

/** What the caller of append() leaves in the reserved header: the log's own lane fills in the rest. */
export function reserveRecord(
  bytes: Uint8Array,
  at: number,
  { payloadBytes, batches }: { readonly payloadBytes: number; readonly batches: number },
): void {
  const view = viewOf(bytes)
  view.setUint32(at + 24, payloadBytes, true)
  view.setUint32(at + 36, batches, true)
}

export function reservedRecord(
  bytes: Uint8Array,
  at: number,
): { payloadBytes: number; batches: number } {
  const view = viewOf(bytes)
  return { payloadBytes: view.getUint32(at + 24, true), batches: view.getUint32(at + 36, true) }
}

export type RecordStamp = {
  readonly salt: Uint8Array
  readonly number: number
  readonly unsynced: number
  readonly oldest: number
}

/** Completes the reserved record at `at`; its payload must not change any more. */
export function stampRecord(bytes: Uint8Array, at: number, stamp: RecordStamp): void {
  const view = viewOf(bytes)
  const end = at + recordHeaderBytes + view.getUint32(at + 24, true)
  view.setUint32(at, recordMagic, true)
  bytes.set(stamp.salt, at + 8)
  setUint64(view, at + 16, stamp.number)
  view.setUint32(at + 28, stamp.unsynced, true)
  view.setUint32(at + 32, stamp.oldest, true)
  view.setUint32(at + 4, crc32c(bytes.subarray(at + 8, end)), true)
}

/** The record at `at` when there is a whole and intact one of this salt. Its payload is a view. */
export function readRecord(bytes: Uint8Array, at: number, salt: Uint8Array): LogRecord | undefined {
  if (at + recordHeaderBytes > bytes.length) return undefined
  const view = viewOf(bytes)
  if (view.getUint32(at, true) !== recordMagic) return undefined
  if (!equalBytes(bytes.subarray(at + 8, at + 16), salt)) return undefined
  const end = at + recordHeaderBytes + view.getUint32(at + 24, true)
  if (end > bytes.length) return undefined
  if (view.getUint32(at + 4, true) !== crc32c(bytes.subarray(at + 8, end))) return undefined
  return {
    at,
    number: getUint64(view, at + 16),
    unsynced: view.getUint32(at + 28, true),
    oldest: view.getUint32(at + 32, true),
    batches: view.getUint32(at + 36, true),
    payload: bytes.subarray(at + recordHeaderBytes, end),
  }
}

/** The unbroken run of records from the segment's beginning, and the offset where it ends. */
export function scanRecords(
  bytes: Uint8Array,
  header: SegmentHeader,
): { readonly records: readonly LogRecord[]; readonly end: number } {
  const records: LogRecord[] = []
  let at = segmentHeaderBytes
  for (;;) {
    const record = readRecord(bytes, at, header.salt)
    if (record?.number !== header.firstRecord + records.length) return { records, end: at }
    records.push(record)
    at = alignRecord(at + recordHeaderBytes + record.payload.length)
  }
}

/** The highest record number that any intact record beyond `from` proves to have been durable; -1: none. */
export function highestProven(
  bytes: Uint8Array,
  { from, salt }: { readonly from: number; readonly salt: Uint8Array },
): number {
  const view = viewOf(bytes)
  let highest = -1
  for (let at = alignRecord(from); at + recordHeaderBytes <= bytes.length; at += 8) {
    if (view.getUint32(at, true) !== recordMagic) continue
    const record = readRecord(bytes, at, salt)
    if (record !== undefined) highest = Math.max(highest, record.number - record.unsynced - 1)
  }
  return highest
}

// Bytes of the file that proves how long segment files were when they were closed cleanly. Little-endian:
//    0 magic 'A' 'S' 'E', u8 version 1   4 u32 CRC32C of the rest   8 u32 number of entries   12 u32 zero
//   16 entries: 8 bytes salt of the segment file, u32 its number, u32 how many of its bytes are durable
//
// What an entry says stays true for as long as the file with that salt exists: files only grow, and no
// cut goes below what was durable. So the proof is never withdrawn, only replaced by the next one.

import { assert, crc32c, Fault } from '../../base/index.ts'
import { viewOf } from './log-format.ts'

/** How much of one segment file was durable at a clean close. */
export type SegmentEnd = {
  readonly number: number
  readonly salt: Uint8Array
  readonly durable: number
}

/** More files than this are never without a footer at once; of more, the newest are proven. */
export const segmentEndsMax = 4096

const headerBytes = 16
const entryBytes = 16
const magicAndVersion = 0x01455341

export const segmentEndsBytesMax = headerBytes + segmentEndsMax * entryBytes

export function encodeSegmentEnds(ends: readonly SegmentEnd[]): Uint8Array {
  assert(ends.length <= segmentEndsMax, 'a proof names a bounded number of files')
  const bytes = new Uint8Array(headerBytes + ends.length * entryBytes)
  const view = viewOf(bytes)
  view.setUint32(0, magicAndVersion, true)
  view.setUint32(8, ends.length, true)
  for (const [i, { number, salt, durable }] of ends.entries()) {
    const at = headerBytes + i * entryBytes
    bytes.set(salt, at)
    view.setUint32(at + 8, number, true)
    view.setUint32(at + 12, durable, true)
  }
  view.setUint32(4, crc32c(bytes.subarray(8)), true)
  return bytes
}

/** Fault 'corrupt' when damaged or of another version. */
export function decodeSegmentEnds(bytes: Uint8Array): readonly SegmentEnd[] {
  const view = viewOf(bytes)
  const isIntact =
    bytes.length >= headerBytes &&
    view.getUint32(0, true) === magicAndVersion &&
    bytes.length === headerBytes + view.getUint32(8, true) * entryBytes &&
    view.getUint32(4, true) === crc32c(bytes.subarray(8))
  if (!isIntact) throw new Fault('corrupt', 'the proof of the ends of segments is not intact')
  const ends: SegmentEnd[] = []
  for (let at = headerBytes; at < bytes.length; at += entryBytes) {
    const salt = bytes.slice(at, at + 8)
    const number = view.getUint32(at + 8, true)
    ends.push({ number, salt, durable: view.getUint32(at + 12, true) })
  }
  return ends
}

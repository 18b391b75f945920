// Bytes of shards at rest and on the wire.
//
// A shard at rest is its units, one after the other, and a trailer: layout, shard number and the CRC32C of
// each unit as its writer computed it. So a unit is checked end to end: by the receiver before it stores it
// and by every reader before it gives it, whatever stores, disks and connections lie between.
//
//   trailer   'ATSH' | version 1 | k | m | shard | unitBytes u32 | length u32 | units u32
//             | CRC32C of each unit u32 .. | CRC32C of the trailer before it u32          (little-endian)
//   unit      1 | version 1 | 0 0 | stripe u32 | payload bytes u32 | CRC32C of the payload u32 | payload
//   end       2 | version 1 | k | m | unitBytes u32 | length u32 | 0 u32
//
// A writer sends units in order, then `end`; the receiver answers each with the count of units it has taken
// (u32), and with `sealedAnswer` once the shard is durable. A reader is sent the checksums of the units it
// asked for, then their bytes; `damagedMark` stands for a unit that is damaged, and ends the stream: a fault
// would overtake the units before it, and the reader could not tell which one is bad.

import { crc32c, Fault } from '../../base/index.ts'
import {
  checkLayout,
  type Layout,
  shardBytes,
  stripeCount,
  stripesMax,
  unitBytesMax,
  unitLength,
} from './layout.ts'

export const unitHeaderBytes = 16
const magic = 0x48535441
const trailerFixedBytes = 20

export const sealedAnswer = 0xffff_ffff

export const damagedMark: Uint8Array = new Uint8Array(0)

export type UnitHeader = { readonly stripe: number; readonly length: number; readonly sum: number }
export type ShardFrame =
  | ({ readonly kind: 'unit'; readonly payload: Uint8Array } & UnitHeader)
  | { readonly kind: 'end'; readonly layout: Layout }

/** Writes the header into `target`, 16 bytes. */
export function writeUnitHeader(target: Uint8Array, header: UnitHeader): void {
  const view = new DataView(target.buffer, target.byteOffset, unitHeaderBytes)
  view.setUint32(0, 0x0101, true)
  view.setUint32(4, header.stripe, true)
  view.setUint32(8, header.length, true)
  view.setUint32(12, header.sum, true)
}

export function encodeEnd(layout: Layout): Uint8Array {
  const frame = new Uint8Array(unitHeaderBytes)
  frame.set([2, 1, layout.dataShards, layout.parityShards])
  const view = new DataView(frame.buffer)
  view.setUint32(4, layout.unitBytes, true)
  view.setUint32(8, layout.length, true)
  return frame
}

/** Checks shape and checksum; Fault 'corrupt'. The payload is a view. */
export function parseFrame(frame: Uint8Array): ShardFrame {
  if (frame.length < unitHeaderBytes || frame[1] !== 1) throw corrupt('a frame is not known')
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  if (frame[0] === 2) {
    const layout = {
      dataShards: view.getUint8(2),
      parityShards: view.getUint8(3),
      unitBytes: view.getUint32(4, true),
      length: view.getUint32(8, true),
    }
    checkLayout(layout)
    return { kind: 'end', layout }
  }
  const stripe = view.getUint32(4, true)
  const length = view.getUint32(8, true)
  const sum = view.getUint32(12, true)
  const payload = frame.subarray(unitHeaderBytes)
  if (frame[0] !== 1 || stripe >= stripesMax) throw corrupt('a frame is not known')
  if (length !== payload.length || length === 0 || length > unitBytesMax || length % 16 !== 0) {
    throw corrupt(`a unit of ${payload.length} bytes says it has ${length}`)
  }
  if (crc32c(payload) !== sum) throw corrupt(`unit ${stripe} fails its checksum on arrival`)
  return { kind: 'unit', payload, stripe, length, sum }
}

/** A count of units taken, or sealedAnswer. */
export function encodeAnswer(count: number): Uint8Array {
  const answer = new Uint8Array(4)
  new DataView(answer.buffer).setUint32(0, count, true)
  return answer
}

export function parseAnswer(answer: Uint8Array): number {
  if (answer.length !== 4) throw corrupt('an answer has four bytes')
  return new DataView(answer.buffer, answer.byteOffset).getUint32(0, true)
}

export function trailerBytes(layout: Layout): number {
  return trailerFixedBytes + 4 * stripeCount(layout) + 4
}

/** A whole shard at rest. */
export function storedBytes(layout: Layout): number {
  return shardBytes(layout) + trailerBytes(layout)
}

/** `sums` has one CRC32C per stripe. */
export function encodeTrailer(layout: Layout, shard: number, sums: readonly number[]): Uint8Array {
  const trailer = new Uint8Array(trailerBytes(layout))
  const view = new DataView(trailer.buffer)
  view.setUint32(0, magic, true)
  trailer.set([1, layout.dataShards, layout.parityShards, shard], 4)
  view.setUint32(8, layout.unitBytes, true)
  view.setUint32(12, layout.length, true)
  view.setUint32(16, sums.length, true)
  for (const [i, sum] of sums.entries()) view.setUint32(trailerFixedBytes + 4 * i, sum, true)
  view.setUint32(trailer.length - 4, crc32c(trailer.subarray(0, -4)), true)
  return trailer
}

/** The checksums of a trailer that must belong to this shard of this layout; Fault 'corrupt'. */
export function parseTrailer(trailer: Uint8Array, layout: Layout, shard: number): Uint32Array {
  const view = new DataView(trailer.buffer, trailer.byteOffset, trailer.length)
  const units = stripeCount(layout)
  const isOurs =
    trailer.length === trailerBytes(layout) &&
    view.getUint32(0, true) === magic &&
    trailer[4] === 1 &&
    trailer[5] === layout.dataShards &&
    trailer[6] === layout.parityShards &&
    trailer[7] === shard &&
    view.getUint32(8, true) === layout.unitBytes &&
    view.getUint32(12, true) === layout.length &&
    view.getUint32(16, true) === units
  if (!isOurs) throw corrupt('a shard does not end with the trailer of its chunk')
  if (view.getUint32(trailer.length - 4, true) !== crc32c(trailer.subarray(0, -4))) {
    throw corrupt("a shard's trailer fails its checksum")
  }
  const sums = new Uint32Array(units)
  for (let i = 0; i < units; i++) sums[i] = view.getUint32(trailerFixedBytes + 4 * i, true)
  return sums
}

/** Bytes at the end of a shard that hold any trailer. */
export const trailerBytesMax: number = trailerFixedBytes + 4 * stripesMax + 4

/** Finds the trailer that ends `tail` without knowing the chunk; Fault 'corrupt'. */
export function findTrailer(
  tail: Uint8Array,
  shard: number,
): { readonly layout: Layout; readonly sums: Uint32Array } {
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length)
  for (let units = 1; units <= stripesMax; units++) {
    const at = tail.length - trailerFixedBytes - 4 * units - 4
    if (at < 0) break
    if (view.getUint32(at, true) !== magic || view.getUint32(at + 16, true) !== units) continue
    const layout = {
      dataShards: view.getUint8(at + 5),
      parityShards: view.getUint8(at + 6),
      unitBytes: view.getUint32(at + 8, true),
      length: view.getUint32(at + 12, true),
    }
    checkLayout(layout)
    return { layout, sums: parseTrailer(tail.subarray(at), layout, shard) }
  }
  throw corrupt('a shard does not end with a trailer')
}

/** The checksums of stripes [first, last], as the message that opens a shard's stream to its reader. */
export function encodeSums(sums: Uint32Array, first: number, last: number): Uint8Array {
  const message = new Uint8Array(4 * (last - first + 1))
  const view = new DataView(message.buffer)
  for (let i = first; i <= last; i++) view.setUint32(4 * (i - first), sums[i] as number, true)
  return message
}

export function parseSums(message: Uint8Array, count: number): Uint32Array {
  if (message.length !== 4 * count) throw corrupt('a shard answers with a wrong count of checksums')
  const view = new DataView(message.buffer, message.byteOffset, message.length)
  const sums = new Uint32Array(count)
  for (let i = 0; i < count; i++) sums[i] = view.getUint32(4 * i, true)
  return sums
}

/** Fault 'corrupt' unless `unit` is the stripe's unit of a shard with this checksum. */
export function checkUnit(layout: Layout, stripe: number, sum: number, unit: Uint8Array): void {
  if (unit.length !== unitLength(layout, stripe) || crc32c(unit) !== sum) {
    throw corrupt(`unit ${stripe} of a shard fails its checksum`)
  }
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', what)
}

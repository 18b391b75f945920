// Bytes of shards at rest and on the wire.
//
// A shard at rest is an object of the segments, one unit of it per stripe, each stored under the CRC32C that its
// writer computed. So a unit is checked end to end: by the receiver before it stores it and by every reader
// before it gives it, whatever stores, disks and connections lie between.
//
//   unit      1 | version 1 | 0 0 | stripe u32 | payload bytes u32 | CRC32C of the payload u32 | payload
//   end       2 | version 1 | k | m | unitBytes u32 | length u32 | 0 u32
//
// A writer sends units in order, then `end`; the receiver answers each with the count of units it has taken
// (u32), and with `sealedAnswer` once the shard is durable. A reader is sent the units it asked for, unchecked:
// it checks them itself. `damagedMark` stands for a unit whose record is damaged, and ends the stream: a fault
// would overtake the units before it, and the reader could not tell which one is bad.

import { crc32c, Fault } from '../../base/index.ts'
import { checkLayout, type Layout, stripesMax, unitBytesMax, unitLength } from './layout.ts'

export const unitHeaderBytes = 16

export const sealedAnswer = 0xffff_ffff

export const damagedMark: Uint8Array = new Uint8Array(0)

export type UnitHeader = { readonly stripe: number; readonly length: number; readonly sum: number }
export type ShardFrame =
  | ({ readonly kind: 'unit'; readonly payload: Uint8Array } & UnitHeader)
  | { readonly kind: 'end'; readonly layout: Layout }

/** Writes the header into the first 16 bytes of `target`. */
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

/** Fault 'corrupt' unless `unit` is as long as the stripe's units and has this checksum. */
export function checkUnit(layout: Layout, stripe: number, sum: number, unit: Uint8Array): void {
  checkUnitLength(layout, stripe, unit)
  if (crc32c(unit) !== sum) throw corrupt(`unit ${stripe} of a shard fails its checksum`)
}

/** Fault 'corrupt' unless `unit` is as long as the stripe's units. */
export function checkUnitLength(layout: Layout, stripe: number, unit: Uint8Array): void {
  if (unit.length === unitLength(layout, stripe)) return
  throw corrupt(`unit ${stripe} of a shard has ${unit.length} bytes`)
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', what)
}

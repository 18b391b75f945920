// Where the bytes of a chunk lie. Payload is dealt in stripes: k units of unitBytes, unit j of a stripe
// belongs to data shard j, and m parity units are computed from them. So every shard grows while the upload
// runs, and a range needs only the units it touches. The last stripe is short: its k units shrink to one
// equal length, a multiple of 16, and zeros fill them up; the record keeps the true length.

import { Fault } from '../../base/index.ts'
import { shardsMax } from './code-matrix.ts'

export const unitBytesMax = 262_144
export const chunkBytesMax = 64 * 1024 * 1024
/** Stripes of a chunk: bounds the table of checksums that ends a shard. */
export const stripesMax = 4_096

export type Layout = {
  readonly dataShards: number
  readonly parityShards: number
  readonly unitBytes: number
  /** Payload of the chunk, without filling. */
  readonly length: number
}

/** Fault 'corrupt' for a layout that no writer makes. */
export function checkLayout(layout: Layout): void {
  const { dataShards, parityShards, unitBytes, length } = layout
  const isSound =
    dataShards >= 1 &&
    dataShards + parityShards <= shardsMax &&
    unitBytes >= 16 &&
    unitBytes <= unitBytesMax &&
    unitBytes % 16 === 0 &&
    length >= 1 &&
    length <= chunkBytesMax &&
    stripeCount(layout) <= stripesMax
  if (!isSound) throw new Fault('corrupt', `no chunk has the layout ${JSON.stringify(layout)}`)
}

export function shardCount(layout: Layout): number {
  return layout.dataShards + layout.parityShards
}

/** Payload of a full stripe. */
export function stripeBytes(layout: Layout): number {
  return layout.dataShards * layout.unitBytes
}

export function stripeCount(layout: Layout): number {
  return Math.ceil(layout.length / stripeBytes(layout))
}

/** Payload of one stripe. */
export function stripeLength(layout: Layout, stripe: number): number {
  return Math.min(stripeBytes(layout), layout.length - stripe * stripeBytes(layout))
}

/** Length of each unit of a stripe that carries `payload` bytes. */
export function unitLengthFor(payload: number, dataShards: number): number {
  return Math.ceil(payload / dataShards / 16) * 16
}

export function unitLength(layout: Layout, stripe: number): number {
  return unitLengthFor(stripeLength(layout, stripe), layout.dataShards)
}

/** Units of one shard, all together. */
export function shardBytes(layout: Layout): number {
  const last = stripeCount(layout) - 1
  return last * layout.unitBytes + unitLength(layout, last)
}

/** The bytes of a chunk that a data unit carries: [from, to), empty when it is all filling. */
export function unitSpan(
  layout: Layout,
  stripe: number,
  dataShard: number,
): { readonly from: number; readonly to: number } {
  const start = stripe * stripeBytes(layout)
  const payload = stripeLength(layout, stripe)
  const unit = unitLength(layout, stripe)
  return {
    from: start + Math.min(payload, dataShard * unit),
    to: start + Math.min(payload, (dataShard + 1) * unit),
  }
}

/** The stripes in which [from, to) of a chunk touches a data shard; first > last when in none. */
export function stripesTouched(
  layout: Layout,
  dataShard: number,
  range: { readonly from: number; readonly to: number },
): { readonly first: number; readonly last: number } {
  let first = Math.floor(range.from / stripeBytes(layout))
  let last = Math.floor((range.to - 1) / stripeBytes(layout))
  if (unitSpan(layout, first, dataShard).to <= range.from) first++
  if (last >= 0 && last < stripeCount(layout)) {
    const span = unitSpan(layout, last, dataShard)
    if (span.from >= range.to || span.from === span.to) last--
  }
  return { first, last }
}

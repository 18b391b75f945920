// Requests of the bulk port (bulkMethod.shard*), as protobuf. Every list is bounded before it is used.

import {
  decodeBytes,
  encodeBytes,
  Fault,
  message,
  repeated,
  bytes,
  uint,
} from '../../base/index.ts'
import { checkLayout, type Layout, stripeCount, unitBytesMax } from './layout.ts'
import { parseShardKey, shardKeyBytes } from './records.ts'

/** Shards named in one request. */
export const keysMax = 1_024

const writeFields = message({ key: bytes(1), stamp: uint(2), unitBytes: uint(3) })
const readFields = message({
  key: bytes(1),
  dataShards: uint(2),
  parityShards: uint(3),
  unitBytes: uint(4),
  length: uint(5),
  first: uint(6),
  last: uint(7),
  moveBytesPerSecond: uint(8),
})
const keysFields = message({ keys: repeated(bytes(1)), stamp: uint(2) })

export type ShardWriteRequest = {
  readonly key: Uint8Array
  readonly stamp: number
  readonly unitBytes: number
}
/** Stripes first to last, both included. */
export type ShardReadRequest = {
  readonly key: Uint8Array
  readonly layout: Layout
  readonly first: number
  readonly last: number
  /**
   * 0: a reader waits. Otherwise a move, which the holder throttles: the idle rate that the fetching node has
   * measured, 1 while it measures and shall not be held back.
   */
  readonly moveBytesPerSecond: number
}
/** For shardDelete and shardVerify the stamp is 0. */
export type ShardKeysRequest = { readonly keys: readonly Uint8Array[]; readonly stamp: number }

export const shardWriteCodec = {
  encode: (request: ShardWriteRequest): Uint8Array => encodeBytes(writeFields, request),
  decode(encoded: Uint8Array): ShardWriteRequest {
    const { key, stamp, unitBytes } = decodeBytes(writeFields, encoded)
    checkKey(key)
    if (unitBytes < 16 || unitBytes > unitBytesMax || unitBytes % 16 !== 0) {
      throw new Fault('invalid', `a unit cannot have ${unitBytes} bytes`)
    }
    return { key: key.slice(), stamp, unitBytes }
  },
}

export const shardReadCodec = {
  encode: ({ key, layout, first, last, moveBytesPerSecond }: ShardReadRequest): Uint8Array =>
    encodeBytes(readFields, { ...layout, key, first, last, moveBytesPerSecond }),
  decode(encoded: Uint8Array): ShardReadRequest {
    const { key, first, last, moveBytesPerSecond, ...layout } = decodeBytes(readFields, encoded)
    checkKey(key)
    checkLayout(layout)
    if (first > last || last >= stripeCount(layout)) {
      throw new Fault(
        'invalid',
        `no chunk of ${layout.length} bytes has stripes ${first} to ${last}`,
      )
    }
    return { key: key.slice(), layout, first, last, moveBytesPerSecond }
  },
}

export const shardKeysCodec = {
  encode: (request: ShardKeysRequest): Uint8Array => encodeBytes(keysFields, request),
  decode(encoded: Uint8Array): ShardKeysRequest {
    const { keys, stamp } = decodeBytes(keysFields, encoded)
    if (keys.length > keysMax) throw new Fault('too-large', `more than ${keysMax} shards named`)
    for (const key of keys) checkKey(key)
    return { keys: keys.map((key) => key.slice()), stamp }
  },
}

function checkKey(key: Uint8Array): void {
  if (key.length !== shardKeyBytes) throw new Fault('invalid', 'a shard name has a wrong length')
  parseShardKey(key)
}

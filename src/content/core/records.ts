// Keys and values of the chunk table (content.ts has the table), and the names of shards on disk.
//
// Node numbers in keys are 8 bytes, big-endian. Values are a version byte, a protobuf message and its
// CRC32C. A shard's name is the namespace's tag (CRC32C of its name, 4 bytes), the chunk id and the shard's
// number: the tag says whose sweep number its stamp belongs to. Two namespaces with one tag share the rule
// that a shard goes only when both sweeps allow it.

import {
  concatBytes,
  crc32c,
  decodeBytes,
  encodeBytes,
  Fault,
  message,
  type NodeId,
  nodeId,
  readUint64,
  repeated,
  uint,
  uint64Bytes,
  utf8Encode,
} from '../../base/index.ts'
import { checkLayout, type Layout, shardCount } from './layout.ts'

export const chunkIdBytes = 16

/** Layout and holders of a chunk; holder 0: the shard is missing. */
export type ChunkRecord = Layout & { readonly holders: readonly NodeId[] }

/** A freed shard that waits for its node. */
export type FreedShard = { readonly shard: number; readonly freedMs: number }

export const noHolder = nodeId(0)

const chunkFields = message({
  dataShards: uint(1),
  parityShards: uint(2),
  unitBytes: uint(3),
  length: uint(4),
  holders: repeated(uint(5)),
})
const freedFields = message({ shard: uint(1), freedMs: uint(2) })

export function encodeChunk(record: ChunkRecord): Uint8Array {
  return seal(encodeBytes(chunkFields, record))
}

export function decodeChunk(value: Uint8Array): ChunkRecord {
  const fields = decodeBytes(chunkFields, unseal(value))
  checkLayout(fields)
  if (fields.holders.length !== shardCount(fields)) {
    throw new Fault('corrupt', 'a chunk record names more or fewer holders than shards')
  }
  return { ...fields, holders: fields.holders.map(nodeId) }
}

export function encodeFreed(freed: FreedShard): Uint8Array {
  return seal(encodeBytes(freedFields, freed))
}

export function decodeFreed(value: Uint8Array): FreedShard {
  return decodeBytes(freedFields, unseal(value))
}

/** The value of key 's'. */
export function encodeSweepNumber(number: number): Uint8Array {
  return seal(uint64Bytes(number))
}

export function decodeSweepNumber(value: Uint8Array): number {
  const body = unseal(value)
  if (body.length !== 8) throw new Fault('corrupt', 'a sweep number has 8 bytes')
  return readUint64(body, 0)
}

const chunkPrefix = utf8Encode('c/')
const nodePrefix = utf8Encode('n/')
const freedPrefix = utf8Encode('x/')
const slash = utf8Encode('/')
export const sweepKey = utf8Encode('s')

export const chunkTable = {
  chunkPrefix,
  freedPrefix,
  chunk: (id: Uint8Array): Uint8Array => concatBytes([chunkPrefix, id]),
  ofNode: (node: NodeId): Uint8Array => concatBytes([nodePrefix, uint64Bytes(node), slash]),
  atNode: (node: NodeId, id: Uint8Array): Uint8Array =>
    concatBytes([nodePrefix, uint64Bytes(node), slash, id]),
  freedOfNode: (node: NodeId): Uint8Array => concatBytes([freedPrefix, uint64Bytes(node), slash]),
  freed: (node: NodeId, id: Uint8Array): Uint8Array =>
    concatBytes([freedPrefix, uint64Bytes(node), slash, id]),
}

/** The chunk id that ends a key of 'c/', 'n/' or 'x/'. */
export function chunkIdOf(key: Uint8Array): Uint8Array {
  if (key.length < chunkIdBytes + 2) throw new Fault('corrupt', 'a key of the chunk table is short')
  return key.slice(key.length - chunkIdBytes)
}

/** The node of a key of 'n/' or 'x/'. */
export function nodeOf(key: Uint8Array): NodeId {
  if (key.length !== 2 + 8 + 1 + chunkIdBytes) {
    throw new Fault('corrupt', 'a key of the chunk table has a wrong length')
  }
  return nodeId(readUint64(key, 2))
}

export const shardKeyBytes = 4 + chunkIdBytes + 1

export type ShardName = {
  readonly tag: number
  readonly id: Uint8Array
  readonly shard: number
}

export function namespaceTag(namespace: string): number {
  return crc32c(utf8Encode(namespace))
}

export function shardKey(name: ShardName): Uint8Array {
  const key = new Uint8Array(shardKeyBytes)
  new DataView(key.buffer).setUint32(0, name.tag)
  key.set(name.id, 4)
  key[shardKeyBytes - 1] = name.shard
  return key
}

/** Fault 'corrupt' for anything that shardKey did not make. */
export function parseShardKey(key: Uint8Array): ShardName {
  if (key.length !== shardKeyBytes) throw new Fault('corrupt', 'a shard name has a wrong length')
  const view = new DataView(key.buffer, key.byteOffset)
  return {
    tag: view.getUint32(0),
    id: key.slice(4, 4 + chunkIdBytes),
    shard: key[shardKeyBytes - 1] as number,
  }
}

/** Version, body and CRC32C over both. */
export function seal(body: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(1 + body.length + 4)
  sealed[0] = 1
  sealed.set(body, 1)
  const sum = crc32c(sealed.subarray(0, 1 + body.length))
  new DataView(sealed.buffer).setUint32(1 + body.length, sum)
  return sealed
}

/** The body, as a view. */
export function unseal(sealed: Uint8Array): Uint8Array {
  const end = sealed.length - 4
  if (end < 1) throw new Fault('corrupt', 'a record of the chunk table is too short')
  if (sealed[0] !== 1) throw new Fault('corrupt', `chunk table version ${sealed[0]} is not known`)
  const sum = new DataView(sealed.buffer, sealed.byteOffset).getUint32(end)
  if (sum !== crc32c(sealed.subarray(0, end))) {
    throw new Fault('corrupt', 'a record of the chunk table fails its checksum')
  }
  return sealed.subarray(1, end)
}

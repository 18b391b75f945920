// Who a data directory is: drawn when it is made, never used again once it is lost. Kept twice, as a file
// and as a row of the store, so that a directory whose store is gone is never taken for a whole one.
//
//   bytes    version u8 = 1 | crc32c of the rest u32, big-endian | protobuf {node, incarnation, mesh}

import {
  crc32c,
  decodeBytes,
  encodeBytes,
  Fault,
  message,
  type NodeId,
  nodeId,
  text,
  uint,
} from '../../base/index.ts'

export type MeshIdentity = {
  readonly node: NodeId
  /** 32 lower-case hexadecimal digits. */
  readonly incarnation: string
  readonly meshId: string
}

export const identityBytesMax = 256
const version = 1
const headerBytes = 5
const fields = message({ node: uint(1), incarnation: text(2), meshId: text(3) })

export function encodeIdentity(identity: MeshIdentity): Uint8Array {
  const body = encodeBytes(fields, identity)
  const bytes = new Uint8Array(headerBytes + body.length)
  bytes[0] = version
  new DataView(bytes.buffer).setUint32(1, crc32c(body))
  bytes.set(body, headerBytes)
  return bytes
}

/** Fault 'corrupt' for damaged bytes. */
export function decodeIdentity(bytes: Uint8Array): MeshIdentity {
  if (bytes.length < headerBytes || bytes[0] !== version) throw corrupt('has another version')
  const body = bytes.subarray(headerBytes)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(1) !== crc32c(body)) throw corrupt('fails its checksum')
  const { node, incarnation, meshId } = decodeBytes(fields, body)
  if (node === 0 || !/^[0-9a-f]{32}$/.test(incarnation)) throw corrupt('names nobody')
  return { node: nodeId(node), incarnation, meshId }
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `the identity of this data directory ${what}`, {
    next: 'delete the data directory: this node joins under a new identity',
  })
}

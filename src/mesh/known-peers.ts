// Who was known where, over restarts: without it, nodes whose only configured contact is gone for good would
// not find each other again after all have stopped. A row of the store; losing its newest version loses nothing
// that is not found again.
//
//   value    version u8 = 1 | crc32c of the rest u32, big-endian | protobuf repeated {node, address}

import {
  crc32c,
  decodeBytes,
  encodeBytes,
  Fault,
  message,
  nested,
  nodeId,
  repeated,
  text,
  uint,
} from '../base/index.ts'
import type { Store } from '../storage/index.ts'
import type { KnownPeer } from './mesh.ts'
import { meshTable, peersKey } from './tables.ts'

const version = 1
const headerBytes = 5
const peersMax = 1_024
const peerFields = message({ node: uint(1), address: text(2) })
const fields = message({ peers: repeated(nested(1, peerFields)) })

/** Fault 'corrupt' for a damaged row. */
export function readPeers(store: Store): readonly KnownPeer[] {
  const row = store.get(meshTable, peersKey)
  if (row === undefined) return []
  const body = row.subarray(headerBytes)
  const view = new DataView(row.buffer, row.byteOffset, row.byteLength)
  if (row.length < headerBytes || row[0] !== version || view.getUint32(1) !== crc32c(body)) {
    throw new Fault('corrupt', 'the row of known nodes fails its checksum')
  }
  const { peers } = decodeBytes(fields, body)
  return peers
    .slice(0, peersMax)
    .map((peer) => ({ node: nodeId(peer?.node ?? 0), address: peer?.address ?? '' }))
}

export function writePeers(store: Store, peers: readonly KnownPeer[]): void {
  const body = encodeBytes(fields, { peers: [...peers.slice(0, peersMax)] })
  const row = new Uint8Array(headerBytes + body.length)
  row[0] = version
  new DataView(row.buffer).setUint32(1, crc32c(body))
  row.set(body, headerBytes)
  store.transaction(() => store.put(meshTable, peersKey, row))
}

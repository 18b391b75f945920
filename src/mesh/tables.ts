// The store's table of this room and its keys.
//
//   'identity'                                  the identity of the data directory
//   'peers'                                     who was known where (known-peers.ts)
//   'machine' group u64 's' number u64          a part of the snapshot of a caller's machine
//   'machine' group u64 'e' index u64           a command applied after that snapshot

import { concatBytes, type GroupId, uint64Bytes, utf8Encode } from '../base/index.ts'

export const meshTable = 'mesh'
export const identityKey = utf8Encode('identity')
export const peersKey = utf8Encode('peers')

/** Begins all keys of a machine's snapshot, or of its commands. */
export function machinePrefix(group: GroupId, part: 's' | 'e'): Uint8Array {
  return concatBytes([utf8Encode('machine'), uint64Bytes(group), utf8Encode(part)])
}

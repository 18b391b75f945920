// Keys of locks and elections: those of etcd's client library (concurrency), so that programs that use it meet
// with programs that ask the calls.

import { concatBytes, utf8Encode } from '../../base/index.ts'

/** Everybody who stands for `name` has a key that begins with this. */
export function prefixOf(name: Uint8Array): Uint8Array {
  return concatBytes([name, utf8Encode('/')])
}

export function candidateKey(name: Uint8Array, lease: number): Uint8Array {
  return concatBytes([prefixOf(name), utf8Encode(lease.toString(16))])
}

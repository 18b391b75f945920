// Several byte strings as one: the writes of one turn in an entry, and their answers.
//
//   parts  (length 4, bytes) for each, big-endian

import { Fault } from '../../base/index.ts'
import { getUint32, putUint32 } from './bytes.ts'

/** More never travel together. */
export const partsMax = 4096
const lengthBytes = 4

export function encodeParts(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += lengthBytes + part.length
  const encoded = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    putUint32(encoded, at, part.length)
    encoded.set(part, at + lengthBytes)
    at += lengthBytes + part.length
  }
  return encoded
}

/** Views of `encoded`. Fault 'corrupt' when a part is cut, or there are more than partsMax. */
export function decodeParts(encoded: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = []
  for (let at = 0; at < encoded.length; ) {
    const start = at + lengthBytes
    const end = start <= encoded.length ? start + getUint32(encoded, at) : start
    if (end > encoded.length) throw new Fault('corrupt', 'malformed parts: one is cut')
    if (parts.length === partsMax) throw new Fault('corrupt', 'malformed parts: too many')
    parts.push(encoded.subarray(start, end))
    at = end
  }
  return parts
}

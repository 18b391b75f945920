// Several byte strings as one: requests that travel together, and their answers.
//
//   parts    (length 4, bytes) for each, big-endian
//   outcome  0, the answer | 1, a Fault

import { Fault } from './fault.ts'
import { faultCodec } from './fault-codec.ts'

/** More never travel together. */
export const partsMax = 4096
const lengthBytes = 4

export function encodeParts(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += lengthBytes + part.length
  const encoded = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    const { length: size } = part
    encoded[at] = size >>> 24
    encoded[at + 1] = size >>> 16
    encoded[at + 2] = size >>> 8
    encoded[at + 3] = size
    encoded.set(part, at + lengthBytes)
    at += lengthBytes + size
  }
  return encoded
}

/** Views of `encoded`. Fault 'corrupt' when a part is cut, or there are more than partsMax. */
export function decodeParts(encoded: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = []
  for (let at = 0; at < encoded.length; ) {
    const start = at + lengthBytes
    const end = start <= encoded.length ? start + sizeAt(encoded, at) : Number.POSITIVE_INFINITY
    if (end > encoded.length) throw new Fault('corrupt', 'malformed parts: one is cut')
    if (parts.length === partsMax) throw new Fault('corrupt', 'malformed parts: too many')
    parts.push(encoded.subarray(start, end))
    at = end
  }
  return parts
}

function sizeAt(encoded: Uint8Array, at: number): number {
  const high = ((encoded[at] as number) << 8) | (encoded[at + 1] as number)
  const low = ((encoded[at + 2] as number) << 8) | (encoded[at + 3] as number)
  return ((high << 16) | low) >>> 0
}

export function encodeOutcome(outcome: Uint8Array | Fault): Uint8Array {
  const isFault = outcome instanceof Fault
  const body = isFault ? faultCodec.encode(outcome) : outcome
  const encoded = new Uint8Array(1 + body.length)
  encoded[0] = isFault ? 1 : 0
  encoded.set(body, 1)
  return encoded
}

/** The parts that encodeOutcome() makes of each, as one. */
export function encodeOutcomes(outcomes: readonly (Uint8Array | Fault)[]): Uint8Array {
  if (outcomes.some((outcome) => outcome instanceof Fault)) {
    return encodeParts(outcomes.map(encodeOutcome))
  }
  const answers = outcomes as readonly Uint8Array[]
  let length = 0
  for (const answer of answers) length += lengthBytes + 1 + answer.length
  const encoded = new Uint8Array(length)
  let at = 0
  for (const answer of answers) {
    const size = answer.length + 1
    encoded[at] = size >>> 24
    encoded[at + 1] = size >>> 16
    encoded[at + 2] = size >>> 8
    encoded[at + 3] = size
    encoded.set(answer, at + lengthBytes + 1)
    at += lengthBytes + size
  }
  return encoded
}

/** An answer is a view of `encoded`. */
export function decodeOutcome(encoded: Uint8Array): Uint8Array | Fault {
  const body = encoded.subarray(1)
  if (encoded[0] === 0) return body
  if (encoded[0] === 1) return faultCodec.decode(body)
  throw new Fault('corrupt', 'malformed parts: an outcome of an unknown kind')
}

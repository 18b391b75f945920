// SQLite's values as bytes: in entries, answers and between a node and its engines.
//
//   each   kind u8 | 1 integer: 8 bytes, signed, big-endian | 2 real: 8 bytes, IEEE 754 | 3 text, 4 blob: length u32, bytes

import { Fault, utf8Encode } from '../../base/index.ts'
import type { SqlValue } from '../sql.ts'

const kind = { nothing: 0, integer: 1, real: 2, text: 3, blob: 4 } as const
const numberBytes = 8
const lengthBytes = 4
const integerMax = 2n ** 63n - 1n
const integerMin = -(2n ** 63n)
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** Fault 'invalid' for an integer of more than 64 bits. */
export function encodeValues(values: readonly SqlValue[]): Uint8Array {
  const texts = values.map((value) => (typeof value === 'string' ? utf8Encode(value) : undefined))
  let length = 0
  for (const [at, value] of values.entries()) length += 1 + sizeOf(value, texts[at])
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  let to = 0
  for (const [at, value] of values.entries()) {
    if (typeof value === 'bigint') {
      if (value > integerMax || value < integerMin) {
        throw new Fault('invalid', `${value} is more than an integer of 64 bits`)
      }
      bytes[to] = kind.integer
      view.setBigInt64(to + 1, value)
      to += 1 + numberBytes
    } else if (typeof value === 'number') {
      bytes[to] = kind.real
      view.setFloat64(to + 1, value)
      to += 1 + numberBytes
    } else if (value === null) bytes[to++] = kind.nothing
    else {
      const content = texts[at] ?? (value as Uint8Array)
      bytes[to] = texts[at] === undefined ? kind.blob : kind.text
      view.setUint32(to + 1, content.length)
      bytes.set(content, to + 1 + lengthBytes)
      to += 1 + lengthBytes + content.length
    }
  }
  return bytes
}

/** What a value weighs beside its kind. */
function sizeOf(value: SqlValue, text: Uint8Array | undefined): number {
  if (value === null) return 0
  if (typeof value === 'number' || typeof value === 'bigint') return numberBytes
  return lengthBytes + (text?.length ?? (value as Uint8Array).length)
}

/** Blobs are copies. Fault 'corrupt' for malformed bytes. */
export function decodeValues(bytes: Uint8Array): SqlValue[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const values: SqlValue[] = []
  for (let at = 0; at < bytes.length; ) {
    const found = bytes[at++]
    if (found === kind.nothing) values.push(null)
    else if (found === kind.integer || found === kind.real) {
      if (at + numberBytes > bytes.length) throw corrupt('a number runs past the end')
      values.push(found === kind.integer ? view.getBigInt64(at) : view.getFloat64(at))
      at += numberBytes
    } else if (found === kind.text || found === kind.blob) {
      if (at + lengthBytes > bytes.length) throw corrupt('a length runs past the end')
      const length = view.getUint32(at)
      at += lengthBytes
      if (length > bytes.length - at) throw corrupt('a value runs past the end')
      const content = bytes.subarray(at, at + length)
      values.push(found === kind.text ? utf8.decode(content) : content.slice())
      at += length
    } else throw corrupt(`kind ${found}`)
  }
  return values
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `malformed SQL values: ${what}`)
}

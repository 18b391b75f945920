// Sealed records: how a value lies in a replicated namespace, so that damage and newer formats are told apart from
// data (law 9).
//
//   kind (1 byte), version (1 byte), Protocol Buffers body, CRC32C of all before (4 bytes, big-endian)
//
// A kind belongs to one record type within its namespace and keeps its meaning for ever.

import type { Codec } from './codec.ts'
import { Fault } from './fault.ts'
import { crc32c } from './hash.ts'

const recordVersion = 1

/**
 * Adds kind, version and checksum to a body's codec. Decoding a higher version, another kind or a wrong sum is Fault
 * 'corrupt' that says which record.
 */
export function sealedRecord<T>(name: string, kind: number, body: Codec<T>): Codec<T> {
  return {
    encode(value) {
      const inner = body.encode(value)
      const bytes = new Uint8Array(inner.length + 6)
      bytes[0] = kind
      bytes[1] = recordVersion
      bytes.set(inner, 2)
      const sum = crc32c(bytes.subarray(0, inner.length + 2))
      new DataView(bytes.buffer).setUint32(inner.length + 2, sum)
      return bytes
    },
    decode(bytes) {
      const end = bytes.length - 4
      if (end < 2) throw new Fault('corrupt', `${name} record is cut short`)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      if (view.getUint32(end) !== crc32c(bytes.subarray(0, end))) {
        throw new Fault('corrupt', `${name} record fails its checksum`)
      }
      if (bytes[0] !== kind) throw new Fault('corrupt', `not a ${name} record: kind ${bytes[0]}`)
      if (bytes[1] !== recordVersion) {
        throw new Fault('corrupt', `${name} record of version ${bytes[1]} is too new to read`)
      }
      return body.decode(bytes.subarray(2, end))
    },
  }
}

/** A codec of one type by way of another. */
export function mapped<A, B>(
  codec: Codec<A>,
  to: (value: B) => A,
  from: (value: A) => B,
): Codec<B> {
  return { encode: (value) => codec.encode(to(value)), decode: (raw) => from(codec.decode(raw)) }
}

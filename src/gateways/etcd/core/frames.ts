// gRPC over HTTP/2 as a server reads it: the frames of keyspace/etcd with etcd's refusals; status and text go in
// trailers; the deadline comes in a header. Bounded: nothing is kept beyond messageBytesMax.

import { Fault, utf8Encode } from '../../../base/index.ts'
import { encodeFrame, MessageReader } from '../../../keyspace/etcd/wire.ts'
import { type EtcdError, EtcdRefusal, grpcCode } from './errors.ts'

export { encodeFrame }

/** etcd's 1.5 MiB for the request, and what is around it. */
export const messageBytesMax = 1_572_864 + 512 * 1024

/** Cuts requests into messages, refused in etcd's words. */
export class FrameReader extends MessageReader {
  constructor(bytesMax = messageBytesMax) {
    super({
      bytesMax,
      refuse: (why, bytes) =>
        new EtcdRefusal(why === 'too-large' ? tooLarge(bytes, bytesMax) : compressed),
    })
  }
}

/** Go's words: what its server reads is cut off before anybody of etcd sees it. */
function tooLarge(bytes: number, bytesMax: number): EtcdError {
  const text = `grpc: received message larger than max (${bytes} vs. ${bytesMax})`
  return { code: grpcCode.resourceExhausted, text }
}

const compressed = {
  code: grpcCode.unimplemented,
  text: 'grpc: Decompressor is not installed for grpc-encoding',
}

/** '100m', '5S': at most eight digits and a unit. Fault 'invalid'. */
export function parseTimeoutMs(text: string): number {
  const match = /^([0-9]{1,8})([HMSmun])$/.exec(text)
  const unit = timeoutUnitMs[match?.[2] ?? '']
  if (match === null || unit === undefined) throw new Fault('invalid', 'malformed grpc-timeout')
  return Number(match[1]) * unit
}

const timeoutUnitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000001,
}

/** The text of a status in a header: printable ASCII stays, every other byte is percent-encoded. */
export function encodeStatusText(text: string): string {
  let encoded = ''
  for (const byte of utf8Encode(text)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25
    encoded += isPlain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}

// gRPC over HTTP/2 (PROTOCOL-HTTP2): a message is a byte of flags, four of length, and its bytes; status and text
// go in trailers; the deadline comes in a header. Bounded: nothing is kept beyond messageBytesMax.

import { Fault, utf8Encode } from '../../../base/index.ts'
import { EtcdRefusal, etcdErrors, grpcCode } from './errors.ts'

/** etcd's 1.5 MiB for the request, and what is around it. */
export const messageBytesMax = 1_572_864 + 512 * 1024
const headBytes = 5

export function encodeFrame(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(headBytes + message.length)
  new DataView(frame.buffer).setUint32(1, message.length)
  frame.set(message, headBytes)
  return frame
}

/** Cuts what arrives into messages; their bytes are the caller's own. */
export class FrameReader {
  readonly #head = new Uint8Array(headBytes)
  #headLength = 0
  #parts: Uint8Array[] = []
  #missing = 0
  readonly #bytesMax: number

  constructor(bytesMax = messageBytesMax) {
    this.#bytesMax = bytesMax
  }

  /** Answers the messages that are whole now. Faults 'invalid', 'unsupported' end the stream. */
  add(slice: Uint8Array): readonly Uint8Array[] {
    const messages: Uint8Array[] = []
    let at = 0
    while (at < slice.length) {
      if (this.#headLength < headBytes) {
        this.#head[this.#headLength++] = slice[at++] as number
        if (this.#headLength === headBytes) this.#begin()
      } else {
        const part = slice.slice(at, at + this.#missing)
        at += part.length
        this.#missing -= part.length
        this.#parts.push(part)
      }
      if (this.#headLength === headBytes && this.#missing === 0) messages.push(this.#finish())
    }
    return messages
  }

  /** False: the stream ended within a message. */
  get isBetweenMessages(): boolean {
    return this.#headLength === 0
  }

  #begin(): void {
    if (this.#head[0] !== 0) {
      const text = 'grpc: Decompressor is not installed for grpc-encoding'
      throw new EtcdRefusal({ code: grpcCode.unimplemented, text })
    }
    const length = new DataView(this.#head.buffer).getUint32(1)
    if (length > this.#bytesMax) throw new EtcdRefusal(etcdErrors.requestTooLarge)
    this.#missing = length
  }

  #finish(): Uint8Array {
    const parts = this.#parts
    this.#parts = []
    this.#headLength = 0
    const [only] = parts
    if (only !== undefined && parts.length === 1) return only
    const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0))
    let at = 0
    for (const part of parts) {
      whole.set(part, at)
      at += part.length
    }
    return whole
  }
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

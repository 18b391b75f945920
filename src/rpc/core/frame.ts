// Frames: what a connection between nodes carries. Pure: bytes in, frames out.
//
// Header, 16 bytes, little-endian:
//   0  u8   type            4  u32  id of the call or stream (0 where there is none)
//   1  u8   flags           8  u32  payload length
//   2  u16  method          12 u32  argument: deadline in ms (request, open), credit in bytes (window)
// followed by the payload. Ids are odd when the dialling side chose them, even when the accepting side did.
//
// There is no checksum on the wire: every transport authenticates its records, and what is
// stored carries its own. The version is agreed once per connection (hello).
//
// Hostile input: a length is checked against the limit of its type before anything is allocated; an
// unknown type is Fault 'invalid'. Work is linear in the bytes received, however they are cut.

import { Fault } from '../../base/index.ts'

export const headerBytes = 16

export const frameType = {
  hello: 1,
  request: 2,
  response: 3,
  /** The failed answer of a call. */
  fault: 4,
  /** The caller is no longer interested. */
  cancel: 5,
  message: 6,
  ping: 7,
  pong: 8,
  open: 9,
  data: 10,
  /** No more data from this side; with flag 1 nothing is read any more either. */
  end: 11,
  /** Ends a stream in both directions with a fault. */
  reset: 12,
  /** Credit for a stream's sender. */
  window: 13,
} as const

/** On `end`: this side will not read either. */
export const finalFlag = 1

export type FrameHeader = {
  type: number
  flags: number
  method: number
  id: number
  length: number
  argument: number
}

/** Fields that differ from zero; the length is the payload's. */
export type Frame = { readonly type: number } & Partial<Omit<FrameHeader, 'type' | 'length'>>

/** Payload limits by type; a type that is not listed carries none. */
export type FrameLimits = {
  readonly callBytesMax: number
  readonly messageBytesMax: number
  readonly streamMessageBytesMax: number
}

/** What a stream message costs of its credit beyond its length: bounds the number of empty ones. */
export const messageOverheadBytes = 128
const helloBytesMax = 4096
/** Room for a fault: its text and fields are cut to fit (see fault-bytes.ts). */
export const faultBytesMax = 16 * 1024

/** Writes the header at `at`; the caller has made sure of the room. */
export function writeHeader(
  target: Uint8Array,
  at: number,
  header: { readonly frame: Frame; readonly length: number },
): void {
  const { frame, length } = header
  target[at] = frame.type
  target[at + 1] = frame.flags ?? 0
  const method = frame.method ?? 0
  target[at + 2] = method
  target[at + 3] = method >>> 8
  writeUint32(target, at + 4, frame.id ?? 0)
  writeUint32(target, at + 8, length)
  writeUint32(target, at + 12, frame.argument ?? 0)
}

/** Limits indexed by type; -1 for types that do not exist. */
function lengthTable(limits: FrameLimits): Int32Array {
  const table = new Int32Array(256).fill(-1)
  for (const type of Object.values(frameType)) table[type] = 0
  table[frameType.hello] = helloBytesMax
  table[frameType.request] = limits.callBytesMax
  table[frameType.response] = limits.callBytesMax
  table[frameType.open] = limits.callBytesMax
  table[frameType.fault] = faultBytesMax
  table[frameType.reset] = faultBytesMax
  table[frameType.message] = limits.messageBytesMax
  table[frameType.data] = limits.streamMessageBytesMax
  return table
}

export type FrameSink = {
  /** Memory of at least header.length bytes for a payload that comes in several pieces. */
  allocate(header: FrameHeader): Uint8Array
  /**
   * `header` is reused after the call. When `isOwned`, `payload` is the start of what allocate() gave
   * (its first header.length bytes); else a view that is valid during the call only.
   */
  onFrame(header: FrameHeader, payload: Uint8Array, isOwned: boolean): void
}

/** Cuts received bytes into frames. push() throws Fault 'invalid' once what comes makes no sense. */
export class FrameParser {
  readonly #sink: FrameSink
  readonly #lengthMax: Int32Array
  readonly #header: FrameHeader = { type: 0, flags: 0, method: 0, id: 0, length: 0, argument: 0 }
  readonly #partial = new Uint8Array(headerBytes)
  #partialCount = 0
  #payload: Uint8Array | undefined
  #payloadCount = 0
  #isStopped = false

  constructor(sink: FrameSink, limits: FrameLimits) {
    this.#sink = sink
    this.#lengthMax = lengthTable(limits)
  }

  /** No frame is delivered after this, also from a push() that is under way. */
  stop(): void {
    this.#isStopped = true
    this.#payload = undefined
  }

  push(bytes: Uint8Array): void {
    let at = 0
    while (!this.#isStopped) {
      if (this.#payload !== undefined) {
        at = this.#fillPayload(bytes, at)
        if (this.#payload !== undefined) return
        continue
      }
      at = this.#readHeader(bytes, at)
      if (at < 0) return
      at = this.#beginPayload(bytes, at)
    }
  }

  /** The position after the header, or -1 when it is not whole yet. */
  #readHeader(bytes: Uint8Array, at: number): number {
    if (this.#partialCount === 0 && bytes.length - at >= headerBytes) {
      this.#decodeHeader(bytes, at)
      return at + headerBytes
    }
    const count = Math.min(headerBytes - this.#partialCount, bytes.length - at)
    this.#partial.set(bytes.subarray(at, at + count), this.#partialCount)
    this.#partialCount += count
    if (this.#partialCount < headerBytes) return -1
    this.#partialCount = 0
    this.#decodeHeader(this.#partial, 0)
    return at + count
  }

  #decodeHeader(bytes: Uint8Array, at: number): void {
    const header = this.#header
    header.type = bytes[at] as number
    header.flags = bytes[at + 1] as number
    header.method = (bytes[at + 2] as number) | ((bytes[at + 3] as number) << 8)
    header.id = readUint32(bytes, at + 4)
    header.length = readUint32(bytes, at + 8)
    header.argument = readUint32(bytes, at + 12)
    const lengthMax = this.#lengthMax[header.type] as number
    if (header.length <= lengthMax) return
    this.stop()
    throw lengthMax < 0
      ? new Fault('invalid', `a frame of unknown type ${header.type}`)
      : new Fault('invalid', `a frame of type ${header.type} with ${header.length} bytes`)
  }

  #beginPayload(bytes: Uint8Array, at: number): number {
    const header = this.#header
    const end = at + header.length
    if (end <= bytes.length) {
      this.#sink.onFrame(header, bytes.subarray(at, end), false)
      return end
    }
    this.#payload = this.#sink.allocate(header)
    this.#payloadCount = 0
    return at
  }

  #fillPayload(bytes: Uint8Array, at: number): number {
    const payload = this.#payload as Uint8Array
    const { length } = this.#header
    const count = Math.min(length - this.#payloadCount, bytes.length - at)
    payload.set(bytes.subarray(at, at + count), this.#payloadCount)
    this.#payloadCount += count
    if (this.#payloadCount === length) {
      this.#payload = undefined
      this.#sink.onFrame(this.#header, payload.subarray(0, length), true)
    }
    return at + count
  }
}

function writeUint32(target: Uint8Array, at: number, value: number): void {
  target[at] = value
  target[at + 1] = value >>> 8
  target[at + 2] = value >>> 16
  target[at + 3] = value >>> 24
}

function readUint32(bytes: Uint8Array, at: number): number {
  const low =
    (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16)
  return low + (bytes[at + 3] as number) * 0x100_0000
}

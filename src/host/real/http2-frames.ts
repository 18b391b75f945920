// Frames of HTTP/2 (RFC 9113, section 4 and 6) on the way out. Small ones are gathered and leave together at the end of the
// loop's turn, which is what makes thousands of short answers cheap; large bytes go to the socket by reference.

import type { Socket } from 'node:net'

export const frameHeadBytes = 9
/** The largest payload that either side takes unless told otherwise; ours is never told. */
export const payloadBytesMax = 16_384
export const windowInitial = 65_535
export const windowMax = 0x7fff_ffff

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const

export const setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const

/** RFC 9113, section 7. */
export const errorCode = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const

export type FrameHead = { readonly type: number; readonly flags: number; readonly id: number }

/** Ends the connection: GOAWAY with the code. */
export class ConnectionError {
  readonly code: number
  readonly what: string

  constructor(code: number, what: string) {
    this.code = code
    this.what = what
  }
}

/** The payload without its padding (6.1). */
export function unpad(flags: number, payload: Buffer): Buffer {
  if ((flags & flag.padded) === 0) return payload
  const padding = payload[0]
  if (padding === undefined || padding >= payload.length) {
    throw new ConnectionError(errorCode.protocol, 'more padding than payload')
  }
  return payload.subarray(1, payload.length - padding)
}

/** What is gathered at once; a connection that says little keeps little. */
const gatherBytesMin = 512
const gatherBytesMax = 32 * 1024
/** Bytes from here on are not worth copying. */
const copiedBytesMax = 4096
/** With so much on its way nothing new is begun. */
const backlogBytesMax = 256 * 1024

export class FrameWriter {
  readonly #socket: Socket
  #gather = Buffer.allocUnsafeSlow(gatherBytesMin)
  /** Written to the socket up to here. */
  #sentAt = 0
  #at = 0
  #isPlanned = false
  /** Called when the socket takes more after isFull. */
  readonly #onSpace: () => void

  constructor(socket: Socket, onSpace: () => void) {
    this.#socket = socket
    this.#onSpace = onSpace
    socket.on('drain', onSpace)
  }

  get waitingBytes(): number {
    return this.#socket.writableLength + this.#at - this.#sentAt
  }

  get isFull(): boolean {
    return this.waitingBytes >= backlogBytesMax
  }

  /** A frame whose payload is at most 16 KiB; the payload is copied. */
  frame(head: FrameHead, payload: Uint8Array): void {
    this.#reserve(frameHeadBytes + payload.length)
    this.#head(head, payload.length)
    this.#gather.set(payload, this.#at)
    this.#at += payload.length
  }

  /** A frame of one 32-bit number. */
  number(head: FrameHead, value: number): void {
    this.#reserve(frameHeadBytes + 4)
    this.#head(head, 4)
    this.#at = this.#gather.writeUInt32BE(value, this.#at)
  }

  /**
   * A frame of DATA. True: its bytes were copied; otherwise they must stay until `onTaken` is called (with the
   * socket's error when they never left).
   */
  body(head: FrameHead, payload: Uint8Array, onTaken: (error?: Error | null) => void): boolean {
    if (payload.length <= copiedBytesMax) {
      this.frame(head, payload)
      return true
    }
    this.#reserve(frameHeadBytes)
    this.#head(head, payload.length)
    this.#socket.cork()
    this.flush()
    this.#socket.write(payload, onTaken)
    process.nextTick(uncork, this.#socket)
    return false
  }

  /** What was gathered goes to the socket now. */
  flush(): void {
    if (this.#at === this.#sentAt || this.#socket.destroyed) return
    const part = this.#gather.subarray(this.#sentAt, this.#at)
    this.#sentAt = this.#at
    this.#socket.write(part)
  }

  #head({ type, flags, id }: FrameHead, length: number): void {
    const gather = this.#gather
    let at = this.#at
    gather[at++] = length >>> 16
    gather[at++] = length >>> 8
    gather[at++] = length
    gather[at++] = type
    gather[at++] = flags
    gather[at++] = id >>> 24
    gather[at++] = id >>> 16
    gather[at++] = id >>> 8
    gather[at++] = id
    this.#at = at
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes > this.#gather.length) {
      this.flush()
      // What the socket still holds is in the old one.
      const size = Math.max(bytes, Math.min(4 * this.#gather.length, gatherBytesMax))
      this.#gather = Buffer.allocUnsafeSlow(size)
      this.#at = 0
      this.#sentAt = 0
    }
    if (this.#isPlanned) return
    this.#isPlanned = true
    setImmediate(() => {
      this.#isPlanned = false
      this.flush()
      if (!this.#socket.writableNeedDrain) this.#onSpace()
    })
  }
}

function uncork(socket: Socket): void {
  socket.uncork()
}

// gRPC's messages on a stream of HTTP/2 (PROTOCOL-HTTP2): a byte of flags, four of length, the bytes. Bounded:
// nothing is kept beyond the reader's limit.

const headBytes = 5

export function encodeFrame(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(headBytes + message.length)
  // Big-endian. A DataView would move so small an array out of the heap.
  for (let i = 0; i < 4; i++) frame[1 + i] = message.length >>> (24 - 8 * i)
  frame.set(message, headBytes)
  return frame
}

/** What a reader refuses, and with which error. */
export type FrameLimits = {
  readonly bytesMax: number
  readonly refuse: (why: 'compressed' | 'too-large', bytes: number) => Error
}

/** Cuts what arrives into messages, which are views of it where they came in one piece. */
export class MessageReader {
  readonly #limits: FrameLimits
  readonly #head = new Uint8Array(headBytes)
  #headLength = 0
  #parts: Uint8Array[] = []
  #missing = 0

  constructor(limits: FrameLimits) {
    this.#limits = limits
  }

  /** Answers the messages that are whole now. Throws what `refuse` answers, which ends the stream. */
  add(slice: Uint8Array): readonly Uint8Array[] {
    const messages: Uint8Array[] = []
    let at = 0
    while (at < slice.length) {
      if (this.#headLength < headBytes) {
        this.#head[this.#headLength++] = slice[at++] as number
        if (this.#headLength === headBytes) this.#begin()
      } else {
        const part = slice.subarray(at, at + this.#missing)
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
    const [, a = 0, b = 0, c = 0, d = 0] = this.#head
    const length = a * 0x100_0000 + ((b << 16) | (c << 8) | d)
    if (this.#head[0] !== 0) throw this.#limits.refuse('compressed', length)
    if (length > this.#limits.bytesMax) throw this.#limits.refuse('too-large', length)
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

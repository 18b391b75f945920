// Messages over a pipe between a node and its processes: length u32 big-endian | bytes. Both ends are this program, so a
// length beyond the bound is a broken invariant of one of them.

import { assert } from '../../base/index.ts'

const headBytes = 4
export const frameBytesMax = 256 * 1024 * 1024

/** Length and bytes, to be written one after the other. */
export function frameParts(message: Uint8Array): readonly [Uint8Array, Uint8Array] {
  assert(message.length <= frameBytesMax, 'a message between processes is at most 256 MiB')
  const head = new Uint8Array(headBytes)
  new DataView(head.buffer).setUint32(0, message.length)
  return [head, message]
}

/** Cuts what arrives into messages, each in a buffer of its own. */
export class FrameReader {
  readonly #receive: (message: Uint8Array) => void
  readonly #head = new Uint8Array(headBytes)
  #headFilled = 0
  #body: Uint8Array | undefined
  #bodyFilled = 0

  constructor(receive: (message: Uint8Array) => void) {
    this.#receive = receive
  }

  push(slice: Uint8Array): void {
    for (let at = 0; at < slice.length; ) at += this.#take(slice.subarray(at))
  }

  #take(slice: Uint8Array): number {
    if (this.#body === undefined) {
      const taken = slice.subarray(0, headBytes - this.#headFilled)
      this.#head.set(taken, this.#headFilled)
      this.#headFilled += taken.length
      if (this.#headFilled < headBytes) return taken.length
      const length = new DataView(this.#head.buffer).getUint32(0)
      assert(length <= frameBytesMax, 'a message between processes is at most 256 MiB')
      this.#headFilled = 0
      this.#bodyFilled = 0
      this.#body = new Uint8Array(length)
      if (length === 0) this.#finish(this.#body)
      return taken.length
    }
    const body = this.#body
    const taken = slice.subarray(0, body.length - this.#bodyFilled)
    body.set(taken, this.#bodyFilled)
    this.#bodyFilled += taken.length
    if (this.#bodyFilled === body.length) this.#finish(body)
    return taken.length
  }

  #finish(body: Uint8Array): void {
    this.#body = undefined
    this.#receive(body)
  }
}

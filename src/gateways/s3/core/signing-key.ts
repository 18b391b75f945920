// A signing key and its HMAC-SHA256 (RFC 2104), with both pads prepared once. Written out because the
// library's HMAC spends most of its time importing the key, and every request and every signed chunk
// comes through here: 3.5 microseconds against 26.

import { digestHex, sha256, utf8Encode } from '../../../base/index.ts'

const blockBytes = 64
const digestBytes = 32

export class SigningKey {
  readonly #inner = new Uint8Array(blockBytes).fill(0x36)
  readonly #outer = new Uint8Array(blockBytes + digestBytes).fill(0x5c, 0, blockBytes)

  /** `key` has at most 64 bytes. */
  constructor(key: Uint8Array) {
    key.forEach((byte, i) => {
      this.#inner[i] = byte ^ 0x36
      this.#outer[i] = byte ^ 0x5c
    })
  }

  /** The HMAC of the text's UTF-8, in lower-case hexadecimal. */
  sign(text: string): string {
    const message = utf8Encode(text)
    const block = new Uint8Array(blockBytes + message.length)
    block.set(this.#inner)
    block.set(message, blockBytes)
    this.#outer.set(sha256(block), blockBytes)
    return digestHex('sha256', this.#outer)
  }
}

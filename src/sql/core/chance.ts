// Chance that every replica draws alike: SHA-256 of a batch's seed and a counter. Nobody who has not read the log can guess
// it, so that randomblob() stays fit for keys.

import { concatBytes, sha256, uint64Bytes } from '../../base/index.ts'

export class Chance {
  readonly #seed: Uint8Array
  #block: Uint8Array = new Uint8Array(0)
  #used = 0
  #blocks = 0
  #drawnBytes = 0

  constructor(seed: Uint8Array) {
    this.#seed = seed
  }

  /** Bytes drawn so far. */
  get drawnBytes(): number {
    return this.#drawnBytes
  }

  /** As SQLite's random(): any integer of 64 bits. */
  integer(): bigint {
    const drawn = this.bytes(8)
    return new DataView(drawn.buffer).getBigInt64(0)
  }

  bytes(count: number): Uint8Array<ArrayBuffer> {
    const drawn = new Uint8Array(count)
    this.#drawnBytes += count
    for (let at = 0; at < count; ) {
      if (this.#used === this.#block.length) this.#next()
      const part = this.#block.subarray(this.#used, this.#used + count - at)
      drawn.set(part, at)
      at += part.length
      this.#used += part.length
    }
    return drawn
  }

  #next(): void {
    this.#block = sha256(concatBytes([this.#seed, uint64Bytes(this.#blocks++)]))
    this.#used = 0
  }
}

// The append messages on their way to one peer: a ring of (last index, payload bytes), bounded by
// count and by bytes. A response for index i frees every message whose last index is at most i, since
// append messages are answered in order (Raft thesis 10.2.1, pipelining).
//
// Invariants: indices in the ring ascend; the capacity is a power of two and grows only on demand, so
// an idle peer costs nothing however high the limit is.

import { assert } from '../../base/index.ts'

export class Inflights {
  readonly #countMax: number
  readonly #bytesMax: number
  #indices: number[] = []
  #sizes: number[] = []
  #start = 0
  #count = 0
  #bytes = 0

  /** bytesMax 0: no limit by bytes. */
  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax
    this.#bytesMax = bytesMax
  }

  get count(): number {
    return this.#count
  }

  /** True when no further message may be sent. The message that exceeds the bytes is still allowed. */
  get isFull(): boolean {
    return this.#count >= this.#countMax || (this.#bytesMax > 0 && this.#bytes >= this.#bytesMax)
  }

  /** Records a message whose last entry has this index. Not allowed when full. */
  add(index: number, bytes: number): void {
    assert(!this.isFull, 'a full window takes no message')
    if (this.#count === this.#indices.length) this.#grow()
    const slot = (this.#start + this.#count) & (this.#indices.length - 1)
    this.#indices[slot] = index
    this.#sizes[slot] = bytes
    this.#count++
    this.#bytes += bytes
  }

  /** Frees the messages whose last index is at most `index`. */
  freeThrough(index: number): void {
    const mask = this.#indices.length - 1
    while (this.#count > 0 && (this.#indices[this.#start] as number) <= index) {
      this.#bytes -= this.#sizes[this.#start] as number
      this.#start = (this.#start + 1) & mask
      this.#count--
    }
  }

  clear(): void {
    this.#start = 0
    this.#count = 0
    this.#bytes = 0
  }

  #grow(): void {
    const capacity = this.#indices.length
    const indices = new Array<number>(Math.max(4, capacity * 2)).fill(0)
    const sizes = indices.slice()
    for (let i = 0; i < this.#count; i++) {
      const slot = (this.#start + i) & (capacity - 1)
      indices[i] = this.#indices[slot] as number
      sizes[i] = this.#sizes[slot] as number
    }
    this.#indices = indices
    this.#sizes = sizes
    this.#start = 0
  }
}

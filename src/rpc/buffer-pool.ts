// Memory for stream messages, used again once their reader has asked for the next: a fresh 256 KiB
// array costs more in page faults than the copy into it. Powers of two from 4 KiB to 256 KiB, a bounded
// number of each is kept.

/** Below this, exact arrays are cheap and a class would waste memory. */
const exactBytesMax = 1024
const classBytesMin = 4 * 1024
const classCount = 7
const keptPerClassMax = 16

export class BufferPool {
  readonly #free: Uint8Array[][] = Array.from({ length: classCount }, () => [])

  /** At least `length` bytes, of any content. */
  take(length: number): Uint8Array {
    const index = classIndex(length)
    const kept = this.#free[index]
    if (kept === undefined || length <= exactBytesMax) return new Uint8Array(length)
    return kept.pop() ?? new Uint8Array(classBytesMin << index)
  }

  /** Gives back what take() gave, or any view that starts with it. */
  give(view: Uint8Array): void {
    if (view.byteOffset !== 0) return
    const { buffer } = view
    const index = classIndex(buffer.byteLength)
    const kept = this.#free[index]
    if (kept === undefined || buffer.byteLength !== classBytesMin << index) return
    if (kept.length < keptPerClassMax) kept.push(new Uint8Array(buffer as ArrayBuffer))
  }
}

function classIndex(length: number): number {
  let index = 0
  for (let bytes = classBytesMin; bytes < length; bytes *= 2) index++
  return index
}

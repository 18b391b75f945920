// Memory for messages and units, used again once nobody looks at it: a fresh array of this size costs more in
// page faults, zeroing and collection than the copy into it. Powers of two from 4 KiB to 256 KiB, each with
// room for a header beside a payload of that size; what is kept is bounded. Whoever does not give an array
// back loses nothing: it is collected.

/** Below this, exact arrays are cheap and a class would waste memory. */
const exactBytesMax = 1024
const classBytesMin = 4 * 1024
const classCount = 7
const headerRoomBytes = 64

export class BufferPool {
  readonly #keptBytesMax: number
  readonly #free: Uint8Array[][] = Array.from({ length: classCount }, () => [])
  #keptBytes = 0

  constructor(keptBytesMax: number) {
    this.#keptBytesMax = keptBytesMax
  }

  /** At least `length` bytes, of any content. */
  take(length: number): Uint8Array {
    const index = classIndex(length)
    const kept = this.#free[index]
    if (kept === undefined || length <= exactBytesMax) return new Uint8Array(length)
    const memory = kept.pop()
    if (memory === undefined) return new Uint8Array(classBytes(index))
    this.#keptBytes -= memory.length
    return memory
  }

  /** Gives back what take() gave, or any view of it: the whole of its buffer is used again. */
  give(view: Uint8Array): void {
    const { buffer } = view
    const { byteLength } = buffer
    const index = classIndex(byteLength)
    const kept = this.#free[index]
    if (kept === undefined || byteLength !== classBytes(index)) return
    if (this.#keptBytes + byteLength > this.#keptBytesMax) return
    this.#keptBytes += byteLength
    kept.push(new Uint8Array(buffer as ArrayBuffer))
  }
}

function classBytes(index: number): number {
  return (classBytesMin << index) + headerRoomBytes
}

function classIndex(length: number): number {
  let index = 0
  while (index < classCount && classBytes(index) < length) index++
  return index
}

// A first-in first-out queue with a declared bound (law 8). Reaching it is the caller's business:
// push() answers false and the caller refuses work with Fault 'overloaded'.

export class BoundedQueue<T> {
  readonly #countMax: number
  #items: (T | undefined)[] = []
  #head = 0

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  get length(): number {
    return this.#items.length - this.#head
  }

  /** False, and nothing is kept, when the queue is full. */
  push(item: T): boolean {
    if (this.length >= this.#countMax) return false
    this.#items.push(item)
    return true
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head++] = undefined
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  /** Takes everything, in order. */
  drain(): T[] {
    const items = this.#items.slice(this.#head) as T[]
    this.#items = []
    this.#head = 0
    return items
  }
}

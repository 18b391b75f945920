// What happens next in a world: a binary heap by virtual time. Events due at the same instant come out
// in an order drawn from the seed, so code that depends on such an order shows itself. What must stay in
// order (bytes of a connection) is kept in order by its own queue: an event only says "deliver next".

import type { Random } from '../src/base/index.ts'

export type SimEvent = {
  readonly dueMs: number
  readonly label: string
  readonly run: () => void
  /** Undefined: an event of the world itself. Dropped when the owner is gone. */
  readonly owner: EventOwner | undefined
  readonly tie: number
  readonly number: number
  isCancelled: boolean
}

export type EventOwner = {
  readonly name: string
  readonly isAlive: boolean
  /** Events wait until then: a pause of the whole node. */
  readonly pausedUntilMs: number
}

export class EventQueue {
  readonly #random: Random
  readonly #heap: SimEvent[] = []
  #number = 0

  constructor(random: Random) {
    this.#random = random
  }

  get length(): number {
    return this.#heap.length
  }

  push({
    dueMs,
    label,
    run,
    owner,
  }: Pick<SimEvent, 'dueMs' | 'label' | 'run' | 'owner'>): SimEvent {
    const tie = this.#random.integer(0x1_0000_0000)
    const queued = { dueMs, label, run, owner, tie, number: this.#number++, isCancelled: false }
    this.#heap.push(queued)
    this.#rise(this.#heap.length - 1)
    return queued
  }

  pop(): SimEvent | undefined {
    const first = this.#heap[0]
    const last = this.#heap.pop()
    if (first === undefined || last === undefined) return undefined
    if (this.#heap.length > 0) {
      this.#heap[0] = last
      this.#sink(0)
    }
    return first
  }

  #rise(start: number): void {
    let at = start
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#swapIfBefore(at, parent)) return
      at = parent
    }
  }

  #sink(start: number): void {
    let at = start
    for (;;) {
      const left = 2 * at + 1
      const right = left + 1
      let least = left
      const rightEvent = this.#heap[right]
      if (rightEvent !== undefined && isBefore(rightEvent, this.#heap[left] as SimEvent))
        least = right
      if (this.#heap[least] === undefined || !this.#swapIfBefore(least, at)) return
      at = least
    }
  }

  #swapIfBefore(a: number, b: number): boolean {
    const [left, right] = [this.#heap[a] as SimEvent, this.#heap[b] as SimEvent]
    if (!isBefore(left, right)) return false
    this.#heap[a] = right
    this.#heap[b] = left
    return true
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  if (a.dueMs !== b.dueMs) return a.dueMs < b.dueMs
  return a.tie === b.tie ? a.number < b.number : a.tie < b.tie
}

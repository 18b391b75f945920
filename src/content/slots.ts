// Slots of the kernel's memory, handed out to uploads, degraded reads and repairs of one thread.
// Bounded (law 8): who finds none waits in line, all slots of a stripe at once, so that nobody holds part of
// a stripe while waiting for the rest; after waitMsMax the answer is Fault 'overloaded'. The most recently
// used slots go out first, so that a quiet thread touches little memory.

import { assert, Fault } from '../base/index.ts'
import type { Clock } from '../host/index.ts'
import type { Slot } from './kernel/kernel.ts'

const waitMsMax = 10_000
const waitersMax = 4_096

type Waiter = {
  readonly count: number
  readonly give: (slots: Slot[]) => void
}

export class SlotPool {
  readonly #clock: Clock
  readonly #count: number
  readonly #free: Slot[]
  readonly #waiters: Waiter[] = []

  constructor(slots: readonly Slot[], clock: Clock) {
    this.#clock = clock
    this.#count = slots.length
    this.#free = [...slots].reverse()
  }

  get freeCount(): number {
    return this.#free.length
  }

  get count(): number {
    return this.#count
  }

  /** Each slot taken is freed exactly once. Fault 'overloaded'. */
  take(count: number): Promise<Slot[]> {
    assert(count <= this.#count, 'a stripe fits the kernel memory')
    if (this.#waiters.length === 0 && this.#free.length >= count) {
      return Promise.resolve(this.#pop(count))
    }
    if (this.#waiters.length >= waitersMax) return Promise.reject(busy())
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        count,
        give: (slots) => {
          timer.cancel()
          resolve(slots)
        },
      }
      const timer = this.#clock.after(waitMsMax, () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        reject(busy())
        this.#serve()
      })
      this.#waiters.push(waiter)
    })
  }

  free(slot: Slot): void {
    this.#free.push(slot)
    assert(this.#free.length <= this.#count, 'a slot is freed once')
    if (this.#waiters.length > 0) this.#serve()
  }

  freeAll(slots: Iterable<Slot>): void {
    for (const slot of slots) this.free(slot)
  }

  #serve(): void {
    for (;;) {
      const first = this.#waiters[0]
      if (first === undefined || first.count > this.#free.length) return
      this.#waiters.shift()
      first.give(this.#pop(first.count))
    }
  }

  #pop(count: number): Slot[] {
    return this.#free.splice(this.#free.length - count, count)
  }
}

function busy(): Fault {
  return new Fault('overloaded', 'too many transfers at once: no memory for another stripe', {
    next: 'Repeat the request a little later.',
  })
}

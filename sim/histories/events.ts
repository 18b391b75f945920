// Calls and returns of one partition in order of time, as doubly linked lists over arrays of numbers.
//
// Operations with an outcome have a call and a return in the list: event 0 is the head, others are
// counted from 1. Operations without (pending) have only a call: `pendingBefore[j]` is the event that comes
// next after it. An operation that is lifted out can be put back in the opposite order, because it still
// knows its neighbours (Knuth's dancing links).

import type { History, Operation } from './history.ts'

export class Events<Input, Output> {
  /** With an outcome, in order of calls. */
  readonly done: readonly Operation<Input, Output>[]
  /** Without an outcome, in order of calls. */
  readonly pending: readonly Operation<Input, Output>[]
  readonly pendingBefore: Int32Array
  /** Of an event: the number of its operation in `done`. */
  readonly operationOf: Int32Array
  /** Of an event: 1 for a call. */
  readonly isCall: Uint8Array
  readonly next: Int32Array
  readonly #previous: Int32Array
  readonly #callOf: Int32Array
  readonly #returnOf: Int32Array

  constructor(history: History<Input, Output>) {
    const byCall = [...history].sort((a, b) => a.calledAt - b.calledAt)
    this.done = byCall.filter(({ output }) => output !== undefined)
    this.pending = byCall.filter(({ output }) => output === undefined)
    const count = this.done.length * 2 + 1
    this.operationOf = new Int32Array(count)
    this.isCall = new Uint8Array(count)
    this.next = new Int32Array(count)
    this.#previous = new Int32Array(count)
    this.#callOf = new Int32Array(this.done.length)
    this.#returnOf = new Int32Array(this.done.length)
    this.pendingBefore = new Int32Array(this.pending.length)
    this.#fill()
  }

  #fill(): void {
    const events = this.done.flatMap((operation, number) => [
      { at: operation.calledAt, isCall: 1, number },
      { at: operation.returnedAt, isCall: 0, number },
    ])
    // Calls first at the same time: such operations count as concurrent.
    events.sort((a, b) => a.at - b.at || b.isCall - a.isCall || a.number - b.number)
    let pending = 0
    events.forEach(({ at, isCall, number }, index) => {
      const event = index + 1
      this.operationOf[event] = number
      this.isCall[event] = isCall
      this.next[event - 1] = event
      this.#previous[event] = event - 1
      const place = isCall === 1 ? this.#callOf : this.#returnOf
      place[number] = event
      while ((this.pending[pending]?.calledAt ?? Number.POSITIVE_INFINITY) <= at) {
        this.pendingBefore[pending++] = event
      }
    })
    while (pending < this.pending.length) this.pendingBefore[pending++] = events.length + 1
  }

  /** Takes call and return of an operation with an outcome out of the list. */
  lift(number: number): void {
    this.#unlink(this.#callOf[number] as number)
    this.#unlink(this.#returnOf[number] as number)
  }

  /** Undoes the lift that was not undone yet and came last. */
  putBack(number: number): void {
    this.#relink(this.#returnOf[number] as number)
    this.#relink(this.#callOf[number] as number)
  }

  // The last event has next 0, the head: a list of nothing is a head that follows itself.
  #unlink(event: number): void {
    const before = this.#previous[event] as number
    const after = this.next[event] as number
    this.next[before] = after
    if (after !== 0) this.#previous[after] = before
  }

  #relink(event: number): void {
    const before = this.#previous[event] as number
    const after = this.next[event] as number
    this.next[before] = event
    if (after !== 0) this.#previous[after] = event
  }
}

// Who waits for which entry of one group. A proposal is: waiting (not yet given to the core), then
// appended (it has an index and a term), then settled.
//
// Settling is exact: the entry at that index applied with that term gives its answer; applied with
// another term means that ours was overwritten and never commits (Log Matching, thesis 3.6.3). When
// leadership is lost the entry may still commit under the next leader, so waiting goes on for a grace
// period, and ends with outcome unknown.

import { assert, Fault, type NodeId } from '../base/index.ts'
import type { Entry } from './core/types.ts'

type Waiting = {
  readonly payload: Uint8Array
  readonly resolve: (answer: Uint8Array) => void
  readonly reject: (fault: Fault) => void
}
type Appended = {
  readonly term: number
  readonly resolve: (answer: Uint8Array) => void
  readonly reject: (fault: Fault) => void
}

export class Proposals {
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #proposed: Waiting[] = []
  readonly #appended = new Map<number, Appended>()
  readonly #waitingBytesMax: number

  constructor(waitingBytesMax: number) {
    this.#waitingBytesMax = waitingBytesMax
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0
  }

  /** Fault 'overloaded' at the bound of what may wait for one turn. */
  add(payload: Uint8Array): Promise<Uint8Array> {
    if (this.#waitingBytes + payload.length > this.#waitingBytesMax && this.#waiting.length > 0) {
      return Promise.reject(overloaded())
    }
    this.#waitingBytes += payload.length
    return new Promise((resolve, reject) => this.#waiting.push({ payload, resolve, reject }))
  }

  /** Gives what waits to `propose`, in pieces of about `bytesMax`; a refused piece ends it. */
  give(
    propose: (payloads: readonly Uint8Array[]) => 'ok' | 'dropped',
    options: { readonly bytesMax: number; readonly refusal: () => Fault },
  ): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    for (let at = 0; at < waiting.length; ) {
      const end = pieceEnd(waiting, at, options.bytesMax)
      const piece = waiting.slice(at, end)
      if (propose(piece.map((one) => one.payload)) === 'dropped') {
        const fault = options.refusal()
        for (const one of waiting.slice(at)) one.reject(fault)
        return
      }
      for (const one of piece) this.#proposed.push(one)
      at = end
    }
  }

  /** Finds the proposals of this turn among the core's new entries, by the identity of the payload. */
  appended(entries: readonly Entry[]): void {
    if (this.#proposed.length === 0) return
    let next = 0
    for (const entry of entries) {
      const one = this.#proposed[next]
      if (one === undefined) break
      if (entry.payload !== one.payload) continue
      this.#appended.set(entry.index, {
        term: entry.term,
        resolve: one.resolve,
        reject: one.reject,
      })
      next++
    }
    assert(next === this.#proposed.length, 'every accepted proposal is among the new entries')
    this.#proposed = []
  }

  /** The entry was applied and its transaction has committed. */
  applied(entry: Entry, answer: Uint8Array | undefined): void {
    const pending = this.#appended.get(entry.index)
    if (pending === undefined) return
    this.#appended.delete(entry.index)
    if (pending.term !== entry.term) {
      pending.reject(new Fault('not-leader', 'another leader replaced the entry', leaderIs(0)))
      return
    }
    assert(answer !== undefined, 'the state machine answers every entry')
    pending.resolve(answer)
  }

  /** Everything at and before `index` was replaced by a snapshot: what became of it is not known. */
  skippedTo(index: number): void {
    for (const [at, pending] of this.#appended) {
      if (at > index) continue
      this.#appended.delete(at)
      pending.reject(lost())
    }
  }

  /** Ends the waiting for entries of terms before `term`. */
  abandonBefore(term: number): void {
    for (const [at, pending] of this.#appended) {
      if (pending.term >= term) continue
      this.#appended.delete(at)
      pending.reject(lost())
    }
  }

  /** Ends all waiting: what waits has not happened (`failed`), what was appended may (`unknown`). */
  rejectAll(failed: Fault, unknown: Fault): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    for (const one of waiting) one.reject(failed)
    for (const pending of this.#appended.values()) pending.reject(unknown)
    this.#appended.clear()
  }
}

/** Field for Fault 'not-leader'; 0: unknown. */
export function leaderIs(leader: NodeId | 0 | undefined): {
  readonly fields: Readonly<Record<string, string>>
} {
  return { fields: { leader: leader === undefined || leader === 0 ? '' : String(leader) } }
}

export function overloaded(): Fault {
  return new Fault('overloaded', 'too many bytes wait to be committed', {
    next: 'send more slowly',
  })
}

function lost(): Fault {
  return new Fault('unavailable', 'leadership was lost before the entry was applied', {
    outcome: 'unknown',
    next: 'ask again with the same request id',
  })
}

function pieceEnd(waiting: readonly Waiting[], start: number, bytesMax: number): number {
  let bytes = 0
  let at = start
  while (at < waiting.length) {
    bytes += (waiting[at] as Waiting).payload.length
    if (bytes > bytesMax && at > start) break
    at++
  }
  return at
}

// The request ids of one session on one namespace: numbers from 1, the lowest that has not ended, and the time at
// which the session began (core/sessions.ts says what each is for).

import { createSlab } from './core/bytes.ts'
import { encodeWrite, type WriteKind } from './core/entry.ts'

export class Sequences {
  readonly #session: number
  readonly #allocate = createSlab()
  readonly #open = new Set<number>()
  /** Entries' time when the session began; undefined before its first request. */
  #openedMs: number | undefined
  #next = 1
  #lowest = 1

  constructor(session: number) {
    this.#session = session
  }

  get isBegun(): boolean {
    return this.#openedMs !== undefined
  }

  open(): number {
    const sequence = this.#next++
    this.#open.add(sequence)
    return sequence
  }

  encode(kind: WriteKind, sequence: number, body: Uint8Array): Uint8Array {
    const [session, lowestOpen] = [this.#session, this.#lowest]
    const id = { session, openedMs: this.#openedMs ?? 0, sequence, lowestOpen }
    return encodeWrite({ ...id, kind, body }, this.#allocate)
  }

  /** The session begins, or was forgotten and begins anew under the same number. */
  renew(timeMs: number): void {
    this.#openedMs = Math.max(this.#openedMs ?? 0, timeMs)
  }

  close(sequence: number): void {
    this.#open.delete(sequence)
    while (this.#lowest < this.#next && !this.#open.has(this.#lowest)) this.#lowest++
  }
}

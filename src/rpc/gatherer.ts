// Requests of one turn that travel together: what is added before the turn ends is given to `send` as one list, and
// each asker gets its own answer. It makes the cost of what carries them (an entry of the log, a call between nodes)
// one per turn instead of one per request, and holds nobody up: a turn ends when the loop has nothing else to run.

import { assert, partsMax, toFault } from '../base/index.ts'
import type { Clock } from '../host/index.ts'

type Waiting = {
  readonly resolve: (answer: Uint8Array) => void
  readonly reject: (reason: unknown) => void
}

/** As many answers as parts, in their order: bytes, or the Fault of one. A rejection is that of all. */
export type SendParts<Answer> = (parts: readonly Uint8Array[]) => Promise<readonly Answer[]>

export class Gatherer {
  readonly #clock: Pick<Clock, 'soon'>
  readonly #bytesMax: number
  readonly #send: SendParts<Uint8Array | Error>
  #parts: Uint8Array[] = []
  #waiting: Waiting[] = []
  #bytes = 0
  #isFlushing = false

  /** A list is sent early rather than that it exceeds `bytesMax`; one part may exceed it alone. */
  constructor(
    clock: Pick<Clock, 'soon'>,
    options: { readonly bytesMax: number; readonly send: SendParts<Uint8Array | Error> },
  ) {
    this.#clock = clock
    this.#bytesMax = options.bytesMax
    this.#send = options.send
  }

  add(part: Uint8Array): Promise<Uint8Array> {
    const isFull = this.#parts.length === partsMax || this.#bytes + part.length > this.#bytesMax
    if (isFull && this.#parts.length > 0) this.#sendAll()
    return new Promise((resolve, reject) => {
      this.#parts.push(part)
      this.#waiting.push({ resolve, reject })
      this.#bytes += part.length
      if (this.#isFlushing) return
      this.#isFlushing = true
      this.#clock.soon(() => {
        this.#isFlushing = false
        this.#sendAll()
      })
    })
  }

  #sendAll(): void {
    const parts = this.#parts
    const waiting = this.#waiting
    if (parts.length === 0) return
    this.#parts = []
    this.#waiting = []
    this.#bytes = 0
    this.#send(parts).then(
      (answers) => {
        assert(answers.length === waiting.length, 'every part has an answer')
        for (let i = 0; i < waiting.length; i++) {
          const answer = answers[i] as Uint8Array | Error
          if (answer instanceof Uint8Array) waiting[i]?.resolve(answer)
          else waiting[i]?.reject(answer)
        }
      },
      (error: unknown) => {
        const fault = toFault(error)
        for (const { reject } of waiting) reject(fault)
      },
    )
  }
}

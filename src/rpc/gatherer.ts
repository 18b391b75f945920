// Requests of one turn that travel together: what is added before the turn ends is given to `send` as one list, and
// each asker gets its own answer. It makes the cost of what carries them (an entry of the log, a call between nodes)
// one per turn instead of one per request, and holds nobody up: a turn ends when the loop has nothing else to run.

import { assert, type Fault, partsMax, toFault } from '../base/index.ts'
import type { Clock } from '../host/index.ts'

/** An asker of `count` parts that follow one another. */
type Waiting = {
  readonly count: number
  readonly settle: (answers: readonly (Uint8Array | Error)[], at: number) => void
  readonly fail: (fault: Fault) => void
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
    this.#makeRoom(part)
    return new Promise((resolve, reject) => {
      this.#push(part)
      this.#wait({
        count: 1,
        settle: (answers, at) => {
          const answer = answers[at] as Uint8Array | Error
          if (answer instanceof Uint8Array) resolve(answer)
          else reject(answer)
        },
        fail: reject,
      })
    })
  }

  /** The same for many at the cost of one. Never rejects. */
  async addAll(parts: readonly Uint8Array[]): Promise<readonly (Uint8Array | Fault)[]> {
    const waits: Promise<readonly (Uint8Array | Fault)[]>[] = []
    for (let from = 0, to = 0; from < parts.length; from = to) {
      this.#makeRoom(parts[from] as Uint8Array)
      for (to = from; to < parts.length; to++) {
        const part = parts[to] as Uint8Array
        if (to > from && this.#isFull(part)) break
        this.#push(part)
      }
      waits.push(this.#waitFor(to - from))
    }
    const [only] = waits
    if (waits.length === 1 && only !== undefined) return only
    return (await Promise.all(waits)).flat()
  }

  #waitFor(count: number): Promise<readonly (Uint8Array | Fault)[]> {
    return new Promise((resolve) => {
      this.#wait({
        count,
        settle: (answers, at) => {
          const own: (Uint8Array | Fault)[] = []
          for (let i = at; i < at + count; i++) {
            const answer = answers[i] as Uint8Array | Error
            own.push(answer instanceof Uint8Array ? answer : toFault(answer))
          }
          resolve(own)
        },
        fail: (fault) => resolve(new Array(count).fill(fault)),
      })
    })
  }

  #isFull(part: Uint8Array): boolean {
    return this.#parts.length === partsMax || this.#bytes + part.length > this.#bytesMax
  }

  #makeRoom(part: Uint8Array): void {
    if (this.#parts.length > 0 && this.#isFull(part)) this.#sendAll()
  }

  #push(part: Uint8Array): void {
    this.#parts.push(part)
    this.#bytes += part.length
  }

  #wait(waiting: Waiting): void {
    this.#waiting.push(waiting)
    if (this.#isFlushing) return
    this.#isFlushing = true
    this.#clock.soon(() => {
      this.#isFlushing = false
      this.#sendAll()
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
        assert(answers.length === parts.length, 'every part has an answer')
        let at = 0
        for (const one of waiting) {
          one.settle(answers, at)
          at += one.count
        }
      },
      (error: unknown) => {
        const fault = toFault(error)
        for (const { fail } of waiting) fail(fault)
      },
    )
  }
}

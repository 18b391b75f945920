// Waiting no longer than asked for.

import { Fault } from '../base/index.ts'
import type { Clock } from '../host/index.ts'

export const timeoutMsDefault = 5_000
const timeoutMsMax = 3_600_000

/** What a caller gave, within bounds. Fault 'invalid' for what is no duration. */
export function timeoutOf(options: { readonly timeoutMs?: number } | undefined): number {
  const ms = options?.timeoutMs ?? timeoutMsDefault
  if (!(ms > 0 && ms <= timeoutMsMax)) {
    throw new Fault('invalid', 'a timeout is between 1 ms and an hour')
  }
  return ms
}

/** An end that many calls wait for: a listener costs little, unlike one of an AbortSignal. */
export class Closing {
  readonly #abort = new AbortController()
  readonly #listeners = new Set<() => void>()

  /** For whom it has to be one. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get isClosed(): boolean {
    return this.#abort.signal.aborted
  }

  listen(run: () => void): void {
    this.#listeners.add(run)
  }

  unlisten(run: () => void): void {
    this.#listeners.delete(run)
  }

  close(): void {
    this.#abort.abort()
    for (const run of [...this.#listeners]) run()
    this.#listeners.clear()
  }
}

/** Settles as the promise does, or fails with what late() makes, or as cancelled. The work itself goes on. */
export function within<T>(
  clock: Clock,
  work: Promise<T>,
  limit: {
    readonly ms: number
    readonly late: () => Fault
    readonly closing?: Closing | undefined
  },
): Promise<T> {
  const { ms, late, closing } = limit
  return new Promise((resolve, reject) => {
    const onClose = (): void =>
      reject(new Fault('cancelled', 'the request was cancelled', { outcome: 'unknown' }))
    const timer = clock.after(ms, () => reject(late()))
    const end = (): void => {
      timer.cancel()
      closing?.unlisten(onClose)
    }
    closing?.listen(onClose)
    work.then(
      (value) => {
        end()
        resolve(value)
      },
      (error: unknown) => {
        end()
        reject(error)
      },
    )
  })
}

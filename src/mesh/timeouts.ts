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

/** Settles as the promise does, or fails with what late() makes, or as cancelled. The work itself goes on. */
export function within<T>(
  clock: Clock,
  work: Promise<T>,
  limit: {
    readonly ms: number
    readonly late: () => Fault
    readonly signal?: AbortSignal | undefined
  },
): Promise<T> {
  const { ms, late, signal } = limit
  return new Promise((resolve, reject) => {
    const onAbort = (): void =>
      reject(new Fault('cancelled', 'the request was cancelled', { outcome: 'unknown' }))
    const timer = clock.after(ms, () => reject(late()))
    const end = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
    signal?.addEventListener('abort', onAbort)
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

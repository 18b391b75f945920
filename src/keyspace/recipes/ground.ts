// What every recipe stands on, and the one way in which recipes wait: read, watch from behind what was
// read, and when the watch tells of something or ends for whatever reason, read again. So a watch that was
// overtaken by compaction, or whose node went away, costs a look and never an event.

import { Fault, isFault } from '../../base/index.ts'
import type { Host } from '../../host/index.ts'
import type { FullKeyspace, WatchRequest } from '../keyspace.ts'

export type Ground = {
  readonly host: Pick<Host, 'clock' | 'random'>
  readonly keyspace: FullKeyspace
}

/** Between looks while watches cannot be had. */
const lookAgainMs = 100

/**
 * Settles when the watch shows an event, or after a moment when it ended by itself: look again. Fault
 * 'cancelled' when the signal aborts.
 */
export async function untilEvent(
  { host, keyspace }: Ground,
  request: WatchRequest,
  signal?: AbortSignal,
): Promise<void> {
  const seen = await nextEvent(keyspace, request, signal)
  if (seen === 'ended') await host.clock.sleep(lookAgainMs, signal)
}

function nextEvent(
  keyspace: FullKeyspace,
  request: WatchRequest,
  signal: AbortSignal | undefined,
): Promise<'event' | 'ended'> {
  if (signal?.aborted === true) return Promise.reject(cancelled())
  return new Promise((resolve, reject) => {
    const onAbort = (): void => end(() => reject(cancelled()))
    const end = (settle: () => void): void => {
      signal?.removeEventListener('abort', onAbort)
      watch.close()
      settle()
    }
    const watch = keyspace.watch(request, {
      onResponse: ({ events }) => {
        if (events.length > 0) end(() => resolve('event'))
        return true
      },
      onEnded: () => end(() => resolve('ended')),
    })
    signal?.addEventListener('abort', onAbort)
  })
}

export function cancelled(): Fault {
  return new Fault('cancelled', 'the wait was cancelled')
}

/** The work, or Fault 'cancelled' as soon as the signal aborts; the work goes on then, unobserved. */
export function orCancelled<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      signal.removeEventListener('abort', onAbort)
      reject(cancelled())
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort)
    work.then(
      (value) => {
        signal.removeEventListener('abort', onAbort)
        resolve(value)
      },
      (error: unknown) => {
        signal.removeEventListener('abort', onAbort)
        reject(error)
      },
    )
  })
}

/** Runs in the background; what failed as expected is nobody's to hear of. */
export function inBackground(work: Promise<unknown>): void {
  void work.catch((error: unknown) => {
    if (!isFault(error)) throw error
  })
}

const nameBytesMax = 1024

/** Names are texts of 1 to 1,024 bytes. Fault 'invalid'. */
export function checkRecipeName(name: Uint8Array): void {
  if (name.length > 0 && name.length <= nameBytesMax) return
  throw new Fault('invalid', `a name has 1 to ${nameBytesMax} bytes`)
}

/** Fault 'invalid' unless it is a whole number within the bounds. */
export function checkBound(value: number, what: string, of: readonly [number, number]): void {
  const [least, most] = of
  if (Number.isSafeInteger(value) && value >= least && value <= most) return
  throw new Fault('invalid', `${what} is a whole number from ${least} to ${most}`)
}

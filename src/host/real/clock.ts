// The system's clocks and timers. Monotonic time is comparable within one thread only.

import { Fault } from '../../base/index.ts'
import type { Clock, Timer } from '../host.ts'
import { everyBeat } from './beats.ts'

export const realClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep,
  after(ms, run): Timer {
    const timer = setTimeout(run, ms)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
  every: everyBeat,
  soon(run) {
    setImmediate(run)
  },
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancelled = () => new Fault('cancelled', 'the wait was cancelled')
    if (signal?.aborted) return reject(cancelled())
    const onAbort = () => {
      clearTimeout(timer)
      reject(cancelled())
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

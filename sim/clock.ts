// A node's clocks. Monotonic time runs at the node's own rate (drift, drawn per start, up to 0.2 %);
// wall time is that plus an offset that jumps. Timers follow the monotonic clock.

import { Fault } from '../src/base/index.ts'
import type { Clock, Timer } from '../src/host/index.ts'
import type { SimHost } from './sim-host.ts'
import type { World } from './world.ts'

/** 2026-01-01 00:00 UTC. */
const epochMs = 1_767_225_600_000
const driftRange = 0.002
/** As the system's: a wait for the rounding error of a deadline must not stop time. */
const timerMsMin = 1

export class SimClock implements Clock {
  readonly #host: SimHost
  readonly #world: World
  readonly #rate: number
  readonly #startMs: number
  #wallOffsetMs: number

  constructor(host: SimHost, world: World) {
    this.#host = host
    this.#world = world
    this.#rate = 1 + driftRange * ((2 * host.random.integer(1_000)) / 1_000 - 1)
    this.#startMs = world.nowMs
    this.#wallOffsetMs = host.random.integer(200) - 100
  }

  wallMs(): number {
    return Math.floor(epochMs + this.#world.nowMs + this.#wallOffsetMs)
  }

  monotonicMs(): number {
    return (this.#world.nowMs - this.#startMs) * this.#rate
  }

  /** A fault: somebody sets the clock. */
  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(cancelled())
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        timer.cancel()
        reject(cancelled())
      }
      const timer = this.after(ms, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  after(ms: number, run: () => void): Timer {
    return this.#host.schedule(Math.max(timerMsMin, ms) / this.#rate, 'timer', run)
  }

  every(ms: number, run: () => void): Timer {
    let isCancelled = false
    let timer: Timer
    const again = (): void => {
      timer = this.after(Math.max(1, ms), () => {
        again()
        run()
      })
    }
    again()
    return {
      cancel: () => {
        if (isCancelled) return
        isCancelled = true
        timer.cancel()
      },
    }
  }

  soon(run: () => void): void {
    this.#host.schedule(0, 'soon', run)
  }
}

function cancelled(): Fault {
  return new Fault('cancelled', 'the wait was cancelled')
}

// A node's clocks. Monotonic time runs at the node's own rate (drift, drawn per start, up to 0.2 %);
// wall time is that plus an offset that jumps. Timers follow the monotonic clock. A skewed clock runs at another rate
// for a while; timers that are set already keep their moment.

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
  readonly #drift: number
  #rate: number
  /** Where the rate last changed: world time, and this clock's. */
  #sinceMs: number
  #monotonicMs = 0
  #wallOffsetMs: number

  constructor(host: SimHost, world: World) {
    this.#host = host
    this.#world = world
    this.#drift = 1 + driftRange * ((2 * host.random.integer(1_000)) / 1_000 - 1)
    this.#rate = this.#drift
    this.#sinceMs = world.nowMs
    this.#wallOffsetMs = host.random.integer(200) - 100
  }

  wallMs(): number {
    return Math.floor(epochMs + this.#world.nowMs + this.#wallOffsetMs)
  }

  monotonicMs(): number {
    return this.#monotonicMs + (this.#world.nowMs - this.#sinceMs) * this.#rate
  }

  /** A fault: so many of its milliseconds pass per millisecond from now on. */
  run(rate: number): void {
    const world = this.#world
    world.clockRateMin = Math.min(world.clockRateMin, rate)
    world.clockRateMax = Math.max(world.clockRateMax, rate)
    this.#monotonicMs = this.monotonicMs()
    this.#sinceMs = world.nowMs
    this.#rate = rate * this.#drift
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

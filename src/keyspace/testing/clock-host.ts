// A host whose clocks stand still until a test moves them: wall and monotonic time apart, timers run by
// hand. Everything else is the host it is made from.

import type { Host, Timer } from '../../host/index.ts'

type Periodic = {
  readonly ms: number
  readonly run: () => void
  dueMs: number
  isCancelled: boolean
}

export class TestClock {
  readonly host: Host
  wallMs = 1_700_000_000_000
  monotonicMs = 5000
  readonly #timers: Periodic[] = []

  constructor(real: Host) {
    const { clock } = real
    this.host = {
      ...real,
      clock: {
        wallMs: () => this.wallMs,
        monotonicMs: () => this.monotonicMs,
        sleep: (ms, signal) => clock.sleep(ms, signal),
        after: (ms, run) => clock.after(ms, run),
        every: (ms, run) => this.#every(ms, run),
        soon: (run) => clock.soon(run),
      },
    }
  }

  /** Time passes in steps, as a running node sees it: each step runs what is due. */
  async pass(ms: number, stepMs = 250): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) await this.jump(Math.min(left, stepMs))
  }

  /** Time passes at once, as a node sees it that was stopped: what is due runs once. */
  async jump(ms: number): Promise<void> {
    this.monotonicMs += ms
    this.wallMs += ms
    for (const timer of [...this.#timers]) {
      if (timer.isCancelled || timer.dueMs > this.monotonicMs) continue
      timer.dueMs = this.monotonicMs + timer.ms
      timer.run()
    }
    for (let turn = 0; turn < 6; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
  }

  #every(ms: number, run: () => void): Timer {
    const timer = { ms, run, dueMs: this.monotonicMs + ms, isCancelled: false }
    this.#timers.push(timer)
    return {
      cancel: () => {
        timer.isCancelled = true
      },
    }
  }
}

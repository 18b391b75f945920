// A rate limit in bytes per second: what passes is paid for afterwards, so that a pause of the payer is
// never longer than its last piece was worth, and nothing is saved up beyond a tenth of a second.

import type { Clock } from '../host/index.ts'

const savedMsMax = 100

export class Pace {
  readonly #clock: Clock
  readonly #bytesPerMs: number
  /** When all that passed is paid for. */
  #paidMs = 0

  /** 0: no limit. */
  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock
    this.#bytesPerMs = bytesPerSecond / 1_000
  }

  async pass(bytes: number): Promise<void> {
    if (this.#bytesPerMs === 0) return
    const nowMs = this.#clock.monotonicMs()
    this.#paidMs = Math.max(this.#paidMs, nowMs - savedMsMax) + bytes / this.#bytesPerMs
    const waitMs = this.#paidMs - nowMs
    if (waitMs >= 1) await this.#clock.sleep(waitMs)
  }
}

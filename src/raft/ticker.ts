// The driver's clock: ticks at their period while something is awake, and naps of many ticks while all
// groups rest. A tick counts once however late it is, and a nap as many as were planned, so that a
// pause of this process never looks like the death of others.

import type { Clock, Timer } from '../host/index.ts'
import { TickLateness } from './tick-lateness.ts'

const latenessSamples = 4_096

export class Ticker {
  readonly #clock: Clock
  readonly #tickMs: number
  readonly #onTick: () => number
  readonly #lateness = new TickLateness(latenessSamples)
  #tick = 0
  #planned = 1
  #armedMs = 0
  #timer: Timer
  #isCancelled = false
  #lateMs = 0

  /** `onTick` answers the ticks until it wants to run again: 1 while anything is awake. */
  constructor(clock: Clock, tickMs: number, onTick: () => number) {
    this.#clock = clock
    this.#tickMs = tickMs
    this.#onTick = onTick
    this.#timer = this.#arm()
  }

  /** The present tick, also in the middle of a nap. */
  get now(): number {
    return this.#tick + this.#napped()
  }

  get latenessMs(): ReturnType<TickLateness['statistics']> {
    return this.#lateness.statistics()
  }

  /** By how much the last tick came late. */
  get lateMs(): number {
    return this.#lateMs
  }

  /** Something woke: ends a nap. */
  hurry(): void {
    if (this.#planned === 1 || this.#isCancelled) return
    this.#tick += this.#napped()
    this.#planned = 1
    this.#timer.cancel()
    this.#timer = this.#arm()
  }

  cancel(): void {
    this.#isCancelled = true
    this.#timer.cancel()
  }

  /** Whole ticks of the present nap that have passed. */
  #napped(): number {
    if (this.#planned === 1) return 0
    const ticks = Math.floor((this.#clock.monotonicMs() - this.#armedMs) / this.#tickMs)
    return Math.min(ticks, this.#planned - 1)
  }

  #arm(): Timer {
    this.#armedMs = this.#clock.monotonicMs()
    return this.#clock.after(this.#planned * this.#tickMs, () => this.#fire())
  }

  #fire(): void {
    const dueMs = this.#armedMs + this.#planned * this.#tickMs
    this.#lateMs = this.#clock.monotonicMs() - dueMs
    this.#lateness.add(this.#lateMs)
    this.#tick += this.#planned
    this.#planned = 1
    const planned = this.#onTick()
    if (this.#isCancelled) return
    this.#planned = planned
    this.#timer = this.#arm()
  }
}

// A clock that a test moves by hand: timers and sleeps fall due when time passes, in order. Between two of them
// everything that can settle does.

import { Fault } from '../../../base/index.ts'
import type { Clock, Timer } from '../../../host/index.ts'

type Due = { readonly dueMs: number; readonly run: () => void; isCancelled: boolean }

export class StepClock implements Clock {
  nowMs = 1_000
  /** What a jump of the wall clock has added. */
  wallOffsetMs = 1_700_000_000_000
  #due: Due[] = []

  wallMs(): number {
    return this.nowMs + this.wallOffsetMs
  }

  monotonicMs(): number {
    return this.nowMs
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) reject(new Fault('cancelled', 'the wait was cancelled'))
      const timer = this.after(ms, resolve)
      signal?.addEventListener('abort', () => {
        timer.cancel()
        reject(new Fault('cancelled', 'the wait was cancelled'))
      })
    })
  }

  after(ms: number, run: () => void): Timer {
    const due = { dueMs: this.nowMs + ms, run, isCancelled: false }
    this.#due.push(due)
    return {
      cancel: () => {
        due.isCancelled = true
      },
    }
  }

  every(ms: number, run: () => void): Timer {
    let timer = this.after(ms, () => {})
    const again = (): void => {
      timer = this.after(ms, () => {
        again()
        run()
      })
    }
    again()
    return { cancel: () => timer.cancel() }
  }

  soon(run: () => void): void {
    setImmediate(run)
  }

  /** Time passes; what falls due runs in order. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms
    await settle()
    for (;;) {
      this.#due = this.#due.filter(({ isCancelled }) => !isCancelled)
      const next = this.#due.reduce<Due | undefined>((first, due) => {
        return due.dueMs <= endMs && (first === undefined || due.dueMs < first.dueMs) ? due : first
      }, undefined)
      if (next === undefined) break
      this.nowMs = Math.max(this.nowMs, next.dueMs)
      next.isCancelled = true
      next.run()
      await settle()
    }
    this.nowMs = endMs
    await settle()
  }

  /** The process was stopped: time has passed, and nothing has run yet. */
  jump(ms: number): void {
    this.nowMs += ms
  }
}

/** Requests of a world in one process answer within so many turns. */
const turns = 60

export async function settle(): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
}

// Virtual time: passes only when skip() says so.
//
// Alarms run in order of time, then of setting.

import type { Clock, Timer } from '../../host/index.ts'

/** Marks that something happens and lets a turn of the loop pass. */
export type Turn = () => Promise<void>

type Alarm = { atMs: number; run: () => void; everyMs: number | undefined }

export class FakeClock implements Clock {
  nowMs = 1_000
  #alarms = new Set<Alarm>()

  wallMs(): number {
    return 1_700_000_000_000 + this.nowMs
  }
  monotonicMs(): number {
    return this.nowMs
  }
  async sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => this.after(ms, resolve))
  }
  after(ms: number, run: () => void): Timer {
    return this.#set({ atMs: this.nowMs + ms, run, everyMs: undefined })
  }
  every(ms: number, run: () => void): Timer {
    return this.#set({ atMs: this.nowMs + ms, run, everyMs: ms })
  }
  soon(run: () => void): void {
    setImmediate(run)
  }

  /** Goes to the next alarm and runs it; false when there is none. */
  skip(): boolean {
    let next: Alarm | undefined
    for (const alarm of this.#alarms) if (next === undefined || alarm.atMs < next.atMs) next = alarm
    if (next === undefined) return false
    this.nowMs = Math.max(this.nowMs, next.atMs)
    if (next.everyMs === undefined) this.#alarms.delete(next)
    else next.atMs = this.nowMs + next.everyMs
    next.run()
    return true
  }

  get alarmCount(): number {
    return this.#alarms.size
  }

  #set(alarm: Alarm): Timer {
    this.#alarms.add(alarm)
    return { cancel: () => void this.#alarms.delete(alarm) }
  }
}

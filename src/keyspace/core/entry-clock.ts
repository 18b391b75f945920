// The time that entries carry. Sessions and the window of history are counted by it, so it must advance as
// real time does, on every leader, whatever becomes of wall clocks:
// 1. a leader's wall clock jumps ahead by hours;
// 2. its next entry says so, and all later ones, because time never goes back;
// 3. a compaction forgets sessions whose requests are being retried, and they would be applied twice.
// So a leader counts by its monotonic clock from the newest entry's time at the moment it took the lead.
// While nobody leads no time passes: entries' time never runs ahead of real time, at most behind. Only
// the first entry ever takes the wall clock's time.

export type ClockReading = {
  readonly monotonicMs: number
  readonly wallMs: number
  /** Time of the newest entry applied here; 0: there is none. */
  readonly newestMs: number
}

export class EntryClock {
  #anchor: { readonly monotonicMs: number; readonly timeMs: number } | undefined

  /** Leadership was taken or lost: time goes on from the newest entry at the next reading. */
  restart(): void {
    this.#anchor = undefined
  }

  /** The time of an entry that is proposed now; never less than the newest entry's, nor its last answer. */
  read(now: ClockReading): number {
    const anchor = this.#anchor
    const timeMs =
      anchor === undefined
        ? 0
        : anchor.timeMs + Math.max(0, Math.floor(now.monotonicMs - anchor.monotonicMs))
    if (anchor !== undefined && timeMs >= now.newestMs) return timeMs
    const start = now.newestMs > 0 ? now.newestMs : Math.max(1, Math.floor(now.wallMs))
    this.#anchor = { monotonicMs: now.monotonicMs, timeMs: start }
    return start
  }
}

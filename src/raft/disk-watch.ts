// A log whose sync does not return. A leader that cannot write must not lead: its heartbeats would hold everyone
// back while nothing of its own becomes durable. After some election timeouts of silence it hands leadership to
// the most advanced member; if that does not happen within another two, it steps down without an heir.
// It cannot be elected again meanwhile: its own vote would have to be synced.

import type { Journal } from '../host/index.ts'

export type WatchedGroup = {
  /** To the most advanced voter that was heard lately, if this replica leads. */
  handOver(): void
  /** Leads no longer, whether or not there is an heir. */
  stepDown(): void
}

export type DiskWatchEnds = {
  readonly journal: Journal
  readonly electionTicks: number
  /** Election timeouts until the disk counts as stalled. */
  readonly stallElections: number
  /** The batch that is with the log; the same object as long as it is the same batch. */
  readonly writing: () => object | undefined
  readonly groups: () => readonly WatchedGroup[]
}

export class DiskWatch {
  readonly #ends: DiskWatchEnds
  readonly #stalledTicks: number
  #waitingTicks = 0
  #last: object | undefined

  constructor(ends: DiskWatchEnds) {
    this.#ends = ends
    this.#stalledTicks = ends.electionTicks * ends.stallElections
  }

  /** Called once per tick. One batch is with the log at a time, so group commit hides no stall. */
  tick(): void {
    const { journal, groups, writing, electionTicks } = this.#ends
    const batch = writing()
    const isSame = batch !== undefined && batch === this.#last
    this.#last = batch
    if (!isSame) {
      if (this.#waitingTicks >= this.#stalledTicks) journal.event('notice', 'raft.disk_recovered')
      this.#waitingTicks = 0
      return
    }
    this.#waitingTicks++
    if (this.#waitingTicks === this.#stalledTicks) {
      journal.event('error', 'raft.disk_stalls', { next: 'look at the disk of the log' })
      for (const group of groups()) group.handOver()
    }
    if (this.#waitingTicks < this.#stalledTicks + 2 * electionTicks) return
    for (const group of groups()) group.stepDown()
  }
}

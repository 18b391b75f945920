// What a replica's disk holds over all its lives, as the driver uses it: a log that takes batches in order, one sync
// each, and a store whose state may fall back to its last checkpoint. The log is cut behind checkpoints only.

import type { Random } from '../../src/base/index.ts'
import type {
  ConfState,
  CoreStorage,
  Entry,
  HardState,
  Snapshot,
} from '../../src/raft/core/index.ts'

export type StoredState = {
  readonly index: number
  readonly term: number
  readonly confState: ConfState
  /** Over everything applied (oracle.ts). */
  readonly sum: number
}

/** One piece of work for the log. */
export type LogWork = {
  readonly hardState: HardState | undefined
  readonly entries: readonly Entry[]
  /** The log starts anew after this state, which the store holds durably. */
  readonly restart: StoredState | undefined
  readonly onDurable: () => void
}

const commitsKept = 24

export class CoreDisk implements CoreStorage {
  #hardState: HardState
  #cutIndex: number
  #cutTerm: number
  #entries: Entry[] = []
  /** Commits of the store since its checkpoint, oldest first; the first is the checkpoint. */
  #states: StoredState[]
  /** Bits of it flipped: the next start finds out, and the disk is of no use then. */
  isDamaged = false

  constructor(state: StoredState) {
    this.#hardState = { term: state.term, vote: 0, commit: state.index }
    this.#cutIndex = state.index
    this.#cutTerm = state.term
    this.#states = [state]
  }

  get hardState(): HardState {
    return this.#hardState
  }

  get state(): StoredState {
    return this.#states[this.#states.length - 1] as StoredState
  }

  get entryCount(): number {
    return this.#entries.length
  }

  /** Whether the entry is written and synced, or cut because a state holds it. */
  holds(index: number, term: number): boolean {
    if (index <= this.#cutIndex) return true
    return this.#entries[index - this.#cutIndex - 1]?.term === term
  }

  /** Changes of members that are written and not applied. */
  get hasUnappliedChange(): boolean {
    const from = Math.max(0, this.state.index - this.#cutIndex)
    return this.#entries.slice(from).some(({ kind }) => kind !== 'normal')
  }

  write({ hardState, entries, restart }: LogWork): void {
    if (hardState !== undefined) this.#hardState = hardState
    if (restart !== undefined) this.#restart(restart)
    const first = entries[0]
    if (first === undefined) return
    this.#entries.length = first.index - this.#cutIndex - 1
    for (const entry of entries) this.#entries.push(entry)
  }

  /** Makes a state visible; a loss of power may take it back until checkpoint(). */
  commit(state: StoredState): void {
    this.#states.push(state)
    if (this.#states.length > commitsKept) this.#states.splice(1, 1)
  }

  checkpoint(): void {
    this.#states = [this.state]
  }

  /** Forgets entries that the checkpoint holds, but not the last `keep` of them. */
  cut(keep: number): void {
    const index = Math.min((this.#states[0] as StoredState).index, this.lastIndex()) - keep
    if (index <= this.#cutIndex) return
    this.#cutTerm = this.term(index) as number
    this.#entries.splice(0, index - this.#cutIndex)
    this.#cutIndex = index
  }

  losePower(random: Random): void {
    this.#states.length = 1 + random.integer(this.#states.length)
  }

  /** As recovery does it: a store that is ahead of the log, or on another branch, is where the log begins anew. */
  recover(): void {
    const { state } = this
    if (state.index > this.lastIndex() || this.term(state.index) !== state.term) {
      this.#restart(state)
    }
    const { term, vote, commit } = this.#hardState
    this.#hardState =
      term >= state.term
        ? { term, vote, commit: Math.max(commit, state.index) }
        : { term: state.term, vote: 0, commit: state.index }
  }

  #restart(state: StoredState): void {
    this.#cutIndex = state.index
    this.#cutTerm = state.term
    this.#entries = []
    const { term, vote } = this.#hardState
    this.#hardState = {
      term: Math.max(term, state.term),
      vote: term >= state.term ? vote : 0,
      commit: state.index,
    }
  }

  // ---- what the core reads ----

  initialState(): { readonly hardState: HardState; readonly confState: ConfState } {
    return { hardState: this.#hardState, confState: this.state.confState }
  }

  entries(
    low: number,
    high: number,
    maxBytes: number,
  ): readonly Entry[] | 'compacted' | 'unavailable' {
    if (low <= this.#cutIndex) return 'compacted'
    if (high > this.lastIndex() + 1) return 'unavailable'
    const start = low - this.#cutIndex - 1
    const end = high - this.#cutIndex - 1
    let at = start
    let bytes = 0
    while (at < end) {
      bytes += (this.#entries[at] as Entry).payload.length
      if (bytes > maxBytes && at > start) break
      at++
    }
    return this.#entries.slice(start, at)
  }

  term(index: number): number | 'compacted' | 'unavailable' {
    if (index === this.#cutIndex) return this.#cutTerm
    if (index < this.#cutIndex) return 'compacted'
    return this.#entries[index - this.#cutIndex - 1]?.term ?? 'unavailable'
  }

  firstIndex(): number {
    return this.#cutIndex + 1
  }

  lastIndex(): number {
    return this.#cutIndex + this.#entries.length
  }

  snapshot(): Snapshot {
    const { index, term, confState } = this.state
    return { metadata: { index, term, confState }, payload: noBytes }
  }
}

const noBytes = new Uint8Array(0)

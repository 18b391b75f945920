// A log in memory that satisfies CoreStorage, for tests and scripts, and for a driver that keeps the tail
// of its groups' logs in memory: entries appended (replacing a conflicting tail), snapshots applied and
// created, the beginning compacted away.
//
// The first element stands for the last entry before the log: only its index and term matter.

import { assert } from '../../base/index.ts'
import { countWithin } from './entries.ts'
import type { ConfState, CoreStorage, Entry, HardState, Snapshot } from './types.ts'

export type MemoryStorage = CoreStorage & {
  setHardState(state: HardState): void
  /** Entries ascend without gap; what the log has from their first index on is replaced. */
  append(entries: readonly Entry[]): void
  /** 'out-of-date' when the storage has a snapshot at least as new. */
  applySnapshot(snapshot: Snapshot): 'ok' | 'out-of-date'
  /** Makes the snapshot of the applied state at index, which the log must hold. */
  createSnapshot(index: number, confState: ConfState, payload: Uint8Array): Snapshot | 'out-of-date'
  /** Drops the entries up to and including index. */
  compact(index: number): 'ok' | 'compacted'
}

const emptySnapshot: Snapshot = {
  metadata: {
    index: 0,
    term: 0,
    confState: {
      voters: [],
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    },
  },
  payload: new Uint8Array(0),
}

export function createMemoryStorage(): MemoryStorage {
  return new InMemory()
}

class InMemory implements MemoryStorage {
  #hardState: HardState = { term: 0, vote: 0, commit: 0 }
  #snapshot = emptySnapshot
  #entries: Entry[] = [boundary(0, 0)]

  initialState(): { readonly hardState: HardState; readonly confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#snapshot.metadata.confState }
  }

  entries(
    low: number,
    high: number,
    maxBytes: number,
  ): readonly Entry[] | 'compacted' | 'unavailable' {
    const offset = this.#offset
    if (low <= offset) return 'compacted'
    if (high > this.lastIndex() + 1) return 'unavailable'
    const count = countWithin(this.#entries, low - offset, high - offset, maxBytes)
    return this.#entries.slice(low - offset, low - offset + count)
  }

  term(index: number): number | 'compacted' | 'unavailable' {
    if (index < this.#offset) return 'compacted'
    return this.#entries[index - this.#offset]?.term ?? 'unavailable'
  }

  lastIndex(): number {
    return this.#offset + this.#entries.length - 1
  }

  firstIndex(): number {
    return this.#offset + 1
  }

  snapshot(): Snapshot {
    return this.#snapshot
  }

  setHardState(state: HardState): void {
    this.#hardState = state
  }

  append(entries: readonly Entry[]): void {
    const kept = entries.filter((entry) => entry.index > this.#offset)
    const first = kept[0]
    if (first === undefined) return
    assert(first.index <= this.lastIndex() + 1, 'appended entries leave no gap')
    this.#entries.length = first.index - this.#offset
    for (const entry of kept) this.#entries.push(entry)
  }

  applySnapshot(snapshot: Snapshot): 'ok' | 'out-of-date' {
    const { index, term } = snapshot.metadata
    const ours = this.#snapshot.metadata.index
    if (ours !== 0 && ours >= index) return 'out-of-date'
    this.#snapshot = snapshot
    this.#entries = [boundary(index, term)]
    return 'ok'
  }

  createSnapshot(
    index: number,
    confState: ConfState,
    payload: Uint8Array,
  ): Snapshot | 'out-of-date' {
    if (index <= this.#snapshot.metadata.index) return 'out-of-date'
    const term = this.term(index)
    assert(typeof term === 'number', 'a snapshot is taken of what the log holds')
    this.#snapshot = { metadata: { index, term, confState }, payload }
    return this.#snapshot
  }

  compact(index: number): 'ok' | 'compacted' {
    if (index <= this.#offset) return 'compacted'
    const term = this.term(index)
    assert(typeof term === 'number', 'a log is compacted within its bounds')
    this.#entries.splice(0, index - this.#offset + 1, boundary(index, term))
    return 'ok'
  }

  get #offset(): number {
    return (this.#entries[0] as Entry).index
  }
}

function boundary(index: number, term: number): Entry {
  return { term, index, kind: 'normal', payload: new Uint8Array(0) }
}

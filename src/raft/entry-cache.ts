// The entries of one group since its cut, in memory: what the core reads as its storage. It holds
// exactly what the log has made durable, in the order in which the log did (append() is called from
// the log's acknowledgement). Its bound is the checkpoint: cutTo() follows every cut of the log.

import { assert } from '../base/index.ts'
import type { CoreStorage, Entry, HardState, Snapshot, SnapshotMetadata } from './core/types.ts'

const entryOverheadBytes = 64
const noBytes = new Uint8Array(0)

export type EntryCacheStart = {
  readonly hardState: HardState
  readonly cut: { readonly index: number; readonly term: number }
  /** Contiguous from cut.index + 1. */
  readonly entries: readonly Entry[]
  /** Where the state in the store stands now: what a snapshot for a lagging follower would hold. */
  readonly appliedState: () => SnapshotMetadata
}

export class EntryCache implements CoreStorage {
  readonly #hardState: HardState
  readonly #appliedState: () => SnapshotMetadata
  readonly #initialConfState
  #cutIndex: number
  #cutTerm: number
  #entries: Entry[]
  #bytes = 0

  constructor(start: EntryCacheStart) {
    this.#hardState = start.hardState
    this.#appliedState = start.appliedState
    this.#initialConfState = start.appliedState().confState
    this.#cutIndex = start.cut.index
    this.#cutTerm = start.cut.term
    this.#entries = [...start.entries]
    for (const entry of this.#entries) this.#bytes += costBytes(entry)
  }

  /** Memory held by entries, roughly. */
  get bytes(): number {
    return this.#bytes
  }

  get cutIndex(): number {
    return this.#cutIndex
  }

  initialState(): ReturnType<CoreStorage['initialState']> {
    return { hardState: this.#hardState, confState: this.#initialConfState }
  }

  /** Replaces everything from the first of `entries` on (Raft's conflict rule). */
  append(entries: readonly Entry[]): void {
    const first = entries[0]
    if (first === undefined) return
    const keep = first.index - this.#cutIndex - 1
    assert(keep >= 0 && keep <= this.#entries.length, 'appended entries leave no gap in the log')
    while (this.#entries.length > keep) {
      this.#bytes -= costBytes(this.#entries.pop() as Entry)
    }
    for (const entry of entries) {
      this.#entries.push(entry)
      this.#bytes += costBytes(entry)
    }
  }

  /** Forgets entries at and before `index`, which must be kept now. */
  cutTo(index: number): void {
    const count = index - this.#cutIndex
    if (count <= 0) return
    const last = this.#entries[count - 1]
    assert(last !== undefined, 'a cut stays within the log')
    this.#cutIndex = index
    this.#cutTerm = last.term
    for (const entry of this.#entries.splice(0, count)) this.#bytes -= costBytes(entry)
  }

  /** Forgets every entry: the log starts anew after an installed snapshot. */
  restart(index: number, term: number): void {
    this.#cutIndex = index
    this.#cutTerm = term
    this.#entries = []
    this.#bytes = 0
  }

  /**
   * The last index that may be cut while `index` and before is checkpointed, so that about
   * `bytesMax` and `countMax` of older entries stay for followers that are a little behind.
   */
  cutBefore(index: number, bytesMax: number, countMax: number): number {
    let at = Math.min(index, this.lastIndex())
    let bytes = 0
    for (let count = 0; at > this.#cutIndex && count < countMax; count++) {
      bytes += costBytes(this.#entries[at - this.#cutIndex - 1] as Entry)
      if (bytes > bytesMax) break
      at--
    }
    return at
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

  snapshot(): Snapshot | 'unavailable' {
    return { metadata: this.#appliedState(), payload: noBytes }
  }
}

function costBytes(entry: Entry): number {
  return entry.payload.length + entryOverheadBytes
}

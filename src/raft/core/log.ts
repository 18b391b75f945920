// The log as the core sees it: what storage holds, then the unstable part, and three marks in it:
// applied <= applying <= committed. `applying` has been handed to the state machine; how many bytes may be
// between applied and applying is limited, so that one Ready never carries an unbounded page.

import { assert } from '../../base/index.ts'
import { entriesSize } from './entries.ts'
import type { CoreStorage, Entry, Snapshot } from './types.ts'
import { UnstableLog } from './unstable.ts'

const scanBytesMax = 1 << 20

export type EntryId = { readonly term: number; readonly index: number }
export type AppendOutcome = 'mismatch' | 'conflict-with-committed' | 'appended'

export class RaftLog {
  readonly unstable: UnstableLog
  committed: number
  applying: number
  applied: number
  readonly #storage: CoreStorage
  readonly #trace: (line: string) => void
  readonly #applyingBytesMax: number
  #applyingBytes = 0
  #isApplyingPaused = false

  constructor(storage: CoreStorage, applyingBytesMax: number, trace: (line: string) => void) {
    const firstIndex = storage.firstIndex()
    this.#storage = storage
    this.#trace = trace
    this.#applyingBytesMax = applyingBytesMax
    this.unstable = new UnstableLog(storage.lastIndex() + 1, trace)
    this.committed = firstIndex - 1
    this.applying = firstIndex - 1
    this.applied = firstIndex - 1
  }

  get firstIndex(): number {
    return this.unstable.firstIndex() ?? this.#storage.firstIndex()
  }

  get lastIndex(): number {
    return this.unstable.lastIndex() ?? this.#storage.lastIndex()
  }

  lastEntryId(): EntryId {
    const index = this.lastIndex
    const term = this.term(index)
    assert(typeof term === 'number', 'the last entry of the log has a term')
    return { term, index }
  }

  /** The term at index, from firstIndex - 1 to lastIndex. */
  term(index: number): number | 'compacted' | 'unavailable' {
    const term = this.unstable.term(index)
    if (term !== undefined) return term
    if (index + 1 < this.firstIndex) return 'compacted'
    if (index > this.lastIndex) return 'unavailable'
    return this.#storage.term(index)
  }

  termOrZero(index: number): number {
    const term = this.term(index)
    return typeof term === 'number' ? term : 0
  }

  isMatching(index: number, term: number): boolean {
    return this.term(index) === term
  }

  /** Whether a log that ends in (term, index) is at least as complete as ours (Raft 5.4.1). */
  isUpToDate(term: number, index: number): boolean {
    const ours = this.lastEntryId()
    return term > ours.term || (term === ours.term && index >= ours.index)
  }

  /**
   * A leader's entries after (prevTerm, prevIndex). Only from the first conflict on is anything
   * replaced: an append that arrives late must not cut off what a newer one brought.
   */
  maybeAppend(
    prevIndex: number,
    prevTerm: number,
    entries: readonly Entry[],
    commit: number,
  ): AppendOutcome {
    if (!this.isMatching(prevIndex, prevTerm)) return 'mismatch'
    const fresh = this.#findConflict(entries)
    if (fresh < entries.length) {
      if (prevIndex + 1 + fresh <= this.committed) return 'conflict-with-committed'
      this.unstable.truncateAndAppend(entries, fresh)
    }
    this.commitTo(Math.min(commit, prevIndex + entries.length))
    return 'appended'
  }

  /** Appends after the last index, or after a truncation that keeps what is committed. */
  append(entries: readonly Entry[]): void {
    const first = entries[0]
    if (first === undefined) return
    assert(first.index > this.committed, 'committed entries are never replaced')
    this.unstable.truncateAndAppend(entries, 0)
  }

  /**
   * The largest index at most `index` whose term is at most `term`, with its term, 0 when unknown:
   * where the log of a member can agree at best with one that has `term` at `index`.
   */
  findConflictByTerm(index: number, term: number): EntryId {
    for (let at = index; at > 0; at--) {
      const ours = this.term(at)
      if (typeof ours !== 'number') return { index: at, term: 0 }
      if (ours <= term) return { index: at, term: ours }
    }
    return { index: 0, term: 0 }
  }

  commitTo(index: number): void {
    if (index <= this.committed) return
    assert(index <= this.lastIndex, 'an entry that is committed is in the log')
    this.committed = index
  }

  /** Commits up to index when the entry there is of this term (Raft 5.4.2). */
  maybeCommit(index: number, term: number): boolean {
    if (term === 0 || index <= this.committed || !this.isMatching(index, term)) return false
    this.commitTo(index)
    return true
  }

  appliedTo(index: number, bytes: number): void {
    assert(index >= this.applied && index <= this.committed, 'applied moves on within committed')
    this.applied = index
    this.applying = Math.max(this.applying, index)
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes)
    this.#isApplyingPaused = this.#applyingBytes >= this.#applyingBytesMax
  }

  acceptApplying(index: number, bytes: number, allowUnstable: boolean): void {
    assert(index <= this.committed, 'only committed entries are applied')
    this.applying = index
    this.#applyingBytes += bytes
    this.#isApplyingPaused =
      this.#applyingBytes >= this.#applyingBytesMax || index < this.#appliableIndex(allowUnstable)
  }

  hasNextCommitted(allowUnstable: boolean): boolean {
    if (this.#isApplyingPaused || this.unstable.snapshot !== undefined) return false
    return this.applying < this.#appliableIndex(allowUnstable)
  }

  /** Committed entries to apply now; with allowUnstable also such as are not yet durable here. */
  nextCommitted(allowUnstable: boolean): readonly Entry[] {
    if (!this.hasNextCommitted(allowUnstable)) return []
    const bytes = this.#applyingBytesMax - this.#applyingBytes
    assert(bytes > 0, 'applying is paused when its bytes are used up')
    const entries = this.slice(this.applying + 1, this.#appliableIndex(allowUnstable) + 1, bytes)
    assert(entries !== 'compacted', 'entries are compacted only once applied')
    return entries
  }

  /** Entries from index on, none when the log ends before it. */
  entries(index: number, maxBytes: number): readonly Entry[] | 'compacted' {
    const lastIndex = this.lastIndex
    return index > lastIndex ? [] : this.slice(index, lastIndex + 1, maxBytes)
  }

  /** Whether there is a configuration change in the log up to `through` that is not yet applied. */
  hasUnappliedConfChange(through: number): boolean {
    let low = this.applied + 1
    while (low <= through) {
      const page = this.slice(low, through + 1, scanBytesMax)
      assert(page !== 'compacted' && page.length > 0, 'unapplied entries are in the log')
      if (page.some((entry) => entry.kind !== 'normal')) return true
      low += page.length
    }
    return false
  }

  snapshot(): Snapshot | 'unavailable' {
    return this.unstable.snapshot ?? this.#storage.snapshot()
  }

  restore(snapshot: Snapshot): void {
    const { index, term } = snapshot.metadata
    this.#trace(
      `INFO log [${this.describe()}] starts to restore snapshot [index: ${index}, term: ${term}]`,
    )
    this.committed = index
    this.unstable.restore(snapshot)
  }

  describe(): string {
    const { offset, offsetInProgress, count } = this.unstable
    return (
      `committed=${this.committed}, applied=${this.applied}, applying=${this.applying}, ` +
      `unstable.offset=${offset}, unstable.offsetInProgress=${offsetInProgress}, ` +
      `len(unstable.Entries)=${count}`
    )
  }

  /** Entries [low, high), at most maxBytes of them but at least one. */
  slice(low: number, high: number, maxBytes: number): readonly Entry[] | 'compacted' {
    assert(low <= high && high <= this.lastIndex + 1, 'a range of the log ends within it')
    if (low < this.firstIndex) return 'compacted'
    if (low === high) return []
    const { offset } = this.unstable
    if (low >= offset) return this.unstable.slice(low, high, maxBytes)
    const cut = Math.min(high, offset)
    const stored = this.#storage.entries(low, cut, maxBytes)
    assert(stored !== 'unavailable', 'storage holds what lies before the unstable log')
    if (stored === 'compacted') return stored
    if (high <= offset || stored.length < cut - low) return stored
    return this.#extend(stored, offset, high, maxBytes)
  }

  #extend(stored: readonly Entry[], low: number, high: number, maxBytes: number): readonly Entry[] {
    const size = entriesSize(stored)
    if (size >= maxBytes) return stored
    const rest = this.unstable.slice(low, high, maxBytes - size)
    if (rest.length === 1 && size + entriesSize(rest) > maxBytes) return stored
    return [...stored, ...rest]
  }

  /** Position of the first entry that the log does not have. */
  #findConflict(entries: readonly Entry[]): number {
    for (let i = 0; i < entries.length; i++) {
      const { index, term } = entries[i] as Entry
      const ours = this.term(index)
      if (ours === term) continue
      if (typeof ours === 'number') {
        this.#trace(
          `INFO found conflict at index ${index} [existing term: ${ours}, conflicting term: ${term}]`,
        )
      }
      return i
    }
    return entries.length
  }

  #appliableIndex(allowUnstable: boolean): number {
    return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1)
  }
}

// The part of the log that is not known to be durable: entries from `offset` on, and a snapshot that
// replaces everything before them. Entries below offsetInProgress have been handed out for writing; a
// confirmation moves `offset`.
//
// A confirmation names term and index. Without the term: (1) entries 5,6 of term 1 are being written;
// (2) a new leader replaces them by 5,6 of term 2; (3) the confirmation of the old write arrives and
// the new entries would be taken for durable though they are not.

import { assert } from '../../base/index.ts'
import { countWithin } from './entries.ts'
import type { Entry, Snapshot } from './types.ts'

const compactFrom = 64

export class UnstableLog {
  snapshot: Snapshot | undefined
  isSnapshotInProgress = false
  /** Index of the first entry here, or of the entry that would come next. */
  offset: number
  offsetInProgress: number
  readonly #trace: (line: string) => void
  /** Live entries begin at #head; what lies before is dropped in batches. */
  #entries: Entry[] = []
  #head = 0

  constructor(offset: number, trace: (line: string) => void) {
    this.offset = offset
    this.offsetInProgress = offset
    this.#trace = trace
  }

  get count(): number {
    return this.#entries.length - this.#head
  }

  get hasNextEntries(): boolean {
    return this.offsetInProgress < this.offset + this.count
  }

  /** The first index, when a snapshot fixes it. */
  firstIndex(): number | undefined {
    return this.snapshot === undefined ? undefined : this.snapshot.metadata.index + 1
  }

  lastIndex(): number | undefined {
    if (this.count > 0) return this.offset + this.count - 1
    return this.snapshot?.metadata.index
  }

  term(index: number): number | undefined {
    if (index >= this.offset) return this.#entries[this.#head + index - this.offset]?.term
    if (this.snapshot?.metadata.index === index) return this.snapshot.metadata.term
    return undefined
  }

  /** Entries not yet handed out for writing. */
  nextEntries(): readonly Entry[] {
    return this.#entries.slice(this.#head + this.offsetInProgress - this.offset)
  }

  nextSnapshot(): Snapshot | undefined {
    return this.isSnapshotInProgress ? undefined : this.snapshot
  }

  /** Everything here has been handed out for writing. */
  acceptInProgress(): void {
    this.offsetInProgress = this.offset + this.count
    if (this.snapshot !== undefined) this.isSnapshotInProgress = true
  }

  /** Entries up to (index, term) are durable. */
  stableTo(index: number, term: number): void {
    const ours = this.term(index)
    if (ours === undefined) {
      this.#trace(`INFO entry at index ${index} missing from unstable log; ignoring`)
      return
    }
    if (index < this.offset) {
      this.#trace(`INFO entry at index ${index} matched unstable snapshot; ignoring`)
      return
    }
    if (ours !== term) {
      this.#trace(
        `INFO entry at (index,term)=(${index},${term}) mismatched with ` +
          `entry at (${index},${ours}) in unstable log; ignoring`,
      )
      return
    }
    this.#dropFirst(index + 1 - this.offset)
    this.offset = index + 1
    this.offsetInProgress = Math.max(this.offsetInProgress, this.offset)
  }

  stableSnapshotTo(index: number): void {
    if (this.snapshot?.metadata.index !== index) return
    this.snapshot = undefined
    this.isSnapshotInProgress = false
  }

  restore(snapshot: Snapshot): void {
    this.offset = snapshot.metadata.index + 1
    this.offsetInProgress = this.offset
    this.#entries = []
    this.#head = 0
    this.snapshot = snapshot
    this.isSnapshotInProgress = false
  }

  /** Appends entries[from...], replacing what is here from their first index on. */
  truncateAndAppend(entries: readonly Entry[], from: number): void {
    const fromIndex = (entries[from] as Entry).index
    const end = this.offset + this.count
    if (fromIndex < end && fromIndex > this.offset) {
      this.#trace(`INFO truncate the unstable entries before index ${fromIndex}`)
      this.#entries.length = this.#head + fromIndex - this.offset
      this.offsetInProgress = Math.min(this.offsetInProgress, fromIndex)
    } else if (fromIndex < end || fromIndex < this.offset) {
      this.#trace(`INFO replace the unstable entries from index ${fromIndex}`)
      this.#entries = []
      this.#head = 0
      this.offset = fromIndex
      this.offsetInProgress = fromIndex
    }
    assert(fromIndex === this.offset + this.count, 'appended entries leave no gap')
    for (let i = from; i < entries.length; i++) this.#entries.push(entries[i] as Entry)
  }

  /** Entries [low, high), at most maxBytes of them but at least one. */
  slice(low: number, high: number, maxBytes: number): Entry[] {
    assert(low >= this.offset && low <= high, 'an unstable range begins at the offset')
    assert(high <= this.offset + this.count, 'an unstable range ends within the log')
    const start = this.#head + low - this.offset
    const end = this.#head + high - this.offset
    return this.#entries.slice(start, start + countWithin(this.#entries, start, end, maxBytes))
  }

  #dropFirst(count: number): void {
    this.#head += count
    if (this.#head === this.#entries.length) {
      this.#entries = []
      this.#head = 0
    } else if (this.#head >= compactFrom && this.#head * 2 >= this.#entries.length) {
      this.#entries.splice(0, this.#head)
      this.#head = 0
    }
  }
}

// What a store knows of the keys of one table in its file without looking there. Most puts are of new keys, and a
// look for a key that is not there costs the core thread more than the rest of the put's rows.
//
// Nothing is kept until keys that are absent were asked for often. Then the store's thread reads all keys, slice by slice,
// while layers go on being written. No key is missed: what was in the file before its slice was read is in the slice,
// what came later was added by written(). Until the last slice has come nothing is called absent.
//
// Keys that are deleted stay. At keysMax the filter is dropped, and begins anew with what is there when absent keys are
// asked for again. A table with more keys than that has none.

import { KeyFilter } from './core/key-filter.ts'
import type { LayerTable } from './core/row-layer.ts'

/** Of the thread's answer to one slice of a scan. */
export type KeySlice = {
  /** The scan goes on behind this key; undefined: there are no more. */
  readonly after: Uint8Array | undefined
  /** As encodeHashes() makes them. */
  readonly hashes: Uint8Array
}

const keysMax = 4 * 1024 * 1024
export const missesDefault = 512

export class TableFilter {
  readonly #missesMin: number
  #filter: KeyFilter | undefined
  #isWhole = false
  #isHopeless = false
  #misses = 0

  /** Begins after so many questions for keys that are not in the file. */
  constructor(missesMin: number) {
    this.#missesMin = missesMin
  }

  /** True only when the file has no such key. */
  isAbsent(key: string): boolean {
    return this.#isWhole && this.#filter?.mayHave(key) === false
  }

  /** The file had no such key. True when a scan is to begin now: take() and end() follow. */
  missed(): boolean {
    if (this.#filter !== undefined || this.#isHopeless) return false
    if (++this.#misses < this.#missesMin) return false
    this.#misses = 0
    this.#filter = new KeyFilter()
    return true
  }

  /** False when it cannot be of use any more: the scan ends. */
  take(slice: KeySlice): boolean {
    if (this.#filter === undefined) return false
    this.#filter.addHashes(slice.hashes)
    if (slice.after === undefined) this.#isWhole = true
    if (this.#filter.count <= keysMax) return true
    this.#isHopeless = true
    this.drop()
    return false
  }

  /** Rows that are in the file now. */
  written(rows: LayerTable): void {
    const filter = this.#filter
    if (filter === undefined || rows.size === 0) return
    for (const cursor = rows.cursor({ start: '' }); cursor.key !== undefined; cursor.advance()) {
      if (!cursor.isGone) filter.add(cursor.key)
    }
    if (filter.count > keysMax) this.drop()
  }

  /** Knows nothing any more. */
  drop(): void {
    this.#filter = undefined
    this.#isWhole = false
    this.#misses = 0
  }
}

// Rows that were committed in memory and are not in the store's file yet, and reading through them.
//
// A layer is what happened to the rows of some commits: by table, the newest value of each key, or null for a
// deleted one. Reads see the youngest layer first, then older ones, then what is below them. A layer in which
// a row was written and deleted again costs the file nothing but the deletion; a row written a hundred times, one write.

import { keyAfter } from '../../base/index.ts'
import type { StoreRange, StoreRow } from '../store.ts'
import { keyBytes, keyText } from './key-text.ts'
import { type SortedCursor, SortedMap, type SortedRange } from './sorted-map.ts'

/** null: the row is deleted. */
export type HeldValue = Uint8Array | null

const rowOverheadBytes = 64
const pageRowsMin = 16
const noBytes = new Uint8Array(0)

export class RowLayer {
  readonly #tables: ReadonlyMap<string, SortedMap<HeldValue>>
  #bytes = 0

  constructor(tables: Iterable<readonly [string, SortedMap<HeldValue>]>) {
    this.#tables = new Map(tables)
  }

  static empty(names: readonly string[]): RowLayer {
    return new RowLayer(names.map((name) => [name, new SortedMap<HeldValue>()]))
  }

  /** Of keys and values, and what holding them takes. */
  get bytes(): number {
    return this.#bytes
  }

  get rows(): number {
    let rows = 0
    for (const map of this.#tables.values()) rows += map.size
    return rows
  }

  tables(): Iterable<readonly [string, SortedMap<HeldValue>]> {
    return this.#tables
  }

  table(name: string): SortedMap<HeldValue> | undefined {
    return this.#tables.get(name)
  }

  /** Answers what was there: undefined when the layer knew nothing of the key. */
  set(table: SortedMap<HeldValue>, key: string, value: HeldValue): HeldValue | undefined {
    const before = table.set(key, value)
    this.#bytes += value?.length ?? 0
    if (before === undefined) this.#bytes += key.length + rowOverheadBytes
    else this.#bytes -= before?.length ?? 0
    return before
  }

  /** Takes a set() back: `before` is what it answered. */
  restore(table: SortedMap<HeldValue>, key: string, before: HeldValue | undefined): void {
    if (before !== undefined) this.set(table, key, before)
    else {
      this.#bytes -= key.length + rowOverheadBytes + (table.get(key)?.length ?? 0)
      table.delete(key)
    }
  }

  /** As it is now; writing into this one goes on without being seen there. */
  snapshot(): RowLayer {
    return new RowLayer([...this.#tables].map(([name, map]) => [name, map.snapshot()] as const))
  }
}

/**
 * The rows of a range: what the maps (youngest first) say, and under them what `below` reads. `below` answers
 * rows in the range's direction, at most its limit.
 */
export function readThrough(
  maps: readonly SortedMap<HeldValue>[],
  range: StoreRange,
  below: (range: StoreRange) => readonly StoreRow[],
): readonly StoreRow[] {
  const sorted = sortedRange(range)
  const cursors: SortedCursor<HeldValue>[] = []
  for (const map of maps) {
    const cursor = map.cursor(sorted)
    if (cursor.key !== undefined) cursors.push(cursor)
  }
  if (cursors.length === 0) return below(range)
  const limit = range.limit ?? Number.POSITIVE_INFINITY
  const pages = new Pages(range, below)
  const isReverse = range.isReverse === true
  const rows: StoreRow[] = []
  while (rows.length < limit) {
    const youngest = nextOf(cursors, isReverse)
    const under = pages.peek(limit - rows.length)
    if (youngest === undefined) {
      if (under === undefined) break
      rows.push(under)
      pages.advance()
      continue
    }
    const key = youngest.key as string
    const underText = under === undefined ? undefined : pages.text()
    if (under !== undefined && underText !== undefined && underText !== key) {
      if (isReverse ? underText > key : underText < key) {
        rows.push(under)
        pages.advance()
        continue
      }
    }
    const { value } = youngest
    if (value !== null) rows.push({ key: keyBytes(key), value })
    if (underText === key) pages.advance()
    for (const cursor of cursors) if (cursor.key === key) cursor.advance()
  }
  return rows
}

/** The cursor whose key comes first; the youngest of those that share it. */
function nextOf(
  cursors: readonly SortedCursor<HeldValue>[],
  isReverse: boolean,
): SortedCursor<HeldValue> | undefined {
  let first: SortedCursor<HeldValue> | undefined
  for (const cursor of cursors) {
    if (cursor.key === undefined) continue
    if (first?.key === undefined || (isReverse ? cursor.key > first.key : cursor.key < first.key)) {
      first = cursor
    }
  }
  return first
}

/** What is below, read a page at a time. */
class Pages {
  readonly #below: (range: StoreRange) => readonly StoreRow[]
  #rest: StoreRange
  #page: readonly StoreRow[] = []
  #at = 0
  #text: string | undefined
  #isLast = false

  constructor(range: StoreRange, below: (range: StoreRange) => readonly StoreRow[]) {
    this.#rest = range
    this.#below = below
  }

  /** The next row; a new page is as long as what is wanted. */
  peek(wanted: number): StoreRow | undefined {
    if (this.#at < this.#page.length) return this.#page[this.#at]
    if (this.#isLast) return undefined
    const limit = Math.max(pageRowsMin, wanted)
    const { limit: _, ...rest } = this.#rest
    this.#page = this.#below(Number.isFinite(limit) ? { ...rest, limit } : rest)
    this.#at = 0
    this.#isLast = this.#page.length < limit
    const last = this.#page.at(-1)
    if (last !== undefined) {
      this.#rest =
        rest.isReverse === true
          ? { ...rest, end: last.key }
          : { ...rest, start: keyAfter(last.key) }
      // An empty end means 'to the end of the table', so nothing lies before an empty key.
      if (rest.isReverse === true && last.key.length === 0) this.#isLast = true
    }
    return this.#page[0]
  }

  text(): string {
    this.#text ??= keyText(this.#page[this.#at]?.key ?? noBytes)
    return this.#text
  }

  advance(): void {
    this.#at++
    this.#text = undefined
  }
}

function sortedRange({ start, end, isReverse }: StoreRange): SortedRange {
  const isOpen = end === undefined || end.length === 0
  return { start: keyText(start), end: isOpen ? undefined : keyText(end), isReverse }
}

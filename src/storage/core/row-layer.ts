// Rows that were committed in memory and are not in the store's file yet, and reading through them.
//
// A layer is what happened to the rows of some commits: by table, the newest value of each key, or null for a
// deleted one. Reads see the youngest layer first, then older ones, then what is below them. A layer in which
// a row was written and deleted again costs the file nothing but the deletion; a row written a hundred times, one write.

import { keyAfter } from '../../base/index.ts'
import type { StoreRange, StoreRow } from '../store.ts'
import { keyBytes, keyText } from './key-text.ts'
import { type SortedCursor, SortedMap, type SortedRange } from './sorted-map.ts'
import { gone, type HeldValue, ValueArena } from './value-arena.ts'

const rowOverheadBytes = 64
const pageRowsMin = 16
const noBytes = new Uint8Array(0)

/** One table's part of a layer. */
export class LayerTable {
  readonly rows: SortedMap<HeldValue>
  readonly values: ValueArena

  constructor(rows: SortedMap<HeldValue>, values: ValueArena) {
    this.rows = rows
    this.values = values
  }

  get size(): number {
    return this.rows.size
  }

  /** null: the row was deleted. undefined: the layer knows nothing of it. */
  get(key: string): Uint8Array | null | undefined {
    const held = this.rows.get(key)
    if (held === undefined) return undefined
    return held === gone ? null : this.values.view(held)
  }

  cursor(range: SortedRange): LayerCursor {
    return new LayerCursor(this.rows.cursor(range), this.values)
  }
}

/** A place in a table's part of a layer; at the end, key is undefined. */
export class LayerCursor {
  readonly #cursor: SortedCursor<HeldValue>
  readonly #values: ValueArena

  constructor(cursor: SortedCursor<HeldValue>, values: ValueArena) {
    this.#cursor = cursor
    this.#values = values
  }

  get key(): string | undefined {
    return this.#cursor.key
  }

  /** null: deleted. Asked for only while there is a key. */
  get value(): Uint8Array | null {
    const held = this.#cursor.value
    return held === gone ? null : this.#values.view(held)
  }

  get isGone(): boolean {
    return this.#cursor.value === gone
  }

  advance(): void {
    this.#cursor.advance()
  }
}

export class RowLayer {
  readonly #tables: ReadonlyMap<string, LayerTable>
  readonly #values: ValueArena
  #keyBytes = 0

  private constructor(tables: Iterable<readonly [string, LayerTable]>, values: ValueArena) {
    this.#tables = new Map(tables)
    this.#values = values
  }

  static empty(names: readonly string[]): RowLayer {
    const values = new ValueArena()
    return new RowLayer(
      names.map((name) => [name, new LayerTable(new SortedMap<HeldValue>(), values)]),
      values,
    )
  }

  /** Of keys and of all values, replaced ones too, and what holding them takes. */
  get bytes(): number {
    return this.#keyBytes + this.#values.bytes
  }

  get rows(): number {
    let rows = 0
    for (const { size } of this.#tables.values()) rows += size
    return rows
  }

  tables(): Iterable<readonly [string, LayerTable]> {
    return this.#tables
  }

  table(name: string): LayerTable | undefined {
    return this.#tables.get(name)
  }

  /** Answers what was there: undefined when the layer knew nothing of the key. null deletes. */
  set(table: LayerTable, key: string, value: Uint8Array | null): HeldValue | undefined {
    const before = table.rows.set(key, value === null ? gone : this.#values.keep(value))
    if (before === undefined) this.#keyBytes += key.length + rowOverheadBytes
    return before
  }

  /** Takes a set() back: `before` is what it answered. */
  restore(table: LayerTable, key: string, before: HeldValue | undefined): void {
    if (before !== undefined) table.rows.set(key, before)
    else {
      this.#keyBytes -= key.length + rowOverheadBytes
      table.rows.delete(key)
    }
  }

  /** As it is now; writing into this one goes on without being seen there. */
  snapshot(): RowLayer {
    const tables = [...this.#tables].map(
      ([name, { rows }]) => [name, new LayerTable(rows.snapshot(), this.#values)] as const,
    )
    return new RowLayer(tables, this.#values)
  }
}

/**
 * The rows of a range: what the maps (youngest first) say, and under them what `below` reads. `below` answers
 * rows in the range's direction, at most its limit.
 */
export function readThrough(
  maps: readonly LayerTable[],
  range: StoreRange,
  below: (range: StoreRange) => readonly StoreRow[],
): readonly StoreRow[] {
  const sorted = sortedRange(range)
  const cursors: LayerCursor[] = []
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
function nextOf(cursors: readonly LayerCursor[], isReverse: boolean): LayerCursor | undefined {
  let first: LayerCursor | undefined
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

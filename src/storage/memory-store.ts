// Memory store: sorted maps in memory, every commit appended to a journal file (store-journal.ts).
// It is what the simulator runs: unsynced journal writes that a crash loses give exactly the crash
// contract of Store. Also right for small stores without SQLite. Views are copy-on-write.

import { assert, Fault, Writer } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import {
  decodeOperations,
  decodeTableNames,
  type JournalRecord,
  writeDelete,
  writePut,
} from './core/journal-format.ts'
import { keyBytes, keyText } from './core/key-text.ts'
import { SortedMap, type SortedRange } from './core/sorted-map.ts'
import type { Store, StoreOptions, StoreRange, StoreReader, StoreRow, StoreView } from './store.ts'
import { StoreJournal } from './store-journal.ts'

const rowsPayloadBytes = 256 * 1024
const compactBytesMin = 1024 * 1024

type Table = {
  readonly number: number
  readonly name: string
  readonly rows: SortedMap<Uint8Array>
}
type Tables = Map<string, Table>
type Undo = { readonly table: Table; readonly key: string; readonly before: Uint8Array | undefined }

/** The store in memory with its journal under `options.path`. Fault 'corrupt' for a damaged journal. */
export async function openMemoryStore(host: Host, options: StoreOptions): Promise<Store> {
  const { journal, records } = await StoreJournal.open(host, options.path, options.tables)
  const tables = replay(records)
  for (const name of options.tables) addTable(tables, name)
  const isNewTable = records.length > 0 && tables.size > decodedTableCount(records)
  const store = new MemoryStore(tables, journal)
  if (isNewTable) await store.compact()
  return store
}

class MemoryStore implements Store {
  readonly #tables: Tables
  readonly #journal: StoreJournal
  #commit: Writer | undefined
  #undo: Undo[] = []
  #liveBytes = 0
  #isClosed = false

  constructor(tables: Tables, journal: StoreJournal) {
    this.#tables = tables
    this.#journal = journal
    for (const { rows } of tables.values()) {
      rows.scan({ start: '' }, (key, value) => {
        this.#liveBytes += key.length + value.length
        return true
      })
    }
  }

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    return this.#table(table).rows.get(keyText(key))
  }

  range(table: string, range: StoreRange): readonly StoreRow[] {
    return rowsOf(this.#table(table).rows, range)
  }

  keys(table: string, range: StoreRange): readonly Uint8Array[] {
    return keysOf(this.#table(table).rows, range)
  }

  put(table: string, key: Uint8Array, value: Uint8Array): void {
    const commit = this.#mustBeInTransaction()
    const into = this.#table(table)
    const copy = value.slice()
    writePut(commit, into.number, { key, value: copy })
    const text = keyText(key)
    const before = into.rows.set(text, copy)
    this.#undo.push({ table: into, key: text, before })
    this.#liveBytes += copy.length - (before === undefined ? -text.length : before.length)
  }

  delete(table: string, key: Uint8Array): void {
    this.#mustBeInTransaction()
    this.#remove(this.#table(table), keyText(key))
  }

  deleteRange(
    table: string,
    range: { readonly start: Uint8Array; readonly end: Uint8Array },
  ): void {
    this.#mustBeInTransaction()
    const from = this.#table(table)
    const doomed: string[] = []
    from.rows.scan(sortedRange(range), (key) => {
      doomed.push(key)
      return true
    })
    for (const key of doomed) this.#remove(from, key)
  }

  transaction<T>(body: () => T): T {
    assert(this.#commit === undefined, 'transactions are not nested')
    assert(!this.#isClosed, 'a closed store is not used')
    this.#journal.mustHaveRoom()
    const commit = new Writer()
    this.#commit = commit
    try {
      const result = body()
      if (commit.length > 0) this.#journal.appendCommit(commit.finish())
      return result
    } catch (error) {
      this.#rollBack()
      throw error
    } finally {
      this.#commit = undefined
      this.#undo = []
    }
  }

  view(): StoreView {
    assert(this.#commit === undefined, 'a view is taken between transactions')
    const tables = new Map<string, SortedMap<Uint8Array>>()
    for (const { name, rows } of this.#tables.values()) tables.set(name, rows.snapshot())
    return new MemoryView(tables)
  }

  async checkpoint(): Promise<void> {
    if (this.#journal.sizeBytes < compactBytesMin + 3 * this.#liveBytes) return this.#journal.sync()
    await this.compact()
  }

  /** Replaces the journal by one that begins with the state as it is. */
  async compact(): Promise<void> {
    const names = [...this.#tables.keys()]
    await this.#journal.compact(names, () => encodeRows([...this.#tables.values()]))
  }

  isBehind(): boolean {
    return false
  }

  sizeBytes(): number {
    return this.#journal.sizeBytes
  }

  async close(): Promise<void> {
    assert(this.#commit === undefined, 'a store is closed between transactions')
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      await this.#journal.sync()
    } finally {
      await this.#journal.close()
    }
  }

  #remove(table: Table, key: string): void {
    const before = table.rows.delete(key)
    if (before === undefined) return
    writeDelete(this.#mustBeInTransaction(), table.number, keyBytes(key))
    this.#undo.push({ table, key, before })
    this.#liveBytes -= key.length + before.length
  }

  #rollBack(): void {
    for (let i = this.#undo.length - 1; i >= 0; i--) {
      const { table, key, before } = this.#undo[i] as Undo
      const after = before === undefined ? table.rows.delete(key) : table.rows.set(key, before)
      this.#liveBytes -= after === undefined ? 0 : key.length + after.length
      this.#liveBytes += before === undefined ? 0 : key.length + before.length
    }
  }

  #mustBeInTransaction(): Writer {
    assert(this.#commit !== undefined, 'writes happen inside a transaction')
    return this.#commit
  }

  #table(name: string): Table {
    const table = this.#tables.get(name)
    assert(table !== undefined, `table ${name} is named when the store is opened`)
    return table
  }
}

class MemoryView implements StoreView {
  readonly #tables: Map<string, SortedMap<Uint8Array>>

  constructor(tables: Map<string, SortedMap<Uint8Array>>) {
    this.#tables = tables
  }

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    return this.#rows(table).get(keyText(key))
  }

  range(table: string, range: StoreRange): ReturnType<StoreReader['range']> {
    return rowsOf(this.#rows(table), range)
  }

  keys(table: string, range: StoreRange): readonly Uint8Array[] {
    return keysOf(this.#rows(table), range)
  }

  close(): void {
    this.#tables.clear()
  }

  #rows(table: string): SortedMap<Uint8Array> {
    const rows = this.#tables.get(table)
    assert(rows !== undefined, `table ${table} exists and its view is open`)
    return rows
  }
}

function sortedRange(range: Omit<StoreRange, 'limit'> & { readonly limit?: number }): SortedRange {
  const { start, end, limit, isReverse } = range
  const isOpen = end === undefined || end.length === 0
  return { start: keyText(start), end: isOpen ? undefined : keyText(end), limit, isReverse }
}

function rowsOf(from: SortedMap<Uint8Array>, range: StoreRange): readonly StoreRow[] {
  const rows: StoreRow[] = []
  from.scan(sortedRange(range), (key, value) => {
    rows.push({ key: keyBytes(key), value })
    return true
  })
  return rows
}

function keysOf(from: SortedMap<Uint8Array>, range: StoreRange): readonly Uint8Array[] {
  const keys: Uint8Array[] = []
  from.scan(sortedRange(range), (key) => {
    keys.push(keyBytes(key))
    return true
  })
  return keys
}

function addTable(tables: Tables, name: string): void {
  if (tables.has(name)) return
  tables.set(name, { number: tables.size, name, rows: new SortedMap() })
}

function decodedTableCount(records: readonly JournalRecord[]): number {
  const begin = records[0]
  return begin === undefined ? 0 : decodeTableNames(begin.payload).length
}

function replay(records: readonly JournalRecord[]): Tables {
  const tables: Tables = new Map()
  const begin = records[0]
  if (begin !== undefined)
    for (const name of decodeTableNames(begin.payload)) addTable(tables, name)
  const byNumber = [...tables.values()]
  for (const { kind, payload } of records) {
    if (kind !== 'rows' && kind !== 'commit') continue
    for (const operation of decodeOperations(payload)) {
      const table = byNumber[operation.table]
      if (table === undefined) throw new Fault('corrupt', 'a journal record names an unknown table')
      if (operation.kind === 'delete') table.rows.delete(keyText(operation.key))
      else table.rows.set(keyText(operation.key), operation.value.slice())
    }
  }
  return tables
}

/** The rows of all tables as payloads of bounded size. The tables are those of this very moment. */
function encodeRows(tables: readonly Table[]): Iterable<Uint8Array> {
  return encodeSnapshots(tables.map(({ number, rows }) => ({ number, rows: rows.snapshot() })))
}

function* encodeSnapshots(
  tables: readonly { readonly number: number; readonly rows: SortedMap<Uint8Array> }[],
): Generator<Uint8Array> {
  for (const { number, rows } of tables) {
    let start: string | undefined = ''
    while (start !== undefined) {
      const writer = new Writer()
      let next: string | undefined
      rows.scan({ start }, (key, value) => {
        if (writer.length > rowsPayloadBytes) {
          next = key
          return false
        }
        writePut(writer, number, { key: keyBytes(key), value })
        return true
      })
      if (writer.length > 0) yield writer.finish()
      start = next
    }
  }
}

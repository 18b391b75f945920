// What the SQLite store shares between its threads: connections and their settings, the statements of a table, and
// errors as Faults.

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { assert, Fault } from '../base/index.ts'
import type { StoreOptions, StoreRange, StoreRow } from './store.ts'

const timeoutMs = 5000
const mappedBytesMax = 1024 * 1024 * 1024
const walBytesKept = 16 * 1024 * 1024
const formatVersion = 1
/** Not a name that a table of a store may have. */
const flushTable = '_flushes'

type ReadStatements = {
  readonly get: StatementSync
  readonly rows: (shape: RangeShape) => StatementSync
}
type RangeShape = {
  readonly isOpen: boolean
  readonly isReverse: boolean
  readonly hasValues: boolean
}

/** Reads of all tables over one connection; statements are prepared on first use. */
export class TableReader {
  readonly #database: DatabaseSync
  readonly #path: string
  readonly #tables: readonly string[]
  readonly #statements = new Map<string, ReadStatements>()

  constructor(
    database: DatabaseSync,
    opened: { readonly path: string; readonly tables: readonly string[] },
  ) {
    this.#database = database
    this.#path = opened.path
    this.#tables = opened.tables
  }

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    const { get } = this.#of(table)
    return attempt(this.#path, () => {
      const row = get.get(key) as unknown as readonly Uint8Array[] | undefined
      return row?.[0]
    })
  }

  range(table: string, range: StoreRange): readonly StoreRow[] {
    const rows = this.#all(table, range, true)
    return rows.map((row) => ({ key: row[0] as Uint8Array, value: row[1] as Uint8Array }))
  }

  keys(table: string, range: StoreRange): readonly Uint8Array[] {
    return this.#all(table, range, false).map((row) => row[0] as Uint8Array)
  }

  #all(table: string, range: StoreRange, hasValues: boolean): readonly (readonly Uint8Array[])[] {
    const { start, end, limit = -1, isReverse = false } = range
    const isOpen = end === undefined || end.length === 0
    const statement = this.#of(table).rows({ isOpen, isReverse, hasValues })
    return attempt(this.#path, () => {
      const rows = isOpen ? statement.all(start, limit) : statement.all(start, end, limit)
      return rows as unknown as readonly (readonly Uint8Array[])[]
    })
  }

  #of(table: string): ReadStatements {
    const known = this.#statements.get(table)
    if (known !== undefined) return known
    assert(this.#tables.includes(table), `table ${table} is named when the store is opened`)
    const ranges = new Map<number, StatementSync>()
    const made: ReadStatements = {
      get: this.#prepare(`SELECT v FROM ${table} WHERE k = ?`),
      rows: (shape) => {
        const number =
          (shape.isOpen ? 1 : 0) + (shape.isReverse ? 2 : 0) + (shape.hasValues ? 4 : 0)
        const prepared = ranges.get(number) ?? this.#prepare(rangeText(table, shape))
        ranges.set(number, prepared)
        return prepared
      },
    }
    this.#statements.set(table, made)
    return made
  }

  #prepare(text: string): StatementSync {
    const statement = attempt(this.#path, () => this.#database.prepare(text))
    statement.setReturnArrays(true)
    return statement
  }
}

function rangeText(table: string, { isOpen, isReverse, hasValues }: RangeShape): string {
  const columns = hasValues ? 'k, v' : 'k'
  const where = isOpen ? 'k >= ?' : 'k >= ? AND k < ?'
  const order = isReverse ? 'DESC' : 'ASC'
  return `SELECT ${columns} FROM ${table} WHERE ${where} ORDER BY k ${order} LIMIT ?`
}

/** Rows of one putMany: a statement for each costs half as much as the row. */
export const rowsPerPut = 8

export class TableWriter {
  readonly put: StatementSync
  /** Takes rowsPerPut times a key and a value. */
  readonly putMany: StatementSync
  readonly delete: StatementSync

  constructor(database: DatabaseSync, table: string) {
    const put = (rows: number): StatementSync =>
      database.prepare(
        `INSERT INTO ${table} VALUES ${new Array(rows).fill('(?, ?)').join(', ')} ON CONFLICT (k) DO UPDATE SET v = excluded.v`,
      )
    this.put = put(1)
    this.putMany = put(rowsPerPut)
    this.delete = database.prepare(`DELETE FROM ${table} WHERE k = ?`)
  }
}

export function connect(
  file: string,
  options: { readonly cacheBytes: number; readonly isReadOnly?: boolean },
): DatabaseSync {
  const database = new DatabaseSync(file, {
    timeout: timeoutMs,
    readOnly: options.isReadOnly ?? false,
  })
  database.exec(`PRAGMA cache_size = -${Math.floor(options.cacheBytes / 1024)}`)
  database.exec(`PRAGMA mmap_size = ${mappedBytesMax}`)
  return database
}

export function prepareFile(database: DatabaseSync, options: StoreOptions): void {
  database.exec('PRAGMA journal_mode = WAL')
  database.exec('PRAGMA synchronous = NORMAL')
  database.exec('PRAGMA wal_autocheckpoint = 0')
  database.exec(`PRAGMA journal_size_limit = ${walBytesKept}`)
  const found = database.prepare('PRAGMA user_version').get()?.user_version
  if (found !== 0 && found !== formatVersion) {
    throw new Fault(
      'unsupported',
      `${options.path} has store format ${found}, newer than this node`,
    )
  }
  database.exec('BEGIN IMMEDIATE')
  database.exec(`PRAGMA user_version = ${formatVersion}`)
  for (const table of options.tables) {
    database.exec(`CREATE TABLE IF NOT EXISTS ${table} (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID`)
  }
  database.exec(
    `CREATE TABLE IF NOT EXISTS ${flushTable} (one INTEGER PRIMARY KEY, number INTEGER)`,
  )
  database.exec('COMMIT')
}

/** The number of the last flush that the file holds; 0 before the first. */
export function readFlushNumber(database: DatabaseSync): number {
  const row = database.prepare(`SELECT number FROM ${flushTable} WHERE one = 1`).get()
  return Number(row?.number ?? 0)
}

/** Inside the flush's transaction. */
export function writeFlushNumber(database: DatabaseSync, number: number): void {
  database.prepare(`REPLACE INTO ${flushTable} VALUES (1, ?)`).run(number)
}

/** Runs a call of the engine; its errors become Faults (result codes: sqlite.org/rescode.html). */
export function attempt<T>(path: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof Error) || !('errcode' in error)) throw error
    const code = Number(error.errcode) & 0xff
    const what = `${path}: ${error.message}`
    if (code === 13) throw new Fault('no-space', what, { cause: error })
    if (code === 11 || code === 26) {
      throw new Fault('corrupt', what, {
        cause: error,
        next: 'restore the file from a copy, or remove this data directory and let the node rejoin',
      })
    }
    throw new Fault('internal', what, { cause: error, outcome: 'unknown' })
  }
}

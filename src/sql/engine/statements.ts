// Runs one statement and takes its answer as values: columns and their declared types, rows, what was changed.

import type { SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { Fault, isFault } from '../../base/index.ts'
import { failedResult } from '../core/answer.ts'
import { firstWord } from '../core/words.ts'
import type { SqlResult, SqlStatement, SqlValue } from '../sql.ts'
import type { Connection } from './connection.ts'
import { Rowids } from './rowids.ts'

const preparedMax = 256
const changingAnywhere = /\b(insert|update|delete|replace)\b/i
const changing = /^\s*(insert|update|delete|replace|with)\b/i

/** Where SQLite allows nothing but what is the same for ever: partial index, generated column, index (its NC_ flags). */
const keptContexts = 2 | 8 | 32

/** What is kept of a text. */
type Prepared = { readonly statement: StatementSync; readonly touched: Set<string> }
type Keeping = { readonly version: unknown; readonly names: ReadonlySet<string> }

/** Of the rows that all statements since begin() answer together. */
export type Bounds = { readonly rowBytesMax: number }

/** Keeps what was prepared: parsing costs as much as a small statement. */
export class Statements {
  readonly #connection: Connection
  readonly #bounds: Bounds
  #rowBytes = 0
  readonly #prepared = new Map<string, Prepared>()
  readonly #rowids: Rowids
  readonly #changes: StatementSync
  readonly #schemaVersion: StatementSync
  /** Of each text: functions whose answers it keeps in indexes and generated columns, as the schema was then. */
  readonly #keeping = new Map<string, Keeping>()
  #running = ''
  /** Of the statement that runs; undefined until it asks for the time. */
  #kept: ReadonlySet<string> | undefined

  constructor(connection: Connection, bounds: Bounds) {
    this.#connection = connection
    this.#bounds = bounds
    this.#changes = connection.trusted(() =>
      connection.database.prepare('SELECT changes() AS changes, last_insert_rowid() AS id'),
    )
    this.#changes.setReadBigInts(true)
    this.#rowids = connection.trusted(() => new Rowids(connection.database))
    this.#schemaVersion = connection.trusted(() =>
      connection.database.prepare('PRAGMA schema_version'),
    )
  }

  /** Statements of one batch or query follow. */
  begin(): void {
    this.#rowBytes = 0
  }

  get rowBytes(): number {
    return this.#rowBytes
  }

  /** The last statement is not one of the batch: this is what was taken before it. */
  takeBack(rowBytes: number): void {
    this.#rowBytes = rowBytes
  }

  /** An error of the statement is in its result. Throws for what is no answer. */
  run(statement: SqlStatement, isInteractive = false): SqlResult {
    this.#connection.setInteractive(isInteractive)
    this.#running = statement.sql
    this.#kept = undefined
    try {
      return this.#run(statement)
    } catch (error) {
      if (isFault(error) && error.code !== 'internal') return failedResult(error.message)
      return failedResult(this.#connection.explain(error))
    }
  }

  /**
   * The statement that runs asks this function for "now". Fault 'invalid' when its program keeps what the function answers
   * in an index or a generated column: 1. a row is written and indexed by the time of its batch; 2. it is deleted in a later
   * batch, which computes another key; 3. the index has an entry without a row.
   */
  mayAskNow(name: string): void {
    this.#kept ??= this.#connection.trusted(() => this.#keptBy(this.#running))
    if (!this.#kept.has(name)) return
    const what = `non-deterministic use of ${name}() in an index or a generated column`
    throw new Fault('invalid', `${what}: the time there must be a value of the row`)
  }

  #keptBy(sql: string): ReadonlySet<string> {
    const version = this.#schemaVersion.get()?.schema_version
    const known = this.#keeping.get(sql)
    if (known?.version === version && known !== undefined) return known.names
    const names = new Set<string>()
    for (const row of this.#connection.database.prepare(`EXPLAIN ${sql}`).iterate()) {
      if (row.opcode !== 'PureFunc' || (Number(row.p5) & keptContexts) === 0) continue
      names.add(String(row.p4).split('(')[0] ?? '')
    }
    if (this.#keeping.size >= preparedMax) this.#keeping.clear()
    this.#keeping.set(sql, { version, names })
    return names
  }

  #run({ sql, values = [] }: SqlStatement): SqlResult {
    const { statement: prepared, touched } = this.#prepare(sql)
    const columns = prepared.columns()
    const given = Array.isArray(values)
      ? (values as readonly SQLInputValue[])
      : [values as unknown as SQLInputValue]
    const rows = columns.length === 0 ? [] : this.#rows(prepared, given)
    if (columns.length === 0) prepared.run(...given)
    const isChanging = changing.test(sql) && !isQuery(prepared, sql)
    const { changes, id } = isChanging ? this.#changed() : { changes: 0, id: 0n }
    if (touched.size > 0) this.#connection.trusted(() => this.#rowids.check(touched))
    return {
      columns: columns.map(({ name }) => name),
      types: columns.map(({ type }) => (type ?? '').toLowerCase()),
      rows,
      changes,
      lastInsertId: id,
      elapsedUs: 0,
    }
  }

  #prepare(sql: string): Prepared {
    const known = this.#prepared.get(sql)
    // It may be prepared anew by SQLite itself while it runs, when the schema has changed.
    const touched = known?.touched ?? new Set<string>()
    this.#connection.begin(touched)
    if (known !== undefined) return known
    const prepared = this.#connection.database.prepare(sql)
    const rest = sql.slice(prepared.sourceSQL.length)
    if (!isBlank(rest)) throw new Fault('invalid', 'one statement at a time: another one follows')
    prepared.setReadBigInts(true)
    prepared.setReturnArrays(true)
    // SQLite asks whether a statement is allowed when it is prepared: what is so for some only is prepared each time.
    if (isSavepoint(sql)) return { statement: prepared, touched }
    if (this.#prepared.size >= preparedMax) {
      const [oldest] = this.#prepared.keys()
      if (oldest !== undefined) this.#prepared.delete(oldest)
    }
    const made = { statement: prepared, touched }
    this.#prepared.set(sql, made)
    return made
  }

  #rows(
    prepared: StatementSync,
    given: readonly SQLInputValue[],
  ): readonly (readonly SqlValue[])[] {
    const rows: SqlValue[][] = []
    let bytes = this.#rowBytes
    for (const row of prepared.iterate(...given)) {
      const values = row as unknown as SQLOutputValue[]
      for (const value of values) bytes += weightOf(value)
      if (bytes > this.#bounds.rowBytesMax) {
        const what = `the rows have more than ${this.#bounds.rowBytesMax} bytes: ask for fewer`
        throw new Fault('too-large', what)
      }
      rows.push(values as SqlValue[])
    }
    this.#rowBytes = bytes
    return rows
  }

  #changed(): { readonly changes: number; readonly id: bigint } {
    const row = this.#connection.trusted(() => this.#changes.get())
    return { changes: Number(row?.changes), id: row?.id as bigint }
  }
}

/** It changes nothing and is no savepoint; false where that is not plain from its first word. */
export function isReading(sql: string, { columns }: SqlResult): boolean {
  const word = firstWord(sql)
  if (word === 'select' || word === 'values' || word === 'explain') return true
  return word === 'with' && columns.length > 0 && !changingAnywhere.test(sql)
}

export function isSavepoint(sql: string): boolean {
  const word = firstWord(sql)
  return word === 'savepoint' || word === 'release' || word === 'rollback'
}

/** A WITH that only reads. */
function isQuery(prepared: StatementSync, sql: string): boolean {
  if (!/^\s*with\b/i.test(sql)) return false
  return prepared.columns().length > 0 && !changingAnywhere.test(sql)
}

function weightOf(value: SQLOutputValue): number {
  if (typeof value === 'string') return value.length + 5
  return value instanceof Uint8Array ? value.length + 5 : 9
}

/** White space, semicolons and comments. */
function isBlank(rest: string): boolean {
  return /^(?:\s|;|--[^\n]*(?:\n|$)|\/\*[^*]*\*+(?:[^/*][^*]*\*+)*\/)*$/.test(rest)
}

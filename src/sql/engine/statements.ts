// Runs one statement and takes its answer as values: columns and their declared types, rows, what was changed.

import type { SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { Fault, isFault } from '../../base/index.ts'
import { failedResult } from '../core/answer.ts'
import type { SqlResult, SqlStatement, SqlValue } from '../sql.ts'
import type { Connection } from './connection.ts'

const preparedMax = 256
const largestRowid = 2n ** 63n - 1n
const changing = /^\s*(insert|update|delete|replace|with)\b/i

export type Bounds = { readonly rowBytesMax: number }

/** Keeps what was prepared: parsing costs as much as a small statement. */
export class Statements {
  readonly #connection: Connection
  readonly #bounds: Bounds
  readonly #prepared = new Map<string, StatementSync>()
  readonly #changes: StatementSync

  constructor(connection: Connection, bounds: Bounds) {
    this.#connection = connection
    this.#bounds = bounds
    this.#changes = connection.trusted(() =>
      connection.database.prepare('SELECT changes() AS changes, last_insert_rowid() AS id'),
    )
    this.#changes.setReadBigInts(true)
  }

  /** An error of the statement is in its result. Throws for what is no answer. */
  run(statement: SqlStatement): SqlResult {
    this.#connection.begin()
    try {
      return this.#run(statement)
    } catch (error) {
      if (isFault(error) && error.code !== 'internal') return failedResult(error.message)
      return failedResult(this.#connection.explain(error))
    }
  }

  #run({ sql, values = [] }: SqlStatement): SqlResult {
    const prepared = this.#prepare(sql)
    const columns = prepared.columns()
    const given = Array.isArray(values)
      ? (values as readonly SQLInputValue[])
      : [values as unknown as SQLInputValue]
    const rows = columns.length === 0 ? [] : this.#rows(prepared, given)
    if (columns.length === 0) prepared.run(...given)
    const isChanging = changing.test(sql) && !isQuery(prepared, sql)
    const { changes, id } = isChanging ? this.#changed() : { changes: 0, id: 0n }
    if (id === largestRowid) {
      throw new Fault('too-large', 'the largest rowid is taken: the next would be drawn by chance')
    }
    return {
      columns: columns.map(({ name }) => name),
      types: columns.map(({ type }) => (type ?? '').toLowerCase()),
      rows,
      changes,
      lastInsertId: id,
      elapsedUs: 0,
    }
  }

  #prepare(sql: string): StatementSync {
    const known = this.#prepared.get(sql)
    if (known !== undefined) return known
    const prepared = this.#connection.database.prepare(sql)
    const rest = sql.slice(prepared.sourceSQL.length)
    if (!isBlank(rest)) throw new Fault('invalid', 'one statement at a time: another one follows')
    prepared.setReadBigInts(true)
    prepared.setReturnArrays(true)
    if (this.#prepared.size >= preparedMax) {
      const [oldest] = this.#prepared.keys()
      if (oldest !== undefined) this.#prepared.delete(oldest)
    }
    this.#prepared.set(sql, prepared)
    return prepared
  }

  #rows(
    prepared: StatementSync,
    given: readonly SQLInputValue[],
  ): readonly (readonly SqlValue[])[] {
    const rows: SqlValue[][] = []
    let bytes = 0
    for (const row of prepared.iterate(...given)) {
      const values = row as unknown as SQLOutputValue[]
      for (const value of values) bytes += weightOf(value)
      if (bytes > this.#bounds.rowBytesMax) {
        const what = `the rows have more than ${this.#bounds.rowBytesMax} bytes: ask for fewer`
        throw new Fault('too-large', what)
      }
      rows.push(values as SqlValue[])
    }
    return rows
  }

  #changed(): { readonly changes: number; readonly id: bigint } {
    const row = this.#connection.trusted(() => this.#changes.get())
    return { changes: Number(row?.changes), id: row?.id as bigint }
  }
}

/** A WITH that only reads. */
function isQuery(prepared: StatementSync, sql: string): boolean {
  if (!/^\s*with\b/i.test(sql)) return false
  return prepared.columns().length > 0 && !/\b(insert|update|delete|replace)\b/i.test(sql)
}

function weightOf(value: SQLOutputValue): number {
  if (typeof value === 'string') return value.length + 5
  return value instanceof Uint8Array ? value.length + 5 : 9
}

/** White space, semicolons and comments. */
function isBlank(rest: string): boolean {
  return /^(?:\s|;|--[^\n]*(?:\n|$)|\/\*[^*]*\*+(?:[^/*][^*]*\*+)*\/)*$/.test(rest)
}

// One client's statements in their order, as SQLite has them: each for itself, or between BEGIN and COMMIT in a transaction. The
// gateways that have sessions share it; one request at a time is theirs to see to.

import { Fault, isFault } from '../../base/index.ts'
import {
  firstWord,
  firstWords,
  type SqlDatabase,
  type SqlResult,
  type SqlStatement,
  type SqlTransaction,
} from '../../sql/index.ts'

const reading: ReadonlySet<string> = new Set(['select', 'values', 'explain', 'pragma', 'with'])
const changes = 'a query may not change anything'

export class SqlSession {
  readonly #database: SqlDatabase
  #transaction: SqlTransaction | undefined

  constructor(database: SqlDatabase) {
    this.#database = database
  }

  get isAutocommit(): boolean {
    return this.#transaction === undefined
  }

  /** An error of the statement is in its result. Faults of SqlDatabase and SqlTransaction; 'conflict': the transaction is gone. */
  async run(statement: SqlStatement): Promise<SqlResult> {
    const [first, second] = firstWords(statement.sql)
    if (first === 'begin') return await this.#begin()
    if (first === 'commit' || first === 'end') return await this.#commit()
    if (first === 'rollback' && !isToSavepoint(statement.sql, second)) return await this.#rollback()
    if (this.#transaction !== undefined) return await this.#step(this.#transaction, statement)
    return await this.#alone(statement, first)
  }

  /** What is open is rolled back. */
  async close(): Promise<void> {
    const transaction = this.#transaction
    this.#transaction = undefined
    await transaction?.rollback()
  }

  async #alone(statement: SqlStatement, first: string): Promise<SqlResult> {
    if (reading.has(first)) {
      const [result] = await this.#database.query([statement])
      if (result !== undefined && result.error !== changes) return result
    }
    const { results } = await this.#database.execute([statement])
    const [result] = results
    if (result === undefined) throw new Fault('internal', 'a statement without a result')
    return result
  }

  async #step(transaction: SqlTransaction, statement: SqlStatement): Promise<SqlResult> {
    try {
      const [result] = await transaction.run([statement])
      if (result === undefined) throw new Fault('internal', 'a statement without a result')
      return result
    } catch (error) {
      if (isFault(error, 'conflict')) this.#transaction = undefined
      throw error
    }
  }

  async #begin(): Promise<SqlResult> {
    if (this.#transaction !== undefined) {
      return failed('cannot start a transaction within a transaction')
    }
    this.#transaction = await this.#database.begin()
    return nothing
  }

  async #commit(): Promise<SqlResult> {
    const transaction = this.#transaction
    if (transaction === undefined) return failed('cannot commit: no transaction is active')
    this.#transaction = undefined
    await transaction.commit()
    return nothing
  }

  async #rollback(): Promise<SqlResult> {
    if (this.#transaction === undefined) return failed('cannot rollback: no transaction is active')
    await this.close()
    return nothing
  }
}

const nothing: SqlResult = {
  columns: [],
  types: [],
  rows: [],
  changes: 0,
  lastInsertId: 0n,
  elapsedUs: 0,
}

function failed(error: string): SqlResult {
  return { ...nothing, error }
}

/** ROLLBACK [TRANSACTION] TO [SAVEPOINT] name */
function isToSavepoint(sql: string, second: string): boolean {
  if (second !== 'transaction') return second === 'to'
  const at = sql.toLowerCase().indexOf('transaction')
  return firstWord(sql.slice(at + 'transaction'.length)) === 'to'
}

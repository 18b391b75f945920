// Reads of a database's file beside its writer: each request sees one committed state.

import type { SqlResult, SqlStatement } from '../sql.ts'
import { type Connection, openConnection } from './connection.ts'
import { registerMathematics } from './functions.ts'
import { Statements } from './statements.ts'

/** Of the rows of one request. */
const rowBytesMax = 16 * 1024 * 1024

export class SqlReader {
  readonly #connection: Connection
  readonly #statements: Statements
  readonly #nowUs: () => number

  constructor(path: string, nowUs: () => number) {
    this.#connection = openConnection(path, { isReader: true })
    registerMathematics(this.#connection.database)
    this.#statements = new Statements(this.#connection, { rowBytesMax })
    this.#nowUs = nowUs
  }

  query(statements: readonly SqlStatement[]): readonly SqlResult[] {
    const { database } = this.#connection
    const exec = (sql: string): void => this.#connection.trusted(() => database.exec(sql))
    exec('BEGIN')
    this.#statements.begin()
    try {
      return statements.map((statement) => {
        const startedUs = this.#nowUs()
        const result = this.#statements.run(statement)
        return { ...result, elapsedUs: Math.max(0, Math.round(this.#nowUs() - startedUs)) }
      })
    } finally {
      if (database.isTransaction) exec('COMMIT')
    }
  }
}

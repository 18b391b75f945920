// No table may hold the largest rowid: SQLite would draw the next one by its own chance, which no replica shares
// (https://sqlite.org/autoinc.html). After a statement each table that it can have written is asked for its largest; that is
// one step down a tree. What was drawn in the same statement is undone with it.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { Fault } from '../../base/index.ts'

const largestRowid = 2n ** 63n - 1n
const checkersMax = 256
const schemaTable = 'sqlite_master'
/** Of virtual tables: where FTS5 and R*Tree keep what they number themselves. */
const shadows = ['_content', '_rowid', '_docsize'] as const

type Checker = StatementSync | undefined

/** All calls are the engine's own (Connection.trusted). */
export class Rowids {
  readonly #database: DatabaseSync
  readonly #kindOf: StatementSync
  readonly #checkers = new Map<string, readonly Checker[]>()

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#kindOf = database.prepare(
      "SELECT sql LIKE 'create virtual%' AS isVirtual FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE",
    )
  }

  /** Fault 'too-large' when one of these tables holds it now. */
  check(tables: ReadonlySet<string>): void {
    if (tables.has(schemaTable)) this.#checkers.clear()
    for (const table of tables) {
      for (const checker of this.#checkersOf(table)) {
        if (checker?.get()?.largest !== largestRowid) continue
        const what = `the largest rowid of ${table} is taken`
        throw new Fault('too-large', `${what}: the next would be drawn by chance`)
      }
    }
  }

  #checkersOf(table: string): readonly Checker[] {
    const known = this.#checkers.get(table)
    if (known !== undefined) return known
    const made = this.#make(table)
    if (this.#checkers.size >= checkersMax) this.#checkers.clear()
    this.#checkers.set(table, made)
    return made
  }

  #make(table: string): readonly Checker[] {
    const kind = this.#kindOf.get(table)
    if (kind === undefined) return []
    if (kind.isVirtual === 0) return [this.#checkerOf(table)]
    const own = shadows.map((end) => `${table}${end}`)
    return own.filter((name) => this.#kindOf.get(name)).map((name) => this.#checkerOf(name))
  }

  /** Undefined for a table without rowids, or one whose rowid has no name left by which it could be set. */
  #checkerOf(table: string): Checker {
    const columns = this.#database.prepare('SELECT name, type, pk FROM pragma_table_xinfo(?)')
    const rows = columns.all(table)
    const taken = new Set(rows.map(({ name }) => String(name).toLowerCase()))
    const hidden = ['rowid', '_rowid_', 'oid'].find((name) => !taken.has(name))
    const keys = rows.filter(({ pk }) => pk !== 0)
    const alias = keys.find(({ type }) => String(type).toLowerCase() === 'integer')
    const column = hidden ?? (keys.length === 1 ? alias?.name : undefined)
    if (column === undefined) return undefined
    try {
      const sql = `SELECT max(${quoted(column)}) AS largest FROM ${quoted(table)}`
      const checker = this.#database.prepare(sql)
      checker.setReadBigInts(true)
      return checker
    } catch {
      return undefined
    }
  }
}

function quoted(name: unknown): string {
  return `"${String(name).replaceAll('"', '""')}"`
}

// Foreign keys that SQLite looks at when a transaction is committed (DEFERRABLE INITIALLY DEFERRED,
// https://sqlite.org/foreignkeys.html#fk_deferred): whether a schema has some, and whether any is broken now.
//
// The schema is told by its version. That goes back when a transaction is undone, and then comes again for another schema:
// forget() is called there.

import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** SQLite's own words. */
export const brokenKeys = 'FOREIGN KEY constraint failed'
const constraintError = 19

/** All calls are the engine's own (Connection.trusted). */
export class DeferredKeys {
  readonly #database: DatabaseSync
  readonly #version: StatementSync
  readonly #children: StatementSync
  #known: { readonly version: unknown; readonly exist: boolean } | undefined

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#version = database.prepare('PRAGMA schema_version')
    this.#children = database.prepare(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%deferred%'",
    )
  }

  exist(): boolean {
    const version = this.#version.get()?.schema_version
    if (this.#known === undefined || this.#known.version !== version) {
      this.#known = { version, exist: this.#children.get() !== undefined }
    }
    return this.#known.exist
  }

  forget(): void {
    this.#known = undefined
  }

  /** Reads every table that has such keys. One that cannot be looked at is broken. */
  areBroken(): boolean {
    try {
      return this.#children.all().some(({ name }) => {
        const check = this.#database.prepare('SELECT 1 FROM pragma_foreign_key_check(?)')
        return check.get(String(name)) !== undefined
      })
    } catch (error) {
      if (typeof (error as { readonly errcode?: number }).errcode !== 'number') throw error
      return true
    }
  }
}

export function isBrokenKey(error: unknown): boolean {
  const { errcode } = error as { readonly errcode?: number }
  return typeof errcode === 'number' && (errcode & 0xff) === constraintError
}

// A connection to a database's file: its settings and limits, who it is for, and which of SQLite's errors are answers.
//
// `synchronous=NORMAL` in WAL mode: after a crash the file shows a prefix of its commits, at least through the last
// checkpoint (law 5). The log has the rest.

import { backup, DatabaseSync } from 'node:sqlite'
import { Fault, isFault } from '../../base/index.ts'
import { refusalOf, writingCodes } from '../core/policy.ts'

/** What may be used of a database by one statement; each keeps what it costs bounded. */
const limits = {
  length: 64 * 1024 * 1024 + 4096,
  sqlLength: 1024 * 1024,
  exprDepth: 1000,
  compoundSelect: 500,
  functionArg: 127,
  attach: 0,
  triggerDepth: 100,
}
const cacheBytes = 16 * 1024 * 1024
const busyMs = 5000
const autoCheckpointPages = 4000

/** What Node has and its types do not name yet. */
type WholeDatabase = DatabaseSync & {
  enableDefensive(isDefensive: boolean): void
  setAuthorizer(
    decide: (
      code: number,
      first: string | null,
      second: string | null,
      inside: string | null,
    ) => number,
  ): void
}

export type Connection = {
  readonly database: DatabaseSync
  /** While it runs, statements are the engine's own and may do anything. */
  trusted<T>(run: () => T): T
  /** A statement of somebody else's begins, or is prepared; tables that it can insert into or update are added. */
  begin(touched: Set<string>): void
  /** Statements from now on are of somebody who asks one after the other in a transaction, or not. */
  setInteractive(isInteractive: boolean): void
  /** As an answer: why SQLite refused, or the policy. Throws Fault 'internal' for what is no answer but a failing machine. */
  explain(error: unknown): string
}

export function openConnection(
  path: string,
  { isReader }: { readonly isReader: boolean },
): Connection {
  const options = { timeout: busyMs, readOnly: isReader, limits }
  const database = new DatabaseSync(path, options) as WholeDatabase
  database.exec(`PRAGMA cache_size = -${cacheBytes / 1024}`)
  database.exec('PRAGMA temp_store = MEMORY')
  if (!isReader) {
    database.exec('PRAGMA journal_mode = WAL')
    database.exec('PRAGMA synchronous = NORMAL')
    database.exec(`PRAGMA wal_autocheckpoint = ${autoCheckpointPages}`)
    database.enableDefensive(true)
  }
  const state = { isTrusted: false, isInteractive: false, refusal: '', touched: new Set<string>() }
  database.setAuthorizer((code, first, second, inside) => {
    if (state.isTrusted) return 0
    const access = {
      code,
      first: first ?? '',
      second: second ?? '',
      database: inside ?? '',
      isInteractive: state.isInteractive,
    }
    const refusal = refusalOf(access, isReader)
    if (writingCodes.has(code)) state.touched.add(access.first)
    if (refusal === undefined) return 0
    state.refusal = refusal
    return 1
  })
  return {
    database,
    trusted(run) {
      const before = state.isTrusted
      state.isTrusted = true
      try {
        return run()
      } finally {
        state.isTrusted = before
      }
    },
    begin(touched) {
      state.refusal = ''
      state.touched = touched
    },
    setInteractive(isInteractive) {
      state.isInteractive = isInteractive
    },
    explain(error) {
      return state.refusal === '' ? wordsOf(error) : state.refusal
    },
  }
}

/** Pages of the committed state, to a file of its own. Other statements of the connection may run meanwhile. */
export async function copyDatabase(database: DatabaseSync, path: string): Promise<void> {
  await backup(database, path, { rate: 1000 })
}

/** Names the code whose results replicas must share. */
export function engineName(database: DatabaseSync): string {
  const row = database.prepare('SELECT sqlite_source_id() AS id').get()
  return `sqlite ${String(row?.id).slice(0, 60)}`
}

/** Busy, locked, out of memory, interrupted, a failing disk or file: no property of the statement. */
const machineErrors = new Set([5, 6, 7, 9, 10, 13, 14])
/** Malformed, and no database. */
const damages = new Set([11, 26])

/** Fault 'corrupt' when SQLite found the file damaged. */
export function damageOf(error: unknown): Fault | undefined {
  if (isFault(error, 'corrupt')) return error
  const { errcode, message } = error as { readonly errcode?: number; readonly message?: string }
  if (typeof errcode !== 'number' || !damages.has(errcode & 0xff)) return undefined
  return new Fault('corrupt', `the database's file is damaged: ${message}`, { cause: error })
}

function wordsOf(error: unknown): string {
  const { errcode, code, message } = error as {
    readonly errcode?: number
    readonly code?: string
    readonly message?: string
  }
  const damage = damageOf(error)
  if (damage !== undefined) throw damage
  if (typeof errcode === 'number') {
    if (!machineErrors.has(errcode & 0xff)) return message ?? 'SQL error'
    throw new Fault('internal', `SQLite failed: ${message} (${errcode})`, { cause: error })
  }
  if (typeof code === 'string' && code.startsWith('ERR_INVALID')) return message ?? code
  if (code === 'ERR_OUT_OF_RANGE') return message ?? code
  throw error
}

/** Computes and holds nothing. */
export function openMemory(): DatabaseSync {
  return new DatabaseSync(':memory:')
}

// The tables of a database's file that are the engine's own: one row of state, and the answers that are remembered, each
// beside the effect in the same transaction.
//
// Answers are forgotten by what the log says alone, so that all replicas forget alike: those of batches older than the window,
// in entries' time, and the oldest while they weigh too much. What is forgotten is never run again: an id that is not
// newer than the newest forgotten one is refused.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { Fault } from '../../base/index.ts'
import { timeOfId } from '../core/entry.ts'

export const windowMs = 600_000
export const answersBytesMax = 64 * 1024 * 1024
const forgottenAtOnceMax = 16
const format = 1
const rowWeight = 64

export type State = {
  applied: number
  digest: Uint8Array
  /** Batches ever run; numbers the answers. */
  batches: number
  /** Of the newest batch: time in a log never goes back. */
  timeMs: number
  forgottenMs: number
  answersBytes: number
}

export type Known = { readonly hash: Uint8Array; readonly answer: Uint8Array }

export class OwnTables {
  readonly #read: StatementSync
  readonly #write: StatementSync
  readonly #find: StatementSync
  readonly #begin: StatementSync
  readonly #remember: StatementSync
  readonly #oldest: StatementSync
  readonly #forget: StatementSync

  constructor(database: DatabaseSync) {
    prepareTables(database)
    const prepare = (sql: string): StatementSync => database.prepare(sql)
    this.#read = prepare('SELECT * FROM _atoll_state WHERE id = 1')
    this.#write = prepare(
      'UPDATE _atoll_state SET applied = ?, digest = ?, batches = ?, time_ms = ?, forgotten_ms = ?, answers_bytes = ? WHERE id = 1',
    )
    this.#find = prepare('SELECT hash, answer FROM _atoll_answers WHERE batch = ?')
    this.#begin = prepare('INSERT INTO _atoll_answers VALUES (?, ?, ?, ?, NULL)')
    this.#remember = prepare('UPDATE _atoll_answers SET answer = ? WHERE number = ?')
    this.#oldest = prepare(
      'SELECT number, batch, time_ms, length(answer) AS bytes FROM _atoll_answers ORDER BY number LIMIT 1',
    )
    this.#forget = prepare('DELETE FROM _atoll_answers WHERE number = ?')
  }

  read(): State {
    const row = this.#read.get()
    if (row === undefined || row.format !== format) {
      throw new Fault('corrupt', `a SQL database has format ${row?.format}, known is ${format}`)
    }
    return {
      applied: Number(row.applied),
      digest: row.digest as Uint8Array,
      batches: Number(row.batches),
      timeMs: Number(row.time_ms),
      forgottenMs: Number(row.forgotten_ms),
      answersBytes: Number(row.answers_bytes),
    }
  }

  write(state: State): void {
    const { applied, digest, batches, timeMs, forgottenMs, answersBytes } = state
    this.#write.run(applied, digest, batches, timeMs, forgottenMs, answersBytes)
  }

  find(batch: Uint8Array): Known | undefined {
    const row = this.#find.get(batch)
    if (row === undefined) return undefined
    return { hash: row.hash as Uint8Array, answer: row.answer as Uint8Array }
  }

  /** Before the batch's own statements. */
  begin(batch: Uint8Array, hash: Uint8Array, { batches, timeMs }: State): void {
    this.#begin.run(batches, batch, timeMs, hash)
  }

  /** The answer of the newest batch; and as many old ones are forgotten as that makes due. */
  remember(answer: Uint8Array, state: State): void {
    this.#remember.run(answer, state.batches)
    state.answersBytes += answer.length + rowWeight
    for (let count = 0; count < forgottenAtOnceMax; count++) {
      const oldest = this.#oldest.get()
      if (oldest === undefined || Number(oldest.number) === state.batches) return
      const isOld = Number(oldest.time_ms) < state.timeMs - windowMs
      if (!isOld && state.answersBytes <= answersBytesMax) return
      this.#forget.run(oldest.number as number)
      state.answersBytes -= Number(oldest.bytes) + rowWeight
      state.forgottenMs = Math.max(state.forgottenMs, timeOfId(oldest.batch as Uint8Array))
    }
  }
}

function prepareTables(database: DatabaseSync): void {
  database.exec('BEGIN IMMEDIATE')
  database.exec(
    `CREATE TABLE IF NOT EXISTS _atoll_state (id INTEGER PRIMARY KEY, format INTEGER, applied INTEGER, digest BLOB,
      batches INTEGER, time_ms INTEGER, forgotten_ms INTEGER, answers_bytes INTEGER)`,
  )
  database.exec(
    `CREATE TABLE IF NOT EXISTS _atoll_answers (number INTEGER PRIMARY KEY, batch BLOB UNIQUE, time_ms INTEGER,
      hash BLOB, answer BLOB)`,
  )
  const insert = database.prepare(
    'INSERT OR IGNORE INTO _atoll_state VALUES (1, ?, 0, ?, 0, 0, 0, 0)',
  )
  insert.run(format, new Uint8Array(32))
  database.exec('COMMIT')
}

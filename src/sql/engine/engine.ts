// The engine of one database: its file as the state of its log. Applied index, digest and remembered answers move in the
// transaction of the effect itself, so that a restart goes on with exactly the entry that is missing.
//
// A batch runs in a savepoint behind the row of its answer, which also gives changes() and last_insert_rowid() the same
// beginning on all replicas. The digest chains the changes of every entry (SQLite's session extension), the rows of
// answers among them, so that it covers what sessions do not see: tables without a primary key, and the schema.
//
// A statement may roll back the whole transaction (INSERT OR ROLLBACK, RAISE(ROLLBACK)), and with it other batches of the
// same turn:
//   1. its batch is marked, and what came before its entry is run again and committed,
//   2. its entry is run again: the marked batch now answers with an error and runs nothing.
// That a batch is such a one is decided by its own statements, so replicas agree.
//
// Foreign keys that are deferred are looked at by SQLite when a transaction is committed. So that all replicas look at the same
// place, an entry is the last of its transaction while the schema has such keys. An entry that is refused there is run again,
// each of its batches looked at for itself: the guilty ones are marked.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { assert, concatBytes, equalBytes, Fault, sha256, toHex } from '../../base/index.ts'
import { answerCodec, failedResult, type Refusal } from '../core/answer.ts'
import { Chance } from '../core/chance.ts'
import { entryCodec, hashOfWork, seedBytes, type SqlBatch, timeOfId } from '../core/entry.ts'
import { ownPrefix } from '../core/policy.ts'
import type { SqlResult, SqlStatement } from '../sql.ts'
import {
  type Connection,
  copyDatabase,
  engineName,
  openConnection,
  openMemory,
} from './connection.ts'
import { type Moment, registerMathematics, registerTimeAndChance } from './functions.ts'
import { brokenKeys, DeferredKeys, isBrokenKey } from './deferred-keys.ts'
import { OwnTables, type State } from './own-tables.ts'
import { isReading, isSavepoint, Statements } from './statements.ts'

/** Names that nobody else can use (core/policy.ts). */
const savepoints = { batch: `${ownPrefix}batch`, one: `${ownPrefix}one` } as const
/** Of the rows that one batch gives back. */
const answerBytesMax = 4 * 1024 * 1024
/** Replicas are compared at an entry that the slower of them has just reached. */
const recentMax = 4096

export type IndexedEntry = { readonly index: number; readonly payload: Uint8Array }
/** `isPure`: whoever leaves the statement out ends at the same state. */
export type Stepped = { readonly result: SqlResult; readonly isPure: boolean }
export type RanBatch = { readonly answer: Uint8Array; readonly elapsedUs: readonly number[] }

class TransactionLost {
  readonly batch: string
  readonly why: string
  constructor(batch: string, why: string) {
    this.batch = batch
    this.why = why
  }
}

export class SqlEngine {
  readonly name: string
  readonly #connection: Connection
  readonly #database: DatabaseSync
  readonly #calendar: DatabaseSync
  readonly #statements: Statements
  readonly #own: OwnTables
  readonly #moment: Moment = {
    timeMs: 0,
    chance: new Chance(new Uint8Array(seedBytes)),
    mayAsk: (name) => this.#statements.mayAskNow(name),
  }
  readonly #nowUs: () => number
  /** By their ids, batches of this turn that would roll it back, and what they answer instead. */
  readonly #marked = new Map<string, string>()
  /** What was run ahead. */
  #ahead: Uint8Array = new Uint8Array(0)
  readonly #fixed = new Map<string, StatementSync>()
  readonly #keys: DeferredKeys
  /** An entry was refused for its foreign keys: each batch is looked at. */
  #isLookingForKeys = false
  #state: State
  /** Behind each entry of the last attempt. */
  #digests: Uint8Array[] = []
  /** Digests behind the newest entries, oldest first. */
  readonly #recent = new Map<number, Uint8Array>()
  /** An entry was run and waits for commit() or rollback(). */
  #isOpen = false

  /** Fault 'corrupt' for a file that is none of ours or is damaged. `nowUs`: a clock for durations. */
  constructor(path: string, nowUs: () => number) {
    this.#connection = openConnection(path, { isReader: false })
    this.#database = this.#connection.database
    this.#calendar = openMemory()
    this.#nowUs = nowUs
    this.#own = this.#connection.trusted(() => new OwnTables(this.#database))
    this.#state = this.#connection.trusted(() => this.#own.read())
    this.#note(this.#state.applied, this.#state.digest)
    this.name = engineName(this.#calendar)
    this.#keys = this.#connection.trusted(() => new DeferredKeys(this.#database))
    registerTimeAndChance(this.#database, this.#calendar, this.#moment)
    registerMathematics(this.#database)
    this.#statements = new Statements(this.#connection, { rowBytesMax: answerBytesMax })
  }

  /** The last entry that is committed in the file. */
  get applied(): number {
    return this.#state.applied
  }

  get digest(): Uint8Array {
    return this.#state.digest
  }

  /** The digest behind this entry, if it is one of the newest that were applied since the engine began. */
  digestAt(index: number): Uint8Array | undefined {
    return this.#recent.get(index)
  }

  /** Functions beside those that are the same everywhere. */
  extend(more: (database: DatabaseSync) => void): void {
    more(this.#database)
  }

  /** Runs an entry before it is proposed; nobody else sees it until commit(). */
  run(payload: Uint8Array): readonly RanBatch[] {
    assert(!this.#isOpen, 'one entry at a time is run ahead')
    for (;;) {
      const { ran } = this.#attempt([{ index: 0, payload }])
      if (ran === undefined) continue
      this.#marked.clear()
      this.#isOpen = true
      this.#ahead = payload
      return ran[0] ?? []
    }
  }

  /** What run() did is the entry of this index. Answers what it answers instead when foreign keys refuse it. */
  commit(index: number): readonly RanBatch[] | undefined {
    assert(this.#isOpen && index > this.#state.applied, 'an entry that was run is committed once')
    this.#isOpen = false
    if (!this.#finish(index)) return this.apply([{ index, payload: this.#ahead }])[0]
    this.#note(index, this.#state.digest)
    return undefined
  }

  /**
   * Begins the transaction of somebody who asks one statement after the other, with the time and the seed of this entry's one
   * batch, which has no statements yet; nobody else sees it. It ends with rollback(): what it did is run again as an entry.
   */
  hold(payload: Uint8Array): void {
    assert(!this.#isOpen, 'one entry at a time is run ahead')
    const [batch] = entryCodec.decode(payload).batches
    assert(batch?.isInteractive === true, 'a transaction is held for somebody who asks')
    this.#exec('BEGIN IMMEDIATE')
    this.#isOpen = true
    try {
      this.#enter(batch, hashOfWork(batch))
    } catch (error) {
      this.rollback()
      throw error
    }
  }

  /** Fault 'conflict' when the statement has rolled back the transaction. */
  step(statement: SqlStatement): Stepped {
    assert(this.#isOpen, 'a step is one of a transaction')
    const { chance } = this.#moment
    const before = chance.drawnBytes
    const { rowBytes } = this.#statements
    const result = this.#one(statement, true)
    if (!this.#database.isTransaction) {
      this.#isOpen = false
      this.#undo()
      throw new Fault('conflict', 'the statement has rolled back the transaction')
    }
    const isPure = isReading(statement.sql, result) && chance.drawnBytes === before
    if (isPure) this.#statements.takeBack(rowBytes)
    return { result, isPure }
  }

  rollback(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#undo()
  }

  /** Entries in order, as few transactions as can be; those that the file shows already answer nothing. */
  apply(entries: readonly IndexedEntry[]): readonly (readonly RanBatch[])[] {
    assert(!this.#isOpen, 'nothing is applied beside an entry that was run ahead')
    const { applied } = this.#state
    let rest = entries.filter(({ index }) => index > applied)
    const answers: (readonly RanBatch[])[] = entries.slice(rest.length).map(() => [])
    while (rest.length > 0) {
      const { ran, lostAt } = this.#attempt(rest)
      // What went well before the loss goes well again, and is then out of its way.
      const done = rest.slice(0, lostAt)
      const again = ran ?? this.#attempt(done).ran
      assert(again !== undefined, 'what an entry does is the same each time')
      if (!this.#finish(done.at(-1)?.index)) {
        this.#lookForKeys(done.at(-1))
        continue
      }
      this.#isLookingForKeys = false
      for (const [at, { index }] of done.entries()) this.#note(index, this.#digests[at])
      answers.push(...again)
      rest = rest.slice(done.length)
    }
    this.#marked.clear()
    return answers
  }

  /** When it returns, everything applied survives any crash. */
  checkpoint(): void {
    this.#connection.trusted(() => {
      const row = this.#database.prepare('PRAGMA wal_checkpoint(FULL)').get()
      if (row?.busy !== 0) throw new Fault('unavailable', 'a reader holds the checkpoint back')
    })
  }

  /** The committed state as a file of its own. */
  async copyTo(path: string): Promise<void> {
    await copyDatabase(this.#database, path)
  }

  close(): void {
    this.rollback()
    this.#database.close()
    this.#calendar.close()
  }

  /** Behind an entry that foreign keys refuse: the second time all of its batches are marked, whoever is guilty. */
  #lookForKeys(refused: IndexedEntry | undefined): void {
    assert(refused !== undefined, 'nothing but an entry breaks foreign keys')
    if (this.#isLookingForKeys) {
      for (const { id } of entryCodec.decode(refused.payload).batches) {
        assert(this.#marked.get(toHex(id)) !== brokenKeys, 'who does nothing breaks no keys')
        this.#marked.set(toHex(id), brokenKeys)
      }
    }
    this.#isLookingForKeys = true
  }

  /**
   * In a transaction that stays open, or is undone: the entry that lost it is marked then. It ends before the entry `lostAt`, which
   * is of another transaction.
   */
  #attempt(entries: readonly IndexedEntry[]): {
    readonly ran?: readonly (readonly RanBatch[])[]
    readonly lostAt: number
  } {
    const ran: (readonly RanBatch[])[] = []
    this.#digests = []
    this.#exec('BEGIN IMMEDIATE')
    try {
      for (const { payload } of entries) {
        const hadKeys = this.#hasKeys()
        ran.push(this.#entry(payload))
        this.#digests.push(this.#state.digest)
        if (hadKeys || this.#hasKeys()) break
      }
      return { ran, lostAt: ran.length }
    } catch (error) {
      this.#undo()
      if (!(error instanceof TransactionLost)) throw error
      this.#marked.set(error.batch, error.why)
      return { lostAt: ran.length }
    }
  }

  #entry(payload: Uint8Array): readonly RanBatch[] {
    const { batches } = entryCodec.decode(payload)
    const session = this.#connection.trusted(() => this.#database.createSession())
    try {
      const ran = batches.map((batch) => this.#batch(batch))
      const changes = this.#connection.trusted(() => changesOf(session))
      this.#state.digest = sha256(concatBytes([this.#state.digest, changes]))
      return ran
    } finally {
      this.#connection.trusted(() => session.close())
    }
  }

  #batch(batch: SqlBatch): RanBatch {
    const hash = hashOfWork(batch)
    const known = this.#connection.trusted(() => this.#own.find(batch.id))
    if (known !== undefined) {
      if (equalBytes(known.hash, hash)) return { answer: known.answer, elapsedUs: [] }
      return refused('mismatch')
    }
    if (timeOfId(batch.id) <= this.#state.forgottenMs) return refused('forgotten')
    this.#enter(batch, hash)
    const mark = this.#marked.get(toHex(batch.id))
    const results = mark === undefined ? this.#results(batch) : [failedResult(mark)]
    if (mark === undefined && this.#isLookingForKeys) {
      const isBroken = this.#connection.trusted(() => this.#keys.areBroken())
      if (isBroken) throw new TransactionLost(toHex(batch.id), brokenKeys)
    }
    const answer = answerCodec.encode({ results })
    this.#connection.trusted(() => this.#own.remember(answer, this.#state))
    return { answer, elapsedUs: results.map(({ elapsedUs }) => elapsedUs) }
  }

  /** The batch's own time and chance, and the row of its answer. */
  #enter(batch: SqlBatch, hash: Uint8Array): void {
    this.#state.timeMs = Math.max(this.#state.timeMs, batch.timeMs)
    this.#state.batches++
    this.#moment.timeMs = this.#state.timeMs
    this.#moment.chance = new Chance(batch.seed)
    this.#statements.begin()
    this.#connection.trusted(() => this.#own.begin(batch.id, hash, this.#state))
  }

  #results(batch: SqlBatch): readonly SqlResult[] {
    const results: SqlResult[] = []
    const { isAtomic, isInteractive } = batch
    // Savepoints that its author leaves open end with it: a later entry of the same transaction would find them.
    if (isAtomic || isInteractive) this.#exec(`SAVEPOINT ${savepoints.batch}`)
    for (const statement of batch.statements) {
      const result = isAtomic ? this.#timed(statement) : this.#one(statement, isInteractive)
      if (!this.#database.isTransaction) {
        throw new TransactionLost(toHex(batch.id), lostTransaction)
      }
      results.push(result)
      if (isAtomic && result.error !== undefined) break
    }
    const isUndone = isAtomic && results.at(-1)?.error !== undefined
    if (isAtomic || isInteractive) this.#end(savepoints.batch, isUndone)
    return results
  }

  /** A statement for itself: what fails leaves nothing. A savepoint of its author's is outside of ours. */
  #one(statement: SqlStatement, isInteractive = false): SqlResult {
    if (isInteractive && isSavepoint(statement.sql)) return this.#timed(statement, isInteractive)
    this.#exec(`SAVEPOINT ${savepoints.one}`)
    const result = this.#timed(statement, isInteractive)
    if (this.#database.isTransaction) this.#end(savepoints.one, result.error !== undefined)
    return result
  }

  #timed(statement: SqlStatement, isInteractive = false): SqlResult {
    const startedUs = this.#nowUs()
    const result = this.#statements.run(statement, isInteractive)
    return { ...result, elapsedUs: Math.max(0, Math.round(this.#nowUs() - startedUs)) }
  }

  #end(savepoint: string, isFailed: boolean): void {
    if (isFailed) this.#exec(`ROLLBACK TO ${savepoint}`)
    this.#exec(`RELEASE ${savepoint}`)
  }

  #note(index: number, digest: Uint8Array | undefined): void {
    if (digest === undefined) return
    this.#recent.set(index, digest)
    if (this.#recent.size <= recentMax) return
    const [oldest] = this.#recent.keys()
    if (oldest !== undefined) this.#recent.delete(oldest)
  }

  /** Of the schema as it is in this transaction. */
  #hasKeys(): boolean {
    return this.#connection.trusted(() => this.#keys.exist())
  }

  /** False when foreign keys refuse it: nothing is left of the transaction then. */
  #finish(index: number | undefined): boolean {
    return this.#connection.trusted(() => {
      if (index !== undefined) this.#state.applied = index
      this.#own.write(this.#state)
      try {
        this.#exec('COMMIT')
        return true
      } catch (error) {
        if (!isBrokenKey(error)) throw error
        this.#undo()
        return false
      }
    })
  }

  #undo(): void {
    this.#keys.forget()
    this.#connection.trusted(() => {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      this.#state = this.#own.read()
    })
  }

  /** One of a few texts, which are prepared once. */
  #exec(sql: string): void {
    this.#connection.trusted(() => {
      const known = this.#fixed.get(sql) ?? this.#database.prepare(sql)
      this.#fixed.set(sql, known)
      known.run()
    })
  }
}

const lostTransaction =
  'a statement rolled back the transaction: say OR ABORT, because a batch is a transaction by itself'

function refused(refusal: Refusal): RanBatch {
  return { answer: answerCodec.encode({ results: [], refusal }), elapsedUs: [] }
}

/** A session cannot tell changes of a table whose shape changed under it; the answers tell of the statement. */
function changesOf(session: ReturnType<DatabaseSync['createSession']>): Uint8Array {
  try {
    return session.changeset()
  } catch {
    return new Uint8Array(0)
  }
}

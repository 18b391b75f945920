// SQLite store: the ordered store on node:sqlite, one file in write-ahead mode. The one file outside
// host/real that lets an engine open files by itself (law 5: the engine's crash contract is stated).
//
// Crash contract. synchronous=NORMAL never syncs a commit: after power loss SQLite finds a valid
// prefix of its WAL. A commit is durable once the WAL was synced, or copied into a synced database.
//
// Checkpoints have two phases, because one in the writer stalls it for tens of milliseconds: a helper
// thread copies what it can (passive), then the writer resets the WAL (restart), which finds next to
// nothing left to copy. With views open the WAL cannot be reset and a passive checkpoint may stop at
// the oldest view without syncing anything; so the WAL file is synced explicitly in that case, and
// also, instead of any copy, when little was written since the last one.
//
// The database file itself must never be opened and closed by other means while the store is open:
// closing any descriptor of it drops SQLite's POSIX locks. The WAL carries no locks.

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { assert, Fault, faultCodec, toFault, utf8Decode, utf8Encode } from '../base/index.ts'
import type { Host, Port, ThreadProgram } from '../host/index.ts'
import { directoryOf, stopNode } from './disk-errors.ts'
import type { Store, StoreOptions, StoreRange, StoreRow, StoreView } from './store.ts'

const timeoutMs = 5000
const cacheBytesDefault = 64 * 1024 * 1024
const viewCacheBytes = 4 * 1024 * 1024
const mappedBytesMax = 1024 * 1024 * 1024
const walBytesKept = 16 * 1024 * 1024
const viewsMax = 4
/** After this many written rows (at most a page each, 32 MiB of WAL) a checkpoint starts by itself. */
const rowsBetweenCheckpoints = 8192
/** A checkpoint of fewer rows only syncs the WAL: the copy, and the helper thread, wait for more. */
const rowsCopiedMin = 1024
const formatVersion = 1

/** Fault 'corrupt' when the file is no store, 'unsupported' when a newer version wrote it. */
export async function openSqliteStore(host: Host, options: StoreOptions): Promise<Store> {
  for (const name of options.tables) {
    assert(/^[a-z][a-z0-9_]*$/.test(name) && !name.startsWith('sqlite'), `${name} names a table`)
  }
  await (await host.disk.open(options.path, { create: true })).close()
  await host.disk.syncDirectory(directoryOf(options.path))
  const file = `${host.disk.rootPath}/${options.path}`
  const database = attempt(options.path, () => {
    const opened = connect(file, { cacheBytes: options.cacheBytes ?? cacheBytesDefault })
    prepareFile(opened, options)
    return opened
  })
  return new SqliteStore(host, { path: options.path, file, database, tables: options.tables })
}

type Opened = {
  readonly path: string
  readonly file: string
  readonly database: DatabaseSync
  readonly tables: readonly string[]
}

class SqliteStore implements Store {
  readonly #host: Host
  readonly #opened: Opened
  readonly #reader: TableReader
  readonly #writers = new Map<string, TableWriter>()
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #rollback: StatementSync
  readonly #pageCount: StatementSync
  readonly #idleViews: DatabaseSync[] = []
  #openViews = 0
  #isInTransaction = false
  #isClosed = false
  #rowsSinceCheckpoint = 0
  #commits = 0
  #lane: Promise<CheckpointLane> | undefined
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(host: Host, opened: Opened) {
    this.#host = host
    this.#opened = opened
    const { database } = opened
    this.#reader = new TableReader(database, opened)
    for (const table of opened.tables) this.#writers.set(table, new TableWriter(database, table))
    this.#begin = database.prepare('BEGIN IMMEDIATE')
    this.#commit = database.prepare('COMMIT')
    this.#rollback = database.prepare('ROLLBACK')
    this.#pageCount = database.prepare('PRAGMA page_count')
    this.#pageCount.setReturnArrays(true)
  }

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    return this.#reader.get(table, key)
  }

  range(table: string, range: StoreRange): readonly StoreRow[] {
    return this.#reader.range(table, range)
  }

  keys(table: string, range: StoreRange): readonly Uint8Array[] {
    return this.#reader.keys(table, range)
  }

  put(table: string, key: Uint8Array, value: Uint8Array): void {
    const writer = this.#writer(table)
    this.#attempt(() => writer.put.run(key, value))
    this.#rowsSinceCheckpoint++
  }

  delete(table: string, key: Uint8Array): void {
    const writer = this.#writer(table)
    this.#attempt(() => writer.delete.run(key))
    this.#rowsSinceCheckpoint++
  }

  deleteRange(
    table: string,
    { start, end }: { readonly start: Uint8Array; readonly end: Uint8Array },
  ): void {
    const writer = this.#writer(table)
    const { changes } = this.#attempt(() =>
      end.length === 0 ? writer.deleteFrom.run(start) : writer.deleteRange.run(start, end),
    )
    this.#rowsSinceCheckpoint += Number(changes)
  }

  transaction<T>(body: () => T): T {
    assert(!this.#isInTransaction, 'transactions are not nested')
    assert(!this.#isClosed, 'a closed store is not used')
    this.#attempt(() => this.#begin.run())
    this.#isInTransaction = true
    try {
      const result = body()
      this.#attempt(() => this.#commit.run())
      this.#commits++
      return result
    } catch (error) {
      if (this.#opened.database.isTransaction) this.#attempt(() => this.#rollback.run())
      throw error
    } finally {
      this.#isInTransaction = false
      if (this.#rowsSinceCheckpoint >= rowsBetweenCheckpoints) this.#checkpointSoon()
    }
  }

  view(): StoreView {
    assert(!this.#isInTransaction, 'a view is taken between transactions')
    if (this.#openViews >= viewsMax) {
      throw new Fault('overloaded', `${viewsMax} views of the store are open already`)
    }
    const connection = this.#idleViews.pop() ?? this.#connectView()
    this.#attempt(() => {
      connection.exec('BEGIN')
      connection.prepare('SELECT count(*) FROM sqlite_schema').get()
    })
    this.#openViews++
    return new SqliteView(connection, this.#opened, () => {
      this.#openViews--
      if (this.#isClosed) connection.close()
      else this.#idleViews.push(connection)
    })
  }

  checkpoint(): Promise<void> {
    if (this.#running === undefined) return this.#startCheckpoint()
    this.#next ??= this.#running.then(
      () => this.#startCheckpoint(),
      () => this.#startCheckpoint(),
    )
    return this.#next
  }

  sizeBytes(): number {
    const row = this.#pageCount.get() as unknown as readonly number[]
    return (row[0] ?? 0) * 4096
  }

  async close(): Promise<void> {
    assert(!this.#isInTransaction, 'a store is closed between transactions')
    if (this.#isClosed) return
    await this.checkpoint()
    this.#isClosed = true
    for (const connection of this.#idleViews) connection.close()
    if (this.#lane !== undefined) await (await this.#lane).stop()
    this.#attempt(() => this.#opened.database.close())
  }

  #startCheckpoint(): Promise<void> {
    this.#next = undefined
    const mine = this.#runCheckpoint().finally(() => {
      if (this.#running === mine) this.#running = undefined
    })
    this.#running = mine
    return mine
  }

  async #runCheckpoint(): Promise<void> {
    const commitsBefore = this.#commits
    const rowsBefore = this.#rowsSinceCheckpoint
    if (rowsBefore < rowsCopiedMin) return await this.#syncWalAlone()
    try {
      this.#lane ??= CheckpointLane.start(this.#host, this.#opened.file)
      const isWhole = await (await this.#lane).checkpoint()
      if (!isWhole) await this.#syncWal()
    } catch (error) {
      const fault = toFault(error)
      if (fault.code === 'no-space') throw fault
      stopNode(this.#host, 'storage.store_checkpoint_failed', fault)
      throw fault
    }
    this.#rowsSinceCheckpoint -= rowsBefore
    if (this.#openViews > 0 || this.#isInTransaction) return
    const isIdle = this.#commits === commitsBefore
    this.#attempt(() =>
      this.#opened.database.exec(`PRAGMA wal_checkpoint(${isIdle ? 'TRUNCATE' : 'RESTART'})`),
    )
  }

  /** The rows still count towards the next copy, so that the WAL stays bounded. */
  async #syncWalAlone(): Promise<void> {
    try {
      await this.#syncWal()
    } catch (error) {
      const fault = toFault(error)
      if (fault.code !== 'no-space') {
        stopNode(this.#host, 'storage.store_checkpoint_failed', fault)
      }
      throw fault
    }
  }

  async #syncWal(): Promise<void> {
    const wal = await this.#host.disk.open(`${this.#opened.path}-wal`)
    try {
      await wal.sync()
    } finally {
      await wal.close()
    }
  }

  #checkpointSoon(): void {
    if (this.#running !== undefined) return
    this.checkpoint().catch((error: unknown) => {
      this.#host.journal.event('warning', 'storage.store_checkpoint_refused', {
        why: toFault(error).message,
      })
    })
  }

  #connectView(): DatabaseSync {
    return this.#attempt(() =>
      connect(this.#opened.file, { cacheBytes: viewCacheBytes, isReadOnly: true }),
    )
  }

  #writer(table: string): TableWriter {
    assert(this.#isInTransaction, 'writes happen inside a transaction')
    const writer = this.#writers.get(table)
    assert(writer !== undefined, `table ${table} is named when the store is opened`)
    return writer
  }

  #attempt<T>(run: () => T): T {
    return attempt(this.#opened.path, run)
  }
}

class SqliteView implements StoreView {
  readonly #connection: DatabaseSync
  readonly #reader: TableReader
  #release: (() => void) | undefined

  constructor(connection: DatabaseSync, opened: Opened, release: () => void) {
    this.#connection = connection
    this.#reader = new TableReader(connection, opened)
    this.#release = release
  }

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    return this.#open().get(table, key)
  }

  range(table: string, range: StoreRange): readonly StoreRow[] {
    return this.#open().range(table, range)
  }

  keys(table: string, range: StoreRange): readonly Uint8Array[] {
    return this.#open().keys(table, range)
  }

  close(): void {
    if (this.#release === undefined) return
    this.#connection.exec('COMMIT')
    this.#release()
    this.#release = undefined
  }

  #open(): TableReader {
    assert(this.#release !== undefined, 'a closed view is not used')
    return this.#reader
  }
}

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
class TableReader {
  readonly #database: DatabaseSync
  readonly #opened: Opened
  readonly #statements = new Map<string, ReadStatements>()

  constructor(database: DatabaseSync, opened: Opened) {
    this.#database = database
    this.#opened = opened
  }

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    const { get } = this.#of(table)
    return attempt(this.#opened.path, () => {
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
    return attempt(this.#opened.path, () => {
      const rows = isOpen ? statement.all(start, limit) : statement.all(start, end, limit)
      return rows as unknown as readonly (readonly Uint8Array[])[]
    })
  }

  #of(table: string): ReadStatements {
    const known = this.#statements.get(table)
    if (known !== undefined) return known
    assert(this.#opened.tables.includes(table), `table ${table} is named when the store is opened`)
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
    const statement = attempt(this.#opened.path, () => this.#database.prepare(text))
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

class TableWriter {
  readonly put: StatementSync
  readonly delete: StatementSync
  readonly deleteRange: StatementSync
  readonly deleteFrom: StatementSync

  constructor(database: DatabaseSync, table: string) {
    this.put = database.prepare(
      `INSERT INTO ${table} VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v`,
    )
    this.delete = database.prepare(`DELETE FROM ${table} WHERE k = ?`)
    this.deleteRange = database.prepare(`DELETE FROM ${table} WHERE k >= ? AND k < ?`)
    this.deleteFrom = database.prepare(`DELETE FROM ${table} WHERE k >= ?`)
  }
}

function connect(
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

function prepareFile(database: DatabaseSync, options: StoreOptions): void {
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
  database.exec('COMMIT')
}

/** Runs a call of the engine; its errors become Faults (result codes: sqlite.org/rescode.html). */
function attempt<T>(path: string, run: () => T): T {
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

// ---- the helper thread ----

/** One checkpoint at a time; the thread has its own connection. */
class CheckpointLane {
  readonly #port: Port
  readonly #stop: () => Promise<void>
  #settle: { resolve: (isWhole: boolean) => void; reject: (fault: Fault) => void } | undefined

  private constructor(port: Port, stop: () => Promise<void>) {
    this.#port = port
    this.#stop = stop
    port.onMessage = (message) => {
      const settle = this.#settle
      this.#settle = undefined
      if (message.length > 1) settle?.reject(faultCodec.decode(message))
      else settle?.resolve(message[0] === 1)
    }
  }

  static async start(host: Host, file: string): Promise<CheckpointLane> {
    const { port, stop } = await host.threads.start(checkpointProgram, utf8Encode(file))
    return new CheckpointLane(port, stop)
  }

  /** True when everything committed before the call is in the synced database. */
  checkpoint(): Promise<boolean> {
    assert(this.#settle === undefined, 'one checkpoint runs at a time')
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.#port.send(Uint8Array.of(1))
    })
  }

  async stop(): Promise<void> {
    const closed = new Promise<boolean>((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.#port.send(Uint8Array.of(0))
    await closed
    await this.#stop()
  }
}

const checkpointProgram: ThreadProgram = {
  name: 'store-checkpoint',
  moduleUrl: import.meta.url,
  exportName: 'runCheckpoints',
  run: runCheckpoints,
}

/** The helper thread: 1 asks for a passive checkpoint, 0 for the end. Answers one byte or a Fault. */
export async function runCheckpoints(_host: Host, port: Port, input: Uint8Array): Promise<void> {
  const file = utf8Decode(input)
  const database = connect(file, { cacheBytes: 256 * 1024 })
  database.exec('PRAGMA synchronous = NORMAL')
  const passive = database.prepare('PRAGMA wal_checkpoint(PASSIVE)')
  passive.setReturnArrays(true)
  port.onMessage = (message) => {
    if (message[0] === 0) {
      database.close()
      port.send(Uint8Array.of(1))
      return
    }
    try {
      const row = attempt(file, () => passive.get()) as unknown as readonly number[]
      const [isBusy, inWal, copied] = row
      port.send(Uint8Array.of(isBusy === 0 && inWal === copied ? 1 : 0))
    } catch (error) {
      port.send(faultCodec.encode(toFault(error)))
    }
  }
}

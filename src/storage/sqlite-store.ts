// SQLite store: the ordered store on node:sqlite, one file in write-ahead mode. With sqlite-engine.ts and
// sqlite-writer.ts the only files outside host/real that let an engine open files by itself (law 5: the engine's
// crash contract is stated).
//
// Commits go to a layer in memory (core/row-layer.ts) and into the file in bulk: when a layer is large it is
// frozen, a new one takes what follows, and a thread of the store writes the frozen one as one transaction.
// Reads go through both layers to the file. So a commit costs what changing a map costs, rows that are
// written and deleted soon never reach the file, and the rest is written in order of keys.
//
// Crash contract. Layers are whole commits in order, and each is one transaction of SQLite, of whose WAL a valid
// prefix is found after power loss (synchronous=NORMAL never syncs a commit). A commit is durable once the WAL
// that holds it was synced, or copied into a synced database: that is what checkpoint() waits for. With views
// open a passive checkpoint may stop at the oldest view without syncing anything; so the WAL file is synced
// explicitly in that case, and also, instead of any copy, when little was written since the last one.
//
// When the thread does not keep up, the core thread writes both layers itself, and waits for that: memory
// stays bounded. Numbers of flushes keep the thread from writing an old layer over it.
//
// Keys that were asked for in vain are asked for less: table-filter.ts.
//
// The database file itself must never be opened and closed by other means while the store is open:
// closing any descriptor of it drops SQLite's POSIX locks. The WAL carries no locks.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { assert, Fault, toFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { keyBytes, keyText } from './core/key-text.ts'
import { type LayerTable, RowLayer, readThrough } from './core/row-layer.ts'
import type { HeldValue } from './core/value-arena.ts'
import { directoryOf, stopNode } from './disk-errors.ts'
import {
  attempt,
  connect,
  prepareFile,
  readFlushNumber,
  TableReader,
  TableWriter,
  writeFlushNumber,
} from './sqlite-engine.ts'
import { type CheckpointKind, WriterLane } from './sqlite-writer.ts'
import type { Store, StoreOptions, StoreRange, StoreRow, StoreView } from './store.ts'
import { missesDefault, TableFilter } from './table-filter.ts'

const cacheBytesDefault = 64 * 1024 * 1024
const viewCacheBytes = 4 * 1024 * 1024
const viewsMax = 4
/** A layer of this many bytes is written. */
const layerBytesDefault = 4 * 1024 * 1024
/** With this many times as much waiting, the core thread writes by itself. */
const layersMax = 8
/** With this many, the thread is behind: who can wait, waits. */
const layersBehind = 2
/** Small layers are written by the core thread as long as there is no other: the thread costs memory. */
const rowsWrittenHereMax = 512
/** A checkpoint of fewer rows only syncs the WAL: the copy waits for more. */
const rowsCopiedMin = 1024
/** After this many written rows (at most a page each, 32 MiB of WAL) a checkpoint starts by itself. */
const rowsBetweenCheckpoints = 8192
/** After a failed write (a full disk), commits do not try again before this. */
const retryMs = 500

export type SqliteOptions = StoreOptions & {
  /** Tests make it small. */
  readonly layerBytes?: number
  /** Questions in vain after which a table gets a filter of its keys. */
  readonly missesMin?: number
}

/** Fault 'corrupt' when the file is no store, 'unsupported' when a newer version wrote it. */
export async function openSqliteStore(host: Host, options: SqliteOptions): Promise<Store> {
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
  const { path, tables, layerBytes = layerBytesDefault, missesMin = missesDefault } = options
  return new SqliteStore(host, { path, file, database, tables, layerBytes, missesMin })
}

type Opened = {
  readonly path: string
  readonly file: string
  readonly database: DatabaseSync
  readonly tables: readonly string[]
  readonly layerBytes: number
  readonly missesMin: number
}
type Undo = {
  readonly table: LayerTable
  readonly key: string
  readonly before: HeldValue | undefined
}

class SqliteStore implements Store {
  readonly #host: Host
  readonly #opened: Opened
  readonly #reader: TableReader
  readonly #writers: ReadonlyMap<string, TableWriter>
  readonly #filters: ReadonlyMap<string, TableFilter>
  readonly #pageCount: StatementSync
  readonly #idleViews: DatabaseSync[] = []
  #layer: RowLayer
  /** On its way into the file. */
  #frozen: RowLayer | undefined
  #flushNumber: number
  #undo: Undo[] = []
  #openViews = 0
  #isInTransaction = false
  #isClosed = false
  #rowsSinceCheckpoint = 0
  #commits = 0
  #retryAtMs = 0
  #lane: Promise<WriterLane> | undefined
  /** What the lane does, one after the other. */
  #busy: Promise<void> = Promise.resolve()
  #isFlushing = false
  #next: Promise<void> | undefined
  #running: Promise<void> | undefined

  constructor(host: Host, opened: Opened) {
    this.#host = host
    this.#opened = opened
    const { database, tables } = opened
    this.#reader = new TableReader(database, opened)
    this.#writers = new Map(tables.map((table) => [table, new TableWriter(database, table)]))
    const { missesMin } = opened
    this.#filters = new Map(tables.map((table) => [table, new TableFilter(missesMin)]))
    this.#layer = RowLayer.empty(tables)
    this.#flushNumber = readFlushNumber(database)
    this.#pageCount = database.prepare('PRAGMA page_count')
    this.#pageCount.setReturnArrays(true)
  }

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    const text = keyText(key)
    const held = this.#layer.table(table)?.get(text)
    if (held !== undefined) return held ?? undefined
    const frozen = this.#frozen?.table(table)?.get(text)
    if (frozen !== undefined) return frozen ?? undefined
    const filter = this.#filters.get(table)
    if (filter?.isAbsent(text) === true) return undefined
    const value = this.#reader.get(table, key)
    if (value === undefined && filter?.missed() === true) this.#learnKeys(table, filter)
    return value
  }

  range(table: string, range: StoreRange): readonly StoreRow[] {
    const below = (part: StoreRange) => this.#reader.range(table, part)
    return readThrough(this.#mapsOf(table), range, below)
  }

  keys(table: string, range: StoreRange): readonly Uint8Array[] {
    const maps = this.#mapsOf(table)
    return keysThrough(maps, range, (part) => this.#reader.keys(table, part))
  }

  put(table: string, key: Uint8Array, value: Uint8Array): void {
    this.#set(table, keyText(key), value)
  }

  delete(table: string, key: Uint8Array): void {
    this.#set(table, keyText(key), null)
  }

  deleteRange(
    table: string,
    { start, end }: { readonly start: Uint8Array; readonly end: Uint8Array },
  ): void {
    assert(this.#isInTransaction, 'writes happen inside a transaction')
    for (const key of this.keys(table, { start, end })) this.delete(table, key)
  }

  transaction<T>(body: () => T): T {
    assert(!this.#isInTransaction, 'transactions are not nested')
    assert(!this.#isClosed, 'a closed store is not used')
    if (this.#layer.bytes > this.#opened.layerBytes * layersMax) this.#flushHere()
    this.#isInTransaction = true
    try {
      const result = body()
      this.#commits++
      return result
    } catch (error) {
      for (let i = this.#undo.length - 1; i >= 0; i--) {
        const { table, key, before } = this.#undo[i] as Undo
        this.#layer.restore(table, key, before)
      }
      throw error
    } finally {
      this.#undo.length = 0
      this.#isInTransaction = false
      if (this.#layer.bytes >= this.#opened.layerBytes) this.#flushSoon()
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
    const layers = [this.#layer.snapshot(), ...(this.#frozen === undefined ? [] : [this.#frozen])]
    return new SqliteView({ connection, opened: this.#opened, layers }, () => {
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
    return (row[0] ?? 0) * 4096 + this.#layer.bytes + (this.#frozen?.bytes ?? 0)
  }

  isBehind(): boolean {
    return this.#frozen !== undefined && this.#layer.bytes > this.#opened.layerBytes * layersBehind
  }

  async close(): Promise<void> {
    assert(!this.#isInTransaction, 'a store is closed between transactions')
    if (this.#isClosed) return
    try {
      await this.checkpoint()
    } finally {
      await this.#end()
    }
  }

  async #end(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#busy
    for (const connection of this.#idleViews) connection.close()
    if (this.#lane !== undefined) await (await this.#lane).stop()
    this.#attempt(() => this.#opened.database.close())
  }

  #set(table: string, key: string, value: Uint8Array | null): void {
    assert(this.#isInTransaction, 'writes happen inside a transaction')
    const map = this.#layer.table(table)
    assert(map !== undefined, `table ${table} is named when the store is opened`)
    const before = this.#layer.set(map, key, value)
    this.#undo.push({ table: map, key, before })
  }

  #mapsOf(table: string): readonly LayerTable[] {
    return mapsOf(this.#frozen === undefined ? [this.#layer] : [this.#layer, this.#frozen], table)
  }

  // ---- into the file ----

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
    try {
      await this.#inTurn(() => this.#flush())
      if (this.#rowsSinceCheckpoint < rowsCopiedMin) return await this.#syncWal()
      const canCut = this.#openViews === 0
      const isIdle = this.#commits === commitsBefore
      const isWhole = await this.#copy(canCut ? (isIdle ? 'truncate' : 'restart') : 'passive')
      if (!isWhole) await this.#syncWal()
    } catch (error) {
      const fault = toFault(error)
      if (fault.code === 'no-space') throw fault
      stopNode(this.#host, 'storage.store_checkpoint_failed', fault)
      throw fault
    }
  }

  async #copy(kind: CheckpointKind): Promise<boolean> {
    let isWhole = false
    await this.#inTurn(async () => {
      const rows = this.#rowsSinceCheckpoint
      isWhole = await (await this.#startLane()).checkpoint(kind)
      this.#rowsSinceCheckpoint -= rows
    })
    return isWhole
  }

  /** A commit made the layer large. */
  #flushSoon(): void {
    if (this.#isFlushing || this.#host.clock.monotonicMs() < this.#retryAtMs) return
    this.#isFlushing = true
    this.#inTurn(() => this.#flush())
      .then(() =>
        this.#rowsSinceCheckpoint < rowsBetweenCheckpoints ? true : this.#copy('restart'),
      )
      .catch((error: unknown) => {
        this.#retryAtMs = this.#host.clock.monotonicMs() + retryMs
        const fault = toFault(error)
        if (fault.code !== 'no-space') stopNode(this.#host, 'storage.store_write_failed', fault)
        this.#host.journal.event('warning', 'storage.store_write_refused', { why: fault.message })
      })
      .finally(() => {
        this.#isFlushing = false
      })
  }

  #inTurn(run: () => Promise<void>): Promise<void> {
    const mine = this.#busy.then(run)
    this.#busy = mine.catch(() => undefined)
    return mine
  }

  /** Everything that was committed before is in the file when it ends. What was refused before goes first. */
  async #flush(): Promise<void> {
    if (this.#frozen !== undefined) await this.#writeFrozen(this.#frozen)
    if (this.#layer.bytes === 0) return
    const frozen = this.#freeze()
    if (this.#lane === undefined && frozen.rows <= rowsWrittenHereMax) {
      this.#writeHere([frozen])
      return
    }
    await this.#writeFrozen(frozen)
  }

  #freeze(): RowLayer {
    const frozen = this.#layer
    this.#frozen = frozen
    this.#flushNumber++
    this.#layer = RowLayer.empty(this.#opened.tables)
    return frozen
  }

  async #writeFrozen(frozen: RowLayer): Promise<void> {
    const lane = await this.#startLane()
    await lane.write(frozen, this.#flushNumber)
    this.#written(frozen)
  }

  #written(layer: RowLayer): void {
    this.#rowsSinceCheckpoint += layer.rows
    for (const [table, rows] of layer.tables()) this.#filters.get(table)?.written(rows)
    if (this.#frozen === layer) this.#frozen = undefined
  }

  /** The thread is far behind, or cannot write: this thread does it now, and waits for the thread's transaction. */
  #flushHere(): void {
    const layers = this.#frozen === undefined ? [] : [this.#frozen]
    this.#frozen = undefined
    const youngest = this.#freeze()
    try {
      this.#writeHere([...layers, youngest])
    } catch (error) {
      this.#layer = youngest
      this.#frozen = layers[0]
      this.#flushNumber--
      throw error
    }
  }

  /** Oldest first, as one transaction. */
  #writeHere(layers: readonly RowLayer[]): void {
    const { database } = this.#opened
    this.#attempt(() => {
      database.exec('BEGIN IMMEDIATE')
      try {
        for (const layer of layers) this.#writeRows(layer)
        writeFlushNumber(database, this.#flushNumber)
        database.exec('COMMIT')
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK')
        throw error
      }
    })
    for (const layer of layers) this.#written(layer)
  }

  #writeRows(layer: RowLayer): void {
    for (const [table, rows] of layer.tables()) {
      const writer = this.#writers.get(table)
      for (const cursor = rows.cursor({ start: '' }); cursor.key !== undefined; cursor.advance()) {
        const key = keyBytes(cursor.key)
        if (cursor.value === null) writer?.delete.run(key)
        else writer?.put.run(key, cursor.value)
      }
    }
  }

  /** In slices between what else the thread does. Without it nothing is wrong, so a failure ends it quietly. */
  #learnKeys(table: string, filter: TableFilter): void {
    const number = this.#opened.tables.indexOf(table)
    let after: Uint8Array | undefined
    const next = async (): Promise<void> => {
      if (this.#isClosed) return
      const slice = await (await this.#startLane()).keys(number, after)
      after = slice.after
      if (filter.take(slice) && after !== undefined) start()
    }
    const start = (): void => {
      this.#inTurn(next).catch(() => filter.drop())
    }
    start()
  }

  #startLane(): Promise<WriterLane> {
    this.#lane ??= WriterLane.start(this.#host, this.#opened)
    return this.#lane
  }

  async #syncWal(): Promise<void> {
    const wal = await this.#host.disk.open(`${this.#opened.path}-wal`)
    try {
      await wal.sync()
    } finally {
      await wal.close()
    }
  }

  #connectView(): DatabaseSync {
    return this.#attempt(() =>
      connect(this.#opened.file, { cacheBytes: viewCacheBytes, isReadOnly: true }),
    )
  }

  #attempt<T>(run: () => T): T {
    return attempt(this.#opened.path, run)
  }
}

class SqliteView implements StoreView {
  readonly #connection: DatabaseSync
  readonly #reader: TableReader
  readonly #layers: readonly RowLayer[]
  #release: (() => void) | undefined

  constructor(
    parts: {
      readonly connection: DatabaseSync
      readonly opened: Opened
      readonly layers: readonly RowLayer[]
    },
    release: () => void,
  ) {
    this.#connection = parts.connection
    this.#layers = parts.layers
    this.#reader = new TableReader(parts.connection, parts.opened)
    this.#release = release
  }

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    const reader = this.#open()
    const text = keyText(key)
    for (const layer of this.#layers) {
      const held = layer.table(table)?.get(text)
      if (held !== undefined) return held ?? undefined
    }
    return reader.get(table, key)
  }

  range(table: string, range: StoreRange): readonly StoreRow[] {
    const reader = this.#open()
    return readThrough(mapsOf(this.#layers, table), range, (part) => reader.range(table, part))
  }

  keys(table: string, range: StoreRange): readonly Uint8Array[] {
    const reader = this.#open()
    return keysThrough(mapsOf(this.#layers, table), range, (part) => reader.keys(table, part))
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

/** Those that hold anything. */
function mapsOf(layers: readonly RowLayer[], table: string): readonly LayerTable[] {
  const maps: LayerTable[] = []
  for (const layer of layers) {
    const map = layer.table(table)
    if (map !== undefined && map.size > 0) maps.push(map)
  }
  return maps
}

const noBytes = new Uint8Array(0)

function keysThrough(
  maps: readonly LayerTable[],
  range: StoreRange,
  below: (range: StoreRange) => readonly Uint8Array[],
): readonly Uint8Array[] {
  if (maps.length === 0) return below(range)
  const rows = readThrough(maps, range, (part) =>
    below(part).map((key) => ({ key, value: noBytes })),
  )
  return rows.map(({ key }) => key)
}

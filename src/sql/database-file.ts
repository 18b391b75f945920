// The file of one database on this node: its writer, its readers, and the tail of the log on its way into it.
//
// Invariants: entries reach the file in the order of the log, each once; an entry that was run ahead is committed when it
// comes next in the tail, and undone when another one does; everything that touches the writer takes its turn (#turn).
// The engine's own word (its applied index) is what stands after every restart of it.

import { equalBytes, Fault, type GroupId, isFault, toFault, toHex } from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { Store } from '../storage/index.ts'
import type { EngineAct, EngineReply, RanEntry } from './core/engine-wire.ts'
import { type AskOptions, EngineClient } from './engine-client.ts'
import { Readers } from './readers.ts'
import { readTail } from './rows.ts'
import type { SqlResult, SqlStatement } from './sql.ts'

export type FileEnds = {
  readonly host: Host
  readonly store: Store
  readonly group: GroupId
  readonly name: string
}

export type FileStart = {
  /** Under the host's root. */
  readonly path: string
  /** The last entry of the tail. */
  readonly last: number
  /** The entry behind which the tail begins. */
  readonly floor: number
  /** The file shows more of the tail. */
  readonly onProgress: () => void
  /** It is damaged, or shows less than it did. */
  readonly onLost: () => void
}

type Waiter = { readonly index: number; settle(fault?: Fault): void }
/** A transaction that somebody asks one statement after the other; others wait for its end. */
type Open = { readonly onLost: (fault: Fault) => void; readonly onEnd: () => void }
/** The entry that this node proposes: what it did ahead, until it comes back or is undone. */
type Proposed = { readonly payload: Uint8Array; ahead: RanEntry | undefined }

/** Entries that one transaction takes. */
const pageEntries = 64
/** A checkpoint lets the tail be forgotten; it costs the engine two syncs. */
const checkpointEntries = 1024
const checkpointBytes = 8 * 1024 * 1024
const retryMsMin = 50
const retryMsMax = 5000
const idleMs = 60_000
const waitersMax = 4096
const copyMsMax = 600_000

export class DatabaseFile {
  readonly #ends: FileEnds
  readonly #writer: EngineClient
  readonly #readers: Readers
  readonly #waiters = new Set<Waiter>()
  #turns: Promise<unknown> = Promise.resolve()
  /** As the engine last said; undefined until it was asked. */
  #applied: number | undefined
  #digest = ''
  #engine = ''
  /** The last entry of the tail. */
  #last: number
  /** The last entry of the tail when it was looked at last. */
  #seen = 0
  /** What the file was seen to show. */
  #floor: number
  readonly #begins: number
  readonly #onProgress: () => void
  readonly #onLost: () => void
  /** What a checkpoint of the file covers. */
  #covered = 0
  #bytesSince = 0
  #proposed: Proposed | undefined
  #open: Open | undefined
  /** Settles when no transaction is open any more. */
  #whenEnded: Promise<void> = Promise.resolve()
  #onRan: { resolve(ran: RanEntry): void; reject(fault: Fault): void } | undefined
  #isPumping = false
  #retryMs = retryMsMin
  #failure: Fault | undefined
  #idleTimer: Timer | undefined
  #wasUsed = false
  #isClosed = false

  constructor(ends: FileEnds, start: FileStart) {
    this.#ends = ends
    this.#last = start.last
    this.#floor = start.floor
    this.#begins = start.floor
    this.#onProgress = start.onProgress
    this.#onLost = start.onLost
    const path = `${ends.host.disk.rootPath}/${start.path}`
    this.#writer = new EngineClient(ends.host, { path, isReader: false })
    this.#readers = new Readers(ends.host, path)
  }

  /** Undefined: the engine was not asked since this node began. */
  get applied(): number | undefined {
    return this.#applied
  }

  /** Hexadecimal; '' until the engine was asked. */
  get digest(): string {
    return this.#digest
  }

  /** The engine's name, as entries carry it; '' until it was asked. */
  get engine(): string {
    return this.#engine
  }

  get isRunning(): boolean {
    return this.#writer.isRunning
  }

  /** Entries of the tail up to here may be forgotten. */
  get covered(): number {
    return this.#covered
  }

  /** Entries that wait for the engine, as far as this node knows. */
  get backlog(): number {
    return Math.max(0, this.#last - (this.#applied ?? this.#floor))
  }

  /** The tail has these now; pump() takes them once the store's transaction has committed. */
  note(last: number, bytes: number): void {
    this.#last = last
    this.#bytesSince += bytes
  }

  /** Brings what is in the tail into the file. */
  pump(): void {
    if (this.#isPumping || this.#isClosed) return
    this.#isPumping = true
    this.#turn(() => this.#takeAll()).then(
      () => {
        this.#isPumping = false
        this.#retryMs = retryMsMin
        this.#failure = undefined
        if (this.#last > this.#seen) this.pump()
      },
      (error: unknown) => this.#retry(toFault(error)),
    )
  }

  /** Settles when the file shows everything that is in the tail now. Faults 'deadline', 'unavailable', 'overloaded'. */
  caughtUp({ deadlineMs }: { readonly deadlineMs: number }): Promise<void> {
    if (this.#isClosed) return Promise.reject(closed())
    const index = this.#last
    if (this.#applied !== undefined && this.#applied >= index) return Promise.resolve()
    if (this.#waiters.size >= waitersMax) {
      return Promise.reject(new Fault('overloaded', 'too many wait for the database file'))
    }
    return new Promise((resolve, reject) => {
      const timer = this.#ends.host.clock.after(deadlineMs, () => {
        const why = this.#failure === undefined ? '' : `: ${this.#failure.message}`
        waiter.settle(new Fault('deadline', `the file of ${this.#ends.name} is behind${why}`))
      })
      const waiter: Waiter = {
        index,
        settle: (fault) => {
          timer.cancel()
          this.#waiters.delete(waiter)
          if (fault === undefined) resolve()
          else reject(fault)
        },
      }
      this.#waiters.add(waiter)
      this.pump()
    })
  }

  /**
   * Runs an entry that is about to be proposed. Fault 'deadline' when it took too long: nothing is left of it. One entry
   * at a time, until settle() or forget().
   */
  async runAhead(
    payload: Uint8Array,
    { deadlineMs }: { readonly deadlineMs: number },
  ): Promise<RanEntry> {
    return await this.#turn(() => this.#runAhead(payload, deadlineMs))
  }

  /**
   * Begins a transaction as SqlEngine.hold does. `onLost`: it had to go, since another entry came or the engine ended.
   * One at a time, and none beside an entry that was run ahead.
   */
  async hold(payload: Uint8Array, onLost: (fault: Fault) => void): Promise<void> {
    await this.#turn(async () => {
      await this.#undo()
      await this.#ask({ kind: 'hold', payload })
      this.#whenEnded = new Promise((onEnd) => {
        this.#open = { onLost, onEnd }
      })
    })
  }

  /** Fault 'conflict': the transaction is gone; 'deadline': the statement took too long, and it is gone. */
  async step(
    statement: SqlStatement,
    { deadlineMs }: { readonly deadlineMs: number },
  ): Promise<{ readonly result: SqlResult; readonly isPure: boolean }> {
    return await this.#turn(async () => {
      if (this.#open === undefined) throw lost()
      const act = { kind: 'step', statements: [statement] } as const
      const { results, isPure } = await this.#ask(act, { deadlineMs })
      const [result] = results
      if (result === undefined) throw new Fault('internal', 'the SQL engine left a step out')
      return { result, isPure }
    })
  }

  /** The transaction that was held is undone, and nothing comes between that and what it did as an entry. */
  async runHeldAhead(
    payload: Uint8Array,
    { deadlineMs }: { readonly deadlineMs: number },
  ): Promise<RanEntry> {
    return await this.#turn(async () => {
      if (this.#open === undefined) throw lost()
      this.#endOpen()
      await this.#ask({ kind: 'rollback' })
      return await this.#runAhead(payload, deadlineMs)
    })
  }

  /** Of a transaction that was held nothing is left, if there was one. */
  async release(): Promise<void> {
    await this.#turn(async () => {
      if (this.#open === undefined) return
      this.#endOpen()
      await this.#ask({ kind: 'rollback' })
    })
  }

  /**
   * The answers of the entry that was run ahead, once it is in the file. It may never come when the engine's process ended
   * in the middle: who has caught up since asks recall().
   */
  ran(): Promise<RanEntry> {
    return new Promise((resolve, reject) => {
      this.#onRan = { resolve, reject }
    })
  }

  /** The answers of an entry that is in the file, as they are remembered. */
  async recall(payload: Uint8Array): Promise<RanEntry> {
    return await this.#turn(async () => {
      await this.#undo()
      const { entries } = await this.#ask({ kind: 'run', payload })
      await this.#ask({ kind: 'rollback' })
      return entries[0] ?? []
    })
  }

  /** Of the file as it was behind this entry; undefined when that is not known any more, or yet. */
  async digestAt(index: number): Promise<Uint8Array | undefined> {
    const { digestAt } = await this.#turn(() => this.#ask({ kind: 'digest', index }))
    return digestAt.length === 0 ? undefined : digestAt
  }

  /** The entry that was run ahead is not waited for any more; it may come all the same. */
  async forget(): Promise<void> {
    this.#onRan = undefined
    await this.#turn(() => this.#undo()).catch(() => undefined)
    this.#proposed = undefined
  }

  /** Of the file as it is. Faults of Readers.query. */
  async query(
    statements: readonly SqlStatement[],
    { deadlineMs }: { readonly deadlineMs: number },
  ): Promise<readonly SqlResult[]> {
    this.#keepAwake()
    try {
      return await this.#readers.query(statements, { deadlineMs })
    } catch (error) {
      if (isFault(error, 'corrupt')) this.#onLost()
      throw error
    }
  }

  /** Everything that is in the file now survives any crash, when it settles. */
  async checkpoint(): Promise<void> {
    await this.#turn(() => this.#checkpoint())
  }

  /** A copy of the file, at this path under the host's root, that shows at least what is in the tail now. */
  async copyTo(path: string): Promise<void> {
    await this.caughtUp({ deadlineMs: copyMsMax })
    const whole = `${this.#ends.host.disk.rootPath}/${path}`
    for (;;) {
      await this.#whenEnded
      const isCopied = await this.#turn(async () => {
        if (this.#open !== undefined) return false
        // SQLite copies no file beside a transaction of the same connection.
        await this.#undo()
        await this.#ask({ kind: 'copy', path: whole })
        return true
      })
      if (isCopied) return
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#idleTimer?.cancel()
    for (const waiter of [...this.#waiters]) waiter.settle(closed())
    this.#onRan?.reject(closed())
    this.#loseOpen(closed())
    await Promise.all([this.#writer.close(), this.#readers.close()])
  }

  async #runAhead(payload: Uint8Array, deadlineMs: number): Promise<RanEntry> {
    await this.#undo()
    const { entries } = await this.#ask({ kind: 'run', payload }, { deadlineMs })
    const ahead = entries[0] ?? []
    this.#proposed = { payload, ahead }
    return ahead
  }

  #turn<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#turns.then(run)
    this.#turns = mine.catch(() => undefined)
    return mine
  }

  async #takeAll(): Promise<void> {
    if (this.#applied === undefined) await this.#ask({ kind: 'open' })
    this.#wake()
    for (;;) {
      const from = (this.#applied ?? 0) + 1
      this.#seen = this.#last
      if (from > this.#last || this.#isClosed) break
      const page = readTail(this.#ends.store, this.#ends.group, { from, limit: pageEntries })
      const [next] = page
      if (next === undefined) break
      await this.#take(next.index, page)
      this.#wake()
    }
    const since = (this.#applied ?? 0) - this.#covered
    if (since > checkpointEntries || this.#bytesSince > checkpointBytes) await this.#checkpoint()
  }

  async #take(
    index: number,
    page: readonly { readonly index: number; readonly payload: Uint8Array }[],
  ): Promise<void> {
    const proposed = this.#proposed
    const own = page.findIndex(({ payload }) => {
      return proposed !== undefined && equalBytes(payload, proposed.payload)
    })
    if (own === 0 && proposed?.ahead !== undefined) {
      const { ahead } = proposed
      const { entries } = await this.#ask({ kind: 'commit', index })
      this.#settle(entries[0] ?? ahead)
      return
    }
    await this.#undo()
    const entries = own > 0 ? page.slice(0, own) : own === 0 ? page.slice(0, 1) : page
    const reply = await this.#ask({ kind: 'apply', entries, wantsAnswers: own === 0 })
    if (own === 0) this.#settle(reply.entries[0] ?? [])
  }

  #settle(ran: RanEntry): void {
    const onRan = this.#onRan
    this.#proposed = undefined
    this.#onRan = undefined
    onRan?.resolve(ran)
  }

  /** What was run ahead is out of the file; its entry may still come. */
  async #undo(): Promise<void> {
    if (this.#open !== undefined) {
      this.#loseOpen(lost())
      await this.#ask({ kind: 'rollback' })
    }
    if (this.#proposed?.ahead === undefined) return
    this.#proposed.ahead = undefined
    await this.#ask({ kind: 'rollback' })
  }

  #endOpen(): Open | undefined {
    const open = this.#open
    this.#open = undefined
    open?.onEnd()
    return open
  }

  #loseOpen(fault: Fault): void {
    this.#endOpen()?.onLost(fault)
  }

  async #checkpoint(): Promise<void> {
    if (this.#applied === undefined || this.#applied <= this.#covered) return
    // Beside a transaction that is open there is no checkpoint.
    if (this.#proposed?.ahead !== undefined || this.#open !== undefined) return
    try {
      const { applied } = await this.#ask({ kind: 'checkpoint' })
      this.#covered = applied
      this.#bytesSince = 0
    } catch (error) {
      if (!isFault(error, 'unavailable')) throw error
    }
  }

  async #ask(act: EngineAct, options: AskOptions = {}): Promise<EngineReply> {
    this.#keepAwake()
    try {
      const reply = await this.#writer.ask(act, options)
      const floor = this.#floor
      this.#applied = reply.applied
      this.#digest = toHex(reply.digest)
      this.#engine = reply.engine
      this.#floor = Math.max(floor, reply.applied)
      if (reply.applied > floor) this.#onProgress()
      const begins = Math.max(this.#begins, this.#covered)
      if (reply.applied < begins) {
        const what = `the file shows entry ${reply.applied}, the log goes on behind ${begins}`
        throw new Fault('corrupt', what)
      }
      return reply
    } catch (error) {
      if (isFault(error, 'corrupt')) this.#onLost()
      // An engine that is gone has undone what was open, and may have committed what it was told to.
      if (!this.#writer.isRunning) {
        if (this.#proposed !== undefined) this.#proposed.ahead = undefined
        this.#loseOpen(toFault(error))
        this.#applied = undefined
      }
      throw error
    }
  }

  #wake(): void {
    const applied = this.#applied ?? 0
    for (const waiter of [...this.#waiters]) if (waiter.index <= applied) waiter.settle()
  }

  #retry(fault: Fault): void {
    if (this.#isClosed) return
    this.#failure = fault
    const { host, name } = this.#ends
    const retryMs = this.#retryMs
    host.journal.event('error', 'sql.apply_failed', { name, what: fault.message, retryMs })
    this.#retryMs = Math.min(retryMsMax, retryMs * 2)
    host.clock.after(retryMs, () => {
      this.#isPumping = false
      this.pump()
    })
  }

  /** Processes end after a while without work; what they knew is in the file. */
  #keepAwake(): void {
    this.#wasUsed = true
    if (this.#idleTimer !== undefined || this.#isClosed) return
    this.#idleTimer = this.#ends.host.clock.after(idleMs, () => {
      this.#idleTimer = undefined
      const isOpen = this.#proposed !== undefined || this.#open !== undefined
      const isBusy = !this.#readers.isIdle || !this.#writer.isIdle || isOpen
      const mayStop = !isBusy && !this.#wasUsed
      if (!mayStop) this.#keepAwake()
      this.#wasUsed = false
      if (!mayStop) return
      void this.#turn(() => Promise.all([this.#writer.stop(), this.#readers.stop()]))
    })
  }
}

function closed(): Fault {
  const options = { outcome: 'unknown' } as const
  return new Fault('unavailable', 'the database is being replaced or closed', options)
}

function lost(): Fault {
  return new Fault('conflict', 'another entry came first, by another leader', {
    next: 'begin the transaction again',
  })
}

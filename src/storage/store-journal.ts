// StoreJournal: the file behind the memory store. Commits are appended unsynced in the order given;
// sync() makes them durable; compact() starts a new file from the state as it is.
//
// Invariants: the file's valid prefix is a prefix of the commits; what was durable stays a part of the
// prefix; at most one operation works on the file at a time (#exclusive); a file is used only after its
// `ready` record and its name are durable; older files go only afterwards.

import { Fault, isFault } from '../base/index.ts'
import type { DiskFile, Host } from '../host/index.ts'
import {
  decodeJournal,
  encodeJournalRecord,
  encodeTableNames,
  type JournalKind,
  type JournalRecord,
} from './core/journal-format.ts'
import { directoryOf, stopNode } from './disk-errors.ts'

const fileBytesMax = 2 ** 31
const waitingBytesMax = 64 * 1024 * 1024
const writePartsMax = 512

type Waiting = { kind: JournalKind; payload: Uint8Array }

/** What a journal holds when it is opened, in order. */
export type JournalContents = {
  readonly journal: StoreJournal
  readonly records: readonly JournalRecord[]
}

export class StoreJournal {
  readonly #host: Host
  readonly #path: string
  #generation = 0
  #file: DiskFile | undefined
  #end = 0
  #nextNumber = 0
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #appendedCount = 0
  #writtenCount = 0
  #durableCount = 0
  #isPumpScheduled = false
  #tail: Promise<unknown> = Promise.resolve()

  private constructor(host: Host, path: string) {
    this.#host = host
    this.#path = path
  }

  /** Finds the newest file that was put to use and its longest valid prefix; makes one where there is none. */
  static async open(host: Host, path: string, tables: readonly string[]): Promise<JournalContents> {
    const journal = new StoreJournal(host, path)
    const records = await journal.#recover()
    if (records !== undefined) return { journal, records }
    await journal.#startFile(tables, [])
    return { journal, records: [] }
  }

  get sizeBytes(): number {
    return this.#end + this.#waitingBytes
  }

  /** Throws Fault 'overloaded' when the disk is so far behind that no commit may be added. */
  mustHaveRoom(): void {
    if (this.#waitingBytes <= waitingBytesMax) return
    throw new Fault('overloaded', 'the journal of the store is behind', {
      next: 'wait until the disk has caught up or has space again',
    })
  }

  appendCommit(payload: Uint8Array): void {
    this.#waiting.push({ kind: 'commit', payload })
    this.#waitingBytes += payload.length
    this.#appendedCount++
    if (this.#isPumpScheduled) return
    this.#isPumpScheduled = true
    this.#host.clock.soon(() => {
      this.#isPumpScheduled = false
      void this.#exclusive(() => this.#writeWaiting()).catch((error) => this.#onPumpFault(error))
    })
  }

  /** Every commit appended before the call is durable when it ends. */
  async sync(): Promise<void> {
    const target = this.#appendedCount
    await this.#exclusive(async () => {
      if (this.#durableCount >= target) return
      await this.#writeWaiting()
      await this.#syncFile()
    })
  }

  /**
   * As sync(), into a new file that begins with `rows`. `takeRows` is called once, synchronously with
   * the moment that the rows stand for.
   */
  async compact(tables: readonly string[], takeRows: () => Iterable<Uint8Array>): Promise<void> {
    await this.#exclusive(async () => {
      const covered = this.#waiting
      const coveredBytes = this.#waitingBytes
      const count = this.#appendedCount
      const rows = takeRows()
      this.#waiting = []
      this.#waitingBytes = 0
      try {
        await this.#startFile(tables, rows)
      } catch (error) {
        this.#waiting = [...covered, ...this.#waiting]
        this.#waitingBytes += coveredBytes
        throw error
      }
      this.#writtenCount = count
      this.#durableCount = count
    })
  }

  async close(): Promise<void> {
    await this.#exclusive(async () => {
      await this.#file?.close()
      this.#file = undefined
    })
  }

  #onPumpFault(error: unknown): void {
    if (isFault(error, 'no-space')) {
      this.#host.journal.event('warning', 'storage.store_journal_waiting', { why: 'no space' })
    } else {
      stopNode(this.#host, 'storage.store_journal_failed', error)
    }
  }

  async #writeWaiting(): Promise<void> {
    const file = this.#file
    if (file === undefined) return
    while (this.#waiting.length > 0) {
      const taken = this.#waiting.slice(0, writePartsMax)
      const parts = taken.map(({ kind, payload }, i) =>
        encodeJournalRecord({ kind, payload, number: this.#nextNumber + i }),
      )
      await file.write(this.#end, parts)
      this.#waiting.splice(0, taken.length)
      for (const part of parts) this.#end += part.length
      for (const { payload } of taken) this.#waitingBytes -= payload.length
      this.#nextNumber += taken.length
      this.#writtenCount += taken.length
    }
  }

  async #syncFile(): Promise<void> {
    const written = this.#writtenCount
    try {
      await this.#file?.sync()
    } catch (error) {
      stopNode(this.#host, 'storage.store_journal_failed', error)
      throw error
    }
    this.#durableCount = written
  }

  async #startFile(tables: readonly string[], rows: Iterable<Uint8Array>): Promise<void> {
    const generation = this.#generation + 1
    const path = this.#pathOf(generation)
    const file = await this.#host.disk.open(path, { create: true })
    let end = 0
    let number = 0
    const write = async (kind: JournalKind, payload: Uint8Array): Promise<void> => {
      const record = encodeJournalRecord({ kind, payload, number: number++ })
      await file.write(end, [record])
      end += record.length
    }
    try {
      await file.truncate(0)
      await write('begin', encodeTableNames(tables))
      for (const payload of rows) await write('rows', payload)
      await write('ready', new Uint8Array(0))
      await file.sync()
      await this.#host.disk.syncDirectory(directoryOf(path))
    } catch (error) {
      await file.close()
      await this.#host.disk.remove(path)
      throw error
    }
    const before = this.#file
    const beforePath = this.#pathOf(this.#generation)
    this.#file = file
    this.#generation = generation
    this.#end = end
    this.#nextNumber = number
    if (before === undefined) return
    await before.close()
    await this.#host.disk.remove(beforePath)
  }

  async #recover(): Promise<readonly JournalRecord[] | undefined> {
    const generations = await this.#generations()
    let found: { generation: number; records: readonly JournalRecord[]; end: number } | undefined
    for (const generation of generations) {
      const path = this.#pathOf(generation)
      if (found !== undefined) {
        await this.#host.disk.remove(path)
        continue
      }
      const { records, end } = decodeJournal(await this.#host.disk.read(path, fileBytesMax))
      if (records.some(({ kind }) => kind === 'ready')) found = { generation, records, end }
    }
    if (found === undefined) {
      this.#refuseLoss(generations)
      return undefined
    }
    for (const generation of generations) {
      if (generation > found.generation) await this.#host.disk.remove(this.#pathOf(generation))
    }
    await this.#host.disk.syncDirectory(directoryOf(this.#path))
    this.#generation = found.generation
    this.#end = found.end
    this.#nextNumber = found.records.length
    this.#file = await this.#host.disk.open(this.#pathOf(found.generation))
    await this.#file.truncate(found.end)
    await this.#file.sync()
    return found.records
  }

  /** A first file may be torn while it is made; any later one replaces a good one, which goes last. */
  #refuseLoss(generations: readonly number[]): void {
    const newest = generations[0]
    if (newest === undefined || newest === 1) return
    throw new Fault('corrupt', `${this.#pathOf(newest)} is damaged at its beginning`, {
      next: 'restore the file from a copy, or remove this data directory and let the node rejoin',
    })
  }

  async #generations(): Promise<readonly number[]> {
    const name = this.#path.slice(this.#path.lastIndexOf('/') + 1)
    const prefix = `${name}.journal-`
    const names = await this.#host.disk.list(directoryOf(this.#path))
    const numbers = names
      .filter((name) => name.startsWith(prefix) && /^\d{8}$/.test(name.slice(prefix.length)))
      .map((name) => Number(name.slice(prefix.length)))
    return numbers.sort((a, b) => b - a)
  }

  #pathOf(generation: number): string {
    return `${this.#path}.journal-${String(generation).padStart(8, '0')}`
  }

  #exclusive<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#tail.then(run, run)
    this.#tail = mine
    return mine
  }
}

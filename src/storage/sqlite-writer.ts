// The thread that writes the store's file. Layers of rows (core/row-layer.ts) come to it in slices and become
// one transaction each; checkpoints run here as well, so that the core thread never waits for either.
//
// Every flush has a number, kept in the file with its rows: so a flush that the core thread had to write by
// itself (sqlite-store.ts, emergency) is not written a second time, over what came after it.
//
//   to the thread    rows 1, table, (key, value or nothing)... | commit 2, number
//                    checkpoint 3 (passive), 4 (and start the WAL anew), 5 (and cut it) | end 0
//                    keys 6, table, 1 and the key behind which to go on, or 0
//   from it          1: done (a checkpoint: everything is in the synced database), 0: not whole
//                    2, 1 and the last key or 0 when it was the last slice, hashes | 3, a Fault
//
// Slices wait here until all have come: the file's write lock is never held while waiting for the core thread.

import type { DatabaseSync } from 'node:sqlite'
import {
  assert,
  concatBytes,
  type Fault,
  faultCodec,
  keyAfter,
  Reader,
  toFault,
  utf8Decode,
  utf8Encode,
  Writer,
} from '../base/index.ts'
import type { Host, Port, ThreadProgram } from '../host/index.ts'
import { encodeHashes } from './core/key-filter.ts'
import type { LayerCursor, RowLayer } from './core/row-layer.ts'
import {
  attempt,
  connect,
  readFlushNumber,
  rowsPerPut,
  TableReader,
  TableWriter,
  writeFlushNumber,
} from './sqlite-engine.ts'
import type { KeySlice } from './table-filter.ts'

const cacheBytes = 8 * 1024 * 1024
const sliceBytes = 256 * 1024
const sliceRowsMax = 1024
/** Of the lengths beside a row's bytes, at most. */
const rowHeadBytes = 16
/** Of a slice of keys: a flush that waits for it waits some tens of milliseconds. */
const keysPerSlice = 8192

const kinds = { end: 0, rows: 1, commit: 2, passive: 3, restart: 4, truncate: 5, keys: 6 } as const
const answers = { notWhole: 0, done: 1, keys: 2, fault: 3 } as const
export type CheckpointKind = 'passive' | 'restart' | 'truncate'

/** The core thread's end. One request at a time. */
export class WriterLane {
  readonly #host: Host
  readonly #port: Port
  readonly #stop: () => Promise<void>
  readonly #encoder = new SliceEncoder()
  #settle: { resolve: (answer: Uint8Array) => void; reject: (fault: Fault) => void } | undefined

  private constructor(host: Host, port: Port, stop: () => Promise<void>) {
    this.#host = host
    this.#port = port
    this.#stop = stop
    port.onMessage = (message) => {
      const settle = this.#settle
      this.#settle = undefined
      if (message[0] === answers.fault) settle?.reject(faultCodec.decode(message.subarray(1)))
      else settle?.resolve(message)
    }
  }

  static async start(
    host: Host,
    opened: { readonly file: string; readonly tables: readonly string[] },
  ): Promise<WriterLane> {
    const input = utf8Encode([opened.file, ...opened.tables].join('\n'))
    const { port, stop } = await host.threads.start(writerProgram, input)
    return new WriterLane(host, port, stop)
  }

  /** Writes a layer, which nobody changes meanwhile, as one transaction. */
  async write(layer: RowLayer, number: number): Promise<void> {
    const done = this.#ask()
    // Only who awaits hears of a failure; until then it is nobody's.
    done.catch(() => undefined)
    let table = 0
    for (const [, rows] of layer.tables()) {
      const cursor = rows.cursor({ start: '' })
      while (cursor.key !== undefined) {
        this.#port.send(this.#encoder.encode(table, cursor))
        await new Promise<void>((resolve) => this.#host.clock.soon(resolve))
      }
      table++
    }
    const commit = new Writer()
    commit.varint(kinds.commit)
    commit.varint(number)
    this.#port.send(commit.finish())
    await done
  }

  /** True when everything written before the call is in the synced database. */
  async checkpoint(kind: CheckpointKind): Promise<boolean> {
    const done = this.#ask()
    this.#port.send(Uint8Array.of(kinds[kind]))
    return (await done)[0] === answers.done
  }

  /** Keys of a table in the file, by its position, that come after a key. */
  async keys(table: number, after: Uint8Array | undefined): Promise<KeySlice> {
    const done = this.#ask()
    const writer = new Writer()
    writer.varint(kinds.keys)
    writer.varint(table)
    writer.varint(after === undefined ? 0 : 1)
    if (after !== undefined) writer.bytes(after)
    this.#port.send(writer.finish())
    const reader = new Reader((await done).subarray(1), 0)
    const last = reader.varint() === 1 ? reader.bytes() : undefined
    return { after: last, hashes: reader.bytes() }
  }

  async stop(): Promise<void> {
    const closed = this.#ask()
    this.#port.send(Uint8Array.of(kinds.end))
    await closed
    await this.#stop()
  }

  #ask(): Promise<Uint8Array> {
    assert(this.#settle === undefined, 'the writer of the store has one request at a time')
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
  }
}

/** Makes slices in memory that is kept: they are copied where they leave. */
class SliceEncoder {
  #bytes = new Uint8Array(sliceBytes)
  #at = 0

  /** Rows from the cursor on, as many as fit, at least one. A view that is valid until the next call. */
  encode(table: number, cursor: LayerCursor): Uint8Array {
    this.#at = 0
    this.#varint(kinds.rows)
    this.#varint(table)
    for (let rows = 0; rows < sliceRowsMax && cursor.key !== undefined; rows++) {
      const { key, value } = cursor
      const need = this.#at + rowHeadBytes + key.length + (value?.length ?? 0)
      if (need > this.#bytes.length) {
        if (rows > 0) break
        const grown = new Uint8Array(need)
        grown.set(this.#bytes.subarray(0, this.#at))
        this.#bytes = grown
      }
      this.#row(key, value)
      cursor.advance()
    }
    const encoded = this.#bytes.subarray(0, this.#at)
    if (this.#bytes.length > sliceBytes) this.#bytes = new Uint8Array(sliceBytes)
    return encoded
  }

  #row(key: string, value: Uint8Array | null): void {
    this.#varint(key.length)
    const bytes = this.#bytes
    let at = this.#at
    for (let i = 0; i < key.length; i++) bytes[at++] = key.charCodeAt(i)
    this.#at = at
    this.#varint(value === null ? 0 : 1)
    if (value === null) return
    this.#varint(value.length)
    bytes.set(value, this.#at)
    this.#at += value.length
  }

  #varint(value: number): void {
    let rest = value
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) this.#bytes[this.#at++] = (rest % 128) | 0x80
    this.#bytes[this.#at++] = rest
  }
}

const writerProgram: ThreadProgram = {
  name: 'store-writer',
  moduleUrl: import.meta.url,
  exportName: 'runWriter',
  run: runWriter,
}

export async function runWriter(_host: Host, port: Port, input: Uint8Array): Promise<void> {
  const [file = '', ...tables] = utf8Decode(input).split('\n')
  const database = connect(file, { cacheBytes })
  database.exec('PRAGMA synchronous = NORMAL')
  const loop = new WriterLoop(file, database, tables)
  port.onMessage = (message) => {
    const answer = loop.take(message)
    if (answer !== undefined) port.send(answer)
  }
}

class WriterLoop {
  readonly #file: string
  readonly #database: DatabaseSync
  readonly #names: readonly string[]
  readonly #tables: readonly TableWriter[]
  readonly #reader: TableReader
  /** Of the flush that is on its way. */
  #slices: Reader[] = []

  constructor(file: string, database: DatabaseSync, tables: readonly string[]) {
    this.#file = file
    this.#database = database
    this.#names = tables
    this.#tables = tables.map((table) => new TableWriter(database, table))
    this.#reader = new TableReader(database, { path: file, tables })
  }

  /** Answers what is to be told; slices get no answer. */
  take(message: Uint8Array): Uint8Array | undefined {
    const reader = new Reader(message, 0)
    const kind = reader.varint()
    if (kind === kinds.rows) {
      this.#slices.push(reader)
      return undefined
    }
    try {
      if (kind === kinds.keys) return this.#keys(reader)
      const isWhole = attempt(this.#file, () => this.#run(kind, reader))
      return Uint8Array.of(isWhole ? answers.done : answers.notWhole)
    } catch (error) {
      return concatBytes([Uint8Array.of(answers.fault), faultCodec.encode(toFault(error))])
    }
  }

  #run(kind: number, reader: Reader): boolean {
    if (kind === kinds.commit) return this.#commit(reader.varint())
    if (kind === kinds.end) return this.#close()
    return this.#checkpoint(kind)
  }

  #keys(asked: Reader): Uint8Array {
    const table = this.#names[asked.varint()]
    assert(table !== undefined, 'the tables of a scan are those of the store')
    const start = asked.varint() === 1 ? keyAfter(asked.bytes()) : new Uint8Array(0)
    const keys = this.#reader.keys(table, { start, limit: keysPerSlice })
    const last = keys.length < keysPerSlice ? undefined : keys.at(-1)
    const writer = new Writer()
    writer.varint(answers.keys)
    writer.varint(last === undefined ? 0 : 1)
    if (last !== undefined) writer.bytes(last)
    writer.bytes(encodeHashes(keys))
    return writer.finish()
  }

  #commit(number: number): boolean {
    const slices = this.#slices
    this.#slices = []
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      if (readFlushNumber(this.#database) < number) {
        for (const slice of slices) this.#write(slice)
        writeFlushNumber(this.#database, number)
      }
      this.#database.exec('COMMIT')
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
    return true
  }

  #write(slice: Reader): void {
    const table = this.#tables[slice.varint()]
    assert(table !== undefined, 'the tables of a flush are those of the store')
    const pairs: Uint8Array[] = []
    while (!slice.isAtEnd) {
      const key = slice.bytes()
      if (slice.varint() === 0) {
        table.delete.run(key)
        continue
      }
      pairs.push(key, slice.bytes())
      if (pairs.length < 2 * rowsPerPut) continue
      table.putMany.run(...pairs)
      pairs.length = 0
    }
    for (let i = 0; i < pairs.length; i += 2) {
      table.put.run(pairs[i] as Uint8Array, pairs[i + 1] as Uint8Array)
    }
  }

  #checkpoint(kind: number): boolean {
    const [isBusy, inWal, copied] = this.#runCheckpoint('PASSIVE')
    const isWhole = isBusy === 0 && inWal === copied
    if (isWhole && kind === kinds.restart) this.#runCheckpoint('RESTART')
    if (isWhole && kind === kinds.truncate) this.#runCheckpoint('TRUNCATE')
    return isWhole
  }

  #runCheckpoint(mode: string): readonly number[] {
    const statement = this.#database.prepare(`PRAGMA wal_checkpoint(${mode})`)
    statement.setReturnArrays(true)
    return statement.get() as unknown as readonly number[]
  }

  #close(): boolean {
    this.#database.close()
    return true
  }
}

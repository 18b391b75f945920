// A database as a state machine of raft. What is committed goes into the tail, rows of the store in the transaction of
// raft's own applied index, and from there into the file by the engine's own pace; the proposer's answer is the engine's, not
// raft's. So the core thread never waits for a statement.
//
//   snapshot   version u8 = 1 | index u64 | digest 32 bytes | length of the file u64 | the file
//
// The file of a snapshot may show later entries than its index: those come again, and the engine passes over them.

import {
  assert,
  concatBytes,
  Fault,
  type GroupId,
  readUint64,
  sha256,
  uint64Bytes,
} from '../base/index.ts'
import type { DiskFile, Host } from '../host/index.ts'
import type { AppliedEntry, SnapshotSink, SnapshotSource, StateMachine } from '../raft/index.ts'
import type { Store } from '../storage/index.ts'
import { DatabaseFile } from './database-file.ts'
import { entryKey, entryRange, stateCodec, stateKey, wholeRange } from './rows.ts'
import { sqlTable } from './table.ts'

export type MachineEnds = {
  readonly host: Host
  readonly store: Store
  readonly group: GroupId
  readonly name: string
  /** Of the database, under the host's root. */
  readonly folder: string
}

const backlogMax = 4096
const chunkBytes = 256 * 1024
const version = 1
const digestBytes = 32
const headBytes = 1 + 8 + digestBytes + 8
const sumBytes = 4
const noBytes = new Uint8Array(0)

export class SqlMachine implements StateMachine {
  readonly #ends: MachineEnds
  #file: DatabaseFile
  #fileNumber: number
  #last: number
  #digest: Uint8Array
  /** Rows of the tail begin behind this entry. */
  #forgotten = 0
  #copies = 0
  #isDropped = false

  constructor(ends: MachineEnds) {
    this.#ends = ends
    const row = ends.store.get(sqlTable, stateKey(ends.group))
    const state = row === undefined ? undefined : stateCodec.decode(row)
    this.#fileNumber = state?.file ?? 0
    this.#last = state?.index ?? 0
    this.#digest = state?.digest ?? new Uint8Array(digestBytes)
    this.#file = this.#open()
  }

  get file(): DatabaseFile {
    return this.#file
  }

  apply(entries: readonly AppliedEntry[]): readonly Uint8Array[] {
    if (this.#isDropped) return entries.map(() => noBytes)
    const room = Math.max(0, backlogMax - this.#file.backlog)
    const taken = entries.slice(0, room)
    const { store, group } = this.#ends
    this.#forget()
    let bytes = 0
    for (const { index, payload } of taken) {
      assert(index > this.#last, 'entries come in order')
      store.put(sqlTable, entryKey(group, index), payload)
      this.#last = index
      bytes += payload.length
    }
    const sums = taken.map(({ payload }) => payload.slice(-sumBytes))
    this.#digest = sha256(concatBytes([this.#digest, ...sums]))
    this.#keepState()
    this.#file.note(this.#last, bytes)
    return taken.map(() => noBytes)
  }

  snapshot(): SnapshotSource {
    const { host, folder } = this.#ends
    const path = `${folder}/copy-${++this.#copies}`
    const head = { index: this.#last, digest: this.#digest }
    return {
      chunks: this.#chunks(path, head),
      close: () => void host.disk.remove(path).catch(() => undefined),
    }
  }

  install(): SnapshotSink {
    const number = this.#fileNumber + 1
    const incoming = new Incoming(this.#ends.host, this.#pathOf(number))
    return {
      write: (chunk) => incoming.write(chunk),
      finish: () => this.#adopt(number, incoming.head()),
      abort: () => incoming.abort(),
    }
  }

  async sync(): Promise<void> {}

  digest(): Uint8Array {
    return this.#digest
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  /** The database is gone from this node when it settles. Its group goes on, and does nothing. */
  async drop(): Promise<void> {
    this.#isDropped = true
    await this.#file.close()
    const { host, store, group, folder } = this.#ends
    store.transaction(() => store.deleteRange(sqlTable, wholeRange(group)))
    await host.disk.remove(folder)
  }

  #open(): DatabaseFile {
    const path = this.#pathOf(this.#fileNumber)
    return new DatabaseFile(this.#ends, { path, last: this.#last })
  }

  #pathOf(number: number): string {
    return `${this.#ends.folder}/db-${number}.sqlite`
  }

  /** In a transaction. */
  #forget(): void {
    const { covered } = this.#file
    if (covered <= this.#forgotten) return
    const { store, group } = this.#ends
    store.deleteRange(sqlTable, entryRange(group, 0, covered + 1))
    this.#forgotten = covered
  }

  /** In a transaction. */
  #keepState(): void {
    const { store, group } = this.#ends
    const row = { file: this.#fileNumber, index: this.#last, digest: this.#digest }
    store.put(sqlTable, stateKey(group), stateCodec.encode(row))
  }

  /** In a transaction: the file of this number is the database from now on. */
  #adopt(number: number, head: { readonly index: number; readonly digest: Uint8Array }): void {
    const { store, group, host } = this.#ends
    const before = this.#file
    const path = this.#pathOf(this.#fileNumber)
    store.deleteRange(sqlTable, entryRange(group, 0))
    this.#fileNumber = number
    this.#last = head.index
    this.#digest = head.digest
    this.#forgotten = 0
    this.#keepState()
    this.#file = this.#open()
    const clear = async (): Promise<void> => {
      await before.close()
      for (const suffix of ['', '-wal', '-shm']) await host.disk.remove(`${path}${suffix}`)
    }
    clear().catch((error: unknown) => {
      host.journal.event('warning', 'sql.old_file_stays', { path, what: String(error) })
    })
  }

  async *#chunks(
    path: string,
    { index, digest }: { readonly index: number; readonly digest: Uint8Array },
  ): AsyncGenerator<Uint8Array> {
    const { host } = this.#ends
    await this.#file.copyTo(path)
    const file = await host.disk.open(path)
    try {
      const length = await file.size()
      yield concatBytes([Uint8Array.of(version), uint64Bytes(index), digest, uint64Bytes(length)])
      for (let at = 0; at < length; at += chunkBytes) {
        yield await file.read(at, Math.min(chunkBytes, length - at))
      }
    } finally {
      await file.close()
    }
  }
}

/** A snapshot on its way into a file, which is durable with its last byte. */
class Incoming {
  readonly #host: Host
  readonly #path: string
  #head: Uint8Array = noBytes
  #file: DiskFile | undefined
  #at = 0
  #isWhole = false

  constructor(host: Host, path: string) {
    this.#host = host
    this.#path = path
  }

  async write(chunk: Uint8Array): Promise<void> {
    const file = await this.#open()
    const rest = this.#takeHead(chunk)
    if (this.#head.length < headBytes) return
    const length = this.#length()
    if (this.#at + rest.length > length) throw corrupt('more arrives than it tells of')
    if (rest.length > 0) await file.write(this.#at, [rest.slice()])
    this.#at += rest.length
    if (this.#at < length || this.#isWhole) return
    await file.sync()
    await file.close()
    await this.#host.disk.syncDirectory(this.#path.slice(0, this.#path.lastIndexOf('/')))
    this.#isWhole = true
  }

  /** Of a snapshot that is whole. */
  head(): { readonly index: number; readonly digest: Uint8Array } {
    if (!this.#isWhole) throw corrupt('it ends early')
    return { index: readUint64(this.#head, 1), digest: this.#head.slice(9, 9 + digestBytes) }
  }

  async abort(): Promise<void> {
    if (!this.#isWhole) await this.#file?.close()
    await this.#host.disk.remove(this.#path)
  }

  async #open(): Promise<DiskFile> {
    if (this.#file !== undefined) return this.#file
    for (const suffix of ['', '-wal', '-shm'])
      await this.#host.disk.remove(`${this.#path}${suffix}`)
    this.#file = await this.#host.disk.open(this.#path, { create: true })
    return this.#file
  }

  /** Answers what of the chunk lies behind the head. */
  #takeHead(chunk: Uint8Array): Uint8Array {
    const missing = headBytes - this.#head.length
    if (missing <= 0) return chunk
    this.#head = concatBytes([this.#head, chunk.subarray(0, missing)])
    if (this.#head[0] !== version) throw corrupt(`version ${this.#head[0]}`)
    return chunk.subarray(missing)
  }

  #length(): number {
    return readUint64(this.#head, headBytes - 8)
  }
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `malformed SQL snapshot: ${what}`)
}

// A database as a state machine of raft. What is committed goes into the tail, rows of the store in the transaction of
// raft's own applied index, and from there into the file by the engine's own pace; the proposer's answer is the engine's, not
// raft's. So the core thread never waits for a statement.
// A replica that differs from most others (law 7), or whose file is lost, gives nothing away until a copy of another's file
// is its own; that it differs is a row, so that a restart does not forget it.

import { assert, concatBytes, Fault, type GroupId, sha256 } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type {
  AppliedEntry,
  Intake,
  SnapshotSink,
  SnapshotSource,
  StateMachine,
} from '../raft/index.ts'
import type { Store } from '../storage/index.ts'
import { DatabaseFile } from './database-file.ts'
import { type CopyHead, encodeCopyHead, Incoming } from './incoming.ts'
import { entryKey, entryRange, readTail, stateCodec, stateKey, wholeRange } from './rows.ts'
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
const digestBytes = 32
const sumBytes = 4
const noBytes = new Uint8Array(0)

export class SqlMachine implements StateMachine {
  readonly #ends: MachineEnds
  #file: DatabaseFile
  #fileNumber: number
  #last: number
  #digest: Uint8Array
  /** Rows of the tail begin behind this entry. */
  #forgotten: number
  /** Of files; each gets its own. */
  #numbers: number
  #differsAt: number
  #copies = 0
  #isDropped = false
  #isClosed = false
  /** Called when this replica is found to differ, or to have lost its file. */
  onDiffering: () => void = () => undefined
  readonly intake: Intake & { isFull: boolean } = { isFull: false, onRoom: () => undefined }

  constructor(ends: MachineEnds) {
    this.#ends = ends
    const row = ends.store.get(sqlTable, stateKey(ends.group))
    const state = row === undefined ? undefined : stateCodec.decode(row)
    this.#fileNumber = state?.file ?? 0
    this.#numbers = this.#fileNumber
    this.#last = state?.index ?? 0
    this.#digest = state?.digest ?? new Uint8Array(digestBytes)
    this.#differsAt = state?.differsAt ?? 0
    const [first] = readTail(ends.store, ends.group, { from: 0, limit: 1 })
    this.#forgotten = first === undefined ? this.#last : first.index - 1
    this.#file = this.#open()
    if (this.#differsAt > 0) void this.#file.close()
  }

  get file(): DatabaseFile {
    return this.#file
  }

  /** The entry at which this replica was found to differ from most others; 0: none. It serves nothing then. */
  get differsAt(): number {
    return this.#differsAt
  }

  /** The last entry of the tail. */
  get last(): number {
    return this.#last
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
    this.intake.isFull = this.#file.backlog >= backlogMax
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
    const number = ++this.#numbers
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

  /** Most others had another digest at this entry, or the file is lost: nothing is served until replaceBy() has settled. */
  async markDiffering(index: number): Promise<void> {
    if (this.#differsAt > 0 || this.#isDropped || this.#isClosed) return
    this.#differsAt = Math.max(1, index)
    this.#ends.store.transaction(() => this.#keepState())
    this.onDiffering()
    await this.#file.close()
  }

  /**
   * The file becomes what another replica gives (chunks of its snapshot()); the tail goes on from there. Faults: those of
   * the chunks; 'corrupt'; 'conflict' when the file was replaced meanwhile, or the copy is older than the tail.
   */
  async replaceBy(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const before = this.#file
    const number = ++this.#numbers
    const incoming = new Incoming(this.#ends.host, this.#pathOf(number))
    try {
      for await (const chunk of chunks) await incoming.write(chunk)
      const { index } = incoming.head()
      const isOver = this.#isDropped || this.#isClosed
      if (this.#file !== before || isOver || index < this.#forgotten) {
        throw new Fault('conflict', 'the copy does not fit any more')
      }
    } catch (error) {
      await incoming.abort()
      throw error
    }
    this.#ends.store.transaction(() => this.#become(number))
    this.#file.pump()
  }

  /** The store may close then. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#file.close()
  }

  /** Files of earlier times that nothing names any more; before anything is asked of the database. */
  async sweep(): Promise<void> {
    const { host, folder } = this.#ends
    const own = `db-${this.#fileNumber}.sqlite`
    for (const name of await host.disk.list(folder)) {
      if (name !== 'lock' && !name.startsWith(own)) await host.disk.remove(`${folder}/${name}`)
    }
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
    const own = { path, last: this.#last, floor: this.#forgotten }
    const file: DatabaseFile = new DatabaseFile(this.#ends, {
      ...own,
      onProgress: () => this.#noteRoom(),
      onLost: () => {
        if (file === this.#file) void this.markDiffering(this.#last)
      },
    })
    return file
  }

  #noteRoom(): void {
    if (!this.intake.isFull || this.#file.backlog > backlogMax / 2) return
    this.intake.isFull = false
    this.intake.onRoom()
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
    const row = {
      file: this.#fileNumber,
      index: this.#last,
      digest: this.#digest,
      differsAt: this.#differsAt,
    }
    store.put(sqlTable, stateKey(group), stateCodec.encode(row))
  }

  /** In a transaction: a snapshot of raft takes the place of file and tail. */
  #adopt(number: number, head: CopyHead): void {
    const { store, group } = this.#ends
    store.deleteRange(sqlTable, entryRange(group, 0))
    this.#last = head.index
    this.#digest = head.digest
    this.#forgotten = head.index
    this.#become(number)
  }

  /**
   * In a transaction: the file of this number is the database from now on. The one before goes once that is durable:
   * 1. it is deleted at once; 2. the node crashes before the row is on the disk; 3. the row names a file that is gone.
   */
  #become(number: number): void {
    const { store, host } = this.#ends
    const before = this.#file
    const path = this.#pathOf(this.#fileNumber)
    this.#fileNumber = number
    this.#differsAt = 0
    this.#keepState()
    this.#file = this.#open()
    this.intake.isFull = false
    const clear = async (): Promise<void> => {
      await before.close()
      await store.checkpoint()
      for (const suffix of ['', '-wal', '-shm']) await host.disk.remove(`${path}${suffix}`)
    }
    clear().catch((error: unknown) => {
      host.journal.event('warning', 'sql.old_file_stays', { path, what: String(error) })
    })
    host.clock.soon(() => this.intake.onRoom())
  }

  async *#chunks(path: string, head: CopyHead): AsyncGenerator<Uint8Array> {
    const { host } = this.#ends
    if (this.#differsAt > 0) throw new Fault('unavailable', 'this replica differs from most others')
    await this.#file.copyTo(path)
    const file = await host.disk.open(path)
    try {
      const length = await file.size()
      yield encodeCopyHead(head, length)
      for (let at = 0; at < length; at += chunkBytes) {
        yield await file.read(at, Math.min(chunkBytes, length - at))
      }
    } finally {
      await file.close()
    }
  }
}

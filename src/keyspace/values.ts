// Long values (more than 1 KiB) of all groups of a node: in the table 'pending' from the transaction
// that puts them until they are synced in a segment, then in the segment under the same key.
//
// Why the store holds them first, and memory does not: a value that was only in memory would be lost in
// this order:
// 1. an entry is applied: the store commits the row that names the value, and the applied index;
// 2. the process is killed before the segment got the bytes;
// 3. after restart the log is replayed from the applied index on, so the entry is not applied again,
//    and the row names a value that is nowhere.
// With 'pending' the value commits together with its row; a full disk under the segments only means
// that values stay there longer.
//
// Deletion goes the other way round: the rows first, then a checkpoint of the store, then the segment's
// copy; a crash in between leaves bytes that no row names, which collect() finds by walking the segments.

import {
  compareBytes,
  concatBytes,
  Fault,
  type GroupId,
  isFault,
  prefixEnd,
  toHex,
  uint64Bytes,
} from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Segments, Store } from '../storage/index.ts'

const movePageBytesMax = 4 * 1024 * 1024
const movePageRows = 256
const collectPageRows = 256
const garbageMax = 65_536
/** Values are moved when this much waits, or when this long has passed, or at a sync. */
const moveBytes = 1024 * 1024
const moveAfterMs = 1000
/** With a full disk, writes are refused beyond this. */
const pendingBytesMax = 64 * 1024 * 1024

/** The bytes of a long value from another replica, checked against its digest; undefined: nobody gave them. */
export type Recover = (key: Uint8Array) => Promise<Uint8Array | undefined>

export class ValueShelf {
  readonly #host: Host
  readonly #store: Store
  readonly #segments: Segments
  readonly #onFatal: (error: unknown) => void
  readonly #recover: Recover
  #pendingBytes: number
  #moving: Promise<void> | undefined
  #isTimed = false
  #isClosed = false
  #isFull = false
  /** Keys whose rows are gone; their bytes may go after a checkpoint. */
  #garbage: Uint8Array[] = []
  #readers = 0
  /** By key; no more than there are readers. */
  readonly #recovering = new Map<string, Promise<Uint8Array | undefined>>()

  constructor(dependencies: {
    readonly host: Host
    readonly store: Store
    readonly segments: Segments
    readonly onFatal: (error: unknown) => void
    /** Default: nobody else has it. */
    readonly recover?: Recover
  }) {
    this.#host = dependencies.host
    this.#store = dependencies.store
    this.#segments = dependencies.segments
    this.#onFatal = dependencies.onFatal
    this.#recover = dependencies.recover ?? (async () => undefined)
    this.#pendingBytes = this.#measurePending()
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** Bytes of discarded values wait to be removed. */
  get hasGarbage(): boolean {
    return this.#garbage.length > 0
  }

  /** The segments' disk is full, and as much waits in the store as may. */
  get isOverfull(): boolean {
    return this.#isFull && this.#pendingBytes >= pendingBytesMax
  }

  /** Values were put into 'pending'. */
  note(bytes: number): void {
    if (bytes === 0) return
    this.#pendingBytes += bytes
    if (this.#pendingBytes >= moveBytes) this.#startMoving()
    else this.#moveLater()
  }

  /** The value of a version, of another replica when it rots here. Fault 'corrupt' when it is nowhere. */
  async read(key: Uint8Array): Promise<Uint8Array> {
    try {
      return await this.readHere(key)
    } catch (error) {
      if (!isFault(error, 'corrupt')) throw error
      const value = await this.#recoverOnce(key)
      if (value === undefined) throw error
      return value
    }
  }

  /** As read(), without asking anybody. */
  async readHere(key: Uint8Array): Promise<Uint8Array> {
    const pending = this.#store.get('pending', key)
    if (pending !== undefined) return pending
    try {
      return await this.#segments.read(key)
    } catch (error) {
      if (!isFault(error, 'not-found')) throw error
      throw new Fault('corrupt', 'a stored value is missing', { cause: error })
    }
  }

  /** Whether the value of a version is here. */
  has(key: Uint8Array): boolean {
    return this.#segments.find(key) !== undefined || this.#store.get('pending', key) !== undefined
  }

  /** Holds back deletion of bytes while somebody reads values by key. Answers what ends it. */
  pin(): () => void {
    let isHeld = true
    this.#readers++
    return () => {
      if (isHeld) this.#readers--
      isHeld = false
    }
  }

  /** Values of an installed snapshot go straight to the segment; sync() makes them durable. */
  async install(key: Uint8Array, value: Uint8Array): Promise<void> {
    await this.#segments.putUnsynced(key, value)
  }

  syncInstalled(): Promise<void> {
    return this.#segments.sync()
  }

  /** Moves everything that waits into the segments; with a full disk it stays where it is safe. */
  async sync(): Promise<void> {
    while (this.#moving !== undefined) await this.#moving
    const moving = this.#move().finally(() => {
      this.#moving = undefined
    })
    this.#moving = moving.catch(() => undefined)
    await moving
  }

  /** The rows of these values are gone. Beyond the bound they are left for collect() to find. */
  discard(keys: readonly Uint8Array[]): void {
    for (const key of keys) {
      if (this.#garbage.length < garbageMax) this.#garbage.push(key)
    }
  }

  /** Deletes the bytes of discarded values, behind a checkpoint of the store. */
  async removeGarbage(): Promise<number> {
    if (this.#garbage.length === 0 || this.#readers > 0) return 0
    const keys = this.#garbage
    this.#garbage = []
    try {
      await this.#store.checkpoint()
      await this.#segments.delete(keys)
    } catch (error) {
      this.discard(keys)
      throw error
    }
    return keys.length
  }

  /**
   * Walks the segment's values of a group and discards those that nothing names: what a crash left
   * behind. `isNamed` may say true for what it does not know yet.
   */
  async collect(group: GroupId, isNamed: (key: Uint8Array) => boolean): Promise<number> {
    const end = prefixEnd(uint64Bytes(group))
    let after: Uint8Array | undefined = before(uint64Bytes(group))
    let found = 0
    while (!this.#isClosed) {
      const page: ReturnType<Segments['list']> = this.#segments.list(after, collectPageRows)
      const unnamed: Uint8Array[] = []
      for (const object of page) {
        if (compareBytes(object.key, end) >= 0) break
        if (object.key.length === 24 && !isNamed(object.key)) unnamed.push(object.key)
      }
      found += unnamed.length
      this.discard(unnamed)
      const last = page.at(-1)
      if (last === undefined || compareBytes(last.key, end) >= 0) break
      after = last.key
      await this.#nextTurn()
    }
    return found
  }

  async close(): Promise<void> {
    this.#isClosed = true
    while (this.#moving !== undefined) await this.#moving
  }

  /** Everybody who reads the value meanwhile shares the one asking, and the one writing. */
  #recoverOnce(key: Uint8Array): Promise<Uint8Array | undefined> {
    const name = toHex(key)
    const running = this.#recovering.get(name)
    if (running !== undefined) return running
    const recovering = this.#recover(key)
      .then(async (value) => {
        if (value !== undefined) await this.#putAgain(key, value)
        return value
      })
      .finally(() => this.#recovering.delete(name))
    this.#recovering.set(name, recovering)
    return recovering
  }

  /** Of a value that is still named; with a full disk the next reader asks again. */
  async #putAgain(key: Uint8Array, value: Uint8Array): Promise<void> {
    if (this.#store.get('history', key) === undefined) return
    this.#host.journal.event('warning', 'keyspace.value_recovered', { bytes: value.length })
    try {
      await this.#segments.put(key, value)
    } catch (error) {
      if (!isFault(error)) throw error
    }
  }

  #moveLater(): void {
    if (this.#isTimed || this.#isClosed) return
    this.#isTimed = true
    this.#host.clock.after(moveAfterMs, () => {
      this.#isTimed = false
      this.#startMoving()
    })
  }

  #startMoving(): void {
    if (this.#moving !== undefined || this.#isClosed) return
    this.#moving = this.#move().then(
      () => {
        this.#moving = undefined
        if (this.#pendingBytes > 0) this.#moveLater()
      },
      (error: unknown) => {
        this.#moving = undefined
        this.#onFatal(error)
      },
    )
  }

  async #move(): Promise<void> {
    let start: Uint8Array = new Uint8Array(0)
    for (;;) {
      const page = this.#pendingPage(start)
      const last = page.at(-1)
      if (last === undefined) break
      try {
        for (const row of page) await this.#segments.putUnsynced(row.key, row.value)
        await this.#segments.sync()
      } catch (error) {
        if (!isFault(error, 'no-space')) throw error
        this.#isFull = true
        return
      }
      this.#isFull = false
      this.#store.transaction(() => {
        for (const row of page) this.#forgetPending(row.key)
      })
      start = concatBytes([last.key, new Uint8Array(1)])
    }
    const isEmpty = this.#store.keys('pending', { start: new Uint8Array(0), limit: 1 }).length === 0
    if (isEmpty) this.#pendingBytes = 0
  }

  /** Swept meanwhile: then the copy just made is garbage. */
  #forgetPending(key: Uint8Array): void {
    const value = this.#store.get('pending', key)
    if (value === undefined) {
      if (this.#store.get('history', key) === undefined) this.discard([key])
      return
    }
    this.#pendingBytes -= value.length
    this.#store.delete('pending', key)
  }

  #pendingPage(start: Uint8Array): { key: Uint8Array; value: Uint8Array }[] {
    const page: { key: Uint8Array; value: Uint8Array }[] = []
    let bytes = 0
    for (const key of this.#store.keys('pending', { start, limit: movePageRows })) {
      const value = this.#store.get('pending', key)
      if (value === undefined) continue
      page.push({ key, value })
      bytes += value.length
      if (bytes >= movePageBytesMax) break
    }
    return page
  }

  #measurePending(): number {
    let bytes = 0
    let start: Uint8Array = new Uint8Array(0)
    for (;;) {
      const page = this.#store.range('pending', { start, limit: 16 })
      for (const row of page) bytes += row.value.length
      const last = page.at(-1)
      if (last === undefined) return bytes
      start = concatBytes([last.key, new Uint8Array(1)])
    }
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#host.clock.soon(resolve))
  }
}

/** A key right before every key that starts with `prefix`: for lists that begin after a key. */
function before(prefix: Uint8Array): Uint8Array | undefined {
  const last = prefix.at(-1)
  if (last === undefined) return undefined
  if (last === 0) return prefix.subarray(0, prefix.length - 1)
  const key = concatBytes([prefix, new Uint8Array(48).fill(0xff)])
  key[prefix.length - 1] = last - 1
  return key
}

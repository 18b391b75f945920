// Giving the whole state of a group away, and taking it in.
//
// The source reads a view of the store page by page; long values come from 'pending' or their segment.
// The sink writes rows under the next generation, in transactions of one chunk each, beside the state
// that counts until finish(); finish() itself writes one row. What the old generation leaves behind
// is purged afterwards (machine.ts), as is what an aborted or crashed install leaves.

import {
  assert,
  concatBytes,
  equalBytes,
  Fault,
  type GroupId,
  isFault,
  sha256,
  uint64Bytes,
} from '../base/index.ts'
import type { SnapshotSink, SnapshotSource } from '../raft/index.ts'
import type { Store, StoreRow, StoreView } from '../storage/index.ts'
import { decodeGuardRow, guardName, readGuard } from './core/guard.ts'
import { decodeLease, leaseIndexRow, LeaseTable } from './core/leases.ts'
import {
  decodeHistory,
  decodeLatest,
  decodeSession,
  encodeKeyspaceRecord,
  isBorrowed,
  latestHash,
  readLongTail,
  sealedHash,
  versionBytes,
} from './core/records.ts'
import {
  latestKey,
  readVersionKey,
  type Space,
  spaceBytes,
  spaceEnd,
  spaceOf,
  userKey,
  versionKey,
} from './core/rows.ts'
import {
  encodeSnapshotRecord,
  partBytes,
  type SnapshotHead,
  SnapshotParser,
  type SnapshotPart,
  type SnapshotRecord,
  type SnapshotRow,
  snapshotChunkBytes,
} from './core/snapshot-format.ts'
import { readKeyspaceRecord } from './core/state.ts'
import { writeCursor } from './core/sweep.ts'
import type { ValueShelf } from './values.ts'

const pageRows = 256
const tables = ['latest', 'history', 'sessions', 'leases'] as const
const guardTable = tables.length + 1
const emptyBytes = new Uint8Array(0)

export function openSnapshotSource(
  store: Store,
  values: ValueShelf,
  group: GroupId,
): SnapshotSource {
  const view = store.view()
  const unpin = values.pin()
  let isClosed = false
  return {
    chunks: cutIntoChunks(snapshotRecords(view, values, group)),
    close() {
      if (isClosed) return
      isClosed = true
      unpin()
      view.close()
    },
  }
}

async function* cutIntoChunks(records: AsyncIterable<SnapshotRecord>): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = []
  let waitingBytes = 0
  for await (const record of records) {
    const encoded = encodeSnapshotRecord(record)
    waiting.push(encoded)
    waitingBytes += encoded.length
    if (waitingBytes < snapshotChunkBytes) continue
    const joined = concatBytes(waiting)
    let at = 0
    for (; joined.length - at >= snapshotChunkBytes; at += snapshotChunkBytes) {
      yield joined.subarray(at, at + snapshotChunkBytes)
    }
    waiting = [joined.subarray(at)]
    waitingBytes = joined.length - at
  }
  if (waitingBytes > 0) yield concatBytes(waiting)
}

async function* snapshotRecords(
  view: StoreView,
  values: ValueShelf,
  group: GroupId,
): AsyncGenerator<SnapshotRecord> {
  const record = readKeyspaceRecord(view, group)
  const space = spaceOf(group, record.generation)
  let records = 2
  const leaseDigest = (new LeaseTable(view, space).digest + readGuard(view, space).hash) >>> 0
  yield { kind: 'head', ...record, leaseDigest }
  for (const [number, table] of tables.entries()) {
    for (const row of rowsOf(view, table, space)) {
      yield { kind: 'row', table: number + 1, key: userKey(row.key), value: row.value }
      records++
      if (table !== 'history') continue
      for await (const part of valueParts(view, values, row)) {
        yield part
        records++
      }
    }
  }
  const guard = view.get('keyspaces', latestKey(space, guardName))
  if (guard !== undefined) {
    yield { kind: 'row', table: guardTable, key: guardName, value: guard }
    records++
  }
  yield { kind: 'end', records }
}

function* rowsOf(view: StoreView, table: string, space: Space): Generator<StoreRow> {
  let start = latestKey(space, emptyBytes)
  for (;;) {
    const page = view.range(table, { start, end: spaceEnd(space), limit: pageRows })
    yield* page
    const last = page.at(-1)
    if (last === undefined || page.length < pageRows) return
    start = concatBytes([last.key, new Uint8Array(1)])
  }
}

async function* valueParts(
  view: StoreView,
  values: ValueShelf,
  row: StoreRow,
): AsyncGenerator<SnapshotRecord> {
  const key = userKey(row.key)
  const record = decodeHistory(key, row.value)
  if (record.kind !== 'long' || isBorrowed({ ...record, ...readVersionKey(row.key) })) return
  const value = view.get('pending', row.key) ?? (await values.read(row.key))
  const at = new DataView(key.buffer, key.byteOffset, key.byteLength)
  const revision = at.getUint32(0) * 0x1_0000_0000 + at.getUint32(4)
  for (let from = 0; from < value.length; from += partBytes) {
    const bytes = value.subarray(from, from + partBytes)
    const isLast = from + partBytes >= value.length
    yield { kind: 'part', revision, sub: at.getUint32(8), bytes, isLast }
  }
}

/** What the sink needs of the machine that it replaces the state of. */
export type InstallTarget = {
  readonly store: Store
  readonly values: ValueShelf
  readonly group: GroupId
  /** Not in use by anything; cleared. */
  readonly generation: number
  /** After finish() wrote the row that switches over, inside the same transaction. */
  readonly installed: () => void
  readonly aborted: () => void
}

export class KeyspaceSink implements SnapshotSink {
  readonly #target: InstallTarget
  readonly #space: Space
  readonly #parser = new SnapshotParser()
  #head: SnapshotHead | undefined
  #records = 0
  #digestA = 0
  #digestB = 0
  #leaseDigest = 0
  /** Weight of the versions that came. */
  #versionBytes = 0
  /** The long value that comes next, and its parts so far. */
  #expected: { readonly rowKey: Uint8Array; readonly digest: Uint8Array } | undefined
  #parts: Uint8Array[] = []
  /** Long values that this chunk completed. */
  #found: { readonly key: Uint8Array; readonly value: Uint8Array }[] = []
  #partBytes = 0
  #isComplete = false

  constructor(target: InstallTarget) {
    this.#target = target
    this.#space = spaceOf(target.group, target.generation)
  }

  /** Fault 'corrupt' for a malformed stream, 'no-space' for a full disk. */
  async write(chunk: Uint8Array): Promise<void> {
    const records = this.#parser.push(chunk)
    this.#found = []
    const rows: SnapshotRow[] = []
    let isEnd = false
    for (const record of records) {
      if (isEnd || this.#isComplete) throw malformed('records after the end')
      this.#records++
      if (record.kind === 'head') this.#takeHead(record)
      else if (this.#head === undefined) throw malformed('it does not begin with its head')
      else if (record.kind === 'row') rows.push(this.#checkRow(record))
      else if (record.kind === 'part') this.#takePart(record)
      else isEnd = this.#checkEnd(record.records)
    }
    this.#writeRows(rows)
    for (const { key, value } of this.#found) await this.#target.values.install(key, value)
    if (!isEnd) return
    if (!this.#parser.isBetweenRecords) throw malformed('bytes after the end')
    await this.#target.values.syncInstalled()
    this.#isComplete = true
  }

  finish(): void {
    const { store, group, generation, installed } = this.#target
    const head = this.#head
    assert(this.#isComplete && head !== undefined, 'a snapshot is finished when it is complete')
    const rowKey = uint64Bytes(group)
    const { kind, leaseDigest, ...replicated } = head as SnapshotHead & { readonly kind: string }
    const record = { ...replicated, generation }
    store.put('keyspaces', rowKey, encodeKeyspaceRecord(rowKey, record))
    const freedBytes = head.addedBytes - this.#versionBytes
    writeCursor(store, this.#space, { modRevision: 0, sub: 0, freedBytes })
    installed()
  }

  async abort(): Promise<void> {
    this.#target.aborted()
  }

  #takeHead(head: SnapshotHead): void {
    if (this.#records !== 1) throw malformed('a second head')
    this.#head = head
  }

  #checkRow(row: SnapshotRow): SnapshotRow {
    if (this.#expected !== undefined) throw malformed('a value is missing')
    try {
      if (row.table === 1) this.#checkLatest(row)
      else if (row.table === 2) this.#checkHistory(row)
      else if (row.table === 3) decodeSession(row.key, row.value)
      else if (row.table === 4) this.#checkLease(row)
      else if (row.table === guardTable) this.#checkGuard(row)
      else throw malformed('a row of an unknown table')
    } catch (error) {
      if (isFault(error, 'corrupt')) throw malformed(error.message)
      throw error
    }
    return row
  }

  #checkLatest(row: SnapshotRow): void {
    if (decodeLatest(row.key, row.value).kind === 'tombstone') return
    const hash = latestHash(row.key, row.value)
    this.#digestA = (this.#digestA + hash.a) >>> 0
    this.#digestB = (this.#digestB + hash.b) >>> 0
  }

  #checkHistory(row: SnapshotRow): void {
    if (row.key.length !== 12) throw malformed('a version of a wrong length')
    const rowKey = concatBytes([this.#space, row.key])
    const record = { ...decodeHistory(row.key, row.value), ...readVersionKey(rowKey) }
    this.#versionBytes += versionBytes(record.key.length, record)
    if (record.kind !== 'long') return
    const { digest } = readLongTail(record.tail)
    if (!isBorrowed(record)) this.#expected = { rowKey, digest: digest.slice() }
    else if (!this.#hasValue(versionKey(this.#space, readLongTail(record.tail)))) {
      throw malformed('a value that a row names did not come before it')
    }
  }

  #hasValue(key: Uint8Array): boolean {
    return this.#found.some((value) => equalBytes(value.key, key)) || this.#target.values.has(key)
  }

  #checkLease(row: SnapshotRow): void {
    decodeLease(row.key, row.value)
    this.#leaseDigest = (this.#leaseDigest + sealedHash(row.value)) >>> 0
  }

  #checkGuard(row: SnapshotRow): void {
    if (!equalBytes(row.key, guardName)) throw malformed('a guard under another name')
    this.#leaseDigest = (this.#leaseDigest + decodeGuardRow(row.value).hash) >>> 0
  }

  #takePart(part: SnapshotPart): void {
    const expected = this.#expected
    const rowKey = versionKey(this.#space, { modRevision: part.revision, sub: part.sub })
    if (expected === undefined || !equalBytes(expected.rowKey, rowKey)) {
      throw malformed('a value that no row names')
    }
    this.#partBytes += part.bytes.length
    if (this.#partBytes > 8 * 1024 * 1024) throw malformed('a value is too long')
    this.#parts.push(part.bytes.slice())
    if (!part.isLast) return
    const value = concatBytes(this.#parts)
    if (!equalBytes(sha256(value), expected.digest)) throw malformed('a value has another digest')
    this.#found.push({ key: rowKey, value })
    this.#expected = undefined
    this.#parts = []
    this.#partBytes = 0
  }

  #checkEnd(records: number): boolean {
    const head = this.#head
    if (this.#expected !== undefined) throw malformed('a value is missing')
    if (records !== this.#records) throw malformed('records are missing')
    if (head?.digestA !== this.#digestA || head.digestB !== this.#digestB) {
      throw malformed('the rows have another digest than the head says')
    }
    if (head.leaseDigest !== this.#leaseDigest) {
      throw malformed('the leases have another digest than the head says')
    }
    return true
  }

  #writeRows(rows: readonly SnapshotRow[]): void {
    if (rows.length === 0) return
    this.#target.store.transaction(() => {
      for (const row of rows) {
        const table = row.table === guardTable ? 'keyspaces' : tables[row.table - 1]
        assert(table !== undefined, 'rows were checked')
        const rowKey = new Uint8Array(spaceBytes + row.key.length)
        rowKey.set(this.#space)
        rowKey.set(row.key, spaceBytes)
        this.#target.store.put(table, rowKey, row.value)
        if (table === 'latest') this.#writeLeaseIndex(row)
      }
    })
  }

  #writeLeaseIndex(row: SnapshotRow): void {
    const { lease } = decodeLatest(row.key, row.value)
    if (lease === 0) return
    const index = leaseIndexRow(this.#space, lease, row.key)
    this.#target.store.put('leasekeys', index.key, index.value)
  }
}

function malformed(what: string): Fault {
  return new Fault('corrupt', `malformed snapshot: ${what}`)
}

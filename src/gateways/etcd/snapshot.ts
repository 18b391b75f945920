// Maintenance's Snapshot: the namespace at one revision as a database file of etcd's (server/storage/schema: buckets of
// a bbolt file), followed by its SHA-256. `etcdctl snapshot status` reads it, and `snapshot restore` makes an etcd
// of it that has the same keys at the same revisions, compacted there. Users and roles are not in it: their passwords
// are hashed otherwise.
//
// etcd keeps versions in order of their revision, the keyspace gives them out in order of their key. So they are read a
// window of revisions at a time, sorted, and a window with more than fits in memory is halved. The file is laid out
// by reading everything once before it is sent, because its front names what comes at its end.

import {
  compareBytes,
  concatBytes,
  encodeBytes,
  keyAfter,
  message,
  type MessageOf,
  startDigest,
  uint64Bytes,
  utf8Encode,
} from '../../base/index.ts'
import type { KeyValue } from '../../keyspace/index.ts'
import type { Context, MessageStream } from './context.ts'
import {
  BoltTree,
  type BoltBucket,
  boltPageBytes,
  encodeBoltFront,
  firstTreePage,
} from './core/bolt.ts'
import { int64, keyValue, type snapshotResponse } from '../../keyspace/etcd/wire.ts'

const windowBytesMax = 32 * 1024 * 1024
const pairBytes = 200
const partMsMax = 60_000
const blobBytes = 64 * 1024
const openEnd = Uint8Array.of(0)
const versionMark = 0x5f
const leaseFields = message({ id: int64(1), ttl: int64(2), remainingTtl: int64(3) })
const emptyBuckets = [
  'alarm',
  'auth',
  'authRoles',
  'authUsers',
  'cluster',
  'members',
  'members_removed',
]

type Stream = MessageStream<unknown, MessageOf<typeof snapshotResponse>>

export async function sendSnapshot(
  context: Context,
  stream: Stream,
  version: string,
): Promise<void> {
  const { revision } = await context.keyspace.range(
    { key: openEnd, countOnly: true },
    { deadlineMs: partMsMax, signal: stream.signal },
  )
  const source = { context, revision, signal: stream.signal }
  const leases = await readLeases(source)
  const leaseTree = growLeases(leases)
  const keyTree = await growKeys(source, leaseTree.endPage)
  const trees = [
    { name: 'key', root: keyTree.root },
    { name: 'lease', root: leaseTree.root },
  ]
  const front = encodeBoltFront(keyTree.endPage, trees, [metaBucket(source), ...emptyOnes()])
  const totalBytes = keyTree.endPage * boltPageBytes
  const out = new Blobs(stream, { totalBytes, header: () => context.header(revision), version })
  out.add(front)
  growLeases(leases, (page) => out.add(page))
  await growKeys(source, leaseTree.endPage, out)
  await out.finish()
}

type Source = { readonly context: Context; readonly revision: number; readonly signal: AbortSignal }

type SnapshotFacts = {
  readonly totalBytes: number
  readonly header: () => MessageOf<typeof snapshotResponse>['header']
  readonly version: string
}

/** Gathers pages into messages and keeps their digest, which ends the file. */
class Blobs {
  readonly #stream: Stream
  readonly #about: SnapshotFacts
  readonly #digest = startDigest('sha256')
  #parts: Uint8Array[] = []
  #bytes = 0
  #sentBytes = 0

  constructor(stream: Stream, about: SnapshotFacts) {
    this.#stream = stream
    this.#about = about
  }

  add(page: Uint8Array): void {
    this.#digest.update(page)
    this.#parts.push(page)
    this.#bytes += page.length
  }

  async finish(): Promise<void> {
    await this.#flush()
    await this.#send(this.#digest.digest(), 0)
  }

  /** Sends what makes a message of some size; settles when the client takes more. */
  async maybeFlush(): Promise<void> {
    if (this.#bytes >= blobBytes) await this.#flush()
  }

  async #flush(): Promise<void> {
    if (this.#bytes === 0) return
    const blob = concatBytes(this.#parts)
    this.#parts = []
    this.#bytes = 0
    this.#sentBytes += blob.length
    await this.#send(blob, Math.max(0, this.#about.totalBytes - this.#sentBytes))
  }

  async #send(blob: Uint8Array, remainingBytes: number): Promise<void> {
    const { header, version } = this.#about
    this.#stream.send({ header: header(), remainingBytes, blob, version })
    await this.#stream.drained()
  }
}

async function growKeys(source: Source, firstPage: number, out?: Blobs) {
  const tree = new BoltTree(firstPage, out === undefined ? undefined : (page) => out.add(page))
  let last = 0
  let sub = 0
  for await (const pairs of pairsByRevision(source)) {
    for (const kv of pairs) {
      sub = kv.modRevision === last ? sub + 1 : 0
      last = kv.modRevision
      tree.add(versionKey(kv.modRevision, sub), encodeBytes(keyValue, kv))
      await out?.maybeFlush()
    }
  }
  return tree.finish()
}

/** In order of mod revision, then of key. */
async function* pairsByRevision(source: Source): AsyncGenerator<readonly KeyValue[]> {
  const windows = [{ low: 1, high: source.revision }]
  for (let next = windows.pop(); next !== undefined; next = windows.pop()) {
    const { low, high } = next
    const pairs = await readWindow(source, next)
    if (pairs !== undefined) {
      yield pairs.sort((a, b) => a.modRevision - b.modRevision || compareBytes(a.key, b.key))
      continue
    }
    const middle = Math.floor((low + high) / 2)
    windows.push({ low: middle + 1, high }, { low, high: middle })
  }
}

/** Undefined when it holds too much and can be halved. */
async function readWindow(
  { context, revision, signal }: Source,
  { low, high }: { readonly low: number; readonly high: number },
): Promise<KeyValue[] | undefined> {
  const pairs: KeyValue[] = []
  let bytes = 0
  let key: Uint8Array = openEnd
  for (let more = true; more; ) {
    const part = await context.keyspace.range(
      { key, rangeEnd: openEnd, revision, minModRevision: low, maxModRevision: high },
      { deadlineMs: partMsMax, signal },
    )
    for (const kv of part.kvs) {
      pairs.push(kv)
      bytes += kv.key.length + kv.value.length + pairBytes
    }
    if (bytes > windowBytesMax && low < high) return undefined
    const last = part.kvs.at(-1)
    if (last !== undefined) key = keyAfter(last.key)
    more = part.more && last !== undefined
  }
  return pairs
}

type LeaseRow = { readonly id: number; readonly ttl: number }

/** Of now: a lease that has ended since is one that nothing hangs on any more. */
async function readLeases({ context, signal }: Source): Promise<readonly LeaseRow[]> {
  const { leases } = context.keyspace
  const { ids } = await leases.list({ signal })
  const rows: LeaseRow[] = []
  for (const id of ids) {
    const { grantedTtlSeconds, ttlSeconds } = await leases.timeToLive(id, { signal })
    if (ttlSeconds >= 0) rows.push({ id, ttl: grantedTtlSeconds })
  }
  return rows
}

function growLeases(leases: readonly LeaseRow[], emit?: (page: Uint8Array) => void) {
  const tree = new BoltTree(firstTreePage, emit)
  for (const { id, ttl } of leases) {
    tree.add(uint64Bytes(id), encodeBytes(leaseFields, { id, ttl, remainingTtl: 0 }))
  }
  return tree.finish()
}

/** Everything below the revision is compacted. */
function metaBucket({ context, revision }: Source): BoltBucket {
  const { applied, term } = context.cluster.group()
  const compacted = versionKey(revision, 0)
  return {
    name: 'meta',
    pairs: [
      [utf8Encode('consistent_index'), uint64Bytes(applied)],
      [utf8Encode('finishedCompactRev'), compacted],
      [utf8Encode('scheduledCompactRev'), compacted],
      [utf8Encode('term'), uint64Bytes(term)],
    ],
  }
}

function emptyOnes(): readonly BoltBucket[] {
  return emptyBuckets.map((name) => ({ name, pairs: [] }))
}

/** etcd's revision as bytes: main 8, '_', sub 8. */
function versionKey(main: number, sub: number): Uint8Array {
  return concatBytes([uint64Bytes(main), Uint8Array.of(versionMark), uint64Bytes(sub)])
}

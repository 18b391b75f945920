// The room over the real keyspace (one replica, memory store) and a content double that keeps chunks in
// a map and their names in the chunk table, so that leaks and losses of chunks are visible.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import {
  concatBytes,
  digestHex,
  Fault,
  isFault,
  nodeId,
  revision,
  toHex,
  utf8Encode,
} from '../base/index.ts'
import type { BucketRecord, ClusterAdmin, ClusterView } from '../cluster/index.ts'
import type { Content, ContentStatus, Draft, Manifest } from '../content/index.ts'
import type { Host } from '../host/index.ts'
import { createKeyspaces, type Keyspace, type Keyspaces } from '../keyspace/index.ts'
import {
  TestConsensus,
  type TestDirectory,
  TestNetwork,
  TestSegments,
  testDirectory,
  testGroup,
  testRaft,
  testStore,
} from '../keyspace/testing/doubles.ts'
import { createObjects } from './create.ts'
import type { Objects, PutRequest, WriteCondition } from './objects.ts'

const namespace = '/raft/test'
const chunkBytes = 1000
let directory: TestDirectory
/** The keyspace forgets what it has applied: each transaction is applied twice, the second is answered. */
let isForgetful = false
/** The replica of this node lags behind what others have answered. */
let isBehind = false
/** Called once after the next range that has more. */
let afterPage: (() => Promise<unknown>) | undefined
let keyspaces: Keyspaces
let clock: { wallMs: number }
let content: TestContent
let buckets: Map<string, BucketRecord>
let objects: Objects & { runTrash(): Promise<number>; close(): void }

class TestContent {
  readonly chunks = new Map<string, Uint8Array>()
  /** Each write's draft fails its compare this many times, as if the sweep number had moved. */
  staleDrafts = 0
  #next = 0

  readonly room: Content = {
    write: async (body, { signal }) => {
      const chunks: { id: Uint8Array; length: number }[] = []
      const parts: Uint8Array[] = []
      for await (const slice of body) {
        if (signal?.aborted) throw new Fault('cancelled', 'the client has gone')
        parts.push(slice.slice())
      }
      const whole = concatBytes(parts)
      for (let at = 0; at < whole.length; at += chunkBytes) {
        const id = new Uint8Array(16)
        new DataView(id.buffer).setUint32(12, ++this.#next)
        const bytes = whole.slice(at, at + chunkBytes)
        this.chunks.set(toHex(id), bytes)
        chunks.push({ id, length: bytes.length })
      }
      const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
      return this.#draft({ length, chunks })
    },
    read: (manifest, { at, count }) => this.#read(manifest, at, count),
    release: async (manifest) =>
      manifest.chunks.map(({ id }) => ({ kind: 'delete', key: this.#row(id) })),
    status: () => ({ isDiskLow: false }) as ContentStatus,
    runMoves: async () => ({ moved: 0 }),
    runEmptying: async () => false,
    runScrub: async () => ({ verified: 0, damaged: 0 }),
    runRepair: async () => ({ repaired: 0, missing: 0 }),
    runSweep: async () => ({ deleted: 0 }),
    close: async () => {},
  }

  /** Chunks that the chunk table names. */
  async named(): Promise<number> {
    const keyspace = await keyspaces.open(namespace)
    const range = { key: utf8Encode('c/'), rangeEnd: utf8Encode('c0'), countOnly: true }
    return (await keyspace.range(range)).count
  }

  #row(id: Uint8Array): Uint8Array {
    return concatBytes([utf8Encode('c/'), id])
  }

  #draft(manifest: Manifest): Draft {
    const isStale = this.staleDrafts > 0
    if (isStale) this.staleDrafts--
    const operand = isStale ? 7 : 0
    return {
      manifest,
      compares: [{ key: utf8Encode('s'), target: 'mod', result: 'equal', operand }],
      operations: manifest.chunks.map(({ id }) => ({ kind: 'put', key: this.#row(id), value: id })),
      refresh: async () => this.#draft(manifest),
      discard: async () => {
        for (const { id } of manifest.chunks) this.chunks.delete(toHex(id))
      },
    }
  }

  async *#read(manifest: Manifest, at: number, count: number): AsyncGenerator<Uint8Array> {
    const whole = concatBytes(
      manifest.chunks.map(({ id }) => this.chunks.get(toHex(id)) ?? new Uint8Array(0)),
    )
    assert.equal(whole.length, manifest.length)
    yield whole.subarray(at, at + count)
  }
}

before(async () => {
  directory = testDirectory()
  clock = { wallMs: 1_700_000_000_000 }
  const real = directory.host
  const host: Host = { ...real, clock: { ...real.clock, wallMs: () => clock.wallMs } }
  const store = await testStore(host)
  const consensus = new TestConsensus()
  const self = nodeId(1)
  keyspaces = await createKeyspaces(
    {
      host,
      raft: testRaft(host, consensus, { self, store }),
      rpc: new TestNetwork().rpc(self),
      store,
      values: new TestSegments(),
      self,
      session: { number: 1 },
    },
    {
      namespaces: [
        { name: namespace, group: testGroup, founders: { voters: [self] }, hasReplica: true },
      ],
    },
  )
  consensus.elect(1)
  content = new TestContent()
  buckets = new Map([
    ['b', bucket('b', 1)],
    ['other', bucket('other', 2)],
  ])
  const view = { bucket: async (name: string) => buckets.get(name) } as unknown as ClusterView
  const admin = {
    deleteBucket: async ({ name }: BucketRecord) => void buckets.delete(name),
  } as unknown as ClusterAdmin
  objects = createObjects(
    { host, view, admin, keyspaces: forgetful(keyspaces), content: content.room },
    { namespaces: [namespace], smallBytesMax: 100, isTrashMine: () => false },
  )
})
after(async () => {
  objects.close()
  await keyspaces.close()
  directory.remove()
})

function forgetful(real: Keyspaces): Keyspaces {
  return {
    async open(name) {
      const keyspace = await real.open(name)
      const txn: Keyspace['txn'] = async (request, options) => {
        if (isForgetful) await keyspace.txn(request, options)
        return keyspace.txn(request, options)
      }
      return {
        name,
        txn,
        range: async (request, options) => {
          if (isBehind && request.isSerializable === true && (request.revision ?? 0) > 0) {
            throw new Fault('invalid', 'required revision is a future revision')
          }
          const page = await keyspace.range(request, options)
          const run = page.more ? afterPage : undefined
          if (run !== undefined) afterPage = undefined
          await run?.()
          return page
        },
        put: (key, value, options) => keyspace.put(key, value, options),
        delete: (key, options) => keyspace.delete(key, options),
        freshness: () => ({
          ...keyspace.freshness(),
          ...(isBehind ? { revision: revision(0) } : {}),
        }),
        onRevision: (changed) => keyspace.onRevision(changed),
      }
    },
    close: () => real.close(),
  }
}

function bucket(name: string, number: number): BucketRecord {
  const shared = {
    region: 'r',
    type: 'distributed',
    createdMs: 0,
    allowsBareQuorum: true,
    tenant: '',
  }
  return { ...shared, name, number, namespace }
}

async function* slices(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 640) yield bytes.subarray(at, at + 640)
}

const noHeaders = { content: {}, user: {} }

function request(
  key: string,
  bytes: Uint8Array,
  condition: WriteCondition = { kind: 'none' },
): PutRequest {
  return {
    bucket: 'b',
    key,
    headers: noHeaders,
    body: slices(bytes),
    length: bytes.length,
    verify: () => ({ md5: digestHex('md5', bytes), checksum: undefined }),
    condition,
  }
}

function pattern(count: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 0xff)
}

async function collect(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part.slice())
  return concatBytes(parts)
}

async function readAll(key: string, from = 'b'): Promise<Uint8Array> {
  const { record, read } = await objects.get(from, key)
  return collect(read({ at: 0, count: record.size }))
}

async function codeOf(run: Promise<unknown>): Promise<string> {
  try {
    await run
  } catch (error) {
    if (isFault(error)) return error.s3.code
    throw error
  }
  return 'none'
}

test('objects of every kind of body read back, whole and in ranges', async () => {
  for (const size of [0, 1, 100, 101, 999, 1000, 5500, 12_345]) {
    const bytes = pattern(size)
    const record = await objects.put(request(`size-${size}`, bytes))
    assert.equal(record.size, size)
    assert.equal(record.etag, digestHex('md5', bytes))
    assert.deepEqual(await readAll(`size-${size}`), bytes)
    const { read } = await objects.get('b', `size-${size}`)
    const at = size >> 2
    const count = size >> 1
    assert.deepEqual(await collect(read({ at, count })), bytes.subarray(at, at + count))
  }
})

test('a body of unknown length is stored as its bytes are', async () => {
  for (const size of [0, 50, 3000]) {
    const bytes = pattern(size, 5)
    await objects.put({ ...request('unknown', bytes), length: undefined })
    assert.deepEqual(await readAll('unknown'), bytes)
  }
})

test('a refused body leaves neither object nor chunks', async () => {
  const before = content.chunks.size
  for (const size of [10, 4000]) {
    const refused = {
      ...request('refused', pattern(size)),
      verify: () => {
        throw new Fault('invalid', 'bad digest', { s3: { code: 'BadDigest', status: 400 } })
      },
    }
    assert.equal(await codeOf(objects.put(refused)), 'BadDigest')
  }
  assert.equal(await codeOf(objects.head('b', 'refused')), 'NoSuchKey')
  assert.equal(content.chunks.size, before)
})

test('conditions are decided where the entry is ordered; one of racing writers wins', async () => {
  const absent: WriteCondition = { kind: 'absent' }
  const racing = Array.from({ length: 20 }, (_, i) => {
    return codeOf(objects.put(request('race', pattern(i % 2 === 0 ? 20 : 2000, i), absent)))
  })
  const outcomes = await Promise.all(racing)
  assert.equal(outcomes.filter((code) => code === 'none').length, 1)
  assert.equal(outcomes.filter((code) => code === 'PreconditionFailed').length, 19)
  const { etag } = await objects.head('b', 'race')
  const swaps = Array.from({ length: 10 }, (_, i) =>
    codeOf(objects.put(request('race', pattern(10, 50 + i), { kind: 'match', etag }))),
  )
  assert.equal((await Promise.all(swaps)).filter((code) => code === 'none').length, 1)
  const missing = objects.put(request('nothing', pattern(1), { kind: 'match', etag }))
  assert.equal(await codeOf(missing), 'NoSuchKey')
})

test('writers without a condition all succeed, and nothing but the last stays named', async () => {
  const namedBefore = await content.named()
  await Promise.all(
    Array.from({ length: 12 }, (_, i) => objects.put(request('hot', pattern(1500, i)))),
  )
  assert.equal((await readAll('hot')).length, 1500)
  clock.wallMs += 61_000
  await objects.runTrash()
  assert.equal(await content.named(), namedBefore + 2)
})

test('a draft whose sweep number moved is refreshed and named', async () => {
  content.staleDrafts = 3
  const bytes = pattern(2500, 9)
  await objects.put(request('swept', bytes))
  assert.deepEqual(await readAll('swept'), bytes)
})

test('a naming whose answer was lost and which was repeated has happened once', async () => {
  isForgetful = true
  try {
    for (const size of [20, 2500]) {
      const bytes = pattern(size, 3)
      await objects.put(request('twice', bytes, { kind: 'none' }))
      assert.deepEqual(await readAll('twice'), bytes)
      const absent = request(`once-${size}`, bytes, { kind: 'absent' })
      await objects.put(absent)
    }
    const { uploadId } = await objects.createUpload({ bucket: 'b', key: 'p', headers: noHeaders })
    const name = { bucket: 'b', key: 'p', uploadId }
    await objects.putPart({ ...name, number: 1 }, request('', pattern(2500)))
    const { etag } = await objects.putPart({ ...name, number: 1 }, request('', pattern(30)))
    const parts = [{ number: 1, etag }]
    await objects.completeUpload(name, { parts, condition: { kind: 'none' } })
    assert.deepEqual(await readAll('p'), pattern(30))
  } finally {
    isForgetful = false
    clock.wallMs += 61_000
    await objects.runTrash()
  }
})

test('deleting frees the chunks after the grace time, not before', async () => {
  const namedBefore = await content.named()
  await objects.put(request('gone', pattern(15_000)))
  assert.equal(await content.named(), namedBefore + 15)
  await objects.delete('b', 'gone')
  await objects.delete('b', 'gone')
  assert.equal(await codeOf(objects.get('b', 'gone')), 'NoSuchKey')
  await objects.runTrash()
  assert.equal(await content.named(), namedBefore + 15)
  clock.wallMs += 61_000
  await objects.runTrash()
  assert.equal(await content.named(), namedBefore)
})

test('lists show keys and common prefixes in byte order, in pages', async () => {
  const keys = ['a', 'a/b', 'a/c/d', 'b', 'c/1', 'c/2', 'é', '😀', 'z\u0000']
  for (const key of keys) await objects.put({ ...request(key, pattern(1)), bucket: 'other' })
  const listing = { bucket: 'other', prefix: '', delimiter: '', after: '', limit: 4 }
  const shown: string[] = []
  for (let after = ''; ; ) {
    const page = await objects.list({ ...listing, after })
    shown.push(...page.objects.map(({ key }) => key))
    after = page.last
    if (!page.isTruncated) break
  }
  assert.deepEqual(
    shown,
    [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
  )
  const folded = await objects.list({ ...listing, delimiter: '/', limit: 100 })
  assert.deepEqual(folded.prefixes, ['a/', 'c/'])
  assert.deepEqual(
    folded.objects.map(({ key }) => key),
    ['a', 'b', 'z\u0000', 'é', '😀'],
  )
})

test('a list goes on elsewhere when the replica of this node is behind its first page', async () => {
  for (const key of ['behind/a/1', 'behind/a/2', 'behind/a/3', 'behind/b']) {
    await objects.put(request(key, pattern(10)))
  }
  isBehind = true
  const listed = await objects
    .list({ bucket: 'b', prefix: 'behind/', delimiter: '/', after: '', limit: 2 })
    .finally(() => {
      isBehind = false
    })
  assert.deepEqual(listed.prefixes, ['behind/a/'])
  assert.deepEqual(
    listed.objects.map(({ key }) => key),
    ['behind/b'],
  )
})

test('multipart: parts in any order, replaced, listed, completed once and repeatably', async () => {
  const namedBefore = await content.named()
  const key = 'multi'
  const { uploadId } = await objects.createUpload({ bucket: 'b', key, headers: noHeaders })
  const name = { bucket: 'b', key, uploadId }
  const size = 5 * 1024 * 1024
  const bodies = new Map([
    [1, pattern(size, 1)],
    [2, pattern(size, 2)],
    [4, pattern(77, 4)],
  ])
  const putPart = (number: number, bytes: Uint8Array) =>
    objects.putPart({ ...name, number }, request('', bytes))
  await putPart(4, bodies.get(4) ?? new Uint8Array(0))
  await putPart(2, pattern(3000, 99))
  await putPart(3, pattern(2000, 3))
  for (const [number, bytes] of bodies) await putPart(number, bytes)
  const { parts, isTruncated } = await objects.listParts(name, { after: 0, limit: 3 })
  assert.deepEqual([parts.map(({ number }) => number), isTruncated], [[1, 2, 3], true])
  const uploads = await objects.listUploads({
    bucket: 'b',
    prefix: 'mul',
    delimiter: '',
    keyMarker: '',
    uploadIdMarker: '',
    limit: 10,
  })
  assert.deepEqual(
    uploads.uploads.map((upload) => upload.uploadId),
    [uploadId],
  )

  const listed = (await objects.listParts(name, { after: 0, limit: 100 })).parts
  const chosen = listed
    .filter(({ number }) => number !== 3)
    .map(({ number, etag }) => ({ number, etag }))
  const condition: WriteCondition = { kind: 'none' }
  const first = await objects.completeUpload(name, { parts: chosen, condition })
  const again = await objects.completeUpload(name, { parts: chosen, condition })
  assert.equal(again.etag, first.etag)
  assert.match(first.etag, /^[0-9a-f]{32}-3$/)
  assert.deepEqual(
    await readAll(key),
    concatBytes([...bodies.keys()].sort().map((n) => bodies.get(n) ?? pattern(0))),
  )
  const { read } = await objects.get('b', key)
  const across = await collect(read({ at: size - 10, count: 20 }))
  assert.deepEqual(
    across,
    concatBytes([pattern(size, 1).slice(-10), pattern(size, 2).slice(0, 10)]),
  )
  assert.equal(await codeOf(putPart(1, pattern(10))), 'NoSuchUpload')

  await objects.delete('b', key)
  clock.wallMs += 61_000
  await objects.runTrash()
  assert.equal(await content.named(), namedBefore)
})

test('a part that is replaced while the parts are read is noticed, however many pages they take', async () => {
  const name = await beginUpload('many-parts')
  const old = pattern(10, 1)
  const { etag } = await objects.putPart({ ...name, number: 1 }, request('', old))
  const others = Array.from({ length: 1000 }, (_, at) => at + 2)
  await Promise.all(
    others.map((number) => objects.putPart({ ...name, number }, request('', pattern(1)))),
  )
  afterPage = () => objects.putPart({ ...name, number: 1 }, request('', pattern(20, 9)))
  const completed = objects.completeUpload(name, {
    parts: [{ number: 1, etag }],
    condition: { kind: 'none' },
  })
  assert.equal(await codeOf(completed), 'OperationAborted')
  assert.equal(afterPage, undefined)
})

test('a list of uploads goes on behind its last key or common prefix', async () => {
  const keys = ['l/a/1', 'l/a/2', 'l/b', 'l/b', 'l/b/1', 'l/c\0/1', 'l/c\0/2', 'l/d']
  const byKey: [string, string][] = []
  for (const key of keys) {
    byKey.push([key, (await beginUpload(key)).uploadId])
    clock.wallMs++
  }
  for (const delimiter of ['', '/']) {
    for (const limit of [1, 2, 3, 100]) {
      const seen: string[] = []
      let markers = { keyMarker: '', uploadIdMarker: '' }
      for (let pages = 0; pages <= keys.length; pages++) {
        const asked = { bucket: 'b', prefix: 'l/', delimiter, limit, ...markers }
        const page = await objects.listUploads(asked)
        seen.push(...page.uploads.map(({ uploadId }) => uploadId), ...page.prefixes)
        if (!page.isTruncated) break
        markers = { keyMarker: page.nextKeyMarker, uploadIdMarker: page.nextUploadIdMarker }
      }
      const whole = byKey.map(([, id]) => id)
      const folded = [...byKey.filter(([key]) => /^l\/[bd]$/.test(key)).map(([, id]) => id)]
      const expected = delimiter === '' ? whole : [...folded, 'l/a/', 'l/b/', 'l/c\0/']
      assert.deepEqual([...seen].sort(), [...expected].sort(), `${delimiter} ${limit}`)
    }
  }
  const from = async (keyMarker: string, uploadIdMarker = '') => {
    const asked = { bucket: 'b', prefix: 'l/', delimiter: '', limit: 100 }
    const { uploads } = await objects.listUploads({ ...asked, keyMarker, uploadIdMarker })
    return uploads.map(({ key }) => key)
  }
  const second = byKey[2]?.[1] ?? ''
  assert.deepEqual(await from('l/b', second), keys.slice(3))
  assert.deepEqual(await from('l/b'), keys.slice(4))
  assert.equal(await codeOf(from('l/b', 'no upload')), 'InvalidArgument')
  assert.deepEqual(await from('a'), keys)
  assert.deepEqual(await from('z'), [])
  for (const [key, uploadId] of byKey) await objects.abortUpload('b', key, uploadId)
})

test('a completion whose checksum nothing can be held against is refused', async () => {
  const name = await beginUpload('claimed')
  const { etag } = await objects.putPart({ ...name, number: 1 }, request('', pattern(10)))
  const asked = { parts: [{ number: 1, etag }], condition: { kind: 'none' } as const }
  const checksum = { algorithm: 'CRC32', value: 'AAAAAA==', type: 'FULL_OBJECT' } as const
  const completed = objects.completeUpload(name, { ...asked, checksum })
  assert.equal(await codeOf(completed), 'InvalidRequest')
  assert.equal(await codeOf(objects.completeUpload(name, asked)), 'none')
})

async function beginUpload(key: string) {
  const { uploadId } = await objects.createUpload({ bucket: 'b', key, headers: noHeaders })
  return { bucket: 'b', key, uploadId }
}

test('an aborted upload frees its parts', async () => {
  const namedBefore = await content.named()
  const { uploadId } = await objects.createUpload({ bucket: 'b', key: 'x', headers: noHeaders })
  const name = { bucket: 'b', key: 'x', uploadId }
  await objects.putPart({ ...name, number: 1 }, request('', pattern(5000)))
  await objects.putPart({ ...name, number: 2 }, request('', pattern(50)))
  await objects.abortUpload('b', 'x', uploadId)
  assert.equal(await codeOf(objects.abortUpload('b', 'x', uploadId)), 'NoSuchUpload')
  clock.wallMs += 61_000
  await objects.runTrash()
  assert.equal(await content.named(), namedBefore)
})

test('a bucket is deleted only when empty, and nothing can be named in it afterwards', async () => {
  buckets.set('short', bucket('short', 3))
  const put = { ...request('only', pattern(1)), bucket: 'short' }
  await objects.put(put)
  assert.equal(await codeOf(objects.deleteBucket('short')), 'BucketNotEmpty')
  await objects.delete('short', 'only')
  const record = buckets.get('short')
  await objects.deleteBucket('short')
  assert.equal(await codeOf(objects.head('short', 'only')), 'NoSuchBucket')
  // A gateway that still holds the record of the deleted bucket.
  if (record !== undefined) buckets.set('short', record)
  assert.equal(await codeOf(objects.put({ ...put, body: slices(pattern(1)) })), 'NoSuchBucket')
  buckets.delete('short')
})

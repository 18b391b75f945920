// Reading objects and lists. Heads are read linearizably, so that a GET after an acknowledged PUT on any
// node sees it; what a head points to is immutable and comes from the nearest replica.

import { concatBytes, isFault } from '../base/index.ts'
import type { KeyValue } from '../keyspace/index.ts'
import type { ChunkRef } from '../content/index.ts'
import { chunksOf, readBody, readRow } from './bodies.ts'
import { allHeads, headRange, objectKeyOf, smallKey } from './core/keys.ts'
import { startFold } from './core/listing.ts'
import { decodeHead, type Head } from './core/records.ts'
import type { ListPage, ListRequest, ObjectRecord, ReadBody } from './objects.ts'
import { findHead, laterPage, noSuchKey, type OpenBucket, openBucket, type Rooms } from './rooms.ts'
import { toRecord } from './writes.ts'

const attemptsMax = 8
const rowsMax = 1000

export async function headObject(rooms: Rooms, name: string, key: string): Promise<ObjectRecord> {
  const bucket = await openBucket(rooms, name)
  const found = await findHead(bucket, key, { isSerializable: false })
  if (found === undefined) throw noSuchKey(key)
  return toRecord(name, key, found.head)
}

export async function getObject(
  rooms: Rooms,
  name: string,
  key: string,
): Promise<{ readonly record: ObjectRecord; readonly read: ReadBody }> {
  const bucket = await openBucket(rooms, name)
  for (let attempt = 1; ; attempt++) {
    const found = await findHead(bucket, key, { isSerializable: false })
    if (found === undefined) throw noSuchKey(key)
    try {
      const read = await openBody(rooms, bucket, found.head)
      return { record: toRecord(name, key, found.head), read }
    } catch (error) {
      // A small body goes with its head: a head read just before the object was replaced is read again.
      if (!isFault(error, 'conflict') || attempt >= attemptsMax) throw error
    }
  }
}

export type LocatedObject = {
  readonly record: ObjectRecord
  readonly namespace: string
  /** In order; none when the bytes ride with the record. */
  readonly chunks: readonly ChunkRef[]
}

/** Which chunks hold an object, `limit` at most. Faults NoSuchBucket, NoSuchKey. */
export async function locateObject(
  rooms: Rooms,
  at: { readonly bucket: string; readonly key: string; readonly limit: number },
): Promise<LocatedObject> {
  const bucket = await openBucket(rooms, at.bucket)
  const found = await findHead(bucket, at.key, { isSerializable: false })
  if (found === undefined) throw noSuchKey(at.key)
  return {
    record: toRecord(at.bucket, at.key, found.head),
    namespace: bucket.record.namespace,
    chunks: await chunksOf(bucket.keyspace, found.head.body, at.limit),
  }
}

async function openBody(rooms: Rooms, bucket: OpenBucket, head: Head): Promise<ReadBody> {
  const { body } = head
  if (body.kind !== 'small' || body.length === 0) {
    return (range) => readBody(rooms, bucket.keyspace, { body, ...range })
  }
  const bytes = await readRow(bucket.keyspace, smallKey(body.version))
  return async function* ({ at, count }) {
    if (count > 0) yield bytes.subarray(at, at + count)
  }
}

export async function listObjects(rooms: Rooms, request: ListRequest): Promise<ListPage> {
  const bucket = await openBucket(rooms, request.bucket)
  const { rangeEnd } = headRange(bucket.record.number, request.prefix)
  const keyStart = headRange(bucket.record.number, '').key
  const fold = startFold<ObjectRecord>(request)
  let revision = 0
  let more = request.limit > 0
  let isTruncated = false
  while (more && !isTruncated) {
    const start = concatBytes([keyStart, fold.next()])
    const shown = fold.items.length + fold.prefixes.length
    const page = await bucket.keyspace.range({
      key: start,
      rangeEnd,
      limit: Math.min(rowsMax + 1, request.limit - shown + 1),
      ...laterPage(bucket.keyspace, revision),
    })
    revision = page.revision
    more = page.more && page.kvs.length > 0
    isTruncated = foldPage(fold, page.kvs, request.bucket)
  }
  const { items, prefixes, last } = fold
  return { objects: items, prefixes, isTruncated, last }
}

/** True when the page is full and more would follow. */
function foldPage(
  fold: ReturnType<typeof startFold<ObjectRecord>>,
  kvs: readonly KeyValue[],
  bucket: string,
): boolean {
  for (const kv of kvs) {
    const key = objectKeyOf(kv.key)
    if (fold.take(key, () => toRecord(bucket, key, decodeHead(kv.value))) === 'full') return true
  }
  return false
}

export async function countObjects(rooms: Rooms, namespaces: readonly string[]): Promise<number> {
  let count = 0
  for (const name of namespaces) {
    const keyspace = await rooms.keyspaces.open(name)
    const response = await keyspace.range({ ...allHeads, countOnly: true, isSerializable: true })
    count += response.count
  }
  return count
}

// Bodies: storing a stream as small bytes or as chunks, reading it back, and dropping it.
//
// A body is stored first and named by the owner's transaction (law 10). What stops being named goes to
// the trash in that same transaction, and trash.ts frees it.

import { concatBytes, Fault, isFault } from '../base/index.ts'
import type { ChunkRef, Draft } from '../content/index.ts'
import type { Compare, Keyspace, Operation } from '../keyspace/index.ts'
import { manifestKey, partKey, smallKey, trashKey, versionBytes } from './core/keys.ts'
import {
  type Body,
  decodeManifest,
  decodePart,
  encodeChunkManifest,
  encodeTrash,
  inlineChunksMax,
  type PartSize,
} from './core/records.ts'
import type { BodyDigests, PutRequest } from './objects.ts'
import { emptyBody, type OpenBucket, put, type Rooms, remove } from './rooms.ts'

/** Durable bytes that a transaction with these compares and operations names. */
export type StoredBody = {
  readonly body: Body
  readonly digests: BodyDigests
  readonly compares: readonly Compare[]
  readonly operations: readonly Operation[]
  /** When the compares failed because the sweep number moved. */
  refresh(): Promise<StoredBody>
  /** The bytes will not be named. */
  discard(): Promise<void>
}

type Upload = Pick<PutRequest, 'body' | 'length' | 'verify' | 'signal'>

/** Faults of the stream and of `verify` pass through; nothing stays behind then. */
export async function storeBody(
  rooms: Rooms,
  bucket: OpenBucket,
  upload: Upload,
): Promise<StoredBody> {
  const version = rooms.host.random.bytes(versionBytes)
  const isLong = upload.length !== undefined && upload.length > rooms.smallBytesMax
  const source = upload.body[Symbol.asyncIterator]()
  const opening = isLong ? { parts: [], isWhole: false } : await takeSmall(rooms, source)
  if (opening.isWhole) {
    const digests = upload.verify()
    return smallBody(version, concatBytes(opening.parts), digests)
  }
  const draft = await rooms.content.write(resume(opening.parts, source), {
    keyspace: bucket.keyspace,
    ...(upload.length === undefined ? {} : { length: upload.length }),
    ...(upload.signal === undefined ? {} : { signal: upload.signal }),
    allowsBareQuorum: bucket.record.allowsBareQuorum,
  })
  try {
    return chunkedBody(version, draft, upload.verify())
  } catch (error) {
    await draft.discard()
    throw error
  }
}

function smallBody(version: Uint8Array, bytes: Uint8Array, digests: BodyDigests): StoredBody {
  const stored: StoredBody = {
    body: { ...emptyBody(version), length: bytes.length },
    digests,
    compares: [],
    operations: bytes.length === 0 ? [] : [put(smallKey(version), bytes)],
    refresh: async () => stored,
    discard: async () => {},
  }
  return stored
}

function chunkedBody(version: Uint8Array, draft: Draft, digests: BodyDigests): StoredBody {
  const { manifest } = draft
  const isInline = manifest.chunks.length <= inlineChunksMax
  const body: Body = {
    kind: isInline ? 'chunks' : 'manifest',
    length: manifest.length,
    version,
    chunks: isInline ? manifest.chunks : [],
    uploadId: new Uint8Array(0),
  }
  const manifestRow = isInline ? [] : [put(manifestKey(version), encodeChunkManifest(manifest))]
  return {
    body,
    digests,
    compares: draft.compares,
    operations: [...manifestRow, ...draft.operations],
    refresh: async () => chunkedBody(version, await draft.refresh(), digests),
    discard: () => draft.discard(),
  }
}

/** Up to smallBytesMax bytes, copied; `isWhole` when the stream ended within them. */
async function takeSmall(
  rooms: Rooms,
  source: AsyncIterator<Uint8Array>,
): Promise<{ readonly parts: Uint8Array[]; readonly isWhole: boolean }> {
  const parts: Uint8Array[] = []
  let count = 0
  while (count <= rooms.smallBytesMax) {
    const { value, done } = await source.next()
    if (done === true) return { parts, isWhole: true }
    parts.push(value.slice())
    count += value.length
  }
  return { parts, isWhole: false }
}

async function* resume(
  parts: readonly Uint8Array[],
  source: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* parts
    while (true) {
      const { value, done } = await source.next()
      if (done === true) return
      yield value
    }
  } finally {
    await source.return?.()
  }
}

/** Operations that drop a body from its name and hand its bytes to the trash. */
export function dropBody(body: Body, freedMs: number): readonly Operation[] {
  if (body.kind === 'small') return body.length === 0 ? [] : [remove(smallKey(body.version))]
  return [put(trashKey(body.version), encodeTrash(body, freedMs))]
}

export type BodyRange = {
  readonly at: number
  readonly count: number
  readonly signal?: AbortSignal
}

/** The bytes of a range, verified. Fault 'conflict' when the body has been freed meanwhile. */
export async function* readBody(
  rooms: Rooms,
  keyspace: Keyspace,
  request: BodyRange & { readonly body: Body },
): AsyncGenerator<Uint8Array> {
  const { body, at, count, signal } = request
  if (count === 0) return
  if (body.kind === 'small') {
    const bytes = await readRow(keyspace, smallKey(body.version))
    yield bytes.subarray(at, at + count)
    return
  }
  if (body.kind === 'parts') {
    yield* readParts(rooms, keyspace, request)
    return
  }
  const manifest =
    body.kind === 'chunks'
      ? { length: body.length, chunks: body.chunks }
      : decodeManifest(await readRow(keyspace, manifestKey(body.version)))
  const cancel = signal === undefined ? {} : { signal }
  yield* rooms.content.read(manifest, { keyspace, at, count, ...cancel })
}

async function* readParts(
  rooms: Rooms,
  keyspace: Keyspace,
  request: BodyRange & { readonly body: Body },
): AsyncGenerator<Uint8Array> {
  const { body, at, count, signal } = request
  const { parts } = decodeManifest(await readRow(keyspace, manifestKey(body.version)))
  const cancel = signal === undefined ? {} : { signal }
  for (const span of planPartSpans(parts, at, count)) {
    const row = await readRow(keyspace, partKey(body.uploadId, span.number))
    const part = decodePart(row)
    yield* readBody(rooms, keyspace, { body: part.body, at: span.at, count: span.count, ...cancel })
  }
}

/** The chunks that hold a body, in order, `limit` at most; none when it rides with its record. */
export async function chunksOf(
  keyspace: Keyspace,
  body: Body,
  limit: number,
): Promise<readonly ChunkRef[]> {
  if (body.kind === 'small' || limit <= 0) return []
  if (body.kind === 'chunks') return body.chunks.slice(0, limit)
  const { chunks, parts } = decodeManifest(await readRow(keyspace, manifestKey(body.version)))
  if (body.kind === 'manifest') return chunks.slice(0, limit)
  const found: ChunkRef[] = []
  for (const { number } of parts) {
    if (found.length >= limit) break
    const part = decodePart(await readRow(keyspace, partKey(body.uploadId, number)))
    found.push(...(await chunksOf(keyspace, part.body, limit - found.length)))
  }
  return found
}

/** Which bytes of which parts make up [at, at + count). */
export function planPartSpans(
  parts: readonly PartSize[],
  at: number,
  count: number,
): readonly { readonly number: number; readonly at: number; readonly count: number }[] {
  const spans: { number: number; at: number; count: number }[] = []
  let start = 0
  for (const { number, size } of parts) {
    const from = Math.max(at, start)
    const to = Math.min(at + count, start + size)
    if (from < to) spans.push({ number, at: from - start, count: to - from })
    start += size
  }
  return spans
}

/** From this node's replica, and from the leader when the replica lags behind. */
export async function readRow(keyspace: Keyspace, key: Uint8Array): Promise<Uint8Array> {
  const near = await keyspace.range({ key, isSerializable: true })
  const kv = near.kvs[0] ?? (await keyspace.range({ key })).kvs[0]
  if (kv === undefined) {
    throw new Fault('conflict', 'the object was replaced while it was read', {
      next: 'read it again',
    })
  }
  return kv.value
}

/**
 * Runs the naming of a stored body: bytes that certainly were not named are discarded; with an unknown
 * outcome they stay, and the sweep frees them if they turn out unnamed.
 */
export async function nameOrDiscard<T>(
  stored: { current: StoredBody },
  name: () => Promise<T>,
): Promise<T> {
  try {
    return await name()
  } catch (error) {
    const isUnknown = isFault(error) && error.outcome === 'unknown'
    if (!isUnknown) await stored.current.discard()
    throw error
  }
}

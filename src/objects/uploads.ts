// Multipart uploads. Parts are bodies of their own, named as they arrive; completing an upload writes one
// head that refers to the parts' rows, so a 10,000-part object costs one transaction and moves no byte.

import { concatBytes, Fault, fromHex, toHex, uint64Bytes } from '../base/index.ts'
import type { Compare, KeyValue, Operation } from '../keyspace/index.ts'
import { dropBody, nameOrDiscard, storeBody } from './bodies.ts'
import {
  type ChosenPart,
  chooseParts,
  completedChecksum,
  completedEtag,
  type RequestedPart,
  s3Fault,
} from './core/completion.ts'
import {
  completedKey,
  gateKey,
  manifestKey,
  partKey,
  partNumberOf,
  partRange,
  trashKey,
  uploadIdBytes,
  uploadKey,
  versionBytes,
} from './core/keys.ts'
import {
  type Body,
  decodeCompleted,
  decodePart,
  decodeUpload,
  encodeCompleted,
  encodePart,
  encodePartsManifest,
  encodeTrash,
  encodeUpload,
  type Head,
  type Part,
  type PartSize,
  type Upload,
} from './core/records.ts'
import type {
  Checksum,
  ChecksumAlgorithm,
  ObjectHeaders,
  ObjectRecord,
  PartRecord,
  PutRequest,
  UploadRecord,
  WriteCondition,
} from './objects.ts'
import {
  bucketIsOpen,
  emptyBody,
  exists,
  isUnchanged,
  laterPage,
  noSuchBucket,
  type OpenBucket,
  openBucket,
  put,
  type Rooms,
  read,
  remove,
  resultKv,
} from './rooms.ts'
import { isSameBody, nameHead, toRecord } from './writes.ts'

export type UploadName = {
  readonly bucket: string
  readonly key: string
  readonly uploadId: string
}
const attemptsMax = 16
const rowsMax = 1000

export async function createUpload(
  rooms: Rooms,
  request: {
    readonly bucket: string
    readonly key: string
    readonly headers: ObjectHeaders
    readonly checksumAlgorithm?: ChecksumAlgorithm
    readonly checksumType?: 'FULL_OBJECT' | 'COMPOSITE'
  },
): Promise<UploadRecord> {
  const bucket = await openBucket(rooms, request.bucket)
  const initiatedMs = rooms.host.clock.wallMs()
  const tail = rooms.host.random.bytes(uploadIdBytes - 8)
  const upload: Upload = {
    key: request.key,
    initiatedMs,
    headers: request.headers,
    checksumAlgorithm: request.checksumAlgorithm,
    isComposite: request.checksumType === 'COMPOSITE',
    uploadId: concatBytes([uint64Bytes(initiatedMs), tail]),
  }
  const key = uploadKey(bucket.record.number, request.key, upload.uploadId)
  const response = await bucket.keyspace.txn({
    compares: [bucketIsOpen(bucket)],
    success: [put(key, encodeUpload(upload))],
    failure: [],
  })
  if (!response.succeeded) throw noSuchBucket(request.bucket)
  return toUploadRecord(request.bucket, upload)
}

export async function findUpload(rooms: Rooms, name: UploadName): Promise<UploadRecord> {
  const bucket = await openBucket(rooms, name.bucket)
  const { upload } = await requireUpload(bucket, name)
  return toUploadRecord(name.bucket, upload)
}

export async function putPart(
  rooms: Rooms,
  name: UploadName & { readonly number: number },
  request: Pick<PutRequest, 'body' | 'length' | 'verify' | 'signal'>,
): Promise<PartRecord> {
  const bucket = await openBucket(rooms, name.bucket)
  const { uploadId, key: uploadRow } = await requireUpload(bucket, name)
  const stored = { current: await storeBody(rooms, bucket, request) }
  const { body, digests } = stored.current
  const part: Part = {
    body,
    etag: digests.md5,
    modifiedMs: rooms.host.clock.wallMs(),
    checksum: digests.checksum,
  }
  const key = partKey(uploadId, name.number)
  await nameOrDiscard(stored, async () => {
    let found = (await bucket.keyspace.range({ key, isSerializable: true })).kvs[0]
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const previous =
        found === undefined ? [] : dropBody(decodePart(found.value).body, part.modifiedMs)
      const response = await bucket.keyspace.txn({
        compares: [
          exists(uploadRow, true),
          isUnchanged(key, found?.modRevision ?? 0),
          ...stored.current.compares,
        ],
        success: [put(key, encodePart(part)), ...stored.current.operations, ...previous],
        failure: [read(key), read(uploadRow)],
      })
      if (response.succeeded) return
      if (resultKv(response, 1) === undefined) throw noSuchUpload(name.uploadId)
      const now = resultKv(response, 0)
      if (now !== undefined && isSameBody(decodePart(now.value), part)) return
      if (now?.modRevision === found?.modRevision) stored.current = await stored.current.refresh()
      found = now
    }
    throw new Fault('conflict', `part ${name.number} is being replaced by others all the time`)
  })
  return toPartRecord(name.number, part)
}

export async function listParts(
  rooms: Rooms,
  name: UploadName,
  page: { readonly after: number; readonly limit: number },
): Promise<{ readonly parts: readonly PartRecord[]; readonly isTruncated: boolean }> {
  const bucket = await openBucket(rooms, name.bucket)
  const { uploadId } = await requireUpload(bucket, name)
  const { rangeEnd } = partRange(uploadId)
  const response = await bucket.keyspace.range({
    key: partKey(uploadId, page.after + 1),
    rangeEnd,
    limit: page.limit + 1,
  })
  const parts = response.kvs.slice(0, page.limit).map((kv) => {
    return toPartRecord(partNumberOf(kv.key), decodePart(kv.value))
  })
  return { parts, isTruncated: response.more || response.kvs.length > page.limit }
}

export type CompletionRequest = {
  readonly parts: readonly RequestedPart[]
  readonly condition: WriteCondition
  readonly checksum?: Checksum
}

export async function completeUpload(
  rooms: Rooms,
  name: UploadName,
  request: CompletionRequest,
): Promise<ObjectRecord> {
  const bucket = await openBucket(rooms, name.bucket)
  const uploadId = parseUploadId(name.uploadId)
  const row = uploadKey(bucket.record.number, name.key, uploadId)
  const kv = (await bucket.keyspace.range({ key: row })).kvs[0]
  if (kv === undefined) return findCompleted(bucket, name, uploadId)
  const upload = decodeUpload(kv.value)
  const { parts, revision } = await readParts(bucket, uploadId)
  const chosen = chooseParts(request.parts, parts)
  const head = completedHead(rooms, { upload, chosen, claimed: request.checksum })
  const chosenNumbers = new Set(chosen.map(({ number }) => number))
  const unused = [...parts]
    .filter(([number]) => !chosenNumbers.has(number))
    .map(([number, part]) => ({ number, size: part.body.length }))
  const freedMs = rooms.host.clock.wallMs()
  const sizes = chosen.map(({ number, part }) => ({ number, size: part.body.length }))
  const completed = { bucket: bucket.record.number, key: name.key, completedMs: freedMs, head }
  await nameHead(rooms, bucket, {
    key: name.key,
    head,
    condition: request.condition,
    compares: [exists(row, true), partsUnchanged(uploadId, revision)],
    operations: [
      remove(row),
      put(manifestKey(head.body.version), encodePartsManifest(head.body.length, sizes)),
      put(completedKey(uploadId), encodeCompleted(completed)),
      ...dropParts(rooms, { uploadId, unused, freedMs }),
    ],
    onFailure: () => explainFailure(bucket, { name, row, uploadId, revision }),
  })
  return toRecord(name.bucket, name.key, head)
}

/** Parts that the completed object does not use become trash under a name of their own. */
function dropParts(
  rooms: Rooms,
  dropped: {
    readonly uploadId: Uint8Array
    readonly unused: readonly PartSize[]
    readonly freedMs: number
  },
): readonly Operation[] {
  const { uploadId, unused, freedMs } = dropped
  if (unused.length === 0) return []
  const version = rooms.host.random.bytes(versionBytes)
  const body: Body = { ...emptyBody(version), kind: 'parts', uploadId }
  return [put(manifestKey(version), encodePartsManifest(0, unused)), ...dropBody(body, freedMs)]
}

/** No part was added or replaced after `revision`. */
function partsUnchanged(uploadId: Uint8Array, revision: number): Compare {
  return { ...partRange(uploadId), target: 'mod', result: 'less', operand: revision + 1 }
}

async function explainFailure(
  bucket: OpenBucket,
  seen: {
    readonly name: UploadName
    readonly row: Uint8Array
    readonly uploadId: Uint8Array
    readonly revision: number
  },
): Promise<void> {
  if ((await bucket.keyspace.range({ key: seen.row })).kvs.length === 0) {
    throw noSuchUpload(seen.name.uploadId)
  }
  const { parts } = await readParts(bucket, seen.uploadId)
  const gate = await bucket.keyspace.range({ key: gateKey(bucket.record.number) })
  if (gate.kvs.length > 0) throw noSuchBucket(bucket.record.name)
  throw s3Fault(
    'OperationAborted',
    `a part changed while the upload of ${parts.size} parts was being completed; complete it again`,
    409,
  )
}

function completedHead(
  rooms: Rooms,
  made: {
    readonly upload: Upload
    readonly chosen: readonly ChosenPart[]
    readonly claimed: Checksum | undefined
  },
): Head {
  const { upload, chosen, claimed } = made
  const checksum = completedChecksum(chosen, {
    algorithm: upload.checksumAlgorithm,
    isComposite: upload.isComposite,
  })
  if (claimed !== undefined) checkClaimed(checksum, claimed)
  const version = rooms.host.random.bytes(versionBytes)
  const length = chosen.reduce((sum, { part }) => sum + part.body.length, 0)
  return {
    body: { ...emptyBody(version), kind: 'parts', length, uploadId: upload.uploadId },
    etag: completedEtag(chosen),
    modifiedMs: rooms.host.clock.wallMs(),
    headers: upload.headers,
    checksum,
    partCount: chosen.length,
  }
}

/** A claim that nothing here can be held against is refused: its client would take the object for checked. */
function checkClaimed(checksum: Checksum | undefined, claimed: Checksum): void {
  const { algorithm } = claimed
  if (checksum?.algorithm !== algorithm) {
    const has = checksum === undefined ? 'no checksum' : checksum.algorithm
    throw s3Fault(
      'InvalidRequest',
      `The upload was begun with ${has}: the ${algorithm} of the object cannot be verified. Begin it with x-amz-checksum-algorithm, or complete it without the claim.`,
    )
  }
  if (checksum.value.split('-')[0] === claimed.value.split('-')[0]) return
  throw s3Fault('BadDigest', `the ${algorithm} of the object is ${checksum.value}`)
}

/** A repeated completion is answered as the first one was. */
async function findCompleted(
  bucket: OpenBucket,
  name: UploadName,
  uploadId: Uint8Array,
): Promise<ObjectRecord> {
  const kv = (await bucket.keyspace.range({ key: completedKey(uploadId) })).kvs[0]
  const completed = kv === undefined ? undefined : decodeCompleted(kv.value)
  const isSame = completed?.bucket === bucket.record.number && completed.key === name.key
  if (completed === undefined || !isSame) throw noSuchUpload(name.uploadId)
  return toRecord(name.bucket, name.key, completed.head)
}

export async function abortUpload(rooms: Rooms, name: UploadName): Promise<void> {
  const bucket = await openBucket(rooms, name.bucket)
  const { uploadId, key } = await requireUpload(bucket, name)
  await bucket.keyspace.txn({
    compares: [exists(key, true)],
    success: [remove(key), put(trashKey(uploadId), trashOfParts(rooms, uploadId))],
    failure: [],
  })
}

/** All p/ rows of the upload and their bodies. */
export function trashOfParts(rooms: Rooms, uploadId: Uint8Array): Uint8Array {
  const body = { ...emptyBody(uploadId), kind: 'parts' as const, uploadId }
  return encodeTrash(body, rooms.host.clock.wallMs())
}

/**
 * All parts of an upload; `revision` is that of the first page. With a later page's: 1. part 1 is read; 2. it is replaced;
 * 3. the next page tells the revision after that, and partsUnchanged holds for a part that was never read.
 */
async function readParts(
  bucket: OpenBucket,
  uploadId: Uint8Array,
): Promise<{ readonly parts: ReadonlyMap<number, Part>; readonly revision: number }> {
  const parts = new Map<number, Part>()
  const { rangeEnd } = partRange(uploadId)
  let next = 1
  let revision = 0
  let first = 0
  while (true) {
    const page = await bucket.keyspace.range({
      key: partKey(uploadId, next),
      rangeEnd,
      limit: rowsMax,
      ...laterPage(bucket.keyspace, revision),
    })
    revision = page.revision
    if (first === 0) first = revision
    for (const kv of page.kvs) parts.set(partNumberOf(kv.key), decodePart(kv.value))
    const last: KeyValue | undefined = page.kvs.at(-1)
    if (!page.more || last === undefined) return { parts, revision: first }
    next = partNumberOf(last.key) + 1
  }
}

async function requireUpload(
  bucket: OpenBucket,
  name: UploadName,
): Promise<{ readonly upload: Upload; readonly uploadId: Uint8Array; readonly key: Uint8Array }> {
  const uploadId = parseUploadId(name.uploadId)
  const key = uploadKey(bucket.record.number, name.key, uploadId)
  const kv = (await bucket.keyspace.range({ key })).kvs[0]
  if (kv === undefined) throw noSuchUpload(name.uploadId)
  return { upload: decodeUpload(kv.value), uploadId, key }
}

function parseUploadId(text: string): Uint8Array {
  const uploadId = fromHex(text)
  if (uploadId?.length !== uploadIdBytes) throw noSuchUpload(text)
  return uploadId
}

function noSuchUpload(uploadId: string): Fault {
  return new Fault(
    'not-found',
    'The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.',
    { s3: { code: 'NoSuchUpload', status: 404 }, fields: { UploadId: uploadId.slice(0, 128) } },
  )
}

export function toUploadRecord(bucket: string, upload: Upload): UploadRecord {
  const { checksumAlgorithm, isComposite } = upload
  return {
    bucket,
    key: upload.key,
    uploadId: toHex(upload.uploadId),
    initiatedMs: upload.initiatedMs,
    headers: upload.headers,
    checksumAlgorithm,
    checksumType:
      checksumAlgorithm === undefined ? undefined : isComposite ? 'COMPOSITE' : 'FULL_OBJECT',
  }
}

function toPartRecord(number: number, part: Part): PartRecord {
  const { etag, modifiedMs, checksum, body } = part
  return { number, size: body.length, etag, modifiedMs, checksum }
}

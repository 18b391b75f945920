// Naming and dropping objects: one transaction each, with the old head as its compare, so that exactly
// one of racing writers wins each revision and conditions are decided where the entry is ordered.

import { equalBytes, Fault } from '../base/index.ts'
import type { Compare, Operation } from '../keyspace/index.ts'
import { dropBody, nameOrDiscard, type StoredBody, storeBody } from './bodies.ts'
import { s3Fault, unquote } from './core/completion.ts'
import { gateKey, headKey } from './core/keys.ts'
import { encodeHead, type Head } from './core/records.ts'
import type { ObjectRecord, PutRequest, WriteCondition } from './objects.ts'
import {
  bucketIsOpen,
  type FoundHead,
  findHead,
  isUnchanged,
  noSuchBucket,
  noSuchKey,
  type OpenBucket,
  openBucket,
  put,
  type Rooms,
  read,
  remove,
  resultKv,
  toFoundHead,
} from './rooms.ts'

export const objectKeyBytesMax = 1024
const attemptsMax = 64
const spacingMsMax = 40

export async function putObject(rooms: Rooms, request: PutRequest): Promise<ObjectRecord> {
  const bucket = await openBucket(rooms, request.bucket)
  const stored = { current: await storeBody(rooms, bucket, request) }
  const head: Head = {
    body: stored.current.body,
    etag: stored.current.digests.md5,
    modifiedMs: rooms.host.clock.wallMs(),
    headers: request.headers,
    checksum: stored.current.digests.checksum,
    partCount: 0,
  }
  await nameOrDiscard(stored, () =>
    nameHead(rooms, bucket, { key: request.key, head, condition: request.condition, stored }),
  )
  return toRecord(request.bucket, request.key, head)
}

export type Naming = {
  readonly key: string
  readonly head: Head
  readonly condition: WriteCondition
  /** Replaced by what refresh() gives. */
  readonly stored?: { current: StoredBody }
  readonly compares?: readonly Compare[]
  readonly operations?: readonly Operation[]
  /** When the transaction failed and neither bucket, head nor sweep number explains it: may throw. */
  readonly onFailure?: () => Promise<void>
}

/** Makes `head` the object's head; drops what was there. Faults of the condition, NoSuchBucket. */
export async function nameHead(rooms: Rooms, bucket: OpenBucket, naming: Naming): Promise<void> {
  const key = headKey(bucket.record.number, naming.key)
  let found = await findHead(bucket, naming.key, { isSerializable: true })
  let isCurrent = false
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const violation = conditionFault(naming.condition, found, naming.key)
    if (violation !== undefined) {
      if (isCurrent) throw violation
      found = await findHead(bucket, naming.key, { isSerializable: false })
      isCurrent = true
      continue
    }
    const stored = naming.stored?.current
    const response = await bucket.keyspace.txn({
      compares: [
        bucketIsOpen(bucket),
        isUnchanged(key, found?.modRevision ?? 0),
        ...(stored?.compares ?? []),
        ...(naming.compares ?? []),
      ],
      success: [
        put(key, encodeHead(naming.head)),
        ...(stored?.operations ?? []),
        ...(naming.operations ?? []),
        ...dropFound(rooms, found),
      ],
      failure: [read(key), read(gateKey(bucket.record.number))],
    })
    if (response.succeeded) return
    if (resultKv(response, 1) !== undefined) throw noSuchBucket(bucket.record.name)
    const now = toFoundHead(resultKv(response, 0))
    // 1. The transaction is applied, its answer is lost; 2. the keyspace has forgotten the request (a clock
    // jumped) and applies its repetition; 3. that one finds a changed head: our own. It is named already.
    if (now !== undefined && isSameBody(now.head, naming.head)) return
    if (now?.modRevision === found?.modRevision) await refreshStored(naming)
    found = now
    isCurrent = true
    await space(rooms, attempt)
  }
  throw contended(naming.key)
}

type Named = { readonly body: { readonly version: Uint8Array } }

/** Versions are drawn for each stored body: equal ones are the same write. */
export function isSameBody(a: Named, b: Named): boolean {
  return equalBytes(a.body.version, b.body.version)
}

async function refreshStored(naming: Naming): Promise<void> {
  await naming.onFailure?.()
  if (naming.stored !== undefined) naming.stored.current = await naming.stored.current.refresh()
}

function dropFound(rooms: Rooms, found: FoundHead | undefined): readonly Operation[] {
  return found === undefined ? [] : dropBody(found.head.body, rooms.host.clock.wallMs())
}

/** No fault when there is none. */
export async function deleteObject(
  rooms: Rooms,
  request: { readonly bucket: string; readonly key: string; readonly condition: WriteCondition },
): Promise<void> {
  const bucket = await openBucket(rooms, request.bucket)
  const key = headKey(bucket.record.number, request.key)
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const found = await findHead(bucket, request.key, { isSerializable: false })
    const violation = conditionFault(request.condition, found, request.key)
    if (violation !== undefined) throw violation
    if (found === undefined) return
    const response = await bucket.keyspace.txn({
      compares: [isUnchanged(key, found.modRevision)],
      success: [remove(key), ...dropFound(rooms, found)],
      failure: [],
    })
    if (response.succeeded) return
    await space(rooms, attempt)
  }
  throw contended(request.key)
}

/** What S3 answers when the condition does not hold for the object as it is; undefined when it holds. */
function conditionFault(
  condition: WriteCondition,
  found: FoundHead | undefined,
  key: string,
): Fault | undefined {
  if (condition.kind === 'none') return undefined
  if (condition.kind === 'match' && found === undefined) return noSuchKey(key)
  const isMet =
    condition.kind === 'absent'
      ? found === undefined
      : condition.etag === '*' || found?.head.etag === unquote(condition.etag)
  if (isMet) return undefined
  const what = 'At least one of the pre-conditions you specified did not hold'
  return s3Fault('PreconditionFailed', what, 412)
}

/** Writers that lost a race wait a little, each a different while, so that they do not meet again. */
async function space(rooms: Rooms, attempt: number): Promise<void> {
  if (attempt < 2) return
  await rooms.host.clock.sleep(1 + rooms.host.random.integer(Math.min(spacingMsMax, 2 ** attempt)))
}

function contended(key: string): Fault {
  return new Fault('conflict', `too many writers changed ${JSON.stringify(key)} at once`, {
    next: 'try again',
    s3: { code: 'OperationAborted', status: 409 },
  })
}

export function toRecord(bucket: string, key: string, head: Head): ObjectRecord {
  return {
    bucket,
    key,
    size: head.body.length,
    etag: head.etag,
    modifiedMs: head.modifiedMs,
    headers: head.headers,
    checksum: head.checksum,
    partCount: head.partCount === 0 ? undefined : head.partCount,
  }
}

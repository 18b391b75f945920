// The room's one door for the rest of the node: createObjects().

import { Fault, isFault } from '../base/index.ts'
import { gateKey, headRange } from './core/keys.ts'
import type { Objects } from './objects.ts'
import {
  countObjects,
  getObject,
  headObject,
  listObjects,
  locateObject,
  type LocatedObject,
} from './reads.ts'
import { openBucket, put, type Rooms } from './rooms.ts'
import { startTrashRounds } from './trash.ts'
import { listUploads } from './upload-list.ts'
import {
  abortUpload,
  completeUpload,
  createUpload,
  findUpload,
  listParts,
  putPart,
} from './uploads.ts'
import { deleteObject, putObject } from './writes.ts'

export type ObjectsOptions = {
  /** Namespaces that hold objects. */
  readonly namespaces: readonly string[]
  /** Default 16 KiB. */
  readonly smallBytesMax?: number
  /** Default 5,000. */
  readonly trashEveryMs?: number
  /** Whether this member frees trash now; default: it has the lowest id of those that are up. */
  readonly isTrashMine: () => boolean
}

export type OwnObjects = Objects & {
  /** Which chunks hold an object, `limit` at most. Faults NoSuchBucket, NoSuchKey. */
  locate(bucket: string, key: string, limit: number): Promise<LocatedObject>
  runTrash(): Promise<number>
  close(): void
}

export function createObjects(
  dependencies: Omit<Rooms, 'smallBytesMax'>,
  options: ObjectsOptions,
): OwnObjects {
  const rooms: Rooms = { ...dependencies, smallBytesMax: options.smallBytesMax ?? 16 * 1024 }
  const { namespaces } = options
  const everyMs = options.trashEveryMs ?? 5_000
  const trash = startTrashRounds(rooms, { namespaces, everyMs, isMine: options.isTrashMine })
  return {
    put: (request) => putObject(rooms, request),
    get: (bucket, key) => getObject(rooms, bucket, key),
    head: (bucket, key) => headObject(rooms, bucket, key),
    delete: (bucket, key, condition) =>
      deleteObject(rooms, { bucket, key, condition: condition ?? { kind: 'none' } }),
    list: (request) => listObjects(rooms, request),
    deleteBucket: (name) => deleteBucket(rooms, name),
    createUpload: (request) => createUpload(rooms, request),
    findUpload: (bucket, key, uploadId) => findUpload(rooms, { bucket, key, uploadId }),
    putPart: (upload, request) => putPart(rooms, upload, request),
    listParts: (upload, page) => listParts(rooms, upload, page),
    listUploads: (request) => listUploads(rooms, request),
    completeUpload: (upload, request) => completeUpload(rooms, upload, request),
    abortUpload: (bucket, key, uploadId) => abortUpload(rooms, { bucket, key, uploadId }),
    totals: async () => ({ objects: await countObjects(rooms, namespaces) }),
    locate: (bucket, key, limit) => locateObject(rooms, { bucket, key, limit }),
    runTrash: () => trash.runNow(),
    close: () => trash.close(),
  }
}

/**
 * Two namespaces are involved, so two transactions: the first closes the bucket's gate if it is empty at
 * that moment (from then on no object can be named in it), the second removes its record. Whoever finds
 * the gate closed and the record present (the first deleter died in between) goes on with the second.
 */
async function deleteBucket(rooms: Rooms, name: string): Promise<void> {
  const bucket = await openBucket(rooms, name)
  const { number } = bucket.record
  const response = await bucket.keyspace.txn({
    compares: [{ ...headRange(number, ''), target: 'version', result: 'equal', operand: 0 }],
    success: [put(gateKey(number), new Uint8Array([1]))],
    failure: [],
  })
  if (!response.succeeded) {
    throw new Fault('conflict', 'The bucket you tried to delete is not empty', {
      next: 'delete its objects first',
      s3: { code: 'BucketNotEmpty', status: 409 },
    })
  }
  await dropUploads(rooms, name)
  await rooms.admin.deleteBucket(bucket.record)
}

async function dropUploads(rooms: Rooms, bucket: string): Promise<void> {
  const whole = { bucket, prefix: '', delimiter: '', keyMarker: '', uploadIdMarker: '' }
  while (true) {
    const { uploads, isTruncated } = await listUploads(rooms, { ...whole, limit: 1000 })
    for (const { key, uploadId } of uploads) {
      try {
        await abortUpload(rooms, { bucket, key, uploadId })
      } catch (error) {
        if (!isFault(error, 'not-found')) throw error
      }
    }
    if (!isTruncated) return
  }
}

// Listing uploads in progress: ordered by object key, then by time of initiation (S3 API:
// ListMultipartUploads).

import { compareBytes, fromHex, keyAfter, prefixEnd } from '../base/index.ts'
import { s3Fault } from './core/completion.ts'
import { uploadIdBytes, uploadKey, uploadKeyStart, uploadRange } from './core/keys.ts'
import { commonPrefixOf, startFold } from './core/listing.ts'
import { decodeUpload } from './core/records.ts'
import type { UploadRecord } from './objects.ts'
import { openBucket, type Rooms } from './rooms.ts'
import { toUploadRecord } from './uploads.ts'

const rowsMax = 1000

export type UploadListRequest = {
  readonly bucket: string
  readonly prefix: string
  readonly delimiter: string
  readonly keyMarker: string
  readonly uploadIdMarker: string
  readonly limit: number
}
export type UploadListPage = {
  readonly uploads: readonly UploadRecord[]
  readonly prefixes: readonly string[]
  readonly isTruncated: boolean
  readonly nextKeyMarker: string
  readonly nextUploadIdMarker: string
}

export async function listUploads(
  rooms: Rooms,
  request: UploadListRequest,
): Promise<UploadListPage> {
  const bucket = await openBucket(rooms, request.bucket)
  const number = bucket.record.number
  const { prefix, delimiter, keyMarker, limit } = request
  const fold = startFold<UploadRecord>({ prefix, delimiter, after: keyMarker, limit })
  const { rangeEnd } = uploadRange(number, prefix)
  let start = startBehind(number, request)
  let nextKeyMarker = ''
  let nextUploadIdMarker = ''
  while (limit > 0) {
    const shown = fold.items.length + fold.prefixes.length
    const page = await bucket.keyspace.range({
      key: start,
      rangeEnd,
      limit: Math.min(rowsMax, limit - shown + 1),
    })
    for (const kv of page.kvs) {
      const record = toUploadRecord(request.bucket, decodeUpload(kv.value))
      const common = commonPrefixOf(record.key, request)
      start = common === undefined ? keyAfter(kv.key) : uploadRange(number, common).rangeEnd
      const step = fold.take(record.key, () => record)
      if (step === 'full') {
        const { items: uploads, prefixes } = fold
        return { uploads, prefixes, isTruncated: true, nextKeyMarker, nextUploadIdMarker }
      }
      nextKeyMarker = fold.last
      nextUploadIdMarker = fold.last === record.key ? record.uploadId : ''
    }
    if (!page.more || page.kvs.length === 0) break
  }
  const { items: uploads, prefixes } = fold
  return { uploads, prefixes, isTruncated: false, nextKeyMarker: '', nextUploadIdMarker: '' }
}

/**
 * The row where the page begins: behind the markers, which order as the rows do: by key bytes, then by upload id. A key
 * marker that is a common prefix stands for everything in it.
 */
function startBehind(number: number, request: UploadListRequest): Uint8Array {
  const { key } = uploadRange(number, request.prefix)
  const { keyMarker, uploadIdMarker } = request
  if (keyMarker === '') return key
  let start: Uint8Array
  if (commonPrefixOf(keyMarker, request) === keyMarker) {
    start = uploadRange(number, keyMarker).rangeEnd
  } else if (uploadIdMarker === '') {
    start = prefixEnd(uploadKeyStart(number, keyMarker))
  } else {
    start = keyAfter(uploadKey(number, keyMarker, readMarker(uploadIdMarker)))
  }
  return compareBytes(start, key) < 0 ? key : start
}

function readMarker(uploadIdMarker: string): Uint8Array {
  const uploadId = fromHex(uploadIdMarker)
  if (uploadId?.length === uploadIdBytes) return uploadId
  throw s3Fault('InvalidArgument', 'Invalid uploadId marker')
}

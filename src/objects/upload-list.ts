// Listing uploads in progress: ordered by object key, then by time of initiation (S3 API:
// ListMultipartUploads).

import { compareBytes, keyAfter, utf8Encode } from '../base/index.ts'
import { uploadRange } from './core/keys.ts'
import { startFold } from './core/listing.ts'
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
  const { prefix, delimiter, keyMarker, uploadIdMarker, limit } = request
  const fold = startFold<UploadRecord>({ prefix, delimiter, after: '', limit })
  const range = uploadRange(number, prefix)
  let start = range.key
  let nextKeyMarker = ''
  let nextUploadIdMarker = ''
  while (limit > 0) {
    const page = await bucket.keyspace.range({
      key: start,
      rangeEnd: range.rangeEnd,
      limit: rowsMax,
    })
    for (const kv of page.kvs) {
      const record = toUploadRecord(request.bucket, decodeUpload(kv.value))
      if (!isBehindMarker(record, keyMarker, uploadIdMarker)) continue
      const step = fold.take(record.key, () => record)
      if (step === 'full') {
        const { items: uploads, prefixes } = fold
        return { uploads, prefixes, isTruncated: true, nextKeyMarker, nextUploadIdMarker }
      }
      nextKeyMarker = fold.last
      nextUploadIdMarker = fold.last === record.key ? record.uploadId : ''
    }
    const last = page.kvs.at(-1)
    if (!page.more || last === undefined) break
    start = keyAfter(last.key)
  }
  const { items: uploads, prefixes } = fold
  return { uploads, prefixes, isTruncated: false, nextKeyMarker: '', nextUploadIdMarker: '' }
}

/** Key markers order as the rows do: by key bytes, then by upload id. */
function isBehindMarker(record: UploadRecord, keyMarker: string, uploadIdMarker: string): boolean {
  if (keyMarker === '') return true
  if (record.key !== keyMarker)
    return compareBytes(utf8Encode(record.key), utf8Encode(keyMarker)) > 0
  return uploadIdMarker !== '' && record.uploadId > uploadIdMarker
}

// PutObject, and what the writes have in common.

import type { HttpResponse } from '../../../host/index.ts'
import type { Checksum } from '../../../objects/index.ts'
import { openUpload } from '../body.ts'
import { type Call, emptyResponse, type Headers } from '../call.ts'
import { checksumHeader } from '../core/checksums.ts'
import { readWriteCondition } from '../core/conditions.ts'
import { notImplemented } from '../core/fault.ts'
import { readObjectHeaders } from '../core/metadata.ts'

export async function putObject(call: Call): Promise<HttpResponse> {
  const condition = readWriteCondition(call.headers)
  const headers = readObjectHeaders(call.headers)
  const body = openUpload(call)
  const record = await call.objects.put({
    bucket: call.bucket,
    key: call.key,
    headers,
    body: body.slices(),
    length: body.length,
    verify: () => body.verify(),
    condition,
    signal: call.http.signal,
  })
  return emptyResponse(200, writtenHeaders(record))
}

/** ETag and checksum of what was written. */
export function writtenHeaders(written: {
  readonly etag: string
  readonly checksum: Checksum | undefined
}): Headers {
  const headers: [string, string][] = [['etag', `"${written.etag}"`]]
  if (written.checksum !== undefined) {
    headers.push([checksumHeader[written.checksum.algorithm], written.checksum.value])
    headers.push(['x-amz-checksum-type', written.checksum.type])
  }
  return headers
}

/** For writes on which S3 has no preconditions. */
export function refuseCondition(call: Call): void {
  if (readWriteCondition(call.headers).kind === 'none') return
  throw notImplemented('This operation has no preconditions.')
}

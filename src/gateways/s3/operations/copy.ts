// CopyObject and UploadPartCopy: a read of one object as the body of a write. The bytes pass through here
// and are hashed again, because the copy's ETag is the MD5 of its own bytes.

import { assert } from '../../../base/index.ts'
import type { HttpResponse } from '../../../host/index.ts'
import type {
  ChecksumAlgorithm,
  ObjectHeaders,
  ObjectRecord,
  ReadBody,
} from '../../../objects/index.ts'
import { bodyBytesMax, CheckedBody } from '../body.ts'
import type { Call } from '../call.ts'
import { readAlgorithm } from '../core/checksums.ts'
import { checkCopySource, readWriteCondition } from '../core/conditions.ts'
import { formatXmlDate } from '../core/dates.ts'
import type { SourcePlace } from '../core/copy-source.ts'
import { invalidArgument, invalidRequest } from '../core/fault.ts'
import { readObjectHeaders } from '../core/metadata.ts'
import { type ByteRange, readCopyRange } from '../core/range.ts'
import { XmlWriter } from '../core/xml.ts'
import { answerPatiently } from '../patient.ts'
import { readPartPlace, writeChecksum } from './multipart.ts'
import { refuseCondition } from './write.ts'

type Source = { readonly record: ObjectRecord; readonly read: ReadBody }

export async function copyObject(call: Call): Promise<HttpResponse> {
  const condition = readWriteCondition(call.headers)
  const replaces = readDirective(call)
  const place = sourceOf(call)
  if (place.bucket === call.bucket && place.key === call.key && !replaces) {
    throw invalidRequest(
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    )
  }
  const headers: ObjectHeaders | undefined = replaces ? readObjectHeaders(call.headers) : undefined
  const wanted = readAlgorithm(call.headers, 'x-amz-checksum-algorithm')
  const source = await openSource(call, place)
  const { size } = source.record
  checkSize(size)
  const body = readSource(source, { at: 0, count: size }, wanted)
  const work = call.objects.put({
    bucket: call.bucket,
    key: call.key,
    headers: headers ?? source.record.headers,
    body: body.slices(),
    length: size,
    verify: () => body.verify(),
    condition,
    signal: call.http.signal,
  })
  return answerCopy(call, 'CopyObjectResult', work)
}

export async function uploadPartCopy(call: Call): Promise<HttpResponse> {
  refuseCondition(call)
  const upload = readPartPlace(call)
  const place = sourceOf(call)
  const { checksumAlgorithm } = await call.objects.findUpload(
    upload.bucket,
    upload.key,
    upload.uploadId,
  )
  const source = await openSource(call, place)
  const { size } = source.record
  const range = readCopyRange(call.headers.get('x-amz-copy-source-range'), size) ?? {
    at: 0,
    count: size,
  }
  checkSize(range.count)
  const body = readSource(source, range, checksumAlgorithm)
  const work = call.objects.putPart(upload, {
    body: body.slices(),
    length: range.count,
    verify: () => body.verify(),
    signal: call.http.signal,
  })
  return answerCopy(call, 'CopyPartResult', work)
}

/** Whether the copy gets the metadata of the request instead of the source's. */
function readDirective(call: Call): boolean {
  const value = call.headers.get('x-amz-metadata-directive')?.toUpperCase() ?? 'COPY'
  if (value === 'COPY' || value === 'REPLACE') return value === 'REPLACE'
  throw invalidArgument(
    'Unknown metadata directive.',
    'x-amz-metadata-directive',
    value.slice(0, 64),
  )
}

/** The gate has looked at it. */
function sourceOf({ source }: Call): SourcePlace {
  assert(source !== undefined, 'a copy has a source')
  return source
}

async function openSource(
  call: Call,
  place: { readonly bucket: string; readonly key: string },
): Promise<Source> {
  const source = await call.objects.get(place.bucket, place.key)
  checkCopySource(call.headers, source.record)
  return source
}

function checkSize(size: number): void {
  if (size <= bodyBytesMax) return
  throw invalidRequest(
    `The specified copy source is larger than the maximum allowable size for a copy source: ${bodyBytesMax}`,
  )
}

/** The copy keeps the source's kind of checksum unless another one is asked for. */
function readSource(
  source: Source,
  range: ByteRange,
  wanted: ChecksumAlgorithm | undefined,
): CheckedBody {
  const algorithm = wanted ?? source.record.checksum?.algorithm
  return new CheckedBody(range.count === 0 ? nothing() : source.read(range), {
    length: range.count,
    sha256: undefined,
    md5: undefined,
    checksum: algorithm === undefined ? undefined : { algorithm },
    needsMd5: true,
  })
}

async function* nothing(): AsyncGenerator<Uint8Array, void, undefined> {}

function answerCopy(
  call: Call,
  name: 'CopyObjectResult' | 'CopyPartResult',
  work: Promise<Pick<ObjectRecord, 'etag' | 'modifiedMs' | 'checksum'>>,
): Promise<HttpResponse> {
  const rendered = work.then((written) => {
    const xml = new XmlWriter().root(name)
    xml.text('LastModified', formatXmlDate(written.modifiedMs))
    xml.text('ETag', `"${written.etag}"`)
    writeChecksum(xml, written.checksum)
    return { xml: xml.close(name).finish(), headers: [] }
  })
  return answerPatiently(rendered, { clock: call.host.clock, renderError: call.renderError })
}

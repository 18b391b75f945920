// Multipart uploads: begin, parts, lists, complete, abort.

import { isFault } from '../../../base/index.ts'
import type { HttpResponse } from '../../../host/index.ts'
import type { Checksum, ObjectRecord, UploadRecord } from '../../../objects/index.ts'
import { openUpload, readDocument } from '../body.ts'
import { type Call, emptyResponse, type Headers, xmlResponse } from '../call.ts'
import {
  readAlgorithm,
  readChecksumClaim,
  readChecksumType,
  readObjectChecksum,
} from '../core/checksums.ts'
import { readWriteCondition } from '../core/conditions.ts'
import { formatXmlDate } from '../core/dates.ts'
import { invalidArgument, invalidRequest, s3Fault } from '../core/fault.ts'
import { readObjectHeaders } from '../core/metadata.ts'
import { ownerName, writeOwner } from '../core/owner.ts'
import { readLimit, readsEncoded } from '../core/paging.ts'
import { uriEncodePath } from '../core/text.ts'
import { queryValue } from '../core/wire-request.ts'
import { XmlWriter } from '../core/xml.ts'
import { type NamedPart, partCountMax, readCompleteUpload } from '../core/xml-read.ts'
import { answerPatiently } from '../patient.ts'
import { findBucket } from './buckets.ts'
import { refuseCondition, writtenHeaders } from './write.ts'

const pageMax = 1000
/** Ten thousand parts with an ETag and a checksum each take 2 MiB. */
const documentBytesMax = 8 * 1024 * 1024

type UploadPlace = { readonly bucket: string; readonly key: string; readonly uploadId: string }

function readUploadPlace(call: Call): UploadPlace {
  return {
    bucket: call.bucket,
    key: call.key,
    uploadId: queryValue(call.wire, 'uploadId') ?? '',
  }
}

/** Upload and part number of the query; InvalidArgument beyond 1 to 10,000. */
export function readPartPlace(call: Call): UploadPlace & { readonly number: number } {
  const text = queryValue(call.wire, 'partNumber') ?? ''
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (number >= 1 && number <= partCountMax) return { ...readUploadPlace(call), number }
  throw invalidArgument(
    `Part number must be an integer between 1 and ${partCountMax}, inclusive`,
    'partNumber',
    text.slice(0, 64),
  )
}

export async function createUpload(call: Call): Promise<HttpResponse> {
  refuseCondition(call)
  const checksumAlgorithm = readAlgorithm(call.headers, 'x-amz-checksum-algorithm')
  const checksumType = readChecksumType(call.headers, checksumAlgorithm)
  const upload = await call.objects.createUpload({
    bucket: call.bucket,
    key: call.key,
    headers: readObjectHeaders(call.headers),
    ...(checksumAlgorithm === undefined ? {} : { checksumAlgorithm }),
    ...(checksumType === undefined ? {} : { checksumType }),
  })
  const xml = new XmlWriter().root('InitiateMultipartUploadResult').text('Bucket', call.bucket)
  xml.text('Key', call.key).text('UploadId', upload.uploadId)
  const headers: [string, string][] = []
  if (checksumAlgorithm !== undefined) {
    headers.push(['x-amz-checksum-algorithm', checksumAlgorithm])
  }
  if (checksumType !== undefined) headers.push(['x-amz-checksum-type', checksumType])
  return xmlResponse(xml.close('InitiateMultipartUploadResult').finish(), headers)
}

export async function uploadPart(call: Call): Promise<HttpResponse> {
  refuseCondition(call)
  const place = readPartPlace(call)
  const upload = await call.objects.findUpload(place.bucket, place.key, place.uploadId)
  const claimed = readChecksumClaim(call.wire.headers)?.algorithm
  const declared = upload.checksumAlgorithm
  if (claimed !== undefined && declared !== undefined && claimed !== declared) {
    throw invalidRequest(
      `Checksum Type mismatch occurred, expected checksum Type: ${declared.toLowerCase()}, actual checksum Type: ${claimed.toLowerCase()}`,
    )
  }
  const body = openUpload(call, declared)
  const part = await call.objects.putPart(place, {
    body: body.slices(),
    length: body.length,
    verify: () => body.verify(),
    signal: call.http.signal,
  })
  const [etag, checksum] = writtenHeaders(part)
  return emptyResponse(
    200,
    [etag, checksum].filter((pair) => pair !== undefined),
  )
}

export async function listParts(call: Call): Promise<HttpResponse> {
  const place = readUploadPlace(call)
  const limit = readLimit(call.wire, 'max-parts', { most: pageMax })
  const after = readLimit(call.wire, 'part-number-marker', { most: partCountMax, otherwise: 0 })
  const upload = await call.objects.findUpload(place.bucket, place.key, place.uploadId)
  const page =
    limit === 0
      ? { parts: [], isTruncated: false }
      : await call.objects.listParts(place, { after, limit })
  const xml = new XmlWriter().root('ListPartsResult').text('Bucket', call.bucket)
  xml.text('Key', call.key).text('UploadId', place.uploadId)
  writeOwners(call, xml)
  xml.text('StorageClass', 'STANDARD').text('PartNumberMarker', after)
  const last = page.parts.at(-1)
  if (last !== undefined) xml.text('NextPartNumberMarker', last.number)
  xml.text('MaxParts', limit).text('IsTruncated', page.isTruncated)
  xml.maybeText('ChecksumAlgorithm', upload.checksumAlgorithm)
  xml.maybeText('ChecksumType', upload.checksumType)
  for (const part of page.parts) {
    xml.open('Part').text('PartNumber', part.number)
    xml.text('LastModified', formatXmlDate(part.modifiedMs)).text('ETag', `"${part.etag}"`)
    xml.text('Size', part.size)
    if (part.checksum !== undefined) {
      xml.text(`Checksum${part.checksum.algorithm}`, part.checksum.value)
    }
    xml.close('Part')
  }
  return xmlResponse(xml.close('ListPartsResult').finish())
}

export async function listUploads(call: Call): Promise<HttpResponse> {
  const { wire } = call
  const prefix = queryValue(wire, 'prefix') ?? ''
  const delimiter = queryValue(wire, 'delimiter') ?? ''
  const keyMarker = queryValue(wire, 'key-marker') ?? ''
  // Without a key marker S3 ignores the upload marker.
  const uploadIdMarker = keyMarker === '' ? '' : (queryValue(wire, 'upload-id-marker') ?? '')
  const limit = readLimit(wire, 'max-uploads', { most: pageMax })
  const isEncoded = readsEncoded(wire)
  const encode = isEncoded ? uriEncodePath : (text: string): string => text
  await findBucket(call)
  const page = await (limit === 0
    ? { uploads: [], prefixes: [], isTruncated: false, nextKeyMarker: '', nextUploadIdMarker: '' }
    : call.objects.listUploads({
        bucket: call.bucket,
        prefix,
        delimiter,
        keyMarker,
        uploadIdMarker,
        limit,
      }))
  const xml = new XmlWriter().root('ListMultipartUploadsResult').text('Bucket', call.bucket)
  xml.text('KeyMarker', encode(keyMarker)).text('UploadIdMarker', uploadIdMarker)
  if (page.isTruncated) {
    xml.text('NextKeyMarker', encode(page.nextKeyMarker))
    xml.text('NextUploadIdMarker', page.nextUploadIdMarker)
  }
  if (delimiter !== '') xml.text('Delimiter', encode(delimiter))
  xml.text('Prefix', encode(prefix)).text('MaxUploads', limit)
  if (isEncoded) xml.text('EncodingType', 'url')
  xml.text('IsTruncated', page.isTruncated)
  for (const upload of page.uploads) writeUpload(call, xml, upload, encode(upload.key))
  for (const common of page.prefixes) {
    xml.open('CommonPrefixes').text('Prefix', encode(common)).close('CommonPrefixes')
  }
  return xmlResponse(xml.close('ListMultipartUploadsResult').finish())
}

function writeUpload(call: Call, xml: XmlWriter, upload: UploadRecord, key: string): void {
  xml.open('Upload').text('Key', key).text('UploadId', upload.uploadId)
  writeOwners(call, xml)
  xml.text('StorageClass', 'STANDARD').text('Initiated', formatXmlDate(upload.initiatedMs))
  xml.maybeText('ChecksumAlgorithm', upload.checksumAlgorithm)
  xml.maybeText('ChecksumType', upload.checksumType).close('Upload')
}

function writeOwners(call: Call, xml: XmlWriter): void {
  const owner = ownerName(call.owner, call.view.settings().clusterId)
  writeOwner(xml, 'Initiator', owner)
  writeOwner(xml, 'Owner', owner)
}

export async function completeUpload(call: Call): Promise<HttpResponse> {
  const condition = readWriteCondition(call.headers)
  const checksum = readObjectChecksum(call.wire.headers)
  const parts = readCompleteUpload(await readDocument(call, documentBytesMax, 'of-another'))
  checkOrder(parts)
  const place = readUploadPlace(call)
  await checkObjectSize(call, place, parts)
  const work = call.objects.completeUpload(place, {
    parts,
    condition,
    ...(checksum === undefined ? {} : { checksum }),
  })
  const rendered = work.then((record) => ({
    xml: completedXml(call, record),
    headers: [] as Headers,
  }))
  return answerPatiently(rendered, { clock: call.host.clock, renderError: call.renderError })
}

function checkOrder(parts: readonly NamedPart[]): void {
  let before = 0
  for (const { number } of parts) {
    if (number < 1 || number > partCountMax) {
      throw invalidArgument(
        `PartNumber must be >= 1 and <= ${partCountMax}`,
        'partNumber',
        String(number),
      )
    }
    if (number <= before) {
      throw s3Fault(
        'InvalidPartOrder',
        400,
        'The list of parts was not in ascending order. Parts must be ordered by part number.',
      )
    }
    before = number
  }
}

/** x-amz-mp-object-size: the object must come out at this size. */
async function checkObjectSize(
  call: Call,
  place: UploadPlace,
  parts: readonly NamedPart[],
): Promise<void> {
  const stated = call.headers.get('x-amz-mp-object-size')
  if (stated === undefined) return
  const named = new Set(parts.map((part) => part.number))
  let size = 0
  let after = 0
  for (;;) {
    const page = await listPartsAgain(call, place, after)
    if (page === undefined) return
    for (const part of page.parts) if (named.has(part.number)) size += part.size
    after = page.parts.at(-1)?.number ?? after
    if (!page.isTruncated) break
  }
  if (stated === String(size)) return
  throw invalidRequest(
    'The provided x-amz-mp-object-size does not match the size of the parts of the upload.',
  )
}

/** Undefined when the upload is gone: it may have been completed by this same request before. */
async function listPartsAgain(
  call: Call,
  place: UploadPlace,
  after: number,
): Promise<Awaited<ReturnType<Call['objects']['listParts']>> | undefined> {
  try {
    return await call.objects.listParts(place, { after, limit: pageMax })
  } catch (error) {
    if (isFault(error, 'not-found')) return undefined
    throw error
  }
}

function completedXml(call: Call, record: ObjectRecord): string {
  const scheme = call.http.isSecure ? 'https' : 'http'
  const host = call.wire.headers.get('host') ?? ''
  const xml = new XmlWriter().root('CompleteMultipartUploadResult')
  xml.text('Location', `${scheme}://${host}${uriEncodePath(call.wire.path)}`)
  xml.text('Bucket', call.bucket).text('Key', call.key).text('ETag', `"${record.etag}"`)
  writeChecksum(xml, record.checksum)
  return xml.close('CompleteMultipartUploadResult').finish()
}

/** <ChecksumCRC32> and <ChecksumType>. */
export function writeChecksum(xml: XmlWriter, checksum: Checksum | undefined): void {
  if (checksum === undefined) return
  xml.text(`Checksum${checksum.algorithm}`, checksum.value).text('ChecksumType', checksum.type)
}

export async function abortUpload(call: Call): Promise<HttpResponse> {
  const { bucket, key, uploadId } = readUploadPlace(call)
  await call.objects.abortUpload(bucket, key, uploadId)
  return emptyResponse(204)
}

// ListObjects (version 1 and 2): pages of keys in the order of their UTF-8 bytes.

import type { HttpResponse } from '../../../host/index.ts'
import type { ListPage, ObjectRecord } from '../../../objects/index.ts'
import { type Call, xmlResponse } from '../call.ts'
import { formatXmlDate } from '../core/dates.ts'
import { invalidArgument } from '../core/fault.ts'
import { type Owner, ownerName, writeOwner } from '../core/owner.ts'
import { formatToken, parseToken, readLimit, readsEncoded } from '../core/paging.ts'
import { uriEncodePath } from '../core/text.ts'
import { queryValue } from '../core/wire-request.ts'
import { XmlWriter } from '../core/xml.ts'
import { findBucket } from './buckets.ts'

const pageMax = 1000

type Listing = {
  readonly prefix: string
  readonly delimiter: string
  readonly limit: number
  readonly isEncoded: boolean
  readonly page: ListPage
}

export async function listObjects(call: Call): Promise<HttpResponse> {
  const marker = queryValue(call.wire, 'marker') ?? ''
  const listing = await list(call, marker)
  const { page, delimiter } = listing
  const encode = encoder(listing)
  const xml = open(call, listing)
  xml.text('Marker', encode(marker))
  if (page.isTruncated && delimiter !== '') xml.text('NextMarker', encode(page.last))
  writePage(xml, listing, ownerName(call.owner, call.view.settings().clusterId))
  return xmlResponse(xml.close('ListBucketResult').finish())
}

export async function listObjectsV2(call: Call): Promise<HttpResponse> {
  const token = queryValue(call.wire, 'continuation-token')
  const startAfter = queryValue(call.wire, 'start-after') ?? ''
  if (token === '') {
    throw invalidArgument('The continuation token provided is incorrect', 'continuation-token', '')
  }
  const listing = await list(call, token === undefined ? startAfter : parseToken(token))
  const { page } = listing
  const encode = encoder(listing)
  const xml = open(call, listing)
  xml.text('KeyCount', page.objects.length + page.prefixes.length)
  xml.maybeText('ContinuationToken', token)
  if (page.isTruncated) xml.text('NextContinuationToken', formatToken(page.last))
  if (startAfter !== '') xml.text('StartAfter', encode(startAfter))
  const wantsOwner = queryValue(call.wire, 'fetch-owner') === 'true'
  writePage(
    xml,
    listing,
    wantsOwner ? ownerName(call.owner, call.view.settings().clusterId) : undefined,
  )
  return xmlResponse(xml.close('ListBucketResult').finish())
}

async function list(call: Call, after: string): Promise<Listing> {
  const { wire } = call
  const prefix = queryValue(wire, 'prefix') ?? ''
  const delimiter = queryValue(wire, 'delimiter') ?? ''
  const limit = readLimit(wire, 'max-keys', { most: pageMax })
  const isEncoded = readsEncoded(wire)
  const page = await (limit === 0
    ? emptyPage(call)
    : call.objects.list({ bucket: call.bucket, prefix, delimiter, after, limit }))
  return { prefix, delimiter, limit, isEncoded, page }
}

/** A page of no keys is not truncated; the bucket must exist all the same. */
async function emptyPage(call: Call): Promise<ListPage> {
  await findBucket(call)
  return { objects: [], prefixes: [], isTruncated: false, last: '' }
}

function encoder(listing: { readonly isEncoded: boolean }): (text: string) => string {
  return listing.isEncoded ? uriEncodePath : (text) => text
}

function open(call: Call, listing: Listing): XmlWriter {
  const encode = encoder(listing)
  const xml = new XmlWriter().root('ListBucketResult').text('Name', call.bucket)
  xml.text('Prefix', encode(listing.prefix))
  if (listing.delimiter !== '') xml.text('Delimiter', encode(listing.delimiter))
  xml.text('MaxKeys', listing.limit)
  if (listing.isEncoded) xml.text('EncodingType', 'url')
  return xml.text('IsTruncated', listing.page.isTruncated)
}

function writePage(xml: XmlWriter, listing: Listing, owner: Owner | undefined): void {
  const encode = encoder(listing)
  for (const record of listing.page.objects) writeRecord(xml, record, encode(record.key), owner)
  for (const prefix of listing.page.prefixes) {
    xml.open('CommonPrefixes').text('Prefix', encode(prefix)).close('CommonPrefixes')
  }
}

function writeRecord(
  xml: XmlWriter,
  record: ObjectRecord,
  key: string,
  owner: Owner | undefined,
): void {
  xml.open('Contents').text('Key', key)
  xml.text('LastModified', formatXmlDate(record.modifiedMs)).text('ETag', `"${record.etag}"`)
  if (record.checksum !== undefined) {
    xml.text('ChecksumAlgorithm', record.checksum.algorithm)
    xml.text('ChecksumType', record.checksum.type)
  }
  xml.text('Size', record.size)
  if (owner !== undefined) writeOwner(xml, 'Owner', owner)
  xml.text('StorageClass', 'STANDARD').close('Contents')
}

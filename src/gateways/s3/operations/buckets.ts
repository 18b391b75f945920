// Operations on buckets themselves.

import type { HttpResponse } from '../../../host/index.ts'
import type { BucketRecord } from '../../../cluster/index.ts'
import { firstTenant } from '../../../access/index.ts'
import { readDocument } from '../body.ts'
import { actorOf, type Call, emptyResponse, xmlResponse } from '../call.ts'
import { formatXmlDate } from '../core/dates.ts'
import { noSuchBucket, s3Fault } from '../core/fault.ts'
import { checkNewBucketName } from '../core/names.ts'
import { ownerName, writeOwner } from '../core/owner.ts'
import { formatToken, parseToken, readLimit } from '../core/paging.ts'
import { queryValue } from '../core/wire-request.ts'
import { XmlWriter } from '../core/xml.ts'
import { readCreateBucket } from '../core/xml-read.ts'
import { ownerOf } from '../gate.ts'

const documentBytesMax = 64 * 1024
const bucketsMax = 10_000

export async function listBuckets(call: Call): Promise<HttpResponse> {
  const { wire } = call
  const prefix = queryValue(wire, 'prefix') ?? ''
  const region = queryValue(wire, 'bucket-region')
  const token = queryValue(wire, 'continuation-token')
  const after = token === undefined || token === '' ? '' : parseToken(token)
  const limit = Math.max(1, readLimit(wire, 'max-buckets', { most: bucketsMax }))
  const found = (await call.admin.listBuckets())
    .filter(
      (bucket) =>
        ownerOf(bucket) === call.owner &&
        bucket.name.startsWith(prefix) &&
        bucket.name > after &&
        (region === undefined || bucket.region === region),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  const page = found.slice(0, limit)
  const xml = new XmlWriter().root('ListAllMyBucketsResult')
  writeOwner(xml, 'Owner', ownerName(call.owner, call.view.settings().clusterId))
  xml.open('Buckets')
  for (const bucket of page) {
    xml.open('Bucket').text('Name', bucket.name)
    xml.text('CreationDate', formatXmlDate(bucket.createdMs))
    xml.text('BucketRegion', bucket.region).close('Bucket')
  }
  xml.close('Buckets')
  const last = page.at(-1)
  if (last !== undefined && page.length < found.length) {
    xml.text('ContinuationToken', formatToken(last.name))
  }
  if (prefix !== '') xml.text('Prefix', prefix)
  return xmlResponse(xml.close('ListAllMyBucketsResult').finish())
}

export async function createBucket(call: Call): Promise<HttpResponse> {
  checkNewBucketName(call.bucket)
  const location = readCreateBucket(await readDocument(call, documentBytesMax))
  if (location !== undefined && location !== call.region) {
    throw s3Fault(
      'IllegalLocationConstraintException',
      400,
      `The ${location.slice(0, 64)} location constraint is incompatible for the region specific endpoint this request was sent to.`,
    )
  }
  const { principal } = call
  const own = principal.kind === 'anonymous' ? '' : principal.tenant
  await call.admin.createBucket(call.bucket, call.region, {
    tenant: own === firstTenant ? '' : own,
  })
  return emptyResponse(200, [['location', `/${call.bucket}`]])
}

export async function headBucket(call: Call): Promise<HttpResponse> {
  const bucket = await findBucket(call)
  return emptyResponse(200, [
    ['content-type', 'application/xml'],
    ['x-amz-bucket-region', bucket.region],
  ])
}

export async function deleteBucket(call: Call): Promise<HttpResponse> {
  const { number } = await findBucket(call)
  await call.objects.deleteBucket(call.bucket)
  await dropPolicy(call, number)
  return emptyResponse(204)
}

export async function getBucketLocation(call: Call): Promise<HttpResponse> {
  const { region } = await findBucket(call)
  const xml = new XmlWriter().root('LocationConstraint', region === 'us-east-1' ? '' : region)
  return xmlResponse(xml.close('LocationConstraint').finish())
}

/** Versioning is off for every bucket, which S3 says by an empty document. */
export async function getBucketVersioning(call: Call): Promise<HttpResponse> {
  await findBucket(call)
  const xml = new XmlWriter().root('VersioningConfiguration')
  return xmlResponse(xml.close('VersioningConfiguration').finish())
}

/** What is left of it when this fails belongs to a number that no bucket has any more. */
async function dropPolicy(call: Call, number: number): Promise<void> {
  if ((await call.access.bucketPolicy(number)) === undefined) return
  const bucket = { name: call.bucket, number, document: undefined }
  await call.access.admin.setBucketPolicy(actorOf(call), bucket)
}

/** Fault NoSuchBucket. */
export async function findBucket(call: Call): Promise<BucketRecord> {
  const bucket = await call.view.bucket(call.bucket)
  if (bucket === undefined) throw noSuchBucket(call.bucket)
  return bucket
}

// Which operation a request asks for: method, bucket or key, and sub-resources of the query.
//
// S3 names most of its features by a query parameter without a value (?acl, ?tagging). A parameter that
// names a feature which is not here is answered 501, never ignored: a PUT ?acl that stored an object named
// by the path would destroy it. Hence: a known sub-resource of another operation, and an unknown
// parameter without a value, are refused; unknown parameters with a value mean nothing in S3 either.

import { invalidArgument, notImplemented, s3Fault } from './fault.ts'
import type { Place } from './names.ts'
import { queryValue, type WireRequest } from './wire-request.ts'

export type Operation =
  | 'ListBuckets'
  | 'CreateBucket'
  | 'HeadBucket'
  | 'DeleteBucket'
  | 'GetBucketLocation'
  | 'GetBucketVersioning'
  | 'GetBucketPolicy'
  | 'PutBucketPolicy'
  | 'DeleteBucketPolicy'
  | 'ListObjects'
  | 'ListObjectsV2'
  | 'ListMultipartUploads'
  | 'DeleteObjects'
  | 'GetObject'
  | 'HeadObject'
  | 'PutObject'
  | 'CopyObject'
  | 'DeleteObject'
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'UploadPartCopy'
  | 'ListParts'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload'

const unsupportedSubResources: ReadonlySet<string> = new Set([
  'abac',
  'accelerate',
  'acl',
  'analytics',
  'annotation',
  'append',
  'attributes',
  'cors',
  'encryption',
  'intelligent-tiering',
  'inventory',
  'legal-hold',
  'lifecycle',
  'logging',
  'metadataConfiguration',
  'metadataInventoryTable',
  'metadataJournalTable',
  'metadataTable',
  'metrics',
  'notification',
  'object-lock',
  'ownershipControls',
  'policyStatus',
  'publicAccessBlock',
  'renameObject',
  'replication',
  'requestPayment',
  'restore',
  'retention',
  'select',
  'select-type',
  'session',
  'tagging',
  'torrent',
  'versions',
  'website',
])

/** Sub-resources that are here, each for some operations only. */
const subResources = ['delete', 'location', 'policy', 'uploads', 'versioning'] as const
type SubResource = (typeof subResources)[number]
const flagNames: ReadonlySet<string> = new Set(subResources)

/** Parameters that are here and may well be empty. */
const parameters: ReadonlySet<string> = new Set([
  'bucket-region',
  'continuation-token',
  'delimiter',
  'encoding-type',
  'fetch-owner',
  'key-marker',
  'list-type',
  'marker',
  'max-buckets',
  'max-keys',
  'max-parts',
  'max-uploads',
  'part-number-marker',
  'partNumber',
  'prefix',
  'response-cache-control',
  'response-content-disposition',
  'response-content-encoding',
  'response-content-language',
  'response-content-type',
  'response-expires',
  'start-after',
  'upload-id-marker',
  'uploadId',
  'versionId',
  'x-id',
])

/** Faults: NotImplemented, MethodNotAllowed, InvalidArgument. */
export function routeRequest(
  request: WireRequest,
  place: Place,
  headers: ReadonlyMap<string, string>,
): Operation {
  const flag = readSubResource(request)
  checkVersion(request, place)
  if (place.bucket === undefined) return routeService(request, flag)
  if (place.key === undefined) return routeBucket(request, flag)
  return routeObject(request, flag, headers)
}

/** The one sub-resource of ours that the query names. */
function readSubResource(request: WireRequest): SubResource | undefined {
  let flag: SubResource | undefined
  for (const { name, value } of request.query) {
    if (unsupportedSubResources.has(name)) throw notImplemented(`?${name} is not implemented.`)
    if (flagNames.has(name)) {
      if (flag !== undefined && flag !== name) {
        throw invalidArgument('Conflicting query string parameters', 'ResourceType', name)
      }
      flag = name as SubResource
    } else if (value === '' && !parameters.has(name) && !/^x-amz-/i.test(name)) {
      throw notImplemented(`?${name.slice(0, 64)} is not implemented.`)
    }
  }
  return flag
}

/** The only version of an object is the one named 'null', as in S3 without versioning. */
function checkVersion(request: WireRequest, place: Place): void {
  const version = queryValue(request, 'versionId')
  if (version === undefined || (version === 'null' && place.key !== undefined)) return
  throw notImplemented('Versioning is not implemented: there is no version of this id.')
}

function routeService(request: WireRequest, flag: SubResource | undefined): Operation {
  if (flag !== undefined) throw notImplemented(`?${flag} of the service is not implemented.`)
  if (request.method === 'GET') return 'ListBuckets'
  throw methodNotAllowed(request.method)
}

function routeBucket(request: WireRequest, flag: SubResource | undefined): Operation {
  const { method } = request
  if (method === 'GET') {
    if (flag === 'location') return 'GetBucketLocation'
    if (flag === 'versioning') return 'GetBucketVersioning'
    if (flag === 'uploads') return 'ListMultipartUploads'
    if (flag === undefined) return routeList(request)
  }
  if (method === 'POST' && flag === 'delete') return 'DeleteObjects'
  if (flag === 'policy') {
    if (method === 'GET') return 'GetBucketPolicy'
    if (method === 'PUT') return 'PutBucketPolicy'
    if (method === 'DELETE') return 'DeleteBucketPolicy'
  }
  if (flag !== undefined) throw notImplemented(`${method} ?${flag} is not implemented.`)
  if (method === 'PUT') return 'CreateBucket'
  if (method === 'HEAD') return 'HeadBucket'
  if (method === 'DELETE') return 'DeleteBucket'
  if (method === 'POST') throw notImplemented('Uploads by HTML forms are not implemented.')
  throw methodNotAllowed(method)
}

function routeList(request: WireRequest): Operation {
  const type = queryValue(request, 'list-type')
  if (type === undefined || type === '1') return 'ListObjects'
  if (type === '2') return 'ListObjectsV2'
  throw invalidArgument('Invalid List Type specified in Request', 'list-type', type.slice(0, 64))
}

function routeObject(
  request: WireRequest,
  flag: SubResource | undefined,
  headers: ReadonlyMap<string, string>,
): Operation {
  const { method } = request
  if (method === 'POST' && flag === 'uploads') return 'CreateMultipartUpload'
  if (flag !== undefined) throw notImplemented(`${method} ?${flag} is not implemented.`)
  const hasUpload = queryValue(request, 'uploadId') !== undefined
  const isCopy = headers.has('x-amz-copy-source')
  if (method === 'PUT') {
    const hasPart = queryValue(request, 'partNumber') !== undefined
    if (hasUpload !== hasPart) {
      throw invalidArgument(
        'A part needs both partNumber and uploadId.',
        hasUpload ? 'partNumber' : 'uploadId',
        '',
      )
    }
    if (hasUpload) return isCopy ? 'UploadPartCopy' : 'UploadPart'
    return isCopy ? 'CopyObject' : 'PutObject'
  }
  if (method === 'GET') return hasUpload ? 'ListParts' : 'GetObject'
  if (method === 'HEAD' && !hasUpload) return 'HeadObject'
  if (method === 'DELETE') return hasUpload ? 'AbortMultipartUpload' : 'DeleteObject'
  if (method === 'POST' && hasUpload) return 'CompleteMultipartUpload'
  if (method === 'POST') throw notImplemented('POST of an object is not implemented.')
  throw methodNotAllowed(method)
}

function methodNotAllowed(method: string): Error {
  if (method === 'OPTIONS') return notImplemented('CORS is not implemented.')
  return s3Fault(
    'MethodNotAllowed',
    405,
    'The specified method is not allowed against this resource.',
  )
}

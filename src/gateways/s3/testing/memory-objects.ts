// Objects and the cluster's view in memory: small, whole and obvious. The gateway's tests run against it,
// and it is the model that larger checks compare the real rooms with: what S3 means by each operation,
// without clusters, chunks or consensus.
//
// Every operation that changes something does so in one turn of the loop, after its body has ended and
// been verified; so exactly one of racing conditional writers wins.

import {
  type Access,
  firstTenant,
  openAccess,
  type Principal,
  rootArn,
} from '../../../access/index.ts'
import {
  type ClusterId,
  clusterId,
  compareBytes,
  concatBytes,
  Fault,
  fromHex,
  seededRandom,
  startDigest,
  toHex,
  utf8Encode,
} from '../../../base/index.ts'
import type { BucketRecord, ClusterAdmin, ClusterView, Credential } from '../../../cluster/index.ts'
import { MemoryKeyspace } from '../../../cluster/testing/memory-keyspace.ts'
import type { Host } from '../../../host/index.ts'
import type {
  BodyDigests,
  Checksum,
  ChecksumAlgorithm,
  ListPage,
  ListRequest,
  ObjectHeaders,
  ObjectRecord,
  Objects,
  PartRecord,
  PutRequest,
  UploadRecord,
  WriteCondition,
} from '../../../objects/index.ts'
import { startChecksum } from '../core/checksums.ts'
import { s3Fault } from '../core/fault.ts'
import { base64Decode, base64Encode } from '../core/text.ts'

type Stored = { readonly record: ObjectRecord; readonly bytes: Uint8Array }
type StoredPart = { readonly record: PartRecord; readonly bytes: Uint8Array }
type Upload = {
  readonly record: UploadRecord
  readonly parts: Map<number, StoredPart>
  /** Once it is completed: so that repeating the completion is answered alike. */
  completed: ObjectRecord | undefined
}
type Bucket = {
  readonly record: BucketRecord
  readonly objects: Map<string, Stored>
  readonly uploads: Map<string, Upload>
}

const partBytesMin = 5 * 1024 * 1024

export type MemoryCluster = {
  readonly objects: Objects
  readonly view: ClusterView
  readonly admin: ClusterAdmin
  readonly access: Access
}

/** An empty cluster. `wallMs` stamps what is written; `sliceBytes` is how reads are cut. */
export function createMemoryCluster(options: {
  readonly wallMs: () => number
  readonly credentials: readonly Credential[]
  readonly region: string
  readonly sliceBytes?: number
}): MemoryCluster {
  const buckets = new Map<string, Bucket>()
  const objects = new MemoryObjects(buckets, options.wallMs, options.sliceBytes ?? 64 * 1024)
  return {
    objects,
    view: memoryView(buckets, options),
    admin: memoryAdmin(buckets, options.wallMs),
    access: memoryAccess(options),
  }
}

function memoryView(
  buckets: Map<string, Bucket>,
  options: { readonly credentials: readonly Credential[]; readonly region: string },
): ClusterView {
  const id: ClusterId = clusterId('0123456789abcdef0123456789abcdef')
  return {
    members: () => [],
    settings: () => ({ clusterId: id, region: options.region, dataShards: 1, parityShards: 0 }),
    bucket: async (name) => buckets.get(name)?.record,
    isUp: () => true,
    onChange: () => () => {},
  }
}

/** Rights in memory; the credentials are those of the operator. */
function memoryAccess(options: {
  readonly wallMs: () => number
  readonly credentials: readonly Credential[]
}): Access {
  const random = seededRandom(1)
  const clock = { wallMs: options.wallMs, monotonicMs: options.wallMs }
  const journal = { event: () => undefined }
  const host = { clock, random, journal } as unknown as Host
  const access = openAccess({ host, system: new MemoryKeyspace() })
  return {
    ...access,
    async identify(accessKeyId) {
      const given = options.credentials.find((known) => known.accessKeyId === accessKeyId)
      if (given === undefined) return access.identify(accessKeyId)
      const arn = rootArn(firstTenant)
      const principal: Principal = { kind: 'operator', tenant: firstTenant, arn }
      return { secretAccessKey: given.secretAccessKey, principal }
    },
  }
}

function memoryAdmin(buckets: Map<string, Bucket>, wallMs: () => number): ClusterAdmin {
  let number = 0
  return {
    async createBucket(name, region, options) {
      const tenant = options?.tenant ?? ''
      const found = buckets.get(name)
      if (found !== undefined) {
        throw s3Fault(
          found.record.tenant === tenant ? 'BucketAlreadyOwnedByYou' : 'BucketAlreadyExists',
          409,
          'Your previous request to create the named bucket succeeded and you already own it.',
        )
      }
      const record: BucketRecord = {
        name,
        region,
        type: 'distributed',
        createdMs: wallMs(),
        namespace: '/raft/objects/1',
        number: ++number,
        allowsBareQuorum: true,
        tenant,
      }
      buckets.set(name, { record, objects: new Map(), uploads: new Map() })
      return record
    },
    async deleteBucket(record) {
      if (buckets.get(record.name)?.record.number === record.number) buckets.delete(record.name)
    },
    listBuckets: async () => [...buckets.values()].map((bucket) => bucket.record),
  }
}

class MemoryObjects implements Objects {
  readonly #buckets: Map<string, Bucket>
  readonly #wallMs: () => number
  readonly #sliceBytes: number
  #uploadCount = 0

  constructor(buckets: Map<string, Bucket>, wallMs: () => number, sliceBytes: number) {
    this.#buckets = buckets
    this.#wallMs = wallMs
    this.#sliceBytes = sliceBytes
  }

  async put(request: PutRequest): Promise<ObjectRecord> {
    const bucket = this.#bucket(request.bucket)
    const { bytes, digests } = await drain(request)
    const stored: Stored = {
      bytes,
      record: {
        bucket: request.bucket,
        key: request.key,
        size: bytes.length,
        etag: digests.md5,
        modifiedMs: this.#wallMs(),
        headers: request.headers,
        checksum: digests.checksum,
        partCount: undefined,
      },
    }
    checkCondition(bucket.objects.get(request.key), request.condition, request.key)
    bucket.objects.set(request.key, stored)
    return stored.record
  }

  async get(
    name: string,
    key: string,
  ): Promise<{
    readonly record: ObjectRecord
    readonly read: (range: { at: number; count: number }) => AsyncIterable<Uint8Array>
  }> {
    const { record, bytes } = this.#object(name, key)
    return { record, read: ({ at, count }) => cut(bytes, { at, count, step: this.#sliceBytes }) }
  }

  async head(name: string, key: string): Promise<ObjectRecord> {
    return this.#object(name, key).record
  }

  async delete(name: string, key: string, condition?: WriteCondition): Promise<void> {
    const bucket = this.#bucket(name)
    const stored = bucket.objects.get(key)
    if (stored === undefined) return
    checkCondition(stored, condition ?? { kind: 'none' }, key)
    bucket.objects.delete(key)
  }

  async list(request: ListRequest): Promise<ListPage> {
    const { objects } = this.#bucket(request.bucket)
    const page = pageOf([...objects.keys()], request)
    const records: ObjectRecord[] = []
    for (const key of page.keys) {
      const stored = objects.get(key)
      if (stored !== undefined) records.push(stored.record)
    }
    return {
      objects: records,
      prefixes: page.prefixes,
      isTruncated: page.isTruncated,
      last: page.last,
    }
  }

  async deleteBucket(name: string): Promise<void> {
    const bucket = this.#bucket(name)
    if (bucket.objects.size > 0) {
      throw s3Fault('BucketNotEmpty', 409, 'The bucket you tried to delete is not empty')
    }
    this.#buckets.delete(name)
  }

  async createUpload(request: {
    readonly bucket: string
    readonly key: string
    readonly headers: ObjectHeaders
    readonly checksumAlgorithm?: ChecksumAlgorithm
    readonly checksumType?: Checksum['type']
  }): Promise<UploadRecord> {
    const bucket = this.#bucket(request.bucket)
    const record: UploadRecord = {
      bucket: request.bucket,
      key: request.key,
      uploadId: `upload-${String(++this.#uploadCount).padStart(8, '0')}`,
      initiatedMs: this.#wallMs(),
      headers: request.headers,
      checksumAlgorithm: request.checksumAlgorithm,
      checksumType: request.checksumType,
    }
    bucket.uploads.set(record.uploadId, { record, parts: new Map(), completed: undefined })
    return record
  }

  async findUpload(bucket: string, key: string, uploadId: string): Promise<UploadRecord> {
    return this.#openUpload({ bucket, key, uploadId }).record
  }

  async putPart(
    place: {
      readonly bucket: string
      readonly key: string
      readonly uploadId: string
      readonly number: number
    },
    request: Pick<PutRequest, 'body' | 'length' | 'verify' | 'signal'>,
  ): Promise<PartRecord> {
    this.#openUpload(place)
    const { bytes, digests } = await drain(request)
    const record: PartRecord = {
      number: place.number,
      size: bytes.length,
      etag: digests.md5,
      modifiedMs: this.#wallMs(),
      checksum: digests.checksum,
    }
    this.#openUpload(place).parts.set(place.number, { record, bytes })
    return record
  }

  async listParts(
    place: { readonly bucket: string; readonly key: string; readonly uploadId: string },
    page: { readonly after: number; readonly limit: number },
  ): Promise<{ readonly parts: readonly PartRecord[]; readonly isTruncated: boolean }> {
    const parts = [...this.#openUpload(place).parts.values()]
      .map((part) => part.record)
      .filter((part) => part.number > page.after)
      .sort((a, b) => a.number - b.number)
    return { parts: parts.slice(0, page.limit), isTruncated: parts.length > page.limit }
  }

  async listUploads(
    request: Parameters<Objects['listUploads']>[0],
  ): ReturnType<Objects['listUploads']> {
    const open = [...this.#bucket(request.bucket).uploads.values()]
      .filter((upload) => upload.completed === undefined)
      .map((upload) => upload.record)
      .filter((upload) => upload.key.startsWith(request.prefix))
      .sort((a, b) => compareKeys(a.key, b.key) || compareKeys(a.uploadId, b.uploadId))
    const uploads: UploadRecord[] = []
    const prefixes: string[] = []
    let nextKeyMarker = ''
    let nextUploadIdMarker = ''
    for (const upload of open) {
      const common = commonPrefix(upload.key, request)
      if (common !== undefined && prefixes.at(-1) === common) continue
      if (!isAfterMarker(common ?? upload.key, upload.uploadId, request)) continue
      if (uploads.length + prefixes.length === request.limit) {
        return { uploads, prefixes, isTruncated: true, nextKeyMarker, nextUploadIdMarker }
      }
      if (common === undefined) uploads.push(upload)
      else prefixes.push(common)
      nextKeyMarker = common ?? upload.key
      nextUploadIdMarker = common === undefined ? upload.uploadId : ''
    }
    return { uploads, prefixes, isTruncated: false, nextKeyMarker: '', nextUploadIdMarker: '' }
  }

  async completeUpload(
    place: { readonly bucket: string; readonly key: string; readonly uploadId: string },
    request: Parameters<Objects['completeUpload']>[1],
  ): Promise<ObjectRecord> {
    const bucket = this.#bucket(place.bucket)
    const upload = bucket.uploads.get(place.uploadId)
    if (upload?.completed !== undefined && upload.record.key === place.key) return upload.completed
    const { record, parts } = this.#openUpload(place)
    const chosen = chooseParts(parts, request.parts)
    checkCondition(bucket.objects.get(place.key), request.condition, place.key)
    const bytes = concatBytes(chosen.map((part) => part.bytes))
    const completed: ObjectRecord = {
      bucket: place.bucket,
      key: place.key,
      size: bytes.length,
      etag: etagOfParts(chosen),
      modifiedMs: this.#wallMs(),
      headers: record.headers,
      checksum: checksumOf(record, chosen, request.checksum),
      partCount: chosen.length,
    }
    bucket.objects.set(place.key, { record: completed, bytes })
    bucket.uploads.set(place.uploadId, { record, parts: new Map(), completed })
    return completed
  }

  async abortUpload(bucket: string, key: string, uploadId: string): Promise<void> {
    this.#openUpload({ bucket, key, uploadId })
    this.#bucket(bucket).uploads.delete(uploadId)
  }

  async totals(): Promise<{ readonly objects: number; readonly bytes: number }> {
    let count = 0
    let bytes = 0
    for (const bucket of this.#buckets.values()) {
      count += bucket.objects.size
      for (const stored of bucket.objects.values()) bytes += stored.bytes.length
    }
    return { objects: count, bytes }
  }

  #bucket(name: string): Bucket {
    const bucket = this.#buckets.get(name)
    if (bucket === undefined) {
      throw s3Fault('NoSuchBucket', 404, 'The specified bucket does not exist', {
        BucketName: name,
      })
    }
    return bucket
  }

  #object(name: string, key: string): Stored {
    const stored = this.#bucket(name).objects.get(key)
    if (stored === undefined) throw noSuchKey(key)
    return stored
  }

  #openUpload(place: {
    readonly bucket: string
    readonly key: string
    readonly uploadId: string
  }): Upload {
    const upload = this.#bucket(place.bucket).uploads.get(place.uploadId)
    if (upload === undefined || upload.completed !== undefined || upload.record.key !== place.key) {
      throw s3Fault(
        'NoSuchUpload',
        404,
        'The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might have been aborted or completed.',
      )
    }
    return upload
  }
}

function noSuchKey(key: string): Fault {
  return s3Fault('NoSuchKey', 404, 'The specified key does not exist.', { Key: key })
}

function checkCondition(stored: Stored | undefined, condition: WriteCondition, key: string): void {
  if (condition.kind === 'none') return
  if (condition.kind === 'match' && stored === undefined) throw noSuchKey(key)
  const holds =
    condition.kind === 'absent' ? stored === undefined : stored?.record.etag === condition.etag
  if (holds) return
  throw new Fault('precondition', 'At least one of the pre-conditions you specified did not hold', {
    fields: { Condition: condition.kind === 'absent' ? 'If-None-Match' : 'If-Match' },
  })
}

async function drain(
  request: Pick<PutRequest, 'body' | 'verify'>,
): Promise<{ readonly bytes: Uint8Array; readonly digests: BodyDigests }> {
  const slices: Uint8Array[] = []
  for await (const slice of request.body) slices.push(slice.slice())
  return { bytes: concatBytes(slices), digests: request.verify() }
}

async function* cut(
  bytes: Uint8Array,
  range: { readonly at: number; readonly count: number; readonly step: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  const end = range.at + range.count
  for (let at = range.at; at < end; at += range.step) {
    yield bytes.subarray(at, Math.min(end, at + range.step))
  }
}

function compareKeys(a: string, b: string): number {
  return a === b ? 0 : compareBytes(utf8Encode(a), utf8Encode(b))
}

function commonPrefix(
  key: string,
  request: { readonly prefix: string; readonly delimiter: string },
): string | undefined {
  if (request.delimiter === '') return undefined
  const found = key.indexOf(request.delimiter, request.prefix.length)
  return found < 0 ? undefined : key.slice(0, found + request.delimiter.length)
}

function isAfterMarker(
  name: string,
  uploadId: string,
  request: { readonly keyMarker: string; readonly uploadIdMarker: string },
): boolean {
  if (request.keyMarker === '') return true
  const order = compareKeys(name, request.keyMarker)
  if (order !== 0) return order > 0
  return request.uploadIdMarker !== '' && compareKeys(uploadId, request.uploadIdMarker) > 0
}

/** The rule of listing: names are keys or common prefixes; those after `after`, in order, each once. */
export function pageOf(
  keys: readonly string[],
  request: Omit<ListRequest, 'bucket'>,
): {
  readonly keys: readonly string[]
  readonly prefixes: readonly string[]
  readonly isTruncated: boolean
  readonly last: string
} {
  const names = new Map<string, boolean>()
  for (const key of keys) {
    if (!key.startsWith(request.prefix)) continue
    const common = commonPrefix(key, request)
    names.set(common ?? key, common !== undefined)
  }
  const sorted = [...names].sort(([a], [b]) => compareKeys(a, b))
  const after = sorted.filter(
    ([name]) => request.after === '' || compareKeys(name, request.after) > 0,
  )
  const page = after.slice(0, request.limit)
  return {
    keys: page.filter(([, isPrefix]) => !isPrefix).map(([name]) => name),
    prefixes: page.filter(([, isPrefix]) => isPrefix).map(([name]) => name),
    isTruncated: after.length > page.length,
    last: page.at(-1)?.[0] ?? '',
  }
}

function chooseParts(
  parts: ReadonlyMap<number, StoredPart>,
  named: Parameters<Objects['completeUpload']>[1]['parts'],
): readonly StoredPart[] {
  const chosen: StoredPart[] = []
  for (const { number, etag, checksum } of named) {
    const part = parts.get(number)
    const isThatOne =
      part !== undefined &&
      part.record.etag === etag &&
      (checksum === undefined || part.record.checksum?.value === checksum)
    if (!isThatOne) {
      throw s3Fault(
        'InvalidPart',
        400,
        'One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part’s entity tag.',
        { PartNumber: String(number) },
      )
    }
    chosen.push(part)
  }
  const small = chosen.slice(0, -1).find((part) => part.bytes.length < partBytesMin)
  if (small === undefined) return chosen
  throw s3Fault(
    'EntityTooSmall',
    400,
    'Your proposed upload is smaller than the minimum allowed size',
    { ProposedSize: String(small.bytes.length), MinSizeAllowed: String(partBytesMin) },
  )
}

function etagOfParts(parts: readonly StoredPart[]): string {
  const digest = startDigest('md5')
  for (const part of parts) digest.update(fromHex(part.record.etag) ?? new Uint8Array(0))
  return `${toHex(digest.digest())}-${parts.length}`
}

/** The object's checksum, held against what the client claims. */
function checksumOf(
  upload: UploadRecord,
  parts: readonly StoredPart[],
  claimed: Checksum | undefined,
): Checksum | undefined {
  const algorithm = upload.checksumAlgorithm
  if (algorithm === undefined) return undefined
  const type = upload.checksumType ?? 'COMPOSITE'
  const digest = startChecksum(algorithm)
  for (const part of parts) {
    if (type === 'FULL_OBJECT') digest.update(part.bytes)
    else digest.update(base64Decode(part.record.checksum?.value ?? '') ?? new Uint8Array(0))
  }
  const sum = base64Encode(digest.digest())
  const value = type === 'FULL_OBJECT' ? sum : `${sum}-${parts.length}`
  if (claimed === undefined || claimed.value === value) return { algorithm, value, type }
  throw s3Fault(
    'BadDigest',
    400,
    `The ${algorithm} you specified did not match the calculated checksum.`,
  )
}

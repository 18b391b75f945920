// Objects: buckets, objects and multipart uploads over keyspace and content. Contract only.
// Names and rules are S3's (API reference, PutObject, GetObject, ListObjectsV2, multipart upload);
// nothing here knows HTTP, XML or signatures.

export type ObjectHeaders = {
  /** content-type, cache-control, content-disposition, content-encoding, content-language, expires. */
  readonly content: Readonly<Record<string, string>>
  /** x-amz-meta-*: names without the prefix, lower case. At most 2 KiB in all. */
  readonly user: Readonly<Record<string, string>>
}

export type ChecksumAlgorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME' | 'SHA1' | 'SHA256'
export type Checksum = {
  readonly algorithm: ChecksumAlgorithm
  /** Base64, as on the wire; with '-N' for a composite of N parts. */
  readonly value: string
  readonly type: 'FULL_OBJECT' | 'COMPOSITE'
}

export type ObjectRecord = {
  readonly bucket: string
  readonly key: string
  readonly size: number
  /** Without quotes: MD5 in hexadecimal, or '<md5 of md5s>-N' for N parts. */
  readonly etag: string
  readonly modifiedMs: number
  readonly headers: ObjectHeaders
  readonly checksum: Checksum | undefined
  readonly partCount: number | undefined
}

/** Evaluated in the transaction that names the object: exactly one of racing writers wins. */
export type WriteCondition =
  | { readonly kind: 'none' }
  /** If-None-Match: * */
  | { readonly kind: 'absent' }
  /** If-Match: "etag" */
  | { readonly kind: 'match'; readonly etag: string }

/** What the gateway learned from the body once it has passed: called after the last slice. */
export type BodyDigests = {
  /** Hexadecimal. */
  readonly md5: string
  readonly checksum: Checksum | undefined
}

export type PutRequest = {
  readonly bucket: string
  readonly key: string
  readonly headers: ObjectHeaders
  readonly body: AsyncIterable<Uint8Array>
  readonly length: number | undefined
  /** Called once the body has ended. Throws (BadDigest, XAmzContentSHA256Mismatch) to refuse the object. */
  readonly verify: () => BodyDigests
  readonly condition: WriteCondition
  readonly signal?: AbortSignal
}

export type ListRequest = {
  readonly bucket: string
  readonly prefix: string
  readonly delimiter: string
  /** Keys and common prefixes after this (exclusive); ''. */
  readonly after: string
  readonly limit: number
}
export type ListPage = {
  readonly objects: readonly ObjectRecord[]
  readonly prefixes: readonly string[]
  readonly isTruncated: boolean
  /** The last key or common prefix of this page: pass it as `after`. */
  readonly last: string
}

export type UploadRecord = {
  readonly bucket: string
  readonly key: string
  readonly uploadId: string
  readonly initiatedMs: number
  readonly headers: ObjectHeaders
  readonly checksumAlgorithm: ChecksumAlgorithm | undefined
  readonly checksumType: 'FULL_OBJECT' | 'COMPOSITE' | undefined
}
export type PartRecord = {
  readonly number: number
  readonly size: number
  readonly etag: string
  readonly modifiedMs: number
  readonly checksum: Checksum | undefined
}

export type ReadBody = (range: {
  readonly at: number
  readonly count: number
}) => AsyncIterable<Uint8Array>

/**
 * Faults carry exact S3 codes: NoSuchBucket, NoSuchKey, NoSuchUpload, InvalidPart, InvalidPartOrder,
 * EntityTooSmall, BucketNotEmpty, BucketAlreadyOwnedByYou, PreconditionFailed, KeyTooLongError ...
 */
export type Objects = {
  put(request: PutRequest): Promise<ObjectRecord>
  /** Record and a reader of its bytes; the reader stays usable for this version. */
  get(
    bucket: string,
    key: string,
  ): Promise<{ readonly record: ObjectRecord; readonly read: ReadBody }>
  head(bucket: string, key: string): Promise<ObjectRecord>
  /** No fault when there is none. */
  delete(bucket: string, key: string, condition?: WriteCondition): Promise<void>
  list(request: ListRequest): Promise<ListPage>
  /** Fault 'conflict' BucketNotEmpty. */
  deleteBucket(name: string): Promise<void>

  createUpload(request: {
    readonly bucket: string
    readonly key: string
    readonly headers: ObjectHeaders
    readonly checksumAlgorithm?: ChecksumAlgorithm
    readonly checksumType?: 'FULL_OBJECT' | 'COMPOSITE'
  }): Promise<UploadRecord>
  findUpload(bucket: string, key: string, uploadId: string): Promise<UploadRecord>
  putPart(
    upload: {
      readonly bucket: string
      readonly key: string
      readonly uploadId: string
      readonly number: number
    },
    request: Pick<PutRequest, 'body' | 'length' | 'verify' | 'signal'>,
  ): Promise<PartRecord>
  listParts(
    upload: { readonly bucket: string; readonly key: string; readonly uploadId: string },
    page: { readonly after: number; readonly limit: number },
  ): Promise<{ readonly parts: readonly PartRecord[]; readonly isTruncated: boolean }>
  listUploads(request: {
    readonly bucket: string
    readonly prefix: string
    readonly delimiter: string
    readonly keyMarker: string
    readonly uploadIdMarker: string
    readonly limit: number
  }): Promise<{
    readonly uploads: readonly UploadRecord[]
    readonly prefixes: readonly string[]
    readonly isTruncated: boolean
    readonly nextKeyMarker: string
    readonly nextUploadIdMarker: string
  }>
  /** Parts in order as the client lists them; each but the last at least 5 MiB. Repeating it is answered alike. */
  completeUpload(
    upload: { readonly bucket: string; readonly key: string; readonly uploadId: string },
    request: {
      readonly parts: readonly {
        readonly number: number
        readonly etag: string
        readonly checksum?: string
      }[]
      readonly condition: WriteCondition
      readonly checksum?: Checksum
    },
  ): Promise<ObjectRecord>
  abortUpload(bucket: string, key: string, uploadId: string): Promise<void>
  /** Objects of the whole cluster, as this node's replica has them. */
  totals(): Promise<{ readonly objects: number }>
}

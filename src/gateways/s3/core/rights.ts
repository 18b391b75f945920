// What each operation must be allowed: its action in the words of IAM, and the resource. ("Actions, resources, and
// condition keys for Amazon S3".) A test walks the operations and fails for one that is not here.

import type { Operation } from './route.ts'

export type Right = {
  readonly action: string
  /** Instead of `action` when the request names a version: the one does not imply the other. */
  readonly versioned?: string
  /**
   * service: all of S3. bucket, object: as the path has them. keys: the operation asks for each key of its body, by
   * Call.permit, before it touches it.
   */
  readonly on: 'service' | 'bucket' | 'object' | 'keys'
  /** The copy source as well: to read it. */
  readonly readsSource?: true
  /** Condition keys s3:prefix, s3:delimiter and s3:max-keys come from the query. */
  readonly lists?: true
  /** The bucket is to be made: it is the caller's own, whoever has one of the name. */
  readonly isNew?: true
  /** The answer says whose it is. */
  readonly showsOwner?: true
}

export const deletion = { action: 's3:DeleteObject', versioned: 's3:DeleteObjectVersion' } as const
export const sourceRight = { action: 's3:GetObject', versioned: 's3:GetObjectVersion' } as const

const put = { action: 's3:PutObject', on: 'object' } as const
const list = { action: 's3:ListBucket', on: 'bucket', lists: true, showsOwner: true } as const
const read = { ...sourceRight, on: 'object' } as const

export const rights: Readonly<Record<Operation, Right>> = {
  ListBuckets: { action: 's3:ListAllMyBuckets', on: 'service' },
  CreateBucket: { action: 's3:CreateBucket', on: 'bucket', isNew: true },
  HeadBucket: { action: 's3:ListBucket', on: 'bucket' },
  DeleteBucket: { action: 's3:DeleteBucket', on: 'bucket' },
  GetBucketLocation: { action: 's3:GetBucketLocation', on: 'bucket' },
  GetBucketVersioning: { action: 's3:GetBucketVersioning', on: 'bucket' },
  GetBucketPolicy: { action: 's3:GetBucketPolicy', on: 'bucket' },
  PutBucketPolicy: { action: 's3:PutBucketPolicy', on: 'bucket' },
  DeleteBucketPolicy: { action: 's3:DeleteBucketPolicy', on: 'bucket' },
  ListObjects: list,
  ListObjectsV2: list,
  ListMultipartUploads: { ...list, action: 's3:ListBucketMultipartUploads' },
  DeleteObjects: { ...deletion, on: 'keys' },
  GetObject: read,
  HeadObject: read,
  PutObject: put,
  CopyObject: { ...put, readsSource: true },
  DeleteObject: { ...deletion, on: 'object' },
  CreateMultipartUpload: put,
  UploadPart: put,
  UploadPartCopy: { ...put, readsSource: true },
  ListParts: { action: 's3:ListMultipartUploadParts', on: 'object', showsOwner: true },
  CompleteMultipartUpload: put,
  AbortMultipartUpload: { action: 's3:AbortMultipartUpload', on: 'object' },
}

// The policy of a bucket. It belongs to the bucket's number: what a deleted bucket leaves behind reaches no other.

import { policyBytesMax } from '../../../access/index.ts'
import { utf8Encode } from '../../../base/index.ts'
import type { HttpResponse } from '../../../host/index.ts'
import { readDocument } from '../body.ts'
import { actorOf, type Call, emptyResponse } from '../call.ts'
import { s3Fault } from '../core/fault.ts'
import { strictUtf8 } from '../core/text.ts'
import { findBucket } from './buckets.ts'

/** Fault NoSuchBucketPolicy. */
export async function getBucketPolicy(call: Call): Promise<HttpResponse> {
  const { number } = await findBucket(call)
  const document = await call.access.admin.bucketPolicyDocument(number)
  if (document === undefined) {
    throw s3Fault('NoSuchBucketPolicy', 404, 'The bucket policy does not exist', {
      BucketName: call.bucket,
    })
  }
  const body = utf8Encode(document)
  return {
    status: 200,
    headers: [
      ['content-type', 'application/json'],
      ['content-length', String(body.length)],
    ],
    body,
  }
}

/** Fault MalformedPolicy that names the place. */
export async function putBucketPolicy(call: Call): Promise<HttpResponse> {
  const { number } = await findBucket(call)
  const document = strictUtf8(await readDocument(call, policyBytesMax))
  if (document === undefined) {
    throw s3Fault('MalformedPolicy', 400, 'Policies must be valid JSON in UTF-8.')
  }
  await call.access.admin.setBucketPolicy(actorOf(call), { name: call.bucket, number, document })
  return emptyResponse(204)
}

export async function deleteBucketPolicy(call: Call): Promise<HttpResponse> {
  const { number } = await findBucket(call)
  const bucket = { name: call.bucket, number, document: undefined }
  await call.access.admin.setBucketPolicy(actorOf(call), bucket)
  return emptyResponse(204)
}

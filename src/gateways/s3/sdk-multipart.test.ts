// Multipart uploads as the AWS SDK for JavaScript makes them.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { failure, type SdkWorld, startSdkWorld } from './testing/sdk-world.ts'

let world: SdkWorld
let client: S3Client
const put: SdkWorld['put'] = (...parameters) => world.put(...parameters)
const get: SdkWorld['get'] = (key) => world.get(key)

before(async () => {
  world = await startSdkWorld()
  ;({ client } = world)
})

after(() => world.close())

const Key = 'multi/hand'
const parts = [randomBytes(5 * 1024 * 1024), randomBytes(1000)]

type NamedParts = { PartNumber: number; ETag: string; ChecksumCRC32: string }[]

async function begin(): Promise<string | undefined> {
  const create = { Bucket: 'first', Key, ContentType: 'x/y', ChecksumAlgorithm: 'CRC32' } as const
  return (await client.send(new CreateMultipartUploadCommand(create))).UploadId
}

async function sendParts(UploadId: string | undefined): Promise<NamedParts> {
  const named: NamedParts = []
  for (const [index, Body] of parts.entries()) {
    const PartNumber = index + 1
    const part = await client.send(
      new UploadPartCommand({ Bucket: 'first', Key, UploadId, PartNumber, Body }),
    )
    named.push({ PartNumber, ETag: part.ETag ?? '', ChecksumCRC32: part.ChecksumCRC32 ?? '' })
  }
  return named
}

test('parts are uploaded, copied and listed', async () => {
  const UploadId = await begin()
  await sendParts(UploadId)
  await put('multi/source', randomBytes(100))
  const copied = await client.send(
    new UploadPartCopyCommand({
      Bucket: 'first',
      Key,
      UploadId,
      PartNumber: 3,
      CopySource: 'first/multi/source',
      CopySourceRange: 'bytes=10-19',
    }),
  )
  assert.ok(copied.CopyPartResult?.ETag)
  const place = { Bucket: 'first', Key, UploadId }
  const page = await client.send(new ListPartsCommand({ ...place, MaxParts: 1 }))
  assert.deepEqual([page.Parts?.length, page.IsTruncated], [1, true])
  const PartNumberMarker = page.NextPartNumberMarker
  const rest = await client.send(new ListPartsCommand({ ...place, PartNumberMarker }))
  assert.deepEqual(
    rest.Parts?.map((part) => part.Size),
    [1000, 10],
  )
  const uploads = await client.send(
    new ListMultipartUploadsCommand({ Bucket: 'first', Prefix: 'multi/' }),
  )
  assert.deepEqual(
    uploads.Uploads?.map((upload) => upload.UploadId),
    [UploadId],
  )
  await client.send(new AbortMultipartUploadCommand(place))
})

test('an upload is completed once, conditionally, and by exact parts', async () => {
  const UploadId = await begin()
  const named = await sendParts(UploadId)
  const complete = (Parts: object[], more: object = {}) =>
    client.send(
      new CompleteMultipartUploadCommand({
        Bucket: 'first',
        Key,
        UploadId,
        MultipartUpload: { Parts },
        ...more,
      }),
    )
  assert.equal((await failure(complete(named.toReversed()))).code, 'InvalidPartOrder')
  const wrong = [{ PartNumber: 1, ETag: '"00"' }]
  assert.equal((await failure(complete(wrong))).code, 'InvalidPart')
  assert.equal((await failure(complete(named, { IfMatch: '"x"' }))).code, 'NoSuchKey')
  assert.equal((await failure(complete(named, { MpuObjectSize: 1 }))).code, 'InvalidRequest')
  const MpuObjectSize = parts.reduce((sum, part) => sum + part.length, 0)
  const done = await complete(named, { MpuObjectSize })
  assert.match(done.ETag ?? '', /^"[0-9a-f]{32}-2"$/)
  assert.match(done.ChecksumCRC32 ?? '', /-2$/)
  assert.equal((await complete(named)).ETag, done.ETag)
  assert.ok(Buffer.concat(parts).equals(await get(Key)))
  const head = await client.send(new HeadObjectCommand({ Bucket: 'first', Key }))
  assert.equal(head.ContentType, 'x/y')
  const again = client.send(
    new UploadPartCommand({ Bucket: 'first', Key, UploadId, PartNumber: 1, Body: 'x' }),
  )
  assert.equal((await failure(again)).code, 'NoSuchUpload')
})

test('lib-storage uploads in parts, and an upload can be aborted', async () => {
  const body = randomBytes(11 * 1024 * 1024)
  const upload = new Upload({
    client,
    params: { Bucket: 'first', Key: 'lib', Body: Readable.from(slices(body)) },
  })
  await upload.done()
  assert.ok(body.equals(await get('lib')))
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({ Bucket: 'first', Key: 'abort' }),
  )
  const abort = () =>
    client.send(new AbortMultipartUploadCommand({ Bucket: 'first', Key: 'abort', UploadId }))
  await abort()
  assert.equal((await failure(abort())).code, 'NoSuchUpload')
})

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 700_000) yield bytes.subarray(at, at + 700_000)
}

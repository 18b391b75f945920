// The gateway as the AWS SDK for JavaScript sees it, with the SDK's defaults, over a real HTTP server and
// the in-memory model.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { Agent } from 'node:http'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketAclCommand,
  GetBucketLocationCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectTaggingCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { credentials, failure, type SdkWorld, startSdkWorld } from './testing/sdk-world.ts'

let world: SdkWorld
let client: S3Client
const put: SdkWorld['put'] = (...parameters) => world.put(...parameters)
const get: SdkWorld['get'] = (key) => world.get(key)

before(async () => {
  world = await startSdkWorld()
  ;({ client } = world)
})

after(() => world.close())

test('buckets: create, list, head, location, versioning, delete', async () => {
  await client.send(
    new CreateBucketCommand({
      Bucket: 'second.bucket',
      CreateBucketConfiguration: { LocationConstraint: 'eu-test-1' as 'eu-west-1' },
    }),
  )
  const list = await client.send(new ListBucketsCommand({}))
  assert.deepEqual(
    list.Buckets?.map((bucket) => bucket.Name),
    ['first', 'second.bucket'],
  )
  const page = await client.send(new ListBucketsCommand({ MaxBuckets: 1 }))
  assert.equal(page.Buckets?.length, 1)
  const rest = await client.send(
    new ListBucketsCommand({ ContinuationToken: page.ContinuationToken }),
  )
  assert.equal(rest.Buckets?.[0]?.Name, 'second.bucket')
  const head = await client.send(new HeadBucketCommand({ Bucket: 'first' }))
  assert.equal(head.BucketRegion, 'eu-test-1')
  const location = await client.send(new GetBucketLocationCommand({ Bucket: 'first' }))
  assert.equal(location.LocationConstraint, 'eu-test-1')
  const versioning = await client.send(new GetBucketVersioningCommand({ Bucket: 'first' }))
  assert.equal(versioning.Status, undefined)
  assert.deepEqual(await failure(client.send(new CreateBucketCommand({ Bucket: 'first' }))), {
    status: 409,
    code: 'BucketAlreadyOwnedByYou',
  })
  const Bucket = 'second.bucket'
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }))
  assert.equal(
    (await failure(client.send(new DeleteBucketCommand({ Bucket })))).code,
    'BucketNotEmpty',
  )
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'k' }))
  await client.send(new DeleteBucketCommand({ Bucket }))
  assert.equal((await failure(client.send(new HeadBucketCommand({ Bucket })))).status, 404)
  assert.equal(
    (await failure(client.send(new CreateBucketCommand({ Bucket: 'xn--bad' })))).code,
    'InvalidBucketName',
  )
})

test('an object comes back as it went, with its metadata and ETag', async () => {
  for (const size of [0, 1, 4096, 65_536, 65_537, 1_500_000]) {
    const body = randomBytes(size)
    const written = await put(`size/${size}`, body, {
      ContentType: 'text/x-test',
      CacheControl: 'max-age=3',
      Metadata: { Colour: 'blue', empty: '' },
    })
    assert.equal(written.ETag, `"${createHash('md5').update(body).digest('hex')}"`)
    assert.ok(written.ChecksumCRC32)
    const found = await client.send(new GetObjectCommand({ Bucket: 'first', Key: `size/${size}` }))
    assert.equal(found.ETag, written.ETag)
    assert.equal(found.ContentLength, size)
    assert.equal(found.ContentType, 'text/x-test')
    assert.equal(found.CacheControl, 'max-age=3')
    assert.deepEqual(found.Metadata, { colour: 'blue', empty: '' })
    assert.equal(found.ChecksumCRC32, written.ChecksumCRC32)
    assert.equal(found.ChecksumType, 'FULL_OBJECT')
    assert.ok(body.equals(Buffer.from((await found.Body?.transformToByteArray()) ?? [])))
    const head = await client.send(new HeadObjectCommand({ Bucket: 'first', Key: `size/${size}` }))
    assert.equal(head.ContentLength, size)
    assert.equal(head.AcceptRanges, 'bytes')
    assert.ok(Math.abs((head.LastModified?.getTime() ?? 0) - Date.now()) < 60_000)
  }
})

test('streams of unknown hash go up as unsigned chunks with a trailer', async () => {
  const body = randomBytes(300_000)
  const written = await client.send(
    new PutObjectCommand({
      Bucket: 'first',
      Key: 'stream',
      Body: Readable.from([body.subarray(0, 100_000), body.subarray(100_000)]),
      ContentLength: body.length,
    }),
  )
  assert.ok(written.ChecksumCRC32)
  assert.ok(body.equals(await get('stream')))
})

test('all five checksums are verified and answered', async () => {
  const body = randomBytes(200_000)
  for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const) {
    const Key = `sum/${algorithm}`
    await put(Key, body, { ChecksumAlgorithm: algorithm })
    const head = await client.send(
      new HeadObjectCommand({ Bucket: 'first', Key, ChecksumMode: 'ENABLED' }),
    )
    const value = head[`Checksum${algorithm}`]
    assert.ok(value, algorithm)
    assert.ok(body.equals(await get(Key)))
    await put(Key, body, { [`Checksum${algorithm}`]: value })
    const wrong = put(Key, randomBytes(10), { [`Checksum${algorithm}`]: value })
    assert.deepEqual(await failure(wrong), { status: 400, code: 'BadDigest' })
    const plain = await client.send(new HeadObjectCommand({ Bucket: 'first', Key }))
    assert.equal(plain[`Checksum${algorithm}`], undefined)
  }
  const md5 = put('md5', body, { ContentMD5: createHash('md5').update('other').digest('base64') })
  assert.equal((await failure(md5)).code, 'BadDigest')
  assert.equal((await failure(put('md5', body, { ContentMD5: 'xx' }))).code, 'InvalidDigest')
})

test('ranges and conditional reads', async () => {
  const { ETag } = await put('range', '0123456789')
  const ranged = async (Range: string): Promise<string> => {
    const found = await client.send(new GetObjectCommand({ Bucket: 'first', Key: 'range', Range }))
    return `${found.$metadata.httpStatusCode} ${found.ContentRange} ${await found.Body?.transformToString()}`
  }
  assert.equal(await ranged('bytes=2-4'), '206 bytes 2-4/10 234')
  assert.equal(await ranged('bytes=7-'), '206 bytes 7-9/10 789')
  assert.equal(await ranged('bytes=-3'), '206 bytes 7-9/10 789')
  assert.equal(await ranged('bytes=-30'), '206 bytes 0-9/10 0123456789')
  assert.equal(await ranged('bytes=8-99'), '206 bytes 8-9/10 89')
  assert.equal(await ranged('bytes=1-2,4-5'), '200 undefined 0123456789')
  assert.deepEqual(await failure(ranged('bytes=10-')), { status: 416, code: 'InvalidRange' })
  const read = (more: object) =>
    failure(client.send(new GetObjectCommand({ Bucket: 'first', Key: 'range', ...more })))
  const past = new Date(Date.now() - 3_600_000)
  const future = new Date(Date.now() + 3_600_000)
  assert.equal((await read({ IfMatch: ETag })).status, 200)
  assert.equal((await read({ IfMatch: '"other"' })).code, 'PreconditionFailed')
  assert.equal((await read({ IfNoneMatch: ETag })).status, 304)
  assert.equal((await read({ IfNoneMatch: '"other"' })).status, 200)
  assert.equal((await read({ IfModifiedSince: future })).status, 304)
  assert.equal((await read({ IfUnmodifiedSince: past })).status, 412)
  assert.equal((await read({ IfMatch: ETag, IfUnmodifiedSince: past })).status, 200)
  assert.equal((await read({ IfNoneMatch: ETag, IfModifiedSince: past })).status, 304)
  const head = client.send(
    new HeadObjectCommand({ Bucket: 'first', Key: 'range', IfMatch: '"other"' }),
  )
  assert.equal((await failure(head)).status, 412)
  assert.equal((await failure(get('missing'))).code, 'NoSuchKey')
  const missing = client.send(new HeadObjectCommand({ Bucket: 'first', Key: 'missing' }))
  assert.deepEqual(await failure(missing), { status: 404, code: 'NotFound' })
})

test('conditional writes: exactly one of racing creators wins', async () => {
  const attempts = await Promise.all(
    Array.from({ length: 20 }, (_, i) => failure(put('race', `${i}`, { IfNoneMatch: '*' }))),
  )
  assert.equal(attempts.filter(({ status }) => status === 200).length, 1)
  assert.ok(attempts.every(({ status, code }) => status === 200 || code === 'PreconditionFailed'))
  const { ETag } = await put('race', 'second')
  assert.equal((await failure(put('race', 'x', { IfMatch: '"old"' }))).status, 412)
  assert.equal((await failure(put('race', 'x', { IfMatch: ETag }))).status, 200)
  assert.equal((await failure(put('nothing', 'x', { IfMatch: ETag }))).code, 'NoSuchKey')
  assert.equal((await failure(put('race', 'x', { IfNoneMatch: '"e"' }))).status, 501)
  const remove = (IfMatch: string) =>
    failure(client.send(new DeleteObjectCommand({ Bucket: 'first', Key: 'race', IfMatch })))
  assert.equal((await remove('"old"')).status, 412)
  assert.equal((await remove(`"${createHash('md5').update('x').digest('hex')}"`)).status, 200)
})

const strangeKeys = [
  '..',
  '../../etc/passwd',
  '/leading',
  'a//b',
  'a/',
  'trailing/',
  'a',
  'a/b',
  'sp ace',
  'plus+plus',
  'per%cent%2F',
  'ümläut/日本語/🦀',
  'שלום',
  '<&>"\'',
  'q?a=b&c#d',
  'back\\slash',
  'nul\u0000byte',
  'line\nfeed\ttab',
  '~!*()-_.',
  '\ufeffmark',
  'k'.repeat(1024),
]

test('any UTF-8 is a key, and none is a path', async () => {
  await client.send(new CreateBucketCommand({ Bucket: 'strange' }))
  for (const Key of strangeKeys) {
    await client.send(new PutObjectCommand({ Bucket: 'strange', Key, Body: `body of ${Key}` }))
  }
  for (const Key of strangeKeys) {
    const found = await client.send(new GetObjectCommand({ Bucket: 'strange', Key }))
    assert.equal(await found.Body?.transformToString(), `body of ${Key}`)
  }
  const list = await client.send(
    new ListObjectsV2Command({ Bucket: 'strange', EncodingType: 'url' }),
  )
  const order = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
  assert.deepEqual(
    list.Contents?.map((object) => decodeURIComponent(object.Key ?? '')),
    strangeKeys.toSorted(order),
  )
  const removed = await client.send(
    new DeleteObjectsCommand({
      Bucket: 'strange',
      Delete: {
        Objects: strangeKeys.filter((key) => !key.includes('\u0000')).map((Key) => ({ Key })),
      },
    }),
  )
  assert.equal(removed.Errors, undefined)
  assert.equal(removed.Deleted?.length, strangeKeys.length - 1)
  await client.send(new DeleteObjectCommand({ Bucket: 'strange', Key: 'nul\u0000byte' }))
  await client.send(new DeleteBucketCommand({ Bucket: 'strange' }))
  const long = failure(put('k'.repeat(1025), 'x'))
  assert.equal((await long).code, 'KeyTooLongError')
})

test('listing pages, folds and encodes', async () => {
  await client.send(new CreateBucketCommand({ Bucket: 'lists' }))
  const keys = ['a', 'b/1', 'b/2', 'b/3', 'c', 'd/x/1', 'd/x/2', 'e f']
  for (const Key of keys) {
    await client.send(new PutObjectCommand({ Bucket: 'lists', Key, Body: Key }))
  }
  for (const Delimiter of ['', '/']) {
    const seen: string[] = []
    let ContinuationToken: string | undefined
    do {
      const page: import('@aws-sdk/client-s3').ListObjectsV2CommandOutput = await client.send(
        new ListObjectsV2Command({ Bucket: 'lists', Delimiter, MaxKeys: 2, ContinuationToken }),
      )
      assert.equal(page.KeyCount, (page.Contents?.length ?? 0) + (page.CommonPrefixes?.length ?? 0))
      for (const object of page.Contents ?? []) seen.push(object.Key ?? '')
      for (const common of page.CommonPrefixes ?? []) seen.push(common.Prefix ?? '')
      ContinuationToken = page.NextContinuationToken
    } while (ContinuationToken !== undefined)
    assert.deepEqual(seen.sort(), Delimiter === '' ? keys : ['a', 'b/', 'c', 'd/', 'e f'])
  }
  const first = await client.send(
    new ListObjectsCommand({ Bucket: 'lists', Delimiter: '/', MaxKeys: 2 }),
  )
  assert.equal(first.NextMarker, 'b/')
  const second = await client.send(
    new ListObjectsCommand({ Bucket: 'lists', Delimiter: '/', Marker: first.NextMarker }),
  )
  assert.deepEqual(
    second.Contents?.map(({ Key }) => Key),
    ['c', 'e f'],
  )
  assert.ok(second.Contents?.[0]?.Owner?.ID)
  const from = await client.send(
    new ListObjectsV2Command({
      Bucket: 'lists',
      StartAfter: 'b/2',
      Prefix: 'b/',
      FetchOwner: true,
    }),
  )
  assert.deepEqual(
    from.Contents?.map(({ Key }) => Key),
    ['b/3'],
  )
  assert.ok(from.Contents?.[0]?.Owner?.ID)
  const none = await client.send(new ListObjectsV2Command({ Bucket: 'lists', MaxKeys: 0 }))
  assert.deepEqual([none.KeyCount, none.IsTruncated], [0, false])
  const bad = client.send(
    new ListObjectsV2Command({ Bucket: 'lists', ContinuationToken: 'not a token' }),
  )
  assert.equal((await failure(bad)).code, 'InvalidArgument')
  const gone = client.send(new ListObjectsV2Command({ Bucket: 'no-such-bucket' }))
  assert.equal((await failure(gone)).code, 'NoSuchBucket')
})

test('copies keep or replace metadata', async () => {
  const body = randomBytes(150_000)
  await put('source +ü', body, { Metadata: { a: '1' }, ContentType: 'text/a' })
  const CopySource = `first/${encodeURIComponent('source +ü')}`
  const copied = await client.send(
    new CopyObjectCommand({ Bucket: 'first', Key: 'copy', CopySource }),
  )
  assert.equal(copied.CopyObjectResult?.ETag, `"${createHash('md5').update(body).digest('hex')}"`)
  assert.ok(copied.CopyObjectResult?.ChecksumCRC32)
  assert.ok(body.equals(await get('copy')))
  const head = await client.send(new HeadObjectCommand({ Bucket: 'first', Key: 'copy' }))
  assert.deepEqual([head.ContentType, head.Metadata], ['text/a', { a: '1' }])
  await client.send(
    new CopyObjectCommand({
      Bucket: 'first',
      Key: 'copy',
      CopySource: 'first/copy',
      MetadataDirective: 'REPLACE',
      Metadata: { b: '2' },
    }),
  )
  const replaced = await client.send(new HeadObjectCommand({ Bucket: 'first', Key: 'copy' }))
  assert.deepEqual(replaced.Metadata, { b: '2' })
  assert.ok(body.equals(await get('copy')))
  const copy = (more: object) =>
    failure(
      client.send(new CopyObjectCommand({ Bucket: 'first', Key: 'copy', CopySource, ...more })),
    )
  assert.equal((await copy({ CopySource: 'first/copy' })).code, 'InvalidRequest')
  assert.equal((await copy({ CopySourceIfMatch: '"x"' })).code, 'PreconditionFailed')
  assert.equal((await copy({ CopySourceIfNoneMatch: '"x"' })).status, 200)
  assert.equal((await copy({ CopySource: 'first/none' })).code, 'NoSuchKey')
  assert.equal((await copy({ CopySource: 'first' })).code, 'InvalidArgument')
})

test('batch delete tells each key', async () => {
  await put('del/1', 'x')
  const Delete = { Objects: [{ Key: 'del/1' }, { Key: 'del/none' }], Quiet: false }
  const both = await client.send(new DeleteObjectsCommand({ Bucket: 'first', Delete }))
  assert.deepEqual(
    both.Deleted?.map(({ Key }) => Key),
    ['del/1', 'del/none'],
  )
  const quiet = await client.send(
    new DeleteObjectsCommand({ Bucket: 'first', Delete: { ...Delete, Quiet: true } }),
  )
  assert.equal(quiet.Deleted, undefined)
  const many = Array.from({ length: 1001 }, (_, i) => ({ Key: `${i}` }))
  const tooMany = client.send(
    new DeleteObjectsCommand({ Bucket: 'first', Delete: { Objects: many } }),
  )
  assert.equal((await failure(tooMany)).code, 'MalformedXML')
})

test('presigned URLs work from anywhere and expire', async () => {
  const text = 'put with the defaults of the presigning library'
  const putUrl = await getSignedUrl(
    client,
    new PutObjectCommand({ Bucket: 'first', Key: 'presigned ü' }),
    { expiresIn: 60 },
  )
  const written = await fetch(putUrl, { method: 'PUT', body: text })
  assert.equal(written.status, 200, await written.text())
  const getUrl = await getSignedUrl(
    client,
    new GetObjectCommand({
      Bucket: 'first',
      Key: 'presigned ü',
      ResponseContentType: 'text/x-override',
    }),
    { expiresIn: 60 },
  )
  const found = await fetch(getUrl)
  assert.equal(found.headers.get('content-type'), 'text/x-override')
  assert.equal(await found.text(), text)
  const added = await fetch(putUrl, {
    method: 'PUT',
    headers: { 'x-amz-copy-source': '/first/range' },
  })
  assert.equal(added.status, 403)
  assert.match(await added.text(), /<HeadersNotSigned>x-amz-copy-source</)
  const changed = await fetch(getUrl.replace('X-Amz-Expires=60', 'X-Amz-Expires=61'))
  assert.match(await changed.text(), /<Code>SignatureDoesNotMatch</)
  const expired = await getSignedUrl(
    client,
    new GetObjectCommand({ Bucket: 'first', Key: 'presigned ü' }),
    { expiresIn: 60, signingDate: new Date(Date.now() - 120_000) },
  )
  assert.match(await (await fetch(expired)).text(), /Request has expired/)
})

test('virtual-host style', async () => {
  const virtual = world.newClient({
    endpoint: `http://localhost:${world.port}`,
    forcePathStyle: false,
    requestHandler: {
      httpAgent: new Agent({
        lookup: (_name, _options, found) => found(null, [{ address: '127.0.0.1', family: 4 }]),
      }),
    },
  })
  await virtual.send(new PutObjectCommand({ Bucket: 'first', Key: 'vhost/key', Body: 'x' }))
  assert.equal((await get('vhost/key')).toString(), 'x')
  virtual.destroy()
})

test('what is wrong is refused with the exact code', async () => {
  const list = (from: S3Client) => failure(from.send(new ListBucketsCommand({})))
  const wrongKey = world.newClient({ credentials: { ...credentials, accessKeyId: 'NOBODY' } })
  assert.deepEqual(await list(wrongKey), { status: 403, code: 'InvalidAccessKeyId' })
  const wrongSecret = world.newClient({ credentials: { ...credentials, secretAccessKey: 'x' } })
  assert.deepEqual(await list(wrongSecret), { status: 403, code: 'SignatureDoesNotMatch' })
  const wrongRegion = world.newClient({ region: 'us-west-2' })
  assert.deepEqual(await list(wrongRegion), { status: 400, code: 'AuthorizationHeaderMalformed' })
  const skewed = world.newClient({ systemClockOffset: -16 * 60_000 })
  assert.deepEqual(await list(skewed), { status: 403, code: 'RequestTimeTooSkewed' })
  const token = world.newClient({ credentials: { ...credentials, sessionToken: 'x' } })
  assert.deepEqual(await list(token), { status: 400, code: 'InvalidToken' })
  for (const one of [wrongKey, wrongSecret, wrongRegion, skewed, token]) one.destroy()
  const anonymous = await fetch(`${world.endpoint}/first/range`)
  assert.equal(anonymous.status, 403)
  assert.match(await anonymous.text(), /<Code>AccessDenied<\/Code><Message>Access Denied</)
  const acl = client.send(new GetBucketAclCommand({ Bucket: 'first' }))
  assert.deepEqual(await failure(acl), { status: 501, code: 'NotImplemented' })
  const tags = client.send(
    new PutObjectTaggingCommand({ Bucket: 'first', Key: 'range', Tagging: { TagSet: [] } }),
  )
  assert.equal((await failure(tags)).status, 501)
  assert.equal((await get('range')).toString(), '0123456789')
  const refused = async (more: object) => (await failure(put('feature', 'x', more))).status
  assert.equal(await refused({ ServerSideEncryption: 'AES256' }), 501)
  assert.equal(await refused({ ACL: 'public-read' }), 501)
  assert.equal(await refused({ ACL: 'private' }), 200)
  assert.equal(await refused({ Tagging: 'a=b' }), 501)
  assert.equal(await refused({ StorageClass: 'GLACIER' }), 501)
  assert.equal(await refused({ StorageClass: 'STANDARD' }), 200)
  assert.equal(await refused({ ObjectLockLegalHoldStatus: 'ON' }), 501)
  assert.equal(await refused({ WebsiteRedirectLocation: '/x' }), 501)
  const large = await failure(put('meta', 'x', { Metadata: { a: 'x'.repeat(2048) } }))
  assert.equal(large.code, 'MetadataTooLarge')
})

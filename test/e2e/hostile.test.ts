// What a broken or hostile client sends: exact errors, nothing half-visible, memory flat.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { after, before, test } from 'node:test'
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { type Cluster, getHash, randomFile, sha256, startCluster } from './cluster.ts'
import { errorCode, open, send, sendRaw, signedHead } from './raw.ts'

const Bucket = 'hostile'
let cluster: Cluster
let endpoint: string

before(async () => {
  cluster = await startCluster({ portOffset: 2000 })
  endpoint = cluster.node(1).s3
  await cluster.client(0).send(new CreateBucketCommand({ Bucket }))
})
after(() => cluster.stop())

async function keys(): Promise<string[]> {
  const page = await cluster.client(0).send(new ListObjectsV2Command({ Bucket }))
  return (page.Contents ?? []).map(({ Key }) => Key ?? '')
}

test('a wrong signature, key or date is refused exactly', async () => {
  const put = { method: 'PUT', target: `/${Bucket}/refused`, body: Buffer.from('x') }
  const wrong = await send(cluster.line, endpoint, { ...put, secretAccessKey: 'wrong' })
  assert.deepEqual([wrong.status, errorCode(wrong)], [403, 'SignatureDoesNotMatch'])
  const unknown = await send({ ...cluster.line, accessKeyId: 'AKIANOBODY' }, endpoint, put)
  assert.deepEqual([unknown.status, errorCode(unknown)], [403, 'InvalidAccessKeyId'])
  const old = await send(cluster.line, endpoint, { ...put, atMs: Date.now() - 20 * 60_000 })
  assert.deepEqual([old.status, errorCode(old)], [403, 'RequestTimeTooSkewed'])
  const anonymous = await sendRaw(endpoint, `GET /${Bucket} HTTP/1.1\r\nhost: x\r\n\r\n`)
  assert.deepEqual([anonymous.status, errorCode(anonymous)], [403, 'AccessDenied'])
  assert.ok((await keys()).every((key) => key !== 'refused'))
})

test('a body that is not what was declared is refused and leaves nothing', async () => {
  const body = randomFile(300_000)
  const target = `/${Bucket}/lying`
  const hash = await send(cluster.line, endpoint, {
    method: 'PUT',
    target,
    body,
    payloadHash: sha256('other'),
  })
  assert.deepEqual([hash.status, errorCode(hash)], [400, 'XAmzContentSHA256Mismatch'])
  const md5 = await send(cluster.line, endpoint, {
    method: 'PUT',
    target,
    body,
    headers: { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' },
  })
  assert.deepEqual([md5.status, errorCode(md5)], [400, 'BadDigest'])
  const crc = await send(cluster.line, endpoint, {
    method: 'PUT',
    target,
    body,
    headers: { 'x-amz-checksum-crc32': 'AAAAAA==' },
  })
  assert.deepEqual([crc.status, errorCode(crc)], [400, 'BadDigest'])
  const head = signedHead(cluster.line, endpoint, {
    method: 'PUT',
    target,
    body,
    headers: { 'content-length': String(body.length + 1000) },
  })
  const socket = await open(endpoint)
  socket.on('error', () => {})
  socket.end(Buffer.concat([Buffer.from(head, 'latin1'), body]))
  await new Promise((resolve) => socket.once('close', resolve).resume())
  const none = await send(cluster.line, endpoint, { method: 'GET', target })
  assert.deepEqual([none.status, errorCode(none)], [404, 'NoSuchKey'])
})

test('an oversized header is refused', async () => {
  const response = await sendRaw(
    endpoint,
    `GET / HTTP/1.1\r\nhost: x\r\nx-large: ${'a'.repeat(64 * 1024)}\r\n\r\n`,
  )
  assert.ok([400, 431].includes(response.status), String(response.status))
})

test('names that look like paths, controls or other scripts are ordinary keys', async () => {
  const names = [
    '..',
    '../..',
    'a',
    'a/b',
    'a//b',
    '/lead',
    'trail/',
    '.',
    'nul\u0000inside',
    'שלום/עולם',
    '😀',
    'sp ace+plus%25',
    'x'.repeat(1024),
  ]
  for (const [i, name] of names.entries()) {
    const target = `/${Bucket}/${encodeURIComponent(name).replaceAll('%2F', '/')}`
    const body = Buffer.from(`body ${i}`)
    const response = await send(cluster.line, endpoint, { method: 'PUT', target, body })
    assert.equal(response.status, 200, `${JSON.stringify(name)}: ${response.body}`)
  }
  for (const [i, name] of names.entries()) {
    const target = `/${Bucket}/${encodeURIComponent(name).replaceAll('%2F', '/')}`
    const response = await send(cluster.line, cluster.node(2).s3, { method: 'GET', target })
    assert.equal(response.body, `body ${i}`, JSON.stringify(name))
  }
  const long = await send(cluster.line, endpoint, {
    method: 'PUT',
    target: `/${Bucket}/${'x'.repeat(1025)}`,
    body: Buffer.from('x'),
  })
  assert.deepEqual([long.status, errorCode(long)], [400, 'KeyTooLongError'])
})

test('what is not supported says so', async () => {
  for (const query of ['acl', 'policyStatus', 'lifecycle', 'tagging', 'object-lock']) {
    const response = await send(cluster.line, endpoint, {
      method: 'GET',
      target: `/${Bucket}?${query}=`,
    })
    assert.deepEqual([query, response.status, errorCode(response)], [query, 501, 'NotImplemented'])
  }
})

test('exactly one of racing conditional writers on different nodes wins', async () => {
  for (let round = 0; round < 5; round++) {
    const Key = `race-${round}`
    const attempts = Array.from({ length: 12 }, (_, i) =>
      cluster
        .client(i % 3, { attemptsMax: 1 })
        .send(new PutObjectCommand({ Bucket, Key, Body: `writer ${i}`, IfNoneMatch: '*' })),
    )
    const settled = await Promise.allSettled(attempts)
    const winners = settled.flatMap((one, i) => (one.status === 'fulfilled' ? [i] : []))
    assert.equal(winners.length, 1)
    for (const one of settled) {
      if (one.status === 'rejected') assert.equal(one.reason.name, 'PreconditionFailed')
    }
    const got = await cluster.client(round % 3).send(new GetObjectCommand({ Bucket, Key }))
    assert.equal(await got.Body?.transformToString(), `writer ${winners[0]}`)
  }
})

test('10,000 idle connections leave the node serving and its memory flat', async () => {
  const before = residentBytes(cluster.node(1).pid)
  const sockets: Socket[] = []
  for (let i = 0; i < 10_000; i += 200) {
    sockets.push(...(await Promise.all(Array.from({ length: 200 }, () => open(endpoint)))))
  }
  for (const socket of sockets) socket.on('error', () => {})
  const body = randomFile(2_000_000)
  await cluster.client(1).send(new PutObjectCommand({ Bucket, Key: 'beside', Body: body }))
  assert.equal(await getHash(cluster.client(1), Bucket, 'beside'), sha256(body))
  const grown = residentBytes(cluster.node(1).pid) - before
  for (const socket of sockets) socket.destroy()
  assert.ok(grown < 300 * 1024 * 1024, `grew by ${grown} bytes`)
})

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
}

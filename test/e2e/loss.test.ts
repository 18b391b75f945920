// kill -9 of each node in turn, in the middle of uploads, and the loss of a whole data directory: what was
// acknowledged reads back byte for byte, writing goes on, redundancy returns by itself.

import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { after, before, test } from 'node:test'
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { type Cluster, getHash, randomFile, sha256, startCluster } from './cluster.ts'

const Bucket = 'loss'
const mebibyte = 1024 * 1024
const acknowledged = new Map<string, string>()
let cluster: Cluster

before(async () => {
  cluster = await startCluster({ portOffset: 1000 })
  await cluster.client(0).send(new CreateBucketCommand({ Bucket }))
})
after(() => cluster.stop())

async function put(position: number, key: string, body: Buffer): Promise<void> {
  await cluster.client(position).send(new PutObjectCommand({ Bucket, Key: key, Body: body }))
  acknowledged.set(key, sha256(body))
}

async function checkAll(position: number): Promise<void> {
  const client = cluster.client(position)
  for (const [key, hash] of acknowledged)
    assert.equal(await getHash(client, Bucket, key), hash, key)
}

for (const victim of [0, 1, 2]) {
  test(`node at position ${victim} is killed in the middle of uploads`, async () => {
    const [first, second] = [(victim + 1) % 3, (victim + 2) % 3]
    for (const bytes of [0, 1, 4096, 70_000, 3 * mebibyte + 7]) {
      await put(victim, `before-${victim}-${bytes}`, randomFile(bytes))
    }
    const client = cluster.client(first)
    const large = randomFile(256 * mebibyte)
    const parts = [randomFile(8 * mebibyte), randomFile(8 * mebibyte), randomFile(mebibyte)]
    const Key = `multipart-${victim}`
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    const upload = put(first, `large-${victim}`, large)
    const sent = parts.map((Body, i) =>
      client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: i + 1, Body })),
    )
    await sent[0]
    await cluster.kill(victim)
    await upload
    const answers = await Promise.all(sent)
    const Parts = answers.map(({ ETag }, i) => ({ ETag, PartNumber: i + 1 }))
    const MultipartUpload = { Parts }
    await client.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }),
    )
    acknowledged.set(Key, sha256(Buffer.concat(parts)))

    // A client with its default retries sees no failed PUT while a new leader is found.
    for (let i = 0; i < 10; i++) await put(second, `while-${victim}-${i}`, randomFile(i * 9000))
    await checkAll(first)
    await checkAll(second)
    await cluster.startMissing()
    await cluster.until('redundancy is back', (status) => {
      return (
        status.underReplicatedShards === 0 && status.nodes.every(({ state }) => state === 'online')
      )
    })
    await checkAll(victim)
  })
}

test('a node whose data directory was deleted returns as a replacement and is rebuilt', async () => {
  const lost = cluster.node(2)
  await cluster.kill(2)
  rmSync(lost.dataDir, { recursive: true, force: true })
  await cluster.startMissing()
  const replacement = cluster.line.nodes.find(({ dataDir }) => dataDir === lost.dataDir)
  assert.ok(replacement !== undefined && replacement.id !== lost.id, 'it has a new identity')
  await cluster.until(
    'the replacement holds its share',
    (status) => {
      const isMember = status.nodes.some(
        ({ id, state }) => id === replacement.id && state === 'online',
      )
      return isMember && status.underReplicatedShards === 0
    },
    120_000,
  )
  // The rebuilt shards are needed now: another node goes.
  await cluster.kill(0)
  await checkAll(1)
  await checkAll(2)
})

// Rotten bytes and full disks. Needs root for the small file systems; says so when it is not.

import assert from 'node:assert/strict'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { type Cluster, getHash, randomFile, root, run, sha256, startCluster } from './cluster.ts'

const Bucket = 'damage'
const mebibyte = 1024 * 1024

/** The largest segment file of a node's shards. */
function largestSegment(dataDir: string): string {
  const found = readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.parentPath.includes('distributed/nodes'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort((a, b) => statSync(b).size - statSync(a).size)[0]
  assert.ok(found, `no segment under ${dataDir}`)
  return found
}

function flipByte(path: string, at: number): void {
  const file = openSync(path, 'r+')
  const byte = Buffer.alloc(1)
  readSync(file, byte, 0, 1, at)
  byte[0] = (byte[0] ?? 0) ^ 0x40
  writeSync(file, byte, 0, 1, at)
  closeSync(file)
}

async function scrub(cluster: Cluster, position: number): Promise<{ damaged: number }> {
  const args = [
    'scrub',
    '--json',
    '--data-dir',
    cluster.dataDir,
    '--node',
    String(cluster.node(position).id),
  ]
  const ran = await run(process.execPath, [join(root, 'scripts/atoll.mjs'), ...args])
  assert.equal(ran.status, 0, ran.stderr)
  return JSON.parse(ran.stdout)
}

test('a flipped byte in a segment is found by the scrub, never served, and repaired', async () => {
  const cluster = await startCluster({ portOffset: 4000 })
  try {
    await cluster.client(0).send(new CreateBucketCommand({ Bucket }))
    const body = randomFile(8 * mebibyte)
    await cluster.client(0).send(new PutObjectCommand({ Bucket, Key: 'rots', Body: body }))
    for (const position of [0, 1, 2]) {
      const segment = largestSegment(cluster.node(position).dataDir)
      flipByte(segment, Math.floor(statSync(segment).size / 2))
      for (const reader of [0, 1, 2]) {
        assert.equal(await getHash(cluster.client(reader), Bucket, 'rots'), sha256(body))
      }
      const { damaged } = await scrub(cluster, position)
      await cluster.until(
        'the shard is whole again',
        (status) => status.underReplicatedShards === 0,
      )
      assert.equal((await scrub(cluster, position)).damaged, 0)
      assert.ok(damaged <= 1)
    }
  } finally {
    await cluster.stop()
  }
})

async function withSmallDisks(
  positions: readonly number[],
  portOffset: number,
  check: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'atoll-full-'))
  const mounts = positions.map((position) => join(dataDir, `node-${position + 1}`))
  let cluster: Cluster | undefined
  try {
    for (const mount of mounts) {
      mkdirSync(mount, { recursive: true })
      const ran = await run('mount', ['-t', 'tmpfs', '-o', 'size=160m', 'tmpfs', mount])
      assert.equal(ran.status, 0, ran.stderr)
    }
    cluster = await startCluster({ portOffset, dataDir })
    await cluster.client(0).send(new CreateBucketCommand({ Bucket }))
    await check(cluster)
  } finally {
    await cluster?.stop()
    for (const mount of mounts) await run('umount', ['-l', mount])
    rmSync(dataDir, { recursive: true, force: true })
  }
}

async function canMount(): Promise<boolean> {
  const probe = mkdtempSync(join(tmpdir(), 'atoll-mount-'))
  const ran = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', probe])
  if (ran.status === 0) await run('umount', [probe])
  rmSync(probe, { recursive: true, force: true })
  return ran.status === 0
}

// Side by side: both wait most of their time for what was deleted to go from the disks.
describe('full disks', { concurrency: 2 }, () => {
  test('all disks full: a clear error, reads go on, writing returns with space', async (t) => {
    if (!(await canMount())) return t.skip('small file systems need root')
    await withSmallDisks([0, 1, 2], 4200, async (cluster) => {
      const client = cluster.client(0, { attemptsMax: 1 })
      const stored = new Map<string, string>()
      let refusal: unknown
      for (let i = 0; i < 60 && refusal === undefined; i++) {
        const body = randomFile(8 * mebibyte)
        await client.send(new PutObjectCommand({ Bucket, Key: `fill-${i}`, Body: body })).then(
          () => stored.set(`fill-${i}`, sha256(body)),
          (error: unknown) => {
            refusal = error
          },
        )
      }
      assert.ok(refusal instanceof S3ServiceException, 'the disks became full')
      assert.equal(refusal.$metadata.httpStatusCode, 507, refusal.message)
      assert.ok(stored.size > 10, `${stored.size} objects fit`)
      for (const [key, hash] of stored)
        assert.equal(await getHash(cluster.client(1), Bucket, key), hash)
      await free(cluster, stored)
      await untilWritable(cluster)
      for (const [key, hash] of stored)
        assert.equal(await getHash(cluster.client(2), Bucket, key), hash)
    })
  })

  test('one disk full: writing goes on with the others as far as the rule allows, reads go on', async (t) => {
    if (!(await canMount())) return t.skip('small file systems need root')
    await withSmallDisks([1], 4400, async (cluster) => {
      const stored = new Map<string, string>()
      let refused = 0
      for (let i = 0; i < 45; i++) {
        const body = randomFile(8 * mebibyte)
        const put = new PutObjectCommand({ Bucket, Key: `fill-${i}`, Body: body })
        await cluster
          .client(0, { attemptsMax: 1 })
          .send(put)
          .then(
            () => stored.set(`fill-${i}`, sha256(body)),
            (error: S3ServiceException) => {
              refused++
              assert.equal(error.$metadata.httpStatusCode, 507, error.message)
            },
          )
      }
      assert.ok(stored.size >= 10, `${stored.size} stored, ${refused} refused`)
      for (const [key, hash] of stored)
        assert.equal(await getHash(cluster.client(2), Bucket, key), hash)
      await free(cluster, stored)
      await untilWritable(cluster)
      for (const [key, hash] of stored)
        assert.equal(await getHash(cluster.client(1), Bucket, key), hash)
    })
  })
})

/**
 * Deletes most of what is stored. Of three objects too little is left on a disk of this size: the log takes its files in
 * pieces of 4 MiB, which may be as much.
 */
async function free(cluster: Cluster, stored: Map<string, string>): Promise<void> {
  for (const Key of [...stored.keys()].slice(0, 8)) {
    await cluster.client(2).send(new DeleteObjectCommand({ Bucket, Key }))
    stored.delete(Key)
  }
}

async function untilWritable(cluster: Cluster): Promise<void> {
  const endMs = Date.now() + 120_000
  const body = randomFile(mebibyte)
  while (true) {
    const put = new PutObjectCommand({ Bucket, Key: 'again', Body: body })
    const error = await cluster
      .client(1, { attemptsMax: 1 })
      .send(put)
      .then(
        () => undefined,
        (error: unknown) => error,
      )
    if (error === undefined) break
    if (Date.now() > endMs) {
      const status = JSON.stringify(await cluster.status())
      throw new Error(`still not writable: ${String(error)}; ${status}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
  assert.equal(await getHash(cluster.client(0), Bucket, 'again'), sha256(body))
}

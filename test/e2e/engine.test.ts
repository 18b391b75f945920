// A cluster whose replicated state is kept by an existing etcd: cluster.toml says so, nodes have no groups of their
// own, and S3 does what it always does, also after a node was killed and after everything was started again.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import { type EtcdServer, missing, startEtcd } from '../conformance/etcd-server.ts'
import { type Cluster, startCluster } from './cluster.ts'

const portOffset = 21_000
const etcdPort = 23_379
const noServer = missing('etcd', 'etcd-server')
const Bucket = 'predastore'

function topology(): string {
  const lines = ['version = "1.0"', '', '[rs]', 'data = 2', 'parity = 1', '']
  lines.push('[control]', 'engine = "etcd"', `endpoints = ["http://127.0.0.1:${etcdPort}"]`, '')
  for (const [table, port] of [
    ['db', 6660],
    ['nodes', 9991],
  ] as const) {
    for (const id of [1, 2, 3]) {
      lines.push(`[[${table}]]`, `id = ${id}`, `host = "127.0.0.${id}"`)
      lines.push(`port = ${port + portOffset}`, '')
    }
  }
  lines.push('[[buckets]]', `name = "${Bucket}"`, '', '[[auth]]')
  lines.push('access_key_id = "AKIAENGINE"', 'secret_access_key = "secret-of-the-engine"')
  return `${lines.join('\n')}\n`
}

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

describe('a cluster on an existing etcd', { skip: noServer }, () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'atoll-e2e-engine-'))
  let server: EtcdServer
  let cluster: Cluster
  const stored = new Map<string, string>()

  before(async () => {
    server = await startEtcd(etcdPort, { args: ['--max-txn-ops', '8192'] })
    writeFileSync(join(dataDir, 'cluster.toml'), topology())
    cluster = await startCluster({ portOffset, dataDir })
  })
  after(async () => {
    await cluster?.stop()
    await server?.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  const store = async (position: number, Key: string, bytes: number): Promise<void> => {
    const Body = randomBytes(bytes)
    await cluster.client(position).send(new PutObjectCommand({ Bucket, Key, Body }))
    stored.set(Key, hashOf(Body))
  }
  const check = async (position: number): Promise<void> => {
    for (const [Key, hash] of stored) {
      const got = await cluster.client(position).send(new GetObjectCommand({ Bucket, Key }))
      assert.equal(hashOf((await got.Body?.transformToByteArray()) ?? new Uint8Array(0)), hash)
    }
    const listed = await cluster.client(position).send(new ListObjectsV2Command({ Bucket }))
    assert.deepEqual(
      listed.Contents?.map(({ Key }) => Key),
      [...stored.keys()].sort(),
    )
  }

  it('stores on one node and reads on the others', async () => {
    await store(0, 'small', 1_000)
    await store(1, 'medium', 700_000)
    await store(2, 'large', 9_000_000)
    for (const position of [0, 1, 2]) await check(position)
    const status = await cluster.status()
    assert.deepEqual(status.groups, [])
    assert.deepEqual(
      status.nodes.map(({ state }) => state),
      ['online', 'online', 'online'],
    )
  })

  it('goes on without a node, and has everything after a restart', async () => {
    await cluster.kill(2)
    await store(0, 'without-one', 300_000)
    for (const position of [0, 1]) await check(position)
    await cluster.stop()
    cluster = await startCluster({ portOffset, dataDir })
    for (const position of [0, 1, 2]) await check(position)
    await store(2, 'afterwards', 5_000)
    await check(1)
  })
})

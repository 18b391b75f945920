// A cluster whose nodes share a key instead of using certificates: real processes with a data thread each,
// objects over every node, a node that dies and comes back, and a node that was given another key.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { type Cluster, getHash, randomFile, root, run, sha256, startCluster } from './cluster.ts'

const Bucket = 'shared'
const keys = mkdtempSync(join(tmpdir(), 'atoll-keys-'))
const keyFile = join(keys, 'key')
const secret = randomBytes(32).toString('hex')
const body = randomFile(3 * 1024 * 1024 + 5)
let cluster: Cluster

before(async () => {
  writeFileSync(keyFile, `${secret}\n`, { mode: 0o600 })
  cluster = await startCluster({
    portOffset: 5000,
    args: ['--encryption-key-file', keyFile, '--data-threads', '1'],
  })
})
after(async () => {
  await cluster.stop()
  rmSync(keys, { recursive: true, force: true })
})

test('objects go over all nodes, also while one is away', async () => {
  await cluster.client(0).send(new CreateBucketCommand({ Bucket }))
  await cluster.client(0).send(new PutObjectCommand({ Bucket, Key: 'a', Body: body }))
  for (const position of [0, 1, 2]) {
    assert.equal(await getHash(cluster.client(position), Bucket, 'a'), sha256(body))
  }
  await cluster.kill(1)
  await cluster.client(2).send(new PutObjectCommand({ Bucket, Key: 'b', Body: body }))
  assert.equal(await getHash(cluster.client(0), Bucket, 'b'), sha256(body))
})

test('a node with another key is refused, and everybody says why; with the key it is back', async () => {
  const other = randomBytes(40).toString('base64')
  const nodeDir = cluster.node(1).dataDir
  const args = ['node', '--data-dir', nodeDir, '--data-threads', '0']
  const refused = run(
    'timeout',
    ['8', process.execPath, join(root, 'scripts/atoll.mjs'), ...args],
    {
      env: { ATOLL_ENCRYPTION_KEY: other },
    },
  )
  const { stderr } = await refused
  assert.match(stderr, /node \d at \S+ uses another key: all members must share one/)
  const log = readFileSync(join(cluster.node(0).dataDir, 'node.log'), 'utf8')
  assert.match(log, /network\.peer_refused .*uses another key: all members must share one/)
  assert.ok(!`${log}${stderr}`.includes(secret) && !stderr.includes(other), 'no key in a journal')
  await cluster.startMissing()
  await cluster.until('all are online', (status) =>
    status.nodes.every((node) => node.state === 'online'),
  )
  assert.equal(await getHash(cluster.client(1), Bucket, 'b'), sha256(body))
})

test('both ways at once, a short key and a missing file are refused with what to do', async () => {
  const nodeDir = cluster.node(2).dataDir
  writeFileSync(join(keys, 'short'), 'too short')
  const atoll = (flags: readonly string[], env: Record<string, string> = {}) =>
    run(process.execPath, [join(root, 'scripts/atoll.mjs'), 'up', '--node', '3', ...flags], { env })
  const base = ['--data-dir', join(nodeDir, '..')]
  await cluster.kill(2)
  const short = await atoll([...base, '--encryption-key-file', join(keys, 'short')])
  assert.match(short.stderr, /an encryption key of 9 bytes: it must have 32 to 4096/)
  const missing = await atoll([...base, '--encryption-key-file', join(keys, 'none')])
  assert.match(missing.stderr, /cannot read \S+none/)
  const both = await atoll([...base, '--encryption-key-file', keyFile], {
    ATOLL_ENCRYPTION_KEY: secret,
  })
  assert.match(both.stderr, /both --encryption-key-file and ATOLL_ENCRYPTION_KEY/)
})

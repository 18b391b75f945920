// Two of three nodes are lost for good: `atoll raft recover` makes the third the whole truth, offline, and
// a lost one that comes back from its old disk is refused.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CreateBucketCommand, ListBucketsCommand } from '@aws-sdk/client-s3'
import { root, run, startCluster } from './cluster.ts'

const portOffset = 5_000
let dataDir: string
before(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'atoll-recover-'))
})
after(() => rmSync(dataDir, { recursive: true, force: true }))

const atoll = (...args: readonly string[]) =>
  run('timeout', ['60', process.execPath, join(root, 'scripts/atoll.mjs'), ...args])

test('a node that lost its majority is recovered, and the others are refused', async () => {
  const whole = await startCluster({ portOffset, dataDir })
  const client = whole.client(0)
  await client.send(new CreateBucketCommand({ Bucket: 'kept' }))
  const inUse = await atoll('raft', 'recover', '--data-dir', join(dataDir, 'node-1'), '--all')
  assert.match(inUse.stderr, /in use by process/)
  await whole.until('all members vote', ({ groups }) =>
    groups.every(({ voters }) => Array.isArray(voters) && voters.length === 3),
  )
  await whole.stop()

  const nodeDir = join(dataDir, 'node-1')
  const unasked = await atoll('raft', 'recover', '--data-dir', nodeDir, '--all')
  assert.notEqual(unasked.status, 0)
  assert.match(unasked.stderr, /lost: every write.*give --yes/s)
  const recovered = await atoll(
    'raft',
    'recover',
    '--data-dir',
    nodeDir,
    '--all',
    '--yes',
    '--json',
  )
  assert.equal(recovered.status, 0, recovered.stderr)
  const report = JSON.parse(recovered.stdout)
  assert.deepEqual([report.node, report.recovered[0].voters], [1, [1, 2, 3]])
  const again = await atoll('raft', 'recover', '--data-dir', nodeDir, '--all', '--yes')
  assert.match(again.stderr, /the only voter of all of its groups already/)

  const alone = await startCluster({ portOffset, dataDir, args: ['--node', '1'] })
  try {
    const { Buckets } = await alone.client(0).send(new ListBucketsCommand({}))
    assert.ok(Buckets?.some(({ Name }) => Name === 'kept'))
    await alone.client(0).send(new CreateBucketCommand({ Bucket: 'later' }))
    const stale = await atoll('node', '--data-dir', join(dataDir, 'node-2'))
    assert.notEqual(stale.status, 0)
    assert.match(stale.stderr, /delete its data directory.*recovered without this node/s)
    const refused = await atoll('node', '--data-dir', join(dataDir, 'node-2'))
    assert.match(refused.stderr, /the cluster is at generation 1/)
  } finally {
    await alone.stop()
  }
})

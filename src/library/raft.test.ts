// The library as a program uses it: real sockets and disks, certificates and a shared key.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { isFault, nodeId, open, openMesh } from 'atoll/raft'
import { createTestAuthority } from '../host/testing/certificates.ts'

const directory = mkdtempSync(join(tmpdir(), 'atoll-library-'))
after(() => rmSync(directory, { recursive: true, force: true }))

const founders = { kind: 'size', size: 1 } as const
const fast = { preset: 'local', bootstrapTimeoutMs: 50, journal: 'error' } as const
const key = 'a key that all members share, of 32 bytes or more'
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test('one namespace under a shared key: written, closed, opened again, read', async () => {
  const options = { directory: join(directory, 'key'), listen: '127.0.0.1:27410', key, founders }
  const cluster = await open('/raft/test', { ...options, ...fast })
  await cluster.waitForLeader(30_000)
  assert.equal(cluster.isLeader(), true)
  await cluster.set('a', bytes('1'))
  await cluster.close()
  const again = await open('/raft/test', { ...options, ...fast })
  assert.equal(again.node, cluster.node)
  await again.waitForLeader(30_000)
  await again.barrier()
  assert.deepEqual(await again.get('a'), bytes('1'))
  await again.close()
})

test('a directory is open once at a time, and again after it was closed', async () => {
  const options = { directory: join(directory, 'once'), key, founders, ...fast }
  const listen = '127.0.0.1:27416'
  const cluster = await open('/raft/test', { ...options, listen })
  await cluster.waitForLeader(30_000)
  const isHeld = (error: unknown): boolean =>
    isFault(error, 'exists') && error.fields.pid === String(process.pid)
  for (const other of ['/raft/test', '/raft/other']) {
    await assert.rejects(open(other, { ...options, listen: '127.0.0.1:27417' }), isHeld)
  }
  await assert.rejects(openMesh({ ...options, listen }), isHeld)
  await cluster.set('a', bytes('1'))
  await Promise.all([cluster.close(), cluster.close()])
  assert.equal(cluster.state(), 'closed')
  assert.equal(cluster.leader(), undefined)
  assert.deepEqual(cluster.members(), [])
  const isCancelled = (error: unknown): boolean => isFault(error, 'cancelled')
  await assert.rejects(cluster.set('a', bytes('2')), isCancelled)
  await assert.rejects(cluster.waitForLeader(30_000), isCancelled)
  const both = await Promise.allSettled(
    [1, 2].map(() => open('/raft/test', { ...options, listen })),
  )
  const opened = both.filter((one) => one.status === 'fulfilled')
  assert.equal(opened.length, 1, 'of two at once one is refused')
  await opened[0]?.value.waitForLeader(30_000)
  assert.deepEqual(await opened[0]?.value.get('a'), bytes('1'))
  await opened[0]?.value.close()
})

test('what could not be opened holds no directory', async () => {
  const options = { directory: join(directory, 'refused'), key, founders, ...fast }
  const listen = '127.0.0.1:27418'
  const isInvalid = (error: unknown): boolean => isFault(error, 'invalid')
  await assert.rejects(open('/other', { ...options, listen }), isInvalid)
  const cluster = await open('/raft/test', { ...options, listen })
  await cluster.close()
})

test('certificates: issued for the number that was drawn; two nodes, one a client only', async () => {
  const authority = await createTestAuthority('library')
  const meshId = authority.clusterId
  const identity = (self: { readonly nodeId: number }) => authority.identity(self.nodeId)
  const first = await openMesh({
    directory: join(directory, 'tls-1'),
    listen: '127.0.0.1:27411',
    meshId,
    identity,
    ...fast,
  })
  const cluster = await first.open('/raft/test', { founders, bootstrapTimeoutMs: 50 })
  await cluster.waitForLeader(30_000)
  const second = await openMesh({
    directory: join(directory, 'tls-2'),
    listen: '127.0.0.1:27412',
    contacts: ['127.0.0.1:27411'],
    meshId,
    identity: await authority.identity(9),
    ...fast,
  })
  assert.equal(second.node, nodeId(9))
  const client = second.client('/raft/test')
  await client.set('a', bytes('1'), { timeoutMs: 30_000 })
  assert.deepEqual(await client.get('a', { to: first.node, barrierMs: 5_000 }), bytes('1'))
  await second.close()
  await first.close()
})

test('another key is another mesh, and options that cannot be meant are refused', async () => {
  const at = (port: number) => ({
    directory: join(directory, String(port)),
    listen: `127.0.0.1:${port}`,
  })
  const own = await openMesh({ ...at(27413), key, ...fast })
  const cluster = await own.open('/raft/test', { founders, bootstrapTimeoutMs: 50 })
  await cluster.waitForLeader(30_000)
  const contacts = ['127.0.0.1:27413']
  const stranger = await openMesh({ ...at(27414), key: `not ${key}`, contacts, ...fast })
  const asked = stranger.client('/raft/test').get('a', { timeoutMs: 500 })
  await assert.rejects(asked, (error) => isFault(error, 'deadline'))
  assert.deepEqual(own.status().peers, [])
  await stranger.close()
  await own.close()
  const isInvalid = (error: unknown): boolean => isFault(error, 'invalid')
  for (const security of [{}, { key: 'short' }, { key, identity: own.status() as never }]) {
    await assert.rejects(openMesh({ ...at(27415), ...security }), isInvalid)
  }
  await assert.rejects(openMesh({ ...at(27415), listen: 'nowhere', key }), isInvalid)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, Fault, isFault, type NodeId, nodeId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { replaceMember, updateMember } from './cluster-admin.ts'
import { bucketKey } from './core/records.ts'
import { planTopology } from './core/topology.ts'
import { foundCluster, readLocalMembers } from './found-cluster.ts'
import { openCluster } from './open-cluster.ts'
import { MemoryKeyspace } from './testing/memory-keyspace.ts'

/** What this room uses of a host; time passes when the test says so. */
function testHost(): { readonly host: Host; tick(): void } {
  const timers: (() => void)[] = []
  const host = {
    clock: {
      wallMs: () => 1_000,
      monotonicMs: () => 0,
      sleep: () => new Promise((resolve) => setImmediate(resolve)),
      after: (_ms: number, run: () => void) => {
        timers.push(run)
        return { cancel: () => timers.splice(timers.indexOf(run), 1) }
      },
    },
    journal: {
      event: () => undefined,
      fatal: (_event: string, error: unknown) => {
        throw error
      },
    },
  } as unknown as Host
  const tick = (): void => {
    for (const run of timers.splice(0)) run()
  }
  return { host, tick }
}

const topology = planTopology({
  region: 'ap-southeast-2',
  rs: { data: 2, parity: 1 },
  s3Tls: { host: '0.0.0.0', port: 8443 },
  addresses: ['a', 'b', 'c'].map((host) => ({ host, controlPort: 6660, bulkPort: 9991 })),
  buckets: ['predastore'],
  auth: [{ accessKeyId: 'AK', secretAccessKey: 'SK' }],
})
const own = clusterId('00112233445566778899aabbccddeeff')
const self = nodeId(1)

async function founded() {
  const system = new MemoryKeyspace()
  const { host, tick } = testHost()
  await foundCluster({ host, system }, { clusterId: own, topology, isFounder: true })
  const isReachable = (id: NodeId): boolean => id === 2
  const cluster = await openCluster({ host, system, isReachable }, { self })
  return { system, host, tick, ...cluster }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const unavailable = (error: unknown): boolean => isFault(error, 'unavailable')

test('founding happens once; a second founder and another cluster are told apart', async () => {
  const { system, host, view } = await founded()
  const { revision } = system.freshness()
  await foundCluster({ host, system }, { clusterId: own, topology, isFounder: true })
  assert.equal(system.freshness().revision, revision)
  const other = clusterId('ffffffffffffffffffffffffffffffff')
  await assert.rejects(
    foundCluster({ host, system }, { clusterId: other, topology, isFounder: true }),
    (error) => isFault(error, 'invalid'),
  )
  assert.deepEqual(view.settings().clusterId, own)
  assert.deepEqual(
    view.members().map(({ id, name, state }) => [id, name, state]),
    [
      [1, 'node-1', 'online'],
      [2, 'node-2', 'online'],
      [3, 'node-3', 'online'],
    ],
  )
  assert.deepEqual(
    [1, 2, 3].map((id) => view.isUp(nodeId(id))),
    [true, true, false],
  )
})

test('who is no founder waits for the state and stops waiting when told to', async () => {
  const { host } = testHost()
  const system = new MemoryKeyspace()
  const controller = new AbortController()
  const waiting = foundCluster(
    { host, system },
    { clusterId: own, topology, isFounder: false, signal: controller.signal },
  )
  await settled()
  controller.abort()
  await assert.rejects(waiting, (error) => isFault(error, 'cancelled'))
  assert.equal(await readLocalMembers(system), undefined)
})

test('a bucket is answered from the replica while it is fresh, once read without any read at all', async () => {
  const { system, view } = await founded()
  const before = system.linearizableReads
  assert.equal((await view.bucket('predastore'))?.number, 1)
  const reads = system.serializableReads
  assert.equal((await view.bucket('predastore'))?.number, 1)
  assert.equal(system.serializableReads, reads)
  assert.equal(system.linearizableReads, before)
})

test('a replica that did not hear the leader for a second asks it, or fails', async () => {
  const { system, view } = await founded()
  await view.bucket('predastore')
  system.heardMsAgo = 1_001
  const before = system.linearizableReads
  assert.equal((await view.bucket('predastore'))?.number, 1)
  assert.equal(system.linearizableReads, before + 1)
  system.hasLeader = false
  await assert.rejects(view.bucket('predastore'), unavailable)
  system.heardMsAgo = 0
  assert.equal((await view.bucket('predastore'))?.number, 1)
})

test('a bucket that was deleted is gone as soon as the replica has applied it', async () => {
  const { system, view } = await founded()
  await view.bucket('predastore')
  await system.delete(bucketKey('predastore'))
  assert.equal(await view.bucket('predastore'), undefined)
})

test('a cluster whose leader falls while a node starts is asked again; other faults are told', async () => {
  const system = new MemoryKeyspace()
  const { host } = testHost()
  await foundCluster({ host, system }, { clusterId: own, topology, isFounder: true })
  const range = system.range.bind(system)
  let late = 3
  let code: 'deadline' | 'corrupt' = 'deadline'
  system.range = async (...asked) => {
    if (late-- > 0) throw new Fault(code, 'not now')
    return await range(...asked)
  }
  const open = () => openCluster({ host, system, isReachable: () => true }, { self, patienceMs: 1 })
  assert.equal((await open()).view.members().length, 3)
  late = 1
  code = 'corrupt'
  await assert.rejects(open(), (error) => isFault(error, 'corrupt'))
})

test('a bucket made elsewhere is found before the replica has it', async () => {
  const { system, host, view } = await founded()
  system.localRevision = system.freshness().revision
  assert.equal(await view.bucket('fresh'), undefined)
  const elsewhere = await openCluster(
    { host, system, isReachable: () => true },
    { self: nodeId(2) },
  )
  await elsewhere.admin.createBucket('fresh', 'r')
  assert.equal((await view.bucket('fresh'))?.number, 2)
})

test('what this thread deleted is not read from a replica that lags behind', async () => {
  const { system, view, admin } = await founded()
  const record = await view.bucket('predastore')
  assert.ok(record !== undefined)
  system.localRevision = system.freshness().revision
  await admin.deleteBucket(record)
  assert.equal(await view.bucket('predastore'), undefined)
})

test('buckets: created once, numbered for ever, deleted only unchanged, listed by name', async () => {
  const { view, admin } = await founded()
  const first = await admin.createBucket('beta', 'r')
  assert.equal(first.number, 2)
  await assert.rejects(admin.createBucket('beta', 'r'), (error) => isFault(error, 'exists'))
  await admin.deleteBucket(first)
  await assert.rejects(admin.deleteBucket(first), (error) => isFault(error, 'conflict'))
  assert.equal((await admin.createBucket('beta', 'r')).number, 3)
  await admin.createBucket('alpha', 'r')
  const names = (await admin.listBuckets()).map((bucket) => bucket.name)
  assert.deepEqual(names, ['alpha', 'beta', 'predastore'])
  assert.equal(await view.bucket('gamma'), undefined)
})

test('racing creations of one bucket have one winner', async () => {
  const { admin } = await founded()
  const racing = Array.from({ length: 6 }, () => admin.createBucket('race', 'r'))
  const outcomes = await Promise.allSettled(racing)
  const won = outcomes.filter((outcome) => outcome.status === 'fulfilled')
  assert.equal(won.length, 1)
})

test('of racing replacements of one member the late ones leave the first successor in place', async () => {
  const { system, allMembers } = await founded()
  const racing = Array.from({ length: 4 }, () => replaceMember(system, nodeId(2)))
  const outcomes = await Promise.allSettled(racing)
  const won = outcomes.filter((outcome) => outcome.status === 'fulfilled')
  assert.deepEqual(
    won.map(({ value }) => value.id),
    [4],
  )
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') assert.ok(isFault(outcome.reason, 'conflict'))
  }
  const present = allMembers().filter(({ state }) => state !== 'removed')
  assert.ok(present.every(({ id }) => id <= 4))
})

test('a replaced member is removed, its successor joins, and watchers hear of it', async () => {
  const { system, view, allMembers, tick } = await founded()
  let changes = 0
  const end = view.onChange(() => changes++)
  const given = await replaceMember(system, nodeId(2))
  assert.deepEqual([given.id, given.replaces, given.founders], [4, 2, [1, 2, 3]])
  tick()
  await settled()
  assert.equal(changes, 1)
  assert.deepEqual(
    view.members().map(({ id, state, replaces }) => [id, state, replaces]),
    [
      [1, 'online', undefined],
      [3, 'online', undefined],
      [4, 'joining', 2],
    ],
  )
  assert.equal(allMembers().find((member) => member.id === 2)?.state, 'removed')
  const again = await replaceMember(system, nodeId(2))
  assert.deepEqual([again.id, again.replaces], [5, 4])
  await assert.rejects(replaceMember(system, nodeId(77)), (error) => isFault(error, 'not-found'))
  assert.equal(await updateMember(system, nodeId(2), (member) => member), false)
  assert.equal(
    await updateMember(system, nodeId(5), (member) => ({ ...member, state: 'online' })),
    true,
  )
  end()
  tick()
  await settled()
  assert.equal(changes, 1)
  assert.equal(view.members().at(-1)?.state, 'online')
})

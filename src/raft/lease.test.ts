import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, nodeId, utf8Encode } from '../base/index.ts'
import { Lease } from './lease.ts'
import { settingsOf } from './settings.ts'
import { TestCluster } from './testing/cluster.ts'
import type { TestDisk } from './testing/doubles.ts'

const bounds = { electionTicks: 10, tickMs: 50, clockDriftRatio: 0.02 }
const readLease = { clockDriftRatio: 0.02 }
const at = (ms: number, wallMs = ms) => ({ monotonicMs: ms, wallMs })

test('a lease holds for less than the election timeout, by the drift of both clocks', () => {
  const lease = new Lease(bounds)
  assert.equal(lease.holds(1, at(0)), false)
  lease.confirm(1, at(1_000))
  const leaseMs = 8 * 50 * (0.98 / 1.02)
  assert.equal(lease.holds(1, at(1_000 + leaseMs - 1)), true)
  assert.equal(lease.holds(1, at(1_000 + leaseMs + 1)), false)
  assert.equal(lease.holds(2, at(1_001)), false)
  lease.confirm(1, at(900))
  assert.equal(lease.holds(1, at(1_000 + leaseMs - 1)), true)
})

test('a lease ends, is barred for a term, and does not outlast a suspended machine', () => {
  const lease = new Lease(bounds)
  lease.confirm(1, at(1_000))
  assert.equal(lease.holds(1, at(1_010, 1_061)), false)
  assert.equal(lease.holds(1, at(1_010, 1_009)), true)
  lease.end(1_020)
  assert.equal(lease.holds(1, at(1_021)), false)
  lease.confirm(1, at(1_019))
  assert.equal(lease.holds(1, at(1_021)), false)
  lease.confirm(1, at(1_020))
  assert.equal(lease.holds(1, at(1_021)), true)
  lease.bar(1)
  lease.confirm(1, at(1_030))
  assert.equal(lease.holds(1, at(1_031)), false)
  lease.confirm(2, at(1_040))
  assert.equal(lease.holds(2, at(1_041)), true)
})

async function startThree(options: ConstructorParameters<typeof TestCluster>[0]) {
  const cluster = new TestCluster(options)
  for (const id of [1, 2, 3]) await cluster.start(id)
  const leader = await cluster.electLeader()
  await cluster.propose('one')
  await cluster.caughtUp()
  return { cluster, leader }
}

test('reads of a leader with a lease send nothing; without the option each asks a quorum', async () => {
  for (const isOn of [true, false]) {
    const { cluster, leader } = await startThree(isOn ? { readLease } : {})
    await cluster.loop.result(leader.readBarrier())
    const framesBefore = cluster.network.frames
    const startMs = cluster.loop.nowMs
    for (let i = 0; i < 50; i++) await cluster.loop.result(leader.readBarrier())
    const frames = cluster.network.frames - framesBefore
    assert.ok(cluster.loop.nowMs - startMs < 250)
    // Heartbeats aside, which go on.
    if (isOn) assert.ok(frames < 10, `${frames} frames with a lease`)
    else assert.ok(frames >= 100, `${frames} frames without`)
  }
})

/** Whether the old leader still answers reads after another one has acknowledged a write. */
async function isStaleRead(cutMs: number, isRestarting: boolean): Promise<boolean> {
  const { cluster, leader } = await startThree({ readLease })
  const old = cluster.leaderId()
  const [second, third] = [1, 2, 3].filter((id) => id !== old) as [number, number]
  cluster.network.cut(nodeId(third))
  await cluster.loop.pass(cutMs)
  await cluster.loop.result(leader.readBarrier())
  cluster.network.cut(nodeId(old))
  cluster.network.heal(nodeId(third))
  if (isRestarting) {
    cluster.crash(second)
    await cluster.start(second)
  }
  await cluster.loop.result(leader.readBarrier())
  await cluster.loop.until(() => cluster.leader() !== undefined)
  await cluster.propose('two')
  let isAnswered = false
  leader.readBarrier().then(
    () => {
      isAnswered = true
    },
    () => {},
  )
  await cluster.loop.pass(1_000)
  return isAnswered
}

test('a leader that is cut off reads by its lease only until another may lead, over restarts too', async () => {
  for (let cutMs = 600; cutMs < 1_200; cutMs += 50) {
    for (const isRestarting of [false, true]) {
      assert.equal(await isStaleRead(cutMs, isRestarting), false, `${cutMs} ms, ${isRestarting}`)
    }
  }
})

test('no lease while leadership moves or members change', async () => {
  const { cluster, leader } = await startThree({ readLease })
  await cluster.loop.result(leader.readBarrier())
  const target = cluster.leaderId() === 1 ? 2 : 1
  const moved = leader.transferLeadership(nodeId(target))
  const framesBefore = cluster.network.frames
  await cluster.loop.result(moved)
  await assert.rejects(leader.propose(utf8Encode('x')), (error) => isFault(error, 'not-leader'))
  const now = await cluster.electLeader()
  await cluster.loop.result(now.readBarrier())
  const joined = now.changeMembers({ addLearners: [nodeId(4)] })
  const read = now.readBarrier()
  await cluster.loop.result(Promise.all([joined, read]))
  assert.ok(cluster.network.frames > framesBefore)
})

test('a leader whose log stalls gives leadership away, and steps down when nobody takes it', async () => {
  const { cluster, leader } = await startThree({ stallElections: 2 })
  const old = cluster.leaderId()
  const disk = cluster.disks.get(old) as TestDisk
  disk.syncMs = 60_000
  const stuck = leader.propose(utf8Encode('two'))
  stuck.catch(() => {})
  await cluster.loop.until(() => cluster.leaderId() !== old && cluster.leaderId() !== 0)
  await cluster.propose('three')
  const others = [1, 2, 3].filter((id) => id !== old)
  for (const id of others) {
    await cluster.loop.until(() => cluster.lines(id).join() === 'one,two,three')
  }
  disk.syncMs = 1
  await cluster.loop.pass(61_000)
  await cluster.caughtUp()
  assert.deepEqual(cluster.lines(old), ['one', 'two', 'three'])
})

test('a stalled leader of which nobody hears steps down by itself', async () => {
  const { cluster, leader } = await startThree({ stallElections: 2 })
  const old = cluster.leaderId()
  const disk = cluster.disks.get(old) as TestDisk
  for (const id of [1, 2, 3]) if (id !== old) (cluster.disks.get(id) as TestDisk).syncMs = 60_000
  disk.syncMs = 60_000
  leader.propose(utf8Encode('two')).catch(() => {})
  await cluster.loop.until(() => leader.status().role !== 'leader')
  assert.equal(leader.status().role === 'leader', false)
})

test('a lease without a usable bound of clocks is refused', () => {
  const self = nodeId(1)
  assert.equal(settingsOf({ self }).readLease, undefined)
  assert.equal(settingsOf({ self, readLease }).readLease?.clockDriftRatio, 0.02)
  for (const clockDriftRatio of [0, -0.01, 0.11, Number.NaN]) {
    assert.throws(
      () => settingsOf({ self, readLease: { clockDriftRatio } }),
      (error) => isFault(error, 'invalid') && error.next !== undefined,
    )
  }
})

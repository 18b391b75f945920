import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupId, isFault, nodeId, seededRandom, utf8Encode } from '../base/index.ts'
import { generationCount } from './fence.ts'
import type { Foreign } from './group.ts'
import { planQuorumRecovery, type QuorumRecovery, runQuorumRecovery } from './quorum-recovery.ts'
import { TestCluster } from './testing/cluster.ts'
import { type TestDisk, TestLog, TestStore } from './testing/doubles.ts'

const group = groupId(1)
const clusterId = new Uint8Array(16).fill(7)
const precondition = (error: unknown): boolean => isFault(error, 'precondition')

function plan(cluster: TestCluster, id: number): QuorumRecovery {
  const disk = cluster.disks.get(id) as TestDisk
  const parts = { log: new TestLog(cluster.loop, disk), store: new TestStore(disk) }
  return planQuorumRecovery(parts, { group, self: nodeId(id) })
}

async function recover(cluster: TestCluster, id: number, seed = 1): Promise<QuorumRecovery> {
  const disk = cluster.disks.get(id) as TestDisk
  const store = new TestStore(disk)
  const made = planQuorumRecovery(
    { log: new TestLog(cluster.loop, disk), store },
    { group, self: nodeId(id) },
  )
  const random = seededRandom(seed)
  await runQuorumRecovery({ store, random }, { plan: made, self: nodeId(id) })
  return made
}

/** It leads, and has applied all that it found. */
async function leadsAlone(cluster: TestCluster, id: number): Promise<void> {
  await cluster.loop.until(() => {
    const { role, applied, lastIndex } = cluster.group(id).status()
    return role === 'leader' && applied === lastIndex
  })
}

async function threeThatStopped(lines: readonly string[]): Promise<TestCluster> {
  const cluster = new TestCluster()
  for (const id of [1, 2, 3]) await cluster.start(id, [1, 2, 3], { clusterId })
  await cluster.electLeader()
  for (const line of lines) await cluster.propose(line)
  await cluster.caughtUp()
  for (const id of [1, 2, 3]) cluster.crash(id)
  return cluster
}

test('one survivor goes on alone, takes in others, and those given up are refused and stop', async () => {
  const cluster = await threeThatStopped(['one', 'two'])
  const made = await recover(cluster, 1)
  assert.deepEqual([made.voters, made.wasLearner, made.voidedChanges], [[1, 2, 3], false, 0])
  await cluster.start(1, [1, 2, 3], { clusterId })
  await cluster.electLeader()
  await cluster.propose('three')
  assert.deepEqual(cluster.lines(1), ['one', 'two', 'three'])
  assert.equal(generationCount(cluster.group(1).status().fence?.generation ?? 0), 1)

  await cluster.start(4, [1, 2, 3], { clusterId })
  const joined = cluster.group(1).changeMembers({ addVoters: [nodeId(4)] })
  await cluster.loop.result(joined)
  await cluster.propose('four')
  await cluster.loop.until(() => cluster.lines(4).length === 4)

  const met: Foreign[] = []
  const onForeign = (foreign: Foreign): void => void met.push(foreign)
  for (const id of [2, 3]) await cluster.start(id, [1, 2, 3], { clusterId, onForeign })
  await cluster.loop.until(() => met.length >= 2)
  for (const { relation } of met) assert.equal(relation, 'superseded')
  await assert.rejects(cluster.group(2).propose(utf8Encode('x')), precondition)
  await assert.rejects(cluster.group(3).readBarrier(), precondition)
  await cluster.propose('five')
  for (const id of [2, 3]) {
    cluster.crash(id)
    await assert.rejects(cluster.start(id, [1, 2, 3], { clusterId }), (error) => {
      assert.match(String(error), /generation/)
      return precondition(error)
    })
    assert.throws(() => plan(cluster, id), precondition)
  }
  assert.deepEqual(cluster.lines(1), ['one', 'two', 'three', 'four', 'five'])
})

test('what was given up is recorded durably before its owner, who may end the process, hears of it', async () => {
  const cluster = await threeThatStopped(['one'])
  await recover(cluster, 1)
  await cluster.start(1, [1, 2, 3], { clusterId })
  await cluster.electLeader()
  let isEnded = false
  const onForeign = (): void => {
    if (!isEnded) cluster.crash(2)
    isEnded = true
  }
  await cluster.start(2, [1, 2, 3], { clusterId, onForeign })
  await cluster.loop.until(() => isEnded)
  await assert.rejects(cluster.start(2, [1, 2, 3], { clusterId }), (error) => {
    assert.match(String(error), /the cluster is at generation 1/)
    return precondition(error)
  })
})

test('a change of members in the tail has no effect, the other entries of the tail do', async () => {
  const cluster = new TestCluster()
  for (const id of [1, 2, 3]) await cluster.start(id, [1, 2, 3], { clusterId })
  await cluster.electLeader()
  await cluster.propose('one')
  await cluster.caughtUp()
  const leader = cluster.leaderId()
  for (const id of [1, 2, 3]) if (id !== leader) cluster.network.cut(nodeId(id))
  const survivor = cluster.group(leader)
  survivor.propose(utf8Encode('two')).catch(() => {})
  survivor.changeMembers({ addVoters: [nodeId(4)], remove: [nodeId(leader)] }).catch(() => {})
  survivor.propose(utf8Encode('three')).catch(() => {})
  await cluster.loop.pass(100)
  for (const id of [1, 2, 3]) cluster.crash(id)
  const made = await recover(cluster, leader)
  assert.ok(made.voidedChanges === 1 && made.uncertain >= 3, JSON.stringify(made))
  await cluster.start(leader, [1, 2, 3], { clusterId })
  await leadsAlone(cluster, leader)
  await cluster.propose('four')
  assert.deepEqual(cluster.lines(leader), ['one', 'two', 'three', 'four'])
  assert.deepEqual(cluster.group(leader).status().voters, [leader])
  cluster.crash(leader)
  await cluster.start(leader, [1, 2, 3], { clusterId })
  await cluster.electLeader()
  await cluster.propose('five')
  assert.deepEqual(cluster.group(leader).status().voters, [leader])
})

test('two survivors that are both recovered refuse each other', async () => {
  const cluster = await threeThatStopped(['one'])
  await recover(cluster, 1, 1)
  await recover(cluster, 2, 2)
  const met: Foreign[] = []
  const onForeign = (foreign: Foreign): void => void met.push(foreign)
  for (const id of [1, 2]) await cluster.start(id, [1, 2, 3], { clusterId, onForeign })
  for (const id of [1, 2]) await leadsAlone(cluster, id)
  await cluster.loop.result(cluster.group(1).changeMembers({ addLearners: [nodeId(2)] }))
  await cluster.loop.until(() => met.length >= 2)
  for (const { relation } of met) assert.equal(relation, 'other-cluster')
  assert.deepEqual(cluster.group(2).status().voters, [2])
})

test('nothing to recover and no state are told apart', async () => {
  const cluster = new TestCluster()
  await cluster.start(1, [1])
  await cluster.electLeader()
  cluster.crash(1)
  assert.throws(() => plan(cluster, 1), /only voter/)
  await cluster.start(2, [1])
  cluster.crash(2)
  assert.throws(
    () => plan(cluster, 2),
    (error) => isFault(error, 'not-found'),
  )
})

test('what a crash in the middle of a recovery leaves is the state before it', async () => {
  const cluster = await threeThatStopped(['one'])
  const disk = cluster.disks.get(1) as TestDisk
  const store = new TestStore(disk)
  const made = planQuorumRecovery(
    { log: new TestLog(cluster.loop, disk), store },
    { group, self: nodeId(1) },
  )
  store.checkpoint = () => Promise.reject(new Error('power failed'))
  const parts = { store, random: seededRandom(1) }
  await assert.rejects(runQuorumRecovery(parts, { plan: made, self: nodeId(1) }))
  for (const id of [1, 2, 3]) await cluster.start(id, [1, 2, 3], { clusterId })
  await cluster.electLeader()
  await cluster.propose('two')
  await cluster.caughtUp()
  for (const id of [1, 2, 3]) assert.deepEqual(cluster.lines(id), ['one', 'two'])
})

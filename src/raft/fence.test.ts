import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Fault, groupId, isFault, nodeId, seededRandom, toHex } from '../base/index.ts'
import {
  decodeNotice,
  encodeNotice,
  type FenceNotice,
  fenceNumber,
  logFenceNumber,
  noFence,
} from './fence.ts'
import type { Foreign } from './group.ts'
import { readStateRow } from './state-row.ts'
import { TestCluster } from './testing/cluster.ts'

const group = groupId(1)
const ours = new Uint8Array(16).fill(7)
const theirs = new Uint8Array(16).fill(8)

test('numbers of fences tell groups, clusters and generations apart', () => {
  const fences = [
    { clusterId: ours, generation: 0 },
    { clusterId: ours, generation: 1 },
    { clusterId: theirs, generation: 0 },
    { clusterId: noFence.clusterId, generation: 1 },
  ]
  const numbers = fences.flatMap((fence) => [1, 2].map((id) => fenceNumber(groupId(id), fence)))
  assert.equal(new Set(numbers).size, 8)
  for (const number of numbers) assert.ok(Number.isSafeInteger(number) && number > 0)
  assert.equal(fenceNumber(group, noFence), 0)
  assert.ok(!numbers.includes(logFenceNumber(group, ours)))
})

test('a notice keeps its bytes, and damage is refused as corrupt', () => {
  const fence = { clusterId: ours.subarray(0, 3), generation: 2 }
  const notice: FenceNotice = { group, fence, isAnswerWanted: true, isBlank: false }
  const frame = encodeNotice(notice)
  assert.equal(toHex(frame), '02010000c1b5ba46000000000000000100000000000000020103070707')
  assert.deepEqual(decodeNotice(frame), {
    ...notice,
    fence: { ...fence, clusterId: frame.slice(26) },
  })
  for (let bit = 0; bit < frame.length * 8; bit++) {
    const damaged = frame.slice()
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.throws(() => decodeNotice(damaged), isCorrupt)
  }
  for (let length = 0; length < frame.length; length++) {
    assert.throws(() => decodeNotice(frame.subarray(0, length)), isCorrupt)
  }
  const random = seededRandom(1)
  for (let i = 0; i < 200; i++) {
    assert.throws(() => decodeNotice(random.bytes(random.integer(60))), isCorrupt)
  }
})

test('two clusters that meet refuse each other, tell their owners, and never merge', async () => {
  const cluster = new TestCluster()
  const met: Foreign[] = []
  const onForeign = (foreign: Foreign): void => void met.push(foreign)
  for (const id of [1, 2]) await cluster.start(id, [1, 2, 3], { clusterId: ours, onForeign })
  await cluster.start(3, [1, 2, 3], { clusterId: theirs, onForeign })
  await cluster.electLeader()
  await cluster.propose('ours')
  await cluster.loop.until(() => met.some(({ from }) => from === 3))
  await cluster.loop.until(() => met.some(({ from }) => from !== 3))
  for (const { from, relation, theirs: other } of met) {
    assert.equal(relation, 'other-cluster')
    assert.deepEqual(other.clusterId, from === 3 ? theirs : ours)
  }
  assert.deepEqual(cluster.lines(3), [])
  assert.equal(cluster.group(3).status().leader, undefined)
  assert.ok((cluster.nodes.get(3)?.raft.statistics().foreignRefused ?? 0) > 0)
  await cluster.loop.pass(5_000)
  assert.ok(met.length <= 4 * 12, `${met.length} alarms in about ten seconds`)
})

test('data of another cluster is refused at open, by its row and by its log', async () => {
  const cluster = new TestCluster()
  await cluster.start(1, [1], { clusterId: ours })
  await cluster.electLeader()
  await cluster.propose('kept')
  cluster.crash(1)
  await refused(cluster, 1, { clusterId: theirs }, /belongs to cluster 0707.*of cluster 0808/)
  await cluster.start(1, [1], { clusterId: ours })
  await cluster.electLeader()
  await cluster.propose('more')
  assert.deepEqual(cluster.lines(1), ['kept', 'more'])
  assert.deepEqual(cluster.group(1).status().fence, { clusterId: ours, generation: 0 })
  // A newcomer has no row: what it voted in is in its log only.
  await cluster.start(9, [1], { clusterId: ours })
  cluster.crash(9)
  await refused(cluster, 9, { clusterId: theirs }, /belongs to another cluster/)
})

test('state without a cluster takes on the one that its owner names, for good', async () => {
  const cluster = new TestCluster()
  await cluster.start(1, [1])
  await cluster.electLeader()
  await cluster.propose('before')
  cluster.crash(1)
  await cluster.start(1, [1], { clusterId: ours })
  await cluster.electLeader()
  await cluster.propose('after')
  cluster.crash(1)
  assert.equal(cluster.disks.get(1)?.groups.get(group)?.fence, logFenceNumber(group, ours))
  await refused(cluster, 1, { clusterId: theirs }, /belongs to cluster/)
  const { store } = await cluster.start(1, [1])
  assert.deepEqual(readStateRow(store, group)?.fence.clusterId, ours)
})

test('a newcomer of the same cluster is taken in with snapshot and fence', async () => {
  const cluster = new TestCluster()
  for (const id of [1, 2]) await cluster.start(id, [1, 2], { clusterId: ours })
  await cluster.electLeader()
  await cluster.propose('one')
  await cluster.start(3, [1, 2], { clusterId: ours })
  const leader = cluster.leader()
  await cluster.loop.result(leader?.changeMembers({ addVoters: [nodeId(3)] }) ?? Promise.reject())
  await cluster.propose('two')
  await cluster.caughtUp()
  assert.deepEqual(cluster.lines(3), ['one', 'two'])
  const store = cluster.nodes.get(3)?.store
  assert.ok(store)
  assert.deepEqual(readStateRow(store, group)?.fence, { clusterId: ours, generation: 0 })
})

async function refused(
  cluster: TestCluster,
  id: number,
  more: { readonly clusterId: Uint8Array },
  what: RegExp,
): Promise<void> {
  await assert.rejects(cluster.start(id, [1], more), (error: Fault) => {
    assert.match(error.message, what)
    return isFault(error, 'precondition')
  })
  cluster.crash(id)
}

function isCorrupt(error: unknown): boolean {
  return isFault(error, 'corrupt')
}

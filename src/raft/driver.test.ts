import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, nodeId, utf8Encode } from '../base/index.ts'
import { ids, TestCluster } from './testing/cluster.ts'

async function startThree(
  options: ConstructorParameters<typeof TestCluster>[0] = {},
  groupCount = 1,
): Promise<TestCluster> {
  const cluster = new TestCluster(options, groupCount)
  for (const id of [1, 2, 3]) await cluster.start(id)
  for (let number = 1; number <= groupCount; number++) await cluster.electLeader(number)
  return cluster
}

test('three nodes elect a leader, replicate, and answer in order', async () => {
  const cluster = await startThree()
  const leader = cluster.leader()
  assert.ok(leader)
  const answers = cluster.loop.result(
    Promise.all(['a', 'b', 'c'].map((line) => leader.propose(utf8Encode(line)))),
  )
  assert.equal((await answers).length, 3)
  await cluster.caughtUp()
  for (const id of [1, 2, 3]) assert.deepEqual(cluster.lines(id), ['a', 'b', 'c'])
})

test('proposals of one turn share one batch of the log and one frame per peer', async () => {
  const cluster = await startThree()
  const id = cluster.leaderId()
  const log = cluster.nodes.get(id)?.log
  const leader = cluster.leader()
  assert.ok(leader && log)
  await cluster.propose('warm')
  const appendedBefore = log.appended
  const lines = Array.from({ length: 500 }, (_, i) => leader.propose(utf8Encode(`line ${i}`)))
  await cluster.loop.result(Promise.all(lines))
  assert.ok(log.appended - appendedBefore <= 2, `${log.appended - appendedBefore} batches`)
})

test('a follower refuses proposals and names the leader', async () => {
  const cluster = await startThree()
  const leaderId = cluster.leaderId()
  const follower = cluster.group(leaderId === 1 ? 2 : 1)
  await cluster.propose('first')
  await cluster.caughtUp()
  await assert.rejects(follower.propose(utf8Encode('x')), (error) => {
    return isFault(error, 'not-leader') && error.fields.leader === String(leaderId)
  })
})

test('everything acknowledged survives a crash of all nodes before any checkpoint', async () => {
  const cluster = await startThree()
  for (let i = 0; i < 20; i++) await cluster.propose(`line ${i}`)
  for (const id of [1, 2, 3]) cluster.crash(id)
  for (const id of [1, 2, 3]) await cluster.start(id)
  await cluster.electLeader()
  await cluster.propose('after')
  await cluster.caughtUp()
  for (const id of [1, 2, 3]) assert.equal(cluster.lines(id).length, 21)
  assert.deepEqual(cluster.lines(1), cluster.lines(2))
})

test('a lagging node behind the cut receives a snapshot, then entries, and keeps them over a crash', async () => {
  const cluster = await startThree({ logBytesMax: 4_096 })
  const lagging = cluster.leaderId() === 3 ? 2 : 3
  cluster.crash(lagging)
  for (let i = 0; i < 400; i++) await cluster.propose(`line number ${i}`)
  await cluster.loop.pass(2_000)
  const leader = cluster.leader()
  assert.ok(leader && leader.status().firstIndex > 100, 'the leader has cut its log')
  await cluster.start(lagging)
  await cluster.propose('more')
  await cluster.caughtUp()
  assert.equal(cluster.lines(lagging).length, 401)
  const { raft } = cluster.nodes.get(lagging) ?? {}
  await cluster.loop.until(() => raft?.statistics().snapshotsInstalled === 1)
  await cluster.propose('and more')
  await cluster.caughtUp()
  cluster.crash(lagging)
  await cluster.start(lagging)
  await cluster.caughtUp()
  assert.deepEqual(cluster.lines(lagging), cluster.lines(cluster.leaderId()))
})

test('an entry of many turns holds back what follows it in its group, and nothing else', async () => {
  const cluster = await startThree({}, 2)
  const [one, two] = [cluster.leader(1), cluster.leader(2)]
  assert.ok(one && two)
  // Its disk is behind, so that there is a tick between turns.
  for (const { store } of cluster.nodes.values()) store.isSlow = true
  const order: string[] = []
  const proposed = [
    [one, 'before'],
    [one, 'slow'],
    [one, 'behind it'],
    [one, 'slow again'],
    [one, 'last'],
  ] as const
  const all = proposed.map(async ([group, line]) => {
    const answer = await group.propose(utf8Encode(line))
    order.push(line)
    return answer.at(-1)
  })
  await cluster.loop.until(() => order.includes('before'))
  await cluster.loop.result(two.propose(utf8Encode('elsewhere')))
  order.push('elsewhere')
  const read = one.readBarrier().then(() => order.push('read'))
  assert.deepEqual(await cluster.loop.result(Promise.all(all)), [1, 2, 3, 4, 5])
  await cluster.loop.result(read)
  const lines = proposed.map(([, line]) => line)
  assert.deepEqual(order, ['before', 'elsewhere', ...lines.slice(1), 'read'])
  await cluster.caughtUp()
  for (const id of [1, 2, 3]) assert.deepEqual(cluster.lines(id), lines)
})

test('snapshots wait for the end of an entry, and a node that dies within one begins it anew', async () => {
  const cluster = await startThree({ logBytesMax: 4_096 })
  const lagging = cluster.leaderId() === 3 ? 2 : 3
  cluster.crash(lagging)
  const leader = cluster.leader()
  assert.ok(leader)
  for (let i = 0; i < 40; i++) {
    const lines = Array.from({ length: 10 }, (_, n) => `${n === 5 ? 'slow ' : ''}line ${i}.${n}`)
    await cluster.loop.result(Promise.all(lines.map((line) => leader.propose(utf8Encode(line)))))
  }
  await cluster.loop.until(() => leader.status().firstIndex > 100)
  const pending = leader.propose(utf8Encode('slow, while one joins')).catch(() => undefined)
  await cluster.start(lagging)
  await cluster.loop.until(() => leader.status().commit > leader.status().applied)
  cluster.crash(lagging)
  await cluster.start(lagging)
  await cluster.loop.result(pending)
  await cluster.propose('more')
  await cluster.caughtUp()
  assert.equal(cluster.lines(lagging).length, 402)
  assert.deepEqual(cluster.lines(lagging), cluster.lines(cluster.leaderId()))
})

test('a new node joins by snapshot as learner, then replaces a voter', async () => {
  const cluster = await startThree()
  await cluster.propose('before')
  await cluster.start(4, [])
  const leader = cluster.leader()
  assert.ok(leader)
  await cluster.loop.result(leader.changeMembers({ addLearners: ids([4]) }))
  await cluster.caughtUp()
  assert.deepEqual(cluster.lines(4), ['before'])
  assert.equal(cluster.group(4).status().isLearner, true)
  const removed = [1, 2, 3].find((id) => id !== cluster.leaderId()) ?? 0
  await cluster.loop.result(leader.changeMembers({ addVoters: ids([4]), remove: ids([removed]) }))
  const { voters, votersOutgoing } = leader.status()
  assert.deepEqual(
    [...voters],
    [1, 2, 3, 4].filter((id) => id !== removed),
  )
  assert.deepEqual([...votersOutgoing], [])
  cluster.crash(removed)
  await cluster.propose('after')
  await cluster.caughtUp()
  assert.deepEqual(cluster.lines(4), ['before', 'after'])
})

test('leadership moves on request and the old leader refuses from then on', async () => {
  const cluster = await startThree()
  const from = cluster.leaderId()
  const to = from === 1 ? 2 : 1
  await cluster.loop.result(cluster.group(from).transferLeadership(nodeId(to)))
  await cluster.loop.until(() => cluster.leaderId() === to)
  await assert.rejects(cluster.group(from).propose(utf8Encode('x')), (error) => {
    return isFault(error, 'not-leader')
  })
  assert.equal(await cluster.propose('new'), 1)
})

test('proposals of a leader that is cut off end as unknown and are not lost silently', async () => {
  const cluster = await startThree()
  const old = cluster.leaderId()
  await cluster.propose('kept')
  cluster.network.cutOff.add(nodeId(old))
  const stranded = cluster.group(old).propose(utf8Encode('stranded'))
  const outcome = stranded.then(
    () => 'applied',
    (error: unknown) => (isFault(error) ? `${error.code} ${error.outcome}` : String(error)),
  )
  await cluster.electLeader()
  assert.equal(await cluster.propose('new'), 2)
  assert.equal(await cluster.loop.result(outcome), 'unavailable unknown')
  cluster.network.cutOff.clear()
  await cluster.propose('healed')
  await cluster.caughtUp()
  assert.deepEqual(cluster.lines(old), ['kept', 'new', 'healed'])
})

test('an overwritten proposal whose place is taken in time is known to have failed', async () => {
  const cluster = await startThree()
  const old = cluster.leaderId()
  cluster.network.cutOff.add(nodeId(old))
  const stranded = cluster.group(old).propose(utf8Encode('stranded'))
  const outcome = stranded.then(
    () => 'applied',
    (error: unknown) => (isFault(error) ? `${error.code} ${error.outcome}` : String(error)),
  )
  await cluster.electLeader()
  await cluster.propose('taken')
  cluster.network.cutOff.clear()
  assert.equal(await cluster.loop.result(outcome), 'not-leader failed')
})

test('a read barrier on a follower waits for what was committed before it', async () => {
  const cluster = await startThree()
  const follower = cluster.leaderId() === 1 ? 2 : 1
  await cluster.propose('seen')
  await cluster.loop.result(cluster.group(follower).readBarrier())
  assert.deepEqual(cluster.lines(follower), ['seen'])
})

test('a read barrier without a leader ends as unavailable', async () => {
  const cluster = await startThree()
  cluster.crash(2)
  cluster.crash(3)
  await assert.rejects(cluster.loop.result(cluster.group(1).readBarrier()), (error) => {
    return isFault(error, 'unavailable') && error.outcome === 'failed'
  })
})

test('a full disk on the leader: nothing is acknowledged, another leads, space returns', async () => {
  const cluster = await startThree()
  const old = cluster.leaderId()
  await cluster.propose('kept')
  const disk = cluster.disks.get(old)
  assert.ok(disk)
  disk.isFull = true
  const refused = cluster.group(old).propose(utf8Encode('refused'))
  const outcome = refused.then(
    () => 'applied',
    (error: unknown) => (isFault(error) ? `${error.code} ${error.outcome}` : String(error)),
  )
  assert.equal(await cluster.loop.result(outcome), 'no-space unknown')
  await cluster.loop.until(() => ![0, old].includes(cluster.leaderId()))
  await cluster.propose('elsewhere')
  assert.ok(!cluster.lines(old).includes('elsewhere'))
  disk.isFull = false
  await cluster.propose('space again')
  await cluster.caughtUp()
  assert.deepEqual(cluster.lines(old), cluster.lines(cluster.leaderId()))
})

test('groups of a node share batches and frames; idle frames do not grow with groups', async () => {
  const one = await startThree({}, 1)
  const many = await startThree({}, 6)
  const framesIdle = async (cluster: TestCluster): Promise<number> => {
    for (let number = 1; number <= 6; number++) {
      const leader = cluster.leader(number)
      if (leader === undefined || leader.status().leader === nodeId(1)) continue
      await cluster.loop.result(leader.transferLeadership(nodeId(1)))
    }
    await cluster.loop.pass(1_000)
    const before = cluster.network.frames
    await cluster.loop.pass(5_000)
    return cluster.network.frames - before
  }
  const few = await framesIdle(one)
  const all = await framesIdle(many)
  assert.ok(all <= few * 2.1, `${few} frames with one group, ${all} with six`)
})

test('a store older than the cut of the log is refused with the reason', async () => {
  const cluster = await startThree({ logBytesMax: 2_048 })
  for (let i = 0; i < 300; i++) await cluster.propose(`line number ${i}`)
  await cluster.loop.pass(2_000)
  cluster.crash(1)
  const disk = cluster.disks.get(1)
  assert.ok(disk)
  disk.tables = new Map()
  await assert.rejects(cluster.start(1), (error) => isFault(error, 'corrupt'))
})

test('close makes everything durable: a restart applies nothing again', async () => {
  const cluster = await startThree()
  for (let i = 0; i < 10; i++) await cluster.propose(`line ${i}`)
  await cluster.caughtUp()
  const node = cluster.nodes.get(2)
  assert.ok(node)
  const { applied } = cluster.group(2).status()
  await cluster.loop.result(node.raft.close())
  cluster.crash(2)
  await cluster.start(2)
  assert.equal(cluster.group(2).status().applied, applied)
})

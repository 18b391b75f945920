import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId, seededRandom, utf8Encode } from '../base/index.ts'
import { TestCluster } from './testing/cluster.ts'

/** Three nodes whose groups have a leader each and have come to rest. */
async function atRest(groupCount: number): Promise<TestCluster> {
  const cluster = new TestCluster({}, groupCount)
  for (const id of [1, 2, 3]) await cluster.start(id)
  for (let number = 1; number <= groupCount; number++) {
    await cluster.electLeader(number)
    await cluster.propose('first', number)
  }
  await cluster.loop.pass(3_000)
  return cluster
}

/** Frames of the network within ten seconds in which nobody asks for anything. */
async function framesAtRest(cluster: TestCluster): Promise<number> {
  const before = cluster.network.frames
  await cluster.loop.pass(10_000)
  return cluster.network.frames - before
}

test('groups at rest cost pulses only, however many there are', async () => {
  const few = await framesAtRest(await atRest(1))
  const many = await atRest(40)
  const frames = await framesAtRest(many)
  // Four pulses a second and their answers, between all pairs at most.
  assert.ok(few <= 160 + 10, `${few} frames`)
  assert.ok(frames <= 240 + 10, `${frames} frames`)
  const terms = Array.from({ length: 40 }, (_, i) => many.group(1, i + 1).status().term)
  await many.loop.pass(20_000)
  for (let i = 0; i < 40; i++) {
    assert.equal(many.group(1, i + 1).status().term, terms[i], 'no election took place')
    const leader = many.leader(i + 1)
    assert.ok(leader !== undefined)
    assert.ok(many.loop.nowMs - leader.status().heardMs < 500, 'the leader hears its quorum')
  }
})

test('a group at rest takes proposals and reads at once', async () => {
  const cluster = await atRest(2)
  const fromMs = cluster.loop.nowMs
  await cluster.propose('second', 2)
  await cluster.loop.result(cluster.group(cluster.leaderId(1) === 1 ? 2 : 1, 1).readBarrier())
  await cluster.caughtUp(2)
  assert.ok(cluster.loop.nowMs - fromMs < 200, `${cluster.loop.nowMs - fromMs} ms`)
  for (const id of [1, 2, 3]) assert.deepEqual(cluster.lines(id, 2), ['first', 'second'])
})

test('when the leader of groups at rest is gone, others lead soon', async () => {
  const cluster = await atRest(20)
  const gone = cluster.leaderId(1)
  const ledByIt = Array.from({ length: 20 }, (_, i) => i + 1).filter(
    (number) => cluster.leaderId(number) === gone,
  )
  const fromMs = cluster.loop.nowMs
  cluster.crash(gone)
  for (const number of ledByIt) await cluster.electLeader(number)
  assert.ok(cluster.loop.nowMs - fromMs < 2_000, `${cluster.loop.nowMs - fromMs} ms`)
  for (const number of ledByIt) await cluster.propose('after', number)
})

test('a follower that is cut off knows within a second that it hears nobody', async () => {
  const cluster = await atRest(3)
  const follower = cluster.leaderId(1) === 3 ? 2 : 3
  const silentMs = (): number => cluster.loop.nowMs - cluster.group(follower).status().heardMs
  assert.ok(silentMs() < 500)
  cluster.network.cut(nodeId(follower))
  await cluster.loop.pass(1_000)
  assert.ok(silentMs() >= 750, `${silentMs()} ms`)
  await cluster.propose('without it', 1)
  cluster.network.heal(nodeId(follower))
  await cluster.loop.until(() => cluster.lines(follower, 1).length === 2)
})

test('a leader at rest that is cut off steps down, and what it led goes on elsewhere', async () => {
  const cluster = await atRest(3)
  const gone = cluster.leaderId(1)
  const old = cluster.group(gone)
  cluster.network.cut(nodeId(gone))
  await cluster.loop.until(() => old.status().role !== 'leader', 2_000)
  await cluster.electLeader(1)
  await cluster.propose('elsewhere', 1)
  cluster.network.heal(nodeId(gone))
  await cluster.loop.until(() => cluster.lines(gone, 1).length === 2)
})

test('groups rest without a member that is down, and bring it up to date when it is back', async () => {
  const cluster = await atRest(3)
  const gone = cluster.leaderId(1) === 3 ? 2 : 3
  cluster.crash(gone)
  for (let number = 1; number <= 3; number++) {
    await cluster.electLeader(number)
    await cluster.propose('meanwhile', number)
  }
  await cluster.loop.pass(4_000)
  const frames = await framesAtRest(cluster)
  assert.ok(frames <= 200 + 10, `${frames} frames`)
  await cluster.start(gone)
  cluster.network.heal(nodeId(gone))
  for (let number = 1; number <= 3; number++) {
    await cluster.loop.until(() => cluster.lines(gone, number).length === 2)
  }
})

test('whatever is cut and killed between rests, every group answers again', async () => {
  for (let seed = 1; seed <= 6; seed++) {
    const random = seededRandom(seed)
    const cluster = await atRest(4)
    const written = [1, 1, 1, 1]
    for (let step = 0; step < 12; step++) {
      const node = 1 + random.integer(3)
      const isKill = random.integer(3) === 0
      if (isKill) cluster.crash(node)
      else cluster.network.cut(nodeId(node))
      await cluster.loop.pass(random.integer(2_500))
      if (isKill) await cluster.start(node)
      cluster.network.heal(nodeId(node))
      if (random.integer(2) === 0) await cluster.loop.pass(random.integer(4_000))
      const number = 1 + random.integer(4)
      await cluster.loop.until(() => cluster.leader(number) !== undefined)
      const line = utf8Encode(`step ${step}`)
      const proposed = cluster.leader(number)?.propose(line)
      await cluster.loop.result(
        proposed?.then(
          () => {
            written[number - 1] = (written[number - 1] ?? 0) + 1
          },
          () => undefined,
        ) ?? Promise.resolve(),
      )
    }
    await cluster.loop.pass(5_000)
    for (let number = 1; number <= 4; number++) {
      await cluster.electLeader(number)
      await cluster.propose('last', number)
      await cluster.caughtUp(number)
      const lines = cluster.lines(1, number)
      assert.ok(lines.length > (written[number - 1] ?? 0), `seed ${seed}, group ${number}`)
      for (const id of [2, 3]) assert.deepEqual(cluster.lines(id, number), lines)
    }
  }
})

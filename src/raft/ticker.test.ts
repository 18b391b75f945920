import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FaultyDisk } from '../storage/testing/faulty-host.ts'
import { TestCluster } from './testing/cluster.ts'
import { testHost, TestLoop } from './testing/loop.ts'
import { Ticker } from './ticker.ts'

test('a late tick counts once, and tells by how much it was late', async () => {
  const loop = new TestLoop()
  const { clock } = testHost(loop, 1, new FaultyDisk())
  let ticks = 0
  const ticker = new Ticker(clock, 50, () => {
    ticks++
    return 1
  })
  await loop.until(() => ticks === 4)
  assert.deepEqual([loop.nowMs, ticker.now, ticker.lateMs], [200, 4, 0])
  // The process was stopped for ten seconds.
  loop.nowMs += 10_000
  await loop.until(() => ticks === 5)
  assert.deepEqual([loop.nowMs, ticker.now, ticker.lateMs], [10_200, 5, 9_950])
  await loop.until(() => ticks === 6)
  assert.deepEqual([loop.nowMs, ticker.lateMs], [10_250, 0])
  ticker.cancel()
})

test('a nap counts as many ticks as were planned, however late its end', async () => {
  const loop = new TestLoop()
  const { clock } = testHost(loop, 1, new FaultyDisk())
  let naps = 0
  const ticker = new Ticker(clock, 50, () => {
    naps++
    return 20
  })
  await loop.until(() => naps === 1)
  loop.nowMs += 60_000
  await loop.until(() => naps === 2)
  assert.equal(ticker.now, 21)
  ticker.cancel()
})

test('who has priority leads nearly always, and who has none seldom', async () => {
  const wins = new Map<number, number>()
  for (let round = 0; round < 12; round++) {
    const cluster = new TestCluster({}, 1, round * 100)
    for (const id of [1, 2, 3]) {
      await cluster.start(id, [1, 2, 3], { electionPriority: id === 2 ? 10 : 0 })
    }
    await cluster.electLeader()
    const leader = cluster.leaderId()
    wins.set(leader, (wins.get(leader) ?? 0) + 1)
  }
  assert.ok((wins.get(2) ?? 0) >= 10, JSON.stringify([...wins]))
})

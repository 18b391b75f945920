import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId } from '../base/index.ts'
import type { ConfState, Progress } from './core/index.ts'
import { planPromotion } from './promotion.ts'
import { TestCluster } from './testing/cluster.ts'

function progressOf(over: Partial<Progress>): Progress {
  return {
    match: 100,
    next: 101,
    state: 'replicate',
    pendingSnapshot: 0,
    isRecentActive: true,
    isPaused: false,
    isLearner: true,
    inflightCount: 0,
    isInflightFull: false,
    ...over,
  }
}

const confState: ConfState = {
  voters: [1, 2],
  learners: [3, 4],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
}

test('the first learner that is alive and close is promoted, and none too many', () => {
  const plan = (three: Partial<Progress>, votersMax = 3, over: Partial<ConfState> = {}) => {
    const progress = new Map([
      [3, progressOf(three)],
      [4, progressOf({ match: 1 })],
    ])
    return planPromotion({ ...confState, ...over }, { commit: 120, progress }, votersMax)
  }
  assert.equal(plan({}), 3)
  assert.equal(plan({}, 2), undefined)
  assert.equal(plan({}, 3, { votersOutgoing: [1] }), undefined)
  for (const not of [{ match: 55 }, { isRecentActive: false }, { state: 'probe' as const }]) {
    assert.equal(plan(not), undefined)
  }
})

test('learners become voters once they have caught up, those that are down do not', async () => {
  const cluster = new TestCluster()
  await cluster.start(1, [1], { votersWanted: 3 })
  await cluster.electLeader()
  for (let i = 0; i < 200; i++) await cluster.propose(`${i}`)
  await cluster.start(2, [1], { votersWanted: 3 })
  const added = cluster.group(1).changeMembers({ addLearners: [2, 3].map(nodeId) })
  await cluster.loop.result(added)
  await cluster.loop.until(() => cluster.group(1).status().voters.join() === '1,2')
  await cluster.loop.pass(5_000)
  assert.deepEqual(cluster.group(1).status().learners, [3])
  await cluster.start(3, [1], { votersWanted: 3 })
  await cluster.propose('more')
  await cluster.loop.until(() => cluster.group(1).status().voters.join() === '1,2,3')
  await cluster.loop.until(() => cluster.lines(3).length === 201)
})

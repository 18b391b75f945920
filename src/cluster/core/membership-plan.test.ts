import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type NodeId, nodeId } from '../../base/index.ts'
import type { Member, MemberState } from '../cluster.ts'
import { type Configuration, isInStep, planMembership } from './membership-plan.ts'

function member(id: number, state: MemberState = 'online', replaces?: number): Member {
  const address = { host: 'h', port: 1 }
  return {
    id: nodeId(id),
    name: `node-${id}`,
    state,
    control: address,
    bulk: address,
    admin: address,
    s3: address,
    labels: {},
    caps: [],
    version: '',
    capacityBytes: 0,
    replaces: replaces === undefined ? undefined : nodeId(replaces),
  }
}
const ids = (...numbers: number[]): NodeId[] => numbers.map(nodeId)
function configuration(voters: number[], learners: number[] = [], lag = 0): Configuration {
  const match = new Map([...voters, ...learners].map((id) => [nodeId(id), 1_000 - lag]))
  return {
    voters: ids(...voters),
    learners: ids(...learners),
    votersOutgoing: [],
    match,
    commit: 1_000,
  }
}
const replaced = [member(1), member(2, 'removed'), member(3), member(4, 'joining', 2)]

test('a settled group is left alone', () => {
  const members = [member(1), member(2), member(3)]
  assert.equal(planMembership(members, configuration([1, 2, 3]), 5), undefined)
})

test('a replacement becomes a learner, waits until it has caught up, then swaps in one joint change', () => {
  assert.deepEqual(planMembership(replaced, configuration([1, 2, 3]), 5), { addLearners: ids(4) })
  assert.equal(planMembership(replaced, configuration([1, 2, 3], [4], 500), 5), undefined)
  assert.deepEqual(planMembership(replaced, configuration([1, 2, 3], [4]), 5), {
    addVoters: ids(4),
    remove: ids(2),
  })
  assert.equal(planMembership(replaced, configuration([1, 3, 4]), 5), undefined)
})

test('a learner that never answered is not promoted, however short the log is', () => {
  const members = [member(1), member(2)]
  const short = { ...configuration([1], [2]), commit: 10 }
  const silent = { ...short, match: new Map([[nodeId(1), 10]]) }
  assert.equal(planMembership(members, silent, 3), undefined)
  const answering = { ...short, match: new Map([1, 2].map((id) => [nodeId(id), 9])) }
  assert.deepEqual(planMembership(members, answering, 3), { addVoters: ids(2) })
})

test('nothing is asked for while a joint change runs', () => {
  const joint = { ...configuration([1, 3, 4]), votersOutgoing: ids(1, 2, 3) }
  assert.equal(planMembership([member(1), member(9)], joint, 5), undefined)
})

test('a replacement of a replacement takes the place of both', () => {
  const members = [
    member(1),
    member(2, 'removed'),
    member(3),
    member(4, 'removed', 2),
    member(5, 'joining', 4),
  ]
  assert.deepEqual(planMembership(members, configuration([1, 2, 3], [4]), 5), {
    addLearners: ids(5),
  })
  assert.deepEqual(planMembership(members, configuration([1, 2, 3], [4, 5]), 5), {
    addVoters: ids(5),
    remove: ids(2),
  })
  assert.deepEqual(planMembership(members, configuration([1, 3, 5], [4]), 5), { remove: ids(4) })
})

test('a removed voter that nobody replaces leaves; spare learners are promoted up to the target', () => {
  const members = [member(1), member(2, 'removed'), member(3), member(6), member(7)]
  assert.deepEqual(planMembership(members, configuration([1, 2, 3], [6, 7]), 3), {
    remove: ids(2),
  })
  assert.deepEqual(planMembership(members, configuration([1, 3], [6, 7]), 3), {
    addVoters: ids(6),
  })
  assert.equal(planMembership(members, configuration([1, 3, 6], [7]), 3), undefined)
})

test('a draining voter gives its vote to a learner that has caught up, in one joint change', () => {
  const members = [member(1), member(2), member(3, 'draining'), member(4)]
  const far = configuration([1, 2, 3], [4], 500)
  assert.equal(planMembership(members, far, 3), undefined)
  assert.deepEqual(planMembership(members, configuration([1, 2, 3], [4]), 3), {
    addVoters: ids(4),
    addLearners: ids(3),
  })
  assert.equal(isInStep(members, configuration([1, 2, 3], [4]), 3), false)
  assert.equal(planMembership(members, configuration([1, 2, 4], [3]), 3), undefined)
  assert.equal(isInStep(members, configuration([1, 2, 4], [3]), 3), true)
})

test('without a spare a draining voter is demoted only if the others are a majority that is up', () => {
  const members = [member(1), member(2), member(3), member(4), member(5, 'draining')]
  const now = configuration([1, 2, 3, 4, 5])
  assert.deepEqual(planMembership(members, now, 5), { addLearners: ids(5) })
  const isUp = (id: NodeId): boolean => id !== 1 && id !== 2
  assert.equal(planMembership(members, { ...now, isUp }, 5), undefined)
  const lagging = { ...now, match: new Map(ids(3, 4, 5).map((id) => [id, 1_000])) }
  assert.equal(planMembership(members, lagging, 5), undefined)
  // A spare that is down is waited for only while the others are too few without it.
  const isThere = (id: NodeId): boolean => id !== 5
  const behind = { ...configuration([1, 2, 3, 4], [5]), isUp: isThere }
  const without = { ...behind, match: new Map(ids(1, 2, 3, 4).map((id) => [id, 1_000])) }
  const five = [member(1), member(2), member(3), member(4, 'draining'), member(5)]
  assert.deepEqual(planMembership(five, without, 5), { addLearners: ids(4) })
  const few = { ...without, voters: ids(1, 2, 4) }
  assert.equal(planMembership([member(1), member(2), ...five.slice(3)], few, 5), undefined)
})

test('several that drain go one by one, and the last voter stays', () => {
  const members = [member(1), member(2), member(3), member(4, 'draining'), member(5, 'draining')]
  assert.deepEqual(planMembership(members, configuration([1, 2, 3, 4, 5]), 5), {
    addLearners: ids(4),
  })
  assert.deepEqual(planMembership(members, configuration([1, 2, 3, 5], [4]), 5), {
    addLearners: ids(5),
  })
  assert.equal(planMembership(members, configuration([1, 2, 3], [4, 5]), 5), undefined)
  const alone = [member(1, 'draining')]
  assert.equal(planMembership(alone, configuration([1]), 5), undefined)
  assert.equal(isInStep(alone, configuration([1]), 5), true)
})

test('a drain that is cancelled brings the vote back', () => {
  const members = [member(1), member(2), member(3)]
  assert.deepEqual(planMembership(members, configuration([1, 2], [3]), 5), { addVoters: ids(3) })
})

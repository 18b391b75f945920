import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, type NodeId, nodeId } from '../../base/index.ts'
import type { Member, MemberState } from '../cluster.ts'
import {
  type Addresses,
  type LeavingFacts,
  type LeavingPlan,
  planAddition,
  planDrain,
  planDrainCancel,
  planReaddress,
  planRemoval,
  requireUnopposed,
} from './leaving-plan.ts'

function addresses(host: string): Addresses {
  return {
    control: { host, port: 6660 },
    bulk: { host, port: 9991 },
    admin: { host, port: 7777 },
    s3: { host, port: 9000 },
  }
}
function member(id: number, state: MemberState = 'online'): Member {
  return {
    id: nodeId(id),
    name: `node-${id}`,
    state,
    ...addresses(`10.0.0.${id}`),
    labels: {},
    caps: [],
    version: '',
    capacityBytes: 0,
    replaces: undefined,
  }
}
const ids = (...numbers: number[]): NodeId[] => numbers.map(nodeId)
const empty = { shards: 0, bytes: 0, lastCopies: 0 }

function facts(given: {
  readonly members: readonly Member[]
  readonly voters?: readonly number[]
  readonly learners?: readonly number[]
  readonly down?: readonly number[]
  readonly held?: LeavingFacts['held']
  readonly isDrained?: boolean
}): LeavingFacts {
  const { members, down = [], isDrained = false } = given
  const voters = given.voters ?? members.map(({ id }) => id)
  return {
    members,
    code: { dataShards: 2, parityShards: 1 },
    groups: [
      { name: '/raft/system', voters: ids(...voters), learners: ids(...(given.learners ?? [])) },
    ],
    isUp: (id) => !down.includes(id),
    held: 'held' in given ? given.held : empty,
    isDrained,
  }
}
const four = [1, 2, 3, 4].map((id) => member(id))
const three = four.slice(0, 3)
const holding = { shards: 120, bytes: 9_000, lastCopies: 0 }

type Row = readonly [what: string, plan: () => LeavingPlan, objection: RegExp | undefined]
const rows: readonly Row[] = [
  ['a spare member drains', () => planDrain(facts({ members: four }), nodeId(4)), undefined],
  [
    'three members of 2+1 cannot spare one',
    () => planDrain(facts({ members: three }), nodeId(3)),
    /2 members would stay and the code 2\+1 needs 3, so its shards have nowhere to go/,
  ],
  [
    'another one drains already',
    () => planDrain(facts({ members: [...three, member(4, 'draining')] }), nodeId(3)),
    /2 members would stay/,
  ],
  [
    'the rest is no majority that is up',
    () => planDrain(facts({ members: four, down: [1, 2] }), nodeId(4)),
    /1 of the 3 voters of \/raft\/system that stay are up/,
  ],
  [
    'an empty member that drained is removed',
    () => {
      const members = [...three, member(4, 'draining')]
      return planRemoval(
        facts({ members, voters: [1, 2, 3], learners: [4], isDrained: true }),
        nodeId(4),
      )
    },
    undefined,
  ],
  [
    'a member that never held anything is removed',
    () => planRemoval(facts({ members: four }), nodeId(4)),
    undefined,
  ],
  [
    'one that holds shards is not, drained or not',
    () => planRemoval(facts({ members: four, held: holding }), nodeId(4)),
    /still holds 120 shards \(9000 bytes\), whose chunks would lack redundancy/,
  ],
  [
    'nor one that holds the last copies',
    () => planRemoval(facts({ members: four, held: { ...holding, lastCopies: 3 } }), nodeId(4)),
    /3 chunks cannot be read without it: their objects would be lost/,
  ],
  [
    'nor one of which nobody knows what it holds',
    () => planRemoval(facts({ members: four, held: undefined }), nodeId(4)),
    /nobody can say now what only it holds/,
  ],
  [
    'nor one that leaves fewer than the code needs',
    () => planRemoval(facts({ members: three }), nodeId(3)),
    /so new objects could not be stored/,
  ],
  [
    'nor one without which no majority is up',
    () => planRemoval(facts({ members: four, down: [1, 2] }), nodeId(4)),
    /1 of the 3 voters/,
  ],
  [
    'nor one of two whose vote it takes to let it go',
    () => planRemoval(facts({ members: three, voters: [1, 2] }), nodeId(2)),
    /system cannot decide without its vote, so nothing could be written there any more/,
  ],
  [
    'nor one of four while another is down',
    () => planRemoval(facts({ members: four, down: [1] }), nodeId(4)),
    /cannot decide without its vote/,
  ],
  [
    'a dead voter costs the quorum nothing',
    () => planRemoval(facts({ members: four, down: [4] }), nodeId(4)),
    undefined,
  ],
]
for (const [what, plan, objection] of rows) {
  test(what, () => {
    const planned = plan()
    const asked = { verb: 'removed', isForced: false }
    if (objection === undefined) {
      assert.deepEqual(planned.objections, [])
      requireUnopposed(planned, asked)
      return
    }
    assert.match(planned.objections.join('; '), objection)
    assert.throws(
      () => requireUnopposed(planned, asked),
      (error) => isFault(error, 'precondition'),
    )
    requireUnopposed(planned, { ...asked, isForced: true })
  })
}

test('the only voter of a group stays, by force too', () => {
  const members = [member(1), member(2)]
  const sole = facts({ members, voters: [1], learners: [] })
  const plan = planRemoval(sole, nodeId(1))
  assert.match(plan.refusal ?? '', /only voter of \/raft\/system, and everything in there/)
  assert.throws(() => requireUnopposed(plan, { verb: 'removed', isForced: true }))
  const soon = planDrain(facts({ members, voters: [1], learners: [2] }), nodeId(1))
  assert.match(soon.refusal ?? '', /until node 2 has caught up/)
})

test('states: what is gone stays gone, what drains is left alone, what joins waits', () => {
  const members = [...three, member(4, 'removed'), member(5, 'joining'), member(6, 'draining')]
  assert.throws(() => planDrain(facts({ members }), nodeId(4)), { code: 'not-found' })
  assert.throws(() => planDrain(facts({ members }), nodeId(9)), { code: 'not-found' })
  assert.throws(() => planDrain(facts({ members }), nodeId(5)), { code: 'precondition' })
  assert.equal(planDrain(facts({ members }), nodeId(6)).next, undefined)
  assert.equal(planRemoval(facts({ members }), nodeId(4)).next, undefined)
  assert.equal(planRemoval(facts({ members }), nodeId(5)).next?.state, 'removed')
  assert.equal(planDrainCancel(members, nodeId(6))?.state, 'online')
  assert.equal(planDrainCancel(members, nodeId(1)), undefined)
})

test('a newcomer gets the next id, a free name and free addresses, or a clear refusal', () => {
  const newcomer = { addresses: addresses('10.0.0.9'), labels: { rack: 'r1' }, caps: ['s3'] }
  const added = planAddition(three, nodeId(7), newcomer)
  assert.deepEqual(
    [added.id, added.name, added.state, added.labels],
    [8, 'node-8', 'joining', { rack: 'r1' }],
  )
  const taken = { ...newcomer, addresses: addresses('10.0.0.2') }
  assert.throws(() => planAddition(three, nodeId(7), taken), /control address of node 2/)
  assert.throws(() => planAddition(three, nodeId(7), { ...newcomer, name: 'node-2' }), {
    code: 'exists',
  })
  const gone = [member(1), member(2, 'removed')]
  assert.equal(planAddition(gone, nodeId(2), { ...taken, name: 'node-2' }).id, 3)
})

test('a member moves to addresses that nobody has', () => {
  assert.throws(() => planReaddress(three, nodeId(1), addresses('10.0.0.2')), { code: 'exists' })
  assert.equal(planReaddress(three, nodeId(1), addresses('10.0.0.1')), undefined)
  const moved = planReaddress(three, nodeId(1), addresses('10.0.0.9'))
  assert.equal(moved?.control.host, '10.0.0.9')
  const gone = [member(1), member(2, 'removed')]
  assert.ok(planReaddress(gone, nodeId(1), addresses('10.0.0.2')))
  assert.throws(() => planReaddress(gone, nodeId(2), addresses('10.0.0.3')), { code: 'not-found' })
})

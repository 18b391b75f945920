// What the group behind etcd's API becomes, step by step, when its members are given other roles than the plan's.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nodeId } from '../base/index.ts'
import type { Configuration, Member } from '../cluster/index.ts'
import {
  type EtcdRole,
  isInStepWithRoles,
  planWithRoles,
  readRoles,
  writeRole,
} from './etcd-roles.ts'
import { testDirectory } from '../keyspace/testing/doubles.ts'
import { World } from '../keyspace/testing/world.ts'

const address = { host: 'h', port: 1 }
const members = [1, 2, 3, 4].map(
  (id): Member => ({
    id: nodeId(id),
    name: `node-${id}`,
    state: 'online',
    control: address,
    bulk: address,
    admin: address,
    s3: address,
    labels: {},
    caps: [],
    version: '',
    capacityBytes: 0,
    replaces: undefined,
  }),
)

/** Applies the plan until it asks for nothing more; answers each step, and the end. */
function settle(from: { voters: number[]; learners: number[] }, roles: Record<number, EtcdRole>) {
  const wanted = new Map(Object.entries(roles).map(([id, role]) => [Number(id), role]))
  const plan = { roles: wanted, votersMax: 5 }
  let { voters, learners } = from
  const steps: string[] = []
  for (let step = 0; step < 10; step++) {
    const match = new Map([...voters, ...learners].map((id) => [nodeId(id), 9]))
    const now: Configuration = {
      voters: voters.map(nodeId),
      learners: learners.map(nodeId),
      votersOutgoing: [],
      match,
      commit: 9,
    }
    const change = planWithRoles(members, now, plan)
    assert.equal(change === undefined, isInStepWithRoles(members, now, plan))
    if (change === undefined) break
    const { addVoters = [], addLearners = [], remove = [] } = change
    const moved: number[] = [...addVoters, ...addLearners, ...remove]
    voters = [...voters.filter((id) => !moved.includes(id)), ...addVoters]
    learners = [...learners.filter((id) => !moved.includes(id)), ...addLearners]
    steps.push(
      [
        ...addVoters.map((id) => `+${id}`),
        ...addLearners.map((id) => `~${id}`),
        ...remove.map((id) => `-${id}`),
      ].join(' '),
    )
  }
  return { steps, voters: voters.sort(), learners: learners.sort() }
}

describe('roles in the group behind the API of etcd', () => {
  it('leave a member out, and let it come back as a learner first', () => {
    const all = { voters: [1, 2, 3, 4], learners: [] }
    const without = settle(all, { 3: 'absent' })
    assert.deepEqual(without, { steps: ['-3'], voters: [1, 2, 4], learners: [] })
    const kept = settle(without, { 3: 'learner' })
    assert.deepEqual(kept, { steps: ['~3'], voters: [1, 2, 4], learners: [3] })
    assert.deepEqual(settle(kept, {}), { steps: ['+3'], voters: [1, 2, 3, 4], learners: [] })
    assert.deepEqual(settle(without, {}).steps, ['~3', '+3'])
    assert.deepEqual(settle(kept, { 3: 'absent' }).steps, ['-3'])
  })

  it('do not keep others from their places', () => {
    const some = { voters: [1, 2], learners: [3] }
    const { steps, voters, learners } = settle(some, { 3: 'learner' })
    assert.deepEqual([steps, voters, learners], [['~4', '+4'], [1, 2, 4], [3]])
  })

  it('are records of the system namespace', async () => {
    const directory = testDirectory()
    const world = new World(directory.host)
    try {
      await world.start()
      const system = world.at(1)
      await writeRole(system, 3, 'learner')
      await writeRole(system, 12, 'absent')
      const found = await readRoles(world.at(2), { isNewest: true })
      assert.deepEqual([...found].sort(), [
        [12, 'absent'],
        [3, 'learner'],
      ])
      await writeRole(system, 3, 'voter')
      assert.deepEqual([...(await readRoles(system, { isNewest: false }))], [[12, 'absent']])
      await system.put(new TextEncoder().encode('etcd/member/5'), Uint8Array.of(1, 1, 0, 0, 0, 0))
      await assert.rejects(readRoles(system, { isNewest: true }), { code: 'corrupt' })
    } finally {
      await world.close()
      directory.remove()
    }
  })
})

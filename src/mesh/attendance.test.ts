import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Fault, type NodeId, nodeId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Group } from '../raft/index.ts'
import { Attendance } from './attendance.ts'

const [self, other] = [nodeId(1), nodeId(2)]
const lookMs = 100

/** A member's group as the test says it is, and a clock that moves when told. */
class Bench {
  voters: readonly NodeId[] = [self, other]
  leader: NodeId | undefined = other
  /** What the leader tells of its members. */
  told: readonly NodeId[] = [self, other]
  barrier: () => Promise<void> = () => Promise.resolve()
  joins = 0
  removals = 0
  readonly attendance: Attendance
  #due: (() => void) | undefined

  constructor() {
    const host = {
      clock: {
        after: (_: number, run: () => void) => {
          this.#due = run
          return { cancel: () => {} }
        },
      },
      journal: { event() {} },
    } as unknown as Host
    const status = () => ({ voters: this.voters, learners: [], leader: this.leader, applied: 9 })
    const group = { status, readBarrier: () => this.barrier() } as unknown as Group
    this.attendance = new Attendance({
      host,
      self,
      group,
      onLeadership: () => () => {},
      wantsVote: true,
      lookMs,
      join: async () => {
        this.joins++
        return false
      },
      members: async () =>
        this.told.map((node) => ({ node, address: '', isVoter: true, isLeader: node === other })),
      onRemoved: () => {
        this.removals++
      },
    })
  }

  async look(): Promise<void> {
    this.#due?.()
    for (let i = 0; i < 20; i++) await null
  }
}

it('asks back when its removal is committed, but neither it nor the leader that it hears knows', async () => {
  const bench = new Bench()
  bench.barrier = () => Promise.reject(new Fault('unavailable', 'no answer in time'))
  await bench.look()
  bench.leader = undefined
  bench.told = [other]
  await bench.look()
  assert.deepEqual([bench.joins, bench.removals], [1, 0])
})

it('asks back when the barrier brings the removal', async () => {
  const bench = new Bench()
  bench.barrier = async () => {
    bench.voters = [other]
  }
  await bench.look()
  bench.told = [other]
  await bench.look()
  assert.deepEqual([bench.joins, bench.removals], [1, 0])
})

it('stays out when it is removed after it was a member, until it is told to ask back', async () => {
  const bench = new Bench()
  await bench.look()
  bench.leader = undefined
  bench.told = [other]
  await bench.look()
  await bench.look()
  assert.deepEqual([bench.joins, bench.removals], [0, 1])
  assert.equal(bench.attendance.isRemoved, true)
  bench.attendance.askBack()
  await bench.look()
  assert.deepEqual([bench.joins, bench.removals], [1, 1])
  bench.leader = other
  await bench.look()
  assert.equal(bench.attendance.isRemoved, false)
})

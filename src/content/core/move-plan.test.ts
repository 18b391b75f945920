import { deepEqual } from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nodeId } from '../../base/index.ts'
import { type MoveFacts, planMoves } from './move-plan.ts'

const layout = { dataShards: 2, parityShards: 1, unitBytes: 65_536, length: 300_000 }

function plan(
  holders: readonly number[],
  given: {
    readonly ideal: readonly number[]
    readonly leaving?: readonly number[]
    readonly gone?: readonly number[]
    readonly down?: readonly number[]
    readonly preferred?: readonly number[]
  },
): readonly string[] {
  const facts: MoveFacts = {
    ideal: given.ideal.map(nodeId),
    isLeaving: (id) => given.leaving?.includes(id) ?? false,
    isGone: (id) => given.gone?.includes(id) ?? false,
    canTake: (id) => !(given.down?.includes(id) ?? false),
    preferred: (given.preferred ?? []).map(nodeId),
  }
  return planMoves({ ...layout, holders: holders.map(nodeId) }, facts).map(
    ({ shard, from, to }) => `${shard}: ${from} -> ${to ?? 'nobody'}`,
  )
}

describe('the plan of moves', () => {
  it('leaves alone what lies right, in whatever order', () =>
    deepEqual(plan([3, 1, 2], { ideal: [1, 2, 3] }), []))
  it('gives a newcomer the one shard whose holder it displaces', () =>
    deepEqual(plan([3, 1, 2], { ideal: [4, 2, 3] }), ['1: 1 -> 4']))
  it('waits for a newcomer that cannot take it now, and moves nothing else instead', () =>
    deepEqual(plan([5, 1, 2], { ideal: [4, 6, 2], down: [4] }), ['1: 1 -> 6']))
  it('takes shards off a member that leaves, where placement wants them', () =>
    deepEqual(plan([3, 1, 2], { ideal: [1, 2, 4], leaving: [3] }), ['0: 3 -> 4']))
  it('or elsewhere while that one is down', () =>
    deepEqual(
      plan([3, 1, 2], { ideal: [1, 2, 4], leaving: [3], down: [4], preferred: [1, 4, 5] }),
      ['0: 3 -> 5'],
    ))
  it('has nobody when all others have a shard', () =>
    deepEqual(plan([3, 1, 2], { ideal: [1, 2], leaving: [3], preferred: [1, 2] }), [
      '0: 3 -> nobody',
    ]))
  it('sends two that leave to two members', () =>
    deepEqual(plan([3, 1, 2], { ideal: [2, 4, 5], leaving: [3, 1] }), ['0: 3 -> 4', '1: 1 -> 5']))
  it('does not balance a chunk that has to leave somebody first', () =>
    deepEqual(plan([3, 1, 2], { ideal: [4, 5, 6], leaving: [3] }), ['0: 3 -> 4']))
  it('leaves a chunk to repair that lacks a holder', () => {
    deepEqual(plan([0, 1, 2], { ideal: [4, 1, 2] }), [])
    deepEqual(plan([3, 1, 2], { ideal: [4, 1, 2], gone: [1], leaving: [3] }), [])
  })
})

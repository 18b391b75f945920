import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId, type NodeId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { type Collected, Comparison } from './comparison.ts'

function world() {
  const due: (() => void)[] = []
  const told: string[] = []
  const accused: string[] = []
  const state = { isLeader: true, collected: undefined as Collected | undefined, asked: 0 }
  const host = {
    clock: {
      after: (_ms: number, run: () => void) => {
        due.push(run)
        return { cancel: () => due.splice(due.indexOf(run), 1) }
      },
    },
    journal: { event: (_level: string, event: string) => told.push(event) },
  } as unknown as Host
  const comparison = new Comparison({
    host,
    name: 'test',
    self: nodeId(1),
    isLeader: () => state.isLeader,
    voters: () => [1, 2, 3].map(nodeId),
    learners: () => [],
    collect: async () => {
      state.asked++
      return state.collected
    },
    accuse: async (node, { index }) => void accused.push(`${node} at ${index}`),
  })
  const pass = async (): Promise<void> => {
    assert.ok(due.length <= 1)
    for (const run of due.splice(0)) run()
    for (let turn = 0; turn < 9; turn++) await Promise.resolve()
  }
  const compare = async (
    index: number,
    digests: Readonly<Record<number, number>>,
  ): Promise<readonly NodeId[]> => {
    const rows = Object.entries(digests)
    const all = rows.map(([node, digest]) => [nodeId(Number(node)), Uint8Array.of(digest)] as const)
    state.collected = { index, digests: new Map(all) }
    comparison.soon()
    comparison.soon()
    await pass()
    return comparison.differing
  }
  return { comparison, state, told, accused, due, compare, pass }
}

test('who differs from a majority is told so, again and again until it does no more', async () => {
  const { compare, pass, told, accused, due, state } = world()
  assert.deepEqual(await compare(5, { 1: 7, 2: 7, 3: 7 }), [])
  assert.deepEqual([told, due.length], [[], 0])
  assert.deepEqual(await compare(6, { 1: 7, 2: 7, 3: 8 }), [3])
  assert.deepEqual(told, ['sql.replicas_differ', 'sql.majority'])
  await pass()
  assert.deepEqual(accused, ['3 at 6', '3 at 6'])
  // The leader itself.
  assert.deepEqual(await compare(7, { 1: 9, 2: 7, 3: 7 }), [1])
  assert.equal(accused.at(-1), '1 at 7')
  // What cannot be judged says nothing either way.
  assert.deepEqual(await compare(8, { 1: 7 }), [1])
  state.collected = undefined
  await pass()
  assert.deepEqual(await compare(9, { 1: 7, 2: 7, 3: 7 }), [])
  assert.equal(due.length, 0)
})

test('without a majority writing stops, until there is one', async () => {
  const { comparison, compare, accused, due } = world()
  await compare(5, { 1: 7, 2: 8, 3: 9 })
  assert.equal(comparison.isSplit, true)
  assert.equal(due.length, 1)
  await compare(5, { 1: 7, 2: 8 })
  assert.equal(comparison.isSplit, true)
  assert.deepEqual(accused, [])
  await compare(5, { 1: 7, 2: 8, 3: 7 })
  assert.equal(comparison.isSplit, false)
  assert.deepEqual(accused, ['2 at 5'])
})

test('who is missing is waited for a few times, not for ever', async () => {
  const { compare, pass, state, due } = world()
  await compare(5, { 1: 7, 2: 7 })
  for (let round = 0; round < 20 && due.length > 0; round++) await pass()
  assert.equal(due.length, 0)
  assert.equal(state.asked, 5)
})

test('writing that was stopped goes on however long it takes for the voters to agree again', async () => {
  const { comparison, compare, pass, due, state } = world()
  const agreed = new Map([1, 2, 3].map((id) => [nodeId(id), Uint8Array.of(7)]))
  await compare(1, { 1: 1, 2: 2, 3: 3 })
  assert.equal(comparison.isSplit, true)
  state.collected = { index: 1, digests: new Map([[nodeId(1), Uint8Array.of(1)]]) }
  // Nothing is written meanwhile, so that nobody but the comparison itself asks for another.
  for (let away = 0; away < 20; away++) await pass()
  assert.equal(comparison.isSplit, true)
  assert.equal(due.length, 1)
  state.collected = { index: 1, digests: agreed }
  await pass()
  assert.equal(comparison.isSplit, false)
  assert.deepEqual(comparison.differing, [])
})

test('only who leads asks, and nobody after the end', async () => {
  const { comparison, compare, state, due } = world()
  state.isLeader = false
  await compare(1, { 1: 1, 2: 2 })
  assert.equal(state.asked, 0)
  comparison.soon()
  comparison.close()
  assert.equal(due.length, 0)
  comparison.soon()
  assert.equal(due.length, 0)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host } from '../host/index.ts'
import { Comparison } from './comparison.ts'
import type { SqlReplica } from './sql.ts'

function world() {
  const due: (() => void)[] = []
  const told: string[] = []
  const state = { isLeader: true, replicas: [] as readonly SqlReplica[], asked: 0 }
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
    self: 1,
    isLeader: () => state.isLeader,
    replicas: async () => {
      state.asked++
      return state.replicas
    },
  })
  const compare = async (...replicas: readonly SqlReplica[]): Promise<readonly number[]> => {
    state.replicas = replicas
    comparison.soon()
    comparison.soon()
    assert.ok(due.length <= 1)
    for (const run of due.splice(0)) run()
    for (let turn = 0; turn < 5; turn++) await Promise.resolve()
    return comparison.differing
  }
  return { comparison, state, told, due, compare }
}

const at = (node: number, applied: number, digest: string): SqlReplica => ({
  node,
  applied,
  digest,
})

test('replicas of one index must have one digest; a difference is told and shown until all are equal', async () => {
  const { compare, told } = world()
  assert.deepEqual(await compare(at(1, 5, 'a'), at(2, 5, 'a'), at(3, 5, 'a')), [])
  assert.deepEqual(told, [])
  assert.deepEqual(await compare(at(1, 6, 'b'), at(2, 6, 'b'), at(3, 6, 'c')), [3])
  assert.deepEqual(told, ['sql.replicas_differ'])
  // What cannot be compared says nothing either way.
  assert.deepEqual(await compare(at(1, 7, 'd'), at(2, 7, 'd'), at(3, 6, 'c')), [3])
  assert.deepEqual(await compare(at(1, 7, 'd'), at(2, 7, 'd'), { node: 3, fault: 'away' }), [3])
  assert.deepEqual(await compare({ node: 1, fault: 'behind' }, at(2, 7, 'x')), [3])
  assert.deepEqual(await compare(at(1, 8, 'e'), at(2, 8, 'e'), at(3, 8, 'e')), [])
})

test('only who leads asks, and nobody after the end', async () => {
  const { comparison, compare, state, due } = world()
  state.isLeader = false
  await compare(at(1, 1, 'a'), at(2, 1, 'b'))
  assert.equal(state.asked, 0)
  comparison.soon()
  comparison.close()
  assert.equal(due.length, 0)
  comparison.soon()
  assert.equal(due.length, 0)
})

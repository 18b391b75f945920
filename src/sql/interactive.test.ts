// Transactions of one database over a proposer that is a list: however they are lost, their turn ends with them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, isFault, seededRandom } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { Interactive } from './interactive.ts'
import type { Held, Proposer } from './proposer.ts'
import type { SqlResult } from './sql.ts'

const result: SqlResult = {
  columns: [],
  types: [],
  rows: [],
  changes: 1,
  lastInsertId: 1n,
  elapsedUs: 0,
}

/** Each statement takes nine seconds. `beforeHeld` runs when a transaction is held and its author does not know yet. */
function world({ beforeHeld = () => undefined }: { beforeHeld?: (lose: () => void) => void } = {}) {
  const state = { nowMs: 0, released: 0, steps: 0, deadlines: [] as number[] }
  const clock = {
    monotonicMs: () => state.nowMs,
    wallMs: () => state.nowMs,
    after: () => ({ cancel: () => undefined }),
  }
  const held: Held = {
    async step(_, { deadlineMs }) {
      state.steps++
      state.deadlines.push(deadlineMs)
      state.nowMs += 9_000
      return { result, isPure: false }
    },
    commit: async () => undefined,
    release: async () => void state.released++,
  }
  const proposer = {
    async hold(_: unknown, { onLost }: { readonly onLost: (fault: Fault) => void }) {
      beforeHeld(() => onLost(new Fault('conflict', 'another entry came first')))
      return held
    },
  }
  const host = { clock, random: seededRandom(1), journal: { event: () => undefined } }
  const interactive = new Interactive(host as unknown as Host, proposer as unknown as Proposer)
  return { interactive, state }
}

test('a step of many statements ends with the time of its transaction, and so does its turn', async () => {
  const { interactive, state } = world()
  const id = await interactive.begin()
  const many = Array.from({ length: 100 }, () => ({ sql: 'INSERT' }))
  await assert.rejects(interactive.step(id, many, { deadlineMs: 10_000 }), (error) =>
    isFault(error, 'conflict'),
  )
  assert.deepEqual([state.steps, state.released], [7, 1])
  assert.deepEqual(state.deadlines.slice(-2), [10_000, 6_000])
})

test('one that is lost, or whose database is closed, before its author knows of it, ends its turn', async () => {
  const lost = world({ beforeHeld: (lose) => lose() })
  await assert.rejects(lost.interactive.begin(), (error) => isFault(error, 'unavailable'))
  assert.equal(lost.state.released, 1)
  const closed = world({ beforeHeld: () => closed.interactive.close() })
  await assert.rejects(closed.interactive.begin(), (error) => isFault(error, 'unavailable'))
  assert.equal(closed.state.released, 1)
})

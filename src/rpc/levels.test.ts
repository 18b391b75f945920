// Programs of different feature levels on one network.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, nodeId } from '../base/index.ts'
import { settled } from '../host/testing/index.ts'
import type { RpcLevel } from './rpc.ts'
import { createMemoryNetwork } from './testing/memory-network.ts'
import { connected, createWorld } from './testing/world.ts'

const one = nodeId(1)
const two = nodeId(2)

class TestLevel implements RpcLevel {
  readonly newest: number
  readonly outgrown: number[] = []
  now: number

  constructor(newest: number, now: number) {
    this.newest = newest
    this.now = now
  }

  active(): number {
    return this.now
  }

  onOutgrown(active: number): void {
    this.outgrown.push(active)
  }
}

test('who knows only an older level is cut when the level rises, and refused from then on', async () => {
  const world = await createWorld(createMemoryNetwork())
  const [newer, older] = [new TestLevel(2, 1), new TestLevel(1, 1)]
  const heartbeatMs = 20
  const a = await world.node(one, { level: newer, heartbeatMs })
  const b = await world.node(two, { level: older, heartbeatMs })
  await connected(a, b)
  newer.now = 2
  await settled(() => !a.isReachable(two))
  await settled(() => older.outgrown.includes(2))
  const asked = a.call(two, 1, new Uint8Array(0), { deadlineMs: 1_000 })
  await assert.rejects(asked, (error) => isFault(error, 'unavailable'))
  assert.deepEqual(newer.outgrown, [])
  await world.close()
})

test('a program without levels is taken as one of the first, until there is a second', async () => {
  const world = await createWorld(createMemoryNetwork())
  const newer = new TestLevel(2, 1)
  const a = await world.node(one, { level: newer, heartbeatMs: 20 })
  const b = await world.node(two)
  await connected(a, b)
  newer.now = 2
  await settled(() => !a.isReachable(two) && !b.isReachable(one))
  await world.close()
})

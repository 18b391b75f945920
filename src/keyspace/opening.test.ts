// Namespaces that are opened while the node runs: what fails, what comes twice, what ends late.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Fault, groupId, isFault, nodeId } from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import { createKeyspaces } from './keyspaces.ts'
import {
  TestConsensus,
  type TestDirectory,
  TestNetwork,
  TestSegments,
  testDirectory,
  testRaft,
  testStore,
} from './testing/doubles.ts'

let directory: TestDirectory
let stores = 0
before(() => {
  directory = testDirectory()
})
after(() => directory.remove())

const self = nodeId(1)
const namespace = { name: '/raft/late', group: groupId(9), founders: { voters: [self] } }

/** A node without namespaces, whose raft opens a group when `gate` lets it; repeating timers are counted. */
async function world() {
  const timers = new Set<Timer>()
  const clock = {
    ...directory.host.clock,
    every: (ms: number, run: () => void) => {
      const real = directory.host.clock.every(ms, run)
      const timer = {
        cancel: () => {
          timers.delete(timer)
          real.cancel()
        },
      }
      timers.add(timer)
      return timer
    },
  }
  const host: Host = { ...directory.host, clock }
  const store = await testStore(host, `opening-${stores++}`)
  const raft = testRaft(host, new TestConsensus(), { self, store })
  const at = { opened: 0, gate: Promise.resolve() }
  const gated = {
    ...raft,
    open: async (options: Parameters<typeof raft.open>[0]) => {
      at.opened++
      await at.gate
      return await raft.open(options)
    },
  }
  const rpc = new TestNetwork().rpc(self)
  const parts = { host, raft: gated, rpc, store, values: new TestSegments(), self }
  const keyspaces = await createKeyspaces({ ...parts, session: { number: 1 } }, { namespaces: [] })
  return { keyspaces, timers, at }
}

test('an opening that fails leaves nothing running, and is possible again', async () => {
  const { keyspaces, timers, at } = await world()
  const before = timers.size
  at.gate = Promise.reject(new Fault('no-space', 'the disk is full'))
  for (let attempt = 0; attempt < 3; attempt++) {
    await assert.rejects(keyspaces.add(namespace), (error) => isFault(error, 'no-space'))
    assert.equal(timers.size, before)
  }
  at.gate = Promise.resolve()
  await keyspaces.add(namespace)
  await keyspaces.close()
  assert.equal(timers.size, 0)
})

test('of two openings at once one is refused: a group has one driver', async () => {
  const { keyspaces, at } = await world()
  const sameGroup = { ...namespace, name: '/raft/other' }
  const all = await Promise.allSettled([
    keyspaces.add(namespace),
    keyspaces.add(namespace),
    keyspaces.add(sameGroup),
  ])
  const refused = all.filter((one) => one.status === 'rejected' && isFault(one.reason, 'exists'))
  assert.deepEqual([refused.length, at.opened], [2, 1])
  await keyspaces.close()
})

test('an opening that ends after the close is closed as well', async () => {
  const { keyspaces, timers, at } = await world()
  let pass = (): void => undefined
  at.gate = new Promise((resolve) => (pass = resolve))
  const adding = keyspaces.add(namespace)
  await keyspaces.close()
  pass()
  await assert.rejects(adding, (error) => isFault(error, 'unavailable'))
  assert.equal(timers.size, 0)
})

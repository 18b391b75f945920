// A node of the cluster that is not among the peers, and is expected all the same.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, nodeId, utf8Decode, utf8Encode } from '../base/index.ts'
import { settled } from '../host/testing/index.ts'
import type { Rpc } from './rpc.ts'
import { createMemoryNetwork } from './testing/memory-network.ts'
import { connected, createWorld } from './testing/world.ts'

const one = nodeId(1)
const two = nodeId(2)
const soon = { deadlineMs: 10_000 }
const serve = (rpc: Rpc): void => rpc.serve(1, async ({ from }) => utf8Encode(`hello ${from}`))

test('a guest that is expected may talk and be talked to, until it is expected no longer', async () => {
  const world = await createWorld(createMemoryNetwork())
  let isExpected = true
  const a = await world.node(one, { serve })
  const b = await world.node(two, {
    serve,
    peers: new Map(),
    isExpected: (id) => isExpected && id === one,
  })
  await connected(a, b)
  const request = new Uint8Array(0)
  assert.equal(utf8Decode(await a.call(two, 1, request, soon)), 'hello 1')
  assert.equal(utf8Decode(await b.call(one, 1, request, soon)), 'hello 2')
  b.setPeers(new Map())
  assert.equal(utf8Decode(await b.call(one, 1, request, soon)), 'hello 2', 'still expected')
  isExpected = false
  b.setPeers(new Map())
  await settled(() => !b.isReachable(one))
  await assert.rejects(b.call(one, 1, request, soon), (error) => isFault(error, 'unavailable'))
  await world.close()
})

test('a guest that becomes a peer is dialled as well', async () => {
  const world = await createWorld(createMemoryNetwork())
  const a = await world.node(one, { serve })
  const b = await world.node(two, { serve, peers: new Map(), isExpected: () => true })
  await connected(a, b)
  b.setPeers(world.addresses)
  a.setPeers(new Map())
  await settled(() => !b.isReachable(one))
  a.setPeers(world.addresses)
  await connected(a, b)
  assert.equal(utf8Decode(await b.call(one, 1, new Uint8Array(0), soon)), 'hello 2')
  await world.close()
})

test('a stranger that nobody expects is refused', async () => {
  const world = await createWorld(createMemoryNetwork())
  const a = await world.node(one, { serve })
  await world.node(two, { serve, peers: new Map(), isExpected: () => false })
  await assert.rejects(a.call(two, 1, new Uint8Array(0), soon), (error) =>
    isFault(error, 'unavailable'),
  )
  await world.close()
})

// A node of the cluster that is not among the peers, and is expected all the same.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  clusterId,
  Fault,
  isFault,
  type NodeId,
  nodeId,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import type { Connection, Listener, PeerIdentity, Transport } from '../host/index.ts'
import { settled } from '../host/testing/index.ts'
import { type Frame, frameType, headerBytes, writeHeader } from './core/frame.ts'
import { createHello, helloCodec } from './core/hello.ts'
import type { MethodTable } from './methods.ts'
import { createRpc, defaultLimits } from './rpc-node.ts'
import type { Rpc, RpcLimits } from './rpc.ts'
import { createMemoryNetwork } from './testing/memory-network.ts'
import { connected, createWorld } from './testing/world.ts'

const one = nodeId(1)
const two = nodeId(2)
/** Method 1 is also for guests. */
const forGuests: MethodTable = new Map([[1, 'replica']])
const soon = { deadlineMs: 10_000 }
const serve = (rpc: Rpc): void => rpc.serve(1, async ({ from }) => utf8Encode(`hello ${from}`))

/** Node 2, and connections to it that take nothing more to send. */
async function lonely(options: {
  readonly peers?: readonly NodeId[]
  readonly isExpected?: () => boolean
  readonly limits?: Partial<RpcLimits>
}): Promise<{ readonly rpc: Rpc; accept(from: NodeId): DeafConnection; close(): Promise<void> }> {
  const { peers = [], ...rest } = options
  const world = await createWorld(createMemoryNetwork())
  const cluster = clusterId('0'.repeat(32))
  let onConnection: (connection: Connection) => void = () => {}
  const transport: Transport = {
    self: { nodeId: two, clusterId: cluster },
    async listen(_, listening) {
      onConnection = listening.onConnection
      return { close: () => Promise.resolve() } as Listener
    },
    connect: () => Promise.reject(new Fault('unavailable', 'nobody is there')),
  }
  const listen = { host: '127.0.0.2', port: 1 }
  const rpc = createRpc(world.host, { transport, listen, ...rest })
  await rpc.listen()
  rpc.setPeers(new Map(peers.map((id) => [id, listen])))
  return {
    rpc,
    async close() {
      await rpc.close()
      await world.close()
    },
    accept(from) {
      const connection = new DeafConnection({ nodeId: from, clusterId: cluster })
      onConnection(connection)
      if (!connection.isDestroyed) {
        const hello = createHello(
          { ...connection.peer, instance: new Uint8Array(8) },
          defaultLimits,
        )
        connection.onBytes(frameBytes({ type: frameType.hello }, helloCodec.encode(hello)))
      }
      return connection
    },
  }
}

function frameBytes(frame: Frame, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(headerBytes + payload.length)
  writeHeader(bytes, 0, { frame, length: payload.length })
  bytes.set(payload, headerBytes)
  return bytes
}

/** The other end has stopped reading. */
class DeafConnection implements Connection {
  readonly peer: PeerIdentity
  readonly remoteAddress = 'deaf'
  isDestroyed = false
  onBytes: (bytes: Uint8Array) => void = () => {}
  onClose: (reason: Fault | undefined) => void = () => {}

  constructor(peer: PeerIdentity) {
    this.peer = peer
  }

  send(): boolean {
    return false
  }

  drained(): Promise<void> {
    return new Promise(() => {})
  }

  pause(): void {}

  resume(): void {}

  destroy(): void {
    this.isDestroyed = true
  }
}

test('a guest that is expected may talk and be talked to, until it is expected no longer', async () => {
  const world = await createWorld(createMemoryNetwork())
  let isExpected = true
  const a = await world.node(one, { serve })
  const b = await world.node(two, {
    serve,
    peers: new Map(),
    isExpected: (id) => isExpected && id === one,
    methods: forGuests,
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

test('a guest that has gone leaves nothing behind, and does not fill the node', async () => {
  const gone: number[] = []
  const { rpc, accept, close } = await lonely({ isExpected: () => true })
  rpc.onReachability((id, isReachable) => {
    if (!isReachable) gone.push(id)
  })
  for (let id = 10; id < 10 + 3_000; id++) {
    const connection = accept(nodeId(id))
    assert.equal(rpc.isReachable(nodeId(id)), true, `guest ${id}`)
    connection.onClose(undefined)
  }
  assert.equal(gone.length, 3_000)
  const staying = Array.from({ length: 1_100 }, (_, at) => accept(nodeId(10_000 + at)))
  assert.equal(staying.filter(({ isDestroyed }) => isDestroyed).length, 1_100 - 1_024)
  await close()
})

test('a member that asks and never reads is cut', async () => {
  const { rpc, accept, close } = await lonely({ peers: [one], limits: { queuedBytesMax: 10_000 } })
  const connection = accept(one)
  let asked = 0
  while (!connection.isDestroyed && asked < 10_000) {
    connection.onBytes(frameBytes({ type: frameType.request, method: 9, id: 1 + 2 * asked++ }))
  }
  assert.ok(asked > 50 && asked < 1_000, `${asked} unknown methods were asked`)
  assert.equal(rpc.isReachable(one), false)
  await close()
})

test('who connects while this node closes is refused, expected or not', async () => {
  const { rpc, accept, close } = await lonely({ isExpected: () => true })
  await rpc.close()
  assert.equal(accept(nodeId(10)).isDestroyed, true)
  assert.equal(rpc.isReachable(nodeId(10)), false)
  await close()
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

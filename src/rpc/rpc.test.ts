// The whole Rpc between a few nodes, over an in-memory network and over TLS.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Fault, isFault, nodeId, seededRandom, utf8Decode, utf8Encode } from '../base/index.ts'
import type { Address } from '../host/index.ts'
import { createTestAuthority, settled } from '../host/testing/index.ts'
import { type Frame, frameType, headerBytes, writeHeader } from './core/frame.ts'
import { createHello, helloCodec } from './core/hello.ts'
import { defaultLimits } from './rpc-node.ts'
import type { Rpc, RpcStream } from './rpc.ts'
import { createMemoryNetwork, type MemoryNetwork } from './testing/memory-network.ts'
import { connected, createWorld, type World } from './testing/world.ts'

const text = utf8Encode
const one = nodeId(1)
const two = nodeId(2)
const soon = { deadlineMs: 10_000 }

async function faultOf(work: Promise<unknown>): Promise<Fault> {
  try {
    await work
  } catch (error) {
    assert.ok(isFault(error), String(error))
    return error
  }
  assert.fail('expected a fault')
}

function frameBytes(frame: Frame, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(headerBytes + payload.length)
  writeHeader(bytes, 0, { frame, length: payload.length })
  bytes.set(payload, headerBytes)
  return bytes
}

function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

const worlds: Readonly<Record<string, () => Promise<World>>> = {
  memory: () => createWorld(createMemoryNetwork()),
  TLS: () => createWorld(undefined),
  'a shared key': () => createWorld(undefined, 'by a key'),
  'a shared key in memory': () => createWorld(createMemoryNetwork(), 'by a key'),
}
for (const [kind, make] of Object.entries(worlds)) {
  describe(`rpc over ${kind}`, () => {
    callTests(make)
    streamTests(make)
    peerTests(make)
  })
}

function callTests(make: () => Promise<World>): void {
  test('many calls at once in both directions, answers and faults', async () => {
    const world = await make()
    const serve = (rpc: Rpc) => {
      rpc.serve(1, async ({ request, from }) => text(`${from}:${utf8Decode(request)}`))
      rpc.serve(2, async () => {
        throw new Fault('not-leader', 'ask another', {
          fields: { leader: '7' },
          outcome: 'unknown',
        })
      })
    }
    const [a, b] = [await world.node(one, { serve }), await world.node(two, { serve })]
    await connected(a, b)
    const calls = Array.from({ length: 300 }, async (_, i) => {
      const [from, to, rpc] = i % 2 === 0 ? [1, two, a] : [2, one, b]
      const answer = await rpc.call(to, 1, text(`call ${i}`), soon)
      assert.equal(utf8Decode(answer), `${from}:call ${i}`)
    })
    await Promise.all(calls)
    const fault = await faultOf(a.call(two, 2, text(''), soon))
    assert.deepEqual(
      [fault.code, fault.outcome, fault.fields.leader],
      ['not-leader', 'unknown', '7'],
    )
    assert.equal((await faultOf(a.call(two, 99, text(''), soon))).code, 'unsupported')
    const large = new Uint8Array(1024 * 1024).fill(7)
    assert.equal((await a.call(two, 1, large, soon).catch((fault) => fault)).code, 'too-large')
    assert.equal((await b.call(one, 1, large.subarray(100), soon)).length, large.length - 98)
    assert.equal(
      (await faultOf(a.call(two, 1, new Uint8Array(2 ** 20 + 1), soon))).code,
      'too-large',
    )
    await world.close()
  })

  test('a deadline ends the call on both sides', async () => {
    const world = await make()
    const seen: unknown[] = []
    const serve = (rpc: Rpc) =>
      rpc.serve(1, async ({ signal, deadlineMs }) => {
        assert.ok(deadlineMs > 0 && deadlineMs <= 30)
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        seen.push(signal.reason)
        return text('too late')
      })
    const [a, b] = [await world.node(one), await world.node(two, { serve })]
    await connected(a, b)
    const fault = await faultOf(a.call(two, 1, text(''), { deadlineMs: 30 }))
    assert.deepEqual([fault.code, fault.outcome], ['deadline', 'unknown'])
    await settled(() => seen.length === 1)
    await world.close()
  })

  test('cancelling reaches the handler', async () => {
    const world = await make()
    const [arrived, ended] = [gate(), gate()]
    const serve = (rpc: Rpc) =>
      rpc.serve(1, async ({ signal }) => {
        signal.addEventListener('abort', () => ended.open())
        arrived.open()
        await ended.opened
        return text('nobody waits')
      })
    const [a, b] = [await world.node(one), await world.node(two, { serve })]
    await connected(a, b)
    const abort = new AbortController()
    const call = faultOf(a.call(two, 1, text(''), { ...soon, signal: abort.signal }))
    await arrived.opened
    abort.abort()
    assert.deepEqual([(await call).code, (await call).outcome], ['cancelled', 'unknown'])
    await ended.opened
    const before = faultOf(a.call(two, 1, text(''), { ...soon, signal: abort.signal }))
    assert.deepEqual([(await before).code, (await before).outcome], ['cancelled', 'failed'])
    await world.close()
  })

  test('calls beyond the limit are overloaded, on either side', async () => {
    const world = await make()
    const release = gate()
    const serve = (rpc: Rpc) =>
      rpc.serve(1, async () => {
        await release.opened
        return text('done')
      })
    const a = await world.node(one, { limits: { callsInFlightMax: 5 } })
    const b = await world.node(two, { serve, limits: { callsInFlightMax: 3 } })
    await connected(a, b)
    const calls = Array.from({ length: 7 }, () => a.call(two, 1, text(''), soon))
    const outcomes = Promise.allSettled(calls)
    for (const call of calls.slice(3)) assert.equal((await faultOf(call)).code, 'overloaded')
    release.open()
    assert.equal((await outcomes).filter(({ status }) => status === 'fulfilled').length, 3)
    await world.close()
  })

  test("messages arrive in order and are the receiver's to keep", async () => {
    const world = await make()
    const kept: Uint8Array[] = []
    const serve = (rpc: Rpc) =>
      rpc.onMessage(1, (from, message) => {
        assert.equal(from, 1)
        kept.push(message)
      })
    const [a, b] = [await world.node(one), await world.node(two, { serve })]
    assert.equal(a.send(nodeId(9), 1, text('nobody')), false)
    await connected(a, b)
    for (let i = 0; i < 500; i++) assert.ok(a.send(two, 1, new Uint8Array(i * 37).fill(i)))
    await settled(() => kept.length === 500)
    for (let i = 0; i < 500; i++) {
      assert.equal(kept[i]?.length, i * 37)
      if (i > 0) assert.equal(kept[i]?.at(-1), i % 256)
    }
    await world.close()
  })
}

/** Answers every message with its length and sum as text; ends when the peer ends. */
async function measureStream(stream: RpcStream): Promise<void> {
  for await (const message of stream.messages) {
    let sum = 0
    for (const byte of message) sum += byte
    await stream.send(text(`${message.length} ${sum}`))
  }
}

function streamTests(make: () => Promise<World>): void {
  test('a stream carries messages of all sizes both ways and ends', async () => {
    const world = await make()
    const serve = (rpc: Rpc) => rpc.serveStream(1, measureStream)
    const [a, b] = [await world.node(one), await world.node(two, { serve })]
    await connected(a, b)
    for (const bulkTowards of ['me', 'peer'] as const) {
      const stream = await a.openStream(two, 1, text('open'), { ...soon, bulkTowards })
      const most = defaultLimits.streamMessageBytesMax
      const sizes = [0, 1, 127, 4095, 65_536, 100_000, most, 3]
      assert.equal((await faultOf(stream.send(new Uint8Array(most + 1)))).code, 'too-large')
      let left = 0
      const sending = (async () => {
        for (const size of sizes) await stream.send(new Uint8Array(size).fill(2), () => left++)
        await stream.end()
      })()
      const answers: string[] = []
      for await (const message of stream.messages) answers.push(utf8Decode(message))
      await sending
      assert.deepEqual(
        answers,
        sizes.map((size) => `${size} ${2 * size}`),
      )
      assert.equal(left, sizes.length, 'the memory of each message came free')
    }
    await world.close()
  })

  test('a slow reader holds the sender back at the window', async () => {
    const world = await make()
    const release = gate()
    let received = 0
    const serve = (rpc: Rpc) =>
      rpc.serveStream(1, async (stream) => {
        await release.opened
        for await (const message of stream.messages) received += message.length
      })
    const [a, b] = [await world.node(one), await world.node(two, { serve })]
    await connected(a, b)
    const stream = await a.openStream(two, 1, text(''), soon)
    let sent = 0
    let isBlocked = false
    const message = new Uint8Array(100_000)
    const sending = (async () => {
      while (sent < 60 * message.length) {
        const sends = stream.send(message)
        isBlocked = true
        await sends
        isBlocked = false
        sent += message.length
      }
      await stream.end()
    })()
    // Another call passes through while the stream stands still.
    for (let i = 0; i < 20; i++) await faultOf(a.call(two, 77, text(''), soon))
    assert.ok(isBlocked)
    assert.ok(sent <= 1024 * 1024, `${sent} bytes are under way`)
    release.open()
    await sending
    for await (const _ of stream.messages) assert.fail('the handler sends nothing')
    assert.equal(received, 60 * message.length)
    await world.close()
  })

  test('failing a stream reaches the other side with the fault as it is', async () => {
    const world = await make()
    const seen: string[] = []
    const serve = (rpc: Rpc) => {
      rpc.serveStream(1, async (stream, call) => {
        call.signal.addEventListener('abort', () => seen.push('abort'))
        const fault = await faultOf(stream.messages[Symbol.asyncIterator]().next())
        seen.push(fault.message)
      })
      rpc.serveStream(2, async () => {
        throw new Fault('no-space', 'the disk is full')
      })
      rpc.serveStream(3, async (stream) => stream.send(text('only this')))
    }
    const [a, b] = [await world.node(one), await world.node(two, { serve })]
    await connected(a, b)
    const failed = await a.openStream(two, 1, text(''), soon)
    failed.fail(new Fault('conflict', 'changed my mind'))
    assert.equal((await faultOf(failed.send(text('x')))).code, 'conflict')
    await settled(() => seen.length === 2)
    assert.deepEqual(seen.toSorted(), ['abort', 'changed my mind'])
    const refused = await a.openStream(two, 2, text(''), soon)
    const fault = await faultOf(refused.messages[Symbol.asyncIterator]().next())
    assert.deepEqual([fault.code, fault.message], ['no-space', 'the disk is full'])
    const unknown = await a.openStream(two, 55, text(''), soon)
    assert.equal(
      (await faultOf(unknown.messages[Symbol.asyncIterator]().next())).code,
      'unsupported',
    )
    const short = await a.openStream(two, 3, text(''), soon)
    const messages: string[] = []
    for await (const message of short.messages) messages.push(utf8Decode(message))
    assert.deepEqual(messages, ['only this'])
    assert.equal((await faultOf(short.send(text('x')))).code, 'cancelled')
    await world.close()
  })

  test('a stream ends at its deadline and by its signal', async () => {
    const world = await make()
    let ended = 0
    const serve = (rpc: Rpc) =>
      rpc.serveStream(1, async (stream) => {
        await faultOf(stream.messages[Symbol.asyncIterator]().next())
        ended++
      })
    const [a, b] = [await world.node(one), await world.node(two, { serve })]
    await connected(a, b)
    const late = await a.openStream(two, 1, text(''), { deadlineMs: 20 })
    assert.equal((await faultOf(late.messages[Symbol.asyncIterator]().next())).code, 'deadline')
    const abort = new AbortController()
    const left = await a.openStream(two, 1, text(''), { ...soon, signal: abort.signal })
    abort.abort()
    assert.equal((await faultOf(left.messages[Symbol.asyncIterator]().next())).code, 'cancelled')
    await settled(() => ended === 2)
    await world.close()
  })
}

function peerTests(make: () => Promise<World>): void {
  test('a peer that restarts is found again; what was under way is unavailable', async () => {
    const world = await make()
    const arrived = gate()
    const serve = (rpc: Rpc) => {
      rpc.serve(1, async ({ signal }) => {
        arrived.open()
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        return text('')
      })
      rpc.serve(2, async () => text('back'))
    }
    const [a, b] = [await world.node(one), await world.node(two, { serve })]
    const changes: string[] = []
    a.onReachability((peer, isReachable) => changes.push(`${peer} ${isReachable}`))
    await connected(a, b)
    const fault = faultOf(a.call(two, 1, text(''), soon))
    await arrived.opened
    await b.close()
    assert.deepEqual([(await fault).code, (await fault).outcome], ['unavailable', 'unknown'])
    await settled(() => !a.isReachable(two))
    const down = await faultOf(a.call(two, 2, text(''), soon))
    assert.deepEqual([down.code, down.outcome], ['unavailable', 'failed'])
    const again = await world.node(two, { serve })
    await connected(a, again)
    assert.equal(utf8Decode(await a.call(two, 2, text(''), soon)), 'back')
    assert.deepEqual(changes.slice(-3), ['2 true', '2 false', '2 true'])
    await world.close()
  })

  test('only members are let in, and removed ones are cut', async () => {
    const world = await make()
    const serve = (rpc: Rpc) => rpc.serve(1, async () => text('hello'))
    const a = await world.node(one, { serve })
    a.setPeers(new Map())
    const b = await world.node(two, { serve })
    assert.equal((await faultOf(a.call(two, 1, text(''), soon))).code, 'unavailable')
    a.setPeers(world.addresses)
    await connected(a, b)
    assert.equal(utf8Decode(await b.call(one, 1, text(''), soon)), 'hello')
    a.setPeers(new Map([[one, world.addresses.get(one) as Address]]))
    assert.equal(a.isReachable(two), false)
    await settled(() => !b.isReachable(one))
    await world.close()
  })

  test('a node of another cluster is never reachable', async () => {
    const world = await make()
    const other = await createTestAuthority('others')
    const [a, b] = [await world.node(one), await world.node(two, { authority: other })]
    const fault = await faultOf(
      world
        .transportOf(await other.identity(2))
        .connect(world.addresses.get(one) as Address, { timeoutMs: 5_000 }),
    )
    assert.equal(fault.code, 'unauthenticated')
    assert.equal(a.isReachable(two) || b.isReachable(one), false)
    await world.close()
  })
}

describe('rpc and a bad network', () => {
  const silence = (network: MemoryNetwork) => {
    for (const [dialled, accepted] of network.connections) {
      dialled.isSilent = true
      accepted.isSilent = true
    }
  }

  test('half-open connections are noticed by silence and replaced', async () => {
    const network = createMemoryNetwork()
    const world = await createWorld(network)
    const serve = (rpc: Rpc) => rpc.serve(1, async () => text('alive'))
    const [a, b] = [
      await world.node(one, { heartbeatMs: 20, serve }),
      await world.node(two, { heartbeatMs: 20, serve }),
    ]
    await connected(a, b)
    await settled(() => network.connections.length === 2)
    silence(network)
    const fault = await faultOf(a.call(two, 1, text(''), soon))
    assert.deepEqual([fault.code, fault.outcome], ['unavailable', 'unknown'])
    await settled(() => network.connections.length === 4)
    await connected(a, b)
    assert.equal(utf8Decode(await a.call(two, 1, text(''), soon)), 'alive')
    await world.close()
  })

  test('any cutting of the bytes gives the same calls and streams', async () => {
    const network = createMemoryNetwork()
    network.pieceBytes = 7
    const world = await createWorld(network)
    const serve = (rpc: Rpc) => {
      rpc.serve(1, async ({ request }) => request)
      rpc.serveStream(2, measureStream)
    }
    const [a, b] = [await world.node(one, { serve }), await world.node(two, { serve })]
    await connected(a, b)
    const request = new Uint8Array(5000).map((_, i) => i)
    assert.deepEqual(await a.call(two, 1, request, soon), request)
    const stream = await a.openStream(two, 2, text(''), soon)
    await stream.send(new Uint8Array(9000).fill(1))
    await stream.end()
    for await (const message of stream.messages) assert.equal(utf8Decode(message), '9000 9000')
    await world.close()
  })

  test('garbage and a false hello cut the connection, and only it', async () => {
    const network = createMemoryNetwork()
    const world = await createWorld(network)
    const a = await world.node(one, { serve: (rpc) => rpc.serve(1, async () => text('fine')) })
    const b = await world.node(two)
    await connected(a, b)
    const hostile: readonly Uint8Array[] = [
      new Uint8Array(100).fill(0xff),
      new Uint8Array([7, ...new Array(15).fill(0)]),
      new Uint8Array([1, ...new Array(7).fill(0), 3, ...new Array(7).fill(0), 9, 9, 9]),
    ]
    for (const bytes of hostile) {
      const connection = await network
        .secured(await world.authority.identity(2))
        .connect(world.addresses.get(one) as Address, { timeoutMs: 1_000 })
      const closed = new Promise<void>((resolve) => {
        connection.onClose = () => resolve()
      })
      connection.onBytes = () => undefined
      connection.send([bytes])
      await closed
    }
    assert.equal(utf8Decode(await b.call(one, 1, text(''), soon)), 'fine')
    await world.close()
  })

  test('random frames of a greeted member never break more than its connection', async () => {
    const network = createMemoryNetwork()
    const world = await createWorld(network)
    const serve = (rpc: Rpc) => {
      rpc.serve(1, async ({ request }) => request)
      rpc.serveStream(1, measureStream)
      rpc.onMessage(1, (_, message) => {
        if (message[0] === 0) throw new Fault('corrupt', 'not a message')
      })
    }
    const a = await world.node(one, { serve })
    const b = await world.node(two)
    await connected(a, b)
    const random = seededRandom(5)
    const identity = await world.authority.identity(2)
    const address = world.addresses.get(one) as Address
    for (let round = 0; round < 60; round++) {
      const connection = await network.secured(identity).connect(address, { timeoutMs: 1_000 })
      let isClosed = false
      connection.onClose = () => {
        isClosed = true
      }
      connection.onBytes = () => undefined
      const instance = random.bytes(8)
      const hello = createHello({ ...identity, instance }, defaultLimits)
      connection.send([frameBytes({ type: frameType.hello }, helloCodec.encode(hello))])
      for (let i = 0; i < 30; i++) {
        const frame = {
          type: 2 + random.integer(12),
          method: random.integer(3),
          flags: random.integer(2),
          id: 1 + random.integer(6),
          argument: random.integer(2 ** 32),
        }
        const hasPayload = frame.type <= 6 || (frame.type >= 9 && frame.type <= 12)
        const payload = random.bytes(hasPayload ? random.integer(300) : 0)
        connection.send([frameBytes(frame, payload)])
      }
      connection.send([random.bytes(64)])
      await settled(() => isClosed)
    }
    assert.equal(utf8Decode(await b.call(one, 1, text('fine'), soon)), 'fine')
    await world.close()
  })

  test('a member that sends without credit is cut', async () => {
    const network = createMemoryNetwork()
    const world = await createWorld(network)
    const [arrived, release] = [gate(), gate()]
    const a = await world.node(one, {
      serve: (rpc) =>
        rpc.serveStream(1, () => {
          arrived.open()
          return release.opened
        }),
      limits: { streamWindowBytes: 300_000 },
    })
    const b = await world.node(two)
    await connected(a, b)
    const stream = await b.openStream(one, 1, text(''), soon)
    await stream.send(new Uint8Array(250_000))
    await arrived.opened
    const over = new Uint8Array(16 + 100_000)
    over.set([10, 0, 0, 0, 0, 0, 0, 0, 0xa0, 0x86, 0x01, 0])
    // The stream has the first id of its opener on whichever connection it took; elsewhere it is unknown.
    for (const [dialled, accepted] of network.connections) {
      const isOurs = dialled.peer.nodeId === 1
      const bytes = over.slice()
      bytes[4] = isOurs ? 1 : 2
      const end = isOurs ? dialled : accepted
      end.send([bytes])
    }
    assert.equal(
      (await faultOf(stream.messages[Symbol.asyncIterator]().next())).code,
      'unavailable',
    )
    release.open()
    await world.close()
  })

  test('a queue that does not drain refuses instead of growing', async () => {
    const network = createMemoryNetwork()
    const world = await createWorld(network)
    const [a, b] = [await world.node(one), await world.node(two)]
    await connected(a, b)
    const message = new Uint8Array(1_000_000)
    let accepted = 0
    while (accepted < 100 && a.send(two, 1, message)) accepted++
    assert.ok(accepted >= 15 && accepted < 25, `${accepted} MB were queued in one turn`)
    assert.equal((await faultOf(a.call(two, 1, message, soon))).code, 'overloaded')
    await world.close()
  })
})

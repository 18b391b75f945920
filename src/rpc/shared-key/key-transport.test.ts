// The shared key over real sockets: the suite of all transports, and what is its own.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { after, test } from 'node:test'
import { clusterId, Fault, isFault, nodeId, seededRandom, utf8Encode } from '../../base/index.ts'
import { createRealHost } from '../../host/real/index.ts'
import { createTestAuthority, settled } from '../../host/testing/index.ts'
import { transportContract } from '../../host/testing/transport-contract.ts'
import { connectPair, Receiver } from '../../host/testing/transport-world.ts'
import { createKeyTransport } from './key-transport.ts'
import { parseSharedKey } from './key.ts'

const root = mkdtempSync(`${tmpdir()}/atoll-key-`)
after(() => rmSync(root, { recursive: true, force: true }))

const ours = clusterId('a'.repeat(32))
const others = clusterId('b'.repeat(32))
const key = parseSharedKey(utf8Encode('correct horse battery staple, but random'))
const otherKey = parseSharedKey(utf8Encode('another key that is as long as it must be'))
const anywhere = { host: '127.0.0.1', port: 0 }

function newHost(lines: string[] = []) {
  return createRealHost({
    rootPath: root,
    journal: { format: 'json', level: 'debug', write: (line) => lines.push(line) },
    onFatal: (_event, error) => {
      throw error
    },
  })
}

function transportOf(
  node: number,
  options: Partial<Parameters<typeof createKeyTransport>[1]> = {},
) {
  const self = { nodeId: nodeId(node), clusterId: ours }
  return createKeyTransport(newHost(), { self, key, ...options })
}

for (const rekey of [undefined, { rekeyRecords: 5, rekeyBytes: 100_000 }]) {
  transportContract({
    name: rekey === undefined ? 'shared key' : 'shared key, which changes often',
    hasWire: true,
    async make() {
      const options = rekey === undefined ? {} : { rekey }
      return {
        one: transportOf(1, options),
        two: transportOf(2, options),
        strangers: {
          'a node with another key': transportOf(2, { key: otherKey }),
          'a node of another cluster': transportOf(2, {
            self: { nodeId: nodeId(2), clusterId: others },
          }),
        },
        address: anywhere,
        otherAddress: anywhere,
        wire: { plain: newHost().network.plain, oversized: new Uint8Array([1, 1, 2, 1]) },
      }
    },
  })
}

async function refusalOf(work: Promise<unknown>): Promise<Fault> {
  const error = await work.then(
    () => assert.fail('connected'),
    (fault: unknown) => fault,
  )
  assert.ok(error instanceof Fault, String(error))
  return error
}

test('another key is named as such, to the person who dials and in the journal', async () => {
  const lines: string[] = []
  const one = createKeyTransport(newHost(lines), {
    self: { nodeId: nodeId(1), clusterId: ours },
    key,
  })
  const listener = await one.listen(anywhere, { onConnection: () => assert.fail('accepted') })
  const { host, port } = listener.address
  const two = transportOf(2, { key: otherKey })
  const fault = await refusalOf(
    two.connect(listener.address, { expected: nodeId(1), timeoutMs: 2_000 }),
  )
  assert.equal(fault.code, 'unauthenticated')
  assert.equal(
    fault.message,
    `node 1 at ${host}:${port} uses another key: all members must share one`,
  )
  assert.match(String(fault.next), /same encryption key/)
  const refused = lines.filter((line) => line.includes('network.peer_refused'))
  assert.equal(refused.length, 1)
  assert.match(refused[0] ?? '', /uses another key: all members must share one/)
  await listener.close()
})

test('nobody else passes for this node, although all members hold its key', async () => {
  const one = transportOf(1)
  const listener = await one.listen(anywhere, { onConnection: () => assert.fail('accepted') })
  const fault = await refusalOf(transportOf(1).connect(listener.address, { timeoutMs: 2_000 }))
  assert.match(fault.message, /says it is node 1, which is this node/)
  await listener.close()
})

test('a cluster in which some use certificates: both sides say so', async () => {
  const lines: string[] = []
  const real = newHost(lines)
  const authority = await createTestAuthority('ours')
  const tls = real.network.secured(await authority.identity(1))
  const keyed = createKeyTransport(real, { self: { nodeId: nodeId(2), clusterId: ours }, key })
  const onConnection = (): void => assert.fail('accepted')
  const [tlsListener, keyListener] = [
    await tls.listen(anywhere, { onConnection }),
    await keyed.listen(anywhere, { onConnection }),
  ]
  const dialled = await refusalOf(keyed.connect(tlsListener.address, { timeoutMs: 2_000 }))
  assert.match(dialled.message, /certificates and no shared key|closed the connection/)
  await refusalOf(tls.connect(keyListener.address, { timeoutMs: 2_000 }))
  assert.ok(
    lines.some((line) => line.includes('certificates and no shared key')),
    lines.join('\n'),
  )
  await Promise.all([tlsListener.close(), keyListener.close()])
})

test('nothing on the wire repeats from connection to connection, or shows what is sent', async () => {
  const secret = seededRandom(5).bytes(200)
  const seen: Uint8Array[] = []
  for (let round = 0; round < 2; round++) {
    const real = newHost()
    const { plain } = real.network
    const spied: Uint8Array[] = []
    const middle = await plain.listen(anywhere, {
      onConnection: (near) => {
        const target = listenerAddress
        assert.ok(target !== undefined)
        plain.connect(target, { timeoutMs: 1_000 }).then((far) => {
          near.onClose = () => far.destroy()
          far.onClose = () => near.destroy()
          near.onBytes = (bytes) => {
            spied.push(bytes.slice())
            far.send([bytes.slice()])
          }
          far.onBytes = (bytes) => near.send([bytes.slice()])
        }, assert.fail)
      },
    })
    let listenerAddress: typeof anywhere | undefined
    const accepting = Promise.withResolvers<Receiver>()
    const listener = await transportOf(1).listen(anywhere, {
      onConnection: (connection) => accepting.resolve(new Receiver(connection)),
    })
    listenerAddress = listener.address
    const dialled = await transportOf(2).connect(middle.address, { timeoutMs: 2_000 })
    dialled.send([secret])
    const received = await accepting.promise
    await received.has(secret.length)
    const bytes = new Uint8Array(Buffer.concat(spied))
    assert.equal(Buffer.from(bytes).indexOf(secret.subarray(0, 8)), -1)
    assert.equal(Buffer.from(bytes).indexOf(ours), -1)
    seen.push(bytes)
    dialled.destroy()
    await Promise.all([middle.close(), listener.close()])
  }
  const [first = secret, second = secret] = seen
  assert.equal(first.length, second.length)
  for (let at = 4; at + 8 <= 116; at += 8) {
    assert.notDeepEqual(first.subarray(at, at + 8), second.subarray(at, at + 8))
  }
})

test('a connection that was paused before anybody listened loses nothing', async () => {
  const world = {
    one: transportOf(1),
    two: transportOf(2),
    strangers: {},
    address: anywhere,
    otherAddress: anywhere,
  }
  const { dialled, accepted, close } = await connectPair(world)
  const bytes = seededRandom(8).bytes(300_000)
  accepted.send([bytes])
  await newHost().clock.sleep(1)
  const received = new Receiver(dialled)
  await received.has(bytes.length)
  assert.deepEqual(received.bytes, bytes)
  await close()
})

test('strangers who say nothing do not keep members out', async () => {
  const { plain } = newHost().network
  let accepted = 0
  const listener = await transportOf(1).listen(anywhere, { onConnection: () => accepted++ })
  const mute: Receiver[] = []
  for (let i = 0; i < 300; i++) {
    mute.push(new Receiver(await plain.connect(listener.address, { timeoutMs: 5_000 })))
  }
  await Promise.all(mute.slice(0, 44).map(({ closed }) => closed))
  const member = await transportOf(2).connect(listener.address, { timeoutMs: 5_000 })
  assert.equal(member.peer.nodeId, 1)
  await settled(() => accepted === 1)
  assert.ok(mute.filter(({ isClosed }) => !isClosed).length <= 256)
  await listener.close()
})

test('threads of one node share a port', async () => {
  const one = transportOf(1)
  const onConnection = (): void => undefined
  const first = await one.listen(anywhere, { onConnection, sharesPort: 'first' })
  const second = await one.listen(first.address, { onConnection, sharesPort: 'more' })
  await assert.rejects(one.listen(first.address, { onConnection }), (error) => {
    return isFault(error, 'exists')
  })
  await (await transportOf(2).connect(first.address, { timeoutMs: 5_000 })).destroy()
  await Promise.all([first.close(), second.close()])
})

test('keys as people give them', () => {
  const exact = seededRandom(3)
    .bytes(32)
    .map((byte) => byte | 0x80)
  assert.deepEqual(parseSharedKey(exact), exact)
  assert.deepEqual(parseSharedKey(new Uint8Array([...exact, 0x0a])), exact)
  const hex = utf8Encode('0123456789abcdef'.repeat(4))
  const derived = parseSharedKey(hex)
  assert.equal(derived.length, 32)
  assert.deepEqual(parseSharedKey(new Uint8Array([...hex, 0x0d, 0x0a])), derived)
  assert.notDeepEqual(parseSharedKey(new Uint8Array([...hex, 0x20])), derived)
  for (const length of [0, 1, 16, 31, 4097]) {
    assert.throws(() => parseSharedKey(new Uint8Array(length)), /encryption key of \d+ bytes/)
  }
})

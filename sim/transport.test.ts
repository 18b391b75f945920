// The suite of all transports in the simulator: its own secured connections, and the shared key over its
// plain ones, whose handshakes and records are computed from the seed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, nodeId, seededRandom, utf8Encode } from '../src/base/index.ts'
import type { RunTest } from '../src/host/contract.ts'
import type { Host, PeerIdentity, Transport } from '../src/host/index.ts'
import { transportContract } from '../src/host/testing/transport-contract.ts'
import { connectPair, Receiver, type TransportWorld } from '../src/host/testing/transport-world.ts'
import { createKeyTransport, parseSharedKey } from '../src/rpc/index.ts'
import { realLoop } from './main.ts'
import { World } from './world.ts'

const key = parseSharedKey(utf8Encode('a key that all members of the test share'))
const otherKey = parseSharedKey(utf8Encode('a key that others share, as long as ours'))
const ours = clusterId('a'.repeat(32))
const others = clusterId('b'.repeat(32))
const pem = { authorityPem: '', certificatePem: '', privateKeyPem: '' }

let world = new World({ seed: 1, loop: realLoop })
let seed = 1

/** Each test in a world of its own, driven until the test has ended. */
const run: RunTest = async (body) => {
  world = new World({ seed: seed++, loop: realLoop })
  await world.run(body(), 600_000)
}

type Make = (host: Host, self: PeerIdentity, isStranger: boolean) => Transport

function makeWorld(make: Make, hasWire: boolean): TransportWorld {
  const hosts = [1, 2, 3].map((node) => world.startHost(node))
  const [first, second, third] = hosts
  assert.ok(first !== undefined && second !== undefined && third !== undefined)
  const two = nodeId(2)
  const strangers = {
    'a node of another cluster': make(third, { nodeId: two, clusterId: others }, false),
    ...(hasWire
      ? { 'a node with another key': make(third, { nodeId: two, clusterId: ours }, true) }
      : {}),
  }
  return {
    one: make(first, { nodeId: nodeId(1), clusterId: ours }, false),
    two: make(second, { nodeId: two, clusterId: ours }, false),
    strangers,
    address: { host: '10.0.0.1', port: 6660 },
    otherAddress: { host: '10.0.0.3', port: 6660 },
    ...(hasWire
      ? { wire: { plain: third.network.plain, oversized: new Uint8Array([1, 1, 2, 1]) } }
      : {}),
  }
}

const bySimulator: Make = (host, self) => host.network.secured({ ...self, ...pem })
const byKey: Make = (host, self, isStranger) =>
  createKeyTransport(host, { self, key: isStranger ? otherKey : key })

transportContract({
  name: 'simulator',
  hasWire: false,
  run,
  make: async () => makeWorld(bySimulator, false),
})
transportContract({
  name: 'shared key in the simulator',
  hasWire: true,
  run,
  make: async () => makeWorld(byKey, true),
})

test('the same seed gives the same bytes of the shared key', async () => {
  const digests: string[] = []
  for (const round of [1, 1, 2]) {
    world = new World({ seed: round, loop: realLoop })
    const spied: Uint8Array[] = []
    const story = async (): Promise<void> => {
      const { wire, ...rest } = makeWorld(byKey, true)
      assert.ok(wire !== undefined)
      const middle = await wire.plain.listen(rest.otherAddress, {
        onConnection: (near) => {
          wire.plain.connect(rest.address, { timeoutMs: 1_000 }).then((far) => {
            near.onClose = () => far.destroy()
            far.onClose = () => near.destroy()
            near.onBytes = (bytes) => {
              spied.push(bytes.slice())
              far.send([bytes])
            }
            far.onBytes = (bytes) => near.send([bytes])
          }, assert.fail)
        },
      })
      const { dialled, accepted } = await connectPair(rest, { through: middle.address })
      const received = new Receiver(accepted)
      dialled.send([seededRandom(1).bytes(500)])
      await received.has(500)
    }
    await world.run(story(), 600_000)
    digests.push(Buffer.concat(spied).toString('hex'))
  }
  assert.equal(digests[0], digests[1])
  assert.notEqual(digests[0], digests[2])
})

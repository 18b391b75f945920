// The suite of all transports over libp2p on loopback, plain and with a shared key; and what is libp2p's own.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { after, test } from 'node:test'
import { clusterId, isFault, nodeId, seededRandom, utf8Encode } from '../../src/base/index.ts'
import type { Address, PlainNetwork, Transport } from '../../src/host/index.ts'
import { createRealHost } from '../../src/host/real/index.ts'
import { transportContract } from '../../src/host/testing/transport-contract.ts'
import { parseSharedKey, type SharedKey } from '../../src/rpc/index.ts'
import { loadLibp2p, type PeerNode } from './libp2p.ts'
import { createLibp2pTransport, protocolsOf } from './libp2p-transport.ts'
import { nodeIdOfPeer, PeerIds } from './peer-ids.ts'

const root = mkdtempSync(`${tmpdir()}/atoll-libp2p-`)
after(() => rmSync(root, { recursive: true, force: true }))
const libp2p = await loadLibp2p()
const ours = clusterId('a'.repeat(32))
const others = clusterId('b'.repeat(32))
const key = parseSharedKey(utf8Encode('a key that all members of the test share'))
const otherKey = parseSharedKey(utf8Encode('a key that others share, as long as ours'))
const namespace = '/raft/test'

function newHost() {
  return createRealHost({
    rootPath: root,
    journal: { format: 'json', level: 'error' },
    onFatal: (_event, error) => {
      throw error
    },
  })
}

const newNode = (): Promise<PeerNode> =>
  libp2p.createNode({ listen: ['/ip4/127.0.0.1/tcp/0'], handshakeMsMax: 500 })

function transportOf(
  node: PeerNode,
  options: { readonly cluster?: typeof ours; readonly key?: SharedKey } = {},
): Transport {
  const { cluster = ours, ...rest } = options
  const peerIds = new PeerIds()
  return createLibp2pTransport(newHost(), {
    libp2p,
    node,
    namespace,
    clusterId: cluster,
    peerIds,
    ...rest,
  })
}

/** The TCP port of a node. */
function placeOf(node: PeerNode): Address {
  const [, host = '', port = '0'] =
    /\/ip4\/([0-9.]+)\/tcp\/([0-9]+)/.exec(String(node.getMultiaddrs()[0])) ?? []
  return { host, port: Number(port) }
}

/** TCP below libp2p: a peer id is where that peer listens. */
function wireOf(nodes: readonly PeerNode[]): PlainNetwork {
  const { plain } = newHost().network
  const resolve = (address: Address): Address => {
    const node = nodes.find(({ peerId }) => peerId.toString() === address.host)
    return node === undefined ? address : placeOf(node)
  }
  return {
    listen: (address, options) => plain.listen(address, options),
    connect: (address, options) => plain.connect(resolve(address), options),
  }
}

for (const keyed of [false, true]) {
  const mine = keyed ? { key } : {}
  transportContract({
    name: keyed ? 'libp2p with a shared key' : 'libp2p',
    hasWire: true,
    async make() {
      const nodes = await Promise.all([newNode(), newNode(), newNode(), newNode()])
      const [first, second, third, fourth] = nodes
      assert.ok(first && second && third && fourth)
      for (const node of nodes) {
        for (const other of nodes) {
          if (node === other) continue
          await node.peerStore.merge(other.peerId, { multiaddrs: other.getMultiaddrs() })
        }
      }
      return {
        one: transportOf(first, mine),
        two: transportOf(second, mine),
        strangers: {
          'a peer of another cluster': transportOf(third, { ...mine, cluster: others }),
          ...(keyed ? { 'a peer with another key': transportOf(fourth, { key: otherKey }) } : {}),
        },
        address: { host: '127.0.0.1', port: 0 },
        otherAddress: { host: '127.0.0.1', port: 0 },
        // A message of the negotiation that comes before libp2p's own encryption: 2^21 bytes long.
        wire: { plain: wireOf(nodes), oversized: new Uint8Array([0xff, 0xff, 0x7f]) },
        async close() {
          await Promise.all(nodes.map((node) => node.stop()))
        },
      }
    },
  })
}

test('a number of two peers is refused, loudly', () => {
  const peerIds = new PeerIds(() => nodeId(7))
  assert.equal(peerIds.idOf('12D3KooWa'), 7)
  assert.equal(peerIds.idOf('12D3KooWa'), 7)
  assert.throws(
    () => peerIds.idOf('12D3KooWb'),
    (error) => isFault(error, 'exists') && /would both be node 7/.test(error.message),
  )
  assert.equal(peerIds.peerOf(nodeId(7)), '12D3KooWa')
})

test('numbers are made from peer ids alone, whole and positive', () => {
  const random = seededRandom(1)
  for (let round = 0; round < 1_000; round++) {
    const id = nodeIdOfPeer(Buffer.from(random.bytes(16)).toString('hex'))
    assert.ok(Number.isInteger(id) && id >= 1 && id < 2 ** 32)
  }
  assert.equal(nodeIdOfPeer('12D3KooWPAAmzcfSMbDVPdZk4xQppWxStdanucHUvuwF3G2UejFd'), 2494177258)
})

test('protocols follow the namespace; other names are refused', () => {
  assert.deepEqual(protocolsOf('/raft/cron'), {
    api: '/raft/v1/raft/cron',
    transport: '/raft/v1/raft/cron/transport',
  })
  for (const name of [
    'cron',
    '/raft',
    '/raft/',
    '/other/cron',
    '/raft/a b',
    `/raft/${'x'.repeat(201)}`,
  ]) {
    assert.throws(() => protocolsOf(name), /begins with \/raft\//)
  }
})

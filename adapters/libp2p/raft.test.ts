// A raft group over libp2p: three peers that know one entrance into the mesh and a namespace, nothing else. They
// find each other by the namespace, their peer ids become the voters, and the group goes on without one of them.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { after, test } from 'node:test'
import {
  clusterId,
  type Fault,
  groupId,
  type NodeId,
  uint64Bytes,
  utf8Encode,
} from '../../src/base/index.ts'
import type { Address } from '../../src/host/index.ts'
import { createRealHost } from '../../src/host/real/index.ts'
import { settled } from '../../src/host/testing/index.ts'
import { createRaft, type Group, raftTable, type StateMachine } from '../../src/raft/index.ts'
import { createRpc, parseSharedKey } from '../../src/rpc/index.ts'
import { openLog, openStore } from '../../src/storage/index.ts'
import { startDiscovery } from './discovery.ts'
import { loadLibp2p } from './libp2p.ts'
import { createLibp2pTransport } from './libp2p-transport.ts'
import { PeerIds } from './peer-ids.ts'

const root = mkdtempSync(`${tmpdir()}/atoll-libp2p-raft-`)
after(() => rmSync(root, { recursive: true, force: true }))
const namespace = '/raft/cron'
const nowhere: Address = { host: '', port: 0 }

type Peer = {
  readonly id: NodeId
  readonly text: string
  readonly seen: ReadonlyMap<NodeId, Address>
  applied(): number
  open(voters: readonly NodeId[]): Promise<Group>
  stop(): Promise<void>
}

async function startPeer(
  name: string,
  entrances: readonly string[],
): Promise<Peer & { entrance: string }> {
  const host = createRealHost({
    rootPath: `${root}/${name}`,
    journal: { format: 'text', level: 'error' },
  })
  const libp2p = await loadLibp2p()
  const privateKeySeed = host.random.bytes(32)
  const node = await libp2p.createNode({ listen: ['/ip4/127.0.0.1/tcp/0'], privateKeySeed })
  const peerIds = new PeerIds()
  const transport = createLibp2pTransport(host, {
    libp2p,
    node,
    namespace,
    clusterId: clusterId('c'.repeat(32)),
    peerIds,
    key: parseSharedKey(utf8Encode('a key that all members of the test share')),
  })
  const self = transport.self.nodeId
  const log = await openLog(host, { path: 'log', ownThread: false })
  const store = await openStore(host, { path: 'store.sqlite', tables: [raftTable] })
  const rpc = createRpc(host, { transport, listen: nowhere })
  const onFatal = (fault: Fault): void => assert.fail(fault)
  const raft = createRaft({ host, log, store, rpc, onFatal }, { self })
  const seen = new Map<NodeId, Address>()
  await rpc.listen()
  const discovery = startDiscovery({
    libp2p,
    node,
    namespace,
    clock: host.clock,
    everyMs: 100,
    entrances,
    onPeer: (peer) => {
      const id = peerIds.idOf(peer)
      if (seen.has(id)) return
      seen.set(id, { host: peer, port: 0 })
      rpc.setPeers(seen)
    },
  })
  const machine = counter()
  return {
    id: self,
    text: node.peerId.toString(),
    entrance: String(node.getMultiaddrs()[0]),
    seen,
    applied: machine.count,
    open: (voters) =>
      raft.open({
        group: groupId(1),
        name: namespace,
        stateMachine: machine.stateMachine,
        founders: { voters },
        electionPriority: 4,
      }),
    async stop() {
      await discovery.stop()
      await raft.close()
      await rpc.close()
      await node.stop()
      await log.close()
      await store.close()
    },
  }
}

test('peers find each other by the namespace, are its voters, and survive the loss of one', async () => {
  // The host's timers do not keep a process alive.
  const awake = setInterval(() => undefined, 1_000)
  const first = await startPeer('first', [])
  const second = await startPeer('second', [first.entrance])
  const third = await startPeer('third', [first.entrance])
  const peers = [first, second, third]
  await settled(() => peers.every(({ seen }) => seen.size === 2))
  const voters = peers.map(({ id }) => id).sort((a, b) => a - b)
  for (const { seen, id } of peers) {
    assert.deepEqual(
      [...seen.keys(), id].sort((a, b) => a - b),
      voters,
    )
  }
  assert.equal(second.seen.get(third.id)?.host, third.text, 'addresses are peer ids')
  const groups = await Promise.all(peers.map((peer) => peer.open(voters)))
  await write(groups)
  await settled(() => peers.every((peer) => peer.applied() === 1))
  const leaderAt = peers.findIndex((_, at) => groups[at]?.status().role === 'leader')
  assert.ok(leaderAt >= 0)
  await peers[leaderAt]?.stop()
  const left = peers.filter((_, at) => at !== leaderAt)
  await write(groups.filter((_, at) => at !== leaderAt))
  await settled(() => left.every((peer) => peer.applied() === 2))
  await Promise.all(left.map((peer) => peer.stop()))
  clearInterval(awake)
})

/** Once, at whoever leads. */
async function write(groups: readonly Group[]): Promise<void> {
  const leader = (): Group | undefined => groups.find((group) => group.status().role === 'leader')
  await settled(() => leader() !== undefined)
  await leader()?.propose(uint64Bytes(1))
}

function counter(): { readonly stateMachine: StateMachine; count(): number } {
  let count = 0
  const stateMachine: StateMachine = {
    apply: (entries) => entries.map(() => uint64Bytes(++count)),
    snapshot: () => {
      async function* chunks(): AsyncGenerator<Uint8Array> {
        yield uint64Bytes(count)
      }
      return { chunks: chunks(), close: () => undefined }
    },
    install: () => ({
      write: async () => undefined,
      finish: () => undefined,
      abort: async () => undefined,
    }),
    sync: async () => undefined,
    digest: () => uint64Bytes(count),
  }
  return { stateMachine, count: () => count }
}

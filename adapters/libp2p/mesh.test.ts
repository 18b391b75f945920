// `atoll/raft` over libp2p: three servers that know one entrance into the mesh and a namespace, nothing else. They find
// each other, found a cluster whose members are their peer ids, elect, write, and go on without their leader.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { after, test } from 'node:test'
import { utf8Decode, utf8Encode } from '../../src/base/index.ts'
import { type Cluster, open } from '../../src/library/raft.ts'
import { openPlace, type Place } from './open-place.ts'
import { nodeIdOfPeer } from './peer-ids.ts'

const root = mkdtempSync(`${tmpdir()}/atoll-libp2p-mesh-`)
after(() => rmSync(root, { recursive: true, force: true }))
const namespace = '/raft/cron'
const key = utf8Encode('a key that all members of the test share')

type Server = { readonly place: Place; readonly cluster: Cluster }

async function startServer(name: string, entrances: readonly string[]): Promise<Server> {
  const directory = `${root}/${name}`
  const listen = ['/ip4/127.0.0.1/tcp/0']
  const place = await openPlace({ directory, namespace, listen, entrances, key, everyMs: 100 })
  const cluster = await open(namespace, {
    ...place.options,
    directory,
    preset: 'local',
    founders: { kind: 'size', size: 3 },
  })
  return { place, cluster }
}

async function stopServer({ place, cluster }: Server): Promise<void> {
  await cluster.close()
  await place.stop()
}

async function leaderOf(servers: readonly Server[]): Promise<Server> {
  for (;;) {
    await Promise.all(servers.map(({ cluster }) => cluster.waitForLeader(30_000)))
    const leader = servers.find(({ cluster }) => cluster.isLeader())
    if (leader !== undefined) return leader
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

test('servers find each other by the namespace, are its voters, and survive the loss of one', async (t) => {
  // The host's timers do not keep a process alive.
  const awake = setInterval(() => undefined, 1_000)
  t.after(() => clearInterval(awake))
  const first = await startServer('first', [])
  const second = await startServer('second', first.place.entrances)
  const third = await startServer('third', first.place.entrances)
  const servers = [first, second, third]
  const leader = await leaderOf(servers)
  await leader.cluster.set('next-run', utf8Encode('10:00'))
  const members = leader.cluster.members()
  assert.deepEqual(
    members.map(({ node }) => node),
    servers.map(({ place }) => nodeIdOfPeer(place.peer)).sort((a, b) => a - b),
  )
  for (const { node, address, isVoter } of members) {
    const { place } = servers.find((server) => nodeIdOfPeer(server.place.peer) === node) ?? first
    assert.ok(isVoter)
    assert.equal(address ?? place.options.listen, place.options.listen, 'addresses are peer ids')
  }
  await stopServer(leader)
  const left = servers.filter((server) => server !== leader)
  const next = await leaderOf(left)
  await next.cluster.barrier()
  assert.equal(utf8Decode((await next.cluster.get('next-run')) ?? new Uint8Array()), '10:00')
  await next.cluster.set('next-run', utf8Encode('11:00'))
  await Promise.all(left.map(stopServer))
})

// What a program sees of the mesh: the local API, the remote client, faults, machines of its own.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  Fault,
  type FaultCode,
  isFault,
  nodeId,
  utf8Decode,
  utf8Encode,
} from '../../src/base/index.ts'
import {
  type Cluster,
  type ClusterMachine,
  createMesh,
  type Mesh,
  type MeshOptions,
  type OpenOptions,
} from '../../src/mesh/index.ts'
import type { Disk } from '../../src/host/index.ts'
import { realLoop } from '../main.ts'
import type { SimHost } from '../sim-host.ts'
import { World } from '../world.ts'

const pem = { authorityPem: '', certificatePem: '', privateKeyPem: '' }
const founders = { kind: 'size', size: 3 } as const
const storyMsMax = 600_000
const addressOf = (number: number): string => `127.0.0.${number}:6660`

type Site = { readonly host: SimHost; readonly mesh: Mesh }

async function start(
  world: World,
  number: number,
  options: Partial<MeshOptions> = {},
): Promise<Site> {
  return await startOn(world.startHost(number), number, options)
}

async function startOn(
  host: SimHost,
  number: number,
  options: Partial<MeshOptions> = {},
): Promise<Site> {
  const mesh = await createMesh(host, {
    listen: addressOf(number),
    transport: (self) => host.network.secured({ ...self, ...pem }),
    contacts: [1, 2, 3].filter((other) => other !== number).map(addressOf),
    preset: 'local',
    ownLogThread: false,
    ...options,
  })
  return { host, mesh }
}

/** Nodes 1 to 3 with one namespace; the leader first. */
async function form(
  world: World,
  namespace: string,
  optionsOf: (number: number) => OpenOptions = () => ({ founders }),
): Promise<{ readonly sites: readonly Site[]; readonly clusters: readonly Cluster[] }> {
  const sites = await Promise.all([1, 2, 3].map((number) => start(world, number)))
  const clusters = await Promise.all(
    sites.map(({ mesh }, at) => mesh.open(namespace, optionsOf(at + 1))),
  )
  for (const cluster of clusters) await cluster.waitForLeader(60_000)
  return { sites, clusters }
}

function split(clusters: readonly Cluster[]) {
  const leader = clusters.find((cluster) => cluster.isLeader())
  const [follower, other] = clusters.filter((cluster) => cluster !== leader)
  assert.ok(leader && follower && other)
  return { leader, follower, other }
}

async function until(world: World, holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await world.sleep(50)
}

function story(name: string, seed: number, play: (world: World) => Promise<void>): void {
  test(name, async () => {
    const world = new World({ seed, loop: realLoop })
    await world.run(play(world), storyMsMax)
  })
}

const fails =
  (code: FaultCode, outcome: 'failed' | 'unknown' = 'failed') =>
  (error: unknown): boolean =>
    isFault(error, code) && error.outcome === outcome

story(
  'local writes are the leader’s, the client forwards, reads wait for a barrier',
  1,
  async (world) => {
    const { sites, clusters } = await form(world, '/raft/kv')
    const { leader, follower } = split(clusters)
    await assert.rejects(follower.set('a', utf8Encode('1')), (error) => {
      return (
        fails('not-leader')(error) && isFault(error) && error.fields.leader === String(leader.node)
      )
    })
    await leader.set('a', utf8Encode('1'))
    await follower.barrier()
    assert.deepEqual(await follower.get('a'), utf8Encode('1'))
    const mesh = sites.find((site) => site.mesh.node === follower.node)?.mesh
    const client = mesh?.client('/raft/kv')
    assert.ok(client)
    await client.set('b', utf8Encode('2'))
    await client.set('b/c', utf8Encode('3'), { to: leader.node, timeoutMs: 2_000 })
    assert.deepEqual(await client.get('b', { barrierMs: 1_000, to: leader.node }), utf8Encode('2'))
    assert.equal(await client.get('none', { barrierMs: 1_000 }), undefined)
    assert.deepEqual(await client.keys({ barrierMs: 1_000 }), ['a', 'b', 'b/c'])
    assert.deepEqual(await client.keys({ prefix: 'b', barrierMs: 1_000 }), ['b', 'b/c'])
    assert.deepEqual(await leader.keys('b/'), ['b/c'])
    assert.equal(await client.delete('b'), true)
    assert.equal(await client.delete('b'), false)
    assert.equal(await leader.delete('a'), true)
    await assert.rejects(client.apply(utf8Encode('x')), fails('unsupported'))
    await assert.rejects(client.get('a', { to: nodeId(77), timeoutMs: 300 }), fails('deadline'))
    await assert.rejects(client.set('a', utf8Encode(''), { timeoutMs: 0 }), fails('invalid'))
    client.close()
    await assert.rejects(client.get('a'), fails('cancelled'))
  },
)

story(
  'a mesh that hosts nothing is a client of all others, and learns whom they know',
  2,
  async (world) => {
    const { clusters } = await form(world, '/raft/kv')
    const { leader } = split(clusters)
    const { mesh } = await start(world, 4, { contacts: [addressOf(1)] })
    const client = mesh.client('/raft/kv')
    await client.set('a', utf8Encode('1'))
    assert.deepEqual(await client.get('a', { barrierMs: 1_000 }), utf8Encode('1'))
    const known = await client.exchangePeers()
    assert.ok(known.length >= 2)
    const members = await client.members()
    assert.equal(members.filter(({ isVoter }) => isVoter).length, 3)
    assert.equal(members.find(({ isLeader }) => isLeader)?.node, leader.node)
    await assert.rejects(mesh.client('/raft/none').get('a', { timeoutMs: 500 }), fails('deadline'))
    await assert.rejects(client.joinVoter(nodeId(99), { timeoutMs: 500 }), fails('deadline'))
    await mesh.close()
    await assert.rejects(client.get('a'), (error) => isFault(error))
  },
)

story(
  'members come, go and move leadership; a removed one says so and asks back',
  3,
  async (world) => {
    const { clusters } = await form(world, '/raft/kv')
    const { leader, follower, other } = split(clusters)
    await assert.rejects(follower.removeServer(other.node), fails('not-leader'))
    await assert.rejects(leader.removeServer(nodeId(99)), fails('not-found'))
    const { mesh } = await start(world, 4)
    const fourth = await mesh.open('/raft/kv', { founders: { kind: 'join' }, wantsVote: false })
    await fourth.waitForLeader(60_000)
    assert.equal(fourth.state(), 'learner')
    await leader.addVoter(fourth.node, { timeoutMs: 20_000 })
    await until(world, () => fourth.state() === 'follower')
    assert.equal(leader.members().filter(({ isVoter }) => isVoter).length, 4)
    await leader.removeServer(other.node)
    await until(world, () => other.state() === 'removed')
    assert.ok(other.status().alarms.some(({ kind, next }) => kind === 'removed' && next !== ''))
    other.rejoin()
    await until(world, () => other.state() === 'follower')
    await leader.transferLeadership(follower.node)
    await until(world, () => follower.isLeader())
    assert.equal(leader.state(), 'follower')
    await follower.close()
    assert.equal(follower.state(), 'closed')
    await assert.rejects(follower.get('a'), fails('cancelled'))
    await until(world, () => leader.leader() !== follower.node)
  },
)

story(
  'without a cluster everything says what is missing, and waiting ends in time',
  4,
  async (world) => {
    const { mesh } = await start(world, 1)
    for (const name of ['/cron', '/raft/', 'raft/a', '/raft/a/transport']) {
      await assert.rejects(mesh.open(name, { founders }), fails('invalid'))
    }
    const cluster = await mesh.open('/raft/a', { founders, bootstrapTimeoutMs: 1_000 })
    await assert.rejects(mesh.open('/raft/a', { founders }), fails('exists'))
    await assert.rejects(cluster.waitForLeader(3_000), (error) => {
      return fails('deadline')(error) && isFault(error) && /1 of 3 founders/.test(error.message)
    })
    assert.equal(cluster.state(), 'searching')
    await assert.rejects(cluster.set('a', utf8Encode('')), fails('unavailable'))
    await assert.rejects(cluster.barrier(), fails('unavailable'))
    const badThreshold = { founders, bootstrapThreshold: 2 }
    await assert.rejects(mesh.open('/raft/b', badThreshold), fails('invalid'))
    const alone = await mesh.open('/raft/alone', { founders, forceBootstrap: true })
    await alone.waitForLeader(10_000)
    await alone.set('a', utf8Encode('1'))
    assert.deepEqual(
      mesh.status().namespaces.map(({ namespace }) => namespace),
      ['/raft/a', '/raft/alone'],
    )
    await alone.close()
    const again = await mesh.open('/raft/alone', { founders })
    await again.waitForLeader(10_000)
    assert.deepEqual(await again.get('a'), utf8Encode('1'))
  },
)

/** Keeps what it was told, in order. */
class Words implements ClusterMachine {
  words: string[] = []
  apply({ payload }: { readonly payload: Uint8Array }): Uint8Array {
    this.words.push(utf8Decode(payload).slice(0, 8))
    return utf8Encode(String(this.words.length))
  }
  snapshot(): Uint8Array {
    return utf8Encode(this.words.join(' '))
  }
  restore(state: Uint8Array): void {
    this.words = utf8Decode(state).split(' ')
  }
}

story(
  'a machine of one’s own: answers, restarts, and a joiner that gets its snapshot',
  5,
  async (world) => {
    const machines = new Map<number, Words>()
    const machineOf = (number: number): Words => {
      const machine = new Words()
      machines.set(number, machine)
      return machine
    }
    const options = (number: number): OpenOptions => ({ founders, machine: machineOf(number) })
    const { sites, clusters } = await form(world, '/raft/words', options)
    const { leader, follower } = split(clusters)
    await assert.rejects(follower.apply(utf8Encode('no')), fails('not-leader'))
    await assert.rejects(leader.apply(new Uint8Array(2 ** 20 + 1)), fails('too-large'))
    await assert.rejects(leader.set('a', utf8Encode('')), fails('unsupported'))
    const long = 'x'.repeat(100_000)
    for (let count = 1; count <= 30; count++) {
      assert.deepEqual(
        await leader.apply(utf8Encode(`${count}.${long}`)),
        utf8Encode(String(count)),
      )
    }
    const client = sites[0]?.mesh.client('/raft/words')
    assert.deepEqual(await client?.apply(utf8Encode('last')), utf8Encode('31'))
    const led = sites.findIndex(({ mesh }) => mesh.node === leader.node) + 1
    const expected = [...(machines.get(led)?.words ?? [])]
    assert.equal(expected.length, 31)
    for (const number of [1, 2, 3]) world.crash(number, 'power')
    const again = await form(world, '/raft/words', options)
    for (const cluster of again.clusters) await cluster.barrier()
    for (const number of [1, 2, 3]) assert.deepEqual(machines.get(number)?.words, expected)
    const { mesh } = await start(world, 4)
    const joined = await mesh.open('/raft/words', {
      founders: { kind: 'join' },
      machine: machineOf(4),
    })
    await until(world, () => joined.state() === 'follower')
    await joined.barrier()
    assert.deepEqual(machines.get(4)?.words, expected)
  },
)

story(
  'a client that began with one contact reaches a chosen node, and all when the contact is gone',
  12,
  async (world) => {
    const { clusters } = await form(world, '/raft/kv')
    const [, second, third] = clusters
    assert.ok(second && third)
    const { mesh } = await start(world, 4, { contacts: [addressOf(1)] })
    const client = mesh.client('/raft/kv')
    const chosen = { to: third.node, timeoutMs: 10_000 }
    await client.set('a', utf8Encode('1'), chosen)
    assert.deepEqual(await client.get('a', { ...chosen, barrierMs: 1_000 }), utf8Encode('1'))
    await until(world, () => mesh.status().peers.every(({ isReachable }) => isReachable))
    world.crash(1, 'kill')
    await client.set('a', utf8Encode('2'), { timeoutMs: 30_000 })
    await second.barrier({ timeoutMs: 30_000 })
    assert.deepEqual(await second.get('a'), utf8Encode('2'))
  },
)

story('reads under a lease: only with a bound, and then as right as any', 14, async (world) => {
  const lease = (clockDriftRatio: number) => ({ readLease: { clockDriftRatio } })
  await assert.rejects(start(world, 4, lease(0)), fails('invalid'))
  const sites = await Promise.all([1, 2, 3].map((number) => start(world, number, lease(0.02))))
  const clusters = await Promise.all(sites.map(({ mesh }) => mesh.open('/raft/kv', { founders })))
  for (const cluster of clusters) await cluster.waitForLeader(60_000)
  const { leader, follower } = split(clusters)
  await leader.set('a', utf8Encode('1'))
  await leader.barrier()
  world.crash(clusters.indexOf(follower) + 1, 'kill')
  await leader.set('a', utf8Encode('2'), { timeoutMs: 30_000 })
  await leader.barrier({ timeoutMs: 30_000 })
  assert.deepEqual(await leader.get('a'), utf8Encode('2'))
})

story('snapshot files lie where the owner wants them', 13, async (world) => {
  const snapshotDisk = world.startHost(9).disk
  const { mesh } = await start(world, 1, { snapshotDisk })
  const cluster = await mesh.open('/raft/kv', { founders, forceBootstrap: true })
  await cluster.waitForLeader(10_000)
  const second = await start(world, 2)
  const joiner = await second.mesh.open('/raft/kv', { founders: { kind: 'join' } })
  await until(world, () => joiner.state() === 'follower')
  const files = (number: number) => world.disk(number).under('mesh/snapshots')
  assert.ok(files(9).some((path) => path.endsWith('.snapshot')))
  assert.deepEqual([...files(1)], [])
})

story('namespaces are clusters of their own', 6, async (world) => {
  const { sites } = await form(world, '/raft/a')
  const others = await Promise.all(
    sites.map(({ mesh }) => mesh.open('/raft/b', { founders, bootstrapTimeoutMs: 500 })),
  )
  for (const cluster of others) await cluster.waitForLeader(60_000)
  const { leader } = split(others)
  await leader.set('k', utf8Encode('b'))
  for (const { mesh } of sites) {
    assert.equal(await mesh.client('/raft/a').get('k', { barrierMs: 1_000 }), undefined)
    assert.deepEqual(await mesh.client('/raft/b').get('k', { barrierMs: 1_000 }), utf8Encode('b'))
  }
  const [first] = sites
  const clusterIds = first?.mesh.status().namespaces.map(({ standing }) => {
    return standing.kind === 'member' ? standing.genesis.clusterId : ''
  })
  assert.equal(new Set(clusterIds).size, 2)
})

story(
  'a certificate’s number whose disk was lost is refused for as long as it votes',
  7,
  async (world) => {
    const fixed = (host: SimHost, number: number): Partial<MeshOptions> => ({
      transport: host.network.secured({
        nodeId: nodeId(number),
        clusterId: '0'.repeat(32) as never,
        ...pem,
      }),
    })
    const open = async (number: number) => {
      const host = world.startHost(number)
      const mesh = await createMesh(host, {
        listen: addressOf(number),
        transport: fixed(host, number).transport as never,
        contacts: [1, 2, 3].filter((other) => other !== number).map(addressOf),
        preset: 'local',
        ownLogThread: false,
      })
      return mesh.open('/raft/kv', { founders: { kind: 'list', nodes: [1, 2, 3] } })
    }
    const clusters = await Promise.all([1, 2, 3].map(open))
    for (const cluster of clusters) await cluster.waitForLeader(60_000)
    const { leader } = split(clusters)
    await leader.set('a', utf8Encode('1'))
    const lost = clusters.findIndex((cluster) => cluster !== leader) + 1
    world.crash(lost, 'kill')
    world.loseDisk(lost)
    const back = await open(lost)
    await until(world, () => back.status().alarms.some(({ kind }) => kind === 'refused'))
    assert.equal(back.state(), 'joining')
    await leader.removeServer(nodeId(lost))
    await until(world, () => back.state() === 'follower')
    await back.barrier()
    assert.deepEqual(await back.get('a'), utf8Encode('1'))
  },
)

story('a directory whose store is gone is refused', 8, async (world) => {
  const { mesh } = await start(world, 1)
  await mesh.close()
  world.crash(1, 'kill')
  const disk = world.disk(1)
  for (const path of disk.under('mesh')) if (path.includes('store')) disk.remove(path)
  await assert.rejects(start(world, 1), fails('corrupt'))
})

story(
  'discovery by the name of the namespace is enough to meet, also for a client',
  9,
  async (world) => {
    const places = new Map<string, Set<string>>()
    const discovery = {
      announce(namespace: string, address: string) {
        const at = places.get(namespace) ?? new Set()
        places.set(namespace, at.add(address))
        return () => {
          at.delete(address)
        }
      },
      contacts: (namespace: string) => [...(places.get(namespace) ?? [])],
    }
    const options = { contacts: [], discovery }
    const sites = await Promise.all([1, 2, 3].map((number) => start(world, number, options)))
    const clusters = await Promise.all(
      sites.map(({ mesh }) => mesh.open('/raft/met', { founders })),
    )
    for (const cluster of clusters) await cluster.waitForLeader(60_000)
    const { mesh } = await start(world, 4, options)
    const client = mesh.client('/raft/met')
    await client.set('a', utf8Encode('1'))
    assert.deepEqual(await client.get('a', { barrierMs: 1_000 }), utf8Encode('1'))
    for (const site of sites) await site.mesh.close()
    assert.deepEqual(discovery.contacts('/raft/met'), [])
  },
)

story('state of one cluster is never opened as another one’s', 10, async (world) => {
  const alone = { founders: { kind: 'join' }, forceBootstrap: true } as const
  const first = await start(world, 1)
  const cluster = await first.mesh.open('/raft/a', alone)
  await cluster.waitForLeader(60_000)
  await cluster.set('a', utf8Encode('1'))
  await first.mesh.close()
  world.crash(1, 'kill')
  for (const path of world.disk(1).under('mesh/founding')) world.disk(1).remove(path)
  const again = await start(world, 1)
  const other = await again.mesh.open('/raft/a', alone)
  await assert.rejects(other.waitForLeader(60_000), fails('precondition'))
  await assert.rejects(other.get('a'), fails('precondition'))
  const [alarm] = other.status().alarms
  assert.ok(alarm?.kind === 'refused-precondition' && alarm.next !== '')
})

story(
  'nodes find each other again when the contact they all began with is gone',
  11,
  async (world) => {
    const { sites, clusters } = await form(world, '/raft/kv')
    const { leader } = split(clusters)
    await leader.set('a', utf8Encode('1'))
    await world.sleep(2_000)
    for (const { mesh } of sites) await mesh.close()
    for (const number of [1, 2, 3]) world.crash(number, 'kill')
    const contacts = [addressOf(1)]
    const [second, third] = [
      await start(world, 2, { contacts }),
      await start(world, 3, { contacts }),
    ]
    const cluster = await second.mesh.open('/raft/kv', { founders })
    await third.mesh.open('/raft/kv', { founders })
    await cluster.waitForLeader(60_000)
    await cluster.barrier()
    assert.deepEqual(await cluster.get('a'), utf8Encode('1'))
  },
)

story('what is closed while it opens is opened again, over one group', 12, async (world) => {
  const alone = { founders: { kind: 'size', size: 1 } } as const
  const host = world.startHost(1)
  const { disk } = host
  let pass = (): void => undefined
  const gate = new Promise<void>((resolve) => (pass = resolve))
  let isOpening = false
  // A group looks for its snapshots before it runs.
  const slow: Disk = {
    ...disk,
    list: async (path) => {
      isOpening = true
      await gate
      return await disk.list(path)
    },
  }
  const { mesh } = await startOn(host, 1, { snapshotDisk: slow })
  const first = await mesh.open('/raft/kv', alone)
  await until(world, () => isOpening)
  await first.close()
  const second = await mesh.open('/raft/kv', alone)
  await until(world, () => second.status().standing.kind === 'member')
  await world.sleep(1_000)
  pass()
  await second.waitForLeader(60_000)
  await second.set('a', utf8Encode('1'))
  await mesh.close()
})

story('a namespace that is opened while the mesh closes is refused', 13, async (world) => {
  const { mesh } = await start(world, 1)
  const opening = mesh.open('/raft/kv', { founders })
  await Promise.all([assert.rejects(opening, fails('cancelled')), mesh.close()])
})

/** The host's disk with what is open on it; the directory that is named cannot be listed. */
function watched(disk: Disk, rotten: string) {
  const open = new Set<string>()
  const counting: Disk = {
    ...disk,
    async list(path) {
      if (path === rotten) throw new Fault('corrupt', `${path} is rotten`)
      return await disk.list(path)
    },
    async open(path, how) {
      const file = await disk.open(path, how)
      open.add(path)
      const close = async (): Promise<void> => {
        open.delete(path)
        await file.close()
      }
      return new Proxy(file, {
        get: (target, name) => {
          if (name === 'close') return close
          const member: unknown = Reflect.get(target, name)
          return typeof member === 'function' ? member.bind(target) : member
        },
      })
    },
  }
  return { disk: counting, open }
}

story('a mesh that cannot be opened leaves nothing open', 14, async (world) => {
  const host = world.startHost(1)
  const { disk, open } = watched(host.disk, 'mesh/values')
  const seeing = { ...host, disk } as unknown as SimHost
  await assert.rejects(startOn(seeing, 1), fails('corrupt'))
  assert.deepEqual([...open], [])
})

// How clusters come to be, lose members and get them back. A scenario ends before the heal; what must hold
// then is the workload's to check.

import { nodeId } from '../../src/base/index.ts'
import { WorldFailure } from '../failures.ts'
import type { MeshWorld } from './workload.ts'

export type Scenario = {
  readonly name: string
  readonly nodes: number
  /** Founders expected. */
  readonly size: number
  /** So many of the nodes, the last ones, only join. */
  readonly joiners?: number
  /** Numbers are the certificates', 1 to `nodes`, and not drawn. */
  readonly numbered?: boolean
  readonly founds: 'once' | 'twice'
  readonly play: (at: MeshWorld) => Promise<void>
}

/** Between two moments of the crash at a step. */
const stepMs = 37
const stepsMs = 5_000

async function startAll(at: MeshWorld, spreadMs: number): Promise<void> {
  await Promise.all(
    at.nodes.map(async (node) => {
      await at.world.sleep(at.random.integer(spreadMs + 1))
      at.start(node)
    }),
  )
}

/** All are members, and what they write is there. */
async function startAndWrite(at: MeshWorld): Promise<void> {
  await startAll(at, 200)
  await at.formed()
  await at.written()
}

async function reboot(at: MeshWorld, nodes: readonly number[]): Promise<void> {
  for (const node of nodes) at.crash(node)
  await at.world.sleep(at.random.integer(3_000))
  for (const node of nodes) at.start(node)
  await at.formed()
  await at.written()
}

export const scenarios: readonly Scenario[] = [
  { name: 'simultaneous', nodes: 3, size: 3, founds: 'once', play: (at) => startAll(at, 100) },
  { name: 'staggered', nodes: 4, size: 3, founds: 'once', play: (at) => startAll(at, 30_000) },
  {
    name: 'partitioned start',
    nodes: 5,
    size: 3,
    founds: 'once',
    async play(at) {
      at.cut(at.random.chance(0.5) ? [1, 2] : [2, 4])
      await startAll(at, 2_000)
      await at.world.sleep(at.random.integer(20_000))
    },
  },
  {
    name: 'one-way discovery',
    nodes: 4,
    size: 3,
    founds: 'once',
    async play(at) {
      for (const node of at.nodes) at.contactsOf.set(node, node === 1 ? [] : [node - 1])
      await startAll(at, 3_000)
      await at.founded()
    },
  },
  {
    name: 'just after formation',
    nodes: 4,
    size: 3,
    founds: 'once',
    async play(at) {
      for (const node of [1, 2, 3]) at.start(node)
      await at.founded()
      at.start(4)
    },
  },
  {
    name: 'removed asks back',
    nodes: 4,
    size: 3,
    founds: 'once',
    async play(at) {
      await startAndWrite(at)
      const gone = at.running(2)
      if (gone === undefined) throw new WorldFailure('node 2 is not there')
      await at.remove(gone.mesh.node)
      if (at.random.chance(0.5)) {
        await at.until('it notices', () => gone.cluster.state() === 'removed')
        gone.cluster.rejoin()
      } else {
        at.crash(2)
        at.start(2)
      }
      await at.formed()
    },
  },
  {
    name: 'reboots',
    nodes: 3,
    size: 3,
    founds: 'once',
    async play(at) {
      await startAndWrite(at)
      const leader = at.leader()?.node ?? 1
      await reboot(at, [(leader % 3) + 1])
      await reboot(at, [at.leader()?.node ?? 1])
      await reboot(at, at.nodes)
    },
  },
  {
    name: 'crash at a step',
    nodes: 4,
    size: 3,
    founds: 'once',
    async play(at) {
      await startAll(at, 300)
      await at.world.sleep((at.turn * stepMs) % stepsMs)
      const node = 1 + at.random.integer(4)
      at.crash(node)
      await at.world.sleep(at.random.integer(2_000))
      at.start(node)
    },
  },
  {
    name: 'crashes while founding',
    nodes: 4,
    size: 3,
    founds: 'once',
    async play(at) {
      await startAll(at, 500)
      for (let time = 0; time < 10; time++) {
        await at.world.sleep(at.random.integer(1_500))
        const node = 1 + at.random.integer(4)
        at.crash(node)
        await at.world.sleep(at.random.integer(800))
        at.start(node)
      }
    },
  },
  {
    name: 'wiped disk',
    nodes: 3,
    size: 3,
    founds: 'once',
    async play(at) {
      await startAndWrite(at)
      const before = at.running(2)?.mesh.node
      at.wipe(2)
      at.start(2)
      await at.formed()
      const after = at.running(2)?.mesh.node
      if (before === undefined || before === after) throw new WorldFailure('it kept its number')
      await at.remove(before)
      await at.written()
    },
  },
  {
    name: 'lost disk under a certificate',
    nodes: 4,
    size: 3,
    numbered: true,
    founds: 'once',
    async play(at) {
      await startAndWrite(at)
      at.wipe(2)
      at.start(2)
      await at.until('it is refused', () => at.hasAlarm(2, 'refused'), 30_000)
      await at.remove(nodeId(2))
      await at.formed()
      await at.written()
    },
  },
  {
    name: 'joiners',
    nodes: 5,
    size: 3,
    joiners: 2,
    founds: 'once',
    async play(at) {
      await startAll(at, 5_000)
      await at.formed()
      const leader = at.leader()
      await leader?.cluster.transferLeadership().catch(() => {})
      await at.written()
    },
  },
  {
    name: 'faults',
    nodes: 4,
    size: 3,
    founds: 'once',
    async play(at) {
      await startAll(at, 500)
      await at.founded()
      await at.injectFaults(8_000)
    },
  },
  {
    name: 'two clusters meet',
    nodes: 2,
    size: 1,
    founds: 'twice',
    async play(at) {
      at.cut([1])
      for (const node of at.nodes) {
        at.start(node, { founders: { kind: 'join' }, forceBootstrap: true })
      }
      await at.until('two clusters', () => at.isVoting(1) && at.isVoting(2))
      at.world.network.heal()
      const kind = 'two-clusters'
      await at.until('both say so', () => at.hasAlarm(1, kind) && at.hasAlarm(2, kind))
    },
  },
]

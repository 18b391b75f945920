// What can happen while a cluster forms, and soon after. A scenario ends before the heal; what must hold then
// is the workload's to check.

import { WorldFailure } from '../failures.ts'
import type { FoundingWorld } from './workload.ts'

export type Scenario = {
  readonly name: string
  readonly nodes: number
  /** Founders expected. */
  readonly size: number
  /** So many of the nodes, the last ones, only join. */
  readonly joiners?: number
  /** The founders are listed by number instead of counted. */
  readonly listed?: boolean
  readonly founds: 'once' | 'never' | 'twice'
  readonly play: (at: FoundingWorld) => Promise<void>
}

const hourMs = 3_600_000

async function startAll(at: FoundingWorld, spreadMs: number): Promise<void> {
  await Promise.all(
    at.nodes.map(async (node) => {
      await at.world.sleep(at.random.integer(spreadMs + 1))
      at.start(node)
    }),
  )
}

async function founded(at: FoundingWorld): Promise<void> {
  await at.until('a cluster', () => at.nodes.some((node) => at.isMember(node)))
}

/** Both directions between the two sides. */
function cut(at: FoundingWorld, side: readonly number[]): void {
  for (const a of side) {
    for (const b of at.nodes.filter((node) => !side.includes(node))) {
      at.blocked.add(`${a}>${b}`).add(`${b}>${a}`)
    }
  }
}

async function crashAround(at: FoundingWorld, times: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    await at.world.sleep(at.random.integer(1_500))
    const node = 1 + at.random.integer(at.nodes.length)
    at.crash(node)
    await at.world.sleep(at.random.integer(800))
    at.start(node)
  }
}

export const scenarios: readonly Scenario[] = [
  { name: 'simultaneous', nodes: 3, size: 3, founds: 'once', play: (at) => startAll(at, 100) },
  {
    name: 'listed',
    nodes: 4,
    size: 3,
    listed: true,
    founds: 'once',
    play: (at) => startAll(at, 900),
  },
  { name: 'staggered', nodes: 4, size: 3, founds: 'once', play: (at) => startAll(at, 40_000) },
  {
    name: 'partitioned start',
    nodes: 5,
    size: 3,
    founds: 'once',
    async play(at) {
      cut(at, at.random.chance(0.5) ? [1, 2] : [2, 4])
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
      await founded(at)
    },
  },
  {
    name: 'just after formation',
    nodes: 4,
    size: 3,
    founds: 'once',
    async play(at) {
      for (const node of [1, 2, 3]) at.start(node)
      await founded(at)
      at.start(4)
    },
  },
  {
    name: 'removed asks back',
    nodes: 3,
    size: 3,
    founds: 'once',
    async play(at) {
      await startAll(at, 200)
      await at.until('all are members', () => at.nodes.every((node) => at.isMember(node)))
      const before = at.founding(2)?.id()
      await at.remove(2)
      if (at.founding(2)?.id() === before) throw new WorldFailure('it came back as the same')
      if (at.isMember(2)) throw new WorldFailure('a removed node is a member')
    },
  },
  {
    name: 'reboots',
    nodes: 3,
    size: 3,
    founds: 'once',
    async play(at) {
      await startAll(at, 200)
      await founded(at)
      for (const who of [[3], [1], at.nodes]) {
        for (const node of who) at.crash(node)
        await at.world.sleep(at.random.integer(2_000))
        for (const node of who) at.start(node)
        await at.world.sleep(500)
      }
    },
  },
  {
    name: 'crashes while founding',
    nodes: 4,
    size: 3,
    founds: 'once',
    async play(at) {
      await startAll(at, 500)
      await crashAround(at, 12)
    },
  },
  {
    name: 'crash at a write',
    nodes: 3,
    size: 3,
    founds: 'once',
    async play(at) {
      const write = 1 + (Math.floor(at.world.seed / scenarios.length) % 20)
      at.crashAtWrite = { countdown: write, isBefore: at.random.chance(0.5) }
      await startAll(at, 500)
      await at.world.sleep(6_000)
    },
  },
  {
    name: 'clock skew',
    nodes: 4,
    size: 3,
    founds: 'once',
    async play(at) {
      await startAll(at, 2_000)
      for (const node of at.nodes) at.host(node)?.clock.jumpWall(node % 2 === 0 ? hourMs : -hourMs)
      await at.world.sleep(2_000)
      at.host(1)?.clock.jumpWall(hourMs)
    },
  },
  {
    name: 'too many founders',
    nodes: 6,
    size: 3,
    founds: 'never',
    async play(at) {
      await startAll(at, 500)
      await at.until('an alarm', () =>
        at.alarms.some(({ alarm }) => alarm.kind === 'too-many-founders'),
      )
      await at.world.sleep(4_000)
    },
  },
  {
    name: 'two clusters meet',
    nodes: 2,
    size: 1,
    founds: 'twice',
    async play(at) {
      cut(at, [1])
      at.start(1, { kind: 'join' }, true)
      at.start(2, { kind: 'join' }, true)
      await at.until('two clusters', () => at.isMember(1) && at.isMember(2))
      at.blocked.clear()
      const raised = (node: number): boolean =>
        at.alarms.some((seen) => seen.node === node && seen.alarm.kind === 'two-clusters')
      await at.until('both say so', () => raised(1) && raised(2))
    },
  },
  {
    name: 'wiped disk',
    nodes: 3,
    size: 3,
    founds: 'once',
    async play(at) {
      await startAll(at, 200)
      await at.until('all are members', () => at.nodes.every((node) => at.isMember(node)))
      at.wipe(2)
      at.start(2)
      await at.until('it is back', () => at.isMember(2))
    },
  },
  {
    name: 'joiners',
    nodes: 6,
    size: 3,
    joiners: 3,
    founds: 'once',
    async play(at) {
      await startAll(at, 5_000)
    },
  },
  {
    name: 'alone by size 1',
    nodes: 1,
    size: 1,
    founds: 'once',
    play: (at) => startAll(at, 0),
  },
  {
    name: 'alone is not enough',
    nodes: 2,
    size: 2,
    founds: 'once',
    async play(at) {
      at.start(1)
      await at.world.sleep(60_000)
      if (at.isMember(1)) throw new WorldFailure('a node that saw nobody founded alone')
    },
  },
]

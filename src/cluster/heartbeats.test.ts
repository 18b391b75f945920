import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, isFault, type NodeId, nodeId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { IncomingCall, Rpc } from '../rpc/index.ts'
import { foundCluster } from './found-cluster.ts'
import { Heartbeats } from './heartbeats.ts'
import { type Cluster, openCluster } from './open-cluster.ts'
import { updateMember } from './cluster-admin.ts'
import { listEvents } from './registry.ts'
import { ownCluster, threeNodes } from './testing/founded.ts'
import { MemoryKeyspace } from './testing/memory-keyspace.ts'

/** Time passes in steps; what falls due runs in order of its time, promises settle after each step. */
class Time {
  nowMs = 0
  readonly #due: { atMs: number; run: () => void }[] = []

  after(ms: number, run: () => void): { cancel(): void } {
    const one = { atMs: this.nowMs + ms, run }
    this.#due.push(one)
    return {
      cancel: () => void (this.#due.includes(one) && this.#due.splice(this.#due.indexOf(one), 1)),
    }
  }

  every(ms: number, run: () => void): { cancel(): void } {
    let timer = { cancel: (): void => undefined }
    const again = (): void => {
      timer = this.after(ms, () => {
        again()
        run()
      })
    }
    again()
    return { cancel: () => timer.cancel() }
  }

  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms
    for (;;) {
      const [next] = this.#due.sort((a, b) => a.atMs - b.atMs)
      if (next === undefined || next.atMs > endMs) break
      this.#due.shift()
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.run()
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.nowMs = endMs
  }
}

type Handlers = {
  readonly messages: Map<number, (from: NodeId, message: Uint8Array) => void>
  readonly calls: Map<number, (call: IncomingCall) => Promise<Uint8Array>>
}

class World {
  readonly time = new Time()
  readonly system = new MemoryKeyspace()
  readonly down = new Set<number>()
  readonly sent: number[] = []
  leader: NodeId | undefined = nodeId(1)
  readonly nodes = new Map<number, { beats: Heartbeats; cluster: Cluster } & Handlers>()

  async start(): Promise<void> {
    const host = this.#host()
    await foundCluster(
      { host, system: this.system },
      { clusterId: ownCluster, topology: threeNodes, isFounder: true },
    )
    for (const id of [1, 2, 3].map(nodeId)) await this.#startNode(id)
  }

  async #startNode(self: NodeId): Promise<void> {
    const host = this.#host()
    const handlers: Handlers = { messages: new Map(), calls: new Map() }
    const rpc = this.#rpc(self, handlers)
    const { system } = this
    const told = { freeBytes: self * 10, capacityBytes: 100, version: '0.1.0', level: 2 }
    const facts = async () => told
    const leader = (): NodeId | undefined => (this.down.has(self) ? undefined : this.leader)
    const beats = new Heartbeats({ host, rpc, system, self, leader, facts })
    const isReachable = (): boolean => true
    const cluster = await openCluster({ host, system, isReachable }, { self, reloadAfterMs: 10 })
    beats.start(cluster)
    this.nodes.set(self, { beats, cluster, ...handlers })
  }

  stateOf(id: number): string | undefined {
    return this.nodes
      .get(1)
      ?.cluster.allMembers()
      .find((member) => member.id === id)?.state
  }

  beats(id: number): Heartbeats {
    return (this.nodes.get(id) as { beats: Heartbeats }).beats
  }

  #host(): Host {
    const { time } = this
    return {
      clock: {
        wallMs: () => 1_700_000_000_000 + time.nowMs,
        monotonicMs: () => time.nowMs,
        after: (ms: number, run: () => void) => time.after(ms, run),
        every: (ms: number, run: () => void) => time.every(ms, run),
      },
      journal: {
        event: () => undefined,
        fatal: (_event: string, error: unknown) => {
          throw error
        },
      },
    } as unknown as Host
  }

  #rpc(self: NodeId, { messages, calls }: Handlers): Rpc {
    const at = (to: NodeId): Handlers => {
      const peer = this.nodes.get(to)
      if (peer === undefined || this.down.has(to) || this.down.has(self)) {
        throw new Fault('unavailable', 'not connected')
      }
      return peer
    }
    return {
      onMessage: (method: number, receive: (from: NodeId, message: Uint8Array) => void) => {
        messages.set(method, receive)
      },
      serve: (method: number, answer: (call: IncomingCall) => Promise<Uint8Array>) => {
        calls.set(method, answer)
      },
      send: (to: NodeId, method: number, message: Uint8Array) => {
        if (this.down.has(to) || this.down.has(self) || !this.nodes.has(to)) return false
        this.sent.push(message.length)
        at(to).messages.get(method)?.(self, message)
        return true
      },
      call: async (to: NodeId, method: number, request: Uint8Array) => {
        const answer = at(to).calls.get(method)
        if (answer === undefined) throw new Fault('unsupported', 'no such method')
        const signal = new AbortController().signal
        return await answer({ from: self, request, signal, deadlineMs: 1_000 })
      },
    } as unknown as Rpc
  }
}

async function running(): Promise<World> {
  const world = new World()
  await world.start()
  await world.time.pass(5_000)
  return world
}

test('while all is well nothing is written, and the leader knows how full everybody is', async () => {
  const world = await running()
  const { revision } = world.system.freshness()
  world.sent.length = 0
  await world.time.pass(60_000)
  assert.equal(world.system.freshness().revision, revision)
  assert.equal(world.sent.length, 120)
  assert.ok(world.sent.every((bytes) => bytes < 64))
  const rows = await world.beats(3).rows()
  assert.deepEqual(
    rows.map(({ id, freeBytes, capacityBytes, version, isHeard }) => {
      return [id, freeBytes, capacityBytes, version, isHeard]
    }),
    [1, 2, 3].map((id) => [id, id * 10, 100, '0.1.0', true]),
  )
  assert.equal(new Set(rows.map(({ settingsDigest }) => settingsDigest)).size, 1)
  assert.ok(rows.every(({ silentMs, phi }) => silentMs <= 1_000 && phi < 8))
})

test('a death is written once as suspect and once as offline, with events; so is the return', async () => {
  const world = await running()
  world.down.add(3)
  await world.time.pass(4_900)
  assert.equal(world.stateOf(3), 'offline')
  await world.time.pass(30_000)
  world.down.delete(3)
  await world.time.pass(3_000)
  assert.equal(world.stateOf(3), 'online')
  const events = await listEvents(world.system, { limit: 10, isSerializable: true })
  assert.deepEqual(
    events.map(({ kind, node }) => [kind, node]),
    [
      ['member-online', 3],
      ['member-offline', 3],
      ['member-suspect', 3],
    ],
  )
  const [, , first] = events
  assert.match(first?.text ?? '', /^node-3 is silent for 3\.\d s$/)
})

test('what an operator set stays: draining members are watched and not judged', async () => {
  const world = await running()
  await updateMember(world.system, nodeId(2), (member) => ({ ...member, state: 'draining' }))
  world.down.add(2)
  await world.time.pass(30_000)
  assert.equal(world.stateOf(2), 'draining')
})

test('a new leader is patient, finds who died with the old one, and forgets nobody it never heard', async () => {
  const world = await running()
  world.down.add(1)
  world.leader = nodeId(2)
  await world.time.pass(2_900)
  const two = world.nodes.get(2)?.cluster
  const stateOf = (id: number) => two?.allMembers().find((member) => member.id === id)?.state
  assert.deepEqual([1, 2, 3].map(stateOf), ['online', 'online', 'online'])
  await world.time.pass(2_000)
  assert.deepEqual([1, 2, 3].map(stateOf), ['offline', 'online', 'online'])
})

test('a leader whose decision hung writes nothing that it decided before', async () => {
  const world = await running()
  const { system } = world
  const range = system.range.bind(system)
  let release = (): void => undefined
  world.down.add(3)
  const hung = new Promise<void>((resolve) => {
    release = resolve
  })
  system.range = async (request) => {
    if (request.isSerializable !== true) await hung
    return range(request)
  }
  const { revision } = system.freshness()
  await world.time.pass(10_000)
  world.down.delete(3)
  release()
  await world.time.pass(2_000)
  assert.equal(system.freshness().revision, revision)
  assert.equal(world.stateOf(3), 'online')
})

test('who is not a member is not noted; without a leader nothing is known', async () => {
  const world = await running()
  await world.beats(2).report(nodeId(3), { freeBytes: 77 })
  assert.equal((await world.beats(1).rows()).find(({ id }) => id === 3)?.freeBytes, 77)
  await world.beats(2).report(nodeId(9), { freeBytes: 1 })
  assert.equal((await world.beats(1).rows()).length, 3)
  world.leader = undefined
  await assert.rejects(world.beats(2).rows(), (error) => isFault(error, 'unavailable'))
})

// A cluster of content rooms for the tests of this room: virtual time, rpc by queues, segments and a keyspace
// in memory. It is strict where the real ones are: a message is read when it is delivered, some turns after it
// was sent, so that a view reused too early shows.

import {
  concatBytes,
  Fault,
  type NodeId,
  nodeId,
  type Random,
  seededRandom,
} from '../../base/index.ts'
import { chooseHolders, type Member, type MemberState, type Settings } from '../../cluster/index.ts'
import type { Host } from '../../host/index.ts'
import type { RpcStream } from '../../rpc/index.ts'
import type { Content, ContentOptions, ContentReports, Draft, Manifest } from '../content.ts'
import { createContent } from '../create-content.ts'
import { FakeClock } from './fake-clock.ts'
import { FakeKeyspace } from './fake-keyspace.ts'
import { FakeRpc, type Pipe, type RpcWorld, windowMessages } from './fake-rpc.ts'
import { FakeSegments } from './fake-segments.ts'

export type FakeNode = {
  readonly id: NodeId
  readonly rpc: FakeRpc
  readonly segments: FakeSegments
  readonly content: Content & ContentReports
}

export const testUnitBytes = 1_024

export class FakeCluster implements RpcWorld {
  readonly clock = new FakeClock()
  readonly random: Random
  readonly pipes = new Set<Pipe>()
  readonly nodes = new Map<NodeId, FakeNode>()
  readonly keyspace: FakeKeyspace
  readonly events: string[] = []
  readonly down = new Set<NodeId>()
  /** Nodes that read and write nothing, though connected. */
  readonly stalled = new Set<NodeId>()
  members: readonly Member[] = []
  /** Nodes that see another list than the others. */
  readonly membersSeenBy = new Map<NodeId, readonly Member[]>()
  settings: Settings
  /** May change a message on its way. */
  tamper: (message: Uint8Array, to: NodeId) => void = () => undefined
  onDeliver: (to: NodeId) => void = () => undefined
  #activity = 0
  readonly #options: Partial<ContentOptions>

  constructor(
    shape: {
      readonly nodes: number
      readonly rs: readonly [number, number]
      readonly seed?: number
    },
    options: Partial<ContentOptions> = {},
  ) {
    this.random = seededRandom(shape.seed ?? 1)
    this.#options = options
    const [dataShards, parityShards] = shape.rs
    this.settings = { clusterId: '0'.repeat(32) as never, region: 'test', dataShards, parityShards }
    this.keyspace = new FakeKeyspace(() => this.turn(), '/raft/objects/1')
    for (let i = 1; i <= shape.nodes; i++) this.add(nodeId(i))
  }

  add(id: NodeId, replaces?: NodeId): FakeNode {
    const rpc = new FakeRpc(this, id)
    const segments = new FakeSegments(() => this.turn())
    this.members = [...this.members, member(id, 'online', replaces)]
    const view = {
      members: () => this.membersSeenBy.get(id) ?? this.members,
      settings: () => this.settings,
      bucket: async () => undefined,
      isUp: (other: NodeId) => this.isLinked(id, other),
      onChange: () => () => undefined,
    }
    const keyspaces = { open: async () => this.keyspace, close: async () => undefined }
    const content = createContent(
      { host: this.#host(), rpc, segments, view, keyspaces, chooseHolders },
      {
        self: id,
        namespaces: [this.keyspace.name],
        unitBytes: testUnitBytes,
        chunkBytesMax: 32_768,
        uploadBytesMax: 16_384,
        memoryBytesMax: 256 * 1024,
        runsBackground: false,
        ...this.#options,
      },
    )
    const node = { id, rpc, segments, content }
    this.nodes.set(id, node)
    return node
  }

  node(id: number): FakeNode {
    return this.nodes.get(nodeId(id)) as FakeNode
  }

  setState(id: number, state: MemberState): void {
    this.members = this.members.map((one) => (one.id === id ? { ...one, state } : one))
  }

  setLabels(id: number, labels: Readonly<Record<string, string>>): void {
    this.members = this.members.map((one) => (one.id === id ? { ...one, labels } : one))
  }

  remove(id: number): void {
    this.members = this.members.filter((one) => one.id !== id)
  }

  /** Breaks its connections; its segments stay. */
  stop(id: number): void {
    this.down.add(nodeId(id))
    for (const pipe of this.pipes) {
      if (pipe.a !== id && pipe.b !== id) continue
      for (const half of pipe.halves) half.fail(new Fault('unavailable', `node ${id} is down`))
      pipe.abort.abort()
      this.pipes.delete(pipe)
    }
    for (const { rpc } of this.nodes.values()) rpc.announce(nodeId(id), false)
  }

  restart(id: number): void {
    this.down.delete(nodeId(id))
    for (const { rpc } of this.nodes.values()) rpc.announce(nodeId(id), true)
  }

  isLinked(a: NodeId, b: NodeId): boolean {
    return !this.down.has(a) && !this.down.has(b) && this.nodes.has(b)
  }

  peer(from: NodeId, to: NodeId): FakeNode {
    const node = this.nodes.get(to)
    if (node === undefined || !this.isLinked(from, to)) {
      throw new Fault('unavailable', `node ${to} cannot be reached`)
    }
    return node
  }

  end(pipe: Pipe, self: NodeId): RpcStream {
    const [incoming, outgoing] =
      pipe.a === self ? pipe.halves : ([pipe.halves[1], pipe.halves[0]] as const)
    const to = pipe.a === self ? pipe.b : pipe.a
    let sent = Promise.resolve()
    const deliver = (message: Uint8Array | 'end'): Promise<void> => {
      sent = sent.then(async () => {
        await this.turn()
        while (this.stalled.has(to) || this.stalled.has(self)) {
          if (outgoing.fault !== undefined) return
          await this.idle()
        }
        this.onDeliver(to)
        if (message === 'end') return outgoing.put('end')
        const copy = message.slice()
        this.tamper(copy, to)
        outgoing.put(copy)
      })
      return sent
    }
    return {
      from: to,
      send: async (message) => {
        if (outgoing.fault !== undefined) throw outgoing.fault
        void deliver(message)
        while (outgoing.depth >= windowMessages && outgoing.fault === undefined) await this.idle()
        if (outgoing.fault !== undefined) throw outgoing.fault
      },
      end: async () => {
        void deliver('end')
      },
      messages: { [Symbol.asyncIterator]: () => incoming.messages() },
      fail: (fault) => {
        for (const half of pipe.halves) half.fail(fault)
        pipe.abort.abort()
      },
    }
  }

  /** A turn of the loop in which something happens. */
  async turn(): Promise<void> {
    this.#activity++
    await new Promise<void>((resolve) => setImmediate(resolve))
  }

  async idle(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve))
  }

  /** The promise's outcome; time passes only while nothing else happens. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let isDone = false
    const mark = (): void => {
      isDone = true
    }
    promise.then(mark, mark)
    let quiet = 0
    for (let seen = -1; !isDone; ) {
      await this.idle()
      quiet = this.#activity === seen ? quiet + 1 : 0
      seen = this.#activity
      if (quiet < 8) continue
      quiet = 0
      this.clock.skip()
    }
    return promise
  }

  /** Writes from a node and names it, as an owner does. */
  async store(
    from: number,
    bytes: Uint8Array,
    options: { readonly bare?: boolean } = {},
  ): Promise<Manifest> {
    const { content } = this.node(from)
    const draft = await this.run(
      content.write(sliced(bytes, this.random), {
        keyspace: this.keyspace,
        allowsBareQuorum: options.bare ?? true,
      }),
    )
    return this.name(draft)
  }

  async name(draft: Draft): Promise<Manifest> {
    const answer = await this.keyspace.txn({
      compares: draft.compares,
      success: draft.operations,
      failure: [],
    })
    if (answer.succeeded) return draft.manifest
    return this.name(await this.run(draft.refresh()))
  }

  async load(
    from: number,
    manifest: Manifest,
    at = 0,
    count = manifest.length - at,
  ): Promise<Uint8Array> {
    return this.run(
      collect(this.node(from).content.read(manifest, { keyspace: this.keyspace, at, count })),
    )
  }

  /** Drops a manifest as its owner does. */
  async free(from: number, manifest: Manifest): Promise<void> {
    const operations = await this.run(this.node(from).content.release(manifest, this.keyspace))
    await this.keyspace.txn({ compares: [], success: operations, failure: [] })
  }

  /** Repairs and moves on every node that is up until nothing more happens; answers shards still missing. */
  async repair(): Promise<number> {
    for (let round = 0; ; round++) {
      let repaired = 0
      let missing = 0
      for (const { id, content } of this.nodes.values()) {
        if (this.down.has(id) || !this.members.some((one) => one.id === id)) continue
        const report = await this.run(content.runRepair())
        const { moved } = await this.run(content.runMoves())
        repaired += report.repaired + moved
        missing = Math.max(missing, report.missing)
      }
      if (repaired === 0 || round > 20) return missing
    }
  }

  #host(): Host {
    return {
      clock: this.clock,
      random: this.random,
      disk: { space: async () => ({ freeBytes: 500, totalBytes: 1_000 }) },
      journal: {
        event: (_level: string, event: string, fields: object) => {
          this.events.push(`${event} ${JSON.stringify(fields)}`)
        },
      },
    } as unknown as Host
  }
}

function member(id: NodeId, state: MemberState, replaces: NodeId | undefined): Member {
  const address = { host: '127.0.0.1', port: 1 }
  return {
    id,
    name: `node-${id}`,
    state,
    control: address,
    bulk: address,
    admin: address,
    s3: address,
    labels: {},
    caps: [],
    version: '',
    capacityBytes: 0,
    replaces,
    ...(replaces === undefined ? {} : { place: replaces }),
  }
}

/** Slices of drawn lengths; each is overwritten once the next is asked for. */
export async function* sliced(bytes: Uint8Array, random: Random): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const slice = bytes.slice(at, at + 1 + random.integer(5_000))
    yield slice
    at += slice.length
    slice.fill(0xdd)
  }
}

export async function collect(slices: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const slice of slices) parts.push(slice.slice())
  return concatBytes(parts)
}

// Doubles for the room's tests: a host with a real loop, segments in memory, and a fake consensus that
// applies every proposal to all its machines at once and fails in the ways that a group can.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  compareBytes,
  Fault,
  type GroupId,
  groupId,
  type LogIndex,
  logIndex,
  type NodeId,
  nodeId,
  term,
  toFault,
  toHex,
} from '../../base/index.ts'
import type { Host } from '../../host/index.ts'
import { createRealHost } from '../../host/real/index.ts'
import type { Group, GroupOptions, GroupStatus, Raft, StateMachine } from '../../raft/index.ts'
import type { IncomingCall, Rpc, RpcStream } from '../../rpc/index.ts'
import {
  openMemoryStore,
  type SegmentObject,
  type Segments,
  type Store,
} from '../../storage/index.ts'
import { keyspaceTables } from '../core/rows.ts'

export type TestDirectory = { readonly host: Host; remove(): void }

export function testDirectory(): TestDirectory {
  const rootPath = mkdtempSync(join(tmpdir(), 'atoll-keyspace-'))
  const host = createRealHost({ rootPath, journal: { format: 'text', level: 'error' } })
  return { host, remove: () => rmSync(rootPath, { recursive: true, force: true }) }
}

export function testStore(host: Host, name = 'store'): Promise<Store> {
  return openMemoryStore(host, { path: name, tables: keyspaceTables })
}

/** Objects in a map; full and damaged on demand. */
export class TestSegments implements Segments {
  readonly objects = new Map<string, { readonly key: Uint8Array; readonly bytes: Uint8Array }>()
  isFull = false
  syncs = 0

  write(): never {
    throw new Fault('unsupported', 'the double takes whole objects only')
  }

  async put(key: Uint8Array, bytes: Uint8Array): Promise<void> {
    await this.putUnsynced(key, bytes)
  }

  async putUnsynced(key: Uint8Array, bytes: Uint8Array): Promise<void> {
    if (this.isFull) throw new Fault('no-space', 'the test disk is full')
    this.objects.set(toHex(key), { key: key.slice(), bytes: bytes.slice() })
  }

  async sync(): Promise<void> {
    this.syncs++
  }

  async read(key: Uint8Array): Promise<Uint8Array> {
    const object = this.objects.get(toHex(key))
    if (object === undefined) throw new Fault('not-found', 'no such object')
    return object.bytes
  }

  stream(): never {
    throw new Fault('unsupported', 'the double gives whole objects only')
  }

  units(): never {
    throw new Fault('unsupported', 'the double gives whole objects only')
  }

  recycle(): void {}

  find(key: Uint8Array): SegmentObject | undefined {
    const object = this.objects.get(toHex(key))
    return object && { key: object.key, bytes: object.bytes.length, stamp: 0 }
  }

  async touch(): Promise<void> {}

  async delete(keys: readonly Uint8Array[]): Promise<void> {
    for (const key of keys) this.objects.delete(toHex(key))
  }

  list(after: Uint8Array | undefined, limit: number): readonly SegmentObject[] {
    return [...this.objects.values()]
      .filter(({ key }) => after === undefined || compareBytes(key, after) > 0)
      .sort((a, b) => compareBytes(a.key, b.key))
      .slice(0, limit)
      .map(({ key, bytes }) => ({ key, bytes: bytes.length, stamp: 0 }))
  }

  async verify(key: Uint8Array): Promise<'intact' | 'missing'> {
    return this.objects.has(toHex(key)) ? 'intact' : 'missing'
  }

  async compact(): Promise<number> {
    return 0
  }

  statistics() {
    return { files: 1, liveBytes: 0, garbageBytes: 0, objects: this.objects.size }
  }

  async close(): Promise<void> {}
}

type Replica = { readonly machine: StateMachine; readonly store: Store; readonly group: TestGroup }

/** One group on any number of nodes: a log in memory that every replica has applied at once. */
export class TestConsensus {
  readonly replicas = new Map<NodeId, Replica>()
  leader: NodeId | undefined
  index = 0
  /** What becomes of proposals, first to last; then they succeed. */
  readonly fates: ('lost' | 'applied-then-lost' | 'refused' | 'not-yet-leader')[] = []
  proposals = 0

  readonly #cutOff = new Set<NodeId>()
  readonly #removed = new Set<NodeId>()

  /** Read barriers at this node never settle from now on, and it hears nobody: no quorum answers it. */
  refuseBarriers(id: number): void {
    this.#cutOff.add(nodeId(id))
  }

  rejoin(id: number): void {
    this.#cutOff.delete(nodeId(id))
  }

  isCutOff(id: NodeId): boolean {
    return this.#cutOff.has(id)
  }

  /** The last entry that the node is given says that it is no member. */
  remove(id: number): void {
    this.#removed.add(nodeId(id))
  }

  members(): readonly NodeId[] {
    return [...this.replicas.keys()].filter((id) => !this.#removed.has(id))
  }

  /** Everybody hears of it. */
  elect(leader: number | undefined): void {
    this.leader = leader === undefined ? undefined : nodeId(leader)
    for (const [id, { group }] of this.replicas) {
      for (const changed of group.listeners) changed(this.leader, this.leader === id)
    }
  }

  async propose(at: NodeId, payload: Uint8Array): Promise<Uint8Array> {
    this.proposals++
    if (this.leader !== at) {
      const leader = this.leader === undefined ? '' : String(this.leader)
      throw new Fault('not-leader', 'another node leads', { fields: { leader } })
    }
    const fate = this.fates.shift()
    if (fate === 'refused') throw new Fault('overloaded', 'too much is uncommitted')
    if (fate === 'not-yet-leader')
      throw new Fault('not-leader', 'nobody leads', { fields: { leader: '' } })
    if (fate === 'lost')
      throw new Fault('unavailable', 'leadership was lost', { outcome: 'unknown' })
    const answer = this.#apply(at, payload)
    await new Promise<void>((resolve) => setImmediate(resolve))
    if (fate === undefined) return answer
    throw new Fault('unavailable', 'leadership was lost', { outcome: 'unknown' })
  }

  #apply(at: NodeId, payload: Uint8Array): Uint8Array {
    const index = logIndex(++this.index)
    let answer: Uint8Array | undefined
    for (const [id, { machine, store }] of this.replicas) {
      if (this.#removed.has(id)) continue
      let answers: readonly Uint8Array[] = []
      while (answers.length === 0) {
        answers = store.transaction(() => machine.apply([{ index, term: term(1), payload }]))
      }
      if (id === at) answer = answers[0]
    }
    for (const { group } of this.replicas.values()) {
      for (const applied of group.appliedListeners) applied(index)
    }
    if (answer === undefined) throw new Fault('internal', 'the leader has no replica')
    return answer
  }
}

class TestGroup implements Group {
  readonly group: GroupId
  readonly listeners: ((leader: NodeId | undefined, isSelf: boolean) => void)[] = []
  readonly appliedListeners: ((index: LogIndex) => void)[] = []
  readonly #consensus: TestConsensus
  readonly #self: NodeId
  readonly #host: Host
  /** The next read barriers fail with this. */
  barrierFaults: Fault[] = []

  constructor(host: Host, consensus: TestConsensus, of: { group: GroupId; self: NodeId }) {
    this.#host = host
    this.#consensus = consensus
    this.group = of.group
    this.#self = of.self
  }

  propose(payload: Uint8Array): Promise<Uint8Array> {
    return this.#consensus.propose(this.#self, payload)
  }

  async readBarrier(): Promise<void> {
    const fault = this.barrierFaults.shift()
    if (fault !== undefined) throw fault
    if (this.#consensus.isCutOff(this.#self)) return new Promise(() => {})
    if (this.#consensus.leader === undefined) throw new Fault('unavailable', 'no leader')
  }

  async changeMembers(): Promise<void> {}

  async transferLeadership(to: NodeId): Promise<void> {
    this.#consensus.elect(to)
  }

  status(): GroupStatus {
    const { leader, index } = this.#consensus
    return {
      group: this.group,
      name: '',
      role: leader === this.#self ? 'leader' : 'follower',
      isLearner: false,
      term: term(1),
      leader,
      commit: logIndex(index),
      applied: logIndex(index),
      firstIndex: logIndex(1),
      lastIndex: logIndex(index),
      voters: this.#consensus.members(),
      learners: [],
      votersOutgoing: [],
      match: new Map(),
      heardMs: this.#consensus.isCutOff(this.#self) ? -1e9 : this.#host.clock.monotonicMs(),
    }
  }

  onLeadership(changed: (leader: NodeId | undefined, isSelf: boolean) => void): void {
    this.listeners.push(changed)
  }

  onApplied(applied: (index: LogIndex) => void): void {
    this.appliedListeners.push(applied)
  }
}

export function testRaft(
  host: Host,
  consensus: TestConsensus,
  of: { readonly self: NodeId; readonly store: Store },
): Raft {
  return {
    async open(options: GroupOptions) {
      const { stateMachine: machine } = options
      const group = new TestGroup(host, consensus, { group: options.group, self: of.self })
      consensus.replicas.set(of.self, { machine, store: of.store, group })
      return group
    },
    group: () => consensus.replicas.get(of.self)?.group,
    groups: () => [],
    statistics: () => ({
      elections: 0,
      snapshotsSent: 0,
      snapshotsInstalled: 0,
      membershipChanges: 0,
      tickLatenessMs: { p50: 0, p99: 0, max: 0 },
    }),
    async close() {},
    onFatal: () => {},
  }
}

type StreamHandler = (stream: RpcStream, call: IncomingCall) => Promise<void>

/** Calls between nodes of one process, and streams without flow control. */
export class TestNetwork {
  readonly #streamHandlers = new Map<NodeId, Map<number, StreamHandler>>()
  readonly #handlers = new Map<NodeId, Map<number, (call: IncomingCall) => Promise<Uint8Array>>>()
  readonly down = new Set<NodeId>()
  /** Calls to these nodes wait for this first. */
  readonly holds = new Map<NodeId, Promise<void>>()
  /** Answers of the next calls that are lost on the way back. */
  answersLost = 0
  calls = 0

  rpc(self: NodeId): Rpc {
    const refuse = (): never => {
      throw new Fault('unsupported', 'the double has calls and streams only')
    }
    return {
      serve: (method, handler) => {
        const handlers = this.#handlers.get(self) ?? new Map()
        this.#handlers.set(self, handlers.set(method, handler))
      },
      serveStream: (method, handler) => {
        const handlers = this.#streamHandlers.get(self) ?? new Map()
        this.#streamHandlers.set(self, handlers.set(method, handler))
      },
      onMessage: refuse,
      call: (to, method, request, options) =>
        this.#call(self, to, { method, request, deadlineMs: options.deadlineMs }),
      openStream: async (to, method, request, { deadlineMs }) => {
        const handler = this.#streamHandlers.get(to)?.get(method)
        if (handler === undefined || this.down.has(to)) {
          throw new Fault('unavailable', `node ${to} cannot be reached`)
        }
        const [ours, theirs] = testStreams(self, to)
        const call = { from: self, request, signal: new AbortController().signal, deadlineMs }
        handler(theirs, call).then(
          () => theirs.end(),
          (error: unknown) => theirs.fail(toFault(error)),
        )
        return ours
      },
      send: () => false,
      setPeers: () => {},
      isReachable: () => true,
      onReachability: () => {},
      listen: async () => {},
      close: async () => {},
    }
  }

  async #call(
    from: NodeId,
    to: NodeId,
    call: { readonly method: number; readonly request: Uint8Array; readonly deadlineMs: number },
  ): Promise<Uint8Array> {
    this.calls++
    const handler = this.#handlers.get(to)?.get(call.method)
    await new Promise<void>((resolve) => setImmediate(resolve))
    await this.holds.get(to)
    if (handler === undefined || this.down.has(to)) {
      throw new Fault('unavailable', `node ${to} cannot be reached`)
    }
    const signal = new AbortController().signal
    const { request, deadlineMs } = call
    const answer = await handler({ from, request, signal, deadlineMs })
    if (this.answersLost > 0) {
      this.answersLost--
      throw new Fault('unavailable', 'the connection broke', { outcome: 'unknown' })
    }
    return answer
  }
}

/** The two ends of a stream; what one sends waits for the other without bound. */
function testStreams(opener: NodeId, other: NodeId): readonly [RpcStream, RpcStream] {
  const there = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, {
    highWaterMark: 1e6,
  })
  const back = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, {
    highWaterMark: 1e6,
  })
  const end = (
    from: NodeId,
    to: TransformStream<Uint8Array, Uint8Array>,
    of: TransformStream<Uint8Array, Uint8Array>,
  ): RpcStream => {
    const writer = to.writable.getWriter()
    writer.closed.catch(() => undefined)
    return {
      from,
      send: (message) => writer.write(message.slice()),
      end: () => writer.close().catch(() => undefined),
      messages: of.readable,
      fail(fault) {
        writer.abort(fault).catch(() => undefined)
      },
    }
  }
  return [end(other, there, back), end(opener, back, there)]
}

export const testGroup = groupId(7)

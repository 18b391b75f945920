// A cluster of content rooms for the tests of this room: virtual time, rpc by queues, segments and a keyspace in
// memory. It is strict where the real ones are: a message is read when it is delivered, some turns after it
// was sent, so that a view reused too early shows; only verified units leave the segments.

import { equal, rejects } from 'node:assert/strict'
import { it } from 'node:test'
import {
  compareBytes,
  concatBytes,
  crc32c,
  Fault,
  fromHex,
  type NodeId,
  nodeId,
  prefixEnd,
  type Random,
  revision,
  seededRandom,
  toFault,
  toHex,
  utf8Encode,
} from '../base/index.ts'
import { chooseHolders, type Member, type MemberState, type Settings } from '../cluster/index.ts'
import type { Clock, Host, Timer } from '../host/index.ts'
import type {
  Compare,
  Keyspace,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from '../keyspace/index.ts'
import type { IncomingCall, Rpc, RpcStream } from '../rpc/index.ts'
import type { SegmentObject, Segments } from '../storage/index.ts'
import type { Content, ContentOptions, Draft, Manifest } from './content.ts'
import { createContent } from './create-content.ts'

// ---- time ----

type Alarm = { atMs: number; run: () => void; everyMs: number | undefined }

export class FakeClock implements Clock {
  nowMs = 1_000
  #alarms = new Set<Alarm>()

  wallMs(): number {
    return 1_700_000_000_000 + this.nowMs
  }
  monotonicMs(): number {
    return this.nowMs
  }
  async sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => this.after(ms, resolve))
  }
  after(ms: number, run: () => void): Timer {
    return this.#set({ atMs: this.nowMs + ms, run, everyMs: undefined })
  }
  every(ms: number, run: () => void): Timer {
    return this.#set({ atMs: this.nowMs + ms, run, everyMs: ms })
  }
  soon(run: () => void): void {
    setImmediate(run)
  }

  /** Goes to the next alarm and runs it; false when there is none. */
  skip(): boolean {
    let next: Alarm | undefined
    for (const alarm of this.#alarms) if (next === undefined || alarm.atMs < next.atMs) next = alarm
    if (next === undefined) return false
    this.nowMs = Math.max(this.nowMs, next.atMs)
    if (next.everyMs === undefined) this.#alarms.delete(next)
    else next.atMs = this.nowMs + next.everyMs
    next.run()
    return true
  }

  get alarmCount(): number {
    return this.#alarms.size
  }

  #set(alarm: Alarm): Timer {
    this.#alarms.add(alarm)
    return { cancel: () => void this.#alarms.delete(alarm) }
  }
}

// ---- keyspace ----

export class FakeKeyspace implements Keyspace {
  readonly name: string
  readonly #world: FakeCluster
  readonly #rows = new Map<string, KeyValue>()
  #revision = 1

  constructor(world: FakeCluster, name: string) {
    this.#world = world
    this.name = name
  }

  async range(request: RangeRequest): Promise<RangeResponse> {
    await this.#world.turn()
    return this.#range(request)
  }

  async txn({ compares, success, failure }: TxnRequest): Promise<TxnResponse> {
    await this.#world.turn()
    const succeeded = compares.every((compare) => this.#holds(compare))
    const operations = succeeded ? success : failure
    const puts = operations.flatMap((operation) =>
      operation.kind === 'put' ? [toHex(operation.key)] : [],
    )
    if (new Set(puts).size !== puts.length) throw new Fault('invalid', 'a key is put twice')
    if (operations.some((operation) => operation.kind !== 'range')) this.#revision++
    const results = operations.map((operation) => this.#apply(operation))
    return { revision: revision(this.#revision), succeeded, results }
  }

  async put(key: Uint8Array, value: Uint8Array) {
    const answer = await this.txn({
      compares: [],
      success: [{ kind: 'put', key, value }],
      failure: [],
    })
    return answer.revision
  }

  async delete(key: Uint8Array, options: { readonly rangeEnd?: Uint8Array } = {}) {
    await this.txn({ compares: [], success: [{ kind: 'delete', key, ...options }], failure: [] })
    return 1
  }

  freshness() {
    return { revision: revision(this.#revision), heardMsAgo: 0 }
  }

  /** Keys that start with a text. */
  keys(prefix: string): readonly Uint8Array[] {
    const key = utf8Encode(prefix)
    return this.#range({ key, rangeEnd: prefixEnd(key) }).kvs.map((row) => row.key)
  }

  #range(request: RangeRequest): RangeResponse {
    const inRange = [...this.#rows.values()]
      .filter(({ key }) => within(key, request.key, request.rangeEnd))
      .sort((a, b) => compareBytes(a.key, b.key))
    const limit =
      request.limit === undefined || request.limit === 0 ? inRange.length : request.limit
    const kvs = request.countOnly === true ? [] : inRange.slice(0, limit)
    const count = request.countOnly === true ? inRange.length : 0
    return { revision: revision(this.#revision), kvs, more: inRange.length > limit, count }
  }

  #holds({ key, target, operand, result }: Compare): boolean {
    equal(result, 'equal')
    const row = this.#rows.get(toHex(key))
    equal(target, 'mod')
    return (row?.modRevision ?? 0) === operand
  }

  #apply(operation: Operation): OperationResult {
    if (operation.kind === 'put') {
      const before = this.#rows.get(toHex(operation.key))
      this.#rows.set(toHex(operation.key), {
        key: operation.key.slice(),
        value: operation.value.slice(),
        createRevision: before?.createRevision ?? revision(this.#revision),
        modRevision: revision(this.#revision),
        version: (before?.version ?? 0) + 1,
        lease: 0,
      })
      return { kind: 'put' }
    }
    if (operation.kind === 'delete') {
      for (const { key } of [...this.#rows.values()]) {
        if (within(key, operation.key, operation.rangeEnd)) this.#rows.delete(toHex(key))
      }
      return { kind: 'delete', deleted: 1, previous: [] }
    }
    throw new Fault('unsupported', operation.kind)
  }
}

function within(key: Uint8Array, from: Uint8Array, end: Uint8Array | undefined): boolean {
  if (end === undefined) return compareBytes(key, from) === 0
  return compareBytes(key, from) >= 0 && (end.length === 0 || compareBytes(key, end) < 0)
}

// ---- segments ----

type Stored = { bytes: Uint8Array; sums: number[]; stamp: number }
const segmentUnit = 65_536

export class FakeSegments implements Segments {
  readonly objects = new Map<string, Stored>()
  isFull = false
  /** False: damage passes, as damage between this node and a reader would. */
  checksUnits = true
  readonly #world: FakeCluster

  constructor(world: FakeCluster) {
    this.#world = world
  }

  write(key: Uint8Array, options: { readonly stamp?: number } = {}) {
    const parts: Uint8Array[] = []
    return {
      append: async (slice: Uint8Array) => {
        if (this.isFull) throw new Fault('no-space', 'the disk is full')
        await this.#world.turn()
        parts.push(slice.slice())
      },
      seal: async () => {
        await this.#world.turn()
        const bytes = concatBytes(parts)
        const sums: number[] = []
        for (let at = 0; at < bytes.length; at += segmentUnit) {
          sums.push(crc32c(bytes.subarray(at, at + segmentUnit)))
        }
        this.objects.set(toHex(key), { bytes, sums, stamp: options.stamp ?? 0 })
      },
      abort: async () => undefined,
    }
  }
  async put(key: Uint8Array, bytes: Uint8Array, options: { readonly stamp?: number } = {}) {
    const write = this.write(key, options)
    await write.append(bytes)
    await write.seal()
  }
  putUnsynced(key: Uint8Array, bytes: Uint8Array) {
    return this.put(key, bytes)
  }
  async sync() {}
  async read(key: Uint8Array, range?: { readonly at: number; readonly count: number }) {
    await this.#world.turn()
    return this.#verified(key, range)
  }
  async *stream(key: Uint8Array, range?: { readonly at: number; readonly count: number }) {
    const { at, count } = range ?? { at: 0, count: this.#find(key).bytes.length }
    const lent = new Uint8Array(segmentUnit)
    for (let from = at; from < at + count; ) {
      const to = Math.min(at + count, (Math.floor(from / segmentUnit) + 1) * segmentUnit)
      await this.#world.turn()
      lent.set(this.#verified(key, { at: from, count: to - from }))
      yield lent.subarray(0, to - from)
      from = to
    }
  }
  find(key: Uint8Array): SegmentObject | undefined {
    const found = this.objects.get(toHex(key))
    return found === undefined
      ? undefined
      : { key: key.slice(), bytes: found.bytes.length, stamp: found.stamp }
  }
  async touch(keys: readonly Uint8Array[], stamp: number) {
    await this.#world.turn()
    for (const key of keys) this.#find(key).stamp = stamp
  }
  async delete(keys: readonly Uint8Array[]) {
    await this.#world.turn()
    for (const key of keys) this.objects.delete(toHex(key))
  }
  list(after: Uint8Array | undefined, limit: number): readonly SegmentObject[] {
    const names = [...this.objects.keys()].sort()
    const from = after === undefined ? '' : toHex(after)
    return names
      .filter((name) => name > from)
      .slice(0, limit)
      .map((name) => this.find(fromHex(name) as Uint8Array) as SegmentObject)
  }
  async verify(key: Uint8Array) {
    await this.#world.turn()
    if (!this.objects.has(toHex(key))) return 'missing'
    try {
      this.#verified(key, undefined)
      return 'intact'
    } catch {
      return 'damaged'
    }
  }
  async compact() {
    return 0
  }
  statistics() {
    let liveBytes = 0
    for (const { bytes } of this.objects.values()) liveBytes += bytes.length
    return { files: 1, liveBytes, garbageBytes: 0, objects: this.objects.size }
  }
  async close() {}

  /** Flips a bit; the checksums stay. */
  damage(name: string, at: number): void {
    const { bytes } = this.objects.get(name) as Stored
    bytes[at] = (bytes[at] as number) ^ 1
  }

  #find(key: Uint8Array): Stored {
    const found = this.objects.get(toHex(key))
    if (found === undefined) throw new Fault('not-found', 'no such object')
    return found
  }
  #verified(key: Uint8Array, range?: { readonly at: number; readonly count: number }): Uint8Array {
    const { bytes, sums } = this.#find(key)
    const { at, count } = range ?? { at: 0, count: bytes.length }
    for (let unit = Math.floor(at / segmentUnit); unit * segmentUnit < at + count; unit++) {
      const slice = bytes.subarray(unit * segmentUnit, (unit + 1) * segmentUnit)
      if (this.checksUnits && crc32c(slice) !== sums[unit])
        throw new Fault('corrupt', `unit ${unit} is damaged`)
    }
    return bytes.subarray(at, at + count)
  }
}

// ---- rpc ----

class Half {
  readonly #waiting: (Uint8Array | 'end')[] = []
  #fault: Fault | undefined
  #wake: (() => void) | undefined

  put(item: Uint8Array | 'end'): void {
    this.#waiting.push(item)
    this.#wake?.()
  }
  fail(fault: Fault): void {
    this.#fault ??= fault
    this.#wake?.()
  }
  get fault(): Fault | undefined {
    return this.#fault
  }
  get depth(): number {
    return this.#waiting.length
  }
  async *messages(): AsyncGenerator<Uint8Array, void, void> {
    let lent: Uint8Array | undefined
    for (;;) {
      lent?.fill(0xee)
      const item = this.#waiting.shift()
      if (item === 'end') return
      if (item !== undefined) {
        lent = item
        yield item
        continue
      }
      if (this.#fault !== undefined) throw this.#fault
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

type Pipe = {
  readonly a: NodeId
  readonly b: NodeId
  readonly halves: readonly [Half, Half]
  readonly abort: AbortController
}
type StreamHandler = (stream: RpcStream, call: IncomingCall) => Promise<void>
type CallHandler = (call: IncomingCall) => Promise<Uint8Array>
const windowMessages = 4

export class FakeRpc implements Rpc {
  readonly self: NodeId
  readonly calls = new Map<number, CallHandler>()
  readonly streams = new Map<number, StreamHandler>()
  readonly #world: FakeCluster
  readonly #changed: ((peer: NodeId, isReachable: boolean) => void)[] = []

  constructor(world: FakeCluster, self: NodeId) {
    this.#world = world
    this.self = self
  }
  serve(method: number, handler: CallHandler) {
    this.calls.set(method, handler)
  }
  serveStream(method: number, handler: StreamHandler) {
    this.streams.set(method, handler)
  }
  onMessage() {}
  async call(to: NodeId, method: number, request: Uint8Array) {
    await this.#world.turn()
    const signal = new AbortController().signal
    const peer = this.#world.peer(this.self, to)
    const handler = peer.rpc.calls.get(method) as CallHandler
    const answer = await handler({
      from: this.self,
      request: request.slice(),
      signal,
      deadlineMs: 1,
    })
    this.#world.peer(this.self, to)
    return answer.slice()
  }
  async openStream(
    to: NodeId,
    method: number,
    request: Uint8Array,
    options: { readonly signal?: AbortSignal },
  ): Promise<RpcStream> {
    await this.#world.turn()
    const peer = this.#world.peer(this.self, to)
    const pipe: Pipe = {
      a: this.self,
      b: to,
      halves: [new Half(), new Half()],
      abort: new AbortController(),
    }
    this.#world.pipes.add(pipe)
    const mine = this.#world.end(pipe, this.self)
    const theirs = this.#world.end(pipe, to)
    options.signal?.addEventListener('abort', () => mine.fail(new Fault('cancelled', 'aborted')))
    const call = {
      from: this.self,
      request: request.slice(),
      signal: pipe.abort.signal,
      deadlineMs: 1,
    }
    const handler = peer.rpc.streams.get(method) as StreamHandler
    void handler(theirs, call).then(
      () => theirs.end().catch(() => undefined),
      (error: unknown) => theirs.fail(toFault(error)),
    )
    return mine
  }
  send() {
    return false
  }
  setPeers() {}
  isReachable(peer: NodeId) {
    return this.#world.isLinked(this.self, peer)
  }
  onReachability(changed: (peer: NodeId, isReachable: boolean) => void) {
    this.#changed.push(changed)
  }
  announce(peer: NodeId, isReachable: boolean) {
    for (const changed of this.#changed) changed(peer, isReachable)
  }
  async listen() {}
  async close() {}
}

// ---- the cluster ----

export type FakeNode = {
  readonly id: NodeId
  readonly rpc: FakeRpc
  readonly segments: FakeSegments
  readonly content: Content
}

export const testUnitBytes = 1_024

export class FakeCluster {
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
    this.keyspace = new FakeKeyspace(this, '/raft/objects/1')
    for (let i = 1; i <= shape.nodes; i++) this.add(nodeId(i))
  }

  add(id: NodeId, replaces?: NodeId): FakeNode {
    const rpc = new FakeRpc(this, id)
    const segments = new FakeSegments(this)
    this.members = [...this.members, member(id, 'online', replaces)]
    const view = {
      members: () => this.members,
      settings: () => this.settings,
      credential: async () => undefined,
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

  /** Repairs on every node that is up until nothing more happens; answers shards still missing. */
  async repair(): Promise<number> {
    for (let round = 0; ; round++) {
      let repaired = 0
      let missing = 0
      for (const { id, content } of this.nodes.values()) {
        if (this.down.has(id) || !this.members.some((one) => one.id === id)) continue
        const report = await this.run(content.runRepair())
        repaired += report.repaired
        missing = Math.max(missing, report.missing)
      }
      if (repaired === 0 || round > 10) return missing
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
    replaces,
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

it('the fake keyspace compares revisions and ranges in order', async () => {
  const { keyspace } = new FakeCluster({ nodes: 1, rs: [1, 0] })
  const key = utf8Encode('a')
  await keyspace.put(key, key)
  const [row] = (await keyspace.range({ key })).kvs
  const compare = (operand: number): Promise<TxnResponse> =>
    keyspace.txn({
      compares: [{ key, target: 'mod', result: 'equal', operand }],
      success: [{ kind: 'delete', key }],
      failure: [],
    })
  equal((await compare(0)).succeeded, false)
  equal((await compare(row?.modRevision ?? 0)).succeeded, true)
  equal(keyspace.keys('a').length, 0)
})

it('the fake rpc refuses nodes that are down', async () => {
  const cluster = new FakeCluster({ nodes: 2, rs: [1, 1] })
  cluster.stop(2)
  await rejects(cluster.node(1).rpc.call(nodeId(2), 1, new Uint8Array(0)), { code: 'unavailable' })
})

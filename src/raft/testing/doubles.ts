// Doubles of log, store and rpc with the crash contracts of their rooms, for tests of the driver.

import {
  assert,
  compareBytes,
  Fault,
  type GroupId,
  logIndex,
  type NodeId,
  term,
} from '../../base/index.ts'
import type { IncomingCall, Rpc, RpcStream } from '../../rpc/index.ts'
import type { GroupAppend, Log, LogEntry, RecoveredGroup, Store } from '../../storage/index.ts'
import { FaultyDisk } from '../../storage/testing/faulty-host.ts'
import type { TestLoop } from './loop.ts'

/** What survives a crash of one node. */
export class TestDisk {
  readonly groups = new Map<GroupId, RecoveredGroup>()
  tables = new Map<string, Map<string, Uint8Array>>()
  /** Of snapshots: its files survive a crash as they are. */
  readonly files = new FaultyDisk()
  isFull = false
  syncMs = 1
}

export class TestLog implements Log {
  readonly recovered: ReadonlyMap<GroupId, RecoveredGroup>
  readonly #loop: TestLoop
  readonly #disk: TestDisk
  #isDead = false
  appended = 0

  constructor(loop: TestLoop, disk: TestDisk) {
    this.#loop = loop
    this.#disk = disk
    this.recovered = new Map(disk.groups)
  }

  append(batch: readonly GroupAppend[], done: (fault?: Fault) => void): void {
    this.appended++
    this.#loop.after(this.#disk.syncMs, () => {
      if (this.#isDead) return
      if (this.#disk.isFull) {
        done(new Fault('no-space', 'the test disk is full'))
        return
      }
      for (const append of batch) this.#write(append)
      done()
    })
  }

  async read(): Promise<readonly LogEntry[]> {
    return []
  }

  statistics(): ReturnType<Log['statistics']> {
    let bytes = 0
    for (const group of this.#disk.groups.values()) {
      for (const entry of group.entries) bytes += entry.payload.length + 32
    }
    return {
      bytes,
      segments: 1,
      appendedBatches: this.appended,
      syncs: this.appended,
      lastSyncMs: 0,
    }
  }

  crash(): void {
    this.#isDead = true
  }

  async close(): Promise<void> {}

  #write(append: GroupAppend): void {
    const before: RecoveredGroup = this.#disk.groups.get(append.group) ?? {
      group: append.group,
      hardState: { term: term(0), vote: 0, commit: logIndex(0) },
      cut: { index: logIndex(0), term: term(0) },
      entries: [],
    }
    let { cut, entries } = before
    const first = append.entries?.[0]
    if (first !== undefined && append.entries !== undefined) {
      const keep = first.index - cut.index - 1
      assert(keep >= 0 && keep <= entries.length, 'the log has no gaps')
      entries = [...entries.slice(0, keep), ...append.entries]
    }
    if (append.cut !== undefined) {
      entries = entries.slice(Math.max(0, append.cut.index - cut.index))
      cut = append.cut
    }
    const hardState = append.hardState ?? before.hardState
    const fence = append.fence ?? before.fence
    const kept = fence === undefined ? {} : { fence }
    this.#disk.groups.set(append.group, { group: append.group, hardState, cut, entries, ...kept })
  }
}

export class TestStore implements Store {
  readonly #disk: TestDisk
  #tables = new Map<string, Map<string, Uint8Array>>()
  #isInTransaction = false
  #isDead = false

  constructor(disk: TestDisk) {
    this.#disk = disk
    this.#tables = copyTables(disk.tables)
  }

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    return this.#tables.get(table)?.get(String(key))
  }

  range(
    table: string,
    range: { readonly start: Uint8Array },
  ): { key: Uint8Array; value: Uint8Array }[] {
    return [...(this.#tables.get(table) ?? [])]
      .map(([key, value]) => ({ key: Uint8Array.from(key.split(',').map(Number)), value }))
      .filter(({ key }) => compareBytes(key, range.start) >= 0)
      .sort((a, b) => compareBytes(a.key, b.key))
  }

  keys(table: string, range: { readonly start: Uint8Array }): Uint8Array[] {
    return this.range(table, range).map(({ key }) => key)
  }

  put(table: string, key: Uint8Array, value: Uint8Array): void {
    assert(this.#isInTransaction, 'writes are in a transaction')
    const rows = this.#tables.get(table) ?? new Map<string, Uint8Array>()
    rows.set(String(key), value.slice())
    this.#tables.set(table, rows)
  }

  delete(table: string, key: Uint8Array): void {
    this.#tables.get(table)?.delete(String(key))
  }

  deleteRange(table: string): void {
    this.#tables.delete(table)
  }

  transaction<T>(body: () => T): T {
    assert(!this.#isInTransaction, 'transactions are not nested')
    this.#isInTransaction = true
    try {
      return body()
    } finally {
      this.#isInTransaction = false
    }
  }

  view(): never {
    throw new Fault('unsupported', 'the test store has no views')
  }

  async checkpoint(): Promise<void> {
    const tables = copyTables(this.#tables)
    await Promise.resolve()
    if (!this.#isDead) this.#disk.tables = tables
  }

  crash(): void {
    this.#isDead = true
  }

  isSlow = false

  isBehind(): boolean {
    return this.isSlow
  }

  sizeBytes(): number {
    return 0
  }

  async close(): Promise<void> {}
}

function copyTables(tables: Map<string, Map<string, Uint8Array>>): typeof tables {
  return new Map([...tables].map(([name, rows]) => [name, new Map(rows)]))
}

/** Everybody's connections. A message is lost when either end is cut off or has crashed meanwhile. */
export class TestNetwork {
  readonly loop: TestLoop
  readonly nodes = new Map<NodeId, TestRpc>()
  readonly cutOff = new Set<NodeId>()
  #streams: RpcStream[] = []
  /** Bytes sent on streams by whoever opened them. */
  streamedBytes = 0
  readonly watchers = new Map<TestRpc, (peer: NodeId, isReachable: boolean) => void>()
  frames = 0

  constructor(loop: TestLoop) {
    this.loop = loop
  }

  cut(node: NodeId): void {
    this.cutOff.add(node)
    this.#tellAll(node, false)
  }

  /** Every stream that is open ends with a fault on both sides. */
  breakStreams(): void {
    for (const stream of this.#streams) stream.fail(new Fault('unavailable', 'the line broke'))
    this.#streams = []
  }

  addStream(stream: RpcStream): RpcStream {
    this.#streams.push(stream)
    return {
      ...stream,
      send: (message) => {
        this.streamedBytes += message.length
        return stream.send(message)
      },
    }
  }

  heal(node: NodeId): void {
    this.cutOff.delete(node)
    this.#tellAll(node, true)
  }

  #tellAll(node: NodeId, isReachable: boolean): void {
    for (const [rpc, changed] of this.watchers) {
      if (this.nodes.get(rpc.self) !== rpc) continue
      if (rpc.self !== node) changed(node, isReachable)
      else for (const other of this.nodes.keys()) if (other !== node) changed(other, isReachable)
    }
  }

  target(from: TestRpc, to: NodeId): TestRpc | undefined {
    if (this.cutOff.has(from.self) || this.cutOff.has(to)) return undefined
    return this.nodes.get(from.self) === from ? this.nodes.get(to) : undefined
  }
}

type StreamHandler = (stream: RpcStream, call: IncomingCall) => Promise<void>

export class TestRpc implements Rpc {
  readonly self: NodeId
  readonly #network: TestNetwork
  readonly receivers = new Map<number, (from: NodeId, message: Uint8Array) => void>()
  readonly streams = new Map<number, StreamHandler>()

  constructor(network: TestNetwork, self: NodeId) {
    this.self = self
    this.#network = network
    network.nodes.set(self, this)
  }

  serve(): void {}

  serveStream(method: number, handler: StreamHandler): void {
    this.streams.set(method, handler)
  }

  onMessage(method: number, receive: (from: NodeId, message: Uint8Array) => void): void {
    this.receivers.set(method, receive)
  }

  async call(): Promise<Uint8Array> {
    throw new Fault('unsupported', 'the test network has no calls')
  }

  send(to: NodeId, method: number, message: Uint8Array): boolean {
    const peer = this.#network.target(this, to)
    if (peer === undefined) return false
    this.#network.frames++
    this.#network.loop.after(1, () => {
      if (this.#network.target(this, to) !== peer) return
      peer.receivers.get(method)?.(this.self, message)
    })
    return true
  }

  async openStream(
    to: NodeId,
    method: number,
    request: Uint8Array,
    options: { readonly deadlineMs: number },
  ): Promise<RpcStream> {
    const peer = this.#network.target(this, to)
    const handler = peer?.streams.get(method)
    if (peer === undefined || handler === undefined) {
      throw new Fault('unavailable', `node ${to} is not connected`)
    }
    const [ours, theirs] = streamPair(this.#network.loop, this.self, to)
    const signal = new AbortController().signal
    const call = { from: this.self, request, signal, deadlineMs: options.deadlineMs }
    this.#network.loop.after(1, () => {
      handler(theirs, call).catch((error: unknown) => theirs.fail(error as Fault))
    })
    return this.#network.addStream(ours)
  }

  setPeers(): void {}

  isReachable(peer: NodeId): boolean {
    return this.#network.target(this, peer) !== undefined
  }

  onReachability(changed: (peer: NodeId, isReachable: boolean) => void): void {
    this.#network.watchers.set(this, changed)
  }

  async listen(): Promise<void> {}

  async close(): Promise<void> {
    if (this.#network.nodes.get(this.self) === this) this.#network.nodes.delete(this.self)
  }
}

function streamPair(loop: TestLoop, near: NodeId, far: NodeId): readonly [RpcStream, RpcStream] {
  const toFar = new Channel(loop)
  const toNear = new Channel(loop)
  return [end(far, toFar, toNear), end(near, toNear, toFar)]
}

function end(from: NodeId, out: Channel, into: Channel): RpcStream {
  return {
    from,
    send: (message) => out.push(message.slice()),
    end: () => out.push(undefined),
    messages: into.messages(),
    fail: (fault) => {
      out.fail(fault)
      into.fail(fault)
    },
  }
}

class Channel {
  readonly #loop: TestLoop
  readonly #items: (Uint8Array | undefined)[] = []
  #fault: Fault | undefined
  #wake: () => void = () => {}

  constructor(loop: TestLoop) {
    this.#loop = loop
  }

  push(item: Uint8Array | undefined): Promise<void> {
    if (this.#fault !== undefined) return Promise.reject(this.#fault)
    return new Promise((resolve) => {
      this.#loop.after(1, () => {
        this.#items.push(item)
        this.#wake()
        resolve()
      })
    })
  }

  fail(fault: Fault): void {
    this.#fault ??= fault
    this.#wake()
  }

  async *messages(): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#fault !== undefined) throw this.#fault
      if (this.#items.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        continue
      }
      const item = this.#items.shift()
      if (item === undefined) return
      yield item
    }
  }
}

// A namespace under faults: real log, store, segments, rpc, raft and keyspace on simulated hosts; clients read,
// put, delete and compare-and-put registers at any node, one of which has no replica; a watch of everything
// is open on every node that runs.
//
// Checked: every key is a linearizable register (sim/histories); no watch misses, repeats or reorders an
// event, and every event is somebody's write; after the heal every node answers, every watch catches up and
// replicas have equal hashes at one revision.

import {
  clusterId,
  Fault,
  groupId,
  isFault,
  type NodeId,
  nodeId,
  type Random,
  utf8Decode,
  utf8Encode,
} from '../../src/base/index.ts'
import type { Address, Host, NodeIdentity } from '../../src/host/index.ts'
import {
  type Compare,
  createKeyspaces,
  type FullKeyspace,
  keyspaceTables,
  type TxnRequest,
  type TxnResponse,
  type Watch,
} from '../../src/keyspace/index.ts'
import { createRaft, raftTable } from '../../src/raft/index.ts'
import { createRpc } from '../../src/rpc/index.ts'
import { openLog, openSegments, openStore } from '../../src/storage/index.ts'
import { WorldFailure } from '../failures.ts'
import { Faults } from '../faults.ts'
import {
  check,
  checkWatches,
  formatViolation,
  HistoryRecorder,
  type OpenCall,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
  type WatchedEvent,
  type WatchedWrite,
  type WatchRecord,
} from '../histories/index.ts'
import type { SimHost } from '../sim-host.ts'
import type { World } from '../world.ts'
import { countJournals, nodeFaultKinds, nodePromises } from './promises.ts'

/** What a batch of seeds must have seen at least once. */
export const keyspacePromises: readonly string[] = [
  ...nodePromises.filter((kind) => kind !== 'configuration changes'),
  'reads',
  'writes acknowledged',
  'compares that failed',
  'outcomes unknown',
  'watches resumed',
  'watches behind compaction',
]

type WriteInput = Exclude<RegisterInput, { readonly kind: 'read' }>
type RunningNode = { readonly host: SimHost; readonly keyspace: FullKeyspace }
type Responses = WatchRecord['responses'][number][]
/** A watch that goes on under a new name whenever it ends or its node does. */
type OwnWatch = WatchRecord & { readonly responses: Responses }

const name = '/raft/simulated'
const clientCount = 5
const keys = ['a', 'b', 'c', 'd', 'e', 'f']
const deadlineMs = 3_000
const settlesWithinMs = 60_000
const startAgainMs = 1_000
const cluster = clusterId('00000000000000000000000000000002')
/** Small, so that compaction overtakes watches and snapshots overtake replicas. */
const historyRevisionsMax = 60
const historyMs = 1_000
const valueBytesMax = 2_000
const logBytesMax = 96 * 1024

export async function runKeyspaceWorkload(
  world: World,
  options: { readonly nodes: number; readonly durationMs: number },
): Promise<void> {
  await new KeyspaceWorkload(world, options).run()
}

class KeyspaceWorkload {
  readonly #world: World
  readonly #durationMs: number
  readonly #running = new Map<number, RunningNode>()
  readonly #recorder = new HistoryRecorder<RegisterInput, RegisterOutput>()
  readonly #writes: WatchedWrite[] = []
  readonly #watches: OwnWatch[] = []
  readonly #founders: readonly NodeId[]
  /** Founders, and one that has no replica. */
  readonly #nodes: readonly number[]
  readonly #seen = new Map<string, string | null>()
  /** Calls whose outcome is unknown. */
  readonly #lost = new Set<OpenCall<RegisterInput>>()
  #nextValue = 1
  #isOver = false

  constructor(world: World, options: { readonly nodes: number; readonly durationMs: number }) {
    this.#world = world
    this.#durationMs = options.durationMs
    const numbers = Array.from({ length: options.nodes }, (_, i) => i + 1)
    this.#founders = numbers.map(nodeId)
    this.#nodes = [...numbers, options.nodes + 1]
  }

  async run(): Promise<void> {
    this.#world.onStopped = (node, event, fault) => this.#stopped(node, event, fault)
    for (const node of this.#nodes) this.#start(node)
    const faults = new Faults(this.#world, {
      nodes: this.#nodes,
      kinds: nodeFaultKinds,
      restart: (node) => this.#start(node),
      everyMs: 1_000,
    })
    const clients = Array.from({ length: clientCount }, (_, i) => this.#client(i))
    await faults.run(this.#durationMs)
    this.#isOver = true
    await Promise.all(clients)
    await this.#readEverywhere()
    await this.#watchesCatchUp()
    await this.#hashesAgree()
    this.#check()
  }

  // ---- nodes ----

  #start(node: number): void {
    const host = this.#world.startHost(node)
    this.#open(host).catch((error: unknown) => {
      if (host.isAlive) this.#stopped(node, 'start', error)
    })
  }

  /** A node may stop itself while its disk is full; anything else is a failure. */
  #stopped(node: number, event: string, error: unknown): void {
    if (!isFault(error, 'no-space')) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
      this.#world.fail(new WorldFailure(`node ${node} stopped: ${event}: ${what}`))
      return
    }
    this.#world.count(`node stopped itself: ${event} ${error.code}`)
    this.#world.crash(node, 'kill')
    this.#world.schedule(startAgainMs, 'start again', () => {
      if (this.#world.host(node) === undefined) this.#start(node)
    })
  }

  async #open(host: SimHost): Promise<void> {
    const self = nodeId(host.node)
    const log = await openLog(host, { path: 'db/log', ownThread: false, segmentBytes: 32 * 1024 })
    const tables = [raftTable, ...keyspaceTables]
    const store = await openStore(host, { path: 'db/store', tables })
    const values = await openSegments(host, { path: 'db/values', fileBytesMax: 64 * 1024 })
    const listen = addressOf(host.node)
    const rpc = createRpc(host, { transport: host.network.secured(identityOf(self)), listen })
    const onFatal = (fault: Fault): void => host.journal.fatal('raft.failed', fault)
    const raft = createRaft({ host, log, store, rpc, onFatal }, { self, logBytesMax })
    const session = { number: drawSession(host) }
    const founders = { voters: this.#founders }
    const keyspaces = await createKeyspaces(
      { host, raft, rpc, store, values, self, session },
      {
        namespaces: [{ name, group: groupId(1), founders }],
        historyMs,
        historyRevisionsMax,
      },
    )
    const keyspace = await keyspaces.open(name)
    const peers = this.#nodes.filter((node) => node !== host.node)
    rpc.setPeers(new Map(peers.map((node) => [nodeId(node), addressOf(node)])))
    await rpc.listen()
    this.#running.set(host.node, { host, keyspace })
    this.#watch(host.node, keyspace)
  }

  // ---- clients ----

  async #client(client: number): Promise<void> {
    const random = this.#world.drawRandom()
    while (!this.#isOver) {
      await this.#world.sleep(random.integer(60))
      const key = keys[random.integer(keys.length)] as string
      const node = this.#nodes[random.integer(this.#nodes.length)] as number
      const draw = random.integer(10)
      if (draw < 4) await this.#read(client, key, node)
      else await this.#write(client, this.#drawWrite(key, draw, random), node)
    }
  }

  #drawWrite(key: string, draw: number, random: Random): WriteInput {
    const value = draw === 9 ? null : String(this.#nextValue++)
    if (random.chance(0.6)) return { kind: 'write', key, value }
    const expected = this.#seen.get(key) ?? null
    return { kind: 'compare-and-set', key, expected, value }
  }

  async #read(client: number, key: string, node: number): Promise<boolean> {
    const call = this.#recorder.called(client, { kind: 'read', key })
    const answer = await this.#ask(call, node, (keyspace) => {
      return keyspace.range({ key: utf8Encode(key) }, { deadlineMs })
    })
    if (answer === undefined) return false
    const [kv] = answer.kvs
    const value = kv === undefined ? null : decodeValue(kv.value)
    this.#seen.set(key, value)
    this.#world.count('reads')
    this.#recorder.returned(call, { kind: 'read', value })
    return true
  }

  async #write(client: number, input: WriteInput, node: number): Promise<void> {
    const call = this.#recorder.called(client, input)
    const request = requestOf(input)
    const answer = await this.#ask(call, node, (keyspace) => keyspace.txn(request, { deadlineMs }))
    const { key, value } = input
    const { calledAt } = call
    if (answer === undefined) {
      if (this.#lost.has(call)) this.#writes.push({ key, value, revision: undefined, calledAt })
      return
    }
    const isDone = answer.succeeded
    this.#world.count(isDone ? 'writes acknowledged' : 'compares that failed')
    if (hasChanged(answer)) this.#writes.push({ key, value, revision: answer.revision, calledAt })
    const { kind } = input
    this.#recorder.returned(call, kind === 'write' ? { kind } : { kind, isDone })
  }

  /** undefined: no answer, and the call has ended as refused or lost. */
  async #ask<T>(
    call: OpenCall<RegisterInput>,
    node: number,
    ask: (keyspace: FullKeyspace) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await this.#at(node, ask)
    } catch (error) {
      if (!isFault(error)) throw error
      if (error.outcome === 'unknown') {
        this.#world.count('outcomes unknown')
        this.#lost.add(call)
        this.#recorder.lost(call)
      } else {
        this.#world.count(`refused: ${error.code}`)
        this.#recorder.refused(call)
      }
      return undefined
    }
  }

  /** Runs at the node; Fault 'deadline' with outcome unknown when it does not answer. */
  #at<T>(node: number, ask: (keyspace: FullKeyspace) => Promise<T>): Promise<T> {
    const running = this.#running.get(node)
    if (running === undefined || !running.host.isAlive) {
      return Promise.reject(new Fault('unavailable', `node ${node} is down`))
    }
    return new Promise((resolve, reject) => {
      const deadline = this.#world.schedule(deadlineMs + 500, 'client gives up', () => {
        reject(new Fault('deadline', `node ${node} does not answer`, { outcome: 'unknown' }))
      })
      running.host.schedule(0, 'client', () => {
        ask(running.keyspace)
          .finally(() => {
            deadline.isCancelled = true
          })
          .then(resolve, reject)
      })
    })
  }

  // ---- watches ----

  /** A watch of everything, from where the node's last one came to. */
  #watch(node: number, keyspace: FullKeyspace, startRevision = this.#nextToWatch(node)): Watch {
    const responses: Responses = []
    const watchName = `watch ${this.#watches.length} on node ${node}`
    this.#watches.push({ name: watchName, startRevision, covers: () => true, responses })
    if (startRevision > 1) this.#world.count('watches resumed')
    return keyspace.watch(
      { key: new Uint8Array([0]), rangeEnd: new Uint8Array([0]), startRevision, progressMs: 1_000 },
      {
        onResponse: ({ revision, events, isFragment }) => {
          const told = events.map(({ kind, kv }): WatchedEvent => {
            const value = kind === 'delete' ? null : decodeValue(kv.value)
            return { key: utf8Decode(kv.key), value, revision: kv.modRevision }
          })
          responses.push({ at: this.#recorder.moment(), events: told, revision, isFragment })
          return true
        },
        onEnded: (fault) => {
          this.#world.count(`watches ended: ${fault.code}`)
          const compacted = isFault(fault, 'compacted') ? Number(fault.fields.compacted) : undefined
          if (compacted !== undefined) this.#world.count('watches behind compaction')
          const next = compacted === undefined ? this.#nextToWatch(node) : compacted + 1
          this.#world.host(node)?.schedule(100, 'watch again', () => {
            this.#watch(node, keyspace, next)
          })
        },
      },
    )
  }

  #nextToWatch(node: number): number {
    const last = this.#lastWatch(node)
    if (last === undefined) return 1
    return last.responses.reduce(
      (next, { revision, isFragment }) => (isFragment ? next : Math.max(next, revision + 1)),
      last.startRevision,
    )
  }

  #lastWatch(node: number): OwnWatch | undefined {
    return this.#watches.findLast(({ name: one }) => one.endsWith(` on node ${node}`))
  }

  // ---- after the heal ----

  async #until(what: string, isDone: () => boolean | Promise<boolean>): Promise<void> {
    const endMs = this.#world.nowMs + settlesWithinMs
    while (!(await isDone())) {
      if (this.#world.nowMs > endMs) throw new WorldFailure(`not after the heal: ${what}`)
      await this.#world.sleep(100)
    }
  }

  async #readEverywhere(): Promise<void> {
    for (const node of this.#nodes) {
      for (const key of keys) {
        await this.#until(`node ${node} reads ${key}`, () => this.#read(clientCount, key, node))
      }
    }
  }

  async #watchesCatchUp(): Promise<void> {
    const { revision } = await this.#at(1, (keyspace) => keyspace.range({ key: utf8Encode('a') }))
    for (const node of this.#nodes) {
      const what = `the watch on node ${node} reaches ${revision}`
      await this.#until(what, () => this.#nextToWatch(node) > revision)
    }
  }

  async #hashesAgree(): Promise<void> {
    const { revision } = await this.#at(1, (keyspace) => keyspace.range({ key: utf8Encode('a') }))
    const hashes = new Set<number>()
    for (const node of this.#founders) {
      const { hash } = await this.#at(node, (keyspace) => keyspace.hash(revision))
      hashes.add(hash)
    }
    if (hashes.size > 1) throw new WorldFailure(`replicas differ at revision ${revision}`)
  }

  #check(): void {
    countJournals(this.#world)
    const verdict = check(this.#recorder.history(), registerModel)
    this.#world.count('operations judged', verdict.operations)
    if (verdict.kind === 'violated') throw new WorldFailure(formatViolation(verdict, registerModel))
    if (verdict.kind === 'unknown') {
      throw new WorldFailure(
        `register ${verdict.partition} is too wide to judge: ${verdict.reason}`,
      )
    }
    const breaches = checkWatches(this.#writes, this.#watches)
    this.#world.count('watches judged', this.#watches.length)
    if (breaches.length > 0) throw new WorldFailure(breaches.join('\n'))
  }
}

/** A put or delete, with a compare if the input has one. */
function requestOf(input: WriteInput): TxnRequest {
  const key = utf8Encode(input.key)
  const success =
    input.value === null
      ? ([{ kind: 'delete', key }] as const)
      : ([{ kind: 'put', key, value: encodeValue(input.value) }] as const)
  if (input.kind === 'write') return { compares: [], success, failure: [] }
  const { expected } = input
  const compare: Compare =
    expected === null
      ? { key, target: 'version', result: 'equal', operand: 0 }
      : { key, target: 'value', result: 'equal', operand: encodeValue(expected) }
  return { compares: [compare], success, failure: [] }
}

/** Whether the transaction made a revision. */
function hasChanged({ succeeded, results }: TxnResponse): boolean {
  const [result] = results
  return succeeded && (result?.kind !== 'delete' || result.deleted > 0)
}

/** Of many lengths, also above those that the store keeps beside the key. */
function encodeValue(value: string): Uint8Array {
  return utf8Encode(value.padEnd((Number(value) * 37) % valueBytesMax, '.'))
}

function decodeValue(bytes: Uint8Array): string {
  const value = utf8Decode(bytes).replace(/\.*$/, '')
  const expected = encodeValue(value)
  const isSame =
    bytes.length === expected.length && bytes.every((byte, at) => byte === expected[at])
  if (!isSame)
    throw new WorldFailure(`a value of ${bytes.length} bytes that nobody wrote: ${value}`)
  return value
}

function drawSession(host: Host): number {
  return host.random.integer(2 ** 26) * 2 ** 26 + host.random.integer(2 ** 26) + 1
}

function identityOf(node: NodeId): NodeIdentity {
  const pem = { authorityPem: '', certificatePem: '', privateKeyPem: '' }
  return { nodeId: node, clusterId: cluster, ...pem }
}

function addressOf(node: number): Address {
  return { host: `127.0.0.${node}`, port: 6660 }
}

// All namespaces of a node, on its core thread: opens their groups, serves other nodes' requests, and
// lets leaders propose compactions.

import {
  assert,
  checkNamespaceName,
  decodeParts,
  encodeOutcomes,
  Fault,
  type GroupId,
  isFault,
  type NodeId,
} from '../base/index.ts'
import type { Host, Port, Timer } from '../host/index.ts'
import type { Foreign, Raft } from '../raft/index.ts'
import { controlMethod, type IncomingCall, type Rpc } from '../rpc/index.ts'
import type { Segments, Store } from '../storage/index.ts'
import { createKeyspace, type Transport } from './client.ts'
import { createSlab } from './core/bytes.ts'
import { decodeCall } from './core/calls.ts'
import { quotaBytesDefault } from './core/limits.ts'
import { encodePlainPut } from './core/plain-put.ts'
import { readFaultAnswer } from './core/wire.ts'
import type { FullKeyspace, FullKeyspaces, Keyspaces } from './keyspace.ts'
import { LaneServer } from './lane-server.ts'
import { Comparison } from './comparison.ts'
import { createMachine, type KeyspaceMachine } from './machine.ts'
import { Replica } from './replica.ts'
import { Router } from './router.ts'
import { recoverFrom } from './value-recovery.ts'
import { ValueShelf } from './values.ts'
import { answerPull } from './watch-feed.ts'
import { WatchSource } from './watch-source.ts'

export type KeyspaceDependencies = {
  readonly host: Host
  readonly raft: Raft
  readonly rpc: Rpc
  /** With the tables of keyspaceTables. */
  readonly store: Store
  /** For values only: everything in it is named by the store's rows. */
  readonly values: Segments
  readonly self: NodeId
  /** Drawn per boot, unique among all that ever wrote to the namespaces. */
  readonly session: { readonly number: number }
}

export type NamespaceOptions = {
  readonly name: string
  readonly group: GroupId
  /** The configuration that the group begins with, the same on every founder. */
  readonly founders: { readonly voters: readonly NodeId[]; readonly learners?: readonly NodeId[] }
  /** This node has a replica, or is to get one. Default: it is one of the founders. */
  readonly hasReplica?: boolean
  readonly electionPriority?: number
  /** Beyond this, puts are refused until deletion and compaction have made room. 0: none. Default 2 GiB. */
  readonly quotaBytes?: number
  /** As in KeyspacesOptions, for this namespace; Infinity: forgotten when it is asked for only. */
  readonly historyMs?: number
  readonly historyRevisionsMax?: number
  /** As in raft's GroupOptions. */
  readonly clusterId?: Uint8Array
  readonly onForeign?: (foreign: Foreign) => void
}

export type KeyspacesOptions = {
  readonly namespaces: readonly NamespaceOptions[]
  /** History is readable for this long, in entries' time. Default 300,000. */
  readonly historyMs?: number
  /** ... and for at most this many revisions. Default 10,000. */
  readonly historyRevisionsMax?: number
}

export type HistoryWindow = { readonly ageMs: number; readonly revisionsMax: number }

/** What the core thread has beside the contract of Keyspaces. */
export type CoreKeyspaces = FullKeyspaces & {
  /** Opens a namespace that was not known at start. Fault 'exists' for a name or group in use. */
  add(namespace: NamespaceOptions): Promise<void>
  /**
   * Serves a namespace no more: requests of this and other nodes are refused, watches end. Its group goes on, at
   * rest, until the node stops.
   */
  remove(name: string): void
  /** Puts that came together, of a namespace; the fault of each that failed. Throws for a key that is none. */
  putAll(
    name: string,
    puts: readonly Put[],
    options: { readonly deadlineMs: number },
  ): Promise<readonly (Fault | undefined)[]>
  /** The way to a namespace for threads that send encoded requests. Fault 'not-found'. */
  transport(name: string): Transport
  /** Proposes, where this node leads, to forget what is outside the window. */
  compactNow(window: HistoryWindow): Promise<void>
  /** Compares the replicas of every group that this node leads, as it does every 10 s. */
  compareNow(): Promise<void>
  /** Physical compaction at once, instead of in the background; for tests and orderly stops. */
  sweep(): Promise<void>
}

export type Put = { readonly key: Uint8Array; readonly value: Uint8Array }

const historyMsDefault = 300_000
const historyRevisionsDefault = 10_000
const compactionMs = 5000
const tickMs = 500
const comparisonMs = 10_000
const pullWaitMsMax = 2000
/** An answer to a pull fits into a call between nodes. */
const pullBytesMax = 1_900_000

type Namespace = {
  readonly options: NamespaceOptions
  readonly machine: KeyspaceMachine | undefined
  readonly replica: Replica | undefined
  readonly router: Router
  readonly keyspace: FullKeyspace
  readonly source: WatchSource | undefined
  readonly comparison: Comparison | undefined
  isCompacting: boolean
}

export async function createKeyspaces(
  dependencies: KeyspaceDependencies,
  options: KeyspacesOptions,
): Promise<CoreKeyspaces> {
  const keyspaces = new NodeKeyspaces(dependencies, options)
  try {
    for (const namespace of options.namespaces) await keyspaces.add(namespace)
  } catch (error) {
    await keyspaces.close()
    throw error
  }
  return keyspaces
}

/**
 * Serves a data thread: `keyspaces` is what createKeyspaces made, the other end of `port` is given to
 * createLaneKeyspaces. Ends when `keyspaces` closes.
 */
export function serveKeyspaces(port: Port, keyspaces: Keyspaces): void {
  assert(keyspaces instanceof NodeKeyspaces, 'only the core thread serves keyspaces')
  keyspaces.serve(port)
}

class NodeKeyspaces implements CoreKeyspaces {
  readonly #dependencies: KeyspaceDependencies
  readonly #values: ValueShelf
  readonly #byName = new Map<string, Namespace>()
  readonly #byGroup = new Map<number, Namespace>()
  /** Names and groups that are being opened. */
  readonly #opening = new Set<string | number>()
  /** Of namespaces that are served no more; closed with the rest. */
  readonly #removed: KeyspaceMachine[] = []
  readonly #lanes: LaneServer[] = []
  readonly #allocate = createSlab()
  readonly #timers: readonly Timer[]
  #isComparing = false
  #isClosed = false

  constructor(dependencies: KeyspaceDependencies, options: KeyspacesOptions) {
    this.#dependencies = dependencies
    const { host, store, values, rpc } = dependencies
    this.#values = new ValueShelf({
      host,
      store,
      segments: values,
      onFatal: (error) => this.#stop(error),
      recover: recoverFrom({ ...dependencies, groupOf: (id) => dependencies.raft.group(id) }),
    })
    rpc.serve(controlMethod.keyspaceRequest, (call) => this.#answer(call))
    const window = {
      ageMs: options.historyMs ?? historyMsDefault,
      revisionsMax: options.historyRevisionsMax ?? historyRevisionsDefault,
    }
    this.#timers = [
      host.clock.every(compactionMs, () => void this.compactNow(window)),
      host.clock.every(tickMs, () => this.#tick()),
      host.clock.every(comparisonMs, () => void this.compareNow()),
    ]
  }

  async add(options: NamespaceOptions): Promise<void> {
    const { name, group } = options
    checkNamespaceName(name)
    // Two at once would be two drivers of one group, each with its own idea of its votes.
    const isOpening = this.#opening.has(name) || this.#opening.has(group)
    if (isOpening || this.#byName.has(name) || this.#byGroup.has(group)) {
      throw new Fault('exists', `the namespace ${name} or its group is open already`)
    }
    this.#opening.add(name).add(group)
    try {
      await this.#add(options)
    } finally {
      this.#opening.delete(name)
      this.#opening.delete(group)
    }
  }

  async #add(options: NamespaceOptions): Promise<void> {
    const { host, rpc, self, session, store } = this.#dependencies
    const { founders, name, group } = options
    const members = [...founders.voters, ...(founders.learners ?? [])]
    const hasReplica = options.hasReplica ?? members.includes(self)
    const replica = hasReplica ? await this.#openReplica(options) : undefined
    if (this.#isClosed) {
      await replica?.machine.close()
      throw new Fault('unavailable', 'the node is stopping')
    }
    const machine = replica?.machine
    const source = machine && new WatchSource({ store, values: this.#values, machine })
    const router = new Router({
      host,
      rpc,
      self,
      name,
      group,
      members,
      replica,
      source,
      session: session.number,
    })
    const namespace: Namespace = {
      options,
      machine,
      replica,
      source,
      router,
      keyspace: createKeyspace(host, name, router),
      comparison: replica && new Comparison({ host, rpc, self, name, replica }),
      isCompacting: false,
    }
    this.#byName.set(name, namespace)
    this.#byGroup.set(group, namespace)
  }

  remove(name: string): void {
    const namespace = this.#byName.get(name)
    if (namespace === undefined) return
    this.#byName.delete(name)
    this.#byGroup.delete(namespace.options.group)
    namespace.router.close()
    if (namespace.machine !== undefined) this.#removed.push(namespace.machine)
  }

  async open(name: string): Promise<FullKeyspace> {
    return this.#find(name).keyspace
  }

  transport(name: string): Transport {
    return this.#find(name).router
  }

  putAll(
    name: string,
    puts: readonly Put[],
    { deadlineMs }: { readonly deadlineMs: number },
  ): Promise<readonly (Fault | undefined)[]> {
    const { router } = this.#find(name)
    const requests: Uint8Array[] = []
    for (const { key, value } of puts) requests.push(encodePlainPut(key, value, this.#allocate))
    return new Promise((resolve) => {
      const faults: (Fault | undefined)[] = new Array(puts.length).fill(undefined)
      let left = puts.length
      if (left === 0) resolve(faults)
      const settle = (at: number, outcome: Uint8Array | Fault): void => {
        faults[at] = outcome instanceof Uint8Array ? readFaultAnswer(outcome) : outcome
        if (--left === 0) resolve(faults)
      }
      const options = { deadlineMs, isSerializable: false, signal: undefined, settle }
      router.requestAll('txn', requests, options)
    })
  }

  serve(port: Port): void {
    const find = (name: string): Transport => this.transport(name)
    this.#lanes.push(new LaneServer(this.#dependencies.host, port, { find }))
  }

  async compactNow(window: HistoryWindow): Promise<void> {
    for (const namespace of this.#byName.values()) {
      const { historyMs = window.ageMs, historyRevisionsMax = window.revisionsMax } =
        namespace.options
      const own = { ageMs: historyMs, revisionsMax: historyRevisionsMax }
      await this.#compact(namespace, own)
    }
  }

  async compareNow(): Promise<void> {
    if (this.#isComparing) return
    this.#isComparing = true
    try {
      for (const { comparison } of this.#byName.values()) await comparison?.run()
    } catch (error) {
      this.#stop(error)
    } finally {
      this.#isComparing = false
    }
  }

  async sweep(): Promise<void> {
    for (const { machine } of this.#byName.values()) await machine?.sweep()
  }

  /** Ends what the room runs; the groups are raft's to close, afterwards. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const timer of this.#timers) timer.cancel()
    for (const lane of this.#lanes) lane.close()
    for (const { router } of this.#byName.values()) router.close()
    for (const { machine } of this.#byName.values()) await machine?.close()
    for (const machine of this.#removed) await machine.close()
    await this.#values.close()
  }

  async #openReplica(options: NamespaceOptions): Promise<Replica> {
    const { host, store, raft } = this.#dependencies
    const { group: id, name, founders, electionPriority, clusterId, onForeign } = options
    const onFatal = (error: unknown): void => this.#stop(error)
    const machine = createMachine({ host, store, values: this.#values, group: id, onFatal })
    const opening = raft.open({
      group: id,
      name,
      stateMachine: machine,
      founders,
      ...(electionPriority === undefined ? {} : { electionPriority }),
      ...(clusterId === undefined ? {} : { clusterId }),
      ...(onForeign === undefined ? {} : { onForeign }),
    })
    const group = await opening.catch(async (error: unknown) => {
      await machine.close()
      throw error
    })
    const { quotaBytes = quotaBytesDefault } = options
    return new Replica({ host, store, values: this.#values, group, machine, quotaBytes })
  }

  #tick(): void {
    for (const { replica, router } of this.#byName.values()) {
      replica?.tick()
      router.tick()
    }
  }

  #find(name: string): Namespace {
    const namespace = this.#byName.get(name)
    if (namespace !== undefined) return namespace
    throw new Fault('not-found', `there is no namespace ${name.slice(0, 255)}`)
  }

  /** A request of another node. It is answered here or refused; it never travels on. */
  async #answer(call: IncomingCall): Promise<Uint8Array> {
    const request = decodeCall(call.request)
    const namespace = this.#byGroup.get(request.group)
    const { replica, source } = namespace ?? {}
    if (namespace === undefined || replica === undefined || source === undefined) {
      throw notLeader('this node has no replica of the group', '')
    }
    const { kind, isSerializable, body } = request
    if (replica.isDiverged && kind !== 'status' && kind !== 'mark') {
      const { leader } = replica.group.status()
      throw notLeader('the replica of this node differs from most others', String(leader ?? ''))
    }
    if (kind === 'write') return replica.write(body)
    if (kind === 'writes') return writeAll(replica, body)
    if (kind !== 'events') return replica.read(kind, body, { isSerializable, signal: call.signal })
    const wait = (ms: number): Promise<void> => this.#waitForMore(namespace, ms, call.signal)
    return answerPull(source, body, { wait, bytesMax: pullBytesMax })
  }

  /** Until the replica has applied more, at most for a while. */
  #waitForMore(namespace: Namespace, ms: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#dependencies.host
    return new Promise((resolve) => {
      const end = (): void => {
        unlisten()
        timer.cancel()
        signal.removeEventListener('abort', end)
        resolve()
      }
      const unlisten = namespace.router.onRevision(() => clock.soon(end))
      const timer = clock.after(Math.min(ms, pullWaitMsMax), end)
      signal.addEventListener('abort', end)
    })
  }

  /** Never rejects: a compaction that fails is proposed again later. */
  async #compact(namespace: Namespace, window: HistoryWindow): Promise<void> {
    const { replica } = namespace
    if (replica === undefined || namespace.isCompacting) return
    if (!replica.lessor.isLeading) return
    namespace.isCompacting = true
    try {
      await replica.compact(window)
    } catch (error) {
      if (!isFault(error)) this.#stop(error)
    } finally {
      namespace.isCompacting = false
    }
  }

  #stop(error: unknown): void {
    this.#dependencies.host.journal.fatal('keyspace.replica_damaged', error)
  }
}

async function writeAll(replica: Replica, writes: Uint8Array): Promise<Uint8Array> {
  return encodeOutcomes(await replica.writeAll(decodeParts(writes)))
}

function notLeader(what: string, leader: string): Fault {
  return new Fault('not-leader', what, { fields: { leader } })
}

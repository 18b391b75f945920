// Nodes of one namespace on simulated hosts: real log, store, segments, rpc, raft and keyspace. Founders, one node
// that has no replica, and where members change one more that becomes a member and is removed again. What a workload
// runs on a node begins when the node is open and dies with it.

import {
  clusterId,
  Fault,
  groupId,
  isFault,
  type NodeId,
  nodeId,
  utf8Encode,
} from '../../src/base/index.ts'
import {
  type Address,
  createLoopPorts,
  type Host,
  type NodeIdentity,
} from '../../src/host/index.ts'
import {
  createKeyspaces,
  createLaneKeyspaces,
  type FullKeyspace,
  type FullKeyspaces,
  keyspaceTables,
  serveKeyspaces,
} from '../../src/keyspace/index.ts'
import { createRaft, type Group, raftTable } from '../../src/raft/index.ts'
import { controlMethod, createRpc } from '../../src/rpc/index.ts'
import { openLog, openSegments, openStore } from '../../src/storage/index.ts'
import { WorldFailure } from '../failures.ts'
import type { SimHost } from '../sim-host.ts'
import type { World } from '../world.ts'

export type RunningNode = {
  readonly host: SimHost
  readonly keyspace: FullKeyspace
  /** The same as another thread of the node has it (ClusterOptions.hasLanes); else `keyspace`. */
  readonly lane: FullKeyspace
  /** undefined: it has no replica. */
  readonly group: Group | undefined
  /** Sends a request of the keyspace to another node as it is, ids and all. */
  readonly send: (to: NodeId, request: Uint8Array) => Promise<Uint8Array>
}

export type ClusterOptions = {
  readonly founders: number
  /** Small, so that compaction overtakes watches and snapshots overtake replicas. */
  readonly historyRevisionsMax: number
  readonly historyMs: number
  readonly opened: (node: RunningNode) => void
  /** There is a spare, for changeMembers(). */
  readonly hasSpare?: boolean
  /** Nodes have a second thread. */
  readonly hasLanes?: boolean
  /** The host that the keyspace sees; default: the node's. */
  readonly hostOf?: (host: SimHost) => Host
}

export const namespace = '/raft/simulated'
export const group = groupId(1)
const sendMs = 2_000
const cluster = clusterId('00000000000000000000000000000002')
const logBytesMax = 40 * 1024
const startAgainMs = 1_000
const settlesWithinMs = 90_000

export class KeyspaceCluster {
  readonly founders: readonly NodeId[]
  readonly nodes: readonly number[]
  readonly running = new Map<number, RunningNode>()
  readonly #world: World
  readonly #options: ClusterOptions
  readonly #spare: NodeId | undefined

  constructor(world: World, options: ClusterOptions) {
    this.#world = world
    this.#options = options
    const numbers = Array.from({ length: options.founders }, (_, i) => i + 1)
    this.founders = numbers.map(nodeId)
    this.nodes = [...numbers, options.founders + 1]
    if (options.hasSpare === true) {
      this.#spare = nodeId(options.founders + 2)
      this.nodes = [...this.nodes, options.founders + 2]
    }
    world.onStopped = (node, event, fault) => this.#stopped(node, event, fault)
  }

  start(node: number): void {
    const host = this.#world.startHost(node)
    this.#open(host).catch((error: unknown) => {
      if (host.isAlive) this.#stopped(node, 'start', error)
    })
  }

  /** Runs at the node; Fault 'deadline' with outcome unknown when it does not answer. */
  at<T>(
    node: number,
    deadlineMs: number,
    ask: (keyspace: FullKeyspace, group: Group | undefined) => Promise<T>,
  ): Promise<T> {
    const running = this.running.get(node)
    if (running === undefined || !running.host.isAlive) {
      return Promise.reject(new Fault('unavailable', `node ${node} is down`))
    }
    return new Promise((resolve, reject) => {
      const deadline = this.#world.schedule(deadlineMs, 'client gives up', () => {
        reject(new Fault('deadline', `node ${node} does not answer`, { outcome: 'unknown' }))
      })
      running.host.schedule(0, 'client', () => {
        ask(running.keyspace, running.group)
          .finally(() => {
            deadline.isCancelled = true
          })
          .then(resolve, reject)
      })
    })
  }

  /** After the heal: a WorldFailure when it never comes. */
  async until(what: string, isDone: () => boolean | Promise<boolean>): Promise<void> {
    const endMs = this.#world.nowMs + settlesWithinMs
    while (!(await isDone())) {
      if (this.#world.nowMs > endMs) throw new WorldFailure(`not after the heal: ${what}`)
      await this.#world.sleep(100)
    }
  }

  /** After the heal: asks until a node answers. */
  async ask<T>(what: string, ask: (keyspace: FullKeyspace) => Promise<T>): Promise<T> {
    let answer: { readonly value: T } | undefined
    await this.until(what, async () => {
      try {
        answer = { value: await this.at(1, 20_000, ask) }
      } catch (error) {
        if (!isFault(error)) throw error
      }
      return answer !== undefined
    })
    if (answer === undefined) throw new WorldFailure(`no answer: ${what}`)
    return answer.value
  }

  /** Adds and removes the spare, replaces founders by it, moves the lead, until it is over. */
  async changeMembers(isOver: () => boolean): Promise<void> {
    const random = this.#world.drawRandom()
    const spare = this.#spare
    if (spare === undefined) throw new WorldFailure('members cannot change without a spare')
    while (!isOver()) {
      await this.#world.sleep(500 + random.integer(3_000))
      const leader = this.leader()
      if (leader === undefined) continue
      const { node, group: led } = leader
      const { voters } = led.status()
      const isIn = voters.includes(spare)
      const victim = this.founders[random.integer(this.founders.length)] as NodeId
      const gone = this.founders.find((founder) => !voters.includes(founder))
      const choice = random.integer(3)
      const change = (): Promise<void> => {
        if (choice === 0) {
          return led.transferLeadership(voters[random.integer(voters.length)] as NodeId)
        }
        if (gone !== undefined) {
          return led.changeMembers({ addVoters: [gone], remove: isIn ? [spare] : [] })
        }
        if (isIn) return led.changeMembers({ remove: [spare] })
        if (choice === 1) return led.changeMembers({ addVoters: [spare] })
        return led.changeMembers({ addVoters: [spare], remove: [victim] })
      }
      await this.at(node, 5_000, change).catch((error: unknown) => {
        if (!isFault(error)) throw error
      })
    }
  }

  /** Whoever thinks that it leads. */
  leader(): { readonly node: number; readonly group: Group } | undefined {
    for (const [node, { host, group: one }] of this.running) {
      if (host.isAlive && one?.status().role === 'leader') return { node, group: one }
    }
    return undefined
  }

  async hashesAgree(): Promise<void> {
    const { revision } = await this.ask('the revision', (keyspace) => {
      return keyspace.range({ key: utf8Encode('a') })
    })
    const hashes = new Set<number>()
    for (const node of this.leader()?.group.status().voters ?? this.founders) {
      await this.until(`a hash of node ${node}`, async () => {
        try {
          const { hash } = await this.at(node, 20_000, (keyspace) => keyspace.hash(revision))
          hashes.add(hash)
          return true
        } catch (error) {
          if (!isFault(error)) throw error
          return false
        }
      })
    }
    if (hashes.size > 1) throw new WorldFailure(`replicas differ at revision ${revision}`)
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
      if (this.#world.host(node) === undefined) this.start(node)
    })
  }

  #hasReplica(node: NodeId): boolean {
    return this.founders.includes(node) || node === this.#spare
  }

  async #open(simHost: SimHost): Promise<void> {
    const { historyMs, historyRevisionsMax, hostOf, opened } = this.#options
    const host = hostOf?.(simHost) ?? simHost
    const self = nodeId(simHost.node)
    const log = await openLog(simHost, {
      path: 'db/log',
      ownThread: false,
      segmentBytes: 32 * 1024,
    })
    const tables = [raftTable, ...keyspaceTables]
    const store = await openStore(simHost, { path: 'db/store', tables })
    const values = await openSegments(simHost, { path: 'db/values', fileBytesMax: 64 * 1024 })
    const transport = simHost.network.secured(identityOf(self))
    const rpc = createRpc(simHost, { transport, listen: addressOf(simHost.node) })
    const onFatal = (fault: Fault): void => simHost.journal.fatal('raft.failed', fault)
    const raft = createRaft({ host: simHost, log, store, rpc, onFatal }, { self, logBytesMax })
    const session = { number: drawSession(simHost) }
    const founders = { voters: this.founders }
    const keyspaces = await createKeyspaces(
      { host, raft, rpc, store, values, self, session },
      {
        namespaces: [{ name: namespace, group, founders, hasReplica: this.#hasReplica(self) }],
        historyMs,
        historyRevisionsMax,
      },
    )
    const keyspace = await keyspaces.open(namespace)
    const peers = this.nodes.filter((node) => node !== simHost.node)
    rpc.setPeers(new Map(peers.map((node) => [nodeId(node), addressOf(node)])))
    await rpc.listen()
    const send = (to: NodeId, request: Uint8Array): Promise<Uint8Array> =>
      rpc.call(to, controlMethod.keyspaceRequest, request, { deadlineMs: sendMs })
    const lane = this.#options.hasLanes === true ? await openLane(host, keyspaces) : keyspace
    const running = { host: simHost, keyspace, lane, group: raft.group(group), send }
    this.running.set(simHost.node, running)
    opened(running)
  }
}

async function openLane(host: Host, keyspaces: FullKeyspaces): Promise<FullKeyspace> {
  const [core, lane] = createLoopPorts((next) => host.clock.soon(next))
  serveKeyspaces(core, keyspaces)
  return createLaneKeyspaces(host, lane).open(namespace)
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

// Consensus under faults: real log, store, rpc and driver on simulated hosts; clients write, compare
// and read registers at any node; an operator changes members and moves leadership.
// Checked: every register's history is linearizable (so no acknowledged write is lost), replicas have
// equal digests at equal indices, and after the heal everyone catches up and answers again.

import {
  clusterId,
  Fault,
  groupId,
  isFault,
  type NodeId,
  nodeId,
  type Random,
} from '../../src/base/index.ts'
import type { Address, NodeIdentity } from '../../src/host/index.ts'
import {
  createRaft,
  type Group,
  type Raft,
  type RaftOptions,
  raftTable,
} from '../../src/raft/index.ts'
import { createKeyTransport, createRpc, type Rpc } from '../../src/rpc/index.ts'
import { openLog, openStore, type Store } from '../../src/storage/index.ts'
import { Agreement } from '../checkers/agreement.ts'
import { isLinearizable, type RegisterOperation } from '../checkers/linearizability.ts'
import { WorldFailure } from '../failures.ts'
import { Faults } from '../faults.ts'
import type { SimHost } from '../sim-host.ts'
import type { World } from '../world.ts'
import { Churn, describeGroups } from './churn.ts'
import { countJournals, nodeFaultKinds, nodePromises } from './promises.ts'
import {
  createRegisters,
  decodeAnswer,
  encodeCommand,
  readRegister,
  registersTable,
} from './registers.ts'
import { sharedKeyOf } from './shared-key.ts'

type RunningNode = {
  readonly host: SimHost
  readonly raft: Raft
  readonly groups: readonly Group[]
  readonly store: Store
  readonly rpc: Rpc
}
type Recorded = RegisterOperation & { readonly key: string }

export type RaftWorkloadOptions = {
  readonly nodes: number
  readonly durationMs: number
}

/** What a batch of seeds must have seen at least once. */
export const raftPromises: readonly string[] = [
  ...nodePromises,
  'fault flipped bit',
  'damaged disks refused',
  'nodes with a shared key',
  'bits flipped on the wire',
  'snapshots sent',
  'nodes with a full log',
  'writes acknowledged',
  'turns with reads by lease',
  'writes unknown',
  'reads',
]

const groupCount = 2
const clientCount = 5
const keys = ['a', 'b', 'c', 'd', 'e', 'f']
/** Often, so that files are taken, sent again and retained within a run. */
const snapshots = { everyMs: 1_500, everyEntries: 20, bytesPerSecond: 1024 * 1024 }
const operationTimeoutMs = 3_000
const cluster = clusterId('00000000000000000000000000000001')

export async function runRaftWorkload(world: World, options: RaftWorkloadOptions): Promise<void> {
  await new RaftWorkload(world, options).run()
}

class RaftWorkload {
  readonly #world: World
  readonly #options: RaftWorkloadOptions
  readonly #agreement = new Agreement()
  readonly #running = new Map<number, RunningNode>()
  readonly #history: Recorded[] = []
  readonly #founders: readonly NodeId[]
  readonly #churn: Churn
  /** Half of the seeds read by leases; no clock of theirs is skewed by more than leases allow for. */
  readonly #reading: Pick<RaftOptions, 'readLease'>
  #nextValue = 1
  #isOver = false

  constructor(world: World, options: RaftWorkloadOptions) {
    this.#world = world
    this.#options = options
    this.#reading = world.drawRandom().chance(0.5) ? { readLease: { clockDriftRatio: 0.005 } } : {}
    const numbers = Array.from({ length: options.nodes }, (_, i) => i + 1)
    this.#founders = numbers.map(nodeId)
    this.#churn = new Churn(numbers, [options.nodes + 1], {
      world,
      leader: () => this.#leader(),
      at: (node, run) => this.#at(node, run),
      start: (node) => this.#start(node),
      firstFresh: options.nodes + 2,
      joined: () => this.#tellPeers(),
      describe: () => this.#describe(),
    })
  }

  async run(): Promise<void> {
    for (const node of this.#nodes) this.#start(node)
    const { mayFlip, drawNode } = this.#churn.flips
    const faults = new Faults(this.#world, {
      nodes: this.#nodes,
      // Leases promise by the clock: who reads by them is spared clocks that run at another rate.
      kinds: [...nodeFaultKinds, 'flipped bit' as const].filter(
        (kind) => kind !== 'clock skew' || this.#reading.readLease === undefined,
      ),
      restart: (node) => this.#start(node),
      everyMs: 1_000,
      mayFlip,
      drawFlipped: drawNode,
    })
    const clients = Array.from({ length: clientCount }, (_, i) => this.#client(i))
    const operator = this.#churn.run(() => this.#isOver)
    await faults.run(this.#options.durationMs)
    this.#isOver = true
    await Promise.all([...clients, operator])
    await this.#churn.settle()
    await this.#mustCatchUp()
    for (const key of keys) await this.#lastRead(key)
    this.#check()
  }

  get #nodes(): readonly number[] {
    return this.#churn.nodes
  }

  #start(node: number): void {
    if (this.#world.host(node) !== undefined || this.#churn.isGone(node)) return
    const host = this.#world.startHost(node)
    this.#open(host).catch((error: unknown) => {
      if (!host.isAlive || this.#churn.maybeReplace(node, error)) return
      if (isFault(error, 'no-space')) {
        this.#world.count('starts refused by a full disk')
        this.#world.crash(node, 'kill')
        this.#world.schedule(1_000, 'start again', () => {
          if (this.#world.host(node) === undefined) this.#start(node)
        })
        return
      }
      this.#world.fail(new WorldFailure(`node ${node} does not start: ${describe(error)}`))
    })
  }

  async #open(host: SimHost): Promise<void> {
    const self = nodeId(host.node)
    const log = await openLog(host, { path: 'db/log', ownThread: false, segmentBytes: 12 * 1024 })
    const tables = [raftTable, registersTable]
    const store = await openStore(host, { path: 'db/store', tables })
    const identity = identityOf(self)
    const key = sharedKeyOf(this.#world)
    const rpc = createRpc(host, {
      transport:
        key === undefined
          ? host.network.secured(identity)
          : createKeyTransport(host, { self: identity, key }),
      listen: addressOf(host.node),
    })
    const onFatal = (fault: Fault): void => host.journal.fatal('raft.failed', fault)
    const raft = createRaft(
      { host, log, store, rpc, onFatal },
      { self, logBytesMax: 96 * 1024, snapshots, ...this.#reading },
    )
    const groups: Group[] = []
    for (let number = 1; number <= groupCount; number++) {
      // Groups of one node share a store; the second group's registers would clash with the first's.
      const stateMachine = number === 1 ? createRegisters(store) : createEmpty()
      const group = await raft.open({
        group: groupId(number),
        name: `group-${number}`,
        stateMachine,
        founders: { voters: this.#founders },
      })
      groups.push(group)
      group.onApplied((index) => {
        const digest = stateMachine.digest()
        this.#agreement.applied(host.node, group.group, { index, digest })
      })
    }
    await rpc.listen()
    this.#running.set(host.node, { host, raft, groups, store, rpc })
    this.#tellPeers()
  }

  #tellPeers(): void {
    for (const { host, rpc } of this.#running.values()) {
      if (!host.isAlive) continue
      const peers = this.#nodes.filter((node) => node !== host.node)
      rpc.setPeers(new Map(peers.map((node) => [nodeId(node), addressOf(node)])))
    }
  }

  async #client(number: number): Promise<void> {
    const random = this.#world.drawRandom()
    while (!this.#isOver) {
      await this.#world.sleep(random.integer(60))
      const key = keys[random.integer(keys.length)] as string
      const node = this.#nodes[random.integer(this.#nodes.length)] as number
      if (random.chance(0.4)) await this.#read(node, key)
      else await this.#write(node, key, { random, isCompare: random.chance(0.3), number })
    }
  }

  async #write(
    node: number,
    key: string,
    how: { readonly random: Random; readonly isCompare: boolean; readonly number: number },
  ): Promise<void> {
    const value = `${how.number}.${this.#nextValue++}`
    const seen = how.isCompare ? this.#lastSeen(key) : undefined
    const padding = how.random.bytes(how.random.integer(400))
    const payload = encodeCommand({
      key,
      value,
      padding,
      ...(how.isCompare ? { expected: seen ?? '' } : {}),
    })
    const startMs = this.#world.nowMs
    const record = (endMs: number, isDone: boolean | undefined): void => {
      const kind = how.isCompare ? 'compare-and-set' : 'write'
      this.#history.push({ kind, key, value, expected: seen, isDone, startMs, endMs })
    }
    let target = node
    for (let attempt = 0; attempt < 4; attempt++) {
      try {
        const answer = await this.#at(target, ({ groups }) => (groups[0] as Group).propose(payload))
        this.#world.count('writes acknowledged')
        record(this.#world.nowMs, decodeAnswer(answer))
        return
      } catch (error) {
        if (!isFault(error)) throw error
        if (error.outcome === 'unknown') {
          this.#world.count('writes unknown')
          record(Number.POSITIVE_INFINITY, undefined)
          return
        }
        this.#world.count(`writes refused: ${error.code}`)
        target = Number(error.fields.leader ?? '') || target
      }
    }
  }

  async #read(node: number, key: string): Promise<void> {
    const startMs = this.#world.nowMs
    try {
      const value = await this.#at(node, async ({ groups, store }) => {
        await (groups[0] as Group).readBarrier()
        return readRegister(store, key)
      })
      this.#world.count('reads')
      this.#history.push({ kind: 'read', key, value, startMs, endMs: this.#world.nowMs })
    } catch (error) {
      if (!isFault(error)) throw error
    }
  }

  #lastSeen(key: string): string | undefined {
    for (let i = this.#history.length - 1; i >= 0; i--) {
      const one = this.#history[i]
      if (one?.key === key && one.kind === 'read') return one.value
    }
    return undefined
  }

  /** Runs at the node; Fault 'deadline' with outcome unknown when it does not answer. */
  #at<T>(node: number, run: (running: RunningNode) => Promise<T>): Promise<T> {
    const running = this.#running.get(node)
    if (running === undefined || !running.host.isAlive) {
      return Promise.reject(toDown(node))
    }
    return new Promise((resolve, reject) => {
      const deadline = this.#world.schedule(operationTimeoutMs, 'client gives up', () => {
        reject(toUnknown(node))
      })
      running.host.schedule(0, 'client', () => {
        run(running)
          .finally(() => {
            deadline.isCancelled = true
          })
          .then(resolve, reject)
      })
    })
  }

  #leader(): { readonly node: number; readonly group: Group } | undefined {
    for (const [node, { host, groups }] of this.#running) {
      const group = groups[0]
      if (host.isAlive && group?.status().role === 'leader') return { node, group }
    }
    return undefined
  }

  async #mustCatchUp(): Promise<void> {
    const endMs = this.#world.nowMs + 60_000
    for (;;) {
      if (this.#world.nowMs > endMs) {
        throw new WorldFailure(`not caught up 60 s after the heal: ${this.#describe()}`)
      }
      await this.#world.sleep(100)
      const leader = this.#leader()
      if (leader === undefined) continue
      const { voters, votersOutgoing, commit } = leader.group.status()
      // A disk that was found damaged only now: its node was started late.
      if (voters.some((voter) => this.#churn.isGone(voter))) await this.#churn.settle()
      const isCaughtUp = [...voters, ...votersOutgoing].every((voter) => {
        const running = this.#running.get(voter)
        return running?.host.isAlive && (running.groups[0]?.status().applied ?? 0) >= commit
      })
      if (isCaughtUp) return
    }
  }

  async #lastRead(key: string): Promise<void> {
    const before = this.#world.counts.get('reads') ?? 0
    for (let attempt = 0; attempt < 20; attempt++) {
      const leader = this.#leader()
      if (leader !== undefined) await this.#read(leader.node, key)
      if ((this.#world.counts.get('reads') ?? 0) > before) return
      await this.#world.sleep(200)
    }
    throw new WorldFailure(`no read of ${key} succeeds after the heal`)
  }

  #check(): void {
    countJournals(this.#world)
    this.#world.count('indices compared', this.#agreement.count)
    for (const { raft } of this.#running.values()) {
      this.#world.count('turns with reads by lease', raft.statistics().leaseReads ?? 0)
    }
    for (const key of keys) {
      const history = this.#history.filter((one) => one.key === key)
      if (!isLinearizable(history)) {
        throw new WorldFailure(
          `register ${key} is not linearizable:\n${history.map((one) => JSON.stringify(one)).join('\n')}`,
        )
      }
    }
  }

  #describe(): string {
    const groups = [...this.#running].map(
      ([
        node,
        {
          host,
          groups: [group],
        },
      ]) => [node, { isAlive: host.isAlive, group }] as const,
    )
    return describeGroups(new Map(groups))
  }
}

function createEmpty(): import('../../src/raft/index.ts').StateMachine {
  return {
    apply: (entries) => entries.map(() => new Uint8Array([1])),
    snapshot: () => ({ chunks: noChunks(), close() {} }),
    install: () => ({ async write() {}, finish() {}, async abort() {} }),
    sync: async () => {},
    digest: () => new Uint8Array(8),
  }
}

async function* noChunks(): AsyncGenerator<Uint8Array> {}

function identityOf(node: NodeId): NodeIdentity {
  const pem = { authorityPem: '', certificatePem: '', privateKeyPem: '' }
  return { nodeId: node, clusterId: cluster, ...pem }
}

function addressOf(node: number): Address {
  return { host: `127.0.0.${node}`, port: 6660 }
}

function toDown(node: number): Fault {
  return new Fault('unavailable', `node ${node} is down`)
}

function toUnknown(node: number): Fault {
  return new Fault('deadline', `node ${node} does not answer`, { outcome: 'unknown' })
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

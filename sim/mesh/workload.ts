// Whole meshes on simulated hosts: founding, joining, raft and keyspace as they run in a process. Each seed plays
// one scenario of how a cluster comes to be and loses and regains members, while clients read and write registers
// at any node. Checked all the time: at most one cluster id commits in the namespace (where the scenario
// does not force two). Checked after the heal: everybody is a member and votes, and every register's
// history is linearizable, so nothing acknowledged is lost.

import {
  clusterId,
  Fault,
  isFault,
  type NodeId,
  nodeId,
  type Random,
  utf8Decode,
  utf8Encode,
} from '../../src/base/index.ts'
import type { Universe } from '../../src/founding/index.ts'
import { type Cluster, createMesh, type Mesh, type OpenOptions } from '../../src/mesh/index.ts'
import { WorldFailure } from '../failures.ts'
import { Faults } from '../faults.ts'
import {
  check,
  formatViolation,
  HistoryRecorder,
  type OpenCall,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
} from '../histories/index.ts'
import type { SimHost } from '../sim-host.ts'
import type { World } from '../world.ts'
import { nodeFaultKinds } from '../workloads/promises.ts'
import { type Scenario, scenarios } from './scenarios.ts'

export type Running = { readonly host: SimHost; readonly mesh: Mesh; readonly cluster: Cluster }

export const meshPromises: readonly string[] = [
  ...scenarios.map(({ name }) => `scenario ${name}`),
  'crashes',
  'disks wiped',
  'members removed',
  'writes acknowledged',
  'reads',
  'outcomes unknown',
  'alarm two-clusters',
  'alarm removed',
  'alarm refused',
]

const namespace = '/raft/simulated'
const numberedMesh = clusterId('00000000000000000000000000000003')
const clientCount = 3
const keys = ['a', 'b', 'c']
const timeoutMs = 3_000
const lookMs = 100
const livenessMs = 240_000
const startAgainMs = 1_000

export async function runMeshWorkload(world: World): Promise<void> {
  const scenario = scenarios[world.seed % scenarios.length] as Scenario
  world.count(`scenario ${scenario.name}`)
  await new MeshWorld(world, scenario).run()
}

/** What a scenario can do and see. */
export class MeshWorld {
  readonly world: World
  readonly random: Random
  /** Whom a node's configuration names; default everybody. */
  readonly contactsOf = new Map<number, readonly number[]>()
  /** The number of the seed among those of its scenario. */
  readonly turn: number
  readonly #scenario: Scenario
  readonly #running = new Map<number, Running>()
  readonly #recorder = new HistoryRecorder<RegisterInput, RegisterOutput>()
  /** Cluster ids that have committed something beyond their first entry. */
  readonly #committed = new Set<string>()
  readonly #alarms = new Set<string>()
  #nextValue = 1
  #isOver = false

  constructor(world: World, scenario: Scenario) {
    this.world = world
    this.random = world.drawRandom()
    this.#scenario = scenario
    this.turn = Math.floor(world.seed / scenarios.length)
  }

  get nodes(): readonly number[] {
    return Array.from({ length: this.#scenario.nodes }, (_, i) => i + 1)
  }

  async run(): Promise<void> {
    this.world.onStopped = (node, event, fault) => this.#stopped(node, event, fault)
    const looking = this.#keepLooking()
    const clients = Array.from({ length: clientCount }, (_, i) => this.#client(i))
    await this.#scenario.play(this)
    this.#heal()
    await this.#settle()
    this.#isOver = true
    await Promise.all([looking, ...clients])
    this.#check()
  }

  // ---- what scenarios do ----

  start(node: number, options: Partial<OpenOptions> = {}): void {
    if (this.world.host(node) !== undefined) return
    const host = this.world.startHost(node)
    this.#open(host, options).catch((error: unknown) => {
      if (host.isAlive) this.#stopped(node, 'start', error)
    })
  }

  crash(node: number, how: 'kill' | 'power' = this.random.chance(0.5) ? 'kill' : 'power'): void {
    this.#running.delete(node)
    if (this.world.host(node) === undefined) return
    this.world.count('crashes')
    this.world.crash(node, how)
  }

  /** An empty disk in its place. */
  wipe(node: number): void {
    this.crash(node)
    this.world.loseDisk(node)
    this.world.count('disks wiped')
  }

  /** Cuts one side off the others, in both directions. */
  cut(side: readonly number[]): void {
    for (const a of side) {
      for (const b of this.nodes.filter((node) => !side.includes(node))) {
        this.world.network.block(a, b)
        this.world.network.block(b, a)
      }
    }
  }

  /** Removes a member, by whoever leads, for as long as it takes. */
  async remove(gone: NodeId): Promise<void> {
    await this.until(`node ${gone} is removed`, async () => {
      const leader = this.leader()
      if (leader === undefined) return false
      try {
        await leader.cluster.removeServer(gone, { timeoutMs })
      } catch (error) {
        if (!isFault(error)) throw error
        return isFault(error, 'not-found')
      }
      return true
    })
    this.world.count('members removed')
  }

  async injectFaults(durationMs: number): Promise<void> {
    const faults = new Faults(this.world, {
      nodes: this.nodes,
      kinds: nodeFaultKinds,
      restart: (node) => this.start(node),
      everyMs: 1_000,
    })
    await faults.run(durationMs)
  }

  running(node: number): Running | undefined {
    const running = this.#running.get(node)
    return running?.host.isAlive === true ? running : undefined
  }

  leader(): (Running & { readonly node: number }) | undefined {
    for (const node of this.nodes) {
      const running = this.running(node)
      if (running?.cluster.isLeader()) return { ...running, node }
    }
    return undefined
  }

  /** Its vote counts, and it knows a leader. */
  isVoting(node: number): boolean {
    const cluster = this.running(node)?.cluster
    if (cluster === undefined || cluster.leader() === undefined) return false
    return cluster.members().some((member) => member.node === cluster.node && member.isVoter)
  }

  hasAlarm(node: number, kind: string): boolean {
    return (
      this.running(node)
        ?.cluster.status()
        .alarms.some((alarm) => alarm.kind === kind) === true
    )
  }

  async until(
    what: string,
    holds: () => boolean | Promise<boolean>,
    withinMs = livenessMs,
  ): Promise<void> {
    const endMs = this.world.nowMs + withinMs
    while (!(await holds())) {
      if (this.world.nowMs > endMs) throw new WorldFailure(`never: ${what}\n${this.#tell()}`)
      await this.world.sleep(lookMs)
    }
  }

  async founded(): Promise<void> {
    await this.until('somebody leads', () => this.leader() !== undefined)
  }

  /** All given nodes vote. */
  async formed(nodes: readonly number[] = this.nodes): Promise<void> {
    await this.until(`${nodes} vote`, () => nodes.every((node) => this.isVoting(node)))
  }

  /** A write is acknowledged somewhere. */
  async written(): Promise<void> {
    const before = this.world.counts.get('writes acknowledged') ?? 0
    await this.until('a write', () => {
      return (this.world.counts.get('writes acknowledged') ?? 0) > before
    })
  }

  // ---- nodes ----

  async #open(host: SimHost, options: Partial<OpenOptions>): Promise<void> {
    const { node } = host
    const contacts = (this.contactsOf.get(node) ?? this.nodes).filter((other) => other !== node)
    const pem = { authorityPem: '', certificatePem: '', privateKeyPem: '' }
    const numbered = { nodeId: nodeId(node), clusterId: numberedMesh, ...pem }
    const mesh = await createMesh(host, {
      listen: addressOf(node),
      transport:
        this.#scenario.numbered === true
          ? host.network.secured(numbered)
          : (self) => host.network.secured({ ...self, ...pem }),
      contacts: contacts.map(addressOf),
      preset: 'local',
      ownLogThread: false,
      logBytesMax: 96 * 1024,
    })
    const cluster = await mesh.open(namespace, { founders: this.#universeOf(node), ...options })
    this.#running.set(node, { host, mesh, cluster })
  }

  #universeOf(node: number): Universe {
    const { size, nodes, joiners = 0 } = this.#scenario
    return node > nodes - joiners ? { kind: 'join' } : { kind: 'size', size }
  }

  #stopped(node: number, event: string, error: unknown): void {
    if (!isFault(error, 'no-space')) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
      this.world.fail(new WorldFailure(`node ${node} stopped: ${event}: ${what}`))
      return
    }
    this.crash(node, 'kill')
    this.world.schedule(startAgainMs, 'start again', () => this.start(node))
  }

  #heal(): void {
    this.contactsOf.clear()
    this.world.network.heal()
    for (const node of this.nodes) this.start(node)
  }

  async #settle(): Promise<void> {
    if (this.#scenario.founds === 'twice') return
    await this.formed()
    for (const key of keys) {
      for (const node of this.nodes) {
        await this.until(`node ${node} reads ${key}`, () => this.#read(clientCount, key, node))
      }
    }
  }

  // ---- clients ----

  async #client(client: number): Promise<void> {
    if (this.#scenario.founds === 'twice') return
    const random = this.world.drawRandom()
    while (!this.#isOver) {
      await this.world.sleep(random.integer(120))
      const key = keys[random.integer(keys.length)] as string
      const node = 1 + random.integer(this.nodes.length)
      if (random.chance(0.4)) await this.#read(client, key, node)
      else await this.#write(client, key, node)
    }
  }

  async #read(client: number, key: string, node: number): Promise<boolean> {
    const call = this.#recorder.called(client, { kind: 'read', key })
    const read = await this.#ask(call, node, ({ mesh, cluster }) => {
      if (client % 2 === 0) return mesh.client(namespace).get(key, { timeoutMs, barrierMs: 2_000 })
      return cluster.barrier({ timeoutMs }).then(() => cluster.get(key))
    })
    if (read === undefined) return false
    const value = read.answer === undefined ? null : utf8Decode(read.answer)
    this.world.count('reads')
    this.#recorder.returned(call, { kind: 'read', value })
    return true
  }

  async #write(client: number, key: string, node: number): Promise<void> {
    const value = String(this.#nextValue++)
    const call = this.#recorder.called(client, { kind: 'write', key, value })
    const written = await this.#ask(call, node, async ({ mesh, cluster }) => {
      const bytes = utf8Encode(value)
      if (client % 2 === 0) await mesh.client(namespace).set(key, bytes, { timeoutMs })
      else await cluster.set(key, bytes, { timeoutMs })
    })
    if (written === undefined) return
    this.world.count('writes acknowledged')
    this.#recorder.returned(call, { kind: 'write' })
  }

  /** undefined: no answer, and the call has ended as refused or lost. */
  async #ask<T>(
    call: OpenCall<RegisterInput>,
    node: number,
    ask: (running: Running) => Promise<T>,
  ): Promise<{ readonly answer: T } | undefined> {
    try {
      return { answer: await this.#at(node, ask) }
    } catch (error) {
      if (!isFault(error)) throw error
      if (error.outcome === 'unknown') {
        this.world.count('outcomes unknown')
        this.#recorder.lost(call)
      } else {
        this.world.count(`refused: ${error.code}`)
        this.#recorder.refused(call)
      }
      return undefined
    }
  }

  #at<T>(node: number, ask: (running: Running) => Promise<T>): Promise<T> {
    const running = this.running(node)
    if (running === undefined) {
      return Promise.reject(new Fault('unavailable', `node ${node} is down`))
    }
    return new Promise((resolve, reject) => {
      const deadline = this.world.schedule(timeoutMs + 500, 'client gives up', () => {
        reject(new Fault('deadline', `node ${node} does not answer`, { outcome: 'unknown' }))
      })
      running.host.schedule(0, 'client', () => {
        ask(running)
          .finally(() => {
            deadline.isCancelled = true
          })
          .then(resolve, reject)
      })
    })
  }

  // ---- checks ----

  async #keepLooking(): Promise<void> {
    while (!this.#isOver) {
      this.#look()
      await this.world.sleep(lookMs)
    }
    this.#look()
  }

  #look(): void {
    for (const node of this.nodes) {
      const status = this.running(node)?.cluster.status()
      if (status === undefined) continue
      for (const { kind } of status.alarms) this.#countAlarm(node, kind)
      if (status.standing.kind !== 'member' || status.commit <= 1) continue
      this.#committed.add(status.standing.genesis.clusterId)
    }
    const most = this.#scenario.founds === 'twice' ? 2 : 1
    if (this.#committed.size > most) {
      throw new WorldFailure(`${this.#committed.size} cluster ids have committed`)
    }
  }

  #countAlarm(node: number, kind: string): void {
    const key = `${node} ${kind}`
    if (this.#alarms.has(key)) return
    this.#alarms.add(key)
    this.world.count(`alarm ${kind}`)
  }

  #check(): void {
    const verdict = check(this.#recorder.history(), registerModel)
    this.world.count('operations judged', verdict.operations)
    if (verdict.kind === 'violated') throw new WorldFailure(formatViolation(verdict, registerModel))
    if (verdict.kind === 'unknown') {
      throw new WorldFailure(`register ${verdict.partition} is too wide to judge`)
    }
  }

  #tell(): string {
    return this.nodes
      .map((node) => {
        const running = this.running(node)
        if (running === undefined) return `${node}: down`
        const { state, leader, term, commit, members, alarms } = running.cluster.status()
        const voters = members.filter((member) => member.isVoter).map((member) => member.node)
        const kinds = alarms.map(({ kind }) => kind)
        return `${node}: ${running.mesh.node} ${state} of ${leader} term ${term} commit ${commit} voters ${voters} alarms ${kinds}`
      })
      .join('\n')
  }
}

function addressOf(node: number): string {
  return `127.0.0.${node}:6660`
}

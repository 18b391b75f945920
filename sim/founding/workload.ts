// Founding under faults: real driver, real records on simulated disks, messages that are lost, doubled and
// late. Each seed plays one scenario. Checked all the time, on what the disks hold: at most one genesis is
// decided, and each of its founders has accepted it. Checked after the heal: everybody belongs to it.

import { nodeId, type Random } from '../../src/base/index.ts'
import {
  type Alarm,
  decodeRecord,
  type Founding,
  type FoundingRecord,
  type FoundingTransport,
  openFounding,
  presets,
  type Universe,
} from '../../src/founding/index.ts'
import { WorldFailure } from '../failures.ts'
import type { SimHost } from '../sim-host.ts'
import type { World } from '../world.ts'
import { type Scenario, scenarios } from './scenarios.ts'

type Running = {
  readonly host: SimHost
  readonly transport: FoundingTransport
  founding: Founding | undefined
}

export const foundingPromises: readonly string[] = [
  ...scenarios.map(({ name }) => `scenario ${name}`),
  'clusters founded',
  'joined as learner',
  'crashes',
  'crashes at a write',
  'messages lost',
  'messages doubled',
  'alarm two-clusters',
  'alarm too-many-founders',
]

const checkEveryMs = 50
const livenessMs = 300_000
const namespace = '/raft/simulated'

export async function runFoundingWorkload(world: World): Promise<void> {
  const scenario = scenarios[world.seed % scenarios.length] as Scenario
  world.count(`scenario ${scenario.name}`)
  await new FoundingWorld(world, scenario).run()
}

/** What a scenario can do and see. */
export class FoundingWorld {
  readonly world: World
  readonly random: Random
  readonly alarms: { readonly node: number; readonly alarm: Alarm }[] = []
  /** Messages from the first to the second never arrive: `1>2`. */
  readonly blocked = new Set<string>()
  /** Whom a node's discovery finds; default everybody. */
  readonly contactsOf = new Map<number, readonly number[]>()
  /** Crash whoever makes the n-th write from now, before or after it is durable. */
  crashAtWrite: { countdown: number; readonly isBefore: boolean } | undefined
  readonly #scenario: Scenario
  readonly #running = new Map<number, Running>()
  /** Incarnations whose disk is gone or which were removed. */
  readonly #retired = new Set<string>()
  readonly #lossRatio: number
  readonly #delayMs: number
  #isOver = false

  constructor(world: World, scenario: Scenario) {
    this.world = world
    this.random = world.drawRandom()
    this.#scenario = scenario
    this.#lossRatio = this.random.integer(20) / 100
    this.#delayMs = 1 + this.random.integer(80)
  }

  get nodes(): readonly number[] {
    return Array.from({ length: this.#scenario.nodes }, (_, i) => i + 1)
  }

  async run(): Promise<void> {
    const checking = this.#keepChecking()
    await this.#scenario.play(this)
    this.#heal()
    if (this.#scenario.founds !== 'never') await this.#awaitMembers()
    this.#isOver = true
    await checking
    this.#check()
  }

  /** Starts a node over what its disk holds. */
  start(node: number, universe = this.#universeOf(node), isForced = false): void {
    if (this.#running.has(node)) return
    const host = this.world.startHost(node)
    const transport: FoundingTransport = {
      send: (address, message) => this.#carry(node, Number(address), message),
      onMessage: () => {},
      contacts: () => (this.contactsOf.get(node) ?? this.nodes).map(String),
    }
    const running: Running = { host, transport, founding: undefined }
    this.#running.set(node, running)
    const { times, parameters } = presets.local
    const options = {
      namespace,
      universe,
      isForced,
      times,
      parameters,
      address: String(node),
      node: nodeId(node),
      onJoin: (request: { readonly via: readonly string[] }) => this.#admit(node, request.via),
      onAlarm: (alarm: Alarm) => {
        this.world.count(`alarm ${alarm.kind}`)
        this.alarms.push({ node, alarm })
      },
    }
    openFounding({ host: this.#watched(host), transport }, options).then(
      (founding) => {
        running.founding = founding
      },
      (error: unknown) => this.world.fail(error),
    )
  }

  crash(node: number, how: 'kill' | 'power' = this.random.chance(0.5) ? 'kill' : 'power'): void {
    if (!this.#running.delete(node)) return
    this.world.count('crashes')
    this.world.crash(node, how)
  }

  /** A new disk: the old incarnation is gone for good. */
  wipe(node: number): void {
    const record = this.record(node)
    if (record !== undefined) this.#retired.add(record.id)
    this.crash(node)
    this.world.disk(node).remove('founding')
    this.world.disk(node).syncNames('')
    this.world.disk(node).syncNames('founding')
  }

  async remove(node: number): Promise<void> {
    const founding = this.founding(node)
    if (founding === undefined) return
    this.#retired.add(founding.id())
    await founding.removed(nodeId(node))
  }

  founding(node: number): Founding | undefined {
    return this.#running.get(node)?.founding
  }

  host(node: number): SimHost | undefined {
    return this.#running.get(node)?.host
  }

  /** What the node's disk holds. */
  record(node: number): FoundingRecord | undefined {
    const disk = this.world.disk(node)
    const [path] = disk.under('founding')
    const file = path === undefined ? undefined : disk.find(path)
    if (file === undefined || file.length === 0) return undefined
    const bytes = new Uint8Array(file.length)
    file.read(0, bytes)
    return decodeRecord(bytes)
  }

  isMember(node: number): boolean {
    return this.founding(node)?.standing().kind === 'member'
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    const endMs = this.world.nowMs + livenessMs
    while (!holds()) {
      if (this.world.nowMs > endMs) throw new WorldFailure(`never: ${what}\n${this.#tell()}`)
      await this.world.sleep(checkEveryMs)
    }
  }

  #universeOf(node: number): Universe {
    const { size, joiners, listed } = this.#scenario
    if (node > this.#scenario.nodes - (joiners ?? 0)) return { kind: 'join' }
    if (listed === true) return { kind: 'list', nodes: this.nodes.slice(0, size) }
    return { kind: 'size', size }
  }

  #heal(): void {
    this.blocked.clear()
    this.contactsOf.clear()
    this.crashAtWrite = undefined
    for (const node of this.nodes) this.start(node)
  }

  async #awaitMembers(): Promise<void> {
    await this.until('all are members', () => this.nodes.every((node) => this.isMember(node)))
    this.world.count('clusters founded')
  }

  // ---- the network, the cluster's leader, and the disk ----

  #carry(from: number, to: number, message: Uint8Array): void {
    if (this.blocked.has(`${from}>${to}`)) return
    if (this.random.chance(this.#lossRatio)) {
      this.world.count('messages lost')
      return
    }
    const copies = this.random.chance(0.05) ? 2 : 1
    if (copies === 2) this.world.count('messages doubled')
    for (let copy = 0; copy < copies; copy++) {
      const delayMs = 1 + this.random.integer(this.#delayMs)
      this.world.schedule(delayMs, `founding ${from}>${to}`, () => {
        this.#running.get(to)?.transport.onMessage(message)
      })
    }
  }

  /** The leader takes a node in as a learner when it can be reached through a member. */
  #admit(node: number, via: readonly string[]): void {
    if (!via.some((address) => this.isMember(Number(address)))) return
    const running = this.#running.get(node)
    this.world.schedule(this.#delayMs, `admit ${node}`, () => {
      if (this.#running.get(node) !== running || this.isMember(node)) return
      this.world.count('joined as learner')
      running?.founding?.takenIn().catch((error: unknown) => this.world.fail(error))
    })
  }

  /** The host, with crashes at chosen writes. */
  #watched(host: SimHost): SimHost {
    const { disk, node } = host
    const watched: SimHost = Object.create(host) as SimHost
    Object.defineProperty(watched, 'disk', {
      value: {
        ...disk,
        exists: (path: string) => disk.exists(path),
        read: (path: string, bytesMax: number) => disk.read(path, bytesMax),
        replace: async (path: string, bytes: Uint8Array) => {
          const chosen = this.crashAtWrite
          if (chosen !== undefined) chosen.countdown--
          const isHere = chosen !== undefined && chosen.countdown === 0
          if (!isHere || !chosen.isBefore) await disk.replace(path, bytes)
          if (!isHere) return
          this.world.count('crashes at a write')
          this.crash(node, 'power')
          await new Promise(() => {})
        },
      },
    })
    return watched
  }

  // ---- checks ----

  async #keepChecking(): Promise<void> {
    while (!this.#isOver) {
      this.#check()
      await this.world.sleep(checkEveryMs)
    }
  }

  #check(): void {
    const records = new Map<string, FoundingRecord>()
    for (const node of this.nodes) {
      const record = this.record(node)
      if (record !== undefined) records.set(record.id, record)
    }
    const decided = new Set<string>()
    for (const { cluster, id } of records.values()) {
      if (cluster === undefined) continue
      decided.add(cluster.genesis.clusterId)
      for (const founder of cluster.genesis.founders) {
        const held = records.get(founder.id)
        if (held?.accepted?.genesis.clusterId === cluster.genesis.clusterId) continue
        if (held === undefined && this.#retired.has(founder.id)) continue
        throw new WorldFailure(
          `${id} has a cluster that its founder ${founder.id} has not accepted`,
        )
      }
    }
    const most = this.#scenario.founds === 'twice' ? 2 : this.#scenario.founds === 'never' ? 0 : 1
    if (decided.size > most) throw new WorldFailure(`${decided.size} clusters were decided`)
  }

  #tell(): string {
    return this.nodes
      .map((node) => `node ${node}: ${JSON.stringify(this.founding(node)?.standing() ?? 'down')}`)
      .join('\n')
  }
}

// One namespace on this node: founding until there is a genesis, then its replica. The Cluster that its user
// holds, and what it answers to other nodes' commands.

import { Fault, type GroupId, isFault, type NodeId, toFault } from '../base/index.ts'
import {
  type Alarm,
  type Founding,
  type FoundingOptions,
  type Genesis,
  openFounding,
  type Preset,
  type Standing,
} from '../founding/index.ts'
import type { FullKeyspace } from '../keyspace/index.ts'
import type { Foreign } from '../raft/index.ts'
import type { Rpc } from '../rpc/index.ts'
import { Admissions } from './admissions.ts'
import { Attendance } from './attendance.ts'
import { keysMax } from './client.ts'
import type { Commands, Served } from './commands.ts'
import { apiName, groupOf, transportName } from './core/names.ts'
import type { KeySet } from './core/sets.ts'
import { type Answer, command, type JoinRequest, type WireMember } from './core/wire.ts'
import type { Directory } from './directory.ts'
import type { FoundingPost } from './founding-post.ts'
import type {
  CallOptions,
  Cluster,
  ClusterState,
  ClusterStatus,
  Member,
  MeshAlarm,
  OpenOptions,
} from './mesh.ts'
import { openReplica, type Replica, type ReplicaEnds } from './replica.ts'
import { timeoutOf, within } from './timeouts.ts'

export type NamespaceEnds = ReplicaEnds & {
  readonly address: string
  readonly rpc: Rpc
  readonly directory: Directory
  readonly post: FoundingPost
  readonly commands: Commands
  readonly preset: Preset
  /** Directory of founding's records. */
  readonly foundingDirectory: string
  /**
   * Replicas live as long as the mesh: what was closed here, perhaps while it opened, is found again by the next
   * open().
   */
  readonly replicas: Map<string, Promise<Replica>>
  /** The user has closed the namespace. */
  readonly onClosed: () => Promise<void>
}

const alarmsMax = 64
/** A thousand namespaces of members greet each other rarely; who is new is greeted when it is met. */
const memberTickMs = 60_000
const waitersMax = 1_024
/** Nodes asked to take this one in, per try. */
const viaMax = 8

type Waiter = () => void

export class OpenNamespace implements Cluster, Served {
  readonly namespace: string
  readonly node: NodeId
  readonly group: GroupId
  readonly #ends: NamespaceEnds
  readonly #options: OpenOptions
  readonly #alarms: MeshAlarm[] = []
  readonly #waiters = new Set<Waiter>()
  #founding: Founding | undefined
  #replica: Replica | undefined
  #admissions: Admissions | undefined
  #attendance: Attendance | undefined
  #failure: Fault | undefined
  #stopListening: (() => void) | undefined
  #isAsking = false
  #isClosed = false

  constructor(ends: NamespaceEnds, namespace: string, options: OpenOptions) {
    this.namespace = namespace
    this.node = ends.self
    this.group = groupOf(namespace)
    this.#ends = ends
    this.#options = options
  }

  /** Begins to found or to join. Faults of openFounding. */
  async start(): Promise<void> {
    const { host, post } = this.#ends
    const transport = post.open(this.namespace)
    const founding = await openFounding({ host, transport }, this.#foundingOptions())
    if (this.#isClosed) {
      founding.close()
      throw new Fault('cancelled', 'the mesh was closed')
    }
    this.#founding = founding
    founding.genesis().then(
      (genesis) => this.#becomeMember(founding, genesis),
      (error: unknown) => {
        if (!isFault(error, 'cancelled')) host.journal.fatal('mesh.founding_failed', error)
      },
    )
  }

  // ---- the keyspace ----

  async set(key: string, value: Uint8Array, options?: CallOptions): Promise<void> {
    await this.#leading().write(key, value, timeoutOf(options))
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return this.read(key, 0)
  }

  async delete(key: string, options?: CallOptions): Promise<boolean> {
    return await this.#leading().write(key, undefined, timeoutOf(options))
  }

  async keys(prefix = ''): Promise<readonly string[]> {
    const all: string[] = []
    for (;;) {
      const page = await this.list(prefix, { after: all.at(-1) ?? '', barrierMs: 0 })
      all.push(...page.keys)
      if (!page.hasMore) return all
      if (all.length >= keysMax) throw new Fault('too-large', `more than ${keysMax} keys`)
    }
  }

  keyspace(): FullKeyspace {
    return this.#member().keyspace
  }

  // ---- the log ----

  async apply(payload: Uint8Array, options?: CallOptions): Promise<Uint8Array> {
    return await this.#leading().propose(payload, timeoutOf(options))
  }

  async barrier(options?: CallOptions): Promise<void> {
    await this.#member().barrier(timeoutOf(options))
  }

  // ---- leader and members ----

  isLeader(): boolean {
    return !this.#isClosed && this.#replica?.group.status().role === 'leader'
  }

  leader(): NodeId | undefined {
    if (this.#isClosed) return undefined
    return this.#replica?.group.status().leader
  }

  state(): ClusterState {
    if (this.#isClosed) return 'closed'
    const standing = this.#standing()
    if (standing.kind !== 'member') return standing.kind
    if (this.#attendance?.isRemoved === true) return 'removed'
    const status = this.#replica?.group.status()
    if (status === undefined || status.isLearner || status.voters.length === 0) return 'learner'
    return status.role === 'precandidate' ? 'candidate' : status.role
  }

  members(): readonly Member[] {
    const { rpc, self } = this.#ends
    return this.wireMembers().map(({ node, isVoter, isLeader, address }) => ({
      node,
      isVoter,
      isLeader,
      address: address === '' ? undefined : address,
      isReachable: node === self || rpc.isReachable(node),
    }))
  }

  async waitForLeader(timeoutMs: number): Promise<NodeId> {
    const ms = timeoutOf({ timeoutMs })
    const known = this.leader()
    if (known !== undefined) return known
    if (this.#waiters.size >= waitersMax) throw new Fault('overloaded', 'too many wait')
    let wake: Waiter = () => {}
    const led = new Promise<NodeId>((resolve, reject) => {
      wake = () => {
        const leader = this.leader()
        if (this.#failure !== undefined) reject(this.#failure)
        else if (this.#isClosed) reject(new Fault('cancelled', 'the cluster was closed'))
        else if (leader !== undefined) resolve(leader)
      }
      this.#waiters.add(wake)
      wake()
    })
    const late = (): Fault =>
      new Fault('deadline', `no leader in time: ${this.#tellStanding()}`, {
        next: 'see that the others run and that contacts lead to them; status().alarms tells more',
      })
    try {
      return await within(this.#ends.host.clock, led, { ms, late })
    } finally {
      this.#waiters.delete(wake)
    }
  }

  async addVoter(node: NodeId, options?: CallOptions): Promise<void> {
    const { clock } = this.#ends.host
    const endMs = clock.monotonicMs() + timeoutOf(options)
    await this.addLearner(node, options)
    for (;;) {
      if (await this.#promote(node, endMs - clock.monotonicMs())) return
      if (clock.monotonicMs() >= endMs) {
        throw new Fault('deadline', `node ${node} is a learner and has not caught up in time`, {
          outcome: 'unknown',
        })
      }
      await clock.sleep(this.#ends.preset.times.joinMs)
    }
  }

  async addLearner(node: NodeId, options?: CallOptions): Promise<void> {
    this.#leading()
    const join = this.admit({ node, isTakenIn: true, wantsVote: false, address: '' })
    await this.#change(join, options)
  }

  async removeServer(node: NodeId, options?: CallOptions): Promise<void> {
    this.#leading()
    await this.#change(this.#admitting().remove(node), options)
  }

  async transferLeadership(to?: NodeId): Promise<void> {
    const { group } = this.#leading()
    const { voters, match } = group.status()
    const others = voters.filter((node) => node !== this.node && this.#ends.rpc.isReachable(node))
    const best = to ?? others.toSorted((a, b) => (match.get(b) ?? 0) - (match.get(a) ?? 0))[0]
    if (best === undefined) {
      throw new Fault('precondition', 'no other voter is connected to take over')
    }
    await group.transferLeadership(best)
  }

  rejoin(): void {
    this.#attendance?.askBack()
  }

  status(): ClusterStatus {
    const status = this.#replica?.group.status()
    return {
      namespace: this.namespace,
      group: this.group,
      api: apiName(this.namespace),
      transport: transportName(this.namespace),
      state: this.state(),
      standing: this.#standing(),
      leader: status?.leader,
      term: status?.term ?? 0,
      commit: status?.commit ?? 0,
      applied: status?.applied ?? 0,
      members: this.members(),
      alarms: [...this.#alarms],
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    if (this.isLeader()) {
      await this.transferLeadership().catch((error: unknown) => {
        if (!isFault(error)) throw error
      })
    }
    this.stop()
    await this.#ends.onClosed()
  }

  /** Somebody new was met, who may belong to another cluster of this name. */
  greet(): void {
    this.#founding?.greet()
  }

  /** Without handing over: the whole mesh ends. */
  stop(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#founding?.close()
    this.#attendance?.close()
    this.#stopListening?.()
    this.#ends.post.close(this.namespace)
    this.#wake()
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  // ---- what other nodes ask ----

  wireMembers(): readonly WireMember[] {
    const status = this.#replica?.group.status()
    if (status === undefined || this.#isClosed) return []
    const { voters, learners, votersOutgoing, leader } = status
    const { directory, self, address } = this.#ends
    const all = [...new Set([...voters, ...votersOutgoing, ...learners])].sort((a, b) => a - b)
    return all.map((node) => ({
      node,
      address: node === self ? address : (directory.addressOf(node) ?? ''),
      isVoter: voters.includes(node),
      isLeader: node === leader,
    }))
  }

  admit(request: JoinRequest): Promise<boolean> {
    return this.#admitting().join(request)
  }

  propose(payload: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return this.#leading().propose(payload, timeoutMs)
  }

  async write(key: string, value: Uint8Array | undefined, timeoutMs: number): Promise<boolean> {
    return await this.#member().write(key, value, timeoutMs)
  }

  async setAll(
    sets: readonly KeySet[],
    timeoutMs: number,
  ): Promise<readonly (Fault | undefined)[]> {
    return await this.#member().setAll(sets, timeoutMs)
  }

  async read(key: string, barrierMs: number): Promise<Uint8Array | undefined> {
    return await this.#member().read(key, barrierMs)
  }

  async list(
    prefix: string,
    page: { readonly after: string; readonly barrierMs: number },
  ): Promise<{ readonly keys: readonly string[]; readonly hasMore: boolean }> {
    return await this.#member().list(prefix, page)
  }

  // ---- becoming a member ----

  #foundingOptions(): FoundingOptions {
    const { preset, address, self, foundingDirectory } = this.#ends
    const { founders, forceBootstrap, bootstrapTimeoutMs, bootstrapThreshold } = this.#options
    return {
      namespace: this.namespace,
      universe: founders,
      isForced: forceBootstrap === true,
      parameters: preset.parameters,
      times: {
        ...preset.times,
        ...(bootstrapTimeoutMs === undefined ? {} : { bootstrapMs: bootstrapTimeoutMs }),
        ...(bootstrapThreshold === undefined ? {} : { threshold: bootstrapThreshold }),
      },
      address,
      node: self,
      directory: foundingDirectory,
      memberTickMs,
      onJoin: ({ via }) => void this.#askIn(via),
      onAlarm: ({ kind, what, next }: Alarm) => this.#raise({ kind, what, next }),
    }
  }

  async #becomeMember(founding: Founding, genesis: Genesis): Promise<void> {
    const { host, self, rpc, preset } = this.#ends
    try {
      const isFounder = genesis.founders.some(({ id }) => id === founding.id())
      const replica = await this.#openReplica(genesis, isFounder)
      if (this.#isClosed) return
      const { group } = replica
      const isReachable = (node: NodeId): boolean => rpc.isReachable(node)
      this.#replica = replica
      this.#admissions = new Admissions({ self, group, isReachable })
      this.#attendance = new Attendance({
        host,
        self,
        group,
        onLeadership: (listen) => replica.onLeadership(listen),
        wantsVote: this.#options.wantsVote !== false,
        lookMs: preset.times.joinMs,
        join: () => this.#join(this.#others(), true),
        members: () => this.#askMembers(),
        onRemoved: () => this.#raise(removedAlarm(this.namespace)),
      })
      const ends = [
        replica.onLeadership(() => this.#wake()),
        replica.onForeign((foreign) => this.#raiseForeign(foreign)),
      ]
      this.#stopListening = () => {
        for (const end of ends) end()
      }
      this.#wake()
    } catch (error) {
      if (this.#isClosed && isFault(error)) return
      const fault = toFault(error)
      if (!isFault(error)) host.journal.fatal('mesh.namespace_failed', error)
      this.#failure = fault
      this.#raise({ kind: `refused-${fault.code}`, what: fault.message, next: fault.next ?? '' })
      this.#wake()
    }
  }

  async #openReplica(genesis: Genesis, isFounder: boolean): Promise<Replica> {
    const { replicas } = this.#ends
    const kept = replicas.get(this.namespace)
    if (kept !== undefined) return await kept
    const opening = openReplica(this.#ends, {
      namespace: this.namespace,
      group: this.group,
      genesis,
      isFounder,
      open: this.#options,
    })
    replicas.set(this.namespace, opening)
    opening.catch(() => replicas.delete(this.namespace))
    return await opening
  }

  /** One try to be taken in as a learner; founding asks again. */
  async #askIn(via: readonly string[]): Promise<void> {
    if (this.#isAsking || this.#isClosed) return
    this.#isAsking = true
    const { host, directory } = this.#ends
    try {
      const nodes = via.map((address) => directory.find(address))
      await this.#join(
        nodes.filter((node) => node !== undefined),
        false,
      )
      await this.#founding?.takenIn()
    } catch (error) {
      if (!isFault(error)) return host.journal.fatal('mesh.join_failed', error)
      if (error.code === 'denied') {
        this.#raise({ kind: 'refused', what: error.message, next: error.next ?? '' })
      } else host.journal.event('debug', 'mesh.join_refused', { why: error.message })
    } finally {
      this.#isAsking = false
    }
  }

  /** Asks one after the other until one has an answer of the leader's. */
  async #join(nodes: readonly NodeId[], isTakenIn: boolean): Promise<boolean> {
    const { self, address } = this.#ends
    const wantsVote = this.#options.wantsVote !== false
    const join = { node: self, isTakenIn, wantsVote, address }
    const ask = { command: command.join, join }
    let last = new Fault('unavailable', `no member of ${this.namespace} is connected`)
    for (const node of nodes.slice(0, viaMax)) {
      try {
        return (await this.#ask(node, ask)).isVoter
      } catch (error) {
        last = toFault(error)
        if (last.code === 'denied') break
      }
    }
    throw last
  }

  async #askMembers(): Promise<Answer['members'] | undefined> {
    for (const node of this.#others().slice(0, viaMax)) {
      try {
        const { members, isLeaders } = await this.#ask(node, { command: command.members })
        if (isLeaders) return members
      } catch (error) {
        if (!isFault(error)) throw error
      }
    }
    return undefined
  }

  #ask(
    node: NodeId,
    request: Omit<Parameters<Commands['ask']>[1], 'api' | 'timeoutMs'>,
  ): Promise<Answer> {
    const timeoutMs = 4 * this.#ends.preset.parameters.electionMs
    return this.#ends.commands.ask(node, { ...request, api: apiName(this.namespace), timeoutMs })
  }

  /** Connected nodes, the leader first, then members, then others that may know. */
  #others(): readonly NodeId[] {
    const { directory, rpc, self } = this.#ends
    const leader = this.leader()
    const all = [
      ...(leader === undefined ? [] : [leader]),
      ...this.wireMembers().map(({ node }) => node),
      ...directory.known().map(({ node }) => node),
    ]
    return [...new Set(all)].filter((node) => node !== self && rpc.isReachable(node))
  }

  /** The node is asked first: one that has lost everything does not host the namespace. */
  async #promote(node: NodeId, leftMs: number): Promise<boolean> {
    const { voters } = this.#leading().group.status()
    if (voters.includes(node)) return true
    try {
      const { members } = await this.#ask(node, { command: command.members, isForwarded: true })
      if (members.length === 0) return false
    } catch (error) {
      if (!isFault(error) || leftMs <= 0) throw error
      return false
    }
    return this.admit({ node, isTakenIn: true, wantsVote: true, address: '' })
  }

  async #change<T>(change: Promise<T>, options: CallOptions | undefined): Promise<T> {
    const late = (): Fault =>
      new Fault('deadline', 'the change of members is on its way', { outcome: 'unknown' })
    return await within(this.#ends.host.clock, change, { ms: timeoutOf(options), late })
  }

  // ---- telling ----

  #leading(): Replica {
    const replica = this.#member()
    replica.mustLead()
    return replica
  }

  #admitting(): Admissions {
    this.#member()
    if (this.#admissions === undefined) throw new Fault('unavailable', this.#tellStanding())
    return this.#admissions
  }

  #member(): Replica {
    if (this.#isClosed) throw new Fault('cancelled', `${this.namespace} was closed`)
    if (this.#failure !== undefined) throw this.#failure
    if (this.#replica === undefined) throw new Fault('unavailable', this.#tellStanding())
    return this.#replica
  }

  #standing(): Standing {
    return this.#founding?.standing() ?? { kind: 'searching', seen: 1, expected: 0 }
  }

  #tellStanding(): string {
    const standing = this.#standing()
    const name = this.namespace
    switch (standing.kind) {
      case 'searching':
        return `${name} has no cluster yet: ${standing.seen} of ${standing.expected} founders were seen`
      case 'founding':
        return `${name} is being founded, ${standing.missing.length} founders have yet to agree`
      case 'waiting':
        return `${name} waits to hear more of cluster ${standing.cluster}`
      case 'joining':
        return `${name} asks to join cluster ${standing.genesis.clusterId}`
      case 'member':
        return `${name} has no leader`
    }
  }

  #raiseForeign({ from, relation }: Foreign): void {
    this.#raise({
      kind: relation,
      what: `node ${from} speaks for another cluster, or another generation of it, in ${this.namespace}; its messages are refused`,
      next:
        relation === 'superseded'
          ? 'the data here was given up by a recovery: delete this data directory, so that the node joins anew'
          : 'choose the one to keep, export what is needed from the other, delete the data directories of its nodes and start them again: they join. Logs are never merged',
    })
  }

  #raise(alarm: MeshAlarm): void {
    if (this.#alarms.some(({ kind, what }) => kind === alarm.kind && what === alarm.what)) return
    if (this.#alarms.length >= alarmsMax) this.#alarms.shift()
    this.#alarms.push(alarm)
    this.#ends.host.journal.event('error', 'mesh.alarm_raised', {
      namespace: this.namespace,
      ...alarm,
    })
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake()
  }
}

function removedAlarm(namespace: string): MeshAlarm {
  return {
    kind: 'removed',
    what: `this node was removed from ${namespace}; the cluster goes on without it`,
    next: 'call rejoin() or open it again to ask back, or delete its data',
  }
}

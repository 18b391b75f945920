// One group on this node: carries effects of its core to the log, the peers and the state machine, and
// answers of those back into the core. Decisions are the core's; this file moves values.
// Order within a turn (driver.ts): proposals in, Ready out, log batch given, messages sent, committed
// entries applied in the turn's one transaction (applier.ts), answers given after it has committed.
import { Fault, type LogIndex, type NodeId, toFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Store } from '../storage/index.ts'
import type { AppendQueue } from './append-queue.ts'
import { Applier } from './applier.ts'
import {
  type ConfChange,
  type ConfState,
  createRawNode,
  type Message,
  type RawNode,
  type Ready,
  type RestingGroup,
  type SnapshotMetadata,
} from './core/index.ts'
import { EntryCache } from './entry-cache.ts'
import { type Fence, type FenceRelation, fenceNumber, supersededFault } from './fence.ts'
import type {
  Foreign,
  Group,
  GroupOptions,
  GroupStatus,
  MembershipChange,
  SnapshotSink,
} from './group.ts'
import { GroupRest } from './group-rest.ts'
import { heardMsOf, statusOf } from './group-status.ts'
import { Installation } from './installation.ts'
import { LeaseReads } from './lease-reads.ts'
import { Leadership } from './leadership.ts'
import { memberFields, MembershipChanges } from './membership.ts'
import { planPromotion } from './promotion.ts'
import { leaderIs, overloaded, Proposals } from './proposals.ts'
import { Reads } from './reads.ts'
import type { Resting } from './resting.ts'
import { appendOf, type GroupStart } from './recovery.ts'
import { coreConfigOf, electionRandom, priorityDefault, type RaftSettings } from './settings.ts'
import { notVoter, Transfer } from './transfer.ts'

/** What a group needs of the driver. */
export type GroupEnds = {
  readonly host: Host
  readonly store: Store
  readonly queue: AppendQueue
  readonly settings: RaftSettings
  readonly counts: RaftCounts
  readonly resting: Resting
  /** Ticks are needed again. */
  readonly onAwake: () => void
  /** A turn is needed for this group. */
  readonly wake: (group: GroupDriver) => void
  readonly send: (group: GroupDriver, message: Message) => void
  readonly onFatal: (fault: Fault) => void
  readonly onForeign: (foreign: Foreign) => void
}
export type RaftCounts = {
  elections: number
  snapshotsSent: number
  snapshotsInstalled: number
  membershipChanges: number
  leaseReads: number
}

export class GroupDriver implements Group {
  readonly options: GroupOptions
  readonly cache: EntryCache
  readonly #ends: GroupEnds
  readonly #node: RawNode
  readonly #proposals: Proposals
  readonly #membership: MembershipChanges
  readonly #reads: Reads
  readonly #transfer = new Transfer()
  readonly #installation: Installation
  readonly #applier: Applier
  readonly #rest: GroupRest
  readonly #leadership = new Leadership()
  readonly #lease: LeaseReads
  readonly #heard = new Map<number, number>()
  /** Entries after these are needed by members that receive a snapshot. */
  readonly #cutHolds = new Map<number, number>()
  #fence: Fence
  #fenceNumber: number
  #isSuperseded = false
  #tick = 0
  #graceEndsTick = 0
  #closed: Fault | undefined
  readonly #appliedListeners: ((index: LogIndex) => void)[] = []

  constructor(options: GroupOptions, start: GroupStart, ends: GroupEnds) {
    const { settings, host } = ends
    this.options = options
    this.#ends = ends
    const { applied: index, term, confState } = start.row
    this.#fence = start.row.fence
    this.#fenceNumber = fenceNumber(options.group, this.#fence)
    this.#applier = new Applier(
      {
        options,
        store: ends.store,
        node: () => this.#node,
        fence: () => this.#fence,
        onAnswer: (entry, answer) => this.#proposals.applied(entry, answer),
        onMembers: (change, state) => this.#membersChanged(change, state),
      },
      { applied: { index, term, confState }, voidedTo: start.row.voidedTo },
    )
    this.cache = new EntryCache({
      hardState: start.hardState,
      cut: start.cut,
      entries: start.entries,
      appliedState: () => this.#applier.applied,
    })
    this.#node = createRawNode({
      ...coreConfigOf(settings),
      storage: this.cache,
      applied: index,
      random: electionRandom(host, options.electionPriority ?? priorityDefault),
    })
    this.#rest = new GroupRest({
      group: options.group,
      self: settings.self,
      fence: () => this.#fenceNumber,
      node: this.#node,
      resting: ends.resting,
      idleTicksMax: settings.restTicks,
      silentTicksMax: settings.electionTicks,
      onAwake: () => {
        ends.onAwake()
        ends.wake(this)
      },
      onHeard: (peer, ms) => this.#noteHeard(peer, ms),
    })
    this.#lease = new LeaseReads({
      host,
      bounds: settings.readLease,
      node: () => this.#node,
      applied: () => this.appliedState,
      isLeader: () => this.#leadership.isSelf,
      isChanging: () => this.#membership.isRunning,
    })
    this.#proposals = new Proposals(settings.uncommittedBytesMax)
    this.#membership = new MembershipChanges(settings.self, drawNumber(host))
    this.#reads = new Reads({
      self: settings.self,
      firstRound: drawNumber(host),
      retryTicks: settings.readRetryTicks,
      timeoutTicks: settings.readTimeoutTicks,
      roundsMax: 4,
      waitersMax: 65_536,
      askedNow: () => this.#lease.askedNow(),
      onConfirmed: (asked) => this.#lease.confirm(asked),
    })
    this.#installation = new Installation(this, ends)
  }

  get group(): GroupOptions['group'] {
    return this.options.group
  }

  get appliedState(): SnapshotMetadata {
    return this.#applier.applied
  }

  /** Needs no ticks. */
  get isResting(): boolean {
    return this.#isSuperseded || this.#rest.isResting
  }

  get fence(): Fence {
    return this.#fence
  }

  /** What its messages carry (fence.ts). */
  get fenceNumber(): number {
    return this.#fenceNumber
  }

  /** Nothing was ever applied or installed here. */
  get isBlank(): boolean {
    return this.appliedState.index === 0
  }

  /** Its data was given up by a recovery: it does nothing any more. */
  get isSuperseded(): boolean {
    return this.#isSuperseded
  }

  get isInstalling(): boolean {
    return this.#installation.isBusy
  }

  get hasWork(): boolean {
    if (this.#installation.isFrozen || this.#isSuperseded) return false
    return (
      this.#applier.hasWork ||
      this.#node.hasReady() ||
      this.#proposals.hasWaiting ||
      this.#membership.hasWaiting ||
      this.#reads.hasArrived
    )
  }

  propose(payload: Uint8Array): Promise<Uint8Array> {
    if (payload.length === 0) return reject(new Fault('invalid', 'an entry is not empty'))
    if (payload.length > this.#ends.settings.proposalBytesMax) {
      return reject(new Fault('too-large', `an entry of ${payload.length} bytes`))
    }
    const refused = this.#refusal()
    if (refused !== undefined) return reject(refused)
    this.#rest.stir()
    const answer = this.#proposals.add(payload)
    this.#ends.wake(this)
    return answer
  }

  readBarrier(signal?: AbortSignal): Promise<void> {
    if (this.#closed !== undefined) return reject(this.#closed)
    this.#rest.stir()
    const confirmed = this.#reads.add(this.#tick, signal)
    this.#ends.wake(this)
    return confirmed
  }

  changeMembers(change: MembershipChange): Promise<void> {
    const refused = this.#refusal()
    if (refused !== undefined) return reject(refused)
    this.#rest.stir()
    const applied = this.#membership.add(change)
    this.#ends.wake(this)
    return applied
  }

  transferLeadership(to: NodeId): Promise<void> {
    const refused = this.#refusal()
    if (refused !== undefined) return reject(refused)
    if (to === this.#ends.settings.self) return Promise.resolve()
    if (!this.appliedState.confState.voters.includes(to)) {
      return reject(notVoter(to))
    }
    this.#rest.stir()
    this.#lease.bar()
    this.#node.transferLeader(to)
    this.#ends.wake(this)
    return this.#transfer.begin(to, this.#tick + 2 * this.#ends.settings.electionTicks)
  }

  status(): GroupStatus {
    const nowMs = this.#ends.host.clock.monotonicMs()
    return statusOf(this.#node.status(), {
      group: this.options.group,
      name: this.options.name,
      applied: this.appliedState,
      softState: this.#leadership.soft,
      firstIndex: this.cache.firstIndex(),
      lastIndex: this.cache.lastIndex(),
      heardMs: (core) => heardMsOf(core, (id) => this.#heardMs(id), nowMs),
      fence: this.#fence,
    })
  }

  onLeadership(changed: (leader: NodeId | undefined, isSelf: boolean) => void): void {
    this.#leadership.onChange(changed)
  }

  onApplied(applied: (index: LogIndex) => void): void {
    this.#appliedListeners.push(applied)
  }

  // ---- for the driver ----

  tick(): void {
    this.#tick++
    this.#node.tick()
    this.#reads.tick(this.#tick, (context) => this.#node.readIndex(context))
    this.#transfer.tick(this.#tick)
    if (this.#graceEndsTick === this.#tick) {
      const { term } = this.#node.status().hardState
      this.#proposals.abandonBefore(this.#leadership.isSelf ? term : Number.MAX_SAFE_INTEGER)
      this.#membership.abandon()
    }
    if (this.#tick % promotionTicks === 0) this.#promote()
    this.#rest.tick(this.#leadership.isSelf, () => this.#isFree)
  }

  #promote(): void {
    const { votersWanted } = this.options
    const { confState } = this.appliedState
    if (votersWanted === undefined || !this.#leadership.isSelf) return
    if (confState.learners.length === 0 || this.#membership.isRunning) return
    const { hardState, progress } = this.#node.status()
    const ready = planPromotion(confState, { commit: hardState.commit, progress }, votersWanted)
    // What is refused now is tried again with the next look.
    if (ready !== undefined) this.changeMembers({ addVoters: [ready] }).catch(() => {})
  }

  /** Ends the rest, if it rests. */
  rouse(): void {
    this.#rest.rouse()
  }

  /** Under this leader, whose node vouches for it from now on. False when it cannot. */
  restUnder(leader: NodeId, at: RestingGroup): boolean {
    return this.#isFree && this.#rest.restUnder(leader, at)
  }

  rouseFor(peer: NodeId): void {
    this.#rest.rouseFor(peer)
  }

  /**
   * A peer can be reached. Who should lead does not wait for its timeout then, when nobody leads: a
   * start would be half a second longer. The pre-vote asks first, so a leader we do not know yet stays.
   */
  standEarly(): void {
    const isPreferred = (this.options.electionPriority ?? priorityDefault) > priorityDefault
    if (!isPreferred || this.#leadership.soft.leader !== 0) return
    if (this.#leadership.soft.role !== 'follower' || this.#installation.isFrozen) return
    this.#node.campaign()
    this.#ends.wake(this)
  }

  /** A message of a peer; `nowMs` is when it arrived. */
  step(message: Message, nowMs: number): void {
    if (this.#isSuperseded) return
    this.#heard.set(message.from, nowMs)
    if (!this.#rest.receives(message)) return
    // While the disk is full nothing more may pile up in memory; the leader sends it again.
    if (this.#ends.queue.isStalled && message.entries.length > 0 && message.type === 'append')
      return
    this.#node.step(message)
  }

  stepLocal(messages: readonly Message[]): void {
    const { self } = this.#ends.settings
    for (const message of messages) {
      if (message.to === self) this.#node.step(message)
      else this.#ends.send(this, message)
    }
  }

  reportUnreachable(peer: NodeId): void {
    this.#node.reportUnreachable(peer)
  }

  reportSnapshot(peer: NodeId, isSuccess: boolean): void {
    this.#node.reportSnapshot(peer, isSuccess)
    this.#ends.wake(this)
  }

  /** While a member receives the state as of `index` the log should reach back to it; undefined: it ended. */
  holdCutAt(peer: number, index: number | undefined): void {
    if (index === undefined) this.#cutHolds.delete(peer)
    else this.#cutHolds.set(peer, index)
  }

  /** The highest index at which the log may be cut without hurting a member that receives a snapshot. */
  get cutLimit(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#cutHolds.values())
  }

  /** Staged chunks of a snapshot meet its message. True once installed, false when not needed. */
  installSnapshot(message: Message, sink: SnapshotSink): Promise<boolean> {
    this.#rest.stir()
    const installed = this.#installation.stage(message, sink)
    this.#heard.set(message.from, this.#ends.host.clock.monotonicMs())
    this.#node.step(message)
    this.#ends.wake(this)
    return installed
  }

  /** Gives the core what waits and takes its effects. */
  run(): void {
    if (this.#installation.isFrozen || this.#isSuperseded) return
    const { settings } = this.#ends
    this.#proposals.give((payloads) => this.#node.proposeMany(payloads), {
      bytesMax: settings.appendBytesMax,
      refusal: () => this.#refusal() ?? overloaded(),
    })
    const hasChange = this.#membership.hasWaiting
    this.#membership.give((change) => this.#node.proposeConfChange(change), this.#leadership.leader)
    this.#askReads()
    if (!this.#node.hasReady()) return
    const ready = this.#node.ready()
    this.#proposals.appended(ready.entries)
    this.#membership.appended(ready.entries, hasChange)
    this.#noteLeader(ready)
    this.#reads.confirmed(ready.readStates, this.appliedState.index)
    for (const message of ready.messages) {
      if (message.type === 'storage-append') this.#queueAppend(ready, message)
      else if (message.type === 'storage-apply') {
        this.#applier.add(message.entries, message.responses)
      } else this.#ends.send(this, message)
    }
    if (ready.snapshot === undefined) this.#installation.dismiss()
  }

  /** Committed entries wait to be applied. */
  get hasApplies(): boolean {
    return this.#applier.hasWork && !this.#isSuperseded
  }

  /** The state machine is within an entry, so no snapshot can be taken now. Throws once it is closed. */
  isWithinEntry(): boolean {
    if (this.#closed !== undefined && this.#applier.isWithin) throw this.#closed
    return this.#applier.isWithin
  }

  /** Inside the turn's transaction. Answers wait for settle(). */
  apply(): void {
    this.#applier.apply()
  }

  /** The transaction has committed: answers proposers and readers, and tells the core. */
  settle(): void {
    this.stepLocal(this.#applier.settle())
    this.announceApplied()
  }

  announceApplied(): void {
    this.#reads.appliedTo(this.appliedState.index)
    for (const listen of this.#appliedListeners) listen(this.appliedState.index as LogIndex)
  }

  /** Inside the transaction that finishes an installation. */
  adoptSnapshot(metadata: SnapshotMetadata): void {
    this.#applier.adopt(metadata)
  }

  snapshotAdopted(): void {
    this.#proposals.skippedTo(this.appliedState.index)
    this.#membership.abandon()
    this.settle()
  }

  /** The disk is full: what was appended here is not durable, so this node must not lead. */
  yieldLeadership(fault: Fault): void {
    this.#proposals.rejectAll(fault, new Fault('no-space', fault.message, { outcome: 'unknown' }))
    this.handOver()
  }

  /** A leader that cannot write gives leadership to the most advanced voter that was heard lately. */
  handOver(): void {
    if (!this.#leadership.isSelf) return
    this.#rest.stir()
    const { self } = this.#ends.settings
    const { progress } = this.#node.status()
    const candidates = this.appliedState.confState.voters
      .filter((id) => id !== self && progress.get(id)?.isRecentActive === true)
      .sort((a, b) => (progress.get(b)?.match ?? 0) - (progress.get(a)?.match ?? 0) || a - b)
    const target = candidates[0]
    this.#lease.bar()
    if (target !== undefined) this.#node.transferLeader(target)
    this.#ends.wake(this)
  }

  /** Leads no longer, whether or not there is an heir. */
  stepDown(): void {
    if (!this.#leadership.isSelf) return
    this.#rest.stir()
    this.#node.stepDown()
    this.#ends.wake(this)
  }

  /** Only rounds that are asked from now on give a lease. */
  endLease(): void {
    this.#lease.end()
  }

  adoptGeneration(generation: number): void {
    this.#fence = { ...this.#fence, generation }
    this.#fenceNumber = fenceNumber(this.group, this.#fence)
  }

  /** Recorded in the store, so that it is refused at the next open as well; settles when durable. */
  async supersede(generation: number): Promise<void> {
    if (this.#isSuperseded) return
    this.#rest.rouse()
    this.#isSuperseded = true
    this.close(supersededFault(this.options.name, generation))
    const { store, onFatal } = this.#ends
    store.transaction(() => this.#applier.supersede(generation))
    await store.checkpoint().catch((error: unknown) => onFatal(toFault(error)))
  }

  alarm(from: NodeId, theirs: Fence, relation: FenceRelation): void {
    const { group, options } = this
    const foreign = { group, from, theirs, ours: this.#fence, relation }
    options.onForeign?.(foreign)
    this.#ends.onForeign(foreign)
  }

  close(fault: Fault): void {
    this.#closed = fault
    this.#proposals.rejectAll(
      fault,
      new Fault('unavailable', fault.message, { outcome: 'unknown' }),
    )
    this.#membership.rejectAll(fault)
    this.#reads.rejectAll(fault)
    this.#transfer.reject(fault)
  }

  /** Nothing here waits for ticks. */
  get #isFree(): boolean {
    if (this.#closed !== undefined || this.#ends.queue.isStalled) return false
    if (this.#reads.isWaiting || this.#transfer.isRunning) return false
    if (this.#proposals.hasWaiting || this.#installation.isBusy) return false
    return this.#graceEndsTick <= this.#tick && !this.#applier.isBehind
  }

  #askReads(): void {
    const index = this.#reads.hasArrived ? this.#lease.index() : undefined
    if (index !== undefined) {
      this.#ends.counts.leaseReads++
      this.#reads.answerArrived(index, this.appliedState.index)
    } else this.#reads.ask(this.#tick, (context) => this.#node.readIndex(context))
  }

  #heardMs(peer: number): number {
    return Math.max(this.#heard.get(peer) ?? 0, this.#rest.heardMs(peer))
  }

  #noteHeard(peer: number, ms: number): void {
    if (ms > (this.#heard.get(peer) ?? 0)) this.#heard.set(peer, ms)
  }

  #refusal(): Fault | undefined {
    if (this.#closed !== undefined) return this.#closed
    if (this.#ends.queue.isStalled) {
      return new Fault('no-space', 'the disk of the log is full', { next: 'free disk space' })
    }
    if (this.#leadership.isSelf && this.#transfer.isRunning) {
      return new Fault('unavailable', 'leadership is being transferred', { next: 'try again' })
    }
    if (this.#leadership.isSelf) return undefined
    return new Fault(
      'not-leader',
      'this node does not lead the group',
      leaderIs(this.#leadership.leader),
    )
  }

  #noteLeader({ softState }: Ready): void {
    const change = softState === undefined ? undefined : this.#leadership.note(softState)
    if (change === undefined) return
    this.endLease()
    if (change === 'lost') this.#graceEndsTick = this.#tick + this.#ends.settings.graceTicks
    if (change === 'won') {
      this.#ends.counts.elections++
      const { term } = this.#node.status().hardState
      const fields = { group: this.options.group, term }
      this.#ends.host.journal.event('notice', 'raft.leader_elected', fields)
      if (this.#ends.queue.isStalled) this.yieldLeadership(new Fault('no-space', 'disk full'))
    }
    this.#transfer.leaderIs(this.#leadership.leader)
    this.#leadership.announce()
  }

  #membersChanged(change: ConfChange, confState: ConfState): void {
    this.#ends.counts.membershipChanges++
    this.endLease()
    if (this.#leadership.isSelf) {
      const fields = { group: this.options.group, ...memberFields(confState) }
      this.#ends.host.journal.event('notice', 'raft.members_changed', fields)
    }
    this.#membership.applied(change, confState)
  }

  #queueAppend(ready: Ready, work: Message): void {
    if (ready.snapshot !== undefined) {
      this.#installation.begin(ready.snapshot.metadata, { hardState: ready.hardState, work })
      return
    }
    const { entries, responses } = work
    this.#ends.queue.push({
      append: appendOf(this.options.group, ready.hardState, entries),
      isUrgent: ready.mustSync,
      onDurable: () => {
        this.cache.append(entries)
        this.stepLocal(responses)
        this.#ends.wake(this)
      },
    })
  }
}

/** Not in step with the check of the quorum, which forgets every election timeout who was heard. */
const promotionTicks = 3

function drawNumber(host: Host): number {
  return host.random.integer(0x1_0000_0000) * 0x1_0000
}

function reject(fault: Fault): Promise<never> {
  return Promise.reject(fault)
}

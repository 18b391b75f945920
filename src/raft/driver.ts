// All groups of one node on one loop. A turn collects what every group wants and does it once:
// one batch for the log, one frame per peer, one transaction for the store. So the cost of a sync, a
// message and a commit is shared by everything that is in flight, whatever the number of groups.
//
// A turn runs when proposals or messages arrived (at the end of the loop's turn, so that they gather),
// when the log has made a batch durable, and on every tick. Messages leave before the log's batch is
// durable; what claims durability travels as responses of the batch (core/types.ts).

import { Fault, type GroupId, isFault, type NodeId, toFault } from '../base/index.ts'
import type { Disk, Host } from '../host/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import type { Log, Store } from '../storage/index.ts'
import { AppendQueue } from './append-queue.ts'
import { Checkpoints } from './checkpoints.ts'
import type { Message } from './core/index.ts'
import { DiskWatch } from './disk-watch.ts'
import { isNotice } from './fence.ts'
import { Fences } from './fences.ts'
import type { Foreign, Group, GroupOptions, Raft, RaftOptions, RaftStatistics } from './group.ts'
import { GroupDriver, type GroupEnds, type RaftCounts } from './group-driver.ts'
import { decodeFrame, type GroupMessage, isFramed } from './messages.ts'
import { prepareStart } from './opening.ts'
import { Outbox } from './outbox.ts'
import { Resting } from './resting.ts'
import { type RaftSettings, settingsOf } from './settings.ts'
import { SnapshotShelf } from './snapshot-shelf.ts'
import { Snapshots } from './snapshots.ts'
import { Ticker } from './ticker.ts'

export type RaftDependencies = {
  readonly host: Host
  readonly log: Log
  /** Opened with the table that `raftTable` names. */
  readonly store: Store
  readonly rpc: Rpc
  /** The node can no longer trust its disk or its state: it must stop. */
  readonly onFatal: (fault: Fault) => void
  /** Where snapshot files are. Default: the host's own disk. */
  readonly snapshotDisk?: Disk
  /** For every group, besides the owner's own (GroupOptions.onForeign). */
  readonly onForeign?: (foreign: Foreign) => void
}

/** Starts ticking; registers its methods with rpc. Groups are opened by their owners. */
export function createRaft(dependencies: RaftDependencies, options: RaftOptions): Raft {
  return new RaftDriver(dependencies, settingsOf(options))
}

/** While all groups rest the driver looks at its log at least so often. */
const napTicksMax = 20

class RaftDriver implements Raft {
  readonly onFatal: (fault: Fault) => void
  readonly #dependencies: RaftDependencies
  readonly #settings: RaftSettings
  readonly #queue: AppendQueue
  readonly #snapshots: Snapshots
  readonly #shelf: SnapshotShelf
  readonly #disk: Disk
  readonly #checkpoints: Checkpoints
  readonly #fences: Fences
  readonly #resting: Resting
  readonly #ticker: Ticker
  readonly #groups = new Map<GroupId, GroupDriver>()
  #ordered: readonly GroupDriver[] = []
  readonly #awake = new Set<GroupDriver>()
  readonly #outbox: Outbox
  readonly #counts: RaftCounts = {
    elections: 0,
    snapshotsSent: 0,
    snapshotsInstalled: 0,
    membershipChanges: 0,
    leaseReads: 0,
  }
  readonly #diskWatch: DiskWatch
  #isTurnDue = false
  #isInTurn = false
  #isStopped = false

  constructor(dependencies: RaftDependencies, settings: RaftSettings) {
    const { host, log, rpc } = dependencies
    this.#dependencies = dependencies
    this.#settings = settings
    this.onFatal = (fault) => this.#fail(fault)
    this.#diskWatch = new DiskWatch({
      ...settings,
      journal: host.journal,
      writing: () => this.#queue.writing,
      groups: () => this.#ordered,
    })
    this.#queue = new AppendQueue(log, {
      onBatch: () => this.#turn(),
      onStalled: (fault) => this.#stalled(fault),
      onResumed: () => host.journal.event('notice', 'raft.log_resumed'),
      onFatal: this.onFatal,
    })
    this.#checkpoints = new Checkpoints({
      ...dependencies,
      settings,
      queue: this.#queue,
      groups: () => this.#ordered,
      onFatal: this.onFatal,
    })
    this.#outbox = new Outbox({
      rpc,
      frameBytesMax: settings.frameBytesMax,
      onUnreachable: (id, peer) => this.#groups.get(id)?.reportUnreachable(peer),
    })
    this.#fences = new Fences({ host, rpc, group: (id) => this.#groups.get(id) })
    this.#disk = dependencies.snapshotDisk ?? host.disk
    this.#shelf = new SnapshotShelf({
      host,
      disk: this.#disk,
      settings,
      groups: () => this.#ordered,
    })
    this.#snapshots = new Snapshots({
      fences: this.#fences,
      shelf: this.#shelf,
      disk: this.#disk,
      host,
      rpc,
      self: settings.self,
      counts: this.#counts,
      group: (id) => this.#groups.get(id),
    })
    rpc.onMessage(controlMethod.raftMessages, (from, frame) => this.#receive(from, frame))
    this.#resting = new Resting({
      ...dependencies,
      settings,
      group: (id) => this.#groups.get(id),
      tick: () => this.#ticker.now,
    })
    rpc.onReachability((peer, isReachable) => {
      if (!isReachable || this.#isStopped) return
      for (const group of this.#ordered) {
        group.standEarly()
        group.rouseFor(peer)
      }
    })
    this.#ticker = new Ticker(host.clock, settings.tickMs, () => this.#tick())
  }

  async open(options: GroupOptions): Promise<Group> {
    const { path } = this.#settings.snapshots
    const snapshots = { disk: this.#disk, path }
    const ends = { ...this.#dependencies, queue: this.#queue, self: this.#settings.self, snapshots }
    const start = await prepareStart(ends, options)
    await this.#shelf.open(options.group)
    const group = new GroupDriver(options, start, this.#groupEnds())
    this.#groups.set(options.group, group)
    this.#ordered = [...this.#groups.values()].sort((a, b) => a.group - b.group)
    const { intake } = options.stateMachine
    if (intake !== undefined) intake.onRoom = () => this.#wake(group)
    this.#wake(group)
    return group
  }

  group(id: GroupId): Group | undefined {
    return this.#groups.get(id)
  }

  groups(): readonly Group[] {
    return this.#ordered
  }

  statistics(): RaftStatistics {
    const foreignRefused = this.#fences.refused
    return { ...this.#counts, foreignRefused, tickLatenessMs: this.#ticker.latenessMs }
  }

  async close(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#ticker.cancel()
    this.#resting.close()
    for (const group of this.#ordered) group.close(closedFault())
    if (!this.#queue.isStalled) await this.#queue.drained()
    await this.#checkpoints.run()
    if (!this.#queue.isStalled) await this.#queue.drained()
    this.#queue.close()
  }

  #groupEnds(): GroupEnds {
    const { host, store } = this.#dependencies
    return {
      host,
      store,
      queue: this.#queue,
      settings: this.#settings,
      counts: this.#counts,
      resting: this.#resting,
      onAwake: () => this.#ticker.hurry(),
      onForeign: (foreign) => this.#dependencies.onForeign?.(foreign),
      wake: (group) => this.#wake(group),
      send: (group, message) => this.#post(group, message),
      onFatal: this.onFatal,
    }
  }

  #wake(group: GroupDriver): void {
    this.#awake.add(group)
    if (this.#isTurnDue || this.#isInTurn || this.#isStopped) return
    this.#isTurnDue = true
    this.#dependencies.host.clock.soon(() => {
      this.#isTurnDue = false
      this.#turn()
    })
  }

  /** Answers how many ticks may pass until the next: many while all groups rest. */
  #tick(): number {
    this.#queue.retry()
    this.#diskWatch.tick()
    this.#resting.tick()
    // Whoever was late may have slept through an election.
    if (this.#settings.readLease !== undefined && this.#ticker.lateMs > this.#settings.tickMs) {
      for (const group of this.#ordered) group.endLease()
    }
    for (const group of this.#ordered) {
      if (group.isResting) continue
      group.tick()
      if (group.hasWork) this.#awake.add(group)
    }
    this.#checkpoints.tick(this.#ticker.now)
    this.#shelf.tick()
    if (this.#awake.size > 0) this.#turn()
    else this.#resting.flush()
    if (this.#queue.isStalled || this.#ordered.some((group) => !group.isResting)) return 1
    return this.#resting.ticksUntilDue(napTicksMax)
  }

  #turn(): void {
    if (this.#isInTurn || this.#isStopped) return
    this.#isInTurn = true
    try {
      const awake = [...this.#awake].sort((a, b) => a.group - b.group)
      this.#awake.clear()
      for (const group of awake) group.run()
      this.#resting.flush()
      this.#outbox.flush()
      this.#queue.flush()
      this.#apply(awake.filter((group) => group.hasApplies))
      this.#outbox.flush()
      for (const group of awake) {
        if (group.hasWork && !this.#mustPause(group)) this.#awake.add(group)
      }
    } catch (error) {
      if (!isFault(error)) throw error
      this.#fail(error)
    } finally {
      this.#isInTurn = false
    }
    const next = this.#awake.values().next().value
    if (next !== undefined) this.#wake(next)
  }

  /** An entry of many turns goes on with the next tick, rather than have commits wait for the disk. */
  #mustPause(group: GroupDriver): boolean {
    return group.isWithinEntry() && this.#dependencies.store.isBehind()
  }

  #apply(groups: readonly GroupDriver[]): void {
    if (groups.length === 0) return
    this.#dependencies.store.transaction(() => {
      for (const group of groups) group.apply()
    })
    for (const group of groups) group.settle()
  }

  #receive(from: NodeId, frame: Uint8Array): void {
    if (this.#isStopped) return
    if (isNotice(frame)) {
      this.#fences.receive(from, frame)
      return
    }
    let messages: readonly GroupMessage[]
    try {
      messages = decodeFrame(frame.slice(), { from, to: this.#settings.self })
    } catch (error) {
      const what = toFault(error).message
      this.#dependencies.host.journal.event('warning', 'raft.frame_refused', { from, what })
      return
    }
    const nowMs = this.#dependencies.host.clock.monotonicMs()
    for (const { group: id, fence, message } of messages) {
      const group = this.#groups.get(id)
      if (group === undefined) continue
      if (fence !== group.fenceNumber) {
        this.#fences.refuse(group, from)
        continue
      }
      group.step(message, nowMs)
      this.#wake(group)
    }
  }

  #post(group: GroupDriver, message: Message): void {
    if (group.isSuperseded) return
    if (message.type === 'snapshot') this.#snapshots.send(group, message)
    if (!isFramed(message)) return
    this.#outbox.post({ group: group.group, fence: group.fenceNumber, message })
  }

  #stalled(fault: Fault): void {
    this.#dependencies.host.journal.event('error', 'raft.log_full', { what: fault.message })
    for (const group of this.#ordered) group.yieldLeadership(fault)
  }

  #fail(fault: Fault): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#ticker.cancel()
    this.#resting.close()
    this.#queue.close()
    for (const group of this.#ordered) group.close(closedFault())
    this.#dependencies.onFatal(fault)
  }
}

function closedFault(): Fault {
  return new Fault('unavailable', 'this node is stopping')
}

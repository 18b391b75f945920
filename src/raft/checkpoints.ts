// Keeps the log short: makes the state durable beside the log, then cuts what it covers (law 12: the
// log is cut only behind a checkpoint). Order: the state machines' own files, the store, the cut.
//
// The memory of entries (entry-cache.ts) follows the cut, so one bound holds for both. A tail stays
// behind the cut, so that a follower that is a little behind needs no snapshot.

import { type Fault, isFault, logIndex, term, toFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Log, Store } from '../storage/index.ts'
import type { AppendQueue } from './append-queue.ts'
import type { GroupDriver } from './group-driver.ts'
import type { RaftSettings } from './settings.ts'

export type CheckpointsEnds = {
  readonly host: Host
  readonly log: Log
  readonly store: Store
  readonly queue: AppendQueue
  readonly settings: RaftSettings
  readonly groups: () => readonly GroupDriver[]
  readonly onFatal: (fault: Fault) => void
}

const lookEveryTicks = 10
const quietTicks = 200
const heldLogFactor = 4
const quietLogBytesMax = 8 * 1024 * 1024

export class Checkpoints {
  readonly #ends: CheckpointsEnds
  #running: Promise<void> | undefined
  #tick = 0
  #appliedSum = 0
  #changedTick = 0
  #checkpointedSum = 0

  constructor(ends: CheckpointsEnds) {
    this.#ends = ends
  }

  /** Called with the driver's tick, which may skip many while all groups rest. */
  tick(tick: number): void {
    if (tick - this.#tick < lookEveryTicks || this.#running !== undefined) return
    this.#tick = tick
    let appliedSum = 0
    let cacheBytes = 0
    for (const group of this.#ends.groups()) {
      appliedSum += group.appliedState.index
      cacheBytes += group.cache.bytes
    }
    if (appliedSum !== this.#appliedSum) this.#changedTick = this.#tick
    this.#appliedSum = appliedSum
    if (appliedSum === this.#checkpointedSum) return
    const isQuiet = this.#tick - this.#changedTick >= quietTicks
    const { logBytesMax } = this.#ends.settings
    const bytesMax = isQuiet ? Math.min(quietLogBytesMax, logBytesMax) : logBytesMax
    if (Math.max(this.#ends.log.statistics().bytes, cacheBytes) <= bytesMax) return
    this.#running = this.run().finally(() => {
      this.#running = undefined
    })
  }

  /** Never rejects: a full disk means later, anything else is fatal. */
  async run(): Promise<void> {
    try {
      await this.#checkpoint()
    } catch (error) {
      const fault = toFault(error)
      if (!isFault(error, 'no-space')) return this.#ends.onFatal(fault)
      this.#ends.host.journal.event('warning', 'raft.checkpoint_failed', { what: fault.message })
    }
  }

  async #checkpoint(): Promise<void> {
    const { store, queue, settings, host } = this.#ends
    const covered = this.#ends.groups().map((group) => ({ group, index: group.appliedState.index }))
    for (const { group } of covered) await group.options.stateMachine.sync()
    await store.checkpoint()
    this.#checkpointedSum = covered.reduce((sum, { index }) => sum + index, 0)
    // Members that receive a snapshot hold the log back, but not for ever.
    const isPressed = this.#ends.log.statistics().bytes > settings.logBytesMax * heldLogFactor
    let cuts = 0
    for (const { group, index } of covered) {
      if (group.isInstalling) continue
      const { tailBytesMax, tailEntriesMax } = settings
      const limit = isPressed ? Number.POSITIVE_INFINITY : group.cutLimit
      const covers = Math.min(index, limit)
      const cutIndex = group.cache.cutBefore(covers, tailBytesMax, tailEntriesMax)
      const cutTerm = group.cache.term(cutIndex)
      if (cutIndex <= group.cache.cutIndex || typeof cutTerm !== 'number') continue
      cuts++
      queue.push({
        append: {
          group: group.group,
          cut: { index: logIndex(cutIndex), term: term(cutTerm) },
        },
        isUrgent: true,
        onDurable: () => group.cache.cutTo(cutIndex),
      })
    }
    host.journal.event('debug', 'raft.checkpointed', { groups: covered.length, cuts })
    queue.flush()
  }
}

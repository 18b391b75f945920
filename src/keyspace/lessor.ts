// The leader's half of leases: how much of its time each has left, in memory. Nothing of it is in the
// log, so a keepalive costs no entry; a new leader gives every lease its whole time again.
//
// A lease must not end early, and a leader that was cut off or asleep must end none (etcd issue 15247):
// 1. the leader is stopped for a minute; another takes over, its clients keep their leases alive there;
// 2. the old one wakes, finds its leases a minute overdue and revokes them all.
// So time counts in steps of at most stepMsMax, however late the tick; the lead is confirmed by a quorum
// before a revoke is proposed; and it is proposed to this node's own group, which refuses what does not
// lead, and never sent on to another leader.

import { Fault, isFault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Group } from '../raft/index.ts'
import { leaseNotFound, type LeaseTable } from './core/leases.ts'
import { expiredLeasesMax } from './core/limits.ts'

const stepMsMax = 1000

export type LessorDependencies = {
  readonly host: Host
  readonly group: Group
  readonly leases: () => LeaseTable
  /** Proposes an entry that ends these leases. */
  readonly expire: (ids: readonly number[]) => Promise<void>
}

export class Lessor {
  readonly #dependencies: LessorDependencies
  readonly #deadlines = new Map<number, number>()
  /** Leases whose end is being proposed. */
  readonly #ending = new Map<number, Promise<void>>()
  #isLeading = false
  /** Rises with each change of the lead: what began under another one counts for nothing. */
  #stint = 0
  #clockMs = 0
  #readMs: number

  constructor(dependencies: LessorDependencies) {
    this.#dependencies = dependencies
    this.#readMs = dependencies.host.clock.monotonicMs()
  }

  get isLeading(): boolean {
    return this.#isLeading
  }

  /** The lead was taken (again) or lost: every lease has its whole time from here. */
  lead(isLeading: boolean): void {
    this.#isLeading = isLeading
    this.#stint++
    this.#deadlines.clear()
  }

  /** Counts time, and ends what has run out. Call it every half second or so. */
  tick(): void {
    const now = this.#now()
    const leases = this.#dependencies.leases()
    if (!this.#isLeading || (leases.count === 0 && this.#deadlines.size === 0)) return
    const ended: number[] = []
    for (const id of leases.known()) {
      const deadline = this.#deadlineOf(id, leases)
      if (deadline > now || this.#ending.has(id) || ended.length >= expiredLeasesMax) continue
      ended.push(id)
    }
    if (this.#deadlines.size > leases.count) this.#forgetGone(leases)
    if (ended.length === 0) return
    const ending = this.#end(ended).finally(() => {
      for (const id of ended) this.#ending.delete(id)
    })
    for (const id of ended) this.#ending.set(id, ending)
  }

  /** The time granted; 0 when there is no such lease. Fault 'not-leader'. */
  async keepAlive(id: number, signal: AbortSignal | undefined): Promise<number> {
    await this.confirm(signal)
    while (this.#ending.has(id)) {
      await this.#ending.get(id)
      await this.confirm(signal)
    }
    const lease = this.#dependencies.leases().find(id)
    if (lease === undefined) return 0
    this.#deadlines.set(id, this.#now() + lease.ttlSeconds * 1000)
    return lease.ttlSeconds
  }

  /** Whole seconds left; fault leaseNotFound(). Ask confirm() first. */
  secondsLeft(id: number): number {
    const leases = this.#dependencies.leases()
    if (leases.find(id) === undefined) throw leaseNotFound()
    return Math.max(0, Math.floor((this.#deadlineOf(id, leases) - this.#now()) / 1000))
  }

  /** Settles when this node was still the leader after the call. Fault 'not-leader'. */
  async confirm(signal?: AbortSignal): Promise<void> {
    const stint = this.#stint
    if (this.#isLeading) {
      await this.#dependencies.group.readBarrier(signal)
      if (this.#isLeading && this.#stint === stint) return
    }
    const { leader } = this.#dependencies.group.status()
    throw new Fault('not-leader', 'another node counts the time of leases', {
      fields: { leader: leader === undefined ? '' : String(leader) },
    })
  }

  /** Never rejects for what passes by itself: the next tick tries again. */
  async #end(ids: readonly number[]): Promise<void> {
    const stint = this.#stint
    try {
      await this.confirm()
      const now = this.#now()
      const leases = this.#dependencies.leases()
      const due = ids.filter(
        (id) => leases.find(id) !== undefined && this.#deadlineOf(id, leases) <= now,
      )
      if (stint === this.#stint && due.length > 0) await this.#dependencies.expire(due)
    } catch (error) {
      if (!isFault(error)) throw error
    }
  }

  #deadlineOf(id: number, leases: LeaseTable): number {
    const known = this.#deadlines.get(id)
    if (known !== undefined) return known
    const deadline = this.#now() + (leases.find(id)?.ttlSeconds ?? 0) * 1000
    this.#deadlines.set(id, deadline)
    return deadline
  }

  #forgetGone(leases: LeaseTable): void {
    for (const id of this.#deadlines.keys()) {
      if (leases.find(id) === undefined) this.#deadlines.delete(id)
    }
  }

  #now(): number {
    const readMs = this.#dependencies.host.clock.monotonicMs()
    this.#clockMs += Math.min(stepMsMax, Math.max(0, readMs - this.#readMs))
    this.#readMs = readMs
    return this.#clockMs
  }
}

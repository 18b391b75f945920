// What a member does for its own membership: asks to be taken in and to vote, and notices that the
// cluster goes on without it. It looks often while something is wanted and rarely once it votes under a leader it knows.
//
// A removed node cannot know it from its own log: the leader stops writing to it. So a member that knows no
// leader asks others for the leader's configuration.

import { isFault, type NodeId } from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { Group } from '../raft/index.ts'
import type { Answer } from './core/wire.ts'
import type { LeadershipListener } from './replica.ts'

export type AttendanceEnds = {
  readonly host: Host
  readonly self: NodeId
  readonly group: Group
  readonly onLeadership: (listen: LeadershipListener) => () => void
  readonly wantsVote: boolean
  readonly lookMs: number
  /** Asks others to take this node in; true: it votes. Throws the Fault of the last that was asked. */
  readonly join: () => Promise<boolean>
  /** The leader's members as somebody tells them; undefined: nobody reaches a leader. */
  readonly members: () => Promise<Answer['members'] | undefined>
  readonly onRemoved: () => void
}

/** Between two looks of a voter that knows its leader, in looks. */
const settledLooks = 20

export class Attendance {
  readonly #ends: AttendanceEnds
  readonly #stopListening: () => void
  #timer: Timer | undefined
  /** It opened the namespace, or asked to come back, and was not seen among the members since. */
  #mayAskBack = true
  #isRemoved = false
  #isLooking = false
  #isClosed = false
  #refusal: string | undefined

  constructor(ends: AttendanceEnds) {
    this.#ends = ends
    this.#stopListening = ends.onLeadership((leader) => {
      if (leader === undefined) this.#lookAfter(ends.lookMs)
    })
    this.#lookAfter(0)
  }

  get isRemoved(): boolean {
    return this.#isRemoved
  }

  askBack(): void {
    this.#mayAskBack = true
    this.#lookAfter(0)
  }

  close(): void {
    this.#isClosed = true
    this.#stopListening()
    this.#timer?.cancel()
  }

  #lookAfter(ms: number): void {
    if (this.#isClosed) return
    this.#timer?.cancel()
    this.#timer = this.#ends.host.clock.after(ms, () => void this.#look())
  }

  async #look(): Promise<void> {
    const { host, lookMs } = this.#ends
    if (this.#isLooking) return
    this.#isLooking = true
    let isSettled = false
    try {
      isSettled = await this.#attend()
      this.#refusal = undefined
    } catch (error) {
      if (!isFault(error)) return host.journal.fatal('mesh.attendance_failed', error)
      this.#tell(error.message)
    } finally {
      this.#isLooking = false
    }
    this.#lookAfter(isSettled ? lookMs * settledLooks : lookMs)
  }

  /** True when nothing is wanted. */
  async #attend(): Promise<boolean> {
    const { group, wantsVote, join } = this.#ends
    const { applied, leader } = group.status()
    if (this.#isListed() && leader !== undefined) {
      if (this.#mayAskBack || this.#isRemoved) {
        if (!(await this.#isMember())) return false
        this.#mayAskBack = false
        this.#isRemoved = false
      }
      return this.#isVoter() || !wantsVote ? true : await join()
    }
    if (applied === 0) {
      await join()
      return false
    }
    await this.#lookForLeader()
    return false
  }

  /**
   * Listed also once everything is applied that is committed now. Without the barrier: 1. the leader commits a
   * node's removal and fails before it told anybody; 2. the node is opened again, to ask back; 3. the next leader
   * does not know yet that the removal is committed, and counts the node; 4. the node takes itself for a member, and
   * then for one that was removed while it ran, which stays out.
   */
  async #isMember(): Promise<boolean> {
    try {
      await this.#ends.group.readBarrier()
    } catch (error) {
      if (!isFault(error)) throw error
      return false
    }
    return this.#isListed()
  }

  #isVoter(): boolean {
    return this.#ends.group.status().voters.includes(this.#ends.self)
  }

  #isListed(): boolean {
    return this.#isVoter() || this.#ends.group.status().learners.includes(this.#ends.self)
  }

  async #lookForLeader(): Promise<void> {
    const { self, members, join, onRemoved, host } = this.#ends
    const told = await members()
    if (told === undefined || told.some(({ node }) => node === self)) return
    if (this.#mayAskBack) {
      host.journal.event('notice', 'mesh.asks_back', { node: self })
      await join()
      return
    }
    if (this.#isRemoved) return
    this.#isRemoved = true
    onRemoved()
  }

  /** Each reason once while it lasts. */
  #tell(why: string): void {
    if (this.#refusal === why) return
    this.#refusal = why
    this.#ends.host.journal.event('warning', 'mesh.join_refused', { why })
  }
}

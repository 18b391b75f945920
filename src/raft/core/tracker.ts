// The members as this replica knows them: the configuration in force, a progress record per member and
// the votes of a running election. Progress is kept by followers too, so that becoming leader is only a
// reset. Members are visited in the order of their ids: effects must not depend on insertion order.

import { allVoters, emptyMembership, type Membership, type Reconfiguration } from './confchange.ts'
import { PeerProgress, type WindowLimits } from './progress.ts'
import { type AckedIndex, type Ids, jointCommitted, jointVote, type VoteResult } from './quorum.ts'

export type Tally = {
  readonly granted: number
  readonly rejected: number
  readonly result: VoteResult
}

export class Tracker implements AckedIndex {
  membership: Membership = emptyMembership
  /** Members with a progress record, ascending. */
  ids: Ids = []
  readonly #peers = new Map<number, PeerProgress>()
  readonly #votes = new Map<number, boolean>()
  readonly #limits: WindowLimits

  constructor(limits: WindowLimits) {
    this.#limits = limits
  }

  get(id: number): PeerProgress | undefined {
    return this.#peers.get(id)
  }

  /** Takes over a configuration. New members are probed from the end of the log. */
  adopt(next: Extract<Reconfiguration, { kind: 'changed' }>, lastIndex: number): void {
    const { membership, renewed } = next
    const voters = allVoters(membership)
    const ids = [...voters, ...membership.learners].sort((a, b) => a - b)
    const learners = new Set(membership.learners)
    const stays = new Set(ids)
    for (const id of this.ids) if (!stays.has(id) || renewed.has(id)) this.#peers.delete(id)
    for (const id of ids) {
      const peer = this.#peers.get(id)
      if (peer !== undefined) {
        peer.isLearner = learners.has(id)
        continue
      }
      const created = new PeerProgress(Math.max(lastIndex, 1), learners.has(id), this.#limits)
      // A new member counts as heard, or the next check of the quorum would count it as lost.
      created.isRecentActive = true
      this.#peers.set(id, created)
    }
    this.membership = membership
    this.ids = ids
  }

  /** Forgets everything but the limits: a snapshot replaces the configuration. */
  clear(): void {
    this.membership = emptyMembership
    this.ids = []
    this.#peers.clear()
    this.#votes.clear()
  }

  /** A new term or role: nothing is known of anybody but this replica itself. */
  reset(self: number, lastIndex: number): void {
    this.#votes.clear()
    for (const id of this.ids) {
      const isLearner = this.#peers.get(id)?.isLearner ?? false
      const peer = new PeerProgress(lastIndex + 1, isLearner, this.#limits)
      if (id === self) peer.match = lastIndex
      this.#peers.set(id, peer)
    }
  }

  ackedIndex(id: number): number | undefined {
    return this.#peers.get(id)?.match
  }

  /** The highest index on the disks of a quorum. */
  committed(): number {
    return jointCommitted(this.membership.voters, this.membership.votersOutgoing, this)
  }

  isOnlyVoter(id: number): boolean {
    const { voters, votersOutgoing } = this.membership
    return voters.length === 1 && voters[0] === id && votersOutgoing.length === 0
  }

  isQuorumActive(): boolean {
    return this.isQuorum((id) => this.#peers.get(id)?.isRecentActive ?? false)
  }

  /** Whether the members that `belongs` picks are a quorum, of both halves of a joint configuration. */
  isQuorum(belongs: (id: number) => boolean): boolean {
    const picked = new Map<number, boolean>()
    for (const id of this.ids) picked.set(id, belongs(id))
    return this.#voteResult(picked) === 'won'
  }

  clearVotes(): void {
    this.#votes.clear()
  }

  hasVoteOf(id: number): boolean {
    return this.#votes.has(id)
  }

  /** The first vote of a member counts. */
  recordVote(id: number, isGranted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, isGranted)
  }

  tally(): Tally {
    let granted = 0
    let rejected = 0
    for (const [id, isGranted] of this.#votes) {
      if (this.#peers.get(id)?.isLearner !== false) continue
      if (isGranted) granted++
      else rejected++
    }
    return { granted, rejected, result: this.#voteResult(this.#votes) }
  }

  #voteResult(votes: ReadonlyMap<number, boolean>): VoteResult {
    return jointVote(this.membership.voters, this.membership.votersOutgoing, votes)
  }
}

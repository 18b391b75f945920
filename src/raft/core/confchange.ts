// Membership arithmetic: from one configuration to the next by a simple change (at most one voter) or
// through a joint configuration (Raft thesis 4.3, as in etcd/raft's confchange). Pure: configurations
// are values; who has a progress record follows from them.
//
// A voter of the outgoing half that becomes a learner waits in learnersNext until the joint
// configuration is left, because a node is never voter and learner at once.

import { formatIds, type Ids, unionIds } from './quorum.ts'
import type { ConfChange, ConfChangeKind, ConfState } from './types.ts'

/** A configuration; every list ascends. `votersOutgoing` not empty means joint. */
export type Membership = ConfState

export type SingleChange = { readonly kind: ConfChangeKind; readonly nodeId: number }

export type Reconfiguration =
  | {
      readonly kind: 'changed'
      readonly membership: Membership
      /** Members that left and came back within the change: what was known of them is void. */
      readonly renewed: ReadonlySet<number>
    }
  | { readonly kind: 'refused'; readonly reason: string }

export const emptyMembership: Membership = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
}

/** What an entry asks for: no change leaves the joint configuration, several enter one. */
export function reconfigure(membership: Membership, change: ConfChange): Reconfiguration {
  if (isLeaveJoint(change)) return leaveJoint(membership)
  if (change.transition === 'auto' && change.changes.length === 1) {
    return changeSimply(membership, change.changes)
  }
  return enterJoint(membership, change.transition !== 'joint-explicit', change.changes)
}

export function isLeaveJoint(change: ConfChange): boolean {
  return change.transition === 'auto' && change.changes.length === 0
}

/** At most one voter may be added or removed; learners freely. */
export function changeSimply(
  membership: Membership,
  changes: readonly SingleChange[],
): Reconfiguration {
  if (isJoint(membership)) return refused("can't apply simple config change in joint config")
  const next = new Changing(membership)
  if (!next.apply(changes)) return refused('removed all voters')
  if (countDifference(membership.voters, next.voters) > 1) {
    return refused('more than one voter changed without entering joint config')
  }
  return next.finish(membership.autoLeave)
}

export function enterJoint(
  membership: Membership,
  autoLeave: boolean,
  changes: readonly SingleChange[],
): Reconfiguration {
  if (isJoint(membership)) return refused('config is already joint')
  if (membership.voters.length === 0) return refused("can't make a zero-voter config joint")
  const next = new Changing({ ...membership, votersOutgoing: membership.voters })
  if (!next.apply(changes)) return refused('removed all voters')
  return next.finish(autoLeave)
}

export function leaveJoint(membership: Membership): Reconfiguration {
  if (!isJoint(membership)) return refused("can't leave a non-joint config")
  return {
    kind: 'changed',
    membership: {
      voters: membership.voters,
      learners: unionIds(membership.learners, membership.learnersNext),
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    },
    renewed: new Set(),
  }
}

/** The configuration of a snapshot, lists sorted; refused when no sequence of changes leads to it. */
export function restoreMembership(state: ConfState): Reconfiguration {
  const membership: Membership = {
    voters: sorted(state.voters),
    learners: sorted(state.learners),
    votersOutgoing: sorted(state.votersOutgoing),
    learnersNext: sorted(state.learnersNext),
    autoLeave: state.autoLeave,
  }
  const { voters, learners, votersOutgoing, learnersNext } = membership
  for (const list of [voters, learners, votersOutgoing, learnersNext]) {
    if (list.some((id, i) => !(id > 0) || id === list[i - 1])) return refused('an id twice or zero')
  }
  const members = learners.length + votersOutgoing.length + learnersNext.length
  if (voters.length === 0 && members > 0) return refused('no voters')
  const every = new Set([...voters, ...votersOutgoing])
  if (learners.some((id) => every.has(id))) return refused('a learner that votes')
  const outgoing = new Set(votersOutgoing)
  const incoming = new Set(voters)
  if (learnersNext.some((id) => incoming.has(id) || !outgoing.has(id))) {
    return refused('a next learner that is no leaving voter')
  }
  if (votersOutgoing.length === 0 && membership.autoLeave) return refused('auto-leave, not joint')
  return { kind: 'changed', membership, renewed: new Set() }
}

export function isJoint(membership: Membership): boolean {
  return membership.votersOutgoing.length > 0
}

/** Voters of both halves. */
export function allVoters(membership: Membership): Ids {
  return unionIds(membership.voters, membership.votersOutgoing)
}

/** `voters=(1 2)&&(1) learners=(3) learners_next=(4) autoleave` */
export function formatMembership(membership: Membership): string {
  let text = `voters=${formatIds(membership.voters)}`
  if (isJoint(membership)) text += `&&${formatIds(membership.votersOutgoing)}`
  if (membership.learners.length > 0) text += ` learners=${formatIds(membership.learners)}`
  if (membership.learnersNext.length > 0) {
    text += ` learners_next=${formatIds(membership.learnersNext)}`
  }
  return membership.autoLeave ? `${text} autoleave` : text
}

class Changing {
  readonly #voters: Set<number>
  readonly #learners: Set<number>
  readonly #outgoing: Set<number>
  readonly #learnersNext: Set<number>
  readonly #renewed = new Set<number>()

  constructor(from: Membership) {
    this.#voters = new Set(from.voters)
    this.#learners = new Set(from.learners)
    this.#outgoing = new Set(from.votersOutgoing)
    this.#learnersNext = new Set(from.learnersNext)
  }

  get voters(): Ids {
    return sorted([...this.#voters])
  }

  /** False when no voter is left. Id 0 is skipped: it is how an application voids a change. */
  apply(changes: readonly SingleChange[]): boolean {
    for (const { kind, nodeId } of changes) {
      if (nodeId === 0) continue
      if (kind === 'add-voter') this.#makeVoter(nodeId)
      else if (kind === 'add-learner') this.#makeLearner(nodeId)
      else if (kind === 'remove') this.#remove(nodeId)
    }
    return this.#voters.size > 0
  }

  finish(autoLeave: boolean): Reconfiguration {
    return {
      kind: 'changed',
      membership: {
        voters: this.voters,
        learners: sorted([...this.#learners]),
        votersOutgoing: sorted([...this.#outgoing]),
        learnersNext: sorted([...this.#learnersNext]),
        autoLeave,
      },
      renewed: this.#renewed,
    }
  }

  #makeVoter(id: number): void {
    this.#learners.delete(id)
    this.#learnersNext.delete(id)
    this.#voters.add(id)
  }

  #makeLearner(id: number): void {
    if (this.#learners.has(id)) return
    this.#voters.delete(id)
    this.#learnersNext.delete(id)
    if (this.#outgoing.has(id)) this.#learnersNext.add(id)
    else this.#learners.add(id)
  }

  #remove(id: number): void {
    const wasMember = this.#voters.delete(id) || this.#learners.delete(id)
    this.#learnersNext.delete(id)
    if (wasMember && !this.#outgoing.has(id)) this.#renewed.add(id)
  }
}

function refused(reason: string): Reconfiguration {
  return { kind: 'refused', reason }
}

function sorted(ids: Ids): Ids {
  return [...ids].sort((a, b) => a - b)
}

function countDifference(a: Ids, b: Ids): number {
  const inA = new Set(a)
  const inB = new Set(b)
  let count = 0
  for (const id of a) if (!inB.has(id)) count++
  for (const id of b) if (!inA.has(id)) count++
  return count
}

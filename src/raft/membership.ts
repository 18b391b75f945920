// A change of members as its caller sees it: proposed, applied, and the joint configuration left again.
// The core takes at most one change at a time; a second one is appended as an empty entry, which is
// seen here as a change that does not appear among the new entries.

import { concatBytes, equalBytes, Fault, type NodeId, uint64Bytes } from '../base/index.ts'
import { type ConfChange, type ConfState, decodeConfChange, type Entry } from './core/index.ts'
import type { MembershipChange } from './group.ts'
import { leaderIs } from './proposals.ts'

type Pending = {
  readonly change: ConfChange
  readonly resolve: () => void
  readonly reject: (fault: Fault) => void
  isApplied: boolean
}

export class MembershipChanges {
  readonly #self: NodeId
  #nextNumber: number
  #waiting: Pending | undefined
  #appended: Pending | undefined

  constructor(self: NodeId, firstNumber: number) {
    this.#self = self
    this.#nextNumber = firstNumber
  }

  /** A change was asked for here and is not yet settled. */
  get isRunning(): boolean {
    return this.#waiting !== undefined || this.#appended !== undefined
  }

  get hasWaiting(): boolean {
    return this.#waiting !== undefined
  }

  /** Fault 'conflict' while another change is on its way, 'invalid' for an empty one. */
  add(change: MembershipChange): Promise<void> {
    const changes = [
      ...(change.addVoters ?? []).map((nodeId) => ({ kind: 'add-voter', nodeId }) as const),
      ...(change.addLearners ?? []).map((nodeId) => ({ kind: 'add-learner', nodeId }) as const),
      ...(change.remove ?? []).map((nodeId) => ({ kind: 'remove', nodeId }) as const),
    ]
    if (changes.length === 0 || changes.some(({ nodeId }) => !(nodeId > 0))) {
      return Promise.reject(new Fault('invalid', 'a change of members names at least one node'))
    }
    if (this.#waiting !== undefined || this.#appended !== undefined) return Promise.reject(busy())
    const context = concatBytes([uint64Bytes(this.#self), uint64Bytes(this.#nextNumber++)])
    return new Promise((resolve, reject) => {
      const built: ConfChange = { transition: 'auto', changes, context }
      this.#waiting = { change: built, resolve, reject, isApplied: false }
    })
  }

  give(propose: (change: ConfChange) => 'ok' | 'dropped', leader: NodeId | undefined): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    if (propose(waiting.change) === 'ok') this.#appended = waiting
    else waiting.reject(new Fault('not-leader', 'this node does not lead', leaderIs(leader)))
  }

  /** Called with every batch of new entries right after give(). */
  appended(entries: readonly Entry[], wasGiven: boolean): void {
    const pending = this.#appended
    if (!wasGiven || pending === undefined) return
    if (entries.some((entry) => isOf(entry, pending))) return
    this.#appended = undefined
    pending.reject(busy())
  }

  /** A change was applied and its transaction has committed; `confState` is in force now. */
  applied(change: ConfChange, confState: ConfState): void {
    const pending = this.#appended
    if (pending === undefined) return
    if (equalBytes(change.context, pending.change.context)) pending.isApplied = true
    if (!pending.isApplied || confState.votersOutgoing.length > 0) return
    this.#appended = undefined
    pending.resolve()
  }

  /** Ends the waiting; what was appended may still happen. */
  rejectAll(failed: Fault): void {
    this.#waiting?.reject(failed)
    this.#waiting = undefined
    this.abandon()
  }

  abandon(): void {
    const pending = this.#appended
    this.#appended = undefined
    pending?.reject(
      new Fault('unavailable', 'leadership was lost before the change of members ended', {
        outcome: 'unknown',
        next: 'look at the members and ask again',
      }),
    )
  }
}

/** A configuration as the journal shows it. */
export function memberFields({ voters, votersOutgoing, learners }: ConfState): {
  readonly voters: string
  readonly outgoing: string
  readonly learners: string
} {
  return {
    voters: voters.join(','),
    outgoing: votersOutgoing.join(','),
    learners: learners.join(','),
  }
}

/** Asserts nothing about the bytes: undefined when they are no change. */
function isOf(entry: Entry, pending: Pending): boolean {
  if (entry.kind === 'normal') return false
  const change = decodeConfChange(entry)
  return change !== undefined && equalBytes(change.context, pending.change.context)
}

function busy(): Fault {
  return new Fault('conflict', 'another change of members is on its way', { next: 'try again' })
}

// Who is taken into a cluster, decided on its leader. Pure: the configuration and what is alive in, one
// change of members out.
//
//   a new node          becomes a learner, and a voter once it has caught up and if the quorum then is alive
//   a node that lost    is refused for as long as its number votes: a vote that was forgotten could be given
//   everything          twice. As a learner, which never votes, its number is removed and added anew, so that the
//                       leader does not count on entries that are gone
//   a removed node      comes back as a learner under its own number: it has its log and its votes
//
// One change at a time (thesis 4.1); a change that would leave no living quorum is refused, as etcd's
// strict reconfiguration check does.

import { Fault, type NodeId } from '../../base/index.ts'
import type { MembershipChange } from '../../raft/index.ts'
import type { JoinRequest } from './wire.ts'

export type Configuration = {
  readonly voters: readonly NodeId[]
  readonly learners: readonly NodeId[]
  readonly votersOutgoing: readonly NodeId[]
}

export type Progress = {
  /** The request's node holds everything up to here. */
  readonly match: number
  /** What it has to hold: what was committed when it was first heard of. */
  readonly target: number
  readonly lastIndex: number
}

export type Verdict =
  | { readonly kind: 'voter' }
  | { readonly kind: 'learner' }
  /** Make the change, then ask again. */
  | { readonly kind: 'change'; readonly change: MembershipChange }
  | { readonly kind: 'refuse'; readonly fault: Fault }

/** More voters make every write slower and a majority no safer; further joiners stay learners. */
export const votersMax = 7
/** Entries that a learner may lack when it is promoted. */
const lagMax = 256

/** What to do about a node that asks to be taken in. */
export function judgeJoin(
  request: Pick<JoinRequest, 'node' | 'isTakenIn' | 'wantsVote'>,
  given: {
    readonly configuration: Configuration
    readonly progress: Progress
    readonly isAlive: (node: NodeId) => boolean
    /** This leader itself has just added it, blank as it is. */
    readonly isJustAdded: boolean
  },
): Verdict {
  const { node, isTakenIn, wantsVote } = request
  const { configuration, isAlive } = given
  const { voters, learners, votersOutgoing } = configuration
  if (votersOutgoing.length > 0) return refuse('conflict', 'a change of members is under way')
  if (voters.includes(node)) {
    return isTakenIn ? { kind: 'voter' } : { kind: 'refuse', fault: forgottenVoter(node) }
  }
  if (!isAlive(node)) return refuse('unavailable', `the leader cannot reach node ${node}`)
  if (!learners.includes(node)) return { kind: 'change', change: { addLearners: [node] } }
  if (!isTakenIn && !given.isJustAdded) return { kind: 'change', change: { remove: [node] } }
  if (!isTakenIn || !wantsVote || voters.length >= votersMax) return { kind: 'learner' }
  if (!isCaughtUp(given.progress)) return { kind: 'learner' }
  const lost = quorumLost([...voters, node], isAlive)
  if (lost !== undefined) return { kind: 'learner' }
  return { kind: 'change', change: { addVoters: [node] } }
}

/** Undefined, or why a node cannot be removed. */
export function judgeRemoval(
  node: NodeId,
  { voters, learners, votersOutgoing }: Configuration,
  isAlive: (node: NodeId) => boolean,
): Fault | undefined {
  if (votersOutgoing.length > 0) return new Fault('conflict', 'a change of members is under way')
  if (learners.includes(node)) return undefined
  if (!voters.includes(node)) return new Fault('not-found', `node ${node} is no member`)
  const rest = voters.filter((voter) => voter !== node)
  if (rest.length === 0) {
    return new Fault('precondition', 'the last voter cannot be removed', {
      next: 'close the cluster instead',
    })
  }
  return quorumLost(rest, isAlive)
}

/** Undefined when enough of these voters are alive. */
export function quorumLost(
  voters: readonly NodeId[],
  isAlive: (node: NodeId) => boolean,
): Fault | undefined {
  const alive = voters.filter(isAlive).length
  const quorum = Math.floor(voters.length / 2) + 1
  if (alive >= quorum) return undefined
  return new Fault(
    'precondition',
    `${voters.length} voters would need ${quorum} alive, and ${alive} are`,
    { next: 'bring nodes back first, or remove those that are gone' },
  )
}

export function isCaughtUp({ match, target, lastIndex }: Progress): boolean {
  return match >= target && lastIndex - match <= lagMax
}

function forgottenVoter(node: NodeId): Fault {
  return new Fault(
    'denied',
    `node ${node} is a voter of this cluster, and who asks under its number has lost its state`,
    {
      next: 'start it under a new number (a new certificate, or a drawn one), then remove the old number',
    },
  )
}

function refuse(code: 'conflict' | 'unavailable', what: string): Verdict {
  return { kind: 'refuse', fault: new Fault(code, what) }
}

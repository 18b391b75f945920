// One message in: first its term is compared with ours (Raft 5.1), then it goes to the rule for its type
// and our role.

import {
  isWithinLease,
  maybeCampaign,
  receiveVoteRequest,
  receiveVoteResponse,
  rejectLowerPreVote,
} from './election.ts'
import { entriesSize, payloadsSize } from './entries.ts'
import { receiveAppend, receiveHeartbeat, receiveSnapshot } from './following.ts'
import { draft, formatMessageType } from './messages.ts'
import { observeReceive } from './observing.ts'
import {
  appliedSnapshot,
  appliedTo,
  leaveWhenDue,
  proposeAsLeader,
  reduceUncommitted,
} from './proposals.ts'
import { receiveReadIndex, receiveReadIndexResponse } from './reads.ts'
import { becomeFollower, isPromotable, nameOf, type Replica, send } from './replica.ts'
import {
  checkQuorum,
  receiveAppendResponse,
  receiveHeartbeatResponse,
  receiveSnapshotStatus,
  receiveTransferLeader,
  receiveUnreachable,
} from './replication.ts'
import { broadcastHeartbeat } from './sending.ts'
import { type Message, none } from './types.ts'

export type StepOutcome = 'ok' | 'dropped'

export function step(replica: Replica, m: Message): StepOutcome {
  observeReceive(replica, m)
  if (m.term > replica.term) {
    const isVote = m.type === 'vote' || m.type === 'prevote'
    if (isVote && isWithinLease(replica, m)) return 'ok'
    followHigherTerm(replica, m)
  } else if (m.term !== 0 && m.term < replica.term) {
    receiveLowerTerm(replica, m)
    return 'ok'
  }
  switch (m.type) {
    case 'hup':
      maybeCampaign(replica, replica.config.preVote ? 'pre-election' : 'election')
      return 'ok'
    case 'storage-append-response':
      if (m.index !== 0) replica.log.unstable.stableTo(m.index, m.logTerm)
      if (m.snapshot !== undefined) appliedSnapshot(replica, m.snapshot.metadata.index)
      return 'ok'
    case 'storage-apply-response':
      receiveApplied(replica, m)
      return 'ok'
    case 'vote':
    case 'prevote':
      receiveVoteRequest(replica, m)
      return 'ok'
    default:
      if (replica.role === 'leader') return stepLeader(replica, m)
      return replica.role === 'follower' ? stepFollower(replica, m) : stepCandidate(replica, m)
  }
}

/** One tick of the logical clock. */
export function tick(replica: Replica): void {
  const { config } = replica
  replica.electionElapsed++
  if (replica.heldVoteTicks > 0) replica.heldVoteTicks--
  if (replica.role !== 'leader') {
    if (replica.electionElapsed < replica.electionTimeout) return
    if (!isPromotable(replica)) return
    replica.electionElapsed = 0
    maybeCampaign(replica, config.preVote ? 'pre-election' : 'election')
    return
  }
  replica.heartbeatElapsed++
  if (replica.electionElapsed >= config.electionTicks) {
    replica.electionElapsed = 0
    if (config.checkQuorum) checkQuorum(replica)
    // A transfer that did not succeed within an election timeout is given up.
    if (replica.role === 'leader') replica.leadTransferee = none
  }
  if (replica.role !== 'leader' || replica.heartbeatElapsed < config.heartbeatTicks) return
  replica.heartbeatElapsed = 0
  broadcastHeartbeat(replica)
  leaveWhenDue(replica)
}

/**
 * Neither a pre-vote nor the grant of one changes the term: a pre-candidate asks about a term that it
 * has not entered, and enters it itself when a quorum agrees.
 */
function followHigherTerm(replica: Replica, m: Message): void {
  if (m.type === 'prevote' || (m.type === 'prevote-response' && !m.isRejected)) return
  replica.trace(
    `INFO ${nameOf(replica.id)} [term: ${replica.term}] received a ${formatMessageType(m.type)} message with higher term from ${nameOf(m.from)} [term: ${m.term}]`,
  )
  const isFromLeader = m.type === 'append' || m.type === 'heartbeat' || m.type === 'snapshot'
  becomeFollower(replica, m.term, isFromLeader ? m.from : none)
}

function receiveLowerTerm(replica: Replica, m: Message): void {
  const { config, id, term } = replica
  const fromOldLeader = m.type === 'append' || m.type === 'heartbeat'
  if (fromOldLeader && (config.checkQuorum || config.preVote)) {
    // Without this answer: (1) a replica that was cut off stood and has a higher term; (2) it returns,
    // but its vote requests are ignored within the lease, or it stands by pre-vote only; (3) it ignores
    // the leader's lower term for ever. The answer bears our term and makes the leader step down.
    send(replica, draft('append-response', m.from))
  } else if (m.type === 'prevote') {
    rejectLowerPreVote(replica, m)
  } else if (m.type === 'storage-append-response') {
    // The entries may have been replaced since (see unstable.ts); a snapshot cannot be.
    if (m.index !== 0) {
      replica.trace(
        `INFO ${nameOf(id)} [term: ${term}] ignored entry appends from a ${formatMessageType(m.type)} message with lower term [term: ${m.term}]`,
      )
    }
    if (m.snapshot !== undefined) appliedSnapshot(replica, m.snapshot.metadata.index)
  } else {
    replica.trace(
      `INFO ${nameOf(id)} [term: ${term}] ignored a ${formatMessageType(m.type)} message with lower term from ${nameOf(m.from)} [term: ${m.term}]`,
    )
  }
}

function receiveApplied(replica: Replica, m: Message): void {
  const last = m.entries[m.entries.length - 1]
  if (last === undefined) return
  appliedTo(replica, last.index, entriesSize(m.entries))
  reduceUncommitted(replica, payloadsSize(m.entries))
}

function stepLeader(replica: Replica, m: Message): StepOutcome {
  switch (m.type) {
    case 'propose':
      return proposeAsLeader(replica, m.entries)
    case 'read-index':
      receiveReadIndex(replica, m)
      return 'ok'
    case 'forget-leader':
      return 'ok'
    default:
      break
  }
  const peer = replica.tracker.get(m.from)
  if (peer === undefined) {
    replica.trace(`DEBUG ${nameOf(replica.id)} no progress available for ${nameOf(m.from)}`)
    return 'ok'
  }
  if (m.type === 'append-response') receiveAppendResponse(replica, peer, m)
  else if (m.type === 'heartbeat-response') receiveHeartbeatResponse(replica, peer, m)
  else if (m.type === 'snapshot-status') receiveSnapshotStatus(replica, peer, m)
  else if (m.type === 'unreachable') receiveUnreachable(replica, peer, m)
  else if (m.type === 'transfer-leader') receiveTransferLeader(replica, peer, m)
  return 'ok'
}

/** Candidates and pre-candidates differ only in which votes they count. */
function stepCandidate(replica: Replica, m: Message): StepOutcome {
  const { id, term, role, trace } = replica
  switch (m.type) {
    case 'propose':
      trace(`INFO ${nameOf(id)} no leader at term ${term}; dropping proposal`)
      return 'dropped'
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      becomeFollower(replica, m.term, m.from)
      receiveFromLeader(replica, m)
      return 'ok'
    case 'vote-response':
      if (role === 'candidate') receiveVoteResponse(replica, m)
      return 'ok'
    case 'prevote-response':
      if (role === 'precandidate') receiveVoteResponse(replica, m)
      return 'ok'
    case 'timeout-now': {
      const state = role === 'candidate' ? 'StateCandidate' : 'StatePreCandidate'
      trace(
        `DEBUG ${nameOf(id)} [term ${term} state ${state}] ignored MsgTimeoutNow from ${nameOf(m.from)}`,
      )
      return 'ok'
    }
    default:
      return 'ok'
  }
}

function stepFollower(replica: Replica, m: Message): StepOutcome {
  switch (m.type) {
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      replica.electionElapsed = 0
      replica.leader = m.from
      receiveFromLeader(replica, m)
      return 'ok'
    case 'propose':
      return forwardProposal(replica, m)
    case 'transfer-leader':
    case 'read-index':
      forwardToLeader(replica, m)
      return 'ok'
    case 'forget-leader':
      forgetLeader(replica)
      return 'ok'
    case 'timeout-now':
      replica.trace(
        `INFO ${nameOf(replica.id)} [term ${replica.term}] received MsgTimeoutNow from ${nameOf(m.from)} and starts an election to get leadership.`,
      )
      // A transfer never uses pre-vote: there is no partition to recover from.
      maybeCampaign(replica, 'transfer')
      return 'ok'
    case 'read-index-response':
      receiveReadIndexResponse(replica, m)
      return 'ok'
    default:
      return 'ok'
  }
}

function receiveFromLeader(replica: Replica, m: Message): void {
  if (m.type === 'append') receiveAppend(replica, m)
  else if (m.type === 'heartbeat') receiveHeartbeat(replica, m)
  else receiveSnapshot(replica, m)
}

function forwardProposal(replica: Replica, m: Message): StepOutcome {
  const { id, term, leader, trace } = replica
  if (leader === none) {
    trace(`INFO ${nameOf(id)} no leader at term ${term}; dropping proposal`)
    return 'dropped'
  }
  if (replica.config.disableProposalForwarding) {
    trace(
      `INFO ${nameOf(id)} not forwarding to leader ${nameOf(leader)} at term ${term}; dropping proposal`,
    )
    return 'dropped'
  }
  send(replica, { ...m, to: leader })
  return 'ok'
}

function forwardToLeader(replica: Replica, m: Message): void {
  const { id, term, leader } = replica
  if (leader === none) {
    const what = m.type === 'read-index' ? 'index reading msg' : 'leader transfer msg'
    replica.trace(`INFO ${nameOf(id)} no leader at term ${term}; dropping ${what}`)
    return
  }
  send(replica, { ...m, to: leader })
}

/**
 * A follower that knows its leader dead may vote before the lease ends. Not with lease-based reads: the
 * lease is then a promise not to elect another leader.
 */
function forgetLeader(replica: Replica): void {
  if (replica.config.readOnly === 'lease-based') {
    replica.trace('ERROR ignoring MsgForgetLeader due to ReadOnlyLeaseBased')
    return
  }
  if (replica.leader === none) return
  replica.trace(
    `INFO ${nameOf(replica.id)} forgetting leader ${nameOf(replica.leader)} at term ${replica.term}`,
  )
  replica.leader = none
}

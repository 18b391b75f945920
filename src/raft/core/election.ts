// Elections (Raft 5.2), with pre-vote (thesis 9.6), the lease that check-quorum gives a living leader
// (thesis 6.2), and leadership transfer's election at once (thesis 3.10).

import { assert, equalBytes, utf8Encode } from '../../base/index.ts'
import { allVoters } from './confchange.ts'
import { observe } from './observing.ts'
import { draft, formatMessageType } from './messages.ts'
import {
  becomeCandidate,
  becomeFollower,
  becomePreCandidate,
  isPromotable,
  nameOf,
  type Replica,
  reset,
  send,
} from './replica.ts'
import { appendAsLeader, broadcastAppend, emptyProposal } from './sending.ts'
import { type Message, none } from './types.ts'

export type CampaignKind = 'pre-election' | 'election' | 'transfer'

/** Context of vote requests of a transfer: voters ignore the lease of the leader that asked for it. */
const transferContext = utf8Encode('CampaignTransfer')

/**
 * Stands for election if that is allowed. Not with a committed but unapplied configuration change: the
 * candidate would count votes by a configuration that is no longer in force.
 */
export function maybeCampaign(replica: Replica, kind: CampaignKind): void {
  const { id, term, trace } = replica
  if (replica.role === 'leader') {
    trace(`DEBUG ${nameOf(id)} ignoring MsgHup because already leader`)
    return
  }
  if (replica.heldVoteTicks > 0 && kind !== 'transfer') return
  if (!isPromotable(replica)) {
    trace(`WARN ${nameOf(id)} is unpromotable and can not campaign`)
    return
  }
  if (replica.log.hasUnappliedConfChange(replica.log.committed)) {
    trace(
      `WARN ${nameOf(id)} cannot campaign at term ${term} since there are still pending configuration changes to apply`,
    )
    return
  }
  trace(`INFO ${nameOf(id)} is starting a new election at term ${term}`)
  campaign(replica, kind)
}

function campaign(replica: Replica, kind: CampaignKind): void {
  const isPre = kind === 'pre-election'
  if (isPre) becomePreCandidate(replica)
  else becomeCandidate(replica)
  const term = isPre ? replica.term + 1 : replica.term
  const type = isPre ? 'prevote' : 'vote'
  const last = replica.log.lastEntryId()
  for (const to of allVoters(replica.tracker.membership)) {
    if (to === replica.id) {
      // Votes for oneself once the vote is durable, hence a message.
      const own = draft(isPre ? 'prevote-response' : 'vote-response', to)
      own.term = term
      send(replica, own)
      continue
    }
    replica.trace(
      `INFO ${nameOf(replica.id)} [logterm: ${last.term}, index: ${last.index}] sent ${formatMessageType(type)} request to ${nameOf(to)} at term ${replica.term}`,
    )
    const request = draft(type, to)
    request.term = term
    request.index = last.index
    request.logTerm = last.term
    if (kind === 'transfer') request.context = transferContext
    send(replica, request)
  }
}

/** Whether a request of a higher term is ignored because a leader was heard of within its lease. */
export function isWithinLease(replica: Replica, request: Message): boolean {
  const { config, log, electionElapsed } = replica
  const isHeld = replica.heldVoteTicks > 0
  if (!isHeld && (!config.checkQuorum || replica.leader === none)) return false
  if (!isHeld && electionElapsed >= config.electionTicks) return false
  if (equalBytes(request.context, transferContext)) return false
  const last = log.lastEntryId()
  replica.trace(
    `INFO ${nameOf(replica.id)} [logterm: ${last.term}, index: ${last.index}, vote: ${nameOf(replica.vote)}] ignored ${formatMessageType(request.type)} from ${nameOf(request.from)} [logterm: ${request.logTerm}, index: ${request.index}] at term ${replica.term}: lease is not expired (remaining ticks: ${config.electionTicks - electionElapsed})`,
  )
  return true
}

/**
 * A request of the current term, or a pre-vote of a higher one. The response bears the term of the
 * request when granted, so that a pre-candidate, whose own term is lower, can tell what it is about;
 * a rejection bears ours, so that one that is behind catches up.
 */
export function receiveVoteRequest(replica: Replica, request: Message): void {
  const { log } = replica
  const isPre = request.type === 'prevote'
  const canVote =
    replica.vote === request.from ||
    (replica.vote === none && replica.leader === none) ||
    (isPre && request.term > replica.term)
  const isGranted = canVote && log.isUpToDate(request.logTerm, request.index)
  traceVote(replica, request, isGranted ? 'cast' : 'rejected')
  const response = draft(isPre ? 'prevote-response' : 'vote-response', request.from)
  response.term = isGranted ? request.term : replica.term
  response.isRejected = !isGranted
  // A replica of term 0 rejects only what is not up to date; its rejection has no term to bear.
  if (response.term === 0) return
  send(replica, response)
  if (isGranted && !isPre) {
    replica.electionElapsed = 0
    replica.vote = request.from
  }
}

/** A pre-vote of a lower term: the rejection tells the candidate our term. */
export function rejectLowerPreVote(replica: Replica, request: Message): void {
  traceVote(replica, request, 'rejected')
  const response = draft('prevote-response', request.from)
  response.term = replica.term
  response.isRejected = true
  send(replica, response)
}

/** A vote for this candidate or pre-candidate. */
export function receiveVoteResponse(replica: Replica, response: Message): void {
  const { id, tracker, trace } = replica
  const type = formatMessageType(response.type)
  const rejection = response.isRejected ? ' rejection' : ''
  trace(
    `INFO ${nameOf(id)} received ${type}${rejection} from ${nameOf(response.from)} at term ${replica.term}`,
  )
  tracker.recordVote(response.from, !response.isRejected)
  const { granted, rejected, result } = tracker.tally()
  trace(`INFO ${nameOf(id)} has received ${granted} ${type} votes and ${rejected} vote rejections`)
  if (result === 'lost') {
    becomeFollower(replica, replica.term, none)
  } else if (result === 'won' && replica.role === 'precandidate') {
    campaign(replica, 'election')
  } else if (result === 'won' && isOwnVoteDurable(replica)) {
    becomeLeader(replica)
    broadcastAppend(replica)
  }
}

/**
 * A candidate does not lead on the votes of others alone: its own comes once it is on disk, and the term with it.
 * Without that: (1) of 1, 2 and 3, node 3 is elected in term 4 by 1 and 2 and sends 1 an entry, its own disk being
 * slow; (2) it stops, and starts in term 3; (3) it stands in term 4 again, 2 votes for it again, and it leads term 4 for
 * a second time with another entry at that index; (4) 1 takes the two for the same entry, for index and term are.
 */
function isOwnVoteDurable({ tracker, id }: Replica): boolean {
  return tracker.hasVoteOf(id) || !allVoters(tracker.membership).includes(id)
}

/**
 * The first entry of a term is empty and commits what earlier terms left (Raft 8). Every configuration
 * change that may be unapplied lies at or before the end of the log, so a new one waits for that.
 */
function becomeLeader(replica: Replica): void {
  assert(replica.role === 'candidate', 'only a candidate becomes leader')
  reset(replica, replica.term)
  replica.leader = replica.id
  replica.role = 'leader'
  const own = replica.tracker.get(replica.id)
  assert(own !== undefined, 'a leader is a member')
  own.becomeReplicate()
  own.isRecentActive = true
  replica.pendingConfIndex = replica.log.lastIndex
  if (
    replica.config.handOverOnRemoval &&
    replica.log.hasUnappliedConfChange(replica.log.lastIndex)
  ) {
    replica.heldUntil = replica.log.lastIndex
  }
  observe(replica, 'BecomeLeader')
  assert(appendAsLeader(replica, [emptyProposal]), 'an empty entry is never refused')
  replica.trace(`INFO ${nameOf(replica.id)} became leader at term ${replica.term}`)
}

function traceVote(replica: Replica, request: Message, verb: string): void {
  const last = replica.log.lastEntryId()
  replica.trace(
    `INFO ${nameOf(replica.id)} [logterm: ${last.term}, index: ${last.index}, vote: ${nameOf(replica.vote)}] ${verb} ${formatMessageType(request.type)} ${verb === 'cast' ? 'for' : 'from'} ${nameOf(request.from)} [logterm: ${request.logTerm}, index: ${request.index}] at term ${replica.term}`,
  )
}

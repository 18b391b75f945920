// The state of one replica of a group and the moves between roles. The rules that act on it live beside:
// election, sending, replication (leader's side), following (follower's side), reads, proposals,
// membership, step. State is one record because every rule needs most of it; it has one owner, RawNode.
//
// After Diego Ongaro, "Consensus: Bridging Theory and Practice" (2014), in the manner of etcd/raft.

import { assert } from '../../base/index.ts'
import type { Membership } from './confchange.ts'
import { RaftLog } from './log.ts'
import { type Draft, isSentAfterAppend, isVoteMessage } from './messages.ts'
import { observe, observeSend } from './observing.ts'
import { ReadQueue } from './read-queue.ts'
import { Tracker } from './tracker.ts'
import {
  type CoreConfig,
  type CoreRole,
  type HardState,
  type Message,
  none,
  type ReadState,
  type SoftState,
} from './types.ts'

export type Replica = {
  readonly id: number
  readonly config: CoreConfig
  readonly log: RaftLog
  readonly tracker: Tracker
  readonly trace: (line: string) => void
  readonly uncommittedBytesMax: number
  role: CoreRole
  term: number
  vote: number
  leader: number
  isLearner: boolean
  /** While a snapshot is not yet installed: the configuration of the entries still being applied. */
  supersededMembership: Membership | undefined
  leadTransferee: number
  /** A configuration change may be appended only once this index is applied. */
  pendingConfIndex: number
  /** Proposals are dropped until this index is applied (handOverOnRemoval). */
  heldUntil: number
  /** Payload bytes appended as leader and not yet applied; an estimate from below. */
  uncommittedBytes: number
  electionElapsed: number
  /** Ticks for which votes are refused after the start (holdsVoteAfterStart). */
  heldVoteTicks: number
  heartbeatElapsed: number
  electionTimeout: number
  reads: ReadQueue
  readStates: ReadState[]
  messages: Message[]
  /** Messages that may leave only once the current unstable state is durable. */
  messagesAfterAppend: Message[]
}

/** A replica with nothing loaded: no configuration, term 0. */
export function createReplica(config: CoreConfig): Replica {
  checkConfig(config)
  const applyingBytesMax = config.maxCommittedSizePerReady || config.maxSizePerMessage
  return {
    id: config.id,
    config,
    log: new RaftLog(config.storage, applyingBytesMax, config.trace),
    tracker: new Tracker({
      messagesMax: config.maxInflightMessages,
      bytesMax: config.maxInflightBytes,
    }),
    trace: config.trace,
    uncommittedBytesMax: config.maxUncommittedSize || Number.POSITIVE_INFINITY,
    role: 'follower',
    term: 0,
    vote: none,
    leader: none,
    isLearner: false,
    supersededMembership: undefined,
    leadTransferee: none,
    pendingConfIndex: 0,
    heldUntil: 0,
    uncommittedBytes: 0,
    electionElapsed: 0,
    heldVoteTicks: config.holdsVoteAfterStart === true ? config.electionTicks : 0,
    heartbeatElapsed: 0,
    electionTimeout: config.electionTicks,
    reads: new ReadQueue(),
    readStates: [],
    messages: [],
    messagesAfterAppend: [],
  }
}

function checkConfig(config: CoreConfig): void {
  assert(config.id > 0, 'a replica has a positive id')
  assert(config.heartbeatTicks > 0, 'heartbeats have a period')
  assert(config.electionTicks > config.heartbeatTicks, 'elections wait longer than a heartbeat')
  assert(config.maxInflightMessages > 0, 'at least one append may be on its way')
  assert(
    config.maxInflightBytes === 0 || config.maxInflightBytes >= config.maxSizePerMessage,
    'the inflight window holds at least one message',
  )
  assert(
    config.readOnly === 'safe' || config.checkQuorum,
    'a lease rests on the check of the quorum',
  )
}

/** Ids in hexadecimal, as the free logging prints them. */
export function nameOf(id: number): string {
  return id.toString(16)
}

export function softStateOf(replica: Replica): SoftState {
  return { leader: replica.leader, role: replica.role }
}

export function hardStateOf(replica: Replica): HardState {
  return { term: replica.term, vote: replica.vote, commit: replica.log.committed }
}

/**
 * Queues a message. Vote messages bear the term they are about; proposals and read requests bear none,
 * because they may be passed on to a leader of another term; all others bear the current term.
 */
export function send(replica: Replica, message: Draft): void {
  if (message.from === none) message.from = replica.id
  if (isVoteMessage(message.type)) {
    assert(message.term !== 0, 'a vote message bears a term')
  } else if (message.type === 'propose' || message.type === 'read-index') {
    message.term = 0
  } else {
    message.term = replica.term
  }
  observeSend(replica, message)
  if (isSentAfterAppend(message.type)) {
    replica.messagesAfterAppend.push(message)
    return
  }
  assert(message.to !== replica.id, 'no message but a durable claim goes to oneself')
  replica.messages.push(message)
}

export function becomeFollower(replica: Replica, term: number, leader: number): void {
  reset(replica, term)
  replica.leader = leader
  replica.role = 'follower'
  replica.trace(`INFO ${nameOf(replica.id)} became follower at term ${replica.term}`)
  observe(replica, 'BecomeFollower')
}

export function becomeCandidate(replica: Replica): void {
  assert(replica.role !== 'leader', 'a leader does not stand')
  reset(replica, replica.term + 1)
  replica.vote = replica.id
  replica.role = 'candidate'
  replica.trace(`INFO ${nameOf(replica.id)} became candidate at term ${replica.term}`)
  observe(replica, 'BecomeCandidate')
}

/** Changes neither term nor vote: a pre-vote leaves no trace when it fails (thesis 9.6). */
export function becomePreCandidate(replica: Replica): void {
  assert(replica.role !== 'leader', 'a leader does not stand')
  replica.tracker.clearVotes()
  replica.leader = none
  replica.role = 'precandidate'
  replica.trace(`INFO ${nameOf(replica.id)} became pre-candidate at term ${replica.term}`)
}

/** Common to every change of role. A new term has no vote and no leader yet. */
export function reset(replica: Replica, term: number): void {
  if (replica.term !== term) {
    replica.term = term
    replica.vote = none
  }
  const { config } = replica
  replica.leader = none
  replica.electionElapsed = 0
  replica.heartbeatElapsed = 0
  replica.electionTimeout = config.electionTicks + config.random.integer(config.electionTicks)
  replica.leadTransferee = none
  replica.tracker.reset(replica.id, replica.log.lastIndex)
  replica.pendingConfIndex = 0
  replica.heldUntil = 0
  replica.uncommittedBytes = 0
  replica.reads = new ReadQueue()
}

/** Whether this replica may stand: a voter that is not in the middle of taking a snapshot. */
export function isPromotable(replica: Replica): boolean {
  const own = replica.tracker.get(replica.id)
  return own !== undefined && !own.isLearner && replica.log.unstable.snapshot === undefined
}

/** Until then a leader does not know which entries of earlier terms are committed (thesis 6.4). */
export function hasCommittedInTerm(replica: Replica): boolean {
  return replica.log.termOrZero(replica.log.committed) === replica.term
}

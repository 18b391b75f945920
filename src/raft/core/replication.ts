// The leader's side of replication: what responses of members and reports of the transport mean, and
// leadership transfer (Raft 5.3, thesis 3.10 and 10.2.1).

import { formatProgress, type PeerProgress } from './progress.ts'
import { becomeFollower, nameOf, type Replica } from './replica.ts'
import { receiveReadAck, releasePostponedReads } from './reads.ts'
import { broadcastAppend, maybeCommit, maybeSendAppend, sendTimeoutNow } from './sending.ts'
import { type Message, none } from './types.ts'

/** Steps down when a quorum was not heard since the last check: it may have another leader. */
export function checkQuorum(replica: Replica): void {
  const { tracker, id } = replica
  if (!tracker.isQuorumActive()) {
    replica.trace(`WARN ${nameOf(id)} stepped down to follower since quorum is not active`)
    becomeFollower(replica, replica.term, none)
  }
  for (const member of tracker.ids) {
    const peer = tracker.get(member)
    if (member !== id && peer !== undefined) peer.isRecentActive = false
  }
}

export function receiveAppendResponse(replica: Replica, peer: PeerProgress, m: Message): void {
  peer.isRecentActive = true
  if (m.isRejected) receiveRejection(replica, peer, m)
  else receiveAcknowledgement(replica, peer, m)
}

/**
 * The logs differ at m.index. The member hints at the largest index at which its term is at most the
 * term we asked about; we skip from there to the largest index at which our term is at most its term.
 * So one round trip passes over a whole term on either side, and not one entry.
 */
function receiveRejection(replica: Replica, peer: PeerProgress, m: Message): void {
  const { log, trace, id } = replica
  trace(
    `DEBUG ${nameOf(id)} received MsgAppResp(rejected, hint: (index ${m.rejectHint}, term ${m.logTerm})) from ${nameOf(m.from)} for index ${m.index}`,
  )
  let hint = m.rejectHint
  if (m.logTerm > 0) hint = log.findConflictByTerm(hint, m.logTerm).index
  if (!peer.maybeDecreaseTo(m.index, hint)) return
  trace(
    `DEBUG ${nameOf(id)} decreased progress of ${nameOf(m.from)} to [${formatProgress(peer.view())}]`,
  )
  if (peer.state === 'replicate') peer.becomeProbe()
  maybeSendAppend(replica, m.from, true)
}

function receiveAcknowledgement(replica: Replica, peer: PeerProgress, m: Message): void {
  const { log, id } = replica
  if (m.index > log.lastIndex) {
    replica.trace(
      `ERROR ${nameOf(id)} ignored MsgAppResp from ${nameOf(m.from)} for index ${m.index} beyond the log`,
    )
    return
  }
  // An acknowledgement of what is known already still ends probing: it shows where the logs agree.
  const isNews = peer.maybeUpdate(m.index)
  if (!isNews && !(peer.match === m.index && peer.state === 'probe')) return
  advanceState(replica, peer, m)
  if (maybeCommit(replica)) {
    releasePostponedReads(replica)
    broadcastAppend(replica)
  } else if (m.from !== id && peer.canBumpCommit(log.committed)) {
    // An empty append, so that the member learns of a commit that it could not be told before.
    maybeSendAppend(replica, m.from, true)
  }
  if (m.from === id) return
  while (maybeSendAppend(replica, m.from, false));
  if (m.from === replica.leadTransferee && peer.match === log.lastIndex) {
    replica.trace(
      `INFO ${nameOf(id)} sent MsgTimeoutNow to ${nameOf(m.from)} after received MsgAppResp`,
    )
    sendTimeoutNow(replica, m.from)
  }
}

function advanceState(replica: Replica, peer: PeerProgress, m: Message): void {
  if (peer.state === 'probe') {
    peer.becomeReplicate()
  } else if (peer.state === 'snapshot') {
    // Any acknowledgement within our log will do, also one of a snapshot that somebody else sent.
    if (peer.match + 1 < replica.log.firstIndex) return
    replica.trace(
      `DEBUG ${nameOf(replica.id)} recovered from needing snapshot, resumed sending replication messages to ${nameOf(m.from)} [${formatProgress(peer.view())}]`,
    )
    peer.becomeProbe()
    peer.becomeReplicate()
  } else {
    peer.inflights.freeThrough(m.index)
  }
}

/** A member answered a heartbeat: it is alive, and an append that was lost is sent again. */
export function receiveHeartbeatResponse(replica: Replica, peer: PeerProgress, m: Message): void {
  peer.isRecentActive = true
  peer.isAppendPaused = false
  if (peer.match < replica.log.lastIndex || peer.state === 'probe') {
    maybeSendAppend(replica, m.from, true)
  }
  receiveReadAck(replica, m.from, m.context)
}

/** The transport says how sending a snapshot went. Appends wait for the next sign of life. */
export function receiveSnapshotStatus(replica: Replica, peer: PeerProgress, m: Message): void {
  if (peer.state !== 'snapshot') return
  if (m.isRejected) peer.pendingSnapshot = 0
  peer.becomeProbe()
  const outcome = m.isRejected ? 'failed' : 'succeeded'
  replica.trace(
    `DEBUG ${nameOf(replica.id)} snapshot ${outcome}, resumed sending replication messages to ${nameOf(m.from)} [${formatProgress(peer.view())}]`,
  )
  peer.isAppendPaused = true
}

/** The transport lost the connection: what was on its way is probably lost, so probe. */
export function receiveUnreachable(replica: Replica, peer: PeerProgress, m: Message): void {
  if (peer.state === 'replicate') peer.becomeProbe()
  replica.trace(
    `DEBUG ${nameOf(replica.id)} failed to send message to ${nameOf(m.from)} because it is unreachable [${formatProgress(peer.view())}]`,
  )
}

/**
 * Hands leadership to m.from: once its log is complete it is told to stand at once. Proposals are
 * dropped in between, for at most one election timeout.
 */
export function receiveTransferLeader(replica: Replica, peer: PeerProgress, m: Message): void {
  const { id, term, trace } = replica
  if (peer.isLearner) {
    trace(`DEBUG ${nameOf(id)} is learner. Ignored transferring leadership`)
    return
  }
  const transferee = m.from
  const previous = replica.leadTransferee
  if (previous === transferee) {
    trace(
      `INFO ${nameOf(id)} [term ${term}] transfer leadership to ${nameOf(transferee)} is in progress, ignores request to same node ${nameOf(transferee)}`,
    )
    return
  }
  if (previous !== none) {
    replica.leadTransferee = none
    trace(
      `INFO ${nameOf(id)} [term ${term}] abort previous transferring leadership to ${nameOf(previous)}`,
    )
  }
  if (transferee === id) {
    trace(`DEBUG ${nameOf(id)} is already leader. Ignored transferring leadership to self`)
    return
  }
  trace(`INFO ${nameOf(id)} [term ${term}] starts to transfer leadership to ${nameOf(transferee)}`)
  replica.electionElapsed = 0
  replica.leadTransferee = transferee
  if (peer.match === replica.log.lastIndex) {
    sendTimeoutNow(replica, transferee)
    trace(
      `INFO ${nameOf(id)} sends MsgTimeoutNow to ${nameOf(transferee)} immediately as ${nameOf(transferee)} already has up-to-date log`,
    )
  } else {
    maybeSendAppend(replica, transferee, true)
  }
}

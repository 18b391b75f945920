// Linearizable reads without log entries (Raft thesis 6.4): the leader notes its commit index, confirms by
// a round of heartbeats that it still leads (safe) or trusts its lease (lease-based), and answers; the
// reader waits until it has applied up to that index.

import { draft, type Draft } from './messages.ts'
import { hasCommittedInTerm, nameOf, type Replica, send } from './replica.ts'
import { broadcastHeartbeat } from './sending.ts'
import { type Message, none } from './types.ts'

/**
 * The leader's side of a request. It waits for the first commit of the term even in a group of one:
 * (1) the only voter commits 10 and answers the writer; (2) it stops before commit 10 is written down;
 * (3) it starts with commit 9, leads again and would answer a read with 9.
 */
export function receiveReadIndex(replica: Replica, request: Message): void {
  if (request.entries.length !== 1) return
  if (hasCommittedInTerm(replica)) confirmRead(replica, request)
  else if (!replica.reads.postpone(request)) traceFull(replica)
}

/** Called when the commit index has moved. */
export function releasePostponedReads(replica: Replica): void {
  if (!hasCommittedInTerm(replica)) return
  for (const request of replica.reads.takePostponed()) confirmRead(replica, request)
}

/** A member echoed a heartbeat: answers what a quorum has confirmed by now. */
export function receiveReadAck(replica: Replica, from: number, context: Uint8Array): void {
  if (replica.config.readOnly !== 'safe' || context.length === 0) return
  const { reads, tracker } = replica
  reads.receiveAck(from, context)
  const { voters, votersOutgoing } = tracker.membership
  for (const { request, index } of reads.takeConfirmed(voters, votersOutgoing)) {
    answer(replica, request, index)
  }
}

/** The reader's side: the leader's answer to a request that was passed on. */
export function receiveReadIndexResponse(replica: Replica, response: Message): void {
  const entry = response.entries[0]
  if (entry === undefined || response.entries.length !== 1) {
    replica.trace(
      `ERROR ${nameOf(replica.id)} invalid format of MsgReadIndexResp from ${nameOf(response.from)}, entries count: ${response.entries.length}`,
    )
    return
  }
  replica.readStates.push({ index: response.index, context: entry.payload })
}

function confirmRead(replica: Replica, request: Message): void {
  const { reads, log } = replica
  if (replica.tracker.isOnlyVoter(replica.id) || replica.config.readOnly === 'lease-based') {
    answer(replica, request, log.committed)
    return
  }
  if (!reads.add(request, log.committed)) {
    traceFull(replica)
    return
  }
  reads.receiveAck(replica.id, reads.heartbeatContext())
  broadcastHeartbeat(replica)
}

function answer(replica: Replica, request: Message, index: number): void {
  const entry = request.entries[0]
  if (entry === undefined) return
  if (request.from === none || request.from === replica.id) {
    replica.readStates.push({ index, context: entry.payload })
    return
  }
  const response: Draft = draft('read-index-response', request.from)
  response.index = index
  response.entries = request.entries
  send(replica, response)
}

function traceFull(replica: Replica): void {
  replica.trace(`WARN ${nameOf(replica.id)} has too many reads waiting; dropping index reading msg`)
}

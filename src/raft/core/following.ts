// The follower's side of replication: appends, heartbeats and snapshots of the leader (Raft 5.3, 7).
// All of these come from a peer, so nothing here asserts what only a correct leader guarantees: what
// cannot be is logged as an error and ignored, which is safe, since ignoring is what a lost message does.

import { draft } from './messages.ts'
import { restoreSnapshot } from './membership.ts'
import { nameOf, type Replica, send } from './replica.ts'
import type { Message } from './types.ts'

export function receiveAppend(replica: Replica, m: Message): void {
  const { log, id } = replica
  const response = draft('append-response', m.from)
  if (m.index < log.committed) {
    response.index = log.committed
    send(replica, response)
    return
  }
  if (!isConsistent(m)) {
    replica.trace(`ERROR ${nameOf(id)} ignored an inconsistent MsgApp from ${nameOf(m.from)}`)
    return
  }
  const outcome = log.maybeAppend(m.index, m.logTerm, m.entries, m.commit)
  if (outcome === 'conflict-with-committed') {
    replica.trace(
      `ERROR ${nameOf(id)} ignored a MsgApp from ${nameOf(m.from)} that conflicts with committed entries [committed(${log.committed})]`,
    )
    return
  }
  if (outcome === 'appended') {
    response.index = m.index + m.entries.length
    send(replica, response)
    return
  }
  replica.trace(
    `DEBUG ${nameOf(id)} [logterm: ${log.termOrZero(m.index)}, index: ${m.index}] rejected MsgApp [logterm: ${m.logTerm}, index: ${m.index}] from ${nameOf(m.from)}`,
  )
  // The best guess at where the logs agree: our last entry whose term is at most the one asked about.
  const hint = log.findConflictByTerm(Math.min(m.index, log.lastIndex), m.logTerm)
  response.index = m.index
  response.isRejected = true
  response.rejectHint = hint.index
  response.logTerm = hint.term
  send(replica, response)
}

/** Entries follow each other and the entry before them, in terms that do not fall or pass the leader's. */
function isConsistent(m: Message): boolean {
  let { index, logTerm: term } = m
  for (const entry of m.entries) {
    index++
    if (entry.index !== index || !(entry.term >= term)) return false
    term = entry.term
  }
  return term <= m.term
}

/**
 * The leader knows that we hold everything up to m.commit. Should that not be so, this log was lost or
 * cut; the replica then stays behind for good rather than commit what it does not have.
 */
export function receiveHeartbeat(replica: Replica, m: Message): void {
  const { log } = replica
  if (m.commit <= log.lastIndex) {
    log.commitTo(m.commit)
  } else {
    replica.trace(
      `ERROR ${nameOf(replica.id)} ignored commit ${m.commit} of ${nameOf(m.from)} [lastIndex(${log.lastIndex})]. Was the raft log corrupted, truncated, or lost?`,
    )
  }
  const response = draft('heartbeat-response', m.from)
  response.context = m.context
  send(replica, response)
}

export function receiveSnapshot(replica: Replica, m: Message): void {
  const { snapshot } = m
  const { log } = replica
  const response = draft('append-response', m.from)
  if (snapshot === undefined || !isPlausible(snapshot.metadata, m.term)) {
    replica.trace(`ERROR ${nameOf(replica.id)} ignored an invalid MsgSnap from ${nameOf(m.from)}`)
    return
  }
  const isRestored = restoreSnapshot(replica, snapshot)
  replica.trace(
    `INFO ${nameOf(replica.id)} [commit: ${log.committed}] ${isRestored ? 'restored' : 'ignored'} snapshot [index: ${snapshot.metadata.index}, term: ${snapshot.metadata.term}]`,
  )
  response.index = isRestored ? log.lastIndex : log.committed
  send(replica, response)
}

function isPlausible(metadata: { index: number; term: number }, leaderTerm: number): boolean {
  const { index, term } = metadata
  return (
    Number.isSafeInteger(index) && index >= 0 && index < 2 ** 52 && term >= 0 && term <= leaderTerm
  )
}

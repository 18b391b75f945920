// What a leader sends to its members, and its own log: appends, snapshots, heartbeats, commit.

import { assert } from '../../base/index.ts'
import { payloadsSize } from './entries.ts'
import { draft } from './messages.ts'
import { observe } from './observing.ts'
import { formatProgress, type PeerProgress } from './progress.ts'
import { nameOf, type Replica, send } from './replica.ts'
import type { Entry, EntryKind } from './types.ts'

/** An entry to be: the leader gives it term and index. */
export type Proposal = { readonly kind: EntryKind; readonly payload: Uint8Array }

export const emptyProposal: Proposal = { kind: 'normal', payload: new Uint8Array(0) }

/**
 * Appends to the leader's own log; false when that would exceed the limit of uncommitted bytes. When
 * nothing is uncommitted any size is allowed, and empty payloads always are: a new leader's first
 * entry and the end of a joint configuration must never be refused.
 */
export function appendAsLeader(replica: Replica, proposals: readonly Proposal[]): boolean {
  const { log, term } = replica
  let bytes = 0
  for (const { payload } of proposals) bytes += payload.length
  const total = replica.uncommittedBytes + bytes
  if (replica.uncommittedBytes > 0 && bytes > 0 && total > replica.uncommittedBytesMax) {
    replica.trace(
      `WARN ${nameOf(replica.id)} appending new entries to log would exceed uncommitted entry size limit; dropping proposal`,
    )
    return false
  }
  replica.uncommittedBytes = total
  let index = log.lastIndex
  const entries: Entry[] = []
  for (const { kind, payload } of proposals) {
    index++
    entries.push({ term, index, kind, payload })
  }
  for (const { kind } of entries) if (kind === 'normal') observe(replica, 'Replicate')
  log.append(entries)
  // The leader's own acknowledgement counts only once the entries are on its disk, hence a message.
  const response = draft('append-response', replica.id)
  response.index = index
  send(replica, response)
  return true
}

export function broadcastAppend(replica: Replica): void {
  for (const id of replica.tracker.ids) if (id !== replica.id) maybeSendAppend(replica, id, true)
}

/** An append with what the member lacks, or a snapshot when the log no longer has it. */
export function maybeSendAppend(replica: Replica, to: number, sendIfEmpty: boolean): boolean {
  const peer = replica.tracker.get(to)
  if (peer === undefined || peer.isPaused) return false
  const { log } = replica
  const index = peer.next - 1
  const logTerm = log.term(index)
  if (typeof logTerm !== 'number') return maybeSendSnapshot(replica, to, peer)
  // A full window still lets empty appends pass, so that a pipeline of lost messages is noticed.
  const isBlocked = peer.state === 'replicate' && peer.inflights.isFull
  const entries = isBlocked ? [] : log.entries(peer.next, replica.config.maxSizePerMessage)
  if (entries === 'compacted') return maybeSendSnapshot(replica, to, peer)
  if (entries.length === 0 && !sendIfEmpty) return false

  const message = draft('append', to)
  message.index = index
  message.logTerm = logTerm
  message.entries = entries
  message.commit = log.committed
  send(replica, message)
  peer.sentEntries(entries.length, payloadsSize(entries))
  peer.sentCommit = log.committed
  return true
}

function maybeSendSnapshot(replica: Replica, to: number, peer: PeerProgress): boolean {
  const { log, trace } = replica
  if (!peer.isRecentActive) {
    trace(`DEBUG ignore sending snapshot to ${nameOf(to)} since it is not recently active`)
    return false
  }
  const snapshot = log.snapshot()
  if (snapshot === 'unavailable') {
    trace(
      `DEBUG ${nameOf(replica.id)} failed to send snapshot to ${nameOf(to)} because snapshot is temporarily unavailable`,
    )
    return false
  }
  const { index, term } = snapshot.metadata
  assert(index > 0, 'a compacted log has a snapshot')
  trace(
    `DEBUG ${nameOf(replica.id)} [firstindex: ${log.firstIndex}, commit: ${log.committed}] sent snapshot[index: ${index}, term: ${term}] to ${nameOf(to)} [${formatProgress(peer.view())}]`,
  )
  peer.becomeSnapshot(index)
  trace(
    `DEBUG ${nameOf(replica.id)} paused sending replication messages to ${nameOf(to)} [${formatProgress(peer.view())}]`,
  )
  const message = draft('snapshot', to)
  message.snapshot = snapshot
  send(replica, message)
  return true
}

/**
 * Heartbeats to all. The commit index is cut to what the member is known to hold: it may lack, or hold
 * differently, what lies beyond.
 */
export function broadcastHeartbeat(replica: Replica): void {
  const context = replica.reads.heartbeatContext()
  for (const id of replica.tracker.ids) {
    const peer = replica.tracker.get(id)
    if (id === replica.id || peer === undefined) continue
    const message = draft('heartbeat', id)
    message.commit = Math.min(peer.match, replica.log.committed)
    message.context = context
    send(replica, message)
    peer.sentCommit = message.commit
  }
}

/** Moves the commit index to what a quorum holds; true when it moved. */
export function maybeCommit(replica: Replica): boolean {
  const hasMoved = replica.log.maybeCommit(replica.tracker.committed(), replica.term)
  observe(replica, 'Commit')
  return hasMoved
}

export function sendTimeoutNow(replica: Replica, to: number): void {
  send(replica, draft('timeout-now', to))
}

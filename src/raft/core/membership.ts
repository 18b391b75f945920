// Configurations coming into force: by an applied entry, by a snapshot, at start.

import { assert } from '../../base/index.ts'
import {
  allVoters,
  formatMembership,
  type Reconfiguration,
  reconfigure,
  restoreMembership,
} from './confchange.ts'
import { becomeFollower, nameOf, type Replica } from './replica.ts'
import { broadcastAppend, maybeCommit, maybeSendAppend, sendTimeoutNow } from './sending.ts'
import { type ConfChange, type ConfState, none, type Snapshot } from './types.ts'
import { observe } from './observing.ts'

type Changed = Extract<Reconfiguration, { kind: 'changed' }>

/** The configuration that storage holds. */
export function loadMembership(replica: Replica, state: ConfState): void {
  const restored = restoreMembership(state)
  assert(restored.kind === 'changed', 'the stored configuration is a valid one')
  switchTo(replica, restored)
}

/**
 * Applies a committed change. A change that is not allowed is void: every member sees the same
 * configuration at the same index and so refuses it alike. While a snapshot is being installed the
 * change is of an entry before it: it tells the state machine's configuration, not the one in force.
 */
export function applyConfChange(replica: Replica, change: ConfChange): ConfState {
  const { supersededMembership } = replica
  const membership = supersededMembership ?? replica.tracker.membership
  const next = reconfigure(membership, change)
  if (next.kind === 'changed') {
    if (supersededMembership === undefined) return switchTo(replica, next)
    replica.supersededMembership = next.membership
    return next.membership
  }
  replica.trace(
    `ERROR ${nameOf(replica.id)} void conf change at config ${formatMembership(membership)}: ${next.reason}`,
  )
  return membership
}

/**
 * Takes a snapshot of the leader unless what it covers is here already; false when it was ignored,
 * because it is obsolete or because it is one that no correct leader sends. Its configuration need not
 * name this replica: (1) a snapshot is taken and the log cut; (2) a member is added; (3) it is sent the
 * snapshot, and learns of its own membership from the entries after it. Refusing would cut it off
 * until the leader takes the next snapshot.
 */
export function restoreSnapshot(replica: Replica, snapshot: Snapshot): boolean {
  const { log, trace, id } = replica
  const { index, term, confState } = snapshot.metadata
  if (index <= log.committed) return false
  const restored = restoreMembership(confState)
  if (restored.kind === 'refused') {
    trace(`WARN ${nameOf(id)} ignored a snapshot with an invalid ConfState: ${restored.reason}`)
    return false
  }
  if (log.isMatching(index, term)) {
    traceRestore(replica, 'fast-forwarded commit to', index, term)
    log.commitTo(index)
    return false
  }
  replica.supersededMembership ??= replica.tracker.membership
  log.restore(snapshot)
  replica.tracker.clear()
  switchTo(replica, restored)
  traceRestore(replica, 'restored', index, term)
  return true
}

function switchTo(replica: Replica, next: Changed): ConfState {
  const { tracker, log, id } = replica
  const { membership } = next
  observe(replica, 'ApplyConfChange', { newVoters: membership.voters })
  tracker.adopt(next, log.lastIndex)
  replica.trace(`INFO ${nameOf(id)} switched to configuration ${formatMembership(membership)}`)
  const own = tracker.get(id)
  replica.isLearner = own?.isLearner ?? false
  if (replica.role !== 'leader') return membership
  if (own === undefined || own.isLearner) {
    if (replica.config.stepDownOnRemoval) stepDown(replica)
    return membership
  }
  // The new quorum may have committed more; new members should not wait for the next heartbeat.
  if (maybeCommit(replica)) broadcastAppend(replica)
  else for (const peer of tracker.ids) if (peer !== id) maybeSendAppend(replica, peer, false)
  if (replica.leadTransferee !== none && !allVoters(membership).includes(replica.leadTransferee)) {
    replica.leadTransferee = none
  }
  return membership
}

function stepDown(replica: Replica): void {
  const { tracker, log } = replica
  if (replica.config.handOverOnRemoval) {
    const heir = tracker.membership.voters.find((id) => tracker.get(id)?.match === log.lastIndex)
    if (heir !== undefined) sendTimeoutNow(replica, heir)
  }
  becomeFollower(replica, replica.term, none)
}

function traceRestore(replica: Replica, verb: string, index: number, term: number): void {
  const { log } = replica
  const last = log.lastEntryId()
  replica.trace(
    `INFO ${nameOf(replica.id)} [commit: ${log.committed}, lastindex: ${last.index}, lastterm: ${last.term}] ${verb} snapshot [index: ${index}, term: ${term}]`,
  )
}

// Proposals on the leader, and the end of a joint configuration that the leader proposes by itself.
//
// At most one configuration change is on its way: a second is appended as an empty entry instead, so
// that its proposer's entry still commits and is seen to have no effect.

import { decodeConfChange } from './confchange-codec.ts'
import { allVoters, formatMembership, isJoint, reconfigure } from './confchange.ts'
import { observeChange } from './observing.ts'
import { nameOf, type Replica } from './replica.ts'
import { appendAsLeader, broadcastAppend, emptyProposal, type Proposal } from './sending.ts'
import { type ConfChange, none } from './types.ts'

/** Appends and sends what is proposed; 'dropped' leaves no trace. */
export function proposeAsLeader(
  replica: Replica,
  proposals: readonly Proposal[],
): 'ok' | 'dropped' {
  if (proposals.length === 0) return 'dropped'
  // A leader that was removed goes on until it steps down, but takes nothing more.
  if (replica.tracker.get(replica.id) === undefined) return 'dropped'
  if (replica.leadTransferee !== none) {
    replica.trace(
      `DEBUG ${nameOf(replica.id)} [term ${replica.term}] transfer leadership to ${nameOf(replica.leadTransferee)} is in progress; dropping proposal`,
    )
    return 'dropped'
  }
  if (replica.heldUntil > replica.log.applied) return 'dropped'
  let pending = replica.pendingConfIndex
  let accepted = proposals
  for (let i = 0; i < proposals.length; i++) {
    const proposal = proposals[i] as Proposal
    if (proposal.kind === 'normal') continue
    const change = decodeConfChange(proposal)
    if (change === undefined) return 'dropped'
    const failed = replica.config.disableConfChangeValidation
      ? undefined
      : checkChange(replica, change, pending)
    if (failed === undefined) {
      pending = replica.log.lastIndex + i + 1
      observeChange(replica, change)
      continue
    }
    replica.trace(
      `INFO ${nameOf(replica.id)} ignoring conf change ${formatConfChange(change)} at config ${formatMembership(replica.tracker.membership)}: ${failed}`,
    )
    accepted = accepted.map((kept, at) => (at === i ? emptyProposal : kept))
  }
  const hasChange = pending !== replica.pendingConfIndex
  if (!appendAsLeader(replica, accepted)) return 'dropped'
  replica.pendingConfIndex = pending
  if (hasChange && replica.config.handOverOnRemoval) holdBeforeRemoval(replica, accepted)
  broadcastAppend(replica)
  return 'ok'
}

/** Takes no more proposals when this replica votes no longer once what was appended is applied. */
function holdBeforeRemoval(replica: Replica, appended: readonly Proposal[]): void {
  let { membership } = replica.tracker
  for (const proposal of appended) {
    const change = decodeConfChange(proposal)
    const next = change === undefined ? undefined : reconfigure(membership, change)
    if (next?.kind === 'changed') membership = next.membership
  }
  if (!allVoters(membership).includes(replica.id)) replica.heldUntil = replica.log.lastIndex
}

/** Why the change may not be appended now. */
function checkChange(replica: Replica, change: ConfChange, pending: number): string | undefined {
  const { log, tracker } = replica
  if (pending > log.applied) {
    return `possible unapplied conf change at index ${pending} (applied to ${log.applied})`
  }
  const wantsLeave = change.changes.length === 0
  if (isJoint(tracker.membership) && !wantsLeave) return 'must transition out of joint config first'
  if (!isJoint(tracker.membership) && wantsLeave) {
    return 'not in joint state; refusing empty conf change'
  }
  const next = reconfigure(tracker.membership, change)
  return next.kind === 'refused' ? next.reason : undefined
}

/**
 * The state machine has applied up to index. A leader in a joint configuration with auto-leave then
 * proposes to leave it; should that be dropped, the next applied entry tries again, and so does each heartbeat.
 */
export function appliedTo(replica: Replica, index: number, bytes: number): void {
  const { log, tracker } = replica
  const applied = Math.max(index, log.applied)
  log.appliedTo(applied, bytes)
  const config = formatMembership(tracker.membership)
  if (leaveWhenDue(replica) !== 'dropped') return
  replica.trace(
    `DEBUG not initiating automatic transition out of joint configuration ${config}: raft proposal dropped`,
  )
}

/**
 * A leader whose joint configuration is applied, and which shall leave it by itself, proposes to. It must not depend
 * on the next entry for that: where nobody writes, a proposal that a transfer of leadership had dropped once would
 * leave the group in two majorities for ever, and no other change could begin.
 */
export function leaveWhenDue(replica: Replica): 'ok' | 'dropped' | undefined {
  const { log, tracker } = replica
  const { membership } = tracker
  if (!membership.autoLeave || replica.role !== 'leader') return undefined
  if (log.applied < replica.pendingConfIndex) return undefined
  const leave: Proposal = { kind: 'conf-change-v2', payload: emptyProposal.payload }
  const config = formatMembership(membership)
  const outcome = proposeAsLeader(replica, [leave])
  if (outcome === 'ok') {
    replica.trace(`INFO initiating automatic transition out of joint configuration ${config}`)
  }
  return outcome
}

/** The snapshot at index is durable and applied; whatever was being applied before it is settled. */
export function appliedSnapshot(replica: Replica, index: number): void {
  const { log } = replica
  log.unstable.stableSnapshotTo(index)
  if (log.unstable.snapshot === undefined) replica.supersededMembership = undefined
  appliedTo(replica, index, Number.POSITIVE_INFINITY)
}

/** Applied entries no longer count against the limit of uncommitted bytes. */
export function reduceUncommitted(replica: Replica, bytes: number): void {
  replica.uncommittedBytes = Math.max(0, replica.uncommittedBytes - bytes)
}

const transitionNames: Readonly<Record<ConfChange['transition'], string>> = {
  auto: 'ConfChangeTransitionAuto',
  'joint-implicit': 'ConfChangeTransitionJointImplicit',
  'joint-explicit': 'ConfChangeTransitionJointExplicit',
}
const kindNames: Readonly<Record<ConfChange['changes'][number]['kind'], string>> = {
  'add-voter': 'ConfChangeAddNode',
  remove: 'ConfChangeRemoveNode',
  update: 'ConfChangeUpdateNode',
  'add-learner': 'ConfChangeAddLearnerNode',
}

function formatConfChange(change: ConfChange): string {
  let text = `transition:${transitionNames[change.transition]}`
  for (const { kind, nodeId } of change.changes) {
    text += ` changes:{type:${kindNames[kind]} node_id:${nodeId}}`
  }
  return text
}

// Resting: a group in which nothing happens needs neither ticks nor heartbeats of its own. Its leader and
// its followers stand still, and the pulses between their two nodes (pulses.ts) count as its heartbeats.
//
// Resting changes no rule. Whatever concerns the group ends the rest first: a proposal, a read, any
// message, silence of a node that vouches for it. From then on it ticks as if it had always done so:
// resumed() puts the timers where heartbeats at the moments of the pulses would have left them.
//
// Trap: a follower may rest only where it holds and knows as committed all that the leader has.
// 1. The leader commits entry 9 with one follower and rests. 2. The other holds 9 as uncommitted and
// rests too. 3. Nothing tells it of the commit until something else happens in the group.

import { none } from './types.ts'
import type { Replica } from './replica.ts'

/** Whether this leader has nothing left to do or to tell, and a quorum of the members is up. */
export function canRest(replica: Replica, isUp: (id: number) => boolean): boolean {
  const { log, tracker, id } = replica
  const { lastIndex } = log
  if (replica.role !== 'leader' || replica.leadTransferee !== none) return false
  if (log.committed !== lastIndex || log.applied !== lastIndex || log.unstable.count > 0)
    return false
  if (!replica.reads.isEmpty || tracker.membership.votersOutgoing.length > 0) return false
  for (const member of tracker.ids) {
    const peer = tracker.get(member)
    if (peer === undefined || member === id || !isUp(member)) continue
    if (peer.state !== 'replicate' || peer.match !== lastIndex) return false
  }
  return tracker.isQuorum((member) => member === id || isUp(member))
}

/** Whether this follower holds, as committed, all that `leader` has. */
export function canRestUnder(
  replica: Replica,
  {
    leader,
    term,
    index,
  }: { readonly leader: number; readonly term: number; readonly index: number },
): boolean {
  const { log } = replica
  if (replica.role !== 'follower' || replica.leader !== leader || replica.term !== term)
    return false
  return log.lastIndex === index && log.committed === index && log.unstable.snapshot === undefined
}

/** Followers: the leader's node was last heard `silentTicks` ago. */
export function resumeFollower(replica: Replica, silentTicks: number): void {
  if (replica.role !== 'leader') replica.electionElapsed = silentTicks
}

/** Leaders: `wasHeard` tells whose node was heard within the election timeout. Heartbeats are due at once. */
export function resumeLeader(replica: Replica, wasHeard: (id: number) => boolean): void {
  if (replica.role !== 'leader') return
  replica.electionElapsed = 0
  replica.heartbeatElapsed = replica.config.heartbeatTicks
  for (const member of replica.tracker.ids) {
    const peer = replica.tracker.get(member)
    if (peer !== undefined && member !== replica.id) peer.isRecentActive = wasHeard(member)
  }
}

// What the leader of a group should change next so that the group's configuration follows the member
// list. One change at a time; the answer depends on the two lists and the match indices alone.
//
// Rules, first that applies:
// 1. A member that the configuration lacks becomes a learner: it catches up without a vote.
// 2. A learner that took the place of a removed voter becomes a voter in the same joint change that
//    removes the old one, once it has caught up. Removing first would shrink the group, and two of two
//    must then agree where two of three sufficed.
// 3. A removed learner, or a removed voter that nobody replaces, leaves.
// 4. A draining voter becomes a learner. Where another learner is to have its vote, that one is promoted in the
//    same joint change, once it has caught up; otherwise only when a majority of those that stay is up.
//    Demoting first: 1. voters 1, 2, 3; node 3 drains, node 4 is still being sent its snapshot; 2. node 3 is
//    demoted; 3. node 2 dies, and one of two is no majority, although four machines were there.
// 5. While there are fewer voters than wanted, the learner with the lowest id that has caught up is
//    promoted; one that drains is not.

import type { NodeId } from '../../base/index.ts'
import type { Member } from '../cluster.ts'

export type Configuration = {
  readonly voters: readonly NodeId[]
  readonly learners: readonly NodeId[]
  /** Not empty: a joint change is under way. */
  readonly votersOutgoing: readonly NodeId[]
  /** Highest log index known to be on each member. */
  readonly match: ReadonlyMap<NodeId, number>
  readonly commit: number
  /** Whether the leader reaches it now. Absent: it is taken to. */
  readonly isUp?: (id: NodeId) => boolean
}

export type ConfigurationChange = {
  readonly addVoters?: readonly NodeId[]
  readonly addLearners?: readonly NodeId[]
  readonly remove?: readonly NodeId[]
}

/** The fewest voters of which one may fail. */
const soundVoters = 3
/** Entries that a learner may lack when it is promoted: a fraction of a second of work. */
const lagMax = 64

export function planMembership(
  members: readonly Member[],
  now: Configuration,
  votersWanted: number,
): ConfigurationChange | undefined {
  if (now.votersOutgoing.length > 0) return undefined
  const present = members.filter(isPresent).sort((a, b) => a.id - b.id)
  const presentIds = new Set(present.map((member) => member.id))
  const missing = present.filter(({ id }) => !now.voters.includes(id) && !now.learners.includes(id))
  if (missing.length > 0) return { addLearners: missing.map((member) => member.id) }

  // Who never answered this leader (match 0) may be down, or refuse it: as a voter it would cost the quorum.
  const hasCaughtUp = (id: NodeId): boolean => {
    const match = now.match.get(id) ?? 0
    return match > 0 && match + lagMax >= now.commit
  }
  const goneVoters = now.voters.filter((id) => !presentIds.has(id))
  for (const gone of goneVoters) {
    const successor = successorOf(members, gone)
    if (successor === undefined || now.voters.includes(successor.id)) return { remove: [gone] }
    if (hasCaughtUp(successor.id)) return { addVoters: [successor.id], remove: [gone] }
  }
  const goneLearners = now.learners.filter((id) => !presentIds.has(id))
  if (goneLearners.length > 0) return { remove: goneLearners }
  if (goneVoters.length > 0) return undefined
  const seats = { leaving: drainingIds(present), votersWanted, hasCaughtUp }
  return planDemotion(now, seats) ?? planPromotion(now, seats)
}

type Seats = {
  readonly leaving: ReadonlySet<NodeId>
  readonly votersWanted: number
  readonly hasCaughtUp: (id: NodeId) => boolean
}

/** Rule 4, for the draining voter with the lowest place in the list. */
function planDemotion(now: Configuration, seats: Seats): ConfigurationChange | undefined {
  const { leaving, votersWanted, hasCaughtUp } = seats
  const isUp = now.isUp ?? (() => true)
  const leaver = now.voters.find((id) => leaving.has(id))
  if (leaver === undefined) return undefined
  const staying = now.voters.filter((id) => !leaving.has(id))
  const spares = now.learners.filter((id) => !leaving.has(id))
  if (staying.length < votersWanted && spares.length > 0) {
    const next = spares.find(hasCaughtUp)
    if (next !== undefined) return { addVoters: [next], addLearners: [leaver] }
    // With fewer than three no voter may fail: then one that is down is waited for too.
    if (staying.length < soundVoters || spares.some(isUp)) return undefined
  }
  const remaining = now.voters.filter((id) => id !== leaver)
  const sound = remaining.filter((id) => isUp(id) && hasCaughtUp(id))
  const isSafe = staying.length > 0 && sound.length > remaining.length / 2
  return isSafe ? { addLearners: [leaver] } : undefined
}

/** Rule 5. */
function planPromotion(now: Configuration, seats: Seats): ConfigurationChange | undefined {
  if (now.voters.length >= seats.votersWanted) return undefined
  const next = now.learners.find((id) => !seats.leaving.has(id) && seats.hasCaughtUp(id))
  return next === undefined ? undefined : { addVoters: [next] }
}

function drainingIds(members: readonly Member[]): ReadonlySet<NodeId> {
  return new Set(members.filter(({ state }) => state === 'draining').map(({ id }) => id))
}

/** Whether the configuration is what the member list asks for, so that nothing is left to wait for. */
export function isInStep(
  members: readonly Member[],
  now: Configuration,
  votersWanted: number,
): boolean {
  const present = members.filter(isPresent)
  const held = now.voters.length + now.learners.length
  if (now.votersOutgoing.length > 0 || present.length !== held) return false
  const leaving = drainingIds(present)
  const staying = now.voters.filter((id) => !leaving.has(id))
  if (staying.length > 0 && staying.length < now.voters.length) return false
  const spares = now.learners.filter((id) => !leaving.has(id))
  if (spares.length > 0 && now.voters.length < votersWanted) return false
  return present.every(({ id }) => now.voters.includes(id) || now.learners.includes(id))
}

function isPresent(member: Member): boolean {
  return member.state !== 'removed' && member.state !== 'unpaired' && member.state !== 'pending'
}

/** Who holds the place of a removed member now: the end of the chain of replacements. */
function successorOf(members: readonly Member[], gone: NodeId): Member | undefined {
  let id = gone
  for (let step = 0; step <= members.length; step++) {
    const next = members.find((member) => member.replaces === id)
    if (next === undefined) return undefined
    if (isPresent(next)) return next
    id = next.id
  }
  return undefined
}

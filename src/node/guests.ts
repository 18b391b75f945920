// Whom this node lets in although its member list does not name them: replicas of its groups, for consensus alone.
//
// That list may be older here than a group's configuration (after a loss of power the store starts behind the log), and
// the unknown member may be the leader who would bring it up to date. A member that is known to be removed never is
// one, in steps: 1. node 3 is removed while it is cut off, its certificate good for days; 2. it dials; the
// configuration of a group still names it, until the leader has changed that; 3. without this it would be let in.

import type { NodeId } from '../base/index.ts'
import type { Member } from '../cluster/index.ts'
import type { Group } from '../raft/index.ts'

export class Guests {
  /** Never members again: a number is given once. */
  readonly #removed = new Set<NodeId>()

  /** What a member list says, be it an old one. */
  note(members: readonly Pick<Member, 'id' | 'state'>[]): void {
    for (const { id, state } of members) if (state === 'removed') this.#removed.add(id)
  }

  isExpected(id: NodeId, groups: readonly Pick<Group, 'status'>[]): boolean {
    return !this.#removed.has(id) && groups.some((group) => isInGroup(group, id))
  }
}

function isInGroup(group: Pick<Group, 'status'>, id: NodeId): boolean {
  const { voters, learners, votersOutgoing } = group.status()
  return [voters, learners, votersOutgoing].some((ids) => ids.includes(id))
}

// Who leads a group next, when its leader means to stop or to leave.

import { isFault, type NodeId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Group, GroupStatus, Raft } from '../raft/index.ts'
import type { Rpc } from '../rpc/index.ts'

/** Of the voters that may, the one that has most of the log. */
export function heirOf(
  { voters, match }: GroupStatus,
  isHeir: (id: NodeId) => boolean,
): NodeId | undefined {
  const others = voters.filter(isHeir)
  return others.sort((a, b) => (match.get(b) ?? 0) - (match.get(a) ?? 0) || a - b)[0]
}

type Deps = {
  readonly host: Host
  readonly raft: Raft
  readonly rpc: Rpc
  readonly self: NodeId
}

/**
 * Gives up the leadership of every group before this node stops, so that nobody waits for an election. Settles when each
 * has another leader or its transfer has run out of time (two election timeouts); a group without a voter that can be
 * reached keeps its leader to the end.
 */
export async function handOver({ host, raft, rpc, self }: Deps): Promise<void> {
  const isHeir = (id: NodeId): boolean => id !== self && rpc.isReachable(id)
  const give = async (group: Group): Promise<boolean> => {
    const status = group.status()
    const heir = status.role === 'leader' ? heirOf(status, isHeir) : undefined
    if (heir === undefined) return false
    return await group.transferLeadership(heir).then(
      () => true,
      (error: unknown) => {
        if (!isFault(error)) throw error
        return false
      },
    )
  }
  const given = await Promise.all(raft.groups().map(give))
  const count = given.filter((isGiven) => isGiven).length
  if (count > 0) host.journal.event('notice', 'node.leads_handed_over', { groups: count })
}

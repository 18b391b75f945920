// A group's status for people and for other rooms, from the core's status.

import type { GroupId, LogIndex, NodeId, Term } from '../base/index.ts'
import type { RawNode, SnapshotMetadata, SoftState } from './core/index.ts'
import type { Fence } from './fence.ts'
import type { GroupStatus } from './group.ts'

type CoreStatus = ReturnType<RawNode['status']>

export function statusOf(
  core: CoreStatus,
  local: {
    readonly group: GroupId
    readonly name: string
    readonly applied: SnapshotMetadata
    /** As of the last turn: what proposals are accepted by. */
    readonly softState: SoftState
    readonly firstIndex: number
    readonly lastIndex: number
    readonly heardMs: (core: CoreStatus) => number
    readonly fence: Fence
  },
): GroupStatus {
  const { voters, learners, votersOutgoing } = local.applied.confState
  const match = new Map<NodeId, LogIndex>()
  for (const [id, progress] of core.progress) match.set(id as NodeId, progress.match as LogIndex)
  return {
    group: local.group,
    name: local.name,
    role: local.softState.role,
    isLearner: learners.includes(core.id),
    term: core.hardState.term as Term,
    leader: local.softState.leader === 0 ? undefined : (local.softState.leader as NodeId),
    commit: core.hardState.commit as LogIndex,
    applied: local.applied.index as LogIndex,
    firstIndex: local.firstIndex as LogIndex,
    lastIndex: local.lastIndex as LogIndex,
    voters: voters as readonly NodeId[],
    learners: learners as readonly NodeId[],
    votersOutgoing: votersOutgoing as readonly NodeId[],
    match,
    heardMs: local.heardMs(core),
    fence: local.fence,
  }
}

/**
 * When the leader was last heard; on the leader, the latest moment by which a quorum of voters (of
 * both halves of a joint configuration) had been heard, itself counting as now. 0: never.
 */
export function heardMsOf(core: CoreStatus, heard: (id: number) => number, nowMs: number): number {
  const { role, leader } = core.softState
  if (role !== 'leader') return heard(leader)
  const at = (id: number): number => (id === core.id ? nowMs : heard(id))
  const { voters, votersOutgoing } = core.confState
  return Math.min(quorumMs(voters.map(at)), quorumMs(votersOutgoing.map(at)))
}

function quorumMs(heardMs: readonly number[]): number {
  const sorted = [...heardMs].sort((a, b) => b - a)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.MAX_SAFE_INTEGER
}

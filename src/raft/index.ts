export { createRaft, type RaftDependencies } from './driver.ts'
export { type Fence, type FenceRelation, formatFence, supersededFault } from './fence.ts'
export type {
  AppliedEntry,
  Foreign,
  Group,
  GroupOptions,
  GroupStatus,
  MembershipChange,
  Raft,
  RaftOptions,
  RaftStatistics,
  Role,
  SnapshotSink,
  SnapshotSource,
  StateMachine,
} from './group.ts'
export {
  planQuorumRecovery,
  type QuorumRecovery,
  runQuorumRecovery,
  type StoredGroup,
  storedGroups,
} from './quorum-recovery.ts'
export { raftTable } from './state-row.ts'

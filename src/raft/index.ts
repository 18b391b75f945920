export { createRaft, type RaftDependencies } from './driver.ts'
export type { Fence, FenceRelation } from './fence.ts'
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
export { raftTable } from './state-row.ts'

export type {
  AppliedEntry,
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

export { createRaft, type RaftDependencies } from './driver.ts'
export { type Fence, type FenceRelation, formatFence, supersededFault } from './fence.ts'
export type {
  AppliedEntry,
  Foreign,
  Group,
  GroupOptions,
  GroupStatus,
  Intake,
  MembershipChange,
  Raft,
  RaftOptions,
  RaftStatistics,
  Role,
  SnapshotOptions,
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
export { restorePath } from './restoring.ts'
export { snapshotSettingsOf } from './settings.ts'
export { headOf, scanSnapshotFile, type SnapshotHead } from './snapshot-file.ts'
export { type ShelvedSnapshot, shelvedSnapshots } from './snapshot-shelf.ts'
export { raftTable } from './state-row.ts'

export { type NodeConfig, snapshotsPathOf } from './config.ts'
export { type RunningNode, startNode } from './node.ts'
export { type OfflineNode, openOffline } from './offline.ts'
export { parseSharedKey } from '../rpc/index.ts'
export {
  headOf,
  type QuorumRecovery,
  restorePath,
  scanSnapshotFile,
  type ShelvedSnapshot,
  type SnapshotHead,
  shelvedSnapshots,
} from '../raft/index.ts'
export type { DrainProgress, MovesProgress } from './leaving-actions.ts'
export type { ClusterStatus } from './status.ts'
export type { ConsoleAsset } from '../gateways/console/index.ts'

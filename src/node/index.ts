export type { NodeConfig } from './config.ts'
export { type RunningNode, startNode } from './node.ts'
export type { ClusterStatus } from './status.ts'

// Method numbers of the two ports. A number keeps its meaning for ever; retired ones are not reused.

/** Consensus and control port (6660). */
export const controlMethod = {
  raftMessages: 1,
  raftSnapshot: 2,
  raftPulse: 3,
  keyspaceRequest: 16,
  keyspaceReadIndex: 17,
  nodeStatus: 32,
  namespaceTransfer: 33,
  heartbeat: 40,
  heartbeatFor: 41,
  heartbeatRows: 42,
  meshFounding: 48,
  meshCommand: 49,
  meshCommands: 50,
  trustReport: 64,
  trustRenew: 65,
  trustSealKey: 66,
} as const

/** Bulk port (9991). */
export const bulkMethod = {
  shardWrite: 1,
  shardRead: 2,
  shardDelete: 3,
  shardTouch: 4,
  shardList: 5,
  shardVerify: 6,
} as const

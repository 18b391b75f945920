// Method numbers of the two ports, and who may use each. A number keeps its meaning for ever; retired ones are not
// reused.
//
// Every connection between nodes has proved its node before a byte of it is read, and who is not among the members is cut
// there. The tables say what a connection that is let in may ask for: a port that is given one serves nothing else, so
// that a method without a rule cannot come into being (`MethodTable` wants every name, serving asserts the number).

import type { MethodNumber } from './rpc.ts'

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
  sqlExecute: 80,
  sqlReplica: 81,
  sqlDiffers: 82,
  sqlCopy: 83,
  sqlTransaction: 84,
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

/**
 * Who may use a method.
 * - 'member': who is in the member list as this node has it.
 * - 'replica': also a guest, a node that a group here counts among its replicas while the list does not name it yet. What it
 *   sends is for that group alone: each message carries the group's fence.
 * - 'nobody': not served on this port, be it retired or another product's.
 */
export type Callers = 'member' | 'replica' | 'nobody'
export type MethodTable = ReadonlyMap<MethodNumber, Callers>

/** Of a node of the product. */
export const controlCallers: MethodTable = tableOf(controlMethod, {
  raftMessages: 'replica',
  raftSnapshot: 'replica',
  raftPulse: 'replica',
  // Any member asks for any namespace: it may lead where its neighbour only routes.
  keyspaceRequest: 'member',
  keyspaceReadIndex: 'nobody',
  nodeStatus: 'member',
  namespaceTransfer: 'member',
  heartbeat: 'member',
  heartbeatFor: 'member',
  heartbeatRows: 'member',
  meshFounding: 'nobody',
  meshCommand: 'nobody',
  meshCommands: 'nobody',
  trustReport: 'member',
  // For the asker's own number only.
  trustRenew: 'member',
  // Given to who has the capability 'control'.
  trustSealKey: 'member',
  // Any member asks: it may lead a database where its neighbour only routes.
  sqlExecute: 'member',
  sqlReplica: 'member',
  // From whom this node knows to lead the group.
  sqlDiffers: 'member',
  sqlCopy: 'member',
  sqlTransaction: 'member',
})

export const bulkCallers: MethodTable = tableOf(bulkMethod, {
  shardWrite: 'member',
  shardRead: 'member',
  shardDelete: 'member',
  shardTouch: 'member',
  shardList: 'nobody',
  shardVerify: 'member',
})

/** Of a mesh, where whoever the transport lets in is a guest until it is a member: its joining goes through commands. */
export const meshCallers: MethodTable = tableOf(controlMethod, {
  raftMessages: 'replica',
  raftSnapshot: 'replica',
  raftPulse: 'replica',
  keyspaceRequest: 'replica',
  keyspaceReadIndex: 'nobody',
  nodeStatus: 'nobody',
  namespaceTransfer: 'nobody',
  heartbeat: 'nobody',
  heartbeatFor: 'nobody',
  heartbeatRows: 'nobody',
  meshFounding: 'replica',
  meshCommand: 'replica',
  meshCommands: 'replica',
  trustReport: 'nobody',
  trustRenew: 'nobody',
  trustSealKey: 'nobody',
  sqlExecute: 'nobody',
  sqlReplica: 'nobody',
  sqlDiffers: 'nobody',
  sqlCopy: 'nobody',
  sqlTransaction: 'nobody',
})

function tableOf<Name extends string>(
  numbers: Readonly<Record<Name, MethodNumber>>,
  callers: Readonly<Record<Name, Callers>>,
): MethodTable {
  const names = Object.keys(numbers) as Name[]
  return new Map(names.map((name) => [numbers[name], callers[name]]))
}

// Branded identifiers: a term cannot be passed for an index.

declare const brand: unique symbol
type Branded<T, Name extends string> = T & { readonly [brand]: Name }

/**
 * A member's number: positive, unique for ever within a cluster. A node whose data directory was lost
 * returns under a new number (a voter that forgot its vote must not vote again), so the number names
 * an identity, not a machine or an address.
 */
export type NodeId = Branded<number, 'NodeId'>
/** A group's number in log records and frames: positive, unique for ever within a cluster. */
export type GroupId = Branded<number, 'GroupId'>
export type Term = Branded<number, 'Term'>
export type LogIndex = Branded<number, 'LogIndex'>
/** The revision of a keyspace: raised by one by each transaction that changes it (etcd's revision). */
export type Revision = Branded<number, 'Revision'>
/** A cluster's identity: 32 lower-case hexadecimal digits, drawn at genesis. */
export type ClusterId = Branded<string, 'ClusterId'>

export const nodeId = (value: number): NodeId => value as NodeId
export const groupId = (value: number): GroupId => value as GroupId
export const term = (value: number): Term => value as Term
export const logIndex = (value: number): LogIndex => value as LogIndex
export const revision = (value: number): Revision => value as Revision
export const clusterId = (value: string): ClusterId => value as ClusterId

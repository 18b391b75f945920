// Where a keyspace's rows are in the node's store.
//
// Every key starts with its space: group (8 bytes) and generation (4 bytes). The generation is local to
// this node: an installed snapshot is written beside the old state under the next generation, and one
// row of 'keyspaces' names the generation that counts. So replacing any amount of state is one small
// write, and what is left of the other generation is removed later, in bounded pieces.
//
//   keyspaces  group                      -> revision, digest, ...   (records.ts)
//   latest     space, key                 -> newest version of a key, also a deleted one's (tombstone)
//   history    space, revision, sub       -> one version of a key; leads to the version before it
//   sessions   space, session, sequence   -> answers given in one turn, named by the first of them
//   pending    space, revision, sub       -> a long value on its way to a segment
//   leases     space, id                  -> a lease
//   leasekeys  space, id, key             -> nothing: the keys of a lease

import { concatBytes, type GroupId, prefixEnd, uint64Bytes } from '../../base/index.ts'
import { type Allocate, allocateOwn, getUint32, getUint64, putUint32, putUint64 } from './bytes.ts'

export const spaceTables = [
  'latest',
  'history',
  'sessions',
  'pending',
  'leases',
  'leasekeys',
] as const
export const keyspaceTables = ['keyspaces', ...spaceTables] as const
export type KeyspaceTable = (typeof keyspaceTables)[number]

export type Row = { readonly key: Uint8Array; readonly value: Uint8Array }

/** The reading half of storage's Store: what the core needs of it. */
export type RowReader = {
  get(table: string, key: Uint8Array): Uint8Array | undefined
  range(
    table: string,
    range: {
      readonly start: Uint8Array
      readonly end?: Uint8Array
      readonly limit?: number
      readonly isReverse?: boolean
    },
  ): readonly Row[]
}
export type RowWriter = {
  put(table: string, key: Uint8Array, value: Uint8Array): void
  delete(table: string, key: Uint8Array): void
}
export type Rows = RowReader & RowWriter

/** The first 12 bytes of every key of a group's generation. */
export type Space = Uint8Array
export const spaceBytes = 12
export const generationMax = 0xffff_ffff

export function spaceOf(group: GroupId, generation: number): Space {
  const space = new Uint8Array(spaceBytes)
  space.set(uint64Bytes(group))
  putUint32(space, 8, generation)
  return space
}

export function latestKey(
  space: Space,
  key: Uint8Array,
  allocate: Allocate = allocateOwn,
): Uint8Array {
  const row = allocate(spaceBytes + key.length)
  row.set(space)
  row.set(key, spaceBytes)
  return row
}

export function userKey(rowKey: Uint8Array): Uint8Array {
  return rowKey.subarray(spaceBytes)
}

/** Of 'history' and 'pending', and of the value in its segment. */
export function versionKey(
  space: Space,
  version: { readonly modRevision: number; readonly sub: number },
  allocate: Allocate = allocateOwn,
): Uint8Array {
  const row = allocate(spaceBytes + 12)
  row.set(space)
  putUint64(row, spaceBytes, version.modRevision)
  putUint32(row, spaceBytes + 8, version.sub)
  return row
}

export function readVersionKey(rowKey: Uint8Array): { modRevision: number; sub: number } {
  return { modRevision: getUint64(rowKey, spaceBytes), sub: getUint32(rowKey, spaceBytes + 8) }
}

export function sessionKey(space: Space, session: number, sequence: number): Uint8Array {
  return concatBytes([space, uint64Bytes(session), uint64Bytes(sequence)])
}

export function readSessionKey(rowKey: Uint8Array): { session: number; sequence: number } {
  return {
    session: getUint64(rowKey, spaceBytes),
    sequence: getUint64(rowKey, spaceBytes + 8),
  }
}

/** The end of all keys of a space. */
export function spaceEnd(space: Space): Uint8Array {
  return prefixEnd(space)
}

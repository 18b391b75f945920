// The row that ties a group's state in the store to its log: table 'raft', key group id (uint64),
// written in the same transaction as the state itself, so both move together (law 10).
//
//   value    version u8 = 2 | crc32c of the rest u32
//            | protobuf {applied, term, configuration, digest, cluster id, generation, superseded by, name, voided to}
//
// Version 1 ends with the digest; it is read only.

import {
  bytes,
  crc32c,
  decodeBytes,
  encodeBytes,
  Fault,
  type GroupId,
  type MessageOf,
  message,
  bool,
  nested,
  repeated,
  text,
  uint,
  uint64Bytes,
} from '../base/index.ts'
import type { StoreReader } from '../storage/index.ts'
import type { ConfState } from './core/types.ts'
import type { Fence } from './fence.ts'

/** The store's table that the driver owns; whoever opens the store must name it. */
export const raftTable = 'raft'

/** What the store holds of a group: its state is that after entry `applied` of `term`. */
export type StateRow = {
  readonly applied: number
  readonly term: number
  readonly confState: ConfState
  readonly digest: Uint8Array
  readonly fence: Fence
  /** The generation of the recovery that gave this state up; 0: none did. */
  readonly supersededBy: number
  /** '' in rows of version 1. */
  readonly name: string
  /** Changes of members up to this entry have no effect: a recovery came after them (quorum-recovery.ts). */
  readonly voidedTo: number
}

export const confStateFields = message({
  voters: repeated(uint(1)),
  learners: repeated(uint(2)),
  votersOutgoing: repeated(uint(3)),
  learnersNext: repeated(uint(4)),
  autoLeave: bool(5),
})
const rowFields = message({
  applied: uint(1),
  term: uint(2),
  confState: nested(3, confStateFields),
  digest: bytes(4),
  clusterId: bytes(5),
  generation: uint(6),
  supersededBy: uint(7),
  name: text(8),
  voidedTo: uint(9),
})
const oldestVersion = 1
const rowVersion = 2
const rowHeaderBytes = 5

export const emptyConfState: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
}

export function stateRowKey(group: GroupId): Uint8Array {
  return uint64Bytes(group)
}

export function encodeStateRow(row: StateRow): Uint8Array {
  const { fence, ...others } = row
  const fields = { ...others, ...fence } as MessageOf<typeof rowFields>
  const body = encodeBytes(rowFields, fields)
  const value = new Uint8Array(rowHeaderBytes + body.length)
  value[0] = rowVersion
  value.set(body, rowHeaderBytes)
  new DataView(value.buffer).setUint32(1, crc32c(body))
  return value
}

/** Fault 'corrupt' for damaged bytes or another version. */
export function decodeStateRow(value: Uint8Array): StateRow {
  const version = value[0] ?? 0
  if (value.length < rowHeaderBytes || version < oldestVersion || version > rowVersion) {
    throw new Fault('corrupt', `a raft state row has version ${version}, known is ${rowVersion}`)
  }
  const body = value.slice(rowHeaderBytes)
  const sum = new DataView(value.buffer, value.byteOffset).getUint32(1)
  if (crc32c(body) !== sum) throw new Fault('corrupt', 'a raft state row fails its checksum')
  const { clusterId, generation, ...row } = decodeBytes(rowFields, body)
  return {
    ...row,
    confState: row.confState ?? emptyConfState,
    fence: { clusterId, generation },
  }
}

/** Undefined when the group has no state here. */
export function readStateRow(store: StoreReader, group: GroupId): StateRow | undefined {
  const value = store.get(raftTable, stateRowKey(group))
  return value === undefined ? undefined : decodeStateRow(value)
}

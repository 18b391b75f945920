// What the node's store holds of a database besides its file, in table 'sql', under the group's number:
//
//   group u64 | 's'              the state row: sealed record of kind 3 {file, index, digest, differsAt}
//   group u64 | 'e' | index u64  an entry of the tail, as the log has it (sealed by itself)
//
// The state row names the file that is the database (law 10) and the last entry that the store has seen.

import {
  bytes,
  type Codec,
  codecOf,
  concatBytes,
  type GroupId,
  message,
  readUint64,
  sealedRecord,
  uint,
  uint64Bytes,
  utf8Encode,
} from '../base/index.ts'
import type { StoreReader } from '../storage/index.ts'
import { sqlTable } from './table.ts'

export type StateRow = {
  readonly file: number
  readonly index: number
  /** Chained over the checksums of all entries. */
  readonly digest: Uint8Array
  /** The entry at which this replica was found to differ from most others; 0: it does not, as far as is known. */
  readonly differsAt: number
}

const stateKind = 3
const stateFields = message({ file: uint(1), index: uint(2), digest: bytes(3), differsAt: uint(4) })
export const stateCodec: Codec<StateRow> = sealedRecord(
  'sql state',
  stateKind,
  codecOf(stateFields),
)

const stateMark = utf8Encode('s')
const entryMark = utf8Encode('e')
const prefixBytes = 9

export function stateKey(group: GroupId): Uint8Array {
  return concatBytes([uint64Bytes(group), stateMark])
}

export function entryKey(group: GroupId, index: number): Uint8Array {
  return concatBytes([uint64Bytes(group), entryMark, uint64Bytes(index)])
}

/** Entries with from <= index < to. */
export function entryRange(group: GroupId, from: number, to = Number.MAX_SAFE_INTEGER) {
  return { start: entryKey(group, from), end: entryKey(group, to) }
}

/** Everything of a database. */
export function wholeRange(group: GroupId) {
  return { start: uint64Bytes(group), end: uint64Bytes(group + 1) }
}

export function readTail(
  store: StoreReader,
  group: GroupId,
  { from, limit }: { readonly from: number; readonly limit: number },
): readonly { readonly index: number; readonly payload: Uint8Array }[] {
  const rows = store.range(sqlTable, { ...entryRange(group, from), limit })
  return rows.map(({ key, value }) => ({ index: readUint64(key, prefixBytes), payload: value }))
}

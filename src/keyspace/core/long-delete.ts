// A delete of more keys than one turn should take, applied in slices while its group's log waits. Each
// slice is a turn's transaction of its own, so heartbeats and other groups come in between; the revision
// that all of them belong to is taken with the last one.
//
// Nobody sees a part of it: what the slices write bears the revision after the newest one, and readers and
// watches look at revisions up to the newest one only. Who reads 'latest' as it is waits (machine.whole()).
//
// How far it came is a row of 'keyspaces', committed with the slice. A replica that stops in between
// gets the same entry again and goes on there:
//
//   'deleting'  index 8, part 4, succeeded 1, deleted 8, digest 4 + 4, addedBytes 8, next key; sealed
//
// It is no part of a snapshot: none is taken meanwhile, and one that is installed has another space.

import { keyAfter, revision as toRevision, utf8Encode } from '../../base/index.ts'
import type { Operation, TxnRequest, TxnResponse } from '../keyspace.ts'
import { type Allocate, getUint32, getUint64, putUint32, putUint64 } from './bytes.ts'
import { checkTxn, hasPut } from './check.ts'
import type { TxnState } from './forecast.ts'
import type { LeaseTable } from './leases.ts'
import { seal, unseal } from './records.ts'
import { latestKey, type RowReader, type Rows, type Space, userKey } from './rows.ts'
import { scanEnd } from './scan.ts'
import { checkAlarms, holds, runDeletePage, type TxnOutcome } from './txn.ts'

/** Rows that a slice looks at. A lone delete of a range with more rows goes in slices. */
export const sliceRowsMax = 1024
const pageRows = 256
/** A slice of long keys ends earlier. */
const sliceBytesMax = 1024 * 1024
const headBytes = 37

export type LongDelete = {
  /** Of the entry. */
  readonly index: number
  /** Which of the writes of the entry. */
  readonly part: number
  readonly succeeded: boolean
  /** Where the next slice begins. */
  readonly next: Uint8Array
  readonly deleted: number
  readonly digest: { readonly a: number; readonly b: number }
  readonly addedBytes: number
}

/**
 * What begins when a transaction does nothing but delete one range of many rows, without previous values;
 * undefined for every other, which runs at once. Same faults as runTxn.
 */
export function planLongDelete(
  rows: RowReader,
  space: Space,
  run: {
    readonly request: TxnRequest
    readonly state: TxnState
    readonly index: number
    readonly part: number
  },
): LongDelete | undefined {
  const { request, state, index, part } = run
  if (loneDelete(request.success) === undefined && loneDelete(request.failure) === undefined) {
    return undefined
  }
  checkTxn(request)
  if (state.alarms !== 0) checkAlarms(state.alarms, hasPut(request))
  const succeeded = request.compares.every((compare) => holds(rows, space, compare))
  const operation = loneDelete(succeeded ? request.success : request.failure)
  if (operation === undefined) return undefined
  const { key, rangeEnd } = operation
  const bounds = { start: latestKey(space, key), end: scanEnd(space, key, rangeEnd) }
  const found = rows.range('latest', { ...bounds, limit: sliceRowsMax + 1 })
  if (found.length <= sliceRowsMax) return undefined
  const nothing = { deleted: 0, digest: { a: 0, b: 0 }, addedBytes: 0 }
  return { index, part, succeeded, next: key, ...nothing }
}

/** Deletes the next keys. */
export function runSlice(
  rows: Rows,
  space: Space,
  run: {
    readonly long: LongDelete
    readonly request: TxnRequest
    readonly state: TxnState
    readonly leases: LeaseTable
    readonly allocate: Allocate
  },
): { readonly long: LongDelete; readonly isDone: boolean } {
  const { request, state, leases, allocate } = run
  const operation = loneDelete(run.long.succeeded ? request.success : request.failure)
  const end = scanEnd(space, run.long.next, operation?.rangeEnd)
  let { next, deleted, digest, addedBytes } = run.long
  let [visited, bytes] = [0, 0]
  let isDone = false
  while (!isDone && visited < sliceRowsMax && bytes < sliceBytesMax) {
    const page = rows.range('latest', { start: latestKey(space, next), end, limit: pageRows })
    const outcome = runDeletePage(rows, space, { page, sub: deleted, state, leases, allocate })
    deleted += outcome.deleted
    digest = { a: (digest.a + outcome.digest.a) >>> 0, b: (digest.b + outcome.digest.b) >>> 0 }
    addedBytes += outcome.addedBytes
    const last = page.at(-1)
    if (last !== undefined) next = keyAfter(userKey(last.key))
    isDone = page.length < pageRows
    visited += page.length
    for (const row of page) bytes += row.key.length + row.value.length
  }
  return { long: { ...run.long, next, deleted, digest, addedBytes }, isDone }
}

/** What the whole of it did. */
export function outcomeOf(long: LongDelete, state: TxnState): TxnOutcome {
  const revision = state.revision + (long.deleted > 0 ? 1 : 0)
  const results = [{ kind: 'delete', deleted: long.deleted, previous: [] } as const]
  const response: TxnResponse = {
    revision: toRevision(revision),
    succeeded: long.succeeded,
    results,
  }
  const { digest, addedBytes } = long
  const isSuperseding = long.deleted > 0
  const nothing = { hasApart: false, pendingBytes: 0 }
  return { ...nothing, response, revision, digest, addedBytes, isSuperseding }
}

function loneDelete(
  operations: readonly Operation[],
): (Operation & { readonly kind: 'delete' }) | undefined {
  const [first] = operations
  if (operations.length !== 1 || first?.kind !== 'delete') return undefined
  return first.rangeEnd === undefined || first.previous === true ? undefined : first
}

const rowName = utf8Encode('deleting')

function rowKeyOf(space: Space): Uint8Array {
  return latestKey(space, rowName)
}

/** Answers the row, to be compared with what is stored. */
export function writeLongDelete(rows: Rows, space: Space, long: LongDelete): Uint8Array {
  const body = new Uint8Array(headBytes + long.next.length)
  putUint64(body, 0, long.index)
  putUint32(body, 8, long.part)
  body[12] = long.succeeded ? 1 : 0
  putUint64(body, 13, long.deleted)
  putUint32(body, 21, long.digest.a)
  putUint32(body, 25, long.digest.b)
  putUint64(body, 29, long.addedBytes)
  body.set(long.next, headBytes)
  const row = seal(rowName, body)
  rows.put('keyspaces', rowKeyOf(space), row)
  return row
}

export function readLongDeleteRow(rows: RowReader, space: Space): Uint8Array | undefined {
  return rows.get('keyspaces', rowKeyOf(space))
}

export function decodeLongDelete(row: Uint8Array): LongDelete {
  const body = unseal(rowName, row)
  return {
    index: getUint64(body, 0),
    part: getUint32(body, 8),
    succeeded: body[12] === 1,
    next: body.slice(headBytes),
    deleted: getUint64(body, 13),
    digest: { a: getUint32(body, 21), b: getUint32(body, 25) },
    addedBytes: getUint64(body, 29),
  }
}

export function dropLongDelete(rows: Rows, space: Space): void {
  rows.delete('keyspaces', rowKeyOf(space))
}

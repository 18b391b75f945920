// Physical compaction: removing what the floor of readable revisions (compacted) has made unreachable,
// a bounded piece at a time. No part of the replicated transition: replicas may be anywhere in it, and
// no answer or digest depends on it.
//
// Rows of history are visited once, in order of revision. A visited row is itself at or below the floor,
// so the version that it superseded is unreachable and goes; if it is a tombstone it goes as well, and
// with it the key's newest row when that is this tombstone. No row needs a search.

import { utf8Encode } from '../../base/index.ts'
import { decodeHistory, decodeLatest, seal, unseal } from './records.ts'
import {
  latestKey,
  type RowReader,
  type Rows,
  readVersionKey,
  type Space,
  userKey,
  versionKey,
} from './rows.ts'

/** Where the next visit begins. */
export type SweepCursor = { readonly modRevision: number; readonly sub: number }

export type SweepStep = {
  readonly cursor: SweepCursor
  readonly isDone: boolean
  /** Keys of long values whose rows are gone. */
  readonly garbage: readonly Uint8Array[]
  readonly visited: number
}

export function sweepStep(
  rows: Rows,
  space: Space,
  step: { readonly cursor: SweepCursor; readonly floor: number; readonly rowsMax: number },
): SweepStep {
  const garbage: Uint8Array[] = []
  const page = rows.range('history', {
    start: versionKey(space, step.cursor),
    end: versionKey(space, { modRevision: step.floor + 1, sub: 0 }),
    limit: step.rowsMax,
  })
  for (const row of page) sweepRow(rows, space, { rowKey: row.key, value: row.value, garbage })
  const last = page.at(-1)
  const isDone = last === undefined || page.length < step.rowsMax
  const at = last === undefined ? undefined : readVersionKey(last.key)
  const cursor =
    isDone || at === undefined
      ? { modRevision: Math.max(step.floor + 1, step.cursor.modRevision), sub: 0 }
      : { modRevision: at.modRevision, sub: at.sub + 1 }
  return { cursor, isDone, garbage, visited: page.length }
}

function sweepRow(
  rows: Rows,
  space: Space,
  row: {
    readonly rowKey: Uint8Array
    readonly value: Uint8Array
    readonly garbage: Uint8Array[]
  },
): void {
  const record = decodeHistory(userKey(row.rowKey), row.value)
  if (record.previousRevision > 0) {
    const { previousRevision: modRevision, previousSub: sub } = record
    const olderKey = versionKey(space, { modRevision, sub })
    const older = rows.get('history', olderKey)
    if (older !== undefined) {
      const isLong = decodeHistory(userKey(olderKey), older).kind === 'long'
      rows.delete('history', olderKey)
      if (isLong) {
        rows.delete('pending', olderKey)
        row.garbage.push(olderKey)
      }
    }
  }
  if (record.kind !== 'tombstone') return
  rows.delete('history', row.rowKey)
  const key = latestKey(space, record.key)
  const newest = rows.get('latest', key)
  if (newest === undefined) return
  const { kind, modRevision, sub } = decodeLatest(record.key, newest)
  const at = readVersionKey(row.rowKey)
  if (kind === 'tombstone' && modRevision === at.modRevision && sub === at.sub) {
    rows.delete('latest', key)
  }
}

/** The cursor survives restarts; losing it only means visiting rows again. */
const cursorName = utf8Encode('swept')

export function readCursor(rows: RowReader, space: Space): SweepCursor {
  const sealed = rows.get('keyspaces', cursorKey(space))
  if (sealed === undefined) return { modRevision: 0, sub: 0 }
  const body = unseal(cursorName, sealed)
  return readVersionKey(latestKey(space, body))
}

export function writeCursor(rows: Rows, space: Space, cursor: SweepCursor): void {
  const body = versionKey(space, cursor)
  rows.put('keyspaces', cursorKey(space), seal(cursorName, userKey(body)))
}

export function deleteCursor(rows: Rows, space: Space): void {
  rows.delete('keyspaces', cursorKey(space))
}

function cursorKey(space: Space): Uint8Array {
  return latestKey(space, cursorName)
}

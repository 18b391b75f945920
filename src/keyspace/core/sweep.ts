// Physical compaction: removing what the floor of readable revisions (compacted) has made unreachable,
// a bounded piece at a time. No part of the replicated transition: replicas may be anywhere in it, and
// no answer or digest depends on it.
//
// Rows of history are visited in order of revision. A visited row is itself at or below the floor, so the
// version that it superseded is unreachable and goes; if it is a tombstone it goes as well, and with it
// the key's newest row when that is this tombstone. No row needs a search; revisions that are known to have
// superseded nothing are passed over unread (superseding.ts). Events at the floor itself can
// still be watched (etcd's rule), so a tombstone there stays; the rows of the floor are visited again
// when it has moved.
//
// A version that kept the value of the one before it (a put that ignores the value) names that one's
// bytes. The row that owns the bytes then stays as their anchor, until the last version that names
// them goes.

import { compareBytes, utf8Encode } from '../../base/index.ts'
import { getUint64, putUint64 } from './bytes.ts'
import {
  decodeHistory,
  decodeLatest,
  type HistoryRecord,
  readLongTail,
  seal,
  unseal,
  versionBytes,
} from './records.ts'
import {
  latestKey,
  type RowReader,
  type Rows,
  readVersionKey,
  type Space,
  userKey,
  versionKey,
} from './rows.ts'
import type { SupersedingRevisions } from './superseding.ts'

/** Where the next visit begins. */
export type SweepCursor = {
  readonly modRevision: number
  readonly sub: number
  /** Weight of all rows that were ever removed here. */
  readonly freedBytes: number
}

export type SweepStep = {
  readonly cursor: SweepCursor
  readonly isDone: boolean
  /** Keys of long values whose rows are gone. */
  readonly garbage: readonly Uint8Array[]
  readonly visited: number
}

/** Runs of superseding revisions that one step looks at. */
const runsPerStep = 64

export function sweepStep(
  rows: Rows,
  space: Space,
  step: {
    readonly cursor: SweepCursor
    readonly floor: number
    readonly rowsMax: number
    readonly superseding: SupersedingRevisions
  },
): SweepStep {
  const { floor, rowsMax, superseding } = step
  const sweeper = new Sweeper(rows, space, floor)
  let at: { readonly modRevision: number; readonly sub: number } = step.cursor
  let visited = 0
  let isDone = false
  for (let runs = 0; !isDone && visited < rowsMax && runs < runsPerStep; runs++) {
    const run = superseding.from(at.modRevision)
    if (run === undefined || run.start > floor) {
      isDone = true
      break
    }
    const end = Math.min(run.end, floor)
    const limit = rowsMax - visited
    const page = rows.range('history', {
      start: versionKey(
        space,
        run.start > at.modRevision ? { modRevision: run.start, sub: 0 } : at,
      ),
      end: versionKey(space, { modRevision: end + 1, sub: 0 }),
      limit,
    })
    for (const row of page) sweeper.visit(row.key, row.value)
    visited += page.length
    const last = page.at(-1)
    if (last !== undefined && page.length === limit) {
      const { modRevision, sub } = readVersionKey(last.key)
      at = { modRevision, sub: sub + 1 }
    } else {
      at = { modRevision: end + 1, sub: 0 }
      isDone = end === floor
    }
  }
  if (isDone) at = { modRevision: Math.max(floor, step.cursor.modRevision), sub: 0 }
  const { modRevision, sub } = at
  const cursor = { modRevision, sub, freedBytes: step.cursor.freedBytes + sweeper.freedBytes }
  return { cursor, isDone, garbage: sweeper.garbage, visited }
}

class Sweeper {
  readonly #rows: Rows
  readonly #space: Space
  readonly #floor: number
  readonly garbage: Uint8Array[] = []
  freedBytes = 0

  constructor(rows: Rows, space: Space, floor: number) {
    this.#rows = rows
    this.#space = space
    this.#floor = floor
  }

  visit(rowKey: Uint8Array, value: Uint8Array): void {
    const record = decodeHistory(userKey(rowKey), value)
    if (record.previousRevision > 0) {
      const { previousRevision: modRevision, previousSub: sub } = record
      this.#removeOlder(versionKey(this.#space, { modRevision, sub }), record)
    }
    const at = readVersionKey(rowKey)
    if (record.kind !== 'tombstone' || at.modRevision >= this.#floor) return
    this.#remove(rowKey, record)
    const key = latestKey(this.#space, record.key)
    const newest = this.#rows.get('latest', key)
    if (newest === undefined) return
    const { kind, modRevision, sub } = decodeLatest(record.key, newest)
    if (kind === 'tombstone' && modRevision === at.modRevision && sub === at.sub) {
      this.#rows.delete('latest', key)
    }
  }

  /** The version before a visited one, and its long value unless the visited one names that too. */
  #removeOlder(rowKey: Uint8Array, newer: HistoryRecord): void {
    const value = this.#rows.get('history', rowKey)
    if (value === undefined) return
    const record = decodeHistory(userKey(rowKey), value)
    if (record.kind !== 'long') {
      this.#remove(rowKey, record)
      return
    }
    const owner = versionKey(this.#space, readLongTail(record.tail))
    const isKept =
      newer.kind === 'long' &&
      compareBytes(owner, versionKey(this.#space, readLongTail(newer.tail))) === 0
    const isOwner = compareBytes(owner, rowKey) === 0
    if (!isOwner) this.#remove(rowKey, record)
    if (isKept) return
    const anchor = isOwner ? value : this.#rows.get('history', owner)
    if (anchor !== undefined) this.#remove(owner, decodeHistory(userKey(owner), anchor))
    this.#rows.delete('pending', owner)
    this.garbage.push(owner)
  }

  #remove(rowKey: Uint8Array, record: HistoryRecord): void {
    this.#rows.delete('history', rowKey)
    const version = { ...record, ...readVersionKey(rowKey) }
    this.freedBytes += versionBytes(record.key.length, version)
  }
}

/** The cursor survives restarts; losing it only means visiting rows again. */
const cursorName = utf8Encode('swept')

export function readCursor(rows: RowReader, space: Space): SweepCursor {
  const sealed = rows.get('keyspaces', cursorKey(space))
  if (sealed === undefined) return { modRevision: 0, sub: 0, freedBytes: 0 }
  const body = unseal(cursorName, sealed)
  return { ...readVersionKey(latestKey(space, body)), freedBytes: getUint64(body, 12) }
}

export function writeCursor(rows: Rows, space: Space, cursor: SweepCursor): void {
  const body = new Uint8Array(20)
  body.set(userKey(versionKey(space, cursor)))
  putUint64(body, 12, cursor.freedBytes)
  rows.put('keyspaces', cursorKey(space), seal(cursorName, body))
}

export function deleteCursor(rows: Rows, space: Space): void {
  rows.delete('keyspaces', cursorKey(space))
}

function cursorKey(space: Space): Uint8Array {
  return latestKey(space, cursorName)
}

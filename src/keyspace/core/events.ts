// Events out of history: its rows are in order of revision, and each says which version came before.

import type { WatchEvent } from '../keyspace.ts'
import { revision as toRevision } from '../../base/index.ts'
import { pairOverheadBytes } from './limits.ts'
import { decodeHistory, type Version } from './records.ts'
import { type RowReader, readVersionKey, type Space, userKey, versionKey } from './rows.ts'
import { pairOf } from './scan.ts'
import type { AnswerKeyValue } from './wire.ts'

const emptyBytes = new Uint8Array(0)

/** A row of history: the next one to be read. With sub 0, all before its revision is done. */
export type EventCursor = { readonly modRevision: number; readonly sub: number }

/** An event whose values may be named only. */
export type HistoryEvent = WatchEvent & {
  readonly kv: AnswerKeyValue
  readonly previous?: AnswerKeyValue
  readonly sub: number
}

export type EventPage = {
  readonly events: readonly HistoryEvent[]
  readonly next: EventCursor
  readonly hasApart: boolean
}

export type PageRequest = {
  readonly from: EventCursor
  /** The last revision to be read. */
  readonly to: number
  /** Nothing before it is given as a previous pair, as etcd has it. */
  readonly compacted: number
  readonly rowsMax: number
  readonly bytesMax: number
  /** Also the pairs before. */
  readonly previous: boolean
  readonly wants: (key: Uint8Array) => boolean
}

/** The next events, at least one row's; ends at a bound or with `to`. */
export function readEvents(rows: RowReader, space: Space, request: PageRequest): EventPage {
  const { from, to, rowsMax, bytesMax } = request
  const events: HistoryEvent[] = []
  let hasApart = false
  let bytes = 0
  // One row more than is taken: it tells whether a revision goes on.
  const page = rows.range('history', {
    start: versionKey(space, from),
    end: versionKey(space, { modRevision: to + 1, sub: 0 }),
    limit: rowsMax + 1,
  })
  for (const [i, row] of page.entries()) {
    if (i === rowsMax || bytes >= bytesMax) {
      return { events, next: readVersionKey(row.key), hasApart }
    }
    const event = eventOf(rows, space, { row, request })
    if (event === undefined) continue
    events.push(event)
    hasApart ||= event.kv.apartSub > 0 || (event.previous?.apartSub ?? 0) > 0
    bytes += weightOf(event)
  }
  return { events, next: { modRevision: to + 1, sub: 0 }, hasApart }
}

function eventOf(
  rows: RowReader,
  space: Space,
  of: {
    readonly row: { readonly key: Uint8Array; readonly value: Uint8Array }
    readonly request: PageRequest
  },
): HistoryEvent | undefined {
  const { row, request } = of
  const record = decodeHistory(userKey(row.key), row.value)
  if (!request.wants(record.key)) return undefined
  const at = readVersionKey(row.key)
  const { key } = record
  const { sub } = at
  const isDelete = record.kind === 'tombstone'
  const kv = isDelete
    ? deletedPair(key, at.modRevision)
    : pairOf(rows, space, { key, version: { ...record, ...at } })
  const kind = isDelete ? 'delete' : 'put'
  const before = request.previous ? versionBefore(rows, space, { record, at, request }) : undefined
  if (before === undefined) return { kind, kv, sub }
  return { kind, kv, sub, previous: pairOf(rows, space, { key, version: before }) }
}

function versionBefore(
  rows: RowReader,
  space: Space,
  of: {
    readonly record: { readonly previousRevision: number; readonly previousSub: number }
    readonly at: EventCursor
    readonly request: PageRequest
  },
): Version | undefined {
  const { previousRevision: modRevision, previousSub: sub } = of.record
  if (modRevision === 0 || of.at.modRevision <= of.request.compacted) return undefined
  const rowKey = versionKey(space, { modRevision, sub })
  const row = rows.get('history', rowKey)
  if (row === undefined) return undefined
  const version = { ...decodeHistory(userKey(rowKey), row), modRevision, sub }
  return version.kind === 'tombstone' ? undefined : version
}

function deletedPair(key: Uint8Array, modRevision: number): AnswerKeyValue {
  const none = toRevision(0)
  const numbers = {
    createRevision: none,
    modRevision: toRevision(modRevision),
    version: 0,
    lease: 0,
  }
  return { key, value: emptyBytes, ...numbers, apartRevision: 0, apartSub: 0, valueBytes: 0 }
}

function weightOf(event: HistoryEvent): number {
  const { kv, previous } = event
  const before = previous === undefined ? 0 : previous.valueBytes + pairOverheadBytes
  return kv.key.length + kv.valueBytes + pairOverheadBytes + before
}

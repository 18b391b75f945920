// What a transaction would meet, found before it changes anything: everything that could refuse it, and what its
// answer will weigh. So a transaction that runs cannot fail half way (txn.ts).

import { Fault } from '../../base/index.ts'
import type { Operation, RangeRequest, TxnRequest } from '../keyspace.ts'
import { checkAttach, type LeaseTable } from './leases.ts'
import {
  deletedKeysMax,
  historyBytesMax,
  operationsMax,
  pairOverheadBytes,
  responseBytesMax,
  sortedKeysMax,
} from './limits.ts'
import { decodeLatest, type Version } from './records.ts'
import { latestKey, type Row, type RowReader, type Space, userKey } from './rows.ts'
import { checkRevision, findLatest, scanEnd } from './scan.ts'

const pageRows = 256

/** What a transaction is decided under. */
export type TxnState = {
  readonly revision: number
  readonly compacted: number
  readonly alarms: number
}

export type LiveRow = { readonly key: Uint8Array; readonly version: Version; readonly row: Row }

/** Rows of keys that exist, in order; the rows may be rewritten meanwhile. */
export function* liveRows(
  rows: RowReader,
  space: Space,
  range: {
    readonly key: Uint8Array
    readonly rangeEnd: Uint8Array | undefined
    readonly withTombstones?: boolean
  },
): Generator<LiveRow> {
  let start = latestKey(space, range.key)
  const end = scanEnd(space, range.key, range.rangeEnd)
  for (;;) {
    const page = rows.range('latest', { start, end, limit: pageRows })
    for (const row of page) {
      const key = userKey(row.key)
      const version = decodeLatest(key, row.value)
      if (version.kind !== 'tombstone' || range.withTombstones === true) yield { key, version, row }
    }
    const last = page.at(-1)
    if (last === undefined || page.length < pageRows) return
    start = new Uint8Array(last.key.length + 1)
    start.set(last.key)
  }
}

/** Everything that could refuse a transaction, found before it changes anything. */
export class Forecast {
  readonly #rows: RowReader
  readonly #space: Space
  readonly #state: TxnState
  readonly #leases: LeaseTable
  #deletedKeys = 0
  #previousPairs = 0
  /** Lease -> puts that name it, when there are any. */
  #attached: Map<number, number> | undefined
  #longPuts = 0
  #hasValueSort = false
  /** What previous values will weigh in the answer. */
  previousBytes = 0
  #at = 0

  constructor(
    rows: RowReader,
    space: Space,
    run: { readonly state: TxnState; readonly leases: LeaseTable },
  ) {
    this.#rows = rows
    this.#space = space
    this.#state = run.state
    this.#leases = run.leases
  }

  check(request: TxnRequest, path: readonly boolean[]): void {
    this.#check(request, path)
    if (this.#hasValueSort && this.#longPuts > 0) throw longSort()
  }

  #check(request: TxnRequest, path: readonly boolean[]): void {
    const operations = path[this.#at++] === true ? request.success : request.failure
    for (const operation of operations) {
      if (operation.kind === 'txn') this.#check(operation.request, path)
      else if (operation.kind === 'range') this.#checkRange(operation.request)
      else this.#checkChange(operation)
    }
  }

  #checkRange(request: RangeRequest): void {
    const { key, rangeEnd, revision = 0, sortBy } = request
    checkRevision(revision, this.#state)
    if (sortBy === undefined) return
    if (sortBy === 'value') {
      if (revision > 0) throw longSort()
      this.#hasValueSort = true
    }
    let rows = 0
    const range = { key, rangeEnd, withTombstones: true }
    for (const { version } of liveRows(this.#rows, this.#space, range)) {
      if (++rows + operationsMax > sortedKeysMax) {
        throw new Fault('too-large', `a transaction sorts at most ${rows - 1} keys`)
      }
      if (sortBy === 'value' && version.kind === 'long') throw longSort()
    }
  }

  #checkChange(operation: Operation & { readonly kind: 'put' | 'delete' }): void {
    if (operation.kind === 'put') this.#checkPut(operation)
    const rangeEnd = operation.kind === 'delete' ? operation.rangeEnd : undefined
    if (rangeEnd === undefined && operation.previous !== true) return
    for (const row of liveRows(this.#rows, this.#space, { key: operation.key, rangeEnd })) {
      if (operation.kind === 'delete' && ++this.#deletedKeys > deletedKeysMax) {
        throw new Fault('too-large', `one transaction deletes at most ${deletedKeysMax} keys`)
      }
      if (operation.previous === true) {
        this.previousBytes += row.key.length + row.version.valueBytes + pairOverheadBytes
        if (++this.#previousPairs > 1 && this.previousBytes > responseBytesMax) {
          throw new Fault('too-large', 'the previous values do not fit in one answer')
        }
      }
    }
  }

  /** In etcd's order: the key that must be there, then the lease. */
  #checkPut(operation: Operation & { readonly kind: 'put' }): void {
    const { lease = 0 } = operation
    if (operation.value.length > historyBytesMax) this.#longPuts++
    if (operation.ignoreValue === true || operation.ignoreLease === true) {
      const version = findLatest(this.#rows, this.#space, operation.key)
      if (version === undefined || version.kind === 'tombstone') {
        throw new Fault('invalid', 'etcdserver: key not found')
      }
    }
    if (lease === 0) return
    this.#attached ??= new Map()
    const puts = (this.#attached.get(lease) ?? 0) + 1
    this.#attached.set(lease, puts)
    checkAttach(this.#leases, lease, puts)
  }
}

function longSort(): Fault {
  return new Fault('unsupported', 'values longer than 1 KiB cannot be sorted by')
}

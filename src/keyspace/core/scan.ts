// Reading keys of a space at a revision. 'latest' has one row per key, deleted ones included until they
// are compacted; a version that is too new leads back through 'history' to the one that was current.
//
// A scan works in steps of bounded size. Inside a transaction the steps follow one another at once;
// a read of its own takes other turns in between, which is sound because what it sees is fixed by its
// revision, as long as nothing at or above that revision is swept (pins, in state.ts).

import { Fault, keyAfter, revision as toRevision } from '../../base/index.ts'
import type { RangeRequest, RangeResponse } from '../keyspace.ts'
import { isOpenEnd } from './check.ts'
import { pairOverheadBytes, responseBytesMax } from './limits.ts'
import { damagedRows, decodeHistory, decodeLatest, type Version } from './records.ts'
import { latestKey, type RowReader, type Space, spaceEnd, userKey, versionKey } from './rows.ts'
import type { AnswerKeyValue } from './wire.ts'

/** Newer than every revision: the state as it is, with what the running transaction has changed. */
export const newest = Number.MAX_SAFE_INTEGER
const emptyBytes = new Uint8Array(0)

/** The newest version of a key, tombstones included. */
export function findLatest(rows: RowReader, space: Space, key: Uint8Array): Version | undefined {
  const record = rows.get('latest', latestKey(space, key))
  return record === undefined ? undefined : decodeLatest(key, record)
}

/** The version of a key that was current at a revision; undefined when there was none. */
export function versionAt(
  rows: RowReader,
  space: Space,
  options: { readonly latest: Version; readonly revision: number },
): Version | undefined {
  let { latest: version } = options
  while (version.modRevision > options.revision) {
    const older = olderVersion(rows, space, version)
    if (older === undefined) return undefined
    version = older
  }
  return version.kind === 'tombstone' ? undefined : version
}

/** The version before; undefined when it never was, or was swept. */
function olderVersion(rows: RowReader, space: Space, version: Version): Version | undefined {
  const rowKey = versionKey(space, version)
  const encoded = rows.get('history', rowKey)
  if (encoded === undefined) throw missing(version)
  const { previousRevision, previousSub } = decodeHistory(userKey(rowKey), encoded)
  if (previousRevision === 0) return undefined
  const olderKey = versionKey(space, {
    modRevision: previousRevision,
    sub: previousSub,
  })
  const older = rows.get('history', olderKey)
  if (older === undefined) return undefined
  const record = decodeHistory(userKey(olderKey), older)
  return { ...record, modRevision: previousRevision, sub: previousSub }
}

/** A key and its version as a pair. A long value is only named. */
export function pairOf(
  rows: RowReader,
  space: Space,
  options: { readonly key: Uint8Array; readonly version: Version; readonly keysOnly?: boolean },
): AnswerKeyValue {
  const { key, version } = options
  const isApart = version.kind === 'long' && options.keysOnly !== true
  return {
    key,
    value: options.keysOnly === true ? emptyBytes : valueAtHand(rows, space, version),
    createRevision: toRevision(version.createRevision),
    modRevision: toRevision(version.modRevision),
    version: version.version,
    lease: version.lease,
    apartSub: isApart ? version.sub + 1 : 0,
    valueBytes: version.valueBytes,
  }
}

/** The value, unless it is long: then nothing. */
export function valueAtHand(rows: RowReader, space: Space, version: Version): Uint8Array {
  if (version.kind === 'inline') return version.tail
  if (version.kind !== 'short') return emptyBytes
  if (version.tail.length === version.valueBytes) return version.tail
  const rowKey = versionKey(space, version)
  const encoded = rows.get('history', rowKey)
  if (encoded === undefined) throw missing(version)
  return decodeHistory(userKey(rowKey), encoded).tail
}

/** What the answer of one request may still weigh; its first pair fits whatever its length. */
export type ByteBudget = { bytes: number }

export type ScanOptions = {
  readonly space: Space
  /** What is read: `newest`, or a revision. */
  readonly at: number
  /** The response's revision. */
  readonly revision: number
  readonly budget: ByteBudget
}

/** One range request, answered in steps. */
export class RangeScan {
  readonly #rows: RowReader
  readonly #request: RangeRequest
  readonly #options: ScanOptions
  readonly #kvs: AnswerKeyValue[] = []
  #start: Uint8Array
  #end: Uint8Array
  #count = 0
  #more = false

  constructor(rows: RowReader, request: RangeRequest, options: ScanOptions) {
    this.#rows = rows
    this.#request = request
    this.#options = options
    this.#start = latestKey(options.space, request.key)
    this.#end = scanEnd(options.space, request.key, request.rangeEnd)
  }

  /** Reads at most `rowsMax` rows of 'latest'; true when the response is complete. */
  step(rowsMax: number): boolean {
    const { key, rangeEnd, limit = 0, countOnly = false, isReverse = false } = this.#request
    if (rangeEnd === undefined || rangeEnd.length === 0) {
      const latest = findLatest(this.#rows, this.#options.space, key)
      if (latest !== undefined) this.#take(key, latest)
      return true
    }
    const wanted = limit === 0 || countOnly ? rowsMax : Math.min(rowsMax, limit - this.#count + 1)
    const page = this.#rows.range('latest', {
      start: this.#start,
      end: this.#end,
      limit: wanted,
      isReverse,
    })
    for (const row of page) {
      const found = userKey(row.key)
      if (!this.#take(found, decodeLatest(found, row.value))) return true
    }
    const last = page.at(-1)
    if (last === undefined || page.length < wanted) return true
    if (isReverse) this.#end = last.key
    else this.#start = keyAfter(last.key)
    return false
  }

  result(): RangeResponse {
    return {
      revision: toRevision(this.#options.revision),
      kvs: this.#kvs,
      more: this.#more,
      count: this.#count,
    }
  }

  /** False when the response is full. */
  #take(key: Uint8Array, latest: Version): boolean {
    const { keysOnly = false, countOnly = false, limit = 0 } = this.#request
    const { space, at, budget } = this.#options
    const version = versionAt(this.#rows, space, { latest, revision: at })
    if (version === undefined) return true
    if (countOnly) {
      this.#count++
      return true
    }
    const bytes = key.length + pairOverheadBytes + (keysOnly ? 0 : version.valueBytes)
    const isFull = bytes > budget.bytes && budget.bytes < responseBytesMax
    if (isFull || (limit > 0 && this.#kvs.length >= limit)) {
      this.#more = true
      return false
    }
    budget.bytes -= bytes
    this.#kvs.push(pairOf(this.#rows, space, { key, version, keysOnly }))
    this.#count++
    return true
  }
}

/** Where the rows of a range end; before their start when the range is empty. */
export function scanEnd(
  space: Space,
  key: Uint8Array,
  rangeEnd: Uint8Array | undefined,
): Uint8Array {
  if (rangeEnd === undefined || rangeEnd.length === 0) return latestKey(space, keyAfter(key))
  return isOpenEnd(rangeEnd) ? spaceEnd(space) : latestKey(space, rangeEnd)
}

/** Fault 'invalid' for the future, 'compacted' for the past that is gone, in etcd's words. */
export function checkRevision(
  asked: number,
  known: { readonly revision: number; readonly compacted: number },
): void {
  if (asked > known.revision) {
    throw new Fault('invalid', 'etcdserver: mvcc: required revision is a future revision')
  }
  if (asked > 0 && asked < known.compacted) {
    throw new Fault('compacted', 'etcdserver: mvcc: required revision has been compacted', {
      fields: { compacted: String(known.compacted) },
    })
  }
}

function missing(version: Version): Fault {
  return damagedRows(`history has no row ${version.modRevision}.${version.sub}`)
}

// Reading keys of a space at a revision. 'latest' has one row per key, deleted ones included until they
// are compacted; a version that is too new leads back through 'history' to the one that was current.
//
// A scan works in steps of bounded size. Inside a transaction the steps follow one another at once;
// a read of its own takes other turns in between, which is sound because what it sees is fixed by its
// revision, as long as nothing at or above that revision is swept (pins, in state.ts).

import { compareBytes, Fault, keyAfter, revision as toRevision } from '../../base/index.ts'
import type { RangeRequest, RangeResponse } from '../keyspace.ts'
import { isOpenEnd } from './check.ts'
import { pairOverheadBytes, responseBytesMax, sortedKeysMax } from './limits.ts'
import { damagedRows, decodeHistory, decodeLatest, readLongTail, type Version } from './records.ts'
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
  const apart =
    version.kind === 'long' && options.keysOnly !== true ? readLongTail(version.tail) : undefined
  return {
    key,
    value: options.keysOnly === true ? emptyBytes : valueAtHand(rows, space, version),
    createRevision: toRevision(version.createRevision),
    modRevision: toRevision(version.modRevision),
    version: version.version,
    lease: version.lease,
    apartRevision: apart?.modRevision ?? 0,
    apartSub: apart === undefined ? 0 : apart.sub + 1,
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

type Candidate = { readonly key: Uint8Array; readonly version: Version }

/** One range request, answered in steps. Faults 'too-large' and 'unsupported' when it is sorted. */
export class RangeScan {
  readonly #rows: RowReader
  readonly #request: RangeRequest
  readonly #options: ScanOptions
  readonly #kvs: AnswerKeyValue[] = []
  /** What is to be sorted, when it is. */
  readonly #candidates: Candidate[] = []
  readonly #hasBounds: boolean
  #start: Uint8Array
  #end: Uint8Array
  #count = 0
  #more = false

  constructor(rows: RowReader, request: RangeRequest, options: ScanOptions) {
    this.#rows = rows
    this.#request = request
    this.#options = options
    const { minModRevision = 0, maxModRevision = 0 } = request
    const { minCreateRevision = 0, maxCreateRevision = 0 } = request
    this.#hasBounds = minModRevision + maxModRevision + minCreateRevision + maxCreateRevision > 0
    this.#start = latestKey(options.space, request.key)
    this.#end = scanEnd(options.space, request.key, request.rangeEnd)
  }

  /** Reads at most `rowsMax` rows of 'latest'; true when the response is complete. */
  step(rowsMax: number): boolean {
    const { key, rangeEnd, sortBy, isReverse = false } = this.#request
    if (rangeEnd === undefined || rangeEnd.length === 0) {
      const latest = findLatest(this.#rows, this.#options.space, key)
      if (latest !== undefined) this.#take(key, latest)
      return this.#complete()
    }
    const wanted = this.#wanted(rowsMax)
    const page = this.#rows.range('latest', {
      start: this.#start,
      end: this.#end,
      limit: wanted,
      isReverse: isReverse && sortBy === undefined,
    })
    for (const row of page) {
      const found = userKey(row.key)
      if (!this.#take(found, decodeLatest(found, row.value))) return this.#complete()
    }
    const last = page.at(-1)
    if (last === undefined || page.length < wanted) return this.#complete()
    if (isReverse && sortBy === undefined) this.#end = last.key
    else this.#start = keyAfter(last.key)
    return false
  }

  result(): RangeResponse {
    const { countOnly = false, isCounted = false } = this.#request
    return {
      revision: toRevision(this.#options.revision),
      kvs: this.#kvs,
      more: this.#more,
      count: countOnly || isCounted ? this.#count : this.#kvs.length,
    }
  }

  /** Rows to read next: with a limit alone, no more than it asks for. */
  #wanted(rowsMax: number): number {
    const { limit = 0, countOnly = false, isCounted = false, sortBy } = this.#request
    if (limit === 0 || countOnly || isCounted || this.#hasBounds || sortBy !== undefined) {
      return rowsMax
    }
    return Math.min(rowsMax, limit - this.#kvs.length + 1)
  }

  /** False when the response is full. */
  #take(key: Uint8Array, latest: Version): boolean {
    const { countOnly = false, isCounted = false, sortBy } = this.#request
    const { space, at } = this.#options
    const version = versionAt(this.#rows, space, { latest, revision: at })
    if (version === undefined) return true
    this.#count++
    if (countOnly || this.#more || !this.#isWithin(version)) return true
    if (sortBy === undefined) return this.#give(key, version) || isCounted
    if (sortBy === 'value' && version.kind === 'long') {
      throw new Fault('unsupported', 'values longer than 1 KiB cannot be sorted by')
    }
    if (this.#candidates.length >= sortedKeysMax) {
      throw new Fault('too-large', `at most ${sortedKeysMax} keys can be sorted`)
    }
    this.#candidates.push({ key, version })
    return true
  }

  #isWithin(version: Version): boolean {
    if (!this.#hasBounds) return true
    const { modRevision, createRevision } = version
    const { minModRevision = 0, maxModRevision = 0 } = this.#request
    const { minCreateRevision = 0, maxCreateRevision = 0 } = this.#request
    if (modRevision < minModRevision || createRevision < minCreateRevision) return false
    if (maxModRevision > 0 && modRevision > maxModRevision) return false
    return maxCreateRevision === 0 || createRevision <= maxCreateRevision
  }

  /** Puts a pair into the response; false when it does not fit. */
  #give(key: Uint8Array, version: Version): boolean {
    const { keysOnly = false, limit = 0 } = this.#request
    const { space, budget } = this.#options
    const bytes = key.length + pairOverheadBytes + (keysOnly ? 0 : version.valueBytes)
    const isFull = bytes > budget.bytes && budget.bytes < responseBytesMax
    if (isFull || (limit > 0 && this.#kvs.length >= limit)) {
      this.#more = true
      return false
    }
    budget.bytes -= bytes
    this.#kvs.push(pairOf(this.#rows, space, { key, version, keysOnly }))
    return true
  }

  #complete(): true {
    if (this.#candidates.length === 0) return true
    for (const { key, version } of this.#sorted()) {
      if (!this.#give(key, version)) break
    }
    return true
  }

  #sorted(): readonly Candidate[] {
    const { sortBy, isReverse = false } = this.#request
    const sign = isReverse ? -1 : 1
    if (sortBy === 'value') {
      const { space } = this.#options
      return this.#candidates
        .map((pair) => ({ ...pair, value: valueAtHand(this.#rows, space, pair.version) }))
        .sort((a, b) => sign * compareBytes(a.value, b.value))
    }
    const of = (version: Version): number => {
      if (sortBy === 'version') return version.version
      return sortBy === 'create' ? version.createRevision : version.modRevision
    }
    return this.#candidates.sort((a, b) => sign * (of(a.version) - of(b.version)))
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
  if (asked > 0 && asked < known.compacted) throw compactedFault(known.compacted)
}

export function compactedFault(compacted: number): Fault {
  return new Fault('compacted', 'etcdserver: mvcc: required revision has been compacted', {
    fields: { compacted: String(compacted) },
  })
}

function missing(version: Version): Fault {
  return damagedRows(`history has no row ${version.modRevision}.${version.sub}`)
}

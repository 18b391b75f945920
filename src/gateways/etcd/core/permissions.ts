// What the roles of a user allow, as etcd merges it (server/auth/range_perm_cache.go): the ranges of all of its
// permissions, those to read and those to write apart, joined where they touch. A range of a request is allowed when
// the joined ranges cover it whole.

import { compareBytes, keyAfter } from '../../../base/index.ts'

/** Numbers of etcd's authpb.Permission.Type. */
export const permissionKinds = ['READ', 'WRITE', 'READWRITE'] as const
export type AuthPermission = {
  /** Index in permissionKinds. */
  readonly kind: number
  readonly key: Uint8Array
  /** Empty: the one key. [0]: every key from `key` on. */
  readonly rangeEnd: Uint8Array
}

/** `end` undefined: no end. */
type Interval = { readonly start: Uint8Array; readonly end: Uint8Array | undefined }

/** Disjoint intervals in order, none touching the next. */
export class KeyRanges {
  readonly #intervals: readonly Interval[]

  constructor(permissions: readonly AuthPermission[]) {
    const sorted = permissions
      .map(({ key, rangeEnd }) => intervalOf(key, rangeEnd))
      .filter(({ start, end }) => end === undefined || compareBytes(start, end) < 0)
      .sort((a, b) => compareBytes(a.start, b.start))
    const joined: Interval[] = []
    for (const next of sorted) {
      const last = joined.at(-1)
      if (last === undefined || !touches(last, next)) joined.push(next)
      else joined[joined.length - 1] = { start: last.start, end: laterEnd(last.end, next.end) }
    }
    this.#intervals = joined
  }

  /** An empty interval is covered by whatever holds its start. */
  covers(key: Uint8Array, rangeEnd: Uint8Array): boolean {
    const { start, end } = intervalOf(key, rangeEnd)
    const holder = this.#holderOf(start)
    if (holder === undefined) return false
    if (holder.end === undefined) return true
    if (compareBytes(start, holder.end) >= 0) return false
    return end !== undefined && compareBytes(end, holder.end) <= 0
  }

  /** The last interval that starts at or before `key`. */
  #holderOf(key: Uint8Array): Interval | undefined {
    let low = 0
    let high = this.#intervals.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const interval = this.#intervals[middle]
      if (interval !== undefined && compareBytes(interval.start, key) <= 0) low = middle + 1
      else high = middle
    }
    return this.#intervals[low - 1]
  }
}

function intervalOf(key: Uint8Array, rangeEnd: Uint8Array): Interval {
  if (rangeEnd.length === 0) return { start: key, end: keyAfter(key) }
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0
  return { start: key, end: isOpen ? undefined : rangeEnd }
}

function touches(last: Interval, next: Interval): boolean {
  return last.end === undefined || compareBytes(next.start, last.end) <= 0
}

function laterEnd(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined || b === undefined) return undefined
  return compareBytes(a, b) >= 0 ? a : b
}

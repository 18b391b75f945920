// Folding ordered object keys into a page of objects and common prefixes (S3 API: ListObjectsV2).
// A pure fold: the caller feeds keys in order and asks where to go on, so that a common prefix with a
// million keys costs one jump instead of a million rows.

import { keyAfter, compareBytes, prefixEnd, utf8Encode } from '../../base/index.ts'

export type Listing = {
  readonly prefix: string
  readonly delimiter: string
  /** Exclusive: keys and common prefixes at or before it are not shown. */
  readonly after: string
  readonly limit: number
}

/** 'full': the page is full and this key would be the next, so the page is truncated. */
export type FoldStep = 'taken' | 'skipped' | 'full'

export type Fold<T> = {
  /** Keys in ascending order. The item is made only when it is shown. */
  take(objectKey: string, item: () => T): FoldStep
  /** Object key bytes, inclusive, where the next range begins: past the whole common prefix, if it was one. */
  next(): Uint8Array
  readonly items: readonly T[]
  readonly prefixes: readonly string[]
  /** The last key or common prefix shown; '' when none. */
  readonly last: string
}

export function startFold<T>(listing: Listing): Fold<T> {
  const items: T[] = []
  const prefixes: string[] = []
  let last = ''
  let next = firstKey(listing)
  const isFull = () => items.length + prefixes.length >= listing.limit
  return {
    items,
    prefixes,
    get last() {
      return last
    },
    next: () => next,
    take(objectKey, item) {
      const common = commonPrefixOf(objectKey, listing)
      if (common === undefined) {
        if (isFull()) return 'full'
        items.push(item())
        last = objectKey
        next = keyAfter(utf8Encode(objectKey))
        return 'taken'
      }
      if (common === prefixes.at(-1) || !isAfter(common, listing.after)) {
        next = prefixEnd(utf8Encode(common))
        return 'skipped'
      }
      if (isFull()) return 'full'
      prefixes.push(common)
      last = common
      next = prefixEnd(utf8Encode(common))
      return 'taken'
    },
  }
}

/** The part of the key up to and with the first delimiter after the prefix; undefined when there is none. */
export function commonPrefixOf(
  objectKey: string,
  { prefix, delimiter }: { readonly prefix: string; readonly delimiter: string },
): string | undefined {
  if (delimiter === '') return undefined
  const at = objectKey.indexOf(delimiter, prefix.length)
  return at < 0 ? undefined : objectKey.slice(0, at + delimiter.length)
}

function firstKey({ prefix, delimiter, after }: Listing): Uint8Array {
  const prefixBytes = utf8Encode(prefix)
  if (after === '') return prefixBytes
  // A page that ended with a common prefix goes on behind everything in it.
  const isCommon = delimiter !== '' && commonPrefixOf(after, { prefix, delimiter }) === after
  const afterBytes = utf8Encode(after)
  const start = isCommon && after.startsWith(prefix) ? prefixEnd(afterBytes) : keyAfter(afterBytes)
  return compareBytes(start, prefixBytes) < 0 ? prefixBytes : start
}

function isAfter(a: string, b: string): boolean {
  return b === '' || compareBytes(utf8Encode(a), utf8Encode(b)) > 0
}

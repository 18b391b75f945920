// SortedMap: an ordered map from text (see key-text.ts) to values, in sorted leaves of bounded size.
//
// Idea: a B+ tree of two levels. The top is an array of leaves in order; a leaf is two parallel arrays.
// A leaf that overflows is split in halves, an empty one is taken out, so that inserting costs a search
// and a move within one leaf, and now and then a move within the top.
//
// snapshot() is copy-on-write: it costs O(1), shares every leaf, and whoever writes first copies the
// leaf that it changes. A leaf belongs to the map whose `owner` token it carries.

import { assert } from '../../base/index.ts'

const leafCountMax = 256

type Leaf<V> = { owner: object; keys: string[]; values: V[] }

export type SortedRange = {
  /** Inclusive. */
  readonly start: string
  /** Exclusive; undefined: to the end. */
  readonly end?: string | undefined
  readonly limit?: number | undefined
  readonly isReverse?: boolean | undefined
}

export class SortedMap<V> {
  #owner: object = {}
  #leaves: Leaf<V>[] = []
  #ownsTop = true
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: string): V | undefined {
    if (this.#isBeyond(key)) return undefined
    const leaf = this.#leaves[this.#leafOf(key)]
    if (leaf === undefined) return undefined
    const at = lowerBound(leaf.keys, key)
    return leaf.keys[at] === key ? leaf.values[at] : undefined
  }

  /** Answers the value that was there. */
  set(key: string, value: V): V | undefined {
    if (this.#leaves.length === 0) {
      this.#top().push({ owner: this.#owner, keys: [key], values: [value] })
      this.#size = 1
      return undefined
    }
    if (this.#isBeyond(key)) return this.#append(key, value)
    const index = this.#leafOf(key)
    const leaf = this.#ownLeaf(index)
    const at = lowerBound(leaf.keys, key)
    if (leaf.keys[at] === key) {
      const before = leaf.values[at]
      leaf.values[at] = value
      return before
    }
    leaf.keys.splice(at, 0, key)
    leaf.values.splice(at, 0, value)
    this.#size++
    if (leaf.keys.length > leafCountMax) this.#split(index, false)
    return undefined
  }

  /** Answers the value that was there. */
  delete(key: string): V | undefined {
    const index = this.#leafOf(key)
    const found = this.#leaves[index]
    if (found === undefined) return undefined
    const at = lowerBound(found.keys, key)
    if (found.keys[at] !== key) return undefined
    const leaf = this.#ownLeaf(index)
    const before = leaf.values[at]
    leaf.keys.splice(at, 1)
    leaf.values.splice(at, 1)
    this.#size--
    if (leaf.keys.length === 0) this.#top().splice(index, 1)
    return before
  }

  /** Calls visit for each key of the range in order, until the limit or until visit answers false. */
  scan(range: SortedRange, visit: (key: string, value: V) => boolean | undefined): void {
    const limit = range.limit ?? Number.POSITIVE_INFINITY
    if (range.isReverse === true) this.#scanDown(range, limit, visit)
    else this.#scanUp(range, limit, visit)
  }

  /** Walks the range; valid until the map is written. */
  cursor(range: SortedRange): SortedCursor<V> {
    const { start, end, isReverse = false } = range
    const bound = isReverse ? start : end
    if (!isReverse) {
      const index = this.#leafOf(start)
      const at = lowerBound(this.#leaves[index]?.keys ?? noKeys, start)
      return new SortedCursor(this.#leaves, { index, at, bound, isReverse })
    }
    const index = end === undefined ? this.#leaves.length - 1 : this.#leafOf(end)
    const keys = this.#leaves[index]?.keys ?? noKeys
    const at = (end === undefined ? keys.length : lowerBound(keys, end)) - 1
    return new SortedCursor(this.#leaves, { index, at, bound, isReverse })
  }

  /** The map as it is now; either side may then be written without the other seeing it. */
  snapshot(): SortedMap<V> {
    const copy = new SortedMap<V>()
    copy.#leaves = this.#leaves
    copy.#ownsTop = false
    copy.#size = this.#size
    this.#owner = {}
    this.#ownsTop = false
    return copy
  }

  #scanUp(
    { start, end }: SortedRange,
    limit: number,
    visit: (key: string, value: V) => boolean | undefined,
  ): void {
    let left = limit
    let index = this.#leafOf(start)
    const first = this.#leaves[index]
    let at = first === undefined ? 0 : lowerBound(first.keys, start)
    for (; index < this.#leaves.length; index++, at = 0) {
      const { keys, values } = this.#leaves[index] as Leaf<V>
      for (; at < keys.length; at++) {
        const key = keys[at] as string
        if (left-- <= 0 || (end !== undefined && key >= end)) return
        if (visit(key, values[at] as V) === false) return
      }
    }
  }

  #scanDown(
    { start, end }: SortedRange,
    limit: number,
    visit: (key: string, value: V) => boolean | undefined,
  ): void {
    let left = limit
    let index = end === undefined ? this.#leaves.length - 1 : this.#leafOf(end)
    const last = this.#leaves[index]
    let at = last === undefined ? -1 : last.keys.length - 1
    if (last !== undefined && end !== undefined) at = lowerBound(last.keys, end) - 1
    while (index >= 0) {
      const leaf = this.#leaves[index]
      if (leaf === undefined) return
      const { keys, values } = leaf
      for (; at >= 0; at--) {
        const key = keys[at] as string
        if (left-- <= 0 || key < start) return
        if (visit(key, values[at] as V) === false) return
      }
      index--
      at = (this.#leaves[index]?.keys.length ?? 0) - 1
    }
  }

  /** The last leaf whose first key is not beyond `key`; 0 when there is none; never negative when not empty. */
  #leafOf(key: string): number {
    let low = 0
    let high = this.#leaves.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (((this.#leaves[middle] as Leaf<V>).keys[0] as string) <= key) low = middle + 1
      else high = middle
    }
    return low === 0 ? 0 : low - 1
  }

  /** Many keys come in order: for those nothing is searched. */
  #isBeyond(key: string): boolean {
    const keys = this.#leaves[this.#leaves.length - 1]?.keys
    return keys !== undefined && (keys[keys.length - 1] as string) < key
  }

  #append(key: string, value: V): undefined {
    const index = this.#leaves.length - 1
    const leaf = this.#ownLeaf(index)
    leaf.keys.push(key)
    leaf.values.push(value)
    this.#size++
    if (leaf.keys.length > leafCountMax) this.#split(index, true)
  }

  #top(): Leaf<V>[] {
    if (!this.#ownsTop) {
      this.#leaves = this.#leaves.slice()
      this.#ownsTop = true
    }
    return this.#leaves
  }

  #ownLeaf(index: number): Leaf<V> {
    const leaf = this.#leaves[index]
    assert(leaf !== undefined, 'an index of a leaf is in range')
    if (leaf.owner === this.#owner) return leaf
    const copy = { owner: this.#owner, keys: leaf.keys.slice(), values: leaf.values.slice() }
    this.#top()[index] = copy
    return copy
  }

  /** Appending in order leaves full leaves behind, anything else halves. */
  #split(index: number, isAppend: boolean): void {
    const leaf = this.#leaves[index] as Leaf<V>
    const at = isAppend ? leaf.keys.length - 1 : leaf.keys.length >>> 1
    const right = { owner: this.#owner, keys: leaf.keys.splice(at), values: leaf.values.splice(at) }
    this.#top().splice(index + 1, 0, right)
  }
}

const noKeys: readonly string[] = []

/** A place in a map, moving in one direction; at the end, key is undefined. */
export class SortedCursor<V> {
  readonly #leaves: readonly Leaf<V>[]
  readonly #bound: string | undefined
  readonly #isReverse: boolean
  #index: number
  #at: number
  key: string | undefined

  constructor(
    leaves: readonly Leaf<V>[],
    from: {
      readonly index: number
      readonly at: number
      readonly bound: string | undefined
      readonly isReverse: boolean
    },
  ) {
    this.#leaves = leaves
    this.#bound = from.bound
    this.#isReverse = from.isReverse
    this.#index = from.index
    this.#at = from.at
    this.#look()
  }

  /** The value at the key; asked for only while there is one. */
  get value(): V {
    return (this.#leaves[this.#index] as Leaf<V>).values[this.#at] as V
  }

  advance(): void {
    this.#at += this.#isReverse ? -1 : 1
    this.#look()
  }

  #look(): void {
    const leaf = this.#leaves[this.#index]
    let key = leaf?.keys[this.#at]
    if (key === undefined && leaf !== undefined) {
      this.#index += this.#isReverse ? -1 : 1
      const next = this.#leaves[this.#index]
      this.#at = this.#isReverse ? (next?.keys.length ?? 0) - 1 : 0
      key = next?.keys[this.#at]
    }
    const bound = this.#bound
    if (key !== undefined && bound !== undefined) {
      if (this.#isReverse ? key < bound : key >= bound) key = undefined
    }
    this.key = key
  }
}

/** The first position whose key is not before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((keys[middle] as string) < key) low = middle + 1
    else high = middle
  }
  return low
}

// Which ranges of keys contain a key. Single keys are found by name; ranges are kept in order of their
// starts, each with the furthest end of all up to it, so that the walk back from a key ends where no
// earlier range reaches it (an interval tree in an array; made anew when the ranges changed).

import { isOpenEnd } from './check.ts'

/** Beyond every byte: the end of a range without end. */
const noEnd = '\u0100'

type Range<T> = { readonly start: string; readonly end: string; readonly item: T; furthest: string }

/** A key as a text with one character per byte: equal and ordered as the bytes are. */
export function keyText(key: Uint8Array): string {
  let text = ''
  for (let i = 0; i < key.length; i++) text += String.fromCharCode(key[i] as number)
  return text
}

/** A name for a key or range, unique to it. */
export function rangeName(key: Uint8Array, rangeEnd: Uint8Array | undefined): string {
  if (rangeEnd === undefined || rangeEnd.length === 0) return keyText(key)
  return `${keyText(key)}${noEnd}${keyText(rangeEnd)}`
}

export class RangeIndex<T> {
  readonly #keys = new Map<string, T[]>()
  #ranges: Range<T>[] = []
  #isSorted = true

  add(key: Uint8Array, rangeEnd: Uint8Array | undefined, item: T): void {
    const start = keyText(key)
    if (rangeEnd === undefined || rangeEnd.length === 0) {
      const items = this.#keys.get(start)
      if (items === undefined) this.#keys.set(start, [item])
      else items.push(item)
      return
    }
    const end = isOpenEnd(rangeEnd) ? noEnd : keyText(rangeEnd)
    this.#ranges.push({ start, end, item, furthest: end })
    this.#isSorted = false
  }

  remove(key: Uint8Array, rangeEnd: Uint8Array | undefined, item: T): void {
    if (rangeEnd !== undefined && rangeEnd.length > 0) {
      this.#ranges = this.#ranges.filter((range) => range.item !== item)
      this.#isSorted = false
      return
    }
    const name = keyText(key)
    const left = (this.#keys.get(name) ?? []).filter((other) => other !== item)
    if (left.length === 0) this.#keys.delete(name)
    else this.#keys.set(name, left)
  }

  clear(): void {
    this.#keys.clear()
    this.#ranges = []
    this.#isSorted = true
  }

  has(key: Uint8Array): boolean {
    const text = keyText(key)
    if (this.#keys.has(text)) return true
    for (let at = this.#lastStart(text); at >= 0; at--) {
      const range = this.#ranges[at] as Range<T>
      if (range.furthest <= text) return false
      if (range.end > text) return true
    }
    return false
  }

  /** Every item whose key or range contains the key. */
  find(key: Uint8Array): T[] {
    const text = keyText(key)
    const found = [...(this.#keys.get(text) ?? [])]
    for (let at = this.#lastStart(text); at >= 0; at--) {
      const range = this.#ranges[at] as Range<T>
      if (range.furthest <= text) break
      if (range.end > text) found.push(range.item)
    }
    return found
  }

  /** Of the last range that starts at or before a key; -1 when none does. */
  #lastStart(text: string): number {
    if (!this.#isSorted) this.#sort()
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#ranges[middle] as Range<T>).start <= text) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  #sort(): void {
    this.#ranges.sort((a, b) => (a.start < b.start ? -1 : Number(a.start > b.start)))
    let furthest = ''
    for (const range of this.#ranges) {
      if (range.end > furthest) furthest = range.end
      range.furthest = furthest
    }
    this.#isSorted = true
  }
}

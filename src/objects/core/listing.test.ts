import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareBytes, seededRandom, utf8Encode } from '../../base/index.ts'
import { commonPrefixOf, type Listing, startFold } from './listing.ts'

const alphabet = ['a', 'b', '/', 'é', '\u0000', '😀']

function randomKey(random: ReturnType<typeof seededRandom>): string {
  let key = ''
  const length = 1 + random.integer(5)
  for (let i = 0; i < length; i++) key += alphabet[random.integer(alphabet.length)]
  return key
}

const byBytes = (a: string, b: string) => compareBytes(utf8Encode(a), utf8Encode(b))

/** Everything S3 would show, without any paging. */
function naive(keys: readonly string[], listing: Listing): string[] {
  const shown = new Set<string>()
  for (const key of keys) {
    if (!key.startsWith(listing.prefix)) continue
    const common = commonPrefixOf(key, listing)
    const entry = common ?? key
    if (listing.after === '' || byBytes(entry, listing.after) > 0) shown.add(entry)
  }
  return [...shown].sort(byBytes)
}

/** Feeds the fold as a keyspace would: pages of `pageRows` keys from fold.next(). */
function foldAll(keys: readonly string[], listing: Listing, pageRows: number) {
  const fold = startFold<string>(listing)
  while (true) {
    const start = fold.next()
    const page = keys
      .filter((key) => compareBytes(utf8Encode(key), start) >= 0 && key.startsWith(listing.prefix))
      .slice(0, pageRows)
    if (page.length === 0) return { fold, isTruncated: false }
    for (const key of page) {
      if (fold.take(key, () => key) === 'full') return { fold, isTruncated: true }
    }
  }
}

test('paging through a fold shows what a naive listing shows, in order, each entry once', () => {
  const random = seededRandom(7)
  for (let round = 0; round < 300; round++) {
    const keys = [...new Set(Array.from({ length: 30 }, () => randomKey(random)))].sort(byBytes)
    const prefix = random.chance(0.5) ? '' : randomKey(random).slice(0, 1)
    const delimiter = random.chance(0.6) ? '/' : ''
    const limit = 1 + random.integer(5)
    const shown: string[] = []
    let after = ''
    for (let page = 0; page < 100; page++) {
      const { fold, isTruncated } = foldAll(
        keys,
        { prefix, delimiter, after, limit },
        1 + random.integer(6),
      )
      const entries = [...fold.items, ...fold.prefixes].sort(byBytes)
      assert.ok(entries.length <= limit)
      shown.push(...entries)
      after = fold.last
      if (!isTruncated) break
      assert.equal(entries.at(-1), after)
    }
    assert.deepEqual(shown, naive(keys, { prefix, delimiter, after: '', limit }))
  }
})

test('a start after any key shows only entries behind it', () => {
  const random = seededRandom(11)
  for (let round = 0; round < 300; round++) {
    const keys = [...new Set(Array.from({ length: 20 }, () => randomKey(random)))].sort(byBytes)
    const listing = { prefix: '', delimiter: '/', after: randomKey(random), limit: 1000 }
    const { fold } = foldAll(keys, listing, 4)
    assert.deepEqual([...fold.items, ...fold.prefixes].sort(byBytes), naive(keys, listing))
  }
})

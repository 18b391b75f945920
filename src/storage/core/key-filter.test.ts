import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, utf8Encode } from '../../base/index.ts'
import { encodeHashes, KeyFilter } from './key-filter.ts'
import { keyText } from './key-text.ts'

test('a key that was added is never absent, by text or by hash, over many layers', () => {
  const filter = new KeyFilter()
  const key = (i: number): Uint8Array => utf8Encode(`keys/${i}`)
  const count = 300_000
  for (let i = 0; i < count; i += 2) filter.add(keyText(key(i)))
  const others = Array.from({ length: count / 2 }, (_, i) => key(2 * i + 1))
  filter.addHashes(encodeHashes(others))
  for (let i = 0; i < count; i++) assert.ok(filter.mayHave(keyText(key(i))), `key ${i}`)
  let found = 0
  for (let i = count; i < 2 * count; i++) if (filter.mayHave(keyText(key(i)))) found++
  assert.ok(found < count / 100, `${found} of ${count} absent keys`)
})

test('an empty filter knows no key; keys that differ in one byte, in length or in order are apart', () => {
  const filter = new KeyFilter()
  assert.equal(filter.mayHave(''), false)
  filter.add('')
  assert.equal(filter.mayHave(''), true)
  const random = seededRandom(3)
  const keys = new Set<string>()
  for (let i = 0; i < 2000; i++) keys.add(keyText(random.bytes(1 + random.integer(3))))
  for (const key of keys) filter.add(key)
  assert.ok(filter.count > keys.size * 0.99)
  for (const key of keys) assert.ok(filter.mayHave(key))
})

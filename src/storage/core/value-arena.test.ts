import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../base/index.ts'
import { gone, ValueArena } from './value-arena.ts'

test('every value is read as it was kept, whatever its length and what came after', () => {
  const random = seededRandom(2)
  const arena = new ValueArena()
  const lengths = [0, 1, 4091, 4092, 4093, 65_536, 200_000]
  const kept = Array.from({ length: 3_000 }, (_, i) => {
    const value = random.bytes(lengths[i] ?? random.integer(300))
    const held = arena.keep(value)
    assert.notEqual(held, gone)
    const expected = value.slice()
    value.fill(0)
    return { held, expected }
  })
  assert.equal(new Set(kept.map(({ held }) => held)).size, kept.length)
  for (const { held, expected } of kept) {
    assert.deepEqual(arena.view(held), expected)
  }
  const bytes = kept.reduce((sum, { expected }) => sum + expected.length + 4, 0)
  assert.equal(arena.bytes, bytes)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../base/index.ts'
import { createSlab } from './bytes.ts'

test('pieces of a slab are zeroed and share no byte', () => {
  const random = seededRandom(1)
  const allocate = createSlab()
  const pieces = Array.from({ length: 2_000 }, () => {
    const length = random.chance(0.01) ? 5_000 : random.integer(400)
    const piece = allocate(length)
    assert.equal(piece.length, length)
    assert.ok(piece.every((byte) => byte === 0))
    const mark = random.integer(256)
    return { piece: piece.fill(mark), mark }
  })
  for (const { piece, mark } of pieces) assert.ok(piece.every((byte) => byte === mark))
})

test('who asks for little holds little, who asks for much gets large slabs', () => {
  const allocate = createSlab()
  const held = new Set<ArrayBufferLike>()
  held.add(allocate(300).buffer)
  assert.deepEqual(
    [...held].map(({ byteLength }) => byteLength),
    [4_096],
  )
  for (let i = 0; i < 2_000; i++) held.add(allocate(300).buffer)
  assert.ok(held.size < 16)
  assert.equal(Math.max(...[...held].map(({ byteLength }) => byteLength)), 65_536)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../base/index.ts'
import { Inflights } from './inflights.ts'

test('a window behaves as a plain list does', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seededRandom(seed)
    const countMax = 1 + random.integer(20)
    const bytesMax = random.chance(0.5) ? 0 : 1 + random.integer(100)
    const window = new Inflights(countMax, bytesMax)
    let list: { index: number; bytes: number }[] = []
    let next = 1
    for (let step = 0; step < 400; step++) {
      const bytes = list.reduce((sum, message) => sum + message.bytes, 0)
      const isFull = list.length >= countMax || (bytesMax > 0 && bytes >= bytesMax)
      assert.equal(window.count, list.length)
      assert.equal(window.isFull, isFull)
      const dice = random.integer(100)
      if (dice < 60 && !isFull) {
        next += 1 + random.integer(3)
        const message = { index: next, bytes: random.integer(30) }
        list.push(message)
        window.add(message.index, message.bytes)
      } else if (dice < 98) {
        const through = Math.max(0, next - random.integer(30))
        list = list.filter((message) => message.index > through)
        window.freeThrough(through)
      } else {
        list = []
        window.clear()
      }
    }
  }
})

test('a full window refuses', () => {
  const window = new Inflights(1, 0)
  window.add(1, 1)
  assert.throws(() => window.add(2, 1), /broken invariant/)
})

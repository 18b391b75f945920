// Files of the writer through a reader of its own: trees of one page and of several levels, values over many pages.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, toHex, uint64Bytes } from '../../../base/index.ts'
import { readBolt } from '../testing/bolt-reader.ts'
import { BoltTree, encodeBoltFront, firstTreePage } from './bolt.ts'

test('trees of any size come back as they were given', () => {
  const random = seededRandom(11)
  for (const count of [0, 1, 30, 500, 20_000]) {
    const pairs = Array.from({ length: count }, (_, i) => {
      const isLong = random.chance(0.002)
      return [uint64Bytes(i * 3 + 1), random.bytes(random.integer(isLong ? 20_000 : 60))] as const
    })
    const grow = (emit?: (page: Uint8Array) => void) => {
      const tree = new BoltTree(firstTreePage, emit)
      for (const [key, value] of pairs) tree.add(key, value)
      return tree.finish()
    }
    const { root, endPage } = grow()
    const small = [
      { name: 'few', pairs: [[uint64Bytes(1), uint64Bytes(2)]] as const },
      { name: 'none', pairs: [] },
    ]
    const parts = [encodeBoltFront(endPage, [{ name: 'tree', root }], small)]
    assert.deepEqual(
      grow((page) => void parts.push(page)),
      { root, endPage },
    )
    const buckets = readBolt(Buffer.concat(parts))
    assert.deepEqual([...buckets.keys()], ['few', 'none', 'tree'])
    assert.deepEqual([buckets.get('few')?.size, buckets.get('none')?.size], [1, 0])
    const found = buckets.get('tree')
    assert.deepEqual(
      [...(found?.keys() ?? [])],
      pairs.map(([key]) => toHex(key)),
    )
    for (const [key, value] of pairs)
      assert.equal(toHex(found?.get(toHex(key)) ?? value), toHex(value))
  }
})

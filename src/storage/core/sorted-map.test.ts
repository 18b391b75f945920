import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareBytes, seededRandom } from '../../base/index.ts'
import { keyBytes, keyText } from './key-text.ts'
import { SortedMap } from './sorted-map.ts'

test('key text keeps bytes and their order', () => {
  const random = seededRandom(1)
  for (let i = 0; i < 500; i++) {
    const a = random.bytes(random.integer(5))
    const b = random.bytes(random.integer(5))
    assert.deepEqual(keyBytes(keyText(a)), a)
    const expected = Math.sign(compareBytes(a, b))
    const [x, y] = [keyText(a), keyText(b)]
    assert.equal(x < y ? -1 : x > y ? 1 : 0, expected)
  }
  const long = random.bytes(10_000)
  assert.deepEqual(keyBytes(keyText(long)), long)
})

test('a sorted map agrees with a sorted array, snapshots included', () => {
  const random = seededRandom(7)
  const map = new SortedMap<number>()
  const naive = new Map<string, number>()
  const frozen: [SortedMap<number>, Map<string, number>][] = []
  for (let step = 0; step < 20_000; step++) {
    const key = String(random.integer(3000)).padStart(4, '0')
    if (random.chance(0.65)) {
      assert.equal(map.set(key, step), naive.get(key))
      naive.set(key, step)
    } else {
      assert.equal(map.delete(key), naive.get(key))
      naive.delete(key)
    }
    if (step % 4000 === 0) frozen.push([map.snapshot(), new Map(naive)])
    if (step % 500 === 0) compare(map, naive, random.integer(4000))
  }
  for (const [snapshot, then] of frozen) compare(snapshot, then, 1000)
  const [snapshot, then] = frozen[1] as [SortedMap<number>, Map<string, number>]
  const before = [...naive]
  for (const key of then.keys()) snapshot.delete(key)
  assert.equal(snapshot.size, 0)
  compare(map, new Map(before), 0)
})

function compare(map: SortedMap<number>, naive: Map<string, number>, from: number): void {
  assert.equal(map.size, naive.size)
  const start = String(from).padStart(4, '0')
  const end = String(from + 700).padStart(4, '0')
  for (const isReverse of [false, true]) {
    for (const limit of [undefined, 0, 5]) {
      const expected = [...naive].filter(([key]) => key >= start && key < end).sort()
      if (isReverse) expected.reverse()
      const found: [string, number][] = []
      map.scan({ start, end, isReverse, limit }, (key, value) => {
        found.push([key, value])
        return true
      })
      assert.deepEqual(found, expected.slice(0, limit))
    }
  }
  for (const [key, value] of naive) assert.equal(map.get(key), value)
}

test('many keys in order and at random stay fast to insert', () => {
  const map = new SortedMap<number>()
  const random = seededRandom(3)
  for (let i = 0; i < 100_000; i++) map.set(String(random.integer(1e9)), i)
  for (let i = 0; i < 100_000; i++) map.set(`z${String(i).padStart(6, '0')}`, i)
  let count = 0
  let last = ''
  map.scan({ start: '' }, (key) => {
    assert.ok(last < key || last === '')
    last = key
    count++
    return true
  })
  assert.equal(count, map.size)
})

test('a bounded scan of an empty map visits nothing, either way', () => {
  const map = new SortedMap<number>()
  for (const isReverse of [false, true]) {
    map.scan({ start: 'a', end: 'b', isReverse }, () => assert.fail('there is nothing'))
  }
})

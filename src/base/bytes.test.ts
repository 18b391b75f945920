import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BoundedQueue } from './bounded-queue.ts'
import {
  compareBytes,
  fromHex,
  keyAfter,
  prefixEnd,
  readUint64,
  toHex,
  uint64Bytes,
  utf8Decode,
  utf8Encode,
} from './bytes.ts'
import { crc32c } from './hash.ts'
import { seededRandom } from './random.ts'

test('prefixEnd is the first key behind every key with the prefix', () => {
  const random = seededRandom(3)
  for (let round = 0; round < 500; round++) {
    const prefix = random.bytes(1 + random.integer(3)).map((byte) => (byte > 200 ? 0xff : byte))
    const inside = new Uint8Array([...prefix, ...random.bytes(random.integer(4)).map(() => 0xff)])
    const end = prefixEnd(prefix)
    if (end.length === 0) assert.ok(prefix.every((byte) => byte === 0xff))
    else {
      assert.ok(compareBytes(inside, end) < 0)
      assert.ok(compareBytes(prefix, end) < 0)
    }
  }
  assert.deepEqual(keyAfter(new Uint8Array([1])), new Uint8Array([1, 0]))
})

test('64-bit numbers order as bytes do', () => {
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    assert.equal(readUint64(uint64Bytes(value), 0), value)
  }
  assert.ok(compareBytes(uint64Bytes(2 ** 32), uint64Bytes(2 ** 32 - 1)) > 0)
})

test('text with a leading byte order mark stays as it is', () => {
  assert.equal(utf8Decode(utf8Encode('\ufeffkey')), '\ufeffkey')
})

test('hexadecimal goes both ways and refuses everything else', () => {
  assert.deepEqual(fromHex(toHex(new Uint8Array([0, 255, 16]))), new Uint8Array([0, 255, 16]))
  assert.equal(fromHex('abc'), undefined)
  assert.equal(fromHex('zz'), undefined)
})

test('CRC-32C has its published check value', () => {
  assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe3069283)
})

test('a bounded queue refuses beyond its bound and keeps order', () => {
  const queue = new BoundedQueue<number>(3)
  assert.deepEqual(
    [1, 2, 3, 4].map((n) => queue.push(n)),
    [true, true, true, false],
  )
  assert.equal(queue.shift(), 1)
  assert.ok(queue.push(5))
  assert.deepEqual(queue.drain(), [2, 3, 5])
  assert.equal(queue.length, 0)
})

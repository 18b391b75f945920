import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom, toHex } from '../../base/index.ts'
import type { SqlValue } from '../sql.ts'
import { answerCodec } from './answer.ts'
import { Chance } from './chance.ts'
import { entryCodec, hashOfWork, makeBatchId, timeOfId } from './entry.ts'
import { decodeValues, encodeValues } from './values.ts'

const id = makeBatchId(0x0102_0304_0506, new Uint8Array(10).fill(9))
const batch = {
  id,
  timeMs: 1000,
  seed: new Uint8Array(32).fill(7),
  isAtomic: true,
  statements: [
    {
      sql: 'INSERT INTO t VALUES (?)',
      values: [null, -1n, 0.5, 'é', Uint8Array.of(1)] as SqlValue[],
    },
    { sql: 'SELECT :a', values: { a: 1n } },
    { sql: 'SELECT 1', values: [] },
  ],
}

test('the bytes of an entry stay readable', () => {
  const golden =
    '01010a08656e67696e652031129e010a10010203040506090909090909090909091' +
    '0e8071a200707070707070707070707070707070707070707070707070707070707070707'
  const encoded = entryCodec.encode({ engine: 'engine 1', batches: [batch] })
  assert.equal(toHex(encoded).slice(0, golden.length), golden)
  assert.deepEqual(entryCodec.decode(encoded), { engine: 'engine 1', batches: [batch] })
})

test('the bytes of an answer stay readable', () => {
  const result = {
    columns: ['a'],
    types: ['integer'],
    rows: [
      [1n, null],
      ['x', 2.5],
    ],
    changes: 3,
    lastInsertId: -5n,
    elapsedUs: 0,
  }
  const answer = { results: [result, { ...result, rows: [], error: 'no' }] }
  assert.deepEqual(answerCodec.decode(answerCodec.encode(answer)), answer)
  assert.equal(
    answerCodec.decode(answerCodec.encode({ results: [], refusal: 'mismatch' })).refusal,
    'mismatch',
  )
})

test('an id tells when it was made', () => {
  assert.equal(timeOfId(id), 0x0102_0304_0506)
  assert.equal(id.length, 16)
})

test('what differs in work differs in its hash, and time and chance are no part of it', () => {
  assert.deepEqual(hashOfWork({ ...batch, timeMs: 5, seed: new Uint8Array(32) }), hashOfWork(batch))
  assert.notDeepEqual(hashOfWork({ ...batch, isAtomic: false }), hashOfWork(batch))
  assert.notDeepEqual(
    hashOfWork({ ...batch, statements: batch.statements.slice(1) }),
    hashOfWork(batch),
  )
})

test('integers beyond 64 bits are refused', () => {
  for (const value of [2n ** 63n, -(2n ** 63n) - 1n]) {
    assert.throws(
      () => encodeValues([value]),
      (error) => isFault(error, 'invalid'),
    )
  }
})

test('damaged bytes are faults, whatever they are', () => {
  const random = seededRandom(5)
  const encoded = entryCodec.encode({ engine: 'e', batches: [batch] })
  for (let round = 0; round < 400; round++) {
    const damaged = encoded.slice(
      0,
      round % 2 === 0 ? encoded.length : random.integer(encoded.length),
    )
    const at = random.integer(Math.max(1, damaged.length))
    if (damaged.length > 0) damaged[at] = (damaged[at] ?? 0) ^ (1 + random.integer(255))
    assert.throws(
      () => entryCodec.decode(damaged),
      (error) => isFault(error, 'corrupt'),
    )
    const values = random.bytes(random.integer(40))
    try {
      decodeValues(values)
    } catch (error) {
      assert.ok(isFault(error, 'corrupt'))
    }
  }
})

test('chance is the seed alone, and of each seed another', () => {
  const draw = (fill: number): string => {
    const chance = new Chance(new Uint8Array(32).fill(fill))
    const parts = [chance.bytes(3), chance.bytes(64), chance.bytes(0), chance.bytes(1)]
    return `${parts.map(toHex).join('')} ${chance.integer()}`
  }
  assert.equal(draw(1), draw(1))
  assert.notEqual(draw(1), draw(2))
})

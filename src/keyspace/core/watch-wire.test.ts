import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  compareBytes,
  isFault,
  type Random,
  seededRandom,
  revision as toRevision,
  toHex,
  utf8Encode,
} from '../../base/index.ts'
import { keyText, RangeIndex, rangeName } from './range-index.ts'
import { decodeChunk, decodePull, encodeChunk, encodePull, type WatchChunk } from './watch-wire.ts'

const text = utf8Encode

function pair(random: Random, key: Uint8Array) {
  return {
    key,
    value: random.bytes(random.integer(40)),
    createRevision: toRevision(random.integer(100)),
    modRevision: toRevision(2 ** 40 + random.integer(100)),
    version: random.integer(9),
    lease: random.integer(2 ** 20),
  }
}

function randomChunk(random: Random): WatchChunk {
  const events = Array.from({ length: random.integer(6) }, (_, sub) => {
    const kv = pair(random, random.bytes(random.integer(20)))
    const kind = random.chance(0.5) ? ('put' as const) : ('delete' as const)
    if (random.chance(0.5)) return { kind, kv, sub }
    return { kind, kv, sub, previous: pair(random, kv.key) }
  })
  const next = { modRevision: 2 ** 41, sub: random.integer(9) }
  return { events, next, revision: 7, isJoined: random.chance(0.5), isLost: random.chance(0.5) }
}

describe('events between threads', () => {
  it('come back as they were, and hostile bytes are faults', () => {
    const random = seededRandom(31)
    for (let round = 0; round < 60; round++) {
      const chunk = randomChunk(random)
      const encoded = encodeChunk(chunk)
      assert.deepEqual(decodeChunk(encoded), chunk)
      for (let flips = 0; flips < 40; flips++) {
        const damaged = encoded.slice(0, random.integer(encoded.length + 1))
        if (damaged.length > 0) damaged[random.integer(damaged.length)] = random.integer(256)
        try {
          decodeChunk(damaged)
        } catch (error) {
          assert.ok(isFault(error), String(error))
        }
      }
    }
    const pull = { key: text('a'), rangeEnd: text('b'), from: { modRevision: 9, sub: 3 } }
    const whole = { ...pull, previous: true, waitMs: 5 }
    assert.deepEqual(decodePull(encodePull(whole)), whole)
    const one = { ...whole, rangeEnd: undefined }
    assert.deepEqual(decodePull(encodePull(one)), one)
  })

  it('golden bytes stay readable', () => {
    const numbers = { createRevision: toRevision(2), modRevision: toRevision(3), version: 1 }
    const kv = { key: text('k'), value: text('v'), ...numbers, lease: 5 }
    const next = { modRevision: 4, sub: 0 }
    const event = { kind: 'put', kv, sub: 1, previous: kv } as const
    const encoded = encodeChunk({
      events: [event],
      next,
      revision: 3,
      isJoined: true,
      isLost: false,
    })
    assert.equal(
      toHex(encoded),
      '0101000000000000000400000000000000000000000300000001' +
        '0200000001' +
        '000000000000000300000000000000020000000000000001000000000000000500000001' +
        '000000016b76' +
        '000000000000000300000000000000020000000000000001000000000000000500000001' +
        '76',
    )
    const newer = encoded.slice()
    newer[0] = 2
    assert.throws(() => decodeChunk(newer), { code: 'unsupported' })
  })
})

describe('the index of ranges', () => {
  it('finds what a naive look finds, while ranges come and go', () => {
    const random = seededRandom(32)
    const index = new RangeIndex<string>()
    const known = new Map<string, { key: Uint8Array; rangeEnd: Uint8Array | undefined }>()
    const bytes = (): Uint8Array => random.bytes(1 + random.integer(2)).map((byte) => byte & 7)
    for (let round = 0; round < 2000; round++) {
      const rangeEnd = random.chance(0.3)
        ? undefined
        : random.chance(0.1)
          ? Uint8Array.of(0)
          : bytes()
      const range = { key: bytes(), rangeEnd }
      const id = rangeName(range.key, range.rangeEnd)
      const old = known.get(id)
      if (old !== undefined) {
        index.remove(old.key, old.rangeEnd, id)
        known.delete(id)
      } else if (known.size < 12) {
        index.add(range.key, range.rangeEnd, id)
        known.set(id, range)
      }
      const key = bytes()
      const expected = [...known].filter(([, { key: start, rangeEnd: end }]) => {
        if (end === undefined) return compareBytes(start, key) === 0
        const isOpen = end.length === 1 && end[0] === 0
        return compareBytes(start, key) <= 0 && (isOpen || compareBytes(key, end) < 0)
      })
      assert.deepEqual(index.find(key).sort(), expected.map(([name]) => name).sort())
      assert.equal(index.has(key), expected.length > 0)
    }
    index.clear()
    assert.equal(index.has(text('a')), false)
    assert.equal(keyText(Uint8Array.of(0, 255)), '\u0000\u00ff')
  })
})

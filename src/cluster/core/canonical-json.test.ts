import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom } from '../../base/index.ts'
import type { JsonValue } from '../enrolment.ts'
import { canonicalJson, readJsonText } from './canonical-json.ts'

test('the examples of RFC 8785 come out as they are printed there', () => {
  const arranged = {
    numbers: [333333333.3333333, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
    string: "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\u0022\u002f",
    literals: [null, true, false],
  }
  assert.equal(
    canonicalJson(arranged),
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  )
  const sorted = {
    '\u20ac': 'Euro Sign',
    '\r': 'Carriage Return',
    '\ufb33': 'Hebrew Letter Dalet With Dagesh',
    '1': 'One',
    '\ud83d\ude00': 'Emoji: Grinning Face',
    '\u0080': 'Control',
    '\u00f6': 'Latin Small Letter O With Diaeresis',
  }
  const order = ['Carriage Return', 'One', 'Control', 'Latin', 'Euro', 'Emoji', 'Hebrew']
  const text = canonicalJson(sorted)
  const places = order.map((word) => text.indexOf(word))
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  )
  assert.equal(canonicalJson(-0), '0')
})

test('what JSON has not is refused', () => {
  const deep = (levels: number): JsonValue => (levels === 0 ? 1 : [deep(levels - 1)])
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, '\ud800', { '\udc00': 1 }, deep(17)]) {
    assert.throws(
      () => canonicalJson(value),
      (error) => isFault(error, 'invalid'),
    )
  }
  assert.equal(canonicalJson(deep(16)).length, 33)
})

test('reading what was written gives the same text, and noise is refused', () => {
  const random = seededRandom(11)
  const draw = (depth: number): JsonValue => {
    const kind = random.integer(depth > 3 ? 4 : 6)
    if (kind === 0) return null
    if (kind === 1) return random.chance(0.5)
    if (kind === 2) return (random.integer(2 ** 32) - 2 ** 31) / (1 + random.integer(1000))
    if (kind === 3) return String.fromCodePoint(random.integer(0xd7ff), 0x1f600 + random.integer(9))
    const items = Array.from({ length: random.integer(4) }, () => draw(depth + 1))
    if (kind === 4) return items
    return Object.fromEntries(items.map((item, at) => [String(random.integer(99) + at), item]))
  }
  for (let round = 0; round < 500; round++) {
    const text = canonicalJson(draw(0))
    assert.equal(canonicalJson(readJsonText(text, 1e6)), text)
    const whole = `[${text}]`
    const noise = whole.slice(0, random.integer(whole.length))
    assert.throws(
      () => readJsonText(noise, 1e6),
      (error) => isFault(error, 'invalid'),
    )
  }
  assert.throws(() => readJsonText('"1234"', 5), /more than 5 characters/)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, isFault } from './fault.ts'
import {
  decodeOutcome,
  decodeParts,
  encodeOutcome,
  encodeOutcomes,
  encodeParts,
  partsMax,
} from './parts.ts'
import { seededRandom } from './random.ts'

test('parts come back as they were, also empty ones and none', () => {
  const random = seededRandom(7)
  for (let round = 0; round < 200; round++) {
    const parts = Array.from({ length: random.integer(6) }, () => random.bytes(random.integer(300)))
    assert.deepEqual(decodeParts(encodeParts(parts)), parts)
  }
})

test('what is cut, too long or too many is refused', () => {
  const whole = encodeParts([Uint8Array.of(1, 2, 3), Uint8Array.of(4)])
  for (let length = 1; length < whole.length; length++) {
    if (length === 7) continue
    assert.throws(() => decodeParts(whole.subarray(0, length)), { code: 'corrupt' }, `${length}`)
  }
  assert.throws(() => decodeParts(Uint8Array.of(255, 255, 255, 255, 0)), { code: 'corrupt' })
  assert.throws(() => decodeParts(new Uint8Array(4 * (partsMax + 1))), { code: 'corrupt' })
})

test('any bytes are parts or refused', () => {
  const random = seededRandom(8)
  for (let round = 0; round < 2_000; round++) {
    const bytes = random.bytes(random.integer(40))
    for (let at = 0; at < bytes.length; at++) if (random.chance(0.7)) bytes[at] = random.integer(3)
    try {
      const length = decodeParts(bytes).reduce((sum, part) => sum + 4 + part.length, 0)
      assert.equal(length, bytes.length)
    } catch (error) {
      assert.ok(isFault(error, 'corrupt'))
    }
  }
})

test('outcomes as one are the parts of each', () => {
  const random = seededRandom(9)
  for (let round = 0; round < 100; round++) {
    const outcomes = Array.from({ length: random.integer(6) }, () =>
      random.chance(0.1) ? new Fault('conflict', 'taken') : random.bytes(random.integer(300)),
    )
    assert.deepEqual(encodeOutcomes(outcomes), encodeParts(outcomes.map(encodeOutcome)))
  }
})

test('an outcome is an answer or a fault', () => {
  assert.deepEqual(decodeOutcome(encodeOutcome(Uint8Array.of(5))), Uint8Array.of(5))
  const fault = decodeOutcome(encodeOutcome(new Fault('not-leader', 'no', { outcome: 'unknown' })))
  assert.ok(isFault(fault, 'not-leader') && fault.outcome === 'unknown')
  assert.throws(() => decodeOutcome(Uint8Array.of(9)), { code: 'corrupt' })
})

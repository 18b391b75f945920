import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom, toHex } from '../base/index.ts'
import type { Pulse } from './core/index.ts'
import { decodePulse, encodePulse } from './pulse-codec.ts'

const pulse: Pulse = {
  boot: 2 ** 47,
  sequence: 9,
  base: 3,
  version: 5,
  isReset: true,
  isAnswerWanted: true,
  resting: [
    { group: 1, term: 2, index: 3 },
    { group: 2 ** 40, term: 7, index: 2 ** 50 },
  ],
  woken: [4, 5],
  refused: [6],
  ack: { boot: 77, sequence: 8, version: 9, isLost: true },
}

test('a pulse keeps its bytes', () => {
  assert.deepEqual(decodePulse(encodePulse(pulse)), pulse)
  const small: Pulse = { ...pulse, boot: 1, resting: [{ group: 1, term: 2, index: 3 }] }
  assert.equal(
    toHex(encodePulse(small)),
    '012ee07225080110091803200528013001380138023803400440054806504d580860096801',
  )
})

test('damaged and invented pulses are refused as corrupt', () => {
  const whole = encodePulse(pulse)
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const damaged = whole.slice()
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.throws(() => decodePulse(damaged), isCorrupt)
  }
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => decodePulse(whole.subarray(0, length)), isCorrupt)
  }
  const random = seededRandom(1)
  for (let i = 0; i < 200; i++) {
    assert.throws(() => decodePulse(random.bytes(random.integer(80))), isCorrupt)
  }
})

function isCorrupt(error: unknown): boolean {
  return isFault(error, 'corrupt')
}

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
    { group: 1, term: 2, index: 3, fence: 2 ** 52 },
    { group: 2 ** 40, term: 7, index: 2 ** 50, fence: 0 },
  ],
  woken: [4, 5],
  refused: [6],
  ack: { boot: 77, sequence: 8, version: 9, isLost: true },
}

test('a pulse keeps its bytes', () => {
  assert.deepEqual(decodePulse(encodePulse(pulse)), pulse)
  const small: Pulse = { ...pulse, boot: 1, resting: [{ group: 1, term: 2, index: 3, fence: 0 }] }
  assert.equal(
    toHex(encodePulse(small)),
    '2d0074ff010700000000000000000001000000000000000900000000000000030000000000000005000000000000004d00000000000000080000000000000009000000010000000200000001000000000000000100000000000000020000000000000003000000000000000400000000000000050000000000000006',
  )
})

test('a pulse of fenced groups keeps its bytes', () => {
  const fenced: Pulse = { ...pulse, resting: [{ group: 1, term: 2, index: 3, fence: 9 }] }
  assert.equal(
    toHex(encodePulse(fenced)),
    '7e6ca75e020700000000800000000000000000000000000900000000000000030000000000000005000000000000004d000000000000000800000000000000090000000100000002000000010000000000000001000000000000000200000000000000030000000000000009000000000000000400000000000000050000000000000006',
  )
  assert.deepEqual(decodePulse(encodePulse(fenced)), fenced)
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

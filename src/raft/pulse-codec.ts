// Bytes of a pulse (core/pulses.ts), sent by every pair of nodes several times a second, so a fixed layout.
// All numbers big-endian.
//
//   crc32c of what follows u32 | version u8 = 2 | flags u8 (1 set begins anew, 2 answer wanted,
//   4 acknowledged set is lost) | zero u16 | boot u64 | sequence u64 | base u64 | version u64 | ack: boot u64
//   | sequence u64 | version u64 | resting u32 | woken u32 | refused u32
//   | resting: group u64, term u64, index u64, fence u64 each | woken: group u64 each | refused: group u64 each
//
// Version 1 has no fences, which stands for 0 (fence.ts); it is also written when none is needed.

import { crc32c, Fault } from '../base/index.ts'
import type { Pulse, RestingGroup } from './core/index.ts'

const unfencedVersion = 1
const pulseVersion = 2
const summedAt = 4
const wordsAt = 8
const countsAt = wordsAt + 7 * 8
const groupsAt = countsAt + 3 * 4
const flag = { reset: 1, answerWanted: 2, lost: 4 } as const

export function encodePulse(pulse: Pulse): Uint8Array {
  const { ack, resting, woken, refused } = pulse
  const isFenced = resting.some(({ fence }) => fence !== 0)
  const words = resting.length * (isFenced ? 4 : 3) + woken.length + refused.length
  const bytes = new Uint8Array(groupsAt + words * 8)
  const view = new DataView(bytes.buffer)
  view.setUint8(4, isFenced ? pulseVersion : unfencedVersion)
  const flags = (pulse.isReset ? flag.reset : 0) | (pulse.isAnswerWanted ? flag.answerWanted : 0)
  view.setUint8(5, flags | (ack.isLost ? flag.lost : 0))
  let at = wordsAt
  const put = (value: number): void => {
    view.setUint32(at, Math.floor(value / 0x1_0000_0000))
    view.setUint32(at + 4, value >>> 0)
    at += 8
  }
  put(pulse.boot)
  put(pulse.sequence)
  put(pulse.base)
  put(pulse.version)
  put(ack.boot)
  put(ack.sequence)
  put(ack.version)
  view.setUint32(countsAt, resting.length)
  view.setUint32(countsAt + 4, woken.length)
  view.setUint32(countsAt + 8, refused.length)
  at = groupsAt
  for (const { group, term, index, fence } of resting) {
    put(group)
    put(term)
    put(index)
    if (isFenced) put(fence)
  }
  for (const group of woken) put(group)
  for (const group of refused) put(group)
  view.setUint32(0, crc32c(bytes.subarray(summedAt)))
  return bytes
}

/** Fault 'corrupt' for anything but a pulse. */
export function decodePulse(bytes: Uint8Array): Pulse {
  if (bytes.length < groupsAt) throw corrupt('its length')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const flags = view.getUint8(5)
  const version = view.getUint8(4)
  const isKnown = version === pulseVersion || version === unfencedVersion
  if (!isKnown || flags > 7 || view.getUint16(6) !== 0) {
    throw corrupt('its header')
  }
  if (crc32c(bytes.subarray(summedAt)) !== view.getUint32(0)) throw corrupt('its checksum')
  const counts = [0, 4, 8].map((offset) => view.getUint32(countsAt + offset))
  const [restingCount = 0, wokenCount = 0, refusedCount = 0] = counts
  const restingWords = version === pulseVersion ? 4 : 3
  const words = restingCount * restingWords + wokenCount + refusedCount
  if (bytes.length !== groupsAt + words * 8) throw corrupt('its counts')
  const wordAt = (at: number): number => readWord(view, at)
  const wokenAt = groupsAt + restingCount * restingWords * 8
  return {
    boot: wordAt(wordsAt),
    sequence: wordAt(wordsAt + 8),
    base: wordAt(wordsAt + 16),
    version: wordAt(wordsAt + 24),
    isReset: (flags & flag.reset) !== 0,
    isAnswerWanted: (flags & flag.answerWanted) !== 0,
    resting: readResting(view, restingCount, restingWords),
    woken: readWords(view, wokenAt, wokenCount),
    refused: readWords(view, wokenAt + wokenCount * 8, refusedCount),
    ack: {
      boot: wordAt(wordsAt + 32),
      sequence: wordAt(wordsAt + 40),
      version: wordAt(wordsAt + 48),
      isLost: (flags & flag.lost) !== 0,
    },
  }
}

function readResting(view: DataView, count: number, words: number): readonly RestingGroup[] {
  const groups: RestingGroup[] = []
  for (let i = 0, at = groupsAt; i < count; i++, at += words * 8) {
    const [group, term] = [readWord(view, at), readWord(view, at + 8)]
    const fence = words === 4 ? readWord(view, at + 24) : 0
    groups.push({ group, term, index: readWord(view, at + 16), fence })
  }
  return groups
}

function readWords(view: DataView, at: number, count: number): readonly number[] {
  const words: number[] = []
  for (let i = 0; i < count; i++) words.push(readWord(view, at + i * 8))
  return words
}

function readWord(view: DataView, at: number): number {
  const value = view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4)
  if (!Number.isSafeInteger(value)) throw corrupt('a number exceeds 2^53-1')
  return value
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `malformed pulse: ${what}`)
}

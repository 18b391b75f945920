import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c, groupId, isFault, type Random, seededRandom } from '../base/index.ts'
import type { Message, MessageType } from './core/index.ts'
import { decodeFrame, encodeFrames, type GroupMessage, isFramed } from './messages.ts'
import { decodeStateRow, encodeStateRow } from './state-row.ts'

const ends = { from: 2, to: 3 }
const types: readonly MessageType[] = [
  'append',
  'append-response',
  'vote',
  'heartbeat',
  'read-index',
  'prevote-response',
  'timeout-now',
]

function drawMessage(random: Random): GroupMessage {
  const entries = Array.from({ length: random.integer(4) }, (_, i) => ({
    term: 1 + random.integer(5),
    index: 100 + i,
    kind: random.chance(0.8) ? ('normal' as const) : ('conf-change-v2' as const),
    payload: random.bytes(random.integer(300)),
  }))
  const message: Message = {
    ...ends,
    type: types[random.integer(types.length)] as MessageType,
    term: random.integer(1000),
    logTerm: random.integer(1000),
    index: random.integer(2 ** 32) * 1000,
    commit: random.integer(1000),
    vote: random.integer(9),
    entries,
    snapshot: undefined,
    isRejected: random.chance(0.5),
    rejectHint: random.integer(1000),
    context: random.bytes(random.integer(20)),
    responses: [],
  }
  return { group: groupId(1 + random.integer(2 ** 32)), message }
}

test('frames decode to what was encoded', () => {
  const random = seededRandom(1)
  for (let round = 0; round < 200; round++) {
    const messages = Array.from({ length: 1 + random.integer(5) }, () => drawMessage(random))
    const [frame, more] = encodeFrames(messages, 1 << 20)
    assert.ok(frame !== undefined && more === undefined)
    assert.deepEqual(decodeFrame(frame, ends), messages)
  }
})

test('frames stay below the limit and keep the order', () => {
  const random = seededRandom(2)
  const messages = Array.from({ length: 50 }, () => drawMessage(random))
  const frames = encodeFrames(messages, 2_000)
  assert.ok(frames.length > 5 && frames.every((frame) => frame.length <= 2_000))
  assert.deepEqual(
    frames.flatMap((frame) => decodeFrame(frame, ends)),
    messages,
  )
})

test('damaged, cut and invented frames are refused as corrupt', () => {
  const random = seededRandom(3)
  for (let round = 0; round < 2_000; round++) {
    const [frame] = encodeFrames([drawMessage(random), drawMessage(random)], 1 << 20)
    assert.ok(frame)
    const kind = random.integer(3)
    const hostile =
      kind === 0
        ? frame.slice(0, random.integer(frame.length))
        : kind === 1
          ? random.bytes(random.integer(200))
          : flipped(frame, random)
    assert.throws(
      () => decodeFrame(hostile, ends),
      (error) => isFault(error, 'corrupt'),
    )
  }
})

test('frames with a right checksum and lying counts are refused as corrupt or decode', () => {
  const random = seededRandom(4)
  let refused = 0
  for (let round = 0; round < 2_000; round++) {
    const [frame] = encodeFrames([drawMessage(random)], 1 << 20)
    assert.ok(frame)
    const hostile = flipped(frame, random)
    try {
      decodeFrame(resummed(hostile), ends)
    } catch (error) {
      assert.ok(isFault(error, 'corrupt'))
      refused++
    }
  }
  assert.ok(refused > 100)
})

test('local messages and snapshots never travel in frames', () => {
  const { message } = drawMessage(seededRandom(5))
  for (const type of ['hup', 'propose', 'snapshot', 'storage-append', 'transfer-leader'] as const) {
    assert.equal(isFramed({ ...message, type }), false)
  }
})

test('a state row keeps its bytes, and damage is refused', () => {
  const row = {
    applied: 7,
    term: 3,
    confState: {
      voters: [1, 2, 3],
      learners: [4],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: true,
    },
    digest: new Uint8Array([9, 9]),
  }
  const value = encodeStateRow(row)
  assert.equal(
    Buffer.from(value).toString('hex'),
    '01fb02db91080710031a0a0801080208031004280122020909',
  )
  assert.deepEqual(decodeStateRow(value), row)
  for (let at = 0; at < value.length; at++) {
    const damaged = value.slice()
    damaged[at] = (damaged[at] as number) ^ 1
    assert.throws(() => decodeStateRow(damaged), /raft state row/)
  }
})

function flipped(frame: Uint8Array, random: Random): Uint8Array {
  const copy = frame.slice()
  // The second header byte is reserved and not checked.
  const at = random.chance(0.1) ? 0 : 2 + random.integer(copy.length - 2)
  copy[at] = (copy[at] as number) ^ (1 << random.integer(8))
  return copy
}

function resummed(frame: Uint8Array): Uint8Array {
  new DataView(frame.buffer).setUint32(4, crc32c(frame.subarray(8)))
  return frame
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  crc32c,
  fromHex,
  groupId,
  isFault,
  type Random,
  seededRandom,
  toHex,
} from '../base/index.ts'
import type { Message, MessageType } from './core/index.ts'
import { decodeFrame, encodeFrames, type GroupMessage, isFramed } from './messages.ts'
import { noFence } from './fence.ts'
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
  const fence = random.chance(0.7) ? random.integer(2 ** 32) * 2 ** 20 : 0
  return { group: groupId(1 + random.integer(2 ** 32)), fence, message }
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

test('a frame without fences keeps its older bytes, and one with a fence has its own', () => {
  const message: Message = {
    ...ends,
    type: 'append',
    term: 2,
    logTerm: 1,
    index: 8,
    commit: 7,
    vote: 0,
    entries: [{ term: 2, index: 9, kind: 'normal', payload: new Uint8Array([5, 6]) }],
    snapshot: undefined,
    isRejected: false,
    rejectHint: 0,
    context: new Uint8Array(0),
    responses: [],
  }
  const unfenced = { group: groupId(3), fence: 0, message }
  const [older] = encodeFrames([unfenced], 1 << 20)
  assert.equal(
    toHex(older as Uint8Array),
    '01000001a9054796000000000000000300000000000000020000000000000001000000000000000800000000000000070000000000000000000000000000000001000000000000010000000000000002000000000000000900000000020506',
  )
  assert.deepEqual(decodeFrame(older as Uint8Array, ends), [unfenced])
  const fenced = { ...unfenced, fence: 2 ** 50 + 1 }
  const [newer] = encodeFrames([fenced, unfenced], 1 << 20)
  assert.equal(
    toHex(newer as Uint8Array),
    '02000002f4931e3700000000000000030004000000000001000000000000000200000000000000010000000000000008000000000000000700000000000000000000000000000000010000000000000100000000000000020000000000000009000000000205060000000000000003000000000000000000000000000000020000000000000001000000000000000800000000000000070000000000000000000000000000000001000000000000010000000000000002000000000000000900000000020506',
  )
  assert.deepEqual(decodeFrame(newer as Uint8Array, ends), [fenced, unfenced])
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
    fence: noFence,
    supersededBy: 0,
    name: '',
    voidedTo: 0,
  }
  const older = fromHex('01fb02db91080710031a0a0801080208031004280122020909') ?? new Uint8Array(0)
  assert.deepEqual(decodeStateRow(older), row)
  const value = encodeStateRow(row)
  assert.equal(
    Buffer.from(value).toString('hex'),
    '02fb02db91080710031a0a0801080208031004280122020909',
  )
  assert.deepEqual(decodeStateRow(value), row)
  const fence = { clusterId: new Uint8Array([1, 2, 3]), generation: 4 }
  const fenced = { ...row, fence, supersededBy: 5, name: '/raft/a', voidedTo: 9 }
  assert.equal(
    Buffer.from(encodeStateRow(fenced)).toString('hex'),
    '026b12cf47080710031a0a08010802080310042801220209092a030102033004380542072f726166742f614809',
  )
  assert.deepEqual(decodeStateRow(encodeStateRow(fenced)), fenced)
  for (let at = 0; at < value.length; at++) {
    const damaged = value.slice()
    damaged[at] = (damaged[at] as number) ^ 1
    assert.throws(() => decodeStateRow(damaged), /raft state row/)
  }
})

function flipped(frame: Uint8Array, random: Random): Uint8Array {
  const copy = frame.slice()
  const at = random.integer(copy.length)
  copy[at] = (copy[at] as number) ^ (1 << random.integer(8))
  return copy
}

function resummed(frame: Uint8Array): Uint8Array {
  new DataView(frame.buffer).setUint32(4, crc32c(frame.subarray(8)))
  return frame
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  groupId,
  isFault,
  logIndex,
  seededRandom,
  term,
  toHex,
  utf8Encode,
} from '../../base/index.ts'
import type { GroupAppend } from '../log.ts'
import { EntryIndex } from './entry-index.ts'
import { BatchEncoder, decodeBatches, entryAt } from './log-batch.ts'
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  highestProven,
  readRecord,
  recordHeaderBytes,
  scanRecords,
  stampRecord,
} from './log-format.ts'
import {
  decodeEvent,
  decodeEvents,
  decodeFileHeader,
  decodeTrailer,
  encodeBody,
  encodeFileHeader,
  encodeTrailer,
  EventList,
  readRecordHeader,
  recordBytes,
  recordLength,
  type SegmentEvent,
  writeRecordHeader,
} from './segment-format.ts'

const salt = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)

const batch: readonly GroupAppend[] = [
  {
    group: groupId(3),
    hardState: { term: term(2), vote: 1, commit: logIndex(9) },
    cut: { index: logIndex(8), term: term(1) },
    entries: [
      { index: logIndex(9), term: term(2), kind: 1, payload: utf8Encode('one') },
      { index: logIndex(10), term: term(2), kind: 0, payload: utf8Encode('') },
    ],
  },
  { group: groupId(4), remove: true },
]

function logRecord(): Uint8Array {
  const encoder = new BatchEncoder()
  encoder.addBatch(batch)
  const bytes = encoder.take()
  stampRecord(bytes, 0, { salt, number: 5, unsynced: 1, oldest: 2 })
  return bytes
}

test('golden bytes of a log segment header', () => {
  const bytes = encodeSegmentHeader({ salt, sequence: 7, firstRecord: 5 })
  assert.equal(bytes.length, 1024)
  assert.equal(
    toHex(bytes.subarray(0, 40)),
    '414c530148c1cfe00102030405060708070000000000000005000000000000000000000000000000',
  )
  assert.deepEqual(bytes.subarray(512, 552), bytes.subarray(0, 40))
  bytes[20] = 9
  assert.deepEqual(decodeSegmentHeader(bytes, 7), { salt, sequence: 7, firstRecord: 5 })
  assert.equal(decodeSegmentHeader(bytes, 8), undefined)
})

test('golden bytes of a log record', () => {
  const bytes = logRecord()
  assert.equal(
    toHex(bytes),
    '414c5201de62058c01020304050607080500000000000000710000000100000002000000010000006400000007030000000000000002000000000000000100000000000000090000000000000008000000000000000100000000000000090000000000000002000000020000000000000001000000030000006f6e65020000000000000000000000000000000d00000008040000000000000000000000000000',
  )
  const record = readRecord(bytes, 0, salt)
  assert.deepEqual(
    [record?.number, record?.unsynced, record?.oldest, record?.batches],
    [5, 1, 2, 1],
  )
  const segment = { sequence: 1, live: 0, liveBytes: 0 }
  const index = new EntryIndex<typeof segment, { segment: typeof segment; at: number }>()
  index.begin({ segment, at: 0 })
  const payload = record?.payload as Uint8Array
  decodeBatches(payload, index)
  const group = index.groups.get(groupId(3))
  assert.deepEqual(group?.hardState, batch[0]?.hardState)
  assert.deepEqual(group?.cut, batch[0]?.cut)
  assert.deepEqual(
    [...(group?.slots ?? [])].map(([i, slot]) => entryAt(payload, slot.at, logIndex(i))),
    batch[0]?.entries,
  )
})

test('golden bytes of an append with a fence', () => {
  const encoder = new BatchEncoder()
  const hardState = { term: term(2), vote: 1, commit: logIndex(9) }
  encoder.addBatch([{ group: groupId(3), hardState, fence: 2 ** 50 + 7 }])
  const bytes = encoder.take()
  stampRecord(bytes, 0, { salt, number: 5, unsynced: 0, oldest: 0 })
  assert.equal(
    toHex(bytes),
    '414c5201ff5e2ab4010203040506070805000000000000002d0000000000000000000000010000002d0000004103000000000000000200000000000000010000000000000009000000000000000700000000000400000000',
  )
  const segment = { sequence: 1, live: 0, liveBytes: 0 }
  const index = new EntryIndex<typeof segment, { segment: typeof segment; at: number }>()
  index.begin({ segment, at: 0 })
  decodeBatches(readRecord(bytes, 0, salt)?.payload as Uint8Array, index)
  const group = index.groups.get(groupId(3))
  assert.deepEqual([group?.fence, group?.hardState, segment.live], [2 ** 50 + 7, hardState, 2])
  index.onRemove(groupId(3))
  assert.equal(segment.live, 0)
})

test('a later record proves what had been durable, and forged bytes prove nothing', () => {
  const header = { salt, sequence: 1, firstRecord: 5 }
  const bytes = new Uint8Array(1024 + logRecord().length)
  bytes.set(logRecord(), 1024)
  assert.equal(scanRecords(bytes, header).records.length, 1)
  assert.equal(highestProven(bytes, { from: 1024, salt }), 3)
  assert.equal(highestProven(bytes, { from: 1024, salt: salt.slice().reverse() }), -1)
  assert.equal(scanRecords(bytes, { ...header, firstRecord: 6 }).records.length, 0)
})

test('noise is no batch: a fault or nothing, in bounded time', () => {
  const random = seededRandom(8)
  const good = logRecord().slice(recordHeaderBytes)
  for (let i = 0; i < 2000; i++) {
    const bytes = i % 2 === 0 ? random.bytes(random.integer(120)) : good.slice()
    if (i % 2 === 1) bytes[random.integer(bytes.length)] = random.integer(256)
    const segment = { sequence: 1, live: 0, liveBytes: 0 }
    const index = new EntryIndex<typeof segment, { segment: typeof segment; at: number }>()
    index.begin({ segment, at: 0 })
    try {
      decodeBatches(bytes, index)
    } catch (error) {
      assert.ok(isFault(error, 'corrupt'))
    }
  }
})

const seal = {
  key: utf8Encode('key'),
  bytes: 100,
  unitBytes: 64,
  sequence: 300,
  stamp: 4,
  stampSequence: 301,
}

test('golden bytes of a segment file header, a unit and a seal', () => {
  assert.equal(
    toHex(encodeFileHeader({ salt, number: 6 })),
    '41534601a8194a600102030405060708060000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',
  )
  assert.deepEqual(decodeFileHeader(encodeFileHeader({ salt, number: 6 }), 6), salt)
  const unit = new Uint8Array(recordLength(3))
  unit.set([7, 8, 9], recordBytes)
  const header = {
    kind: 'unit',
    write: 2,
    number: 1,
    length: 3,
    unitChecksum: 99,
    durable: 64,
  } as const
  writeRecordHeader(unit, 0, { salt, header })
  assert.equal(
    toHex(unit),
    '415301010bc065cd01020304050607080200000000000000010000000300000063000000400000000708090000000000',
  )
  assert.deepEqual(readRecordHeader(unit, 0, { salt }), header)
  const body = encodeBody({ kind: 'seal', ...seal })
  const record = new Uint8Array(recordLength(body.length))
  record.set(body, recordBytes)
  const sealHeader = { ...header, kind: 'seal', length: body.length, unitChecksum: 0 } as const
  writeRecordHeader(record, 0, { salt, header: sealHeader })
  assert.equal(
    toHex(record),
    '41530201ffd6e83901020304050607080200000000000000010000000b0000000000000040000000036b6579ac02644004ad020000000000',
  )
  const event = decodeEvent(
    sealHeader,
    128,
    record.subarray(recordBytes, recordBytes + body.length),
  )
  assert.deepEqual(event, { kind: 'seal', at: 128, write: 2, units: 1, ...seal })
  for (let bit = 0; bit < (recordBytes + body.length) * 8; bit++) {
    const bad = record.slice()
    bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7))
    assert.equal(readRecordHeader(bad, 0, { salt }), undefined, `${bit}`)
  }
})

test('golden bytes of a footer; neighbouring units are one event; noise is refused', () => {
  const list = new EventList()
  const length = recordLength(64)
  list.addUnit(64, { write: 2, number: 0, length: 64 })
  list.addUnit(64 + length, { write: 2, number: 1, length: 36 })
  const events: SegmentEvent[] = [
    { kind: 'units', at: 64, write: 2, number: 0, count: 2, length: 36 },
    { kind: 'seal', at: 300, write: 2, units: 2, ...seal },
    { kind: 'delete', at: 400, key: utf8Encode('key'), sequence: 302 },
    { kind: 'touch', at: 500, key: utf8Encode('key'), sequence: 303, stamp: 5 },
  ]
  for (const event of events.slice(1)) list.add(event)
  const body = list.finish()
  assert.equal(
    toHex(body),
    '01400200022402ac020202036b6579ac02644004ad02039003036b6579ae0204f403036b6579af0205',
  )
  assert.deepEqual(decodeEvents(body), events)
  const trailer = encodeTrailer(1000, body.length)
  assert.equal(toHex(trailer), '41535801122633a9e803000029000000')
  assert.deepEqual(decodeTrailer(trailer), { at: 1000, length: body.length })
  const random = seededRandom(3)
  for (let i = 0; i < 2000; i++) {
    const bad = body.slice(0, random.integer(body.length + 1))
    if (bad.length > 0) bad[random.integer(bad.length)] = random.integer(256)
    try {
      decodeEvents(bad)
    } catch (error) {
      assert.ok(isFault(error, 'corrupt'))
    }
  }
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes, isFault, seededRandom } from '../../../base/index.ts'
import {
  directionKeys,
  plainBytesMax,
  recordHeaderBytes,
  recordKind,
  RecordOpener,
  RecordParser,
  RecordSealer,
  type RekeyRule,
  writeRecordHeader,
} from './records.ts'

const random = seededRandom(1)
const key = random.bytes(32)

function sealed(sealer: RecordSealer, plain: Uint8Array): Uint8Array {
  const target: Uint8Array[] = []
  sealer.seal([plain], plain.length, target)
  return concatBytes(target)
}
const bodyOf = (record: Uint8Array): Uint8Array => record.subarray(recordHeaderBytes)

test('records open in their order, and only so', () => {
  const sealer = new RecordSealer(key)
  const plains = Array.from({ length: 4 }, (_, i) => random.bytes(i * 100))
  const records = plains.map((plain) => sealed(sealer, plain))
  const opener = new RecordOpener(key)
  const open = (at: number): Uint8Array | undefined =>
    opener.open(bodyOf(records[at] ?? new Uint8Array()))
  assert.deepEqual(open(0), plains[0])
  assert.equal(open(0), undefined, 'repeated')
  assert.equal(open(2), undefined, 'left out')
  assert.deepEqual(open(1), plains[1])
  assert.equal(new RecordOpener(random.bytes(32)).open(bodyOf(records[0] ?? key)), undefined)
  assert.equal(opener.open(new Uint8Array(15)), undefined)
})

test('every bit of a record counts', () => {
  const record = sealed(new RecordSealer(key), random.bytes(50))
  for (let at = recordHeaderBytes * 8; at < record.length * 8; at++) {
    const changed = record.slice()
    changed[at >> 3] = (changed[at >> 3] as number) ^ (1 << (at & 7))
    assert.equal(new RecordOpener(key).open(bodyOf(changed)), undefined)
  }
  const longer = concatBytes([record, new Uint8Array(1)])
  assert.equal(new RecordOpener(key).open(bodyOf(longer)), undefined)
})

test('both sides go on to the next key at the same record, by count and by bytes', () => {
  const rules: readonly RekeyRule[] = [
    { rekeyRecords: 3, rekeyBytes: 2 ** 30 },
    { rekeyRecords: 2 ** 30, rekeyBytes: 500 },
  ]
  for (const rule of rules) {
    const [sealer, opener] = [new RecordSealer(key, rule), new RecordOpener(key, rule)]
    const withFirstKey = new RecordOpener(key)
    let openedByFirst = 0
    for (let i = 0; i < 20; i++) {
      const plain = random.bytes(120)
      const body = bodyOf(sealed(sealer, plain))
      assert.deepEqual(opener.open(body), plain)
      if (withFirstKey.open(body) !== undefined) openedByFirst++
    }
    assert.ok(openedByFirst >= 3 && openedByFirst <= 5, `${openedByFirst} under the first key`)
  }
})

test('directions, transcripts and labels have keys of their own', () => {
  const keys = { initiatorKey: key, responderKey: key, handshakeHash: random.bytes(32) }
  const [dialling, accepting] = [directionKeys(keys, true), directionKeys(keys, false)]
  assert.deepEqual(dialling.sending, accepting.receiving)
  assert.deepEqual(dialling.receiving, accepting.sending)
  assert.notDeepEqual(dialling.sending, dialling.receiving)
  const other = directionKeys({ ...keys, handshakeHash: random.bytes(32) }, true)
  assert.notDeepEqual(other.sending, dialling.sending)
})

test('any cutting gives the same records', () => {
  const records = Array.from({ length: 30 }, (_, i) => {
    const body = random.bytes(16 + random.integer(i % 5 === 0 ? plainBytesMax : 300))
    const header = new Uint8Array(recordHeaderBytes)
    return concatBytes([writeRecordHeader(header, recordKind.sealed, body.length), body])
  })
  const all = concatBytes(records)
  for (const pieceMax of [1, 7, 1000, 70_000]) {
    const seen: Uint8Array[] = []
    const parser = new RecordParser((_, body) => seen.push(body.slice()))
    parser.takesSealed = true
    for (let at = 0; at < all.length; ) {
      const count = 1 + random.integer(pieceMax)
      parser.push(all.slice(at, at + count))
      at += count
    }
    assert.deepEqual(seen, records.map(bodyOf))
  }
})

test('kinds, versions and lengths are checked by the header alone', () => {
  const headers: readonly (readonly [number[], RegExp])[] = [
    [[2, 1, 0xff, 0xff], /65535 bytes/],
    [[2, 1, 0, 0], /0 bytes/],
    [[1, 1, 2, 1], /513 bytes/],
    [[3, 1, 0, 2], /2 bytes/],
    [[9, 1, 0, 1], /unknown kind 9/],
    [[2, 2, 0, 1], /version 2/],
    [[22, 3, 1, 0], /certificates and no shared key/],
  ]
  for (const [header, why] of headers) {
    const parser = new RecordParser(() => assert.fail('a record'))
    parser.takesSealed = true
    const isRefused = (error: unknown): boolean =>
      isFault(error, 'invalid') && why.test(error.message)
    assert.throws(() => parser.push(new Uint8Array(header)), isRefused)
  }
  const early = new RecordParser(() => assert.fail('a record'))
  assert.throws(() => early.push(new Uint8Array([2, 1, 0, 16])), /before the handshake/)
})

test('random bytes give a fault or wait for more', () => {
  for (let round = 0; round < 500; round++) {
    const parser = new RecordParser(() => undefined)
    parser.takesSealed = random.chance(0.5)
    const bytes = random.bytes(3 + random.integer(200))
    if (random.chance(0.7)) bytes.set([1 + random.integer(3), 1, 0])
    try {
      parser.push(bytes)
    } catch (error) {
      assert.ok(isFault(error, 'invalid'), String(error))
    }
  }
})

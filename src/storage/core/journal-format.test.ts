import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, toHex, utf8Encode, Writer } from '../../base/index.ts'
import {
  decodeJournal,
  decodeOperations,
  encodeJournalRecord,
  writeDelete,
  writePut,
} from './journal-format.ts'

function sample(): Uint8Array {
  const writer = new Writer()
  writePut(writer, 1, { key: utf8Encode('key'), value: utf8Encode('value') })
  writeDelete(writer, 0, utf8Encode('gone'))
  return writer.finish()
}

test('golden bytes of a commit', () => {
  const record = encodeJournalRecord({ kind: 'commit', number: 0, payload: sample() })
  assert.equal(
    toHex(record),
    '414a0301e9cc78cb0000000000000000130000000101036b65790576616c7565020004676f6e65',
  )
  const { records } = decodeJournal(record)
  assert.deepEqual(
    [...decodeOperations(records[0]?.payload as Uint8Array)],
    [
      { kind: 'put', table: 1, key: utf8Encode('key'), value: utf8Encode('value') },
      { kind: 'delete', table: 0, key: utf8Encode('gone') },
    ],
  )
})

test('a flipped bit or a truncation ends the valid prefix, noise is no record', () => {
  const one = encodeJournalRecord({ kind: 'commit', number: 0, payload: sample() })
  const two = encodeJournalRecord({ kind: 'commit', number: 1, payload: sample() })
  const both = new Uint8Array(one.length + two.length)
  both.set(one)
  both.set(two, one.length)
  for (let bit = 0; bit < both.length * 8; bit++) {
    const bad = both.slice()
    bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7))
    assert.equal(decodeJournal(bad).records.length, bit < one.length * 8 ? 0 : 1)
  }
  for (let cut = 0; cut < both.length; cut++) {
    assert.equal(decodeJournal(both.subarray(0, cut)).records.length, cut < one.length ? 0 : 1)
  }
  const random = seededRandom(5)
  for (let i = 0; i < 200; i++) {
    assert.equal(decodeJournal(random.bytes(random.integer(200))).records.length, 0)
  }
})

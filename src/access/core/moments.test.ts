import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../base/index.ts'
import { formatMoment, parseMoment } from './moments.ts'

test('moments are read and written as ISO 8601 has them', () => {
  const random = seededRandom(3)
  for (let round = 0; round < 3_000; round++) {
    const ms = random.integer(2 ** 42) * 2 - 2 ** 41
    const text = new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z')
    assert.equal(formatMoment(ms), text)
    assert.equal(parseMoment(text), Math.floor(ms / 1000) * 1000, text)
  }
  assert.equal(parseMoment('2020-02-29'), Date.UTC(2020, 1, 29))
  assert.equal(parseMoment('2020-04-01T00:00:00.5+02:00'), Date.UTC(2020, 2, 31, 22) + 500)
  assert.equal(parseMoment('2020-04-01T00:00Z'), Date.UTC(2020, 3, 1))
  assert.equal(parseMoment('1585699200'), 1_585_699_200_000)
})

test('what is no moment is none', () => {
  const wrong = [
    '',
    '2021-02-29',
    '2020-13-01',
    '2020-00-01',
    '2020-01-32',
    '2020-01-01T24:00:00Z',
    '2020-01-01T00:00:00',
    'now',
    '2020-01-01 00:00:00Z',
    '1e9',
    '2020-01-01T00:00:00+15:00',
  ]
  for (const text of wrong) assert.equal(parseMoment(text), undefined, text)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom } from '../../../base/index.ts'
import { parseCron } from './cron.ts'

const at = (text: string): number => Date.parse(`${text}Z`)
const show = (ms: number | undefined): string => {
  return ms === undefined ? 'none' : new Date(ms).toISOString().slice(0, 16)
}

test('known schedules', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['* * * * *', '2026-03-01T10:20:30', '2026-03-01T10:21'],
    ['*/15 * * * *', '2026-03-01T10:20', '2026-03-01T10:30'],
    ['0 0 29 2 *', '2026-03-01T00:00', '2028-02-29T00:00'],
    ['0 0 29 2 *', '2096-03-01T00:00', '2104-02-29T00:00'],
    ['30 4 1,15 * 5', '2026-11-02T00:00', '2026-11-06T04:30'],
    ['0 9-17/4 * * MON-FRI', '2026-11-20T13:00', '2026-11-20T17:00'],
    ['0 9-17/4 * * MON-FRI', '2026-11-20T17:00', '2026-11-23T09:00'],
    ['0 0 * * 7', '2026-11-21T00:00', '2026-11-22T00:00'],
    ['5/20 0 1 jan *', '2026-01-01T00:25', '2026-01-01T00:45'],
    ['@weekly', '2026-11-21T00:00', '2026-11-22T00:00'],
    ['@yearly', '2026-11-21T00:00', '2027-01-01T00:00'],
    ['@every 1h30m', '2026-11-21T00:00', '2026-11-21T01:30'],
  ]
  for (const [text, from, expected] of cases) {
    assert.equal(show(parseCron(text).next(at(from))), expected, `${text} after ${from}`)
  }
})

/** Cron by definition: every minute is looked at. */
function isDue(text: string, ms: number): boolean {
  const date = new Date(ms)
  const [minute, hour, day, month, weekday] = text.split(' ') as [
    string,
    string,
    string,
    string,
    string,
  ]
  const holds = (field: string, value: number, most: number): boolean =>
    field.split(',').some((part) => {
      const [range, step = '1'] = part.split('/') as [string, string?]
      const [a, b] = range === '*' ? ['0', String(most)] : (range.split('-') as [string, string?])
      const from = range === '*' && most === 31 ? 1 : range === '*' && most === 12 ? 1 : Number(a)
      const to = b === undefined ? (part.includes('/') ? most : from) : Number(b)
      return value >= from && value <= to && (value - from) % Number(step) === 0
    })
  if (!holds(minute, date.getUTCMinutes(), 59)) return false
  if (!holds(hour, date.getUTCHours(), 23)) return false
  if (!holds(month, date.getUTCMonth() + 1, 12)) return false
  const isMonthDay = holds(day, date.getUTCDate(), 31)
  const isWeekDay =
    holds(weekday, date.getUTCDay(), 6) ||
    (date.getUTCDay() === 0 && holds(weekday, 7, 7) && weekday !== '*')
  if (day.startsWith('*') || weekday.startsWith('*')) return isMonthDay && isWeekDay
  return isMonthDay || isWeekDay
}

test('next and latest agree with looking at every minute', () => {
  const random = seededRandom(7)
  const field = (least: number, most: number): string => {
    const value = (): number => least + random.integer(most - least + 1)
    const draw = random.integer(6)
    if (draw < 2) return '*'
    if (draw === 2) return `*/${1 + random.integer(most)}`
    if (draw === 3) return [value(), value()].join(',')
    const [a, b] = [value(), value()].sort((x, y) => x - y)
    return draw === 4 ? `${a}-${b}` : `${a}-${b}/${1 + random.integer(5)}`
  }
  for (let round = 0; round < 150; round++) {
    const text = [
      field(0, 59),
      field(0, 23),
      random.chance(0.5) ? '*' : field(1, 28),
      '*',
      field(0, 6),
    ].join(' ')
    const cron = parseCron(text)
    const from =
      at('2026-02-20T00:00') + random.integer(40 * 1440) * 60_000 + random.integer(60_000)
    const next = cron.next(from)
    assert.ok(isDue(text, next), `${text} is not due at ${show(next)}`)
    assert.ok(next > from)
    const limit = Math.min(next, from + 3 * 86_400_000)
    for (let ms = (Math.floor(from / 60_000) + 1) * 60_000; ms < limit; ms += 60_000) {
      assert.ok(!isDue(text, ms), `${text}: ${show(ms)} was passed over`)
    }
    assert.equal(cron.latest(next), next)
    const before = cron.latest(next - 1)
    if (before !== undefined) assert.equal(cron.next(before), next, text)
  }
})

test('what is no schedule is refused in words', () => {
  const bad = [
    '',
    '* * * *',
    '* * * * * *',
    '60 * * * *',
    '* 24 * * *',
    '* * 0 * *',
    '* * * 13 *',
    '* * * * 8',
    '*/0 * * * *',
    '5-1 * * * *',
    '1-2-3 * * * *',
    '1//2 * * * *',
    'a * * * *',
    '-1 * * * *',
    ',',
    '@never',
    '@every',
    '@every 0s',
    '@every 500ms',
    '@every 9000h',
    '@every 1d',
    '0 0 31 2 *',
    '0 0 30 FEB *',
    `${'1,'.repeat(200)}1 * * * *`,
    '@every 1h extra',
    '1e1 * * * *',
    '١ * * * *',
  ]
  for (const text of bad) {
    assert.throws(
      () => parseCron(text),
      (error) => isFault(error, 'invalid'),
      text,
    )
  }
  const random = seededRandom(3)
  const letters = '0123456789*/-, @everyJANhms'
  for (let round = 0; round < 3000; round++) {
    const text = Array.from(
      { length: random.integer(24) },
      () => letters[random.integer(letters.length)],
    ).join('')
    try {
      const cron = parseCron(text)
      assert.ok(cron.next(1e12) > 1e12)
    } catch (error) {
      assert.ok(isFault(error, 'invalid'), `${text}: ${String(error)}`)
    }
  }
})

test('ticks before 1970 and far ahead', () => {
  assert.equal(parseCron('0 0 1 1 *').latest(-5), undefined)
  assert.equal(parseCron('@every 10s').latest(-5), undefined)
  assert.equal(show(parseCron('@yearly').next(at('9998-06-01T00:00'))), '9999-01-01T00:00')
})

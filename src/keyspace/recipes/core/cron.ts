// When a schedule is due: cron's five fields in UTC (POSIX crontab, with the names, steps and marks of Vixie's
// cron) or an interval. A tick is a point in time that follows from the text alone, so every node that
// reads the text means the same ticks.
//
//   minute 0-59, hour 0-23, day of month 1-31, month 1-12 or JAN-DEC, day of week 0-7 or SUN-SAT (0 and 7: Sunday)
//   each: * or a list of n, a-b, */s, a-b/s, n/s (from n on); when both days are restricted, either will do
//   @yearly @annually @monthly @weekly @daily @midnight @hourly
//   @every 1h30m: each whole multiple of it since 1970; h, m, s; from 1 s to 366 days
//
// Days are counted without a calendar of the platform (Hinnant, "chrono-compatible low-level date algorithms").

import { Fault } from '../../../base/index.ts'

/** Both answer milliseconds since 1970 UTC. */
export type Cron = {
  /** The first tick after `ms`. */
  next(ms: number): number
  /** The last tick at or before `ms`; undefined when there was none since 1970. */
  latest(ms: number): number | undefined
}

const textMax = 256
const minuteMs = 60_000
const hourMs = 3_600_000
const dayMs = 86_400_000
const intervalMsMax = 366 * dayMs
/** The 29th of February comes at least once in so many days (1896, 1904), whatever its weekday. */
const daysMax = 366 * 41

const macros: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
}
const monthNames = 'JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC'.split(' ')
const dayNames = 'SUN MON TUE WED THU FRI SAT'.split(' ')

/** Fault 'invalid' for a text that is no schedule, or one that is never due. */
export function parseCron(text: string): Cron {
  if (text.length > textMax)
    throw new Fault('invalid', `a schedule has at most ${textMax} characters`)
  const words = text.trim().split(/\s+/)
  const [first = '', second = ''] = words
  if (first === '@every' && words.length === 2) return everyOf(parseInterval(second))
  const fields = words.length === 1 ? macros[first]?.split(' ') : words
  if (fields?.length !== 5) {
    throw new Fault(
      'invalid',
      `'${text.slice(0, 64)}' is not five fields, a name like @daily, or @every`,
    )
  }
  const cron = new Fields(fields)
  if (cron.next(0) === never) {
    throw new Fault('invalid', `'${text.slice(0, 64)}' is never due`)
  }
  return cron
}

const never = Number.POSITIVE_INFINITY

function everyOf(ms: number): Cron {
  return {
    next: (afterMs) => (Math.floor(afterMs / ms) + 1) * ms,
    latest: (atMs) => (atMs < 0 ? undefined : Math.floor(atMs / ms) * ms),
  }
}

function parseInterval(text: string): number {
  const found = /^(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?$/.exec(text)
  const [, hours = '0', minutes = '0', seconds = '0'] = found ?? []
  const ms = Number(hours) * hourMs + Number(minutes) * minuteMs + Number(seconds) * 1000
  if (ms >= 1000 && ms <= intervalMsMax) return ms
  throw new Fault('invalid', `'@every ${text.slice(0, 32)}' is not between 1s and 8784h`)
}

class Fields implements Cron {
  readonly #minutes: readonly boolean[]
  readonly #hours: readonly boolean[]
  readonly #daysOfMonth: readonly boolean[]
  readonly #months: readonly boolean[]
  readonly #daysOfWeek: readonly boolean[]
  /** A day needs one of the two only. */
  readonly #isEither: boolean

  constructor([minute = '', hour = '', day = '', month = '', weekday = '']: readonly string[]) {
    this.#minutes = parseField(minute, { name: 'minute', least: 0, most: 59, names: [] })
    this.#hours = parseField(hour, { name: 'hour', least: 0, most: 23, names: [] })
    this.#daysOfMonth = parseField(day, { name: 'day of month', least: 1, most: 31, names: [] })
    this.#months = parseField(month, { name: 'month', least: 1, most: 12, names: monthNames })
    const days = parseField(weekday, { name: 'day of week', least: 0, most: 7, names: dayNames })
    this.#daysOfWeek = days.map((isIn, at) => isIn || (at === 0 && days[7] === true))
    this.#isEither = !day.startsWith('*') && !weekday.startsWith('*')
  }

  next(ms: number): number {
    const fromMs = Math.max(0, Math.floor(ms / minuteMs) + 1) * minuteMs
    const firstDay = Math.floor(fromMs / dayMs)
    for (let day = firstDay; day < firstDay + daysMax; day++) {
      if (!this.#isDay(day)) continue
      const start = day === firstDay ? Math.floor((fromMs % dayMs) / minuteMs) : 0
      const minute = this.#findMinute(start, 1)
      if (minute !== undefined) return day * dayMs + minute * minuteMs
    }
    return never
  }

  latest(ms: number): number | undefined {
    const lastDay = Math.floor(ms / dayMs)
    for (let day = lastDay; day >= 0 && day > lastDay - daysMax; day--) {
      if (!this.#isDay(day)) continue
      const start = day === lastDay ? Math.floor((ms - day * dayMs) / minuteMs) : 1439
      const minute = this.#findMinute(start, -1)
      if (minute !== undefined) return day * dayMs + minute * minuteMs
    }
    return undefined
  }

  #isDay(day: number): boolean {
    const { month, dayOfMonth } = civilOf(day)
    if (this.#months[month] !== true) return false
    const isMonthDay = this.#daysOfMonth[dayOfMonth] === true
    // 1970-01-01 was a Thursday.
    const isWeekDay = this.#daysOfWeek[(day + 4) % 7] === true
    return this.#isEither ? isMonthDay || isWeekDay : isMonthDay && isWeekDay
  }

  #findMinute(start: number, step: 1 | -1): number | undefined {
    for (let minute = start; minute >= 0 && minute < 1440; minute += step) {
      if (this.#hours[Math.floor(minute / 60)] !== true) continue
      if (this.#minutes[minute % 60] === true) return minute
    }
    return undefined
  }
}

type FieldRule = {
  readonly name: string
  readonly least: number
  readonly most: number
  readonly names: readonly string[]
}

function parseField(text: string, rule: FieldRule): readonly boolean[] {
  const values = new Array<boolean>(rule.most + 1).fill(false)
  for (const part of text.split(',')) {
    const [range = '', step, ...more] = part.split('/')
    const [from, to] = parseRange(range, rule, step !== undefined)
    const width = step === undefined ? 1 : parseNumber(step, rule)
    if (more.length > 0 || width === 0 || from > to) throw notField(text, rule)
    for (let value = from; value <= to; value += width) values[value] = true
  }
  return values
}

function parseRange(text: string, rule: FieldRule, hasStep: boolean): readonly [number, number] {
  if (text === '*') return [rule.least, rule.most]
  const [first = '', last, ...more] = text.split('-')
  if (more.length > 0) throw notField(text, rule)
  const from = parseValue(first, rule)
  if (last !== undefined) return [from, parseValue(last, rule)]
  return [from, hasStep ? rule.most : from]
}

function parseValue(text: string, rule: FieldRule): number {
  const named = rule.names.indexOf(text.toUpperCase())
  const value = named === -1 ? parseNumber(text, rule) : named + rule.least
  if (value < rule.least || value > rule.most) throw notField(text, rule)
  return value
}

function parseNumber(text: string, rule: FieldRule): number {
  if (!/^\d{1,2}$/.test(text)) throw notField(text, rule)
  return Number(text)
}

function notField(text: string, { name, least, most }: FieldRule): Fault {
  return new Fault('invalid', `'${text.slice(0, 32)}' is not a ${name} (${least} to ${most})`)
}

/** Month 1 to 12 and day of month of a day since 1970-01-01. */
function civilOf(day: number): { readonly month: number; readonly dayOfMonth: number } {
  const shifted = day + 719_468
  const dayOfEra = shifted - Math.floor(shifted / 146_097) * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const leapDays = Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100)
  const dayOfYear = dayOfEra - (365 * yearOfEra + leapDays)
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const dayOfMonth = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1
  return { month: shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9, dayOfMonth }
}

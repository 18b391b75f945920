// Dates as the S3 wire writes them, computed from milliseconds since 1970 without a Date object, so that
// everything here stays pure. The calendar arithmetic is that of H. Hinnant, "chrono-compatible
// low-level date algorithms" (days_from_civil and civil_from_days), valid for all years used here.

const dayMs = 86_400_000
const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

type Civil = {
  readonly year: number
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly weekday: number
}

/** 'Sun, 06 Nov 1994 08:49:37 GMT' (RFC 9110, 5.6.7). Fractions of a second are dropped. */
export function formatHttpDate(ms: number): string {
  const at = civil(ms)
  const date = `${two(at.day)} ${months[at.month - 1]} ${at.year}`
  return `${weekdays[at.weekday]}, ${date} ${two(at.hour)}:${two(at.minute)}:${two(at.second)} GMT`
}

/** '1994-11-06T08:49:37.000Z': dates inside S3's XML, in whole seconds so that they equal Last-Modified. */
export function formatXmlDate(ms: number): string {
  const at = civil(ms)
  const time = `${two(at.hour)}:${two(at.minute)}:${two(at.second)}`
  return `${at.year}-${two(at.month)}-${two(at.day)}T${time}.000Z`
}

/** '19941106T084937Z': dates of Signature Version 4. */
export function formatBasicDate(ms: number): string {
  const at = civil(ms)
  const time = `${two(at.hour)}${two(at.minute)}${two(at.second)}`
  return `${at.year}${two(at.month)}${two(at.day)}T${time}Z`
}

/** Milliseconds of '19941106T084937Z'; undefined for anything else, also for the 30th of February. */
export function parseBasicDate(text: string): number | undefined {
  if (!/^\d{8}T\d{6}Z$/.test(text)) return undefined
  const number = (from: number, to: number): number => Number(text.slice(from, to))
  return fromCivil({
    year: number(0, 4),
    month: number(4, 6),
    day: number(6, 8),
    hour: number(9, 11),
    minute: number(11, 13),
    second: number(13, 15),
  })
}

const httpDateForms = [
  /^(?:\w{3}), (?<day>\d{2}) (?<month>\w{3}) (?<year>\d{4}) (?<time>\d{2}:\d{2}:\d{2}) (?:GMT|UTC|\+0000)$/,
  /^(?:\w{6,9}), (?<day>\d{2})-(?<month>\w{3})-(?<year>\d{2}) (?<time>\d{2}:\d{2}:\d{2}) GMT$/,
  /^(?:\w{3}) (?<month>\w{3}) (?<day>[ \d]\d) (?<time>\d{2}:\d{2}:\d{2}) (?<year>\d{4})$/,
]

/** All three forms of RFC 9110, and S3's own of XML; undefined when the text is none of them. */
export function parseHttpDate(text: string): number | undefined {
  if (text.length > 40) return undefined
  for (const form of httpDateForms) {
    const found = form.exec(text)?.groups
    if (found === undefined) continue
    const { day = '', month = '', year = '', time = '' } = found
    const [hour = '', minute = '', second = ''] = time.split(':')
    const written = Number(year)
    const century = year.length === 4 ? 0 : written < 70 ? 2000 : 1900
    return fromCivil({
      year: century + written,
      month: months.indexOf(month) + 1,
      day: Number(day),
      hour: Number(hour),
      minute: Number(minute),
      second: Number(second),
    })
  }
  return parseXmlDate(text)
}

function parseXmlDate(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z$/.test(text)) return undefined
  const digits = text.slice(0, 19).replaceAll(/[-:]/g, '')
  return parseBasicDate(`${digits}Z`)
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value)
}

function civil(ms: number): Civil {
  const days = Math.floor(ms / dayMs)
  const within = ms - days * dayMs
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153)
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1,
    hour: Math.floor(within / 3_600_000),
    minute: Math.floor(within / 60_000) % 60,
    second: Math.floor(within / 1000) % 60,
    weekday: (((days + 4) % 7) + 7) % 7,
  }
}

function fromCivil(at: Omit<Civil, 'weekday'>): number | undefined {
  if (at.month < 1 || at.month > 12 || at.hour > 23 || at.minute > 59 || at.second > 60) {
    return undefined
  }
  const year = at.month <= 2 ? at.year - 1 : at.year
  const era = Math.floor(year / 400)
  const yearOfEra = year - era * 400
  const monthFromMarch = at.month > 2 ? at.month - 3 : at.month + 9
  const dayOfYear = Math.floor((153 * monthFromMarch + 2) / 5) + at.day - 1
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  const days = era * 146_097 + dayOfEra - 719_468
  const ms = days * dayMs + at.hour * 3_600_000 + at.minute * 60_000 + at.second * 1000
  const back = civil(days * dayMs)
  return back.day === at.day && back.month === at.month ? ms : undefined
}

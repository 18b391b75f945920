// Points in time as policies write them: ISO 8601 ('2026-01-31', '2026-01-31T10:00:00Z', '+02:00' for Z) or seconds
// since 1970. Pure: no clock and no locale are asked.

const isoPattern =
  /^(?<year>\d{4})-(?<month>\d{2})-(?<day>\d{2})(?:T(?<hour>\d{2}):(?<minute>\d{2})(?::(?<second>\d{2})(?:\.(?<fraction>\d{1,9}))?)?(?<zone>Z|[+-]\d{2}:\d{2}))?$/
const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Milliseconds since 1970; undefined when it is none. Without a zone only whole days are one (UTC). */
export function parseMoment(text: string): number | undefined {
  if (/^-?\d{1,12}(?:\.\d{1,3})?$/.test(text)) return Number(text) * 1000
  const found = text.length > 40 ? undefined : isoPattern.exec(text)?.groups
  if (found === undefined) return undefined
  const number = (name: string): number => Number(found[name] ?? 0)
  const [year, month, day] = [number('year'), number('month'), number('day')]
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  const days = (monthDays[month - 1] ?? 0) + (month === 2 && isLeap ? 1 : 0)
  const [hour, minute, second] = [number('hour'), number('minute'), number('second')]
  if (day < 1 || day > days || hour > 23 || minute > 59 || second > 59) return undefined
  const offset = zoneMinutes(found.zone)
  if (offset === undefined) return undefined
  const ms = Math.trunc(Number(`0.${found.fraction ?? '0'}`) * 1000)
  const minutes = (daysBefore(year, month) + day - 1) * 1440 + hour * 60 + minute - offset
  return minutes * 60_000 + second * 1000 + ms
}

/** '2026-01-31T10:00:00Z' of milliseconds since 1970. */
export function formatMoment(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  let days = Math.floor(seconds / 86_400)
  const rest = seconds - days * 86_400
  let year = 1970
  while (days < 0 || daysBefore(year + 1, 1) - daysBefore(year, 1) <= days) {
    const step = days < 0 ? -1 : 1
    days -=
      step * (daysBefore(year + Math.max(step, 0), 1) - daysBefore(year + Math.min(step, 0), 1))
    year += step
  }
  let month = 1
  while (daysBefore(year, month + 1) - daysBefore(year, 1) <= days) month++
  const day = days - (daysBefore(year, month) - daysBefore(year, 1)) + 1
  const two = (value: number): string => String(value).padStart(2, '0')
  const time = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60].map(two).join(':')
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${time}Z`
}

/** Days from 1970-01-01 to the first of a month (13: of the next January). */
function daysBefore(year: number, month: number): number {
  const before = year - 1
  const leaps = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400) - 477
  let days = (year - 1970) * 365 + leaps
  for (let at = 1; at < month; at++) days += monthDays[at - 1] ?? 0
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  return days + (isLeap && month > 2 ? 1 : 0)
}

function zoneMinutes(zone: string | undefined): number | undefined {
  if (zone === undefined || zone === 'Z') return 0
  const hours = Number(zone.slice(1, 3))
  const minutes = Number(zone.slice(4))
  if (hours > 14 || minutes > 59) return undefined
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes)
}

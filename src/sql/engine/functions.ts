// Functions of time, chance and mathematics under which all replicas compute alike. They replace SQLite's own of the same
// names, so column defaults, triggers, upserts, ORDER BY and schemas made before see them too.
//
// - Time: "now" is the batch's. Everything else of dates is computed by SQLite itself, on a second connection in memory.
//   They are registered as deterministic, or indexes and generated columns over dates would be refused; "now" inside of those
//   is refused while it runs (statements.ts), as SQLite's own functions do.
// - Chance: drawn from the batch's seed.
// - Mathematics: of V8, which brings its own library; SQLite's is that of the machine.

import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { Fault } from '../../base/index.ts'
import type { Chance } from '../core/chance.ts'

/** What functions see of the batch that runs. */
export type Moment = {
  timeMs: number
  chance: Chance
  /** Throws Fault 'invalid' where what this function answers would be kept in an index or a generated column. */
  mayAsk(name: string): void
}

const blobBytesMax = 16 * 1024 * 1024
const dateFunctions = ['date', 'time', 'datetime', 'julianday', 'unixepoch'] as const

export function registerTimeAndChance(
  database: DatabaseSync,
  calendar: DatabaseSync,
  moment: Moment,
): void {
  registerChance(database, moment)
  const nowOf = (name: string) => (): string => {
    moment.mayAsk(name)
    return isoOf(moment.timeMs)
  }
  const timed = { varargs: true, deterministic: true, useBigIntArguments: true } as const
  for (const name of dateFunctions) {
    const ask = asker(calendar, name)
    const now = nowOf(name)
    database.function(name, timed, (...given: SQLInputValue[]) => ask(withNow(given, 0, now)))
  }
  const format = asker(calendar, 'strftime')
  database.function('strftime', timed, (...given: SQLInputValue[]) =>
    format(given.length === 0 ? given : withNow(given, 1, nowOf('strftime'))),
  )
  const difference = asker(calendar, 'timediff')
  database.function('timediff', timed, (...given: SQLInputValue[]) =>
    difference(given.map((value) => (isNow(value) ? nowOf('timediff')() : value))),
  )
  const parts = { current_date: 'date', current_time: 'time', current_timestamp: 'datetime' }
  for (const [name, part] of Object.entries(parts)) {
    const ask = asker(calendar, part)
    const now = nowOf(name)
    database.function(name, { deterministic: true }, () => ask([now()]))
  }
}

function registerChance(database: DatabaseSync, moment: Moment): void {
  database.function('random', () => moment.chance.integer())
  database.function('randomblob', { useBigIntArguments: true }, (count: SQLInputValue) => {
    const wanted = Math.max(1, Math.floor(Number(count ?? 1)) || 1)
    if (wanted > blobBytesMax) throw new Fault('too-large', 'string or blob too big')
    return moment.chance.bytes(wanted)
  })
}

/** The arguments with the batch's time wherever SQLite would take the clock's. */
function withNow(
  given: readonly SQLInputValue[],
  at: number,
  now: () => string,
): readonly SQLInputValue[] {
  const value = given[at]
  if (value === undefined) return [...given, now()]
  if (isNow(value)) return given.with(at, now())
  // A lone modifier of fractions stands for "now" with it.
  if (typeof value === 'string' && /^subsec(ond)?$/i.test(value) && given.length === at + 1) {
    return [...given.slice(0, at), now(), value]
  }
  return given
}

function isNow(value: SQLInputValue | undefined): boolean {
  if (typeof value === 'string') return value.toLowerCase() === 'now'
  return (
    value instanceof Uint8Array &&
    String.fromCharCode(...value.subarray(0, 4)).toLowerCase() === 'now'
  )
}

function asker(
  calendar: DatabaseSync,
  name: string,
): (given: readonly SQLInputValue[]) => SQLInputValue {
  const byCount = new Map<number, ReturnType<DatabaseSync['prepare']>>()
  return (given) => {
    const known = byCount.get(given.length)
    const marks = new Array(given.length).fill('?').join(', ')
    const statement = known ?? calendar.prepare(`SELECT ${name}(${marks}) AS answer`)
    statement.setReadBigInts(true)
    byCount.set(given.length, statement)
    return statement.get(...given)?.answer ?? null
  }
}

/** As SQLite reads times: UTC with milliseconds. */
function isoOf(timeMs: number): string {
  const days = Math.floor(timeMs / 86_400_000)
  const { year, month, day } = civilOf(days)
  const ms = timeMs - days * 86_400_000
  const two = (value: number): string => String(value).padStart(2, '0')
  const clock = [ms / 3_600_000, (ms / 60_000) % 60, (ms / 1000) % 60]
  const time = clock.map((value) => two(Math.floor(value))).join(':')
  const fraction = String(ms % 1000).padStart(3, '0')
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)} ${time}.${fraction}`
}

/** Days since 1970 in the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
function civilOf(days: number): {
  readonly year: number
  readonly month: number
  readonly day: number
} {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const leap = Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524)
  const yearOfEra = Math.floor((dayOfEra - leap + Math.floor(dayOfEra / 146_096)) / 365)
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day }
}

const ofOne: Readonly<Record<string, (x: number) => number>> = {
  acos: Math.acos,
  acosh: Math.acosh,
  asin: Math.asin,
  asinh: Math.asinh,
  atan: Math.atan,
  atanh: Math.atanh,
  cos: Math.cos,
  cosh: Math.cosh,
  exp: Math.exp,
  ln: Math.log,
  log10: Math.log10,
  log2: Math.log2,
  sin: Math.sin,
  sinh: Math.sinh,
  tan: Math.tan,
  tanh: Math.tanh,
}
const ofTwo: Readonly<Record<string, (x: number, y: number) => number>> = {
  atan2: Math.atan2,
  pow: Math.pow,
  power: Math.pow,
}

/** What is exact by IEEE 754 (sqrt, ceil, floor, trunc, mod) stays SQLite's. */
export function registerMathematics(database: DatabaseSync): void {
  const options = { deterministic: true, useBigIntArguments: true } as const
  for (const [name, compute] of Object.entries(ofOne)) {
    database.function(name, options, (x: SQLInputValue) => {
      const value = numberOf(x)
      return value === undefined ? null : finite(compute(value))
    })
  }
  for (const [name, compute] of Object.entries(ofTwo)) {
    database.function(name, options, (x: SQLInputValue, y: SQLInputValue) => {
      const [a, b] = [numberOf(x), numberOf(y)]
      return a === undefined || b === undefined ? null : finite(compute(a, b))
    })
  }
  database.function('log', { ...options, varargs: true }, (...given: SQLInputValue[]) => {
    const values = given.map(numberOf)
    const [a, b] = values
    if (a === undefined || values.includes(undefined)) return null
    return finite(b === undefined ? Math.log10(a) : Math.log(b) / Math.log(a))
  })
}

/** As SQLite takes arguments of mathematics: numbers, and text that is one. */
function numberOf(value: SQLInputValue | undefined): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'string' || value.trim() === '') return undefined
  const read = Number(value)
  return Number.isNaN(read) || /[xob]/i.test(value) ? undefined : read
}

function finite(value: number): number | null {
  return Number.isNaN(value) ? null : value
}

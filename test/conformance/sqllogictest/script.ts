// Files of sqllogictest (https://sqlite.org/sqllogictest/doc/trunk/about.wiki): records with blank lines between them.
//
//   statement ok|error, SQL
//   query TYPES [nosort|rowsort|valuesort] [label], SQL, ----, values one per line or 'N values hashing to MD5'
//   hash-threshold N, halt, skipif ENGINE, onlyif ENGINE (before a record)

import { createHash } from 'node:crypto'

export type Sort = 'nosort' | 'rowsort' | 'valuesort'
export type Step =
  | {
      readonly kind: 'statement'
      readonly line: number
      readonly sql: string
      readonly isError: boolean
    }
  | {
      readonly kind: 'query'
      readonly line: number
      readonly sql: string
      /** A letter for each column: T text, I integer, R real. */
      readonly types: string
      readonly sort: Sort
      readonly expected: readonly string[]
    }

export type Value = null | string | number | bigint

const engine = 'sqlite'
const sorts: readonly string[] = ['nosort', 'rowsort', 'valuesort']

/** Throws for a line that is none of these. */
export function parseScript(text: string): readonly Step[] {
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''))
  const steps: Step[] = []
  let isSkipped = false
  for (let at = 0; at < lines.length; at++) {
    const line = at + 1
    const [word = '', ...rest] = (lines[at] ?? '').trim().split(/\s+/)
    if (word === '' || word.startsWith('#') || word === 'hash-threshold') continue
    if (word === 'skipif') isSkipped ||= rest[0] === engine
    else if (word === 'onlyif') isSkipped ||= rest[0] !== engine
    else if (word === 'halt') {
      if (!isSkipped) return steps
      isSkipped = false
    } else if (word === 'statement' || word === 'query') {
      const body: string[] = []
      for (at++; at < lines.length && lines[at] !== ''; at++) body.push(lines[at] ?? '')
      if (!isSkipped && word === 'query') steps.push(queryOf(rest, body, line))
      if (!isSkipped && word === 'statement') steps.push(...statementsOf(rest, body, line))
      isSkipped = false
    } else throw new Error(`line ${line}: ${word} is no record`)
  }
  return steps
}

/** A record may hold several, of which a request of ours takes one each; a trigger's body is its own. */
function statementsOf(
  [wanted = '']: readonly string[],
  body: readonly string[],
  line: number,
): readonly Step[] {
  const whole = body.join('\n')
  const texts = /\btrigger\b/i.test(whole) ? [whole] : whole.split(/;\n/)
  const isError = wanted === 'error'
  return texts.map((sql) => ({ kind: 'statement', line, sql, isError }))
}

function queryOf(
  [types = '', ...rest]: readonly string[],
  body: readonly string[],
  line: number,
): Step {
  const sort = (rest.find((word) => sorts.includes(word)) ?? 'nosort') as Sort
  const border = body.indexOf('----')
  const sql = body.slice(0, border < 0 ? undefined : border).join('\n')
  const expected = border < 0 ? [] : body.slice(border + 1)
  return { kind: 'query', line, sql, types, sort, expected }
}

/** As the files write what a query answers. */
export function render(
  rows: readonly (readonly Value[])[],
  { types, sort }: { readonly types: string; readonly sort: Sort },
): readonly string[] {
  const rendered = rows.map((row) => row.map((value, at) => renderValue(value, types[at] ?? 'T')))
  if (sort === 'rowsort') rendered.sort((a, b) => compareLists(a, b))
  const values = rendered.flat()
  return sort === 'valuesort' ? values.sort(compareTexts) : values
}

/** Undefined: equal. */
export function differenceOf(
  values: readonly string[],
  expected: readonly string[],
): string | undefined {
  const [, count, digest] = /^(\d+) values hashing to ([0-9a-f]{32})$/.exec(expected[0] ?? '') ?? []
  if (digest !== undefined && expected.length === 1) {
    const hash = createHash('md5')
    for (const value of values) hash.update(`${value}\n`)
    const is = hash.digest('hex')
    if (values.length === Number(count) && is === digest) return undefined
    return `${values.length} values hashing to ${is}, not ${expected[0]}`
  }
  const at = expected.findIndex((value, place) => value !== values[place])
  if (at < 0 && values.length === expected.length) return undefined
  const place = at < 0 ? expected.length : at
  return `value ${place + 1} of ${values.length} is ${values[place]}, not ${expected[place]} of ${expected.length}`
}

function renderValue(value: Value, type: string): string {
  if (value === null) return 'NULL'
  if (type === 'I') return typeof value === 'bigint' ? String(value) : integerOf(value)
  if (type === 'R') return realOf(Number(value))
  const text = String(value)
  return text === '' ? '(empty)' : text.replaceAll(/[^ -~]/g, '@')
}

/** Sixteen digits, as SQLite prints. */
function realOf(value: number): string {
  if (Math.abs(value) < 1e16) return value.toFixed(3)
  const [digits = '', exponent = '0'] = value.toPrecision(16).replace('.', '').split('e+')
  const isNegative = digits.startsWith('-')
  const places = Number(exponent) + (isNegative ? 2 : 1)
  return `${digits.padEnd(places, '0')}.000`
}

/** As SQLite makes integers of texts and reals. */
function integerOf(value: string | number): string {
  if (typeof value === 'number') return String(Math.trunc(value))
  return /^\s*([+-]?\d+)/.exec(value)?.[1] ?? '0'
}

function compareLists(a: readonly string[], b: readonly string[]): number {
  for (const [at, text] of a.entries()) {
    const order = compareTexts(text, b[at] ?? '')
    if (order !== 0) return order
  }
  return 0
}

function compareTexts(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

// Statements and results as rqlite's HTTP API has them in JSON (https://rqlite.io/docs/api/api/).
//
// A statement is a text, or a list of a text and its values, or of a text and an object of named values. Whole numbers are
// INTEGERs with all their digits, numbers with a point or an exponent REALs, lists of bytes BLOBs, true and false 1 and 0.

import { Fault, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { HttpResponse } from '../../host/index.ts'
import type { SqlResult, SqlStatement, SqlValue } from '../../sql/index.ts'
import { base64Encode } from '../s3/core/text.ts'

export type Shape = {
  readonly isPretty: boolean
  readonly isAssociative: boolean
  readonly hasTimings: boolean
  /** BLOBs as lists of bytes instead of base64. */
  readonly hasBlobArrays: boolean
}

const integerMax = 2n ** 63n - 1n
const integerMin = -(2n ** 63n)

type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown

/** What TypeScript does not know of JSON yet: the source of a number, and text that is JSON already. */
const json = JSON as unknown as {
  parse(text: string, reviver: Reviver): unknown
  rawJSON(text: string): unknown
}

/** Fault 'invalid'. */
export function parseStatements(body: Uint8Array): readonly SqlStatement[] {
  let parsed: unknown
  try {
    parsed = json.parse(utf8Decode(body), (_key, value, { source }) =>
      typeof value === 'number' ? numberOf(value, source ?? '') : value,
    )
  } catch {
    throw new Fault('invalid', 'the body is not JSON')
  }
  if (!Array.isArray(parsed) || parsed.length === 0) {
    throw new Fault('invalid', 'the body is a list of statements')
  }
  return parsed.map(statementOf)
}

function numberOf(value: number, source: string): number | bigint {
  if (!/^-?\d+$/.test(source) || source.length > 20) return value
  const whole = BigInt(source)
  return whole > integerMax || whole < integerMin ? value : whole
}

function statementOf(given: unknown): SqlStatement {
  if (typeof given === 'string') return { sql: given }
  if (!Array.isArray(given) || typeof given[0] !== 'string') {
    throw new Fault('invalid', 'a statement is a text, or a list of a text and values')
  }
  const [sql, ...values] = given as [string, ...unknown[]]
  const [first] = values
  if (values.length === 1 && isObject(first)) {
    const named = Object.entries(first).map(([name, value]) => [name, readValue(value)] as const)
    return { sql, values: Object.fromEntries(named) }
  }
  return { sql, values: values.map(readValue) }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readValue(given: unknown): SqlValue {
  if (given === null || typeof given === 'string') return given
  if (typeof given === 'number' || typeof given === 'bigint') return given
  if (typeof given === 'boolean') return given ? 1n : 0n
  const isByte = (one: unknown): one is bigint => typeof one === 'bigint' && one >= 0n && one < 256n
  if (Array.isArray(given) && given.every(isByte)) return Uint8Array.from(given, Number)
  throw new Fault('invalid', 'a value is null, a number, a text, a boolean or a list of bytes')
}

export function answerResults(
  results: readonly SqlResult[],
  { shape, elapsedMs }: { readonly shape: Shape; readonly elapsedMs: number },
): HttpResponse {
  const shown = results.map((result) => shownResult(result, shape))
  const time = shape.hasTimings ? { time: elapsedMs / 1000 } : {}
  return answerText(200, { results: shown, ...time }, shape)
}

export function answerText(
  status: number,
  value: unknown,
  { isPretty }: Pick<Shape, 'isPretty'>,
): HttpResponse {
  const text = isPretty ? JSON.stringify(value, null, 4) : JSON.stringify(value)
  const body = utf8Encode(text)
  return {
    status,
    headers: [
      ['content-type', 'application/json; charset=utf-8'],
      ['content-length', String(body.length)],
      ['cache-control', 'no-store'],
    ],
    body,
  }
}

function shownResult(result: SqlResult, shape: Shape): unknown {
  const { error, columns, rows, changes, lastInsertId, elapsedUs } = result
  if (error !== undefined) return { error }
  const time = shape.hasTimings ? { time: elapsedUs / 1e6 } : {}
  const changed = {
    ...(lastInsertId === 0n ? {} : { last_insert_id: shownValue(lastInsertId, shape) }),
    ...(changes === 0 ? {} : { rows_affected: changes }),
  }
  if (columns.length === 0) return { ...changed, ...time }
  const types = columns.map((_, at) => typeOf(result, at))
  if (shape.isAssociative) {
    const byName = (values: readonly unknown[]): unknown =>
      Object.fromEntries(columns.map((name, at) => [name, values[at]]))
    const shown = rows.map((row) => byName(row.map((value) => shownValue(value, shape))))
    return { types: byName(types), rows: shown, ...changed, ...time }
  }
  const values = rows.map((row) => row.map((value) => shownValue(value, shape)))
  return { columns, types, ...(rows.length === 0 ? {} : { values }), ...changed, ...time }
}

/** As declared; of an expression what its first value is. */
function typeOf({ types, rows }: SqlResult, at: number): string {
  const declared = types[at] ?? ''
  const value = rows[0]?.[at]
  if (declared !== '' || value === undefined || value === null) return declared
  if (typeof value === 'bigint') return 'integer'
  if (typeof value === 'number') return 'real'
  return typeof value === 'string' ? 'text' : 'blob'
}

function shownValue(value: SqlValue, { hasBlobArrays }: Shape): unknown {
  if (typeof value === 'bigint') return json.rawJSON(String(value))
  if (!(value instanceof Uint8Array)) return value
  return hasBlobArrays ? [...value] : base64Encode(value)
}

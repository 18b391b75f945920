// Hrana 2 and 3 over HTTP, its JSON (https://github.com/tursodatabase/libsql/blob/main/docs/HRANA_3_SPEC.md): requests are
// checked as a whole before any of them runs; what is not known is refused by name.

import * as v from 'valibot'
import { Fault } from '../../../base/index.ts'
import type { SqlResult, SqlStatement, SqlValue } from '../../../sql/index.ts'
import { base64Decode, base64Encode } from '../../s3/core/text.ts'

const requestsMax = 1_024
const stepsMax = 4_096
const argumentsMax = 32_766
const storedId = v.pipe(v.number(), v.integer())
const integerText = v.pipe(v.string(), v.regex(/^-?\d{1,19}$/))

const valueShape = v.variant('type', [
  v.object({ type: v.literal('null') }),
  v.object({ type: v.literal('integer'), value: integerText }),
  v.object({ type: v.literal('float'), value: v.number() }),
  v.object({ type: v.literal('text'), value: v.string() }),
  v.object({ type: v.literal('blob'), base64: v.string() }),
])
const statementShape = v.object({
  sql: v.nullish(v.string()),
  sql_id: v.nullish(storedId),
  args: v.nullish(v.pipe(v.array(valueShape), v.maxLength(argumentsMax))),
  named_args: v.nullish(
    v.pipe(v.array(v.object({ name: v.string(), value: valueShape })), v.maxLength(argumentsMax)),
  ),
  want_rows: v.nullish(v.boolean()),
})

export type Condition =
  | { readonly type: 'ok' | 'error'; readonly step: number }
  | { readonly type: 'not'; readonly cond: Condition }
  | { readonly type: 'and' | 'or'; readonly conds: readonly Condition[] }
  | { readonly type: 'is_autocommit' }

const step = v.pipe(v.number(), v.integer(), v.minValue(0))
const conditionShape: v.GenericSchema<unknown, Condition> = v.variant('type', [
  v.object({ type: v.picklist(['ok', 'error']), step }),
  v.object({ type: v.literal('not'), cond: v.lazy(() => conditionShape) }),
  v.object({ type: v.picklist(['and', 'or']), conds: v.array(v.lazy(() => conditionShape)) }),
  v.object({ type: v.literal('is_autocommit') }),
])
const batchShape = v.object({
  steps: v.pipe(
    v.array(v.object({ condition: v.nullish(conditionShape), stmt: statementShape })),
    v.maxLength(stepsMax),
  ),
})
const requestShape = v.variant('type', [
  v.object({ type: v.literal('close') }),
  v.object({ type: v.literal('execute'), stmt: statementShape }),
  v.object({ type: v.literal('batch'), batch: batchShape }),
  v.object({
    type: v.literal('sequence'),
    sql: v.nullish(v.string()),
    sql_id: v.nullish(storedId),
  }),
  v.object({
    type: v.literal('describe'),
    sql: v.nullish(v.string()),
    sql_id: v.nullish(storedId),
  }),
  v.object({ type: v.literal('store_sql'), sql_id: storedId, sql: v.string() }),
  v.object({ type: v.literal('close_sql'), sql_id: storedId }),
  v.object({ type: v.literal('get_autocommit') }),
])
const pipelineShape = v.object({
  baton: v.nullish(v.string()),
  requests: v.pipe(v.array(requestShape), v.maxLength(requestsMax)),
})

export type Pipeline = v.InferOutput<typeof pipelineShape>
export type HranaRequest = v.InferOutput<typeof requestShape>
export type HranaStatement = v.InferOutput<typeof statementShape>
export type HranaBatch = v.InferOutput<typeof batchShape>
type HranaValue = v.InferOutput<typeof valueShape>

/** Conditions may hold conditions: JSON that is nested deeper than this is refused before it is looked at. */
const depthMax = 64

/** Fault 'invalid' with the place. */
export function parsePipeline(text: string): Pipeline {
  const parsed = v.safeParse(pipelineShape, parseJson(text))
  if (parsed.success) return parsed.output
  const [issue] = parsed.issues
  const place = v.getDotPath(issue) ?? ''
  throw new Fault('invalid', `the body is no pipeline of Hrana: ${place} ${issue.message}`)
}

function parseJson(text: string): unknown {
  let depth = 0
  let isText = false
  for (let at = 0; at < text.length; at++) {
    const one = text[at]
    if (isText) {
      if (one === '\\') at++
      else if (one === '"') isText = false
    } else if (one === '"') isText = true
    else if (one === '{' || one === '[') depth++
    else if (one === '}' || one === ']') depth--
    if (depth > depthMax) throw new Fault('invalid', `the body is nested deeper than ${depthMax}`)
  }
  try {
    return JSON.parse(text)
  } catch {
    throw new Fault('invalid', 'the body is not JSON')
  }
}

export function statementOf(
  { args, named_args: named }: HranaStatement,
  sql: string,
): SqlStatement {
  const values = args ?? []
  if (named === null || named === undefined || named.length === 0) {
    return { sql, values: values.map(readValue) }
  }
  if (values.length > 0) {
    throw new Fault('unsupported', 'a statement has values in order or by name, not both')
  }
  const entries = named.map(({ name, value }) => [name, readValue(value)] as const)
  return { sql, values: Object.fromEntries(entries) }
}

function readValue(value: HranaValue): SqlValue {
  if (value.type === 'null') return null
  if (value.type === 'text') return value.value
  if (value.type === 'blob') return bytesOf(value.base64)
  if (value.type === 'float') return value.value
  const integer = BigInt(value.value)
  if (BigInt.asIntN(64, integer) === integer) return integer
  throw new Fault('invalid', `${value.value} has more than 64 bits`)
}

/** With padding or without. */
function bytesOf(base64: string): Uint8Array {
  const bare = base64.replace(/=+$/, '')
  const decoded = base64Decode(bare.padEnd(Math.ceil(bare.length / 4) * 4, '='))
  if (decoded !== undefined) return decoded
  throw new Fault('invalid', 'a blob is not base64')
}

export function shownResult(result: SqlResult, wantsRows: boolean): unknown {
  return {
    cols: result.columns.map((name, at) => ({ name, decltype: result.types[at] || null })),
    rows: wantsRows ? result.rows.map((row) => row.map(shownValue)) : [],
    affected_row_count: result.changes,
    last_insert_rowid: result.lastInsertId === 0n ? null : result.lastInsertId.toString(),
    replication_index: null,
    rows_read: 0,
    rows_written: result.changes,
    query_duration_ms: result.elapsedUs / 1000,
  }
}

function shownValue(value: SqlValue): unknown {
  if (value === null) return { type: 'null' }
  if (typeof value === 'bigint') return { type: 'integer', value: value.toString() }
  if (typeof value === 'number') return { type: 'float', value }
  if (typeof value === 'string') return { type: 'text', value }
  return { type: 'blob', base64: base64Encode(value) }
}

// Requests of one pipeline of Hrana, one after the other on their stream: each has its result, and one that fails does not
// keep the next from running.

import { Fault, isFault, toFault } from '../../../base/index.ts'
import { splitStatements, type SqlResult } from '../../../sql/index.ts'
import type { SqlSession } from '../session.ts'
import {
  type Condition,
  type HranaBatch,
  type HranaRequest,
  type HranaStatement,
  shownResult,
  statementOf,
} from './wire.ts'

/** What a stream keeps between its pipelines. */
export type StreamState = {
  readonly session: SqlSession
  /** Texts that the client stored. */
  readonly texts: Map<number, string>
  isClosed: boolean
  /** Of rows that the pipeline which runs answers. */
  rowBytes: number
}

const textsMax = 128
const textBytesMax = 64 * 1024
/** Of the rows of one response, as JSON: behind that no further statement runs. */
const rowBytesMax = 16 * 1024 * 1024

type Failure = { readonly message: string; readonly code: string }
type Outcome =
  | { readonly type: 'ok'; readonly response: unknown }
  | { readonly type: 'error'; readonly error: Failure }

export async function runPipeline(
  stream: StreamState,
  requests: readonly HranaRequest[],
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  stream.rowBytes = 0
  for (const request of requests) {
    try {
      const rest = await answerOne(stream, request)
      outcomes.push({ type: 'ok', response: { type: request.type, ...rest } })
    } catch (error) {
      outcomes.push({ type: 'error', error: failureOf(error) })
    }
  }
  return outcomes
}

async function answerOne(stream: StreamState, request: HranaRequest): Promise<object> {
  const { session, texts } = stream
  switch (request.type) {
    case 'execute':
      return { result: await execute(stream, request.stmt) }
    case 'batch':
      return { result: await runBatch(stream, request.batch) }
    case 'sequence':
      for (const sql of splitStatements(textOf(stream, request))) must(await session.run({ sql }))
      return {}
    case 'store_sql':
      if (texts.size >= textsMax || request.sql.length > textBytesMax) {
        throw new Fault(
          'too-large',
          `a stream keeps ${textsMax} texts of ${textBytesMax} characters`,
        )
      }
      texts.set(request.sql_id, request.sql)
      return {}
    case 'close_sql':
      texts.delete(request.sql_id)
      return {}
    case 'get_autocommit':
      return { is_autocommit: session.isAutocommit }
    case 'close':
      stream.isClosed = true
      await session.close()
      return {}
    case 'describe':
      throw new Fault('unsupported', 'statements are not described before they run')
  }
}

async function execute(stream: StreamState, statement: HranaStatement): Promise<unknown> {
  const sql = textOf(stream, statement)
  if (stream.rowBytes > rowBytesMax) {
    throw new Fault('too-large', `the rows before have more than ${rowBytesMax} bytes: nothing ran`)
  }
  const result = must(await stream.session.run(statementOf(statement, sql)))
  const wantsRows = statement.want_rows !== false
  if (wantsRows) stream.rowBytes += weightOf(result)
  return shownResult(result, wantsRows)
}

async function runBatch(stream: StreamState, { steps }: HranaBatch): Promise<unknown> {
  const results: unknown[] = []
  const errors: (Failure | null)[] = []
  for (const { condition, stmt } of steps) {
    const isMet = condition === null || condition === undefined || holds(condition)
    let result: unknown = null
    let failure: Failure | null = null
    if (isMet) {
      try {
        result = await execute(stream, stmt)
      } catch (error) {
        failure = failureOf(error)
      }
    }
    results.push(result)
    errors.push(failure)
  }
  return { step_results: results, step_errors: errors }

  function holds(condition: Condition): boolean {
    if (condition.type === 'is_autocommit') return stream.session.isAutocommit
    if (condition.type === 'not') return !holds(condition.cond)
    if ('conds' in condition) {
      const { type, conds } = condition
      return type === 'and' ? conds.every(holds) : conds.some(holds)
    }
    const { step } = condition
    if (step >= results.length) throw new Fault('invalid', `step ${step} has not been run yet`)
    return condition.type === 'ok' ? results[step] !== null : errors[step] !== null
  }
}

function weightOf({ rows }: SqlResult): number {
  let bytes = 0
  for (const row of rows) {
    for (const value of row) {
      const isLong = typeof value === 'string' || value instanceof Uint8Array
      bytes += valueBytes + (isLong ? value.length : 0)
    }
  }
  return bytes
}

/** Of the JSON around a value. */
const valueBytes = 32

function textOf({ texts }: StreamState, given: Pick<HranaStatement, 'sql' | 'sql_id'>): string {
  const { sql, sql_id: id } = given
  if (typeof sql === 'string') return sql
  const stored = typeof id === 'number' ? texts.get(id) : undefined
  if (stored !== undefined) return stored
  throw new Fault('invalid', 'a statement has a text, or the id of one that was stored')
}

const ofStatement = { source: 'statement' } as const

function must(result: SqlResult): SqlResult {
  if (result.error === undefined) return result
  throw new Fault('invalid', result.error, { fields: ofStatement })
}

/** Errors of statements as SQLite's clients know them; the cluster's by their own codes. */
function failureOf(error: unknown): Failure {
  const fault = toFault(error)
  if (fault.fields.source === ofStatement.source) {
    const isConstraint = fault.message.includes('constraint failed')
    return { message: fault.message, code: isConstraint ? 'SQLITE_CONSTRAINT' : 'SQLITE_ERROR' }
  }
  if (isFault(error, 'conflict')) return { message: fault.message, code: 'SQLITE_BUSY' }
  const message =
    fault.code === 'internal' ? 'an internal error; the log tells more' : fault.message
  return { message, code: `ATOLL_${fault.code.toUpperCase().replaceAll('-', '_')}` }
}

// Pipelines of Hrana over a database that is a list of what it was asked: batons, conditions, transactions, hostile bodies.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, isFault, seededRandom } from '../../../base/index.ts'
import { createRealHost } from '../../../host/real/index.ts'
import type { SqlDatabase, SqlResult, SqlStatement } from '../../../sql/index.ts'
import { Streams } from './streams.ts'
import { parsePipeline } from './wire.ts'

const rootPath = '/nowhere'
const real = createRealHost({ rootPath, journal: { format: 'json', level: 'error', write() {} } })
const caller = { name: 'somebody', tenant: 'one' }

/** Statements that begin with FAIL fail; all are noted with how they came. */
function world() {
  const asked: string[] = []
  const timers: (() => void)[] = []
  let fault: Fault | undefined
  const answer = (how: string, statements: readonly SqlStatement[]): readonly SqlResult[] => {
    if (fault !== undefined) throw fault
    return statements.map(({ sql, values }) => {
      asked.push(`${how} ${sql}`)
      const error = sql.startsWith('FAIL') ? { error: 'UNIQUE constraint failed: t.a' } : {}
      const row = Array.isArray(values) ? values : []
      const columns = row.map((_, at) => `c${at}`)
      const types = row.map(() => '')
      return { columns, types, rows: [row], changes: 1, lastInsertId: 7n, elapsedUs: 0, ...error }
    })
  }
  const database = {
    name: '/raft/sql/main',
    query: async (statements: readonly SqlStatement[]) => answer('query', statements),
    execute: async (statements: readonly SqlStatement[]) => ({
      results: answer('execute', statements),
    }),
    begin: async () => {
      asked.push('begin')
      return {
        run: async (statements: readonly SqlStatement[]) => answer('step', statements),
        commit: async () => void asked.push('commit'),
        rollback: async () => void asked.push('rollback'),
      }
    },
  } as unknown as SqlDatabase
  const clock = {
    ...real.clock,
    after: (_ms: number, run: () => void) => {
      timers.push(run)
      return { cancel: () => void timers.splice(timers.indexOf(run), 1) }
    },
  }
  const streams = new Streams({ clock, random: seededRandom(1), journal: real.journal })
  const ask = async (requests: readonly unknown[], baton?: unknown, who = caller) => {
    const pipeline = parsePipeline(JSON.stringify({ baton, requests }))
    return (await streams.answer(database, who, pipeline)) as {
      readonly baton: string | null
      readonly results: readonly { readonly type: string; readonly response?: Answer }[]
    }
  }
  const fail = (next: Fault): void => {
    fault = next
  }
  return { asked, ask, timers, fail }
}
type Answer = { readonly result?: Record<string, unknown> }

const execute = (sql: string, ...args: readonly unknown[]) => ({
  type: 'execute',
  stmt: { sql, args },
})

test('values keep their kinds both ways', async () => {
  const { ask } = world()
  const args = [
    { type: 'null' },
    { type: 'integer', value: '-9223372036854775808' },
    { type: 'float', value: 2 },
    { type: 'text', value: 'é' },
    { type: 'blob', base64: 'AQID' },
  ]
  const { results } = await ask([execute('SELECT ?', ...args)])
  assert.deepEqual(results[0]?.response?.result?.rows, [args])
  assert.equal(results[0]?.response?.result?.last_insert_rowid, '7')
})

test('a batch runs what its conditions let run, between BEGIN and COMMIT in a transaction', async () => {
  const { asked, ask } = world()
  const step = (sql: string, condition?: unknown) => ({ stmt: { sql }, condition })
  const steps = [
    step('BEGIN IMMEDIATE'),
    step('INSERT 1', { type: 'ok', step: 0 }),
    step('FAIL 2', { type: 'ok', step: 1 }),
    step('COMMIT', {
      type: 'and',
      conds: [
        { type: 'ok', step: 1 },
        { type: 'ok', step: 2 },
      ],
    }),
    step('ROLLBACK', { type: 'not', cond: { type: 'ok', step: 3 } }),
    step('SELECT 3', { type: 'is_autocommit' }),
  ]
  const { results } = await ask([{ type: 'batch', batch: { steps } }])
  assert.deepEqual(asked, ['begin', 'step INSERT 1', 'step FAIL 2', 'rollback', 'query SELECT 3'])
  const result = results[0]?.response?.result as {
    readonly step_results: readonly unknown[]
    readonly step_errors: readonly ({ readonly code: string } | null)[]
  }
  const failed = [false, false, true, false, false, false]
  assert.deepEqual(
    result.step_errors.map((error) => error !== null),
    failed,
  )
  assert.equal(result.step_errors[2]?.code, 'SQLITE_CONSTRAINT')
  assert.equal(result.step_results[3], null)
})

test('a stream goes on by its newest baton, for who began it; left alone it is rolled back', async () => {
  const { asked, ask, timers } = world()
  const first = await ask([execute('BEGIN'), execute('INSERT 1')])
  const unknown = (error: unknown): boolean => isFault(error, 'invalid')
  await assert.rejects(ask([], first.baton, { ...caller, name: 'other' }), unknown)
  const second = await ask([{ type: 'get_autocommit' }, execute('ROLLBACK TO a')], first.baton)
  assert.deepEqual(second.results[0]?.response, { type: 'get_autocommit', is_autocommit: false })
  await assert.rejects(ask([], first.baton), unknown)
  assert.deepEqual(asked, ['begin', 'step INSERT 1', 'step ROLLBACK TO a'])
  for (const run of [...timers]) run()
  await assert.rejects(ask([], second.baton), unknown)
  assert.equal(asked.at(-1), 'rollback')
  const closed = await ask([execute('BEGIN'), { type: 'close' }])
  assert.equal(closed.baton, null)
  assert.equal(asked.at(-1), 'rollback')
})

test('a transaction that is gone is an error of its own, and the stream is out of it', async () => {
  const { ask, fail } = world()
  const { baton } = await ask([execute('BEGIN')])
  fail(new Fault('conflict', 'the transaction was rolled back: it was idle'))
  const lost = await ask([execute('INSERT 1'), { type: 'get_autocommit' }], baton)
  const [error, state] = lost.results as readonly {
    readonly error?: { readonly code: string }
    readonly response?: unknown
  }[]
  assert.equal(error?.error?.code, 'SQLITE_BUSY')
  assert.deepEqual(state?.response, { type: 'get_autocommit', is_autocommit: true })
})

test('texts are stored for their stream, sequences are cut, and what is not here says so', async () => {
  const { asked, ask } = world()
  const { results } = await ask([
    { type: 'store_sql', sql_id: 1, sql: 'INSERT 1; INSERT 2' },
    { type: 'sequence', sql_id: 1 },
    { type: 'close_sql', sql_id: 1 },
    { type: 'sequence', sql_id: 1 },
    { type: 'describe', sql: 'SELECT 1' },
  ])
  assert.deepEqual(
    results.map(({ type }) => type),
    ['ok', 'ok', 'ok', 'error', 'error'],
  )
  assert.deepEqual(asked, ['execute INSERT 1', 'execute INSERT 2'])
})

test('rows of one response are bounded: behind them nothing runs, and the next pipeline goes on', async () => {
  const { asked, ask } = world()
  const big = execute('SELECT ?', { type: 'text', value: 'x'.repeat(9 * 1024 * 1024) })
  const { results, baton } = await ask([big, big, execute('INSERT 1'), { type: 'get_autocommit' }])
  assert.deepEqual(
    results.map(({ type }) => type),
    ['ok', 'ok', 'error', 'ok'],
  )
  await ask([execute('INSERT 2')], baton)
  assert.deepEqual(asked, ['query SELECT ?', 'query SELECT ?', 'execute INSERT 2'])
})

test('a body that is no pipeline is refused before anything runs', () => {
  const bad = [
    '',
    '{',
    '[]',
    '{"requests": {}}',
    '{"requests": [{"type": "destroy"}]}',
    '{"requests": [{"type": "execute", "stmt": {"sql": 5}}]}',
    `{"requests": ${'['.repeat(100_000)}`,
    JSON.stringify({ requests: Array.from({ length: 2_000 }, () => ({ type: 'close' })) }),
    JSON.stringify({ requests: [execute('SELECT ?', { type: 'integer', value: '1.5' })] }),
  ]
  for (const body of bad) {
    assert.throws(
      () => parsePipeline(body),
      (error) => isFault(error, 'invalid'),
      body.slice(0, 80),
    )
  }
})

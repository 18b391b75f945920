import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { isFault, seededRandom } from '../base/index.ts'
import { CsvReader, importCsv, quoted, readCsv } from './sql-import.ts'
import { showResult } from './sql-show.ts'
import type { SentValue, ShownResult, SqlStream } from './sql-stream.ts'

const folder = mkdtempSync(join(tmpdir(), 'atoll-cli-sql-'))
after(() => rmSync(folder, { recursive: true }))

function cellsOf(...chunks: readonly string[]): readonly (readonly string[])[] {
  const reader = new CsvReader()
  const records = chunks.flatMap((chunk) => [...reader.feed(chunk)])
  return [...records, ...reader.end()].map(({ cells }) => cells)
}

test('fields are read as RFC 4180 has them, wherever the file is cut', () => {
  const text = 'a,b\r\n"1,""x""","two\nlines"\n,\n\nlast,é'
  const expected = [
    ['a', 'b'],
    ['1,"x"', 'two\nlines'],
    ['', ''],
    ['last', 'é'],
  ]
  for (let cut = 0; cut <= text.length; cut++) {
    assert.deepEqual(cellsOf(text.slice(0, cut), text.slice(cut)), expected, `cut at ${cut}`)
  }
  assert.throws(
    () => cellsOf('"a"b'),
    (error) => isFault(error, 'invalid') && /line 1/.test(error.message),
  )
  assert.throws(
    () => cellsOf('a\n"b'),
    (error) => isFault(error, 'invalid') && /line 2/.test(error.message),
  )
  assert.throws(
    () => cellsOf('x'.repeat(600_000)),
    (error) => isFault(error, 'too-large'),
  )
  assert.throws(
    () => cellsOf(','.repeat(2_000)),
    (error) => isFault(error, 'too-large'),
  )
})

test('any text is fields or a fault', () => {
  const random = seededRandom(3)
  const pieces = ['"', ',', '\r', '\n', 'a', ' ', 'é', '""']
  for (let round = 0; round < 1_000; round++) {
    const text = Array.from({ length: 20 }, () => pieces[random.integer(pieces.length)]).join('')
    try {
      cellsOf(text)
    } catch (error) {
      assert.ok(isFault(error, 'invalid'))
    }
  }
})

const nothing: ShownResult = { cols: [], rows: [], affected_row_count: 0, query_duration_ms: 0 }

test('an import makes the table, sends rows in bounded statements, and says where it stopped', async () => {
  const asked: { readonly sql: string; readonly values: number }[] = []
  const stream = {
    run: async (sql: string, values: readonly SentValue[] = []) => {
      asked.push({ sql, values: values.length })
      return { ...nothing, rows: [[{ type: 'integer', value: '0' }]] }
    },
  } as unknown as SqlStream
  const path = join(folder, 'rows.csv')
  const rows = Array.from({ length: 1_200 }, (_, at) => `${at},x`)
  writeFileSync(path, ['id,"na""me"', ...rows].join('\n'))
  assert.deepEqual(await importCsv(stream, { path, table: 't' }), { rows: 1_200, isNewTable: true })
  assert.equal(asked[1]?.sql, 'CREATE TABLE "t" ("id", "na""me")')
  assert.deepEqual(
    asked.slice(2).map(({ values }) => values),
    [1_000, 1_000, 400],
  )
  writeFileSync(path, 'a,b\n1,2\n3\n')
  const stopped = importCsv(stream, { path, table: 't' })
  await assert.rejects(stopped, /line 3 has 1 fields, not 2; 0 rows are stored/)
  const missing = readCsv(join(folder, 'nothing.csv')).next()
  await assert.rejects(missing, (error) => isFault(error, 'not-found'))
  assert.equal(quoted('a"b'), '"a""b"')
})

test('rows are shown as people and programs want them, and never steer the terminal', () => {
  const result: ShownResult = {
    ...nothing,
    cols: [{ name: 'a' }, { name: 'b' }],
    rows: [
      [{ type: 'null' }, { type: 'text', value: 'x,"y"\u001b[2J' }],
      [
        { type: 'integer', value: '9223372036854775807' },
        { type: 'blob', base64: 'AQI=' },
      ],
      [
        { type: 'float', value: 2 },
        { type: 'integer', value: '5' },
      ],
    ],
  }
  const shown = showResult(result, 'table')
  assert.ok(!shown.includes('\u001b'))
  assert.match(shown, /NULL .*\n9223372036854775807 +x'0102'\n2\.0 +5/)
  assert.equal(showResult(result, 'csv').split('\r\n')[1], ',"x,""y""\u001b[2J"')
  assert.deepEqual(JSON.parse(showResult(result, 'json')), {
    columns: ['a', 'b'],
    rows: [
      [null, 'x,"y"\u001b[2J'],
      ['9223372036854775807', { base64: 'AQI=' }],
      [2, 5],
    ],
    changes: 0,
  })
  assert.equal(showResult(result, 'line').split('\n')[0], 'a = NULL'.replace('NULL', ''))
  const hostile = { ...result, cols: result.cols.map(() => ({ name: '\u001b[2J' })) }
  for (const mode of ['table', 'line'] as const) {
    assert.ok(!showResult(hostile, mode).includes('\u001b'), mode)
  }
  const endless: ShownResult = {
    ...nothing,
    cols: [{ name: 'a' }],
    rows: [[{ type: 'float', value: null }]],
  }
  assert.match(showResult(endless, 'table'), /±Infinity/)
  assert.equal(showResult(nothing, 'table'), '')
})

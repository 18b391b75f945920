// What would make replicas differ, case by case: each is the same on an engine that stays, on one that is started anew
// before every entry, on one that runs ahead and takes back first, and on one that applies everything at once; or it is refused.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { seededRandom, toHex } from '../../base/index.ts'
import { answerCodec } from '../core/answer.ts'
import { entryCodec, makeBatchId, type SqlBatch } from '../core/entry.ts'
import type { SqlResult, SqlStatement } from '../sql.ts'
import { SqlEngine } from './engine.ts'

const folder = mkdtempSync(join(tmpdir(), 'atoll-sql-alike-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
let drawn = 0
const startMs = Date.UTC(2026, 10, 21, 12, 34, 56, 789)
const newPath = (): string => join(folder, `db-${++files}.sqlite`)
const open = (path = newPath()): SqlEngine => new SqlEngine(path, () => 0)

function payloadOf(statements: readonly SqlStatement[], at: number): Uint8Array {
  const random = seededRandom(++drawn)
  const timeMs = startMs + at * 1000
  const id = makeBatchId(timeMs, random.bytes(10))
  const batch: SqlBatch = { id, timeMs, seed: random.bytes(32), isAtomic: false, statements }
  return entryCodec.encode({ engine: 'test', batches: [batch] })
}

type Entry = readonly (string | SqlStatement)[]

/** Answers those of the replicas, which are the same. */
function alike(...work: readonly Entry[]): readonly SqlResult[] {
  const payloads = work.map((list, at) =>
    payloadOf(
      list.map((one) => (typeof one === 'string' ? { sql: one } : one)),
      at,
    ),
  )
  const entries = payloads.map((payload, at) => ({ index: at + 1, payload }))
  const [stays, ahead, atOnce] = [open(), open(), open()]
  const path = newPath()
  const answers: string[][] = [[], [], [], []]
  const note = (replica: number, ran: ReturnType<SqlEngine['apply']>): void => {
    for (const [one] of ran) answers[replica]?.push(toHex(one?.answer ?? new Uint8Array(0)))
  }
  for (const entry of entries) {
    note(0, stays.apply([entry]))
    ahead.run(entry.payload)
    ahead.rollback()
    note(1, [ahead.run(entry.payload)])
    ahead.commit(entry.index)
    const anew = open(path)
    note(2, anew.apply([entry]))
    anew.close()
  }
  note(3, atOnce.apply(entries))
  const anew = open(path)
  for (const engine of [ahead, atOnce, anew]) {
    assert.equal(toHex(engine.digest), toHex(stays.digest))
  }
  for (const own of answers) assert.deepEqual(own, answers[0])
  for (const engine of [stays, ahead, atOnce, anew]) engine.close()
  const [first = []] = answers
  return first.flatMap((answer) => answerCodec.decode(Buffer.from(answer, 'hex')).results)
}

/** As alike(), where nothing fails. Answers the rows of the last statement. */
function rowsOf(...work: readonly Entry[]): SqlResult['rows'] {
  const results = alike(...work)
  for (const { error } of results) assert.equal(error, undefined)
  return results.at(-1)?.rows ?? []
}

const table = 'CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)'

test('functions of dates may stand in indexes, partial indexes and generated columns', () => {
  const rows = rowsOf(
    [
      "CREATE TABLE t (id INTEGER PRIMARY KEY, at, year AS (strftime('%Y', at)), day TEXT AS (date(at)) STORED)",
      "CREATE INDEX by_month ON t (strftime('%m', at))",
      "CREATE INDEX early ON t (at) WHERE julianday(at) < julianday('2021-01-01')",
    ],
    ["INSERT INTO t (at) VALUES ('2020-02-03 04:05:06'), ('2022-12-31')"],
    ["SELECT year, day FROM t WHERE strftime('%m', at) = '02'"],
  )
  assert.deepEqual(rows, [['2020', '2020-02-03']])
})

test('every spelling of "now" is the time of the batch', () => {
  const spellings = [
    'datetime()',
    "datetime('now')",
    "DateTime('NOW')",
    "datetime(x'6e6f77')",
    "strftime('%Y-%m-%d %H:%M:%S')",
    "strftime('%Y-%m-%d %H:%M:%S', 'now')",
    "datetime('now', 'localtime')",
    "datetime('now', 'utc')",
    "date() || ' ' || time()",
    'CURRENT_TIMESTAMP',
    "current_date || ' ' || current_time",
    "datetime(unixepoch(), 'unixepoch')",
    'datetime(julianday())',
    "substr(datetime('subsec'), 1, 19)",
    "datetime(word) FROM (SELECT 'now' AS word)",
  ]
  for (const spelling of spellings) {
    assert.deepEqual(rowsOf([`SELECT ${spelling}`]), [['2026-11-21 12:34:56']], spelling)
  }
  const differences = [
    "timediff('now', '2026-11-21 12:34:56.789')",
    "timediff('2026-11-21 12:34:56.789', 'NOW')",
  ]
  for (const one of differences) {
    assert.deepEqual(rowsOf([`SELECT ${one}`]), [['+0000-00-00 00:00:00.000']], one)
  }
  assert.deepEqual(
    rowsOf([table], ["INSERT INTO t (a) VALUES ('now')"], ['SELECT datetime(a) FROM t']),
    [['2026-11-21 12:34:58']],
  )
})

test('chance is the same everywhere: defaults, triggers, orders, upserts', () => {
  rowsOf(
    [
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a DEFAULT (random()), b DEFAULT (hex(randomblob(8))))',
      'CREATE TABLE log (id INTEGER PRIMARY KEY, a)',
      'CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log (a) VALUES (random()); END',
    ],
    [
      'INSERT INTO t DEFAULT VALUES',
      'INSERT INTO t DEFAULT VALUES',
      'INSERT INTO t DEFAULT VALUES',
    ],
    ['INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET a = random()'],
    ['INSERT INTO log (a) SELECT b FROM t ORDER BY random()'],
    ['SELECT abs(random()) % 10, hex(randomblob(3))'],
  )
})

test('last_insert_rowid() and changes() are the batch own, also in an engine that has just begun', () => {
  const [inserted, asked] = [
    rowsOf([table], ['INSERT INTO t (a) VALUES (1), (2)', 'SELECT last_insert_rowid(), changes()']),
    rowsOf(
      [table, 'CREATE TABLE u (id INTEGER PRIMARY KEY, of, n)'],
      ['INSERT INTO t (a) VALUES (1), (2), (3)'],
      ['INSERT INTO u (of, n) SELECT last_insert_rowid(), changes()'],
      ['SELECT n FROM u'],
    ),
  ]
  assert.deepEqual(inserted, [[2n, 2n]])
  // Of the batch before it knows nothing: the row of its own answer was written last.
  assert.deepEqual(asked, [[1n]])
})

test('what belongs to a connection is refused', () => {
  const refused = [
    'SELECT total_changes()',
    'CREATE TEMP TABLE x (a)',
    'CREATE TEMPORARY VIEW v AS SELECT 1',
    'CREATE TABLE temp.x (a)',
    'PRAGMA recursive_triggers = 1',
    'PRAGMA case_sensitive_like = 1',
    'PRAGMA foreign_keys = OFF',
    'PRAGMA reverse_unordered_selects = 1',
  ]
  for (const { error } of alike(refused)) assert.ok(error)
})

test('the largest rowid is refused, however it comes', () => {
  const largest = '9223372036854775807'
  const ways = [
    `INSERT INTO t (id) VALUES (${largest})`,
    `INSERT INTO t (id) VALUES (${largest}), (1)`,
    `INSERT INTO t (id) VALUES (${largest}), (NULL), (NULL)`,
    `INSERT INTO t (id) SELECT 9223372036854775806 + 1`,
    `UPDATE t SET id = ${largest} WHERE id = 5`,
    `INSERT INTO loose (rowid, a) VALUES (${largest}, 1)`,
    `INSERT INTO loose (_rowid_, a) VALUES (${largest}, 1), (2, 1)`,
    `UPDATE loose SET oid = ${largest}`,
    `INSERT INTO odd (_rowid_) VALUES (${largest})`,
    `INSERT INTO words (rowid, body) VALUES (${largest}, 'x')`,
    `INSERT INTO source VALUES (${largest})`,
    `INSERT INTO t (id) VALUES (5) ON CONFLICT (id) DO UPDATE SET id = ${largest}`,
    `REPLACE INTO t (id) VALUES (${largest})`,
  ]
  const results = alike(
    [
      table,
      'CREATE TABLE loose (a)',
      'CREATE TABLE odd (rowid TEXT, oid)',
      'CREATE TABLE without (a PRIMARY KEY) WITHOUT ROWID',
      'CREATE VIRTUAL TABLE words USING fts5 (body)',
      'CREATE TABLE source (a)',
      'CREATE TRIGGER tr AFTER INSERT ON source BEGIN INSERT INTO t (id) VALUES (new.a); END',
      'INSERT INTO t (id) VALUES (5)',
      'INSERT INTO loose VALUES (5)',
    ],
    ways,
    [`INSERT INTO without VALUES (${largest})`, 'CREATE VIEW v AS SELECT 1 AS rowid'],
    [
      'INSERT INTO t (a) VALUES (1)',
      'INSERT INTO loose VALUES (1)',
      "INSERT INTO words VALUES ('x')",
    ],
    ['SELECT max(id), (SELECT max(rowid) FROM loose), (SELECT max(rowid) FROM words) FROM t'],
  )
  for (const [at, way] of ways.entries()) {
    assert.match(results[9 + at]?.error ?? '', /largest rowid/, way)
  }
  assert.deepEqual(results.at(-1)?.rows, [[6n, 2n, 1n]])
})

test('mathematics is of one library', () => {
  const rows = rowsOf(
    [table],
    [
      'INSERT INTO t (id) WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 200) SELECT x FROM n',
    ],
    [
      'UPDATE t SET a = sin(id) + cos(id) + tan(id) + exp(id / 100.0) + ln(id), b = pow(id, 1.1) + log(3, id) + atan2(id, 7)',
    ],
    [
      'SELECT sin(1), pow(2, 0.5), exp(1), ln(10), log10(1000), log(2, 8), atan2(1, 2), tanh(0.5) FROM t LIMIT 1',
    ],
  )
  assert.deepEqual(rows[0], [
    Math.sin(1),
    2 ** 0.5,
    Math.E,
    Math.LN10,
    3,
    Math.log(8) / Math.log(2),
    Math.atan2(1, 2),
    Math.tanh(0.5),
  ])
})

test('ANALYZE is an entry; what changes plans or the file by itself is refused', () => {
  rowsOf(
    [table, 'CREATE INDEX by_a ON t (a)', 'CREATE INDEX by_b ON t (b)'],
    [
      'INSERT INTO t (a, b) WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 500) SELECT x % 3, x FROM n',
    ],
    ['ANALYZE'],
    [
      'CREATE TABLE u (id INTEGER PRIMARY KEY, b)',
      'INSERT INTO u (b) SELECT b FROM t WHERE a = 1 AND b > 10',
    ],
    ['ANALYZE t', 'REINDEX'],
    ['INSERT INTO u (b) SELECT b FROM t WHERE a = 2 AND b < 400'],
  )
  const refused = [
    'VACUUM',
    'PRAGMA optimize',
    'PRAGMA incremental_vacuum',
    'PRAGMA auto_vacuum = 2',
    'PRAGMA analysis_limit = 5',
  ]
  for (const { error } of alike(refused)) assert.ok(error)
})

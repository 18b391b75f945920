import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { after, test } from 'node:test'
import { seededRandom, toHex } from '../../base/index.ts'
import { answerCodec, type SqlAnswer } from '../core/answer.ts'
import { entryCodec, makeBatchId, type SqlBatch } from '../core/entry.ts'
import type { SqlStatement, SqlValue } from '../sql.ts'
import { SqlEngine } from './engine.ts'
import { windowMs } from './own-tables.ts'
import { SqlReader } from './reader.ts'

const folder = mkdtempSync(join(tmpdir(), 'atoll-sql-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
const newPath = (): string => join(folder, `db-${++files}.sqlite`)
const open = (path = newPath()): SqlEngine => new SqlEngine(path, () => 0)

const startMs = Date.UTC(2026, 10, 21, 12, 34, 56, 789)
let drawn = 0
type Work = string | SqlStatement

function batchOf(work: readonly Work[], given: Partial<SqlBatch> = {}): SqlBatch {
  const random = seededRandom(++drawn)
  return {
    id: makeBatchId(startMs, random.bytes(10)),
    timeMs: startMs,
    seed: random.bytes(32),
    isAtomic: true,
    statements: work.map((one) => (typeof one === 'string' ? { sql: one } : one)),
    ...given,
  }
}

const payloadOf = (...batches: readonly SqlBatch[]): Uint8Array =>
  entryCodec.encode({ engine: 'test', batches })

/** Applies each batch as an entry of its own and answers what each answered. */
function applyAll(engine: SqlEngine, batches: readonly SqlBatch[]): readonly SqlAnswer[] {
  const first = engine.applied + 1
  const entries = batches.map((batch, at) => ({ index: first + at, payload: payloadOf(batch) }))
  return engine.apply(entries).map(([ran]) => {
    assert(ran !== undefined)
    return answerCodec.decode(ran.answer)
  })
}

function execute(engine: SqlEngine, ...work: readonly Work[]): SqlAnswer {
  const [answer] = applyAll(engine, [batchOf(work)])
  assert(answer !== undefined)
  return answer
}

/** Rows of the last statement; fails when one of them did. */
function rowsOf(engine: SqlEngine, ...work: readonly Work[]): readonly (readonly SqlValue[])[] {
  const { results } = execute(engine, ...work)
  for (const { error } of results) assert.equal(error, undefined)
  return results.at(-1)?.rows ?? []
}

test('values keep their types, by place and by name', () => {
  const engine = open()
  const values = [null, 2n ** 62n, 0.5, 'tëxt', Uint8Array.of(0, 255)]
  const given = { a: values[1] ?? null, b: 'x' }
  assert.deepEqual(
    rowsOf(
      engine,
      'CREATE TABLE t (a, b, c, d, e)',
      { sql: 'INSERT INTO t VALUES (?, ?, ?, ?, ?)', values },
      { sql: 'INSERT INTO t (a, b) VALUES (:a, $b)', values: given },
      'SELECT * FROM t',
    ).map((row) => row.map((value) => (value instanceof Uint8Array ? toHex(value) : value))),
    [
      [null, 2n ** 62n, 0.5, 'tëxt', '00ff'],
      [2n ** 62n, 'x', null, null, null],
    ],
  )
  engine.close()
})

test('a batch is all or nothing, and otherwise each statement is', () => {
  const engine = open()
  rowsOf(engine, 'CREATE TABLE t (id INTEGER PRIMARY KEY, a)')
  const work = [
    "INSERT INTO t VALUES (1, 'a')",
    "INSERT INTO t VALUES (1, 'b')",
    "INSERT INTO t VALUES (2, 'c')",
  ]
  const [atomic, each] = applyAll(engine, [batchOf(work), batchOf(work, { isAtomic: false })])
  assert.deepEqual(
    atomic?.results.map(({ error }) => error),
    [undefined, 'UNIQUE constraint failed: t.id'],
  )
  assert.deepEqual(
    each?.results.map(({ error, changes }) => error ?? changes),
    [1, 'UNIQUE constraint failed: t.id', 1],
  )
  assert.deepEqual(rowsOf(engine, 'SELECT a FROM t'), [['a'], ['c']])
  engine.close()
})

test('a batch that comes again answers the same and runs nothing; another under its id is refused', () => {
  const engine = open()
  rowsOf(engine, 'CREATE TABLE t (id INTEGER PRIMARY KEY, a)')
  const batch = batchOf([
    'INSERT INTO t (a) VALUES (random()) RETURNING a',
    'INSERT INTO none VALUES (1)',
  ])
  const good = batchOf(['INSERT INTO t (a) VALUES (random()) RETURNING a'])
  const other = { ...good, statements: [{ sql: 'DELETE FROM t' }] }
  const [failed, failedAgain, done, again, refused] = applyAll(engine, [
    batch,
    batch,
    good,
    good,
    other,
  ])
  assert.deepEqual(failedAgain, failed)
  assert.equal(failed?.results[1]?.error, 'no such table: none')
  assert.deepEqual(again, done)
  assert.equal(refused?.refusal, 'mismatch')
  assert.deepEqual(rowsOf(engine, 'SELECT count(*) FROM t'), [[1n]])
  engine.close()
})

test('what is older than what is remembered is refused, never run again', () => {
  const engine = open()
  const old = batchOf(['CREATE TABLE t (a)'])
  const laterMs = startMs + windowMs + 1
  const id = makeBatchId(laterMs, seededRandom(7).bytes(10))
  const [, , again] = applyAll(engine, [
    old,
    batchOf(['INSERT INTO t VALUES (1)'], { id, timeMs: laterMs }),
    old,
  ])
  assert.equal(again?.refusal, 'forgotten')
  engine.close()
})

test('time and chance are the batch own, wherever they are asked for', () => {
  const engine = open()
  const { results } = execute(
    engine,
    `CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP, day DEFAULT CURRENT_DATE,
      clock DEFAULT CURRENT_TIME, chance DEFAULT (random()), token DEFAULT (hex(randomblob(8))), seen)`,
    'CREATE TABLE log (at, chance)',
    "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (datetime('now'), random()); END",
    'INSERT INTO t DEFAULT VALUES',
    "INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET seen = julianday('NOW')",
    "SELECT at, day, clock, seen = julianday('2026-11-21 12:34:56.789') FROM t",
    "SELECT datetime(), date('now', '+1 month'), time('subsec'), strftime('%s'), strftime('%Y', 'now'), unixepoch()",
    'SELECT at FROM log',
    "SELECT datetime('2020-01-31', '+1 month'), timediff('now', '2026-11-20 12:34:56.789')",
  )
  assert.deepEqual(
    results.map(({ error }) => error).filter((error) => error),
    [],
  )
  const rows = results.map((result) => result.rows[0])
  assert.deepEqual(
    rows[5],
    ['2026-11-21', '2026-11-21', '12:34:56', 1n].with(0, '2026-11-21 12:34:56'),
  )
  assert.deepEqual(rows[6], [
    '2026-11-21 12:34:56',
    '2026-12-21',
    '12:34:56.789',
    String(Math.floor(startMs / 1000)),
    '2026',
    BigInt(Math.floor(startMs / 1000)),
  ])
  assert.deepEqual(rows[7], ['2026-11-21 12:34:56'])
  assert.deepEqual(rows[8], ['2020-03-02 00:00:00', '+0000-00-01 00:00:00.000'])
  engine.close()
})

test('replicas that run ahead, that apply one by one and that apply many at once are equal', () => {
  const work: SqlBatch[] = [
    batchOf([
      'CREATE TABLE t (id INTEGER PRIMARY KEY, a, at DEFAULT CURRENT_TIMESTAMP)',
      'CREATE TABLE loose (a)',
    ]),
    batchOf([
      'CREATE VIRTUAL TABLE words USING fts5(body)',
      "INSERT INTO words VALUES ('a coral reef')",
    ]),
  ]
  for (let at = 0; at < 40; at++) {
    work.push(
      batchOf([
        'INSERT INTO t (a) VALUES (random()), (hex(randomblob(4)))',
        'INSERT INTO loose SELECT a FROM t ORDER BY random() LIMIT 3',
      ]),
      batchOf([
        'UPDATE t SET a = pow(id, 1.5) + sin(id) WHERE id % 3 = 0',
        'INSERT INTO t VALUES (1, 1, 1)',
      ]),
      batchOf(['DELETE FROM t WHERE id % 7 = 0', 'SELECT last_insert_rowid(), changes()']),
      batchOf(['INSERT OR ROLLBACK INTO t VALUES (1, 1, 1)']),
    )
  }
  const payloads = work.map((batch) => payloadOf(batch))
  const [ahead, single, many] = [open(), open(), open()]
  const path = newPath()
  let restarted = open(path)
  for (const [at, payload] of payloads.entries()) {
    ahead.run(payload)
    if (at % 5 === 0) {
      ahead.rollback()
      ahead.apply([{ index: at + 1, payload }])
    } else ahead.commit(at + 1)
    single.apply([{ index: at + 1, payload }])
    if (at % 10 === 0) {
      restarted.close()
      restarted = open(path)
    }
    restarted.apply([{ index: at + 1, payload }])
  }
  many.apply(payloads.map((payload, at) => ({ index: at + 1, payload })))
  // What is applied already changes nothing.
  many.apply(payloads.slice(0, 9).map((payload, at) => ({ index: at + 1, payload })))
  for (const engine of [single, many, restarted]) {
    assert.equal(toHex(engine.digest), toHex(ahead.digest))
    assert.equal(engine.applied, payloads.length)
  }
  const all = [ahead, single, many, restarted]
  const [first, ...others] = all.map((engine) =>
    rowsOf(engine, 'SELECT id, a, at FROM t UNION ALL SELECT rowid, a, 0 FROM loose'),
  )
  for (const rows of others) assert.deepEqual(rows, first)
  for (const engine of all) engine.close()
})

test('a batch that would roll back everything fails alone', () => {
  const engine = open()
  rowsOf(engine, 'CREATE TABLE t (id INTEGER PRIMARY KEY)')
  const [before, bad, behind] = applyAll(engine, [
    batchOf(['INSERT INTO t VALUES (1)']),
    batchOf(['INSERT OR ROLLBACK INTO t VALUES (2), (1)']),
    batchOf(['INSERT INTO t VALUES (3)']),
  ])
  assert.equal(before?.results[0]?.error, undefined)
  assert.match(bad?.results[0]?.error ?? '', /rolled back the transaction/)
  assert.equal(behind?.results[0]?.error, undefined)
  assert.deepEqual(rowsOf(engine, 'SELECT id FROM t'), [[1n], [3n]])
  engine.close()
})

test('what would differ or escape is refused with the reason', () => {
  const engine = open()
  rowsOf(engine, 'CREATE TABLE t (id INTEGER PRIMARY KEY)')
  const refusals: readonly (readonly [string, RegExp])[] = [
    ["ATTACH '/tmp/x' AS y", /ATTACH would leave/],
    ['DETACH y', /DETACH/],
    ['VACUUM', /from within a transaction/],
    ["VACUUM INTO '/tmp/x'", /from within a transaction/],
    ["SELECT load_extension('x')", /extensions|not authorized/],
    ['PRAGMA synchronous = OFF', /PRAGMA synchronous is not available/],
    ['PRAGMA journal_mode', /PRAGMA journal_mode is not available/],
    ['PRAGMA writable_schema = 1', /not available/],
    ['PRAGMA foreign_keys = 0', /not available/],
    ['BEGIN', /a batch is a transaction/],
    ['COMMIT', /a batch is a transaction/],
    ['SAVEPOINT x', /savepoints are not available/],
    ['CREATE TEMP TABLE q (a)', /temporary objects/],
    ['SELECT total_changes()', /total_changes/],
    ['SELECT * FROM _atoll_answers', /kept for the database itself/],
    ['DROP TABLE _atoll_state', /kept for the database itself/],
    ['UPDATE _atoll_state SET applied = 0', /kept for the database itself/],
    ['CREATE TABLE _atoll_x (a)', /kept for the database itself/],
    ['ALTER TABLE _ATOLL_state RENAME TO x', /kept for the database itself/],
    ['DELETE FROM sqlite_master', /may not be modified/],
    ['SELECT 1; SELECT 2', /one statement at a time/],
    ['', /no statements/],
    ["SELECT 'open", /unrecognized token/],
    ['INSERT INTO t VALUES (9223372036854775807)', /largest rowid/],
    [`SELECT ${'NOT '.repeat(2000)} 1`, /depth|overflow/],
    ['SELECT randomblob(1000000000)', /too big/],
  ]
  for (const [sql, reason] of refusals) {
    const { error = '' } = execute(engine, sql).results[0] ?? {}
    assert.match(error, reason, sql)
  }
  const wrong: readonly SqlStatement[] = [
    { sql: 'SELECT :a', values: { b: 1n } },
    { sql: 'SELECT 1', values: [1n] },
  ]
  for (const statement of wrong) assert.ok(execute(engine, statement).results[0]?.error)
  const [stale] = rowsOf(engine, 'SELECT count(*) FROM t')
  assert.deepEqual(stale, [0n])
  for (const sql of [
    'ANALYZE',
    'REINDEX',
    'PRAGMA table_info(t)',
    'PRAGMA user_version = 7',
    'SELECT 1; -- end',
    'PRAGMA quick_check',
  ]) {
    assert.equal(execute(engine, sql).results[0]?.error, undefined, sql)
  }
  engine.close()
})

test('"now" is refused where its answer would be kept: in indexes and generated columns', () => {
  const engine = open()
  const refused = (...work: readonly Work[]): void => {
    const { results } = execute(engine, ...work)
    assert.match(results.at(-1)?.error ?? '', /non-deterministic use of \w+\(\) in an index or/)
  }
  rowsOf(
    engine,
    'CREATE TABLE t (id INTEGER PRIMARY KEY, a)',
    "INSERT INTO t VALUES (1, '2020-01-01')",
    'CREATE INDEX of_day ON t (date(a))',
    'CREATE TABLE partial (a)',
    "CREATE INDEX part ON partial (a) WHERE julianday(a) < julianday('now')",
    "CREATE TABLE made (a, stamp AS (strftime('%s')), kept TEXT AS (CURRENT_TIMESTAMP) STORED)",
    'CREATE TABLE source (a)',
    'CREATE TRIGGER into_t AFTER INSERT ON source BEGIN INSERT INTO t (a) VALUES (new.a); END',
  )
  for (const spelling of ["'now'", "'NoW'", "x'6e6f77'", "'subsec'"]) {
    refused(`INSERT INTO t (a) VALUES (${spelling})`)
  }
  refused("UPDATE t SET a = 'now' WHERE id = 1")
  refused({ sql: 'INSERT INTO t (a) VALUES (?)', values: ['now'] })
  refused("INSERT INTO source VALUES ('now')")
  refused('INSERT INTO partial VALUES (1)')
  refused('INSERT INTO made (a) VALUES (1)')
  refused("CREATE INDEX by_now ON t (datetime('now'))")
  // Statements that were prepared before the schema says so, and after it says so no more.
  const day = "INSERT INTO t (a) VALUES (date('now'))"
  refused(day)
  rowsOf(engine, 'DROP INDEX of_day', day, "INSERT INTO t (a) VALUES ('now')")
  refused('CREATE INDEX of_day ON t (date(a))')
  rowsOf(engine, "DELETE FROM t WHERE a = 'now'", 'CREATE INDEX of_day ON t (date(a))')
  refused(day)
  // Beside such an index time is asked for freely, by functions that it does not use.
  rowsOf(
    engine,
    "INSERT INTO t (a) VALUES (datetime('now'))",
    'DELETE FROM t',
    'DELETE FROM source',
  )
  rowsOf(engine, "CREATE TABLE checked (a CHECK (a <= datetime('now')))")
  rowsOf(engine, 'INSERT INTO checked VALUES (CURRENT_TIMESTAMP)')
  assert.deepEqual(rowsOf(engine, 'PRAGMA integrity_check'), [['ok']])
  engine.close()
})

test('an engine that stops in the middle of an entry has not begun it', () => {
  const path = newPath()
  const engine = open(path)
  rowsOf(engine, 'CREATE TABLE t (a)')
  const before = toHex(engine.digest)
  engine.run(payloadOf(batchOf(['INSERT INTO t VALUES (1)'])))
  engine.close()
  const again = open(path)
  assert.equal(again.applied, 1)
  assert.equal(toHex(again.digest), before)
  assert.deepEqual(rowsOf(again, 'SELECT * FROM t'), [])
  again.close()
})

test('a copy holds what is committed; a reader sees committed states and changes nothing', async () => {
  const path = newPath()
  const engine = open(path)
  rowsOf(engine, 'CREATE TABLE t (a)', 'INSERT INTO t VALUES (1)')
  engine.run(payloadOf(batchOf(['INSERT INTO t VALUES (2)'])))
  const reader = new SqlReader(path, () => 0)
  const [seen, changed] = reader.query([
    { sql: 'SELECT a FROM t' },
    { sql: 'INSERT INTO t VALUES (3)' },
  ])
  assert.deepEqual(seen?.rows, [[1n]])
  assert.match(changed?.error ?? '', /may not change anything/)
  engine.commit(2)
  assert.deepEqual(reader.query([{ sql: 'SELECT count(*) FROM t' }])[0]?.rows, [[2n]])
  const copy = newPath()
  await engine.copyTo(copy)
  const other = open(copy)
  assert.equal(toHex(other.digest), toHex(engine.digest))
  assert.equal(other.applied, 2)
  engine.checkpoint()
  other.close()
  engine.close()
})

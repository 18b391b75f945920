// Where transactions of entries end makes no difference: one replica commits each entry by itself, as who leads does, another
// as many at once as it is given. What an author leaves open or broken at the end of a batch is where they could differ.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { after, test } from 'node:test'
import { seededRandom, toHex } from '../../base/index.ts'
import { answerCodec } from '../core/answer.ts'
import { entryCodec, makeBatchId, type SqlBatch } from '../core/entry.ts'
import { type RanBatch, SqlEngine } from './engine.ts'

const folder = mkdtempSync(join(tmpdir(), 'atoll-sql-commits-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
let drawn = 0

type Work = readonly [kind: 'atomic' | 'interactive', ...sql: readonly string[]]

function batchOf([kind, ...statements]: Work): SqlBatch {
  const random = seededRandom(++drawn)
  return {
    id: makeBatchId(1_000, random.bytes(10)),
    timeMs: 1_000,
    seed: random.bytes(32),
    isAtomic: kind === 'atomic',
    isInteractive: kind === 'interactive',
    statements: statements.map((sql) => ({ sql })),
  }
}

/** Per statement what was changed, or the error. */
const shown = (ran: readonly RanBatch[]): readonly unknown[] =>
  ran.map(({ answer }) => {
    const { results } = answerCodec.decode(answer)
    return results.map(({ error, changes }) => error ?? changes)
  })

/** Entries of batches; answers what each was answered, after all replicas agreed. */
function onAll(work: readonly (readonly Work[])[]): readonly unknown[] {
  const open = (): SqlEngine => new SqlEngine(join(folder, `db-${++files}.sqlite`), () => 0)
  const entries = work.map((batches, at) => ({
    index: at + 1,
    payload: entryCodec.encode({ engine: 'test', batches: batches.map(batchOf) }),
  }))
  const [leader, together, one] = [open(), open(), open()]
  const told = entries.map(({ index, payload }) => {
    const ahead = leader.run(payload)
    return shown(leader.commit(index) ?? ahead)
  })
  assert.deepEqual(together.apply(entries).map(shown), told)
  assert.deepEqual(
    entries.map((entry) => shown(one.apply([entry])[0] ?? [])),
    told,
  )
  for (const other of [together, one]) {
    assert.equal(other.applied, leader.applied)
    assert.equal(toHex(other.digest), toHex(leader.digest))
  }
  for (const engine of [leader, together, one]) engine.close()
  return told
}

test('a savepoint that is left open ends with its transaction', () => {
  const told = onAll([
    [['atomic', 'CREATE TABLE t (x)']],
    [['interactive', 'SAVEPOINT a', 'INSERT INTO t VALUES (1)']],
    [['interactive', 'INSERT INTO t VALUES (2)', 'ROLLBACK TO a', 'RELEASE a']],
  ])
  const unknown = 'no such savepoint: a'
  assert.deepEqual(told, [[[0]], [[0, 1]], [[1, unknown, unknown]]])
})

const family: Work = [
  'atomic',
  'CREATE TABLE parent (id INTEGER PRIMARY KEY)',
  'CREATE TABLE child (parent REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)',
]
const broken = 'FOREIGN KEY constraint failed'

test('a deferred foreign key that is broken at the end of a batch fails it, and nobody else', () => {
  const told = onAll([
    [family],
    [['atomic', 'INSERT INTO child VALUES (1)', 'INSERT INTO parent VALUES (1)']],
    [['atomic', 'INSERT INTO child VALUES (2)']],
    [['interactive', 'INSERT INTO parent VALUES (2)', 'DELETE FROM parent WHERE id = 1']],
    [
      ['atomic', 'INSERT INTO parent VALUES (3)'],
      ['atomic', 'INSERT INTO child VALUES (4)'],
      ['atomic', 'INSERT INTO child VALUES (3)'],
    ],
    [['atomic', 'INSERT INTO parent VALUES (2)']],
  ])
  const answers = [[[0, 0]], [[1, 1]], [[broken]], [[broken]], [[1], [broken], [1]], [[1]]]
  assert.deepEqual(told, answers)
})

test('what breaks a deferred key and its schema is refused, too, and the database goes on', () => {
  const told = onAll([
    [
      [
        'atomic',
        'CREATE TABLE parent (id)',
        'CREATE UNIQUE INDEX ids ON parent (id)',
        'CREATE TABLE child (parent REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)',
      ],
    ],
    [['atomic', 'INSERT INTO child VALUES (7)', 'DROP INDEX ids']],
    [['atomic', 'INSERT INTO parent VALUES (7)', 'INSERT INTO child VALUES (7)']],
  ])
  assert.deepEqual(told, [[[0, 0, 0]], [[broken]], [[1, 1]]])
})

test('rows that a batch answers are bounded together, also where some of what was asked is no part of it', () => {
  const engine = new SqlEngine(join(folder, `db-${++files}.sqlite`), () => 0)
  const three = 'RETURNING zeroblob(3000000) AS big'
  const statements = ['CREATE TABLE t (x)', `INSERT INTO t VALUES (1) ${three}`]
  const reading = 'SELECT zeroblob(3000000)'
  const whole = batchOf([
    'interactive',
    ...statements,
    statements[1] ?? '',
    'INSERT INTO t VALUES (2)',
  ])
  engine.hold(entryCodec.encode({ engine: 'test', batches: [{ ...whole, statements: [] }] }))
  const told: unknown[] = []
  for (const { sql } of whole.statements) {
    const read = engine.step({ sql: reading })
    assert.equal(read.isPure, true)
    const { result, isPure } = engine.step({ sql })
    assert.equal(isPure, false)
    told.push(result.error ?? result.changes)
  }
  assert.match(String(told[2]), /more than 4194304 bytes/)
  assert.deepEqual(told, [0, 1, told[2], 1])
  engine.rollback()
  const ran = engine.run(entryCodec.encode({ engine: 'test', batches: [whole] }))
  assert.deepEqual(shown(ran), [told])
  engine.close()
})

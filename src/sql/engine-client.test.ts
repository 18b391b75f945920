import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { isFault, seededRandom } from '../base/index.ts'
import { createRealHost } from '../host/real/index.ts'
import { answerCodec } from './core/answer.ts'
import { entryCodec, makeBatchId } from './core/entry.ts'
import { EngineClient } from './engine-client.ts'

const folder = mkdtempSync(join(tmpdir(), 'atoll-sql-client-'))
const host = createRealHost({
  rootPath: folder,
  journal: { format: 'json', level: 'error', write: () => undefined },
})
after(() => rmSync(folder, { recursive: true }))

const random = seededRandom(1)
const endless =
  'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n'

function payloadOf(...sql: readonly string[]): Uint8Array {
  const batch = {
    id: makeBatchId(1000, random.bytes(10)),
    timeMs: 1000,
    seed: random.bytes(32),
    isAtomic: true,
    statements: sql.map((one) => ({ sql: one })),
  }
  return entryCodec.encode({ engine: 'test', batches: [batch] })
}

test('a writer and a reader in processes of their own; a statement that never ends costs its process and nothing else', async () => {
  const path = join(folder, 'one.sqlite')
  const writer = new EngineClient(host, { path, isReader: false })
  assert.equal(writer.isRunning, false)
  const made = await writer.ask({
    kind: 'apply',
    entries: [{ index: 1, payload: payloadOf('CREATE TABLE t (a)', "INSERT INTO t VALUES ('é')") }],
    wantsAnswers: true,
  })
  assert.equal(made.applied, 1)
  const answer = made.entries[0]?.[0]?.answer
  assert.ok(answer !== undefined && answerCodec.decode(answer).results.length === 2)

  const late = await writer
    .ask({ kind: 'run', payload: payloadOf('DELETE FROM t', endless) }, { deadlineMs: 150 })
    .catch((error: unknown) => error)
  assert.ok(isFault(late, 'deadline'))
  assert.equal(writer.isRunning, false)
  const again = await writer.ask({
    kind: 'run',
    payload: payloadOf("INSERT INTO t VALUES ('later')"),
  })
  assert.equal(again.applied, 1)
  assert.equal((await writer.ask({ kind: 'commit', index: 2 })).applied, 2)

  const reader = new EngineClient(host, { path, isReader: true })
  const queried = await reader.ask({ kind: 'query', statements: [{ sql: 'SELECT a FROM t' }] })
  assert.deepEqual(queried.results[0]?.rows, [['é'], ['later']])
  await Promise.all([reader.close(), writer.close()])
  assert.ok(
    isFault(await writer.ask({ kind: 'open' }).catch((error: unknown) => error), 'cancelled'),
  )
})

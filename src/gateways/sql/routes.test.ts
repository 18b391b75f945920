import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, toHex, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { HttpRequest, HttpResponse } from '../../host/index.ts'
import { createRealHost } from '../../host/real/index.ts'
import type { SqlDatabase, SqlResult, SqlStatement } from '../../sql/index.ts'
import { compileRoutes, parseQuery } from '../admin/routes.ts'
import { sqlRoutes } from './routes.ts'

const nothing: SqlResult = {
  columns: [],
  types: [],
  rows: [],
  changes: 0,
  lastInsertId: 0n,
  elapsedUs: 0,
}

/** A database that keeps what it was asked and answers what it is told to. */
class Told implements SqlDatabase {
  readonly name = '/raft/sql/main'
  readonly asked: {
    readonly kind: string
    readonly statements: readonly SqlStatement[]
    readonly options: unknown
  }[] = []
  results: readonly SqlResult[] = [nothing]
  fault: Fault | undefined
  leader = 2

  async execute(statements: readonly SqlStatement[], options?: unknown) {
    this.asked.push({ kind: 'execute', statements, options })
    if (this.fault !== undefined) throw this.fault
    return { results: this.results }
  }

  begin(): Promise<never> {
    return Promise.reject(new Fault('unsupported', 'not asked for here'))
  }

  async query(statements: readonly SqlStatement[], options?: unknown) {
    this.asked.push({ kind: 'query', statements, options })
    if (this.fault !== undefined) throw this.fault
    return this.results
  }

  async replicas() {
    return [
      { node: 1, applied: 8, digest: 'ab' },
      { node: 2, fault: 'away' },
    ]
  }

  status() {
    const { name, leader } = this
    const members = { voters: [1, 2, 3], learners: [4] }
    const place = { group: 1000, role: 'follower', term: 3, leader, commit: 9 as never, applied: 8 }
    return {
      name,
      ...place,
      ...members,
      digest: 'ab',
      isWhole: true,
      isEngineRunning: true,
      differing: [],
    }
  }
}

function world() {
  const told = new Told()
  const names: string[] = []
  const find = compileRoutes(
    sqlRoutes({
      list: async () => names,
      create: async (name) => void names.push(name),
      drop: async (name) => void names.splice(names.indexOf(name), 1),
      host: createRealHost({
        rootPath: '/nowhere',
        journal: { format: 'json', level: 'error', write: () => {} },
      }),
      monotonicMs: () => 5,
      async database(name) {
        if (names.includes(name)) return told
        throw new Fault('not-found', `there is no SQL database ${name}`)
      },
    }),
  )
  const ask = async (line: string, body = '', headers: HttpRequest['headers'] = []) => {
    const [method = '', target = ''] = line.split(' ')
    const found = find(method, target.split('?')[0] ?? '')
    assert.ok(found !== undefined, line)
    const bytes = utf8Encode(body)
    const request = {
      method,
      target,
      headers,
      body: (async function* () {
        yield bytes
      })(),
    } as unknown as HttpRequest
    const response = await found.route.answer({
      request,
      params: found.params,
      query: parseQuery(target),
      caller: { name: 'test', tenant: '' },
      body: async () => undefined,
      recheck: async () => undefined,
      isNoAct: () => undefined,
    })
    return { status: response.status, text: textOf(response) }
  }
  return { told, ask }
}

const textOf = ({ body }: HttpResponse): string =>
  body instanceof Uint8Array ? utf8Decode(body) : ''

test('databases are created, listed and dropped by name', async () => {
  const { ask } = world()
  assert.equal((await ask('POST /sql/main/db/execute', '["x"]')).status, 404)
  assert.equal((await ask('PUT /sql/main')).status, 200)
  assert.equal((await ask('GET /sql')).text.trim(), '{"databases":["main"]}')
  assert.equal((await ask('DELETE /sql/main')).text.trim(), '{"dropped":"main"}')
})

test('statements and values are read with their types', async () => {
  const { told, ask } = world()
  await ask('PUT /sql/main')
  const body =
    '["A", ["B ?", 1, 2.0, 1e3, 9223372036854775807, 9223372036854775808, "t", true, null, [0, 255]], ["C :a", {"a": 5}]]'
  const id = '0123456789abcdef0123456789abcdef'
  const done = await ask('POST /sql/main/db/execute?transaction&timeout=5s', body, [
    ['atoll-batch-id', id],
  ])
  assert.equal(done.status, 200)
  const [asked] = told.asked
  const options = asked?.options as {
    readonly id: Uint8Array
    readonly isAtomic: boolean
    readonly timeoutMs: number
  }
  assert.deepEqual([toHex(options.id), options.isAtomic, options.timeoutMs], [id, true, 5000])
  assert.deepEqual(asked?.statements, [
    { sql: 'A' },
    {
      sql: 'B ?',
      values: [1n, 2, 1000, 2n ** 63n - 1n, 2 ** 63, 't', 1n, null, Uint8Array.of(0, 255)],
    },
    { sql: 'C :a', values: { a: 5n } },
  ])
  for (const bad of [
    '',
    '{}',
    '[]',
    '[1]',
    '[["a", [1, 300]]]',
    '[["a", {"b": {}}]]',
    '[["a"',
    '[[1]]',
  ]) {
    assert.equal((await ask('POST /sql/main/db/execute', bad)).status, 400, bad)
  }
})

test('results are shown as rqlite shows them', async () => {
  const { told, ask } = world()
  await ask('PUT /sql/main')
  const row = [2n ** 60n, 'x', Uint8Array.of(1, 2), null]
  told.results = [
    { ...nothing, changes: 1, lastInsertId: 7n, elapsedUs: 1000 },
    { ...nothing, columns: ['id', 'a', 'b', 'n'], types: ['integer', '', '', 'text'], rows: [row] },
    { ...nothing, error: 'no such table: z' },
    { ...nothing, columns: ['id'], types: ['integer'] },
  ]
  assert.equal(
    (await ask('POST /sql/main/db/execute?timings', '["A"]')).text,
    '{"results":[{"last_insert_id":7,"rows_affected":1,"time":0.001},' +
      '{"columns":["id","a","b","n"],"types":["integer","text","blob","text"],"values":[[1152921504606846976,"x","AQI=",null]],"time":0},' +
      '{"error":"no such table: z"},{"columns":["id"],"types":["integer"],"time":0}],"time":0}',
  )
  told.results = told.results.slice(1, 2)
  assert.equal(
    (await ask('GET /sql/main/db/query?q=SELECT%201&associative&blob_array&level=strong')).text,
    '{"results":[{"types":{"id":"integer","a":"text","b":"blob","n":"text"},"rows":[{"id":1152921504606846976,"a":"x","b":[1,2],"n":null}]}]}',
  )
  assert.deepEqual(told.asked.at(-1)?.options, { level: 'linearizable' })
})

test('a request goes where its statements want it', async () => {
  const { told, ask } = world()
  await ask('PUT /sql/main')
  await ask(
    'POST /sql/main/db/request?level=none&freshness=200ms',
    '["SELECT 1", "PRAGMA table_info(t)"]',
  )
  assert.deepEqual(
    told.asked.map(({ kind }) => kind),
    ['query'],
  )
  assert.deepEqual(told.asked[0]?.options, { level: 'none', freshMs: 200 })
  await ask('POST /sql/main/db/request', '["SELECT 1", "INSERT INTO t VALUES (1)"]')
  assert.equal(told.asked.at(-1)?.kind, 'execute')
  told.results = [{ ...nothing, error: 'a query may not change anything' }]
  await ask('POST /sql/main/db/request', '["WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x"]')
  assert.deepEqual(
    told.asked.slice(-2).map(({ kind }) => kind),
    ['query', 'execute'],
  )
})

test('what fails and what is not here says so', async () => {
  const { told, ask } = world()
  await ask('PUT /sql/main')
  for (const line of [
    'POST /sql/main/db/execute?queue',
    'GET /sql/main/db/backup',
    'POST /sql/main/db/load',
  ]) {
    const { status, text } = await ask(line, '["A"]')
    assert.equal(status, 501, line)
    assert.match(text, /not available/)
  }
  for (const line of [
    'GET /sql/main/db/query',
    'GET /sql/main/db/query?q=x&level=best',
    'GET /sql/main/db/query?q=x&timeout=soon',
  ]) {
    assert.equal((await ask(line)).status, 400, line)
  }
  told.fault = new Fault('unavailable', 'no leader', { outcome: 'unknown' })
  const failed = await ask('POST /sql/main/db/execute', '["A"]')
  assert.equal(failed.status, 503)
  assert.deepEqual(JSON.parse(failed.text), {
    error: 'no leader',
    code: 'unavailable',
    outcome: 'unknown',
  })
})

test('status, nodes, leader and readiness', async () => {
  const { told, ask } = world()
  await ask('PUT /sql/main')
  const status = JSON.parse((await ask('GET /sql/main/status')).text)
  assert.equal(status.store.raft.commit_index, 9)
  assert.equal(status.store.leader.node_id, '2')
  assert.deepEqual(Object.keys(JSON.parse((await ask('GET /sql/main/nodes')).text)), [
    '1',
    '2',
    '3',
    '4',
  ])
  assert.equal(JSON.parse((await ask('GET /sql/main/leader')).text).id, '2')
  const shown = '{"replicas":[{"node":1,"applied":8,"digest":"ab"},{"node":2,"fault":"away"}]}'
  assert.equal((await ask('GET /sql/main/replicas')).text, shown)
  assert.equal((await ask('GET /sql/main/readyz')).text, '[+]node ok\n[+]leader ok\n')
  told.leader = 0
  assert.equal((await ask('GET /sql/main/readyz')).status, 503)
  assert.equal((await ask('GET /sql/main/readyz?noleader')).status, 200)
  assert.equal((await ask('GET /sql/main/leader')).status, 503)
})

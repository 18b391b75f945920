import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy, type Principal } from '../../access/index.ts'
import { Fault, seededRandom, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { Host, HttpRequest } from '../../host/index.ts'
import { createSqlHandler } from './handler.ts'

const operator = { kind: 'operator', tenant: '000000000001', arn: 'arn:aws:iam::1:root' } as const

function userOf(
  name: string,
  actions: string,
  resource: string,
  tenant = '000000000001',
): Principal {
  const statement = { Effect: 'Allow', Action: actions, Resource: resource }
  const document = JSON.stringify({ Version: '2012-10-17', Statement: [statement] })
  const policies = [parsePolicy(document, 'identity')]
  return {
    kind: 'user',
    tenant,
    arn: `arn:aws:iam::${tenant}:user/${name}`,
    name,
    id: name,
    policies,
  }
}

const keys: Readonly<Record<string, Principal>> = {
  ROOT: operator,
  READER: userOf('reader', 'sql:Query', 'arn:atoll:sql:::shop'),
  WRITER: userOf('writer', 'sql:*', 'arn:atoll:sql:::sh*'),
  STRANGER: userOf('stranger', 'sql:*', '*', '000000000002'),
  OF_S3: userOf('s3', 's3:*', '*'),
}

function world() {
  const names = new Set(['shop'])
  const asked: string[] = []
  const told: string[] = []
  const database = (name: string) => {
    const find = (): void => {
      if (!names.has(name)) throw new Fault('not-found', `there is no SQL database ${name}`)
    }
    return {
      name,
      async execute(statements: readonly { readonly sql: string }[]) {
        find()
        asked.push(`${name}: ${statements.map(({ sql }) => sql).join('; ')}`)
        if (name === 'shop-broken') throw new Fault('internal', 'a path that nobody should see')
        return { results: [] }
      },
      async query() {
        find()
        return []
      },
      async replicas() {
        return []
      },
      async status(): Promise<never> {
        find()
        throw new Fault('unavailable', 'the status is not looked at here')
      },
    }
  }
  const host = {
    clock: { monotonicMs: () => 5 },
    random: { bytes: (count: number) => new Uint8Array(count) },
    journal: { event: (_level: string, event: string) => told.push(event) },
  } as unknown as Host
  const handler = createSqlHandler({
    host,
    access: {
      async identify(id) {
        const principal = Object.hasOwn(keys, id) ? keys[id] : undefined
        return principal && { principal, secretAccessKey: `secret of ${id}` }
      },
      async identifyToken(text) {
        const scopes = text === 'ac1.admin' ? ['admin' as const] : ['metadata' as const]
        if (text === 'ac1.unknown') return undefined
        const times = { createdMs: 0, expiresMs: 1 }
        return { id: 't', tenant: '000000000001', name: 't', scopes, ...times }
      },
    },
    databases: {
      list: async () => [...names],
      create: async (name) => void names.add(name),
      drop: async (name) => void names.delete(name),
      database,
    },
  })
  const raw = async (
    line: string,
    authorization: string,
    body = '["SELECT 1"]',
    more: readonly (readonly [string, string])[] = [],
  ) => {
    const [method = '', target = ''] = line.split(' ')
    const given = authorization === '' ? [] : [['authorization', authorization] as const]
    const headers = [...given, ...more]
    const request = {
      method,
      target,
      headers,
      remoteAddress: '127.0.0.1',
      isSecure: false,
      body: (async function* () {
        yield utf8Encode(body)
      })(),
    } as unknown as HttpRequest
    const response = await handler(request)
    const text = response.body instanceof Uint8Array ? utf8Decode(response.body) : ''
    return { status: response.status, text, headers: response.headers }
  }
  const basic = (name: string, secret = `secret of ${name}`): string =>
    `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`
  const ask = (line: string, name: string, body?: string) => raw(line, basic(name), body)
  return { names, asked, told, raw, basic, ask }
}

test('who is nobody hears nothing; a wrong secret is as good as none', async () => {
  const { raw, basic, asked } = world()
  const wrong = ['', 'Basic', 'Basic !!!', basic('ROOT', ''), basic('ROOT', 'secret of READER')]
  const worse = [basic('NOBODY'), basic(''), 'Bearer ac1.unknown', 'Digest x', basic('__proto__')]
  for (const authorization of [...wrong, ...worse]) {
    for (const line of ['POST /db/execute', 'GET /nowhere', 'GET /sql/shop/status']) {
      const { status, headers } = await raw(line, authorization)
      assert.equal(status, 401, `${line} ${authorization}`)
      assert.ok(headers.some(([name]) => name === 'www-authenticate'))
    }
  }
  assert.deepEqual(asked, [])
  assert.equal((await raw('POST /sql/shop/db/execute', 'Bearer ac1.admin')).status, 200)
  assert.equal((await raw('POST /sql/shop/db/execute', basic('any', 'ac1.admin'))).status, 200)
  assert.equal((await raw('POST /sql/shop/db/execute', 'Bearer ac1.metadata')).status, 403)
})

test('a page of elsewhere does nothing with what the browser knows', async () => {
  const { raw, basic, asked } = world()
  const ask = async (...more: readonly (readonly [string, string])[]): Promise<number> => {
    const headers = [['host', 'Node:4001'] as const, ...more]
    return (await raw('POST /sql/shop/db/execute', basic('ROOT'), undefined, headers)).status
  }
  assert.equal(await ask(['origin', 'http://evil.example']), 403)
  assert.equal(await ask(['origin', 'null']), 403)
  assert.equal(await ask(['origin', 'http://node:4002']), 403)
  assert.equal(await ask(['sec-fetch-site', 'cross-site']), 403)
  assert.deepEqual(asked, [])
  assert.equal(await ask(), 200)
  assert.equal(await ask(['origin', 'http://node:4001'], ['sec-fetch-site', 'same-origin']), 200)
})

test('users do what their policies say of a database, and no more', async () => {
  const { ask, names } = world()
  const allowed = async (line: string, name: string): Promise<boolean> => {
    const { status } = await ask(line, name)
    assert.ok(status === 200 || status === 403 || status === 503, `${status}`)
    return status !== 403
  }
  assert.equal(await allowed('GET /sql/shop/db/query?q=SELECT', 'READER'), true)
  assert.equal(await allowed('POST /sql/shop/db/query', 'READER'), true)
  for (const line of [
    'POST /sql/shop/db/execute',
    'POST /sql/shop/db/request',
    'GET /sql/shop/status',
  ]) {
    assert.equal(await allowed(line, 'READER'), false, line)
    assert.equal(await allowed(line, 'WRITER'), true, line)
    assert.equal(await allowed(line, 'STRANGER'), false, line)
    assert.equal(await allowed(line, 'OF_S3'), false, line)
  }
  assert.equal(await allowed('POST /db/execute', 'WRITER'), false)
  assert.equal(await allowed('PUT /sql/shed', 'WRITER'), true)
  assert.equal(await allowed('PUT /sql/other', 'WRITER'), false)
  assert.equal(await allowed('DELETE /sql/shop', 'READER'), false)
  assert.equal(await allowed('GET /sql', 'WRITER'), false)
  assert.deepEqual([...names], ['shop', 'shed'])
})

test('the database main is made by the first request of who may, and again when it was dropped', async () => {
  const { ask, names, asked } = world()
  assert.equal((await ask('POST /db/execute', 'ROOT')).status, 200)
  assert.ok(names.has('main'))
  names.delete('main')
  assert.equal((await ask('POST /db/execute', 'ROOT')).status, 404)
  assert.equal((await ask('POST /db/execute', 'ROOT', '["SELECT 2"]')).status, 200)
  assert.deepEqual(asked, ['main: SELECT 1', 'main: SELECT 2'])
  assert.equal((await ask('POST /sql/none/db/execute', 'ROOT')).status, 404)
})

test('our own failing is told under a number; what is not here says so; nonsense is refused', async () => {
  const { ask, names, told } = world()
  names.add('shop-broken')
  const broken = await ask('POST /sql/shop-broken/db/execute', 'ROOT')
  assert.equal(broken.status, 500)
  assert.doesNotMatch(broken.text, /nobody should see/)
  assert.deepEqual(told, ['sql.request_failed'])
  assert.equal((await ask('GET /db/backup', 'ROOT')).status, 501)
  assert.equal((await ask('GET /nowhere', 'ROOT')).status, 404)
  assert.equal((await ask('POST /sql/%zz/db/execute', 'ROOT')).status, 400)
  const random = seededRandom(5)
  for (let round = 0; round < 300; round++) {
    const body = utf8Decode(random.bytes(random.integer(60)))
    const { status } = await ask('POST /sql/shop/db/execute', 'ROOT', body)
    assert.equal(status, 400, body)
  }
})

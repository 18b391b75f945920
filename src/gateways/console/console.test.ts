// Login, sessions and pages as requests meet them: the admin handler with the console's routes and authority, over a
// keyspace in memory that two nodes share.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom, toHex, utf8Decode, utf8Encode } from '../../base/index.ts'
import { MemoryKeyspace } from '../../cluster/testing/memory-keyspace.ts'
import type { Host, HttpRequest, HttpResponse } from '../../host/index.ts'
import { tokenAuthority } from '../admin/authority.ts'
import { createAdminHandler, type EnterAct } from '../admin/handler.ts'
import { type AdminRoute, answerJson } from '../admin/routes.ts'
import { type ConsoleAsset, servePages } from './pages.ts'
import { createConsole } from './routes.ts'
import { isAllowed } from './session-authority.ts'
import { sessionMs } from './sessions.ts'

const hour = 60 * 60 * 1000
const origin = 'https://node:7777'
const rightPassword = 'correct horse battery'

const extraRoutes: readonly AdminRoute[] = [
  {
    method: 'GET',
    path: '/v1/status',
    needs: 'admin:ReadStatus',
    answer: async ({ caller }) => answerJson(200, { caller: caller.name }),
  },
  {
    method: 'POST',
    path: '/v1/members/drain',
    needs: 'admin:DrainMember',
    answer: async ({ caller }) => answerJson(200, { caller: caller.name }),
  },
]

type Answer = {
  readonly status: number
  readonly json: Record<string, unknown>
  readonly cookie: string | undefined
}
type Asked = {
  readonly body?: unknown
  readonly headers?: readonly (readonly [string, string])[]
  readonly from?: string
}
type Ask = (method: string, target: string, asked?: Asked) => Promise<Answer>

/** Two nodes on one keyspace, with a clock that the test moves; stretching is quick and counted. */
function world() {
  const system = new MemoryKeyspace()
  const clock = { nowMs: 1_700_000_000_000 }
  const stretched: string[] = []
  const random = seededRandom(3)
  const entered: string[] = []
  const enter: EnterAct = async (by, { action, outcome }) => {
    entered.push(`${by.name} ${action} ${outcome}`)
  }
  const host = {
    clock: { wallMs: () => clock.nowMs, monotonicMs: () => clock.nowMs },
    random,
    journal: {
      event: () => undefined,
      fatal: (_event: string, error: unknown) => {
        throw error
      },
    },
    passwords: {
      async stretch(password: Uint8Array, { salt }: { salt: Uint8Array }) {
        stretched.push(utf8Decode(password))
        const bytes = new Uint8Array(32)
        for (const [at, byte] of [...password, ...salt].entries()) {
          bytes[at % 32] = ((bytes[at % 32] ?? 0) * 31 + byte) & 255
        }
        return bytes
      },
    },
  } as unknown as Host
  const node = (): Ask => {
    const people = createConsole({ host, system, enter })
    const handler = createAdminHandler({
      host,
      enter,
      routes: [...extraRoutes, ...people.routes],
      authorise: people.authority(tokenAuthority('right')),
    })
    return (method, target, asked) => ask(handler, { method, target, ...asked })
  }
  return { system, clock, stretched, entered, node }
}

async function ask(
  handler: (request: HttpRequest) => Promise<HttpResponse>,
  asked: Asked & { readonly method: string; readonly target: string },
): Promise<Answer> {
  const { method, target, body, headers = [], from = '10.0.0.1' } = asked
  const response = await handler({
    method,
    target,
    headers: [['host', 'node:7777'], ['content-type', 'application/json'], ...headers],
    body: (async function* () {
      yield utf8Encode(JSON.stringify(body ?? {}))
    })(),
    remoteAddress: from,
    isSecure: true,
    signal: new AbortController().signal,
  })
  assert.ok(response.body instanceof Uint8Array)
  const cookie = response.headers.find(([name]) => name === 'set-cookie')?.[1]
  const json = JSON.parse(utf8Decode(response.body)) as Record<string, unknown>
  return { status: response.status, json, cookie }
}

const token = ['authorization', 'Bearer right'] as const

async function withOperator(asks: Ask, name = 'ann', scopes = ['admin']) {
  const body = { name, password: rightPassword, scopes }
  const made = await asks('POST', '/v1/access/operators', { body, headers: [token] })
  assert.equal(made.status, 200, JSON.stringify(made.json))
}

async function login(asks: Ask, operator = 'ann', password = rightPassword, from = '10.0.0.1') {
  const answer = await asks('POST', '/v1/console/login', { body: { operator, password }, from })
  const cookie = answer.cookie?.split(';')[0] ?? ''
  const proof = [
    ['cookie', cookie],
    ['origin', origin],
    ['x-atoll-csrf', String(answer.json.csrf)],
  ] as const
  return { ...answer, session: [['cookie', cookie]] as const, proof }
}

test('a session opens the API on every node, and its end closes it on every node', async () => {
  const { node } = world()
  const [one, two] = [node(), node()]
  await withOperator(one)
  const { status, cookie, session, proof } = await login(one)
  assert.equal(status, 200)
  assert.match(
    cookie ?? '',
    /^__Host-atoll=[A-Za-z0-9_-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict$/,
  )
  const seen = await two('GET', '/v1/status', { headers: session })
  assert.deepEqual([seen.status, seen.json], [200, { caller: 'operator ann' }])
  const out = await two('POST', '/v1/console/logout', { headers: proof })
  assert.equal(out.status, 200)
  assert.match(out.cookie ?? '', /Max-Age=0/)
  for (const asks of [one, two]) {
    const after = await asks('GET', '/v1/status', { headers: session })
    assert.equal(after.status, 403)
    assert.equal((after.json.error as { code: string }).code, 'unauthenticated')
  }
})

test('what changes something needs the page’s origin and the session’s token', async () => {
  const { node } = world()
  const asks = node()
  await withOperator(asks)
  const first = await login(asks)
  const other = await login(asks)
  const drain = (headers: readonly (readonly [string, string])[]) =>
    asks('POST', '/v1/members/drain', { headers })
  const [cookie, own, csrf] = first.proof
  assert.equal((await drain(first.proof)).status, 200)
  for (const headers of [
    [cookie],
    [cookie, own],
    [cookie, csrf],
    [cookie, ['origin', 'https://evil:7777'] as const, csrf],
    [cookie, ['origin', 'null'] as const, csrf],
    [cookie, own, ['x-atoll-csrf', String(other.json.csrf)] as const],
  ]) {
    const refused = await drain(headers)
    assert.equal(refused.status, 403, JSON.stringify(headers))
    assert.equal((refused.json.error as { code: string }).code, 'denied')
  }
})

test('scopes hold for sessions as for tokens', async () => {
  const { node } = world()
  const asks = node()
  await withOperator(asks, 'eve', ['metadata'])
  const { session, proof } = await login(asks, 'eve')
  assert.equal((await asks('GET', '/v1/status', { headers: session })).status, 200)
  assert.equal((await asks('POST', '/v1/members/drain', { headers: proof })).status, 403)
  assert.equal((await asks('GET', '/v1/access/operators', { headers: session })).status, 403)
  const promotes = { name: 'eve2', password: rightPassword }
  const made = await asks('POST', '/v1/access/operators', { headers: proof, body: promotes })
  assert.equal(made.status, 403)
})

test('wrong names and wrong passwords are answered alike, and cost alike', async () => {
  const { node, stretched } = world()
  const asks = node()
  await withOperator(asks)
  stretched.length = 0
  const wrong = await login(asks, 'ann', 'wrong password', '10.0.0.2')
  const unknown = await login(asks, 'nobody', 'wrong password', '10.0.0.3')
  const impossible = await login(asks, '../ann', 'wrong password', '10.0.0.4')
  assert.equal(wrong.status, 403)
  assert.deepEqual(unknown.json, wrong.json)
  assert.deepEqual(impossible.json, wrong.json)
  assert.equal(stretched.length, 3)
  assert.equal(wrong.cookie, undefined)
})

test('tries run out for an address, and nothing is stretched for it any more', async () => {
  const { node, stretched, clock } = world()
  const asks = node()
  await withOperator(asks)
  for (let at = 0; at < 8; at++) assert.equal((await login(asks, 'ann', 'wrong one')).status, 403)
  stretched.length = 0
  const refused = await login(asks)
  assert.equal(refused.status, 503)
  assert.equal(stretched.length, 0)
  assert.equal((await login(asks, 'ann', rightPassword, '10.9.9.9')).status, 200)
  clock.nowMs += 15 * 60 * 1000
  assert.equal((await login(asks)).status, 200)
})

test('what no list opens needs the scope admin, one’s own session needs none', () => {
  assert.ok(isAllowed(['replication'], 'admin:ReadStatus'))
  assert.ok(!isAllowed(['metadata'], 'admin:Scrub'))
  assert.ok(!isAllowed(['replication'], 'admin:DrainMember'))
  assert.ok(isAllowed([], 'admin:EndOwnSession'))
  assert.ok(!isAllowed([], 'admin:ReadStatus'))
})

test('who logged in and what was refused is entered; strangers leave no trace', async () => {
  const { node, entered } = world()
  const asks = node()
  await withOperator(asks, 'eve', ['metadata'])
  entered.length = 0
  await login(asks, 'nobody')
  await login(asks, 'eve', 'wrong password')
  const { proof } = await login(asks, 'eve')
  await asks('POST', '/v1/members/drain', { headers: proof })
  await asks('POST', '/v1/console/logout', { headers: proof })
  assert.deepEqual(entered, [
    'operator eve admin:LogIn ok',
    'operator eve admin:DrainMember denied',
    'operator eve admin:EndOwnSession ok',
  ])
})

test('a login by a page of elsewhere, or as a form, is refused', async () => {
  const { node } = world()
  const asks = node()
  await withOperator(asks)
  const body = { operator: 'ann', password: rightPassword }
  const elsewhere = [['origin', 'https://evil']] as const
  const crossed = await asks('POST', '/v1/console/login', { body, headers: elsewhere })
  assert.deepEqual([crossed.status, crossed.cookie], [403, undefined])
  for (const wrong of [{}, { operator: 'ann' }, { operator: 7, password: 'x' }, [], 'x']) {
    assert.equal((await asks('POST', '/v1/console/login', { body: wrong })).status, 400)
  }
})

test('a login takes over no session that it came with: it draws a new one and ends that', async () => {
  const { node } = world()
  const asks = node()
  await withOperator(asks)
  await withOperator(asks, 'eve', ['metadata'])
  const planted = await login(asks, 'eve')
  const invented = ['cookie', `__Host-atoll=${'A'.repeat(43)}`] as const
  for (const [cookie] of [planted.session, [invented]]) {
    const body = { operator: 'ann', password: rightPassword }
    const headers = [cookie ?? invented]
    const { status, cookie: set } = await asks('POST', '/v1/console/login', { body, headers })
    assert.equal(status, 200)
    assert.notEqual(set?.split(';')[0], cookie?.[1])
    assert.equal((await asks('GET', '/v1/status', { headers })).status, 403)
  }
  const wrong = await login(asks, 'eve')
  const body = { operator: 'ann', password: 'wrong password' }
  await asks('POST', '/v1/console/login', { body, headers: wrong.session })
  assert.equal((await asks('GET', '/v1/status', { headers: wrong.session })).status, 200)
})

test('a new password, and a name that was made anew, end the sessions of before', async () => {
  const { node } = world()
  const asks = node()
  await withOperator(asks)
  const before = await login(asks)
  const path = '/v1/access/operators/ann/password'
  const drawn = await asks('POST', path, { headers: [token] })
  assert.equal(String(drawn.json.password).length, 20)
  assert.equal((await asks('GET', '/v1/status', { headers: before.session })).status, 403)
  assert.equal((await login(asks)).status, 403)
  const now = await login(asks, 'ann', String(drawn.json.password))
  assert.equal((await asks('GET', '/v1/status', { headers: now.session })).status, 200)
  assert.equal((await asks('DELETE', '/v1/access/operators/ann', { headers: [token] })).status, 200)
  assert.equal((await asks('GET', '/v1/status', { headers: now.session })).status, 403)
  await withOperator(asks)
  assert.equal((await asks('GET', '/v1/status', { headers: now.session })).status, 403)
  assert.equal((await asks('DELETE', '/v1/access/operators/bob', { headers: [token] })).status, 404)
})

test('use prolongs a session by few writes, and never beyond a week', async () => {
  const { node, clock, system } = world()
  const asks = node()
  await withOperator(asks)
  const { session } = await login(asks)
  const used = () => asks('GET', '/v1/status', { headers: session })
  const before = system.freshness().revision
  for (let at = 0; at < 50; at++) {
    clock.nowMs += hour / 100
    assert.equal((await used()).status, 200)
  }
  assert.equal(system.freshness().revision, before)
  clock.nowMs += hour
  assert.equal((await used()).status, 200)
  assert.equal(system.freshness().revision, before + 1)
  clock.nowMs += sessionMs - 1
  assert.equal((await used()).status, 200)
  for (let at = 0; at < 34; at++) {
    clock.nowMs += 5 * hour
    await used()
  }
  assert.equal((await used()).status, 403)
})

test('an unused session ends after twelve hours', async () => {
  const { node, clock } = world()
  const asks = node()
  await withOperator(asks)
  const { session } = await login(asks)
  clock.nowMs += sessionMs
  assert.equal((await asks('GET', '/v1/status', { headers: session })).status, 403)
})

test('a node that is cut off honours no session', async () => {
  const { node, system } = world()
  const asks = node()
  await withOperator(asks)
  const { session } = await login(asks)
  system.heardMsAgo = 1_001
  assert.equal((await asks('GET', '/v1/status', { headers: session })).status, 200)
  system.hasLeader = false
  assert.equal((await asks('GET', '/v1/status', { headers: session })).status, 503)
  system.heardMsAgo = 1_000
  assert.equal((await asks('GET', '/v1/status', { headers: session })).status, 200)
})

test('an operator has sixteen sessions; the oldest makes room; the secret is not stored', async () => {
  const { node, system, clock } = world()
  const asks = node()
  await withOperator(asks)
  const first = await login(asks)
  for (let at = 0; at < 16; at++) {
    clock.nowMs += 1_000
    assert.equal((await login(asks)).status, 200)
  }
  assert.equal((await asks('GET', '/v1/status', { headers: first.session })).status, 403)
  const all = await system.range({ key: utf8Encode('\0'), rangeEnd: utf8Encode('\x7f') })
  const stored = all.kvs.flatMap(({ key, value }) => [toHex(key), toHex(value)]).join(' ')
  const last = await login(asks)
  const secret = last.cookie?.split(/[=;]/)[1] ?? ''
  assert.equal(secret.length, 43)
  assert.ok(!stored.includes(toHex(utf8Encode(secret))))
  assert.ok(!stored.includes(toHex(utf8Encode(rightPassword))))
})

test('the first operator is made once in the life of a cluster', async () => {
  const { node } = world()
  const asks = node()
  const first = (password: string) =>
    asks('POST', '/v1/access/operators/first', { headers: [token], body: { password } })
  assert.deepEqual((await first(rightPassword)).json, { operator: 'admin', made: true })
  assert.deepEqual((await first('another password')).json, { operator: 'admin', made: false })
  assert.equal((await login(asks, 'admin')).status, 200)
  await asks('DELETE', '/v1/access/operators/admin', { headers: [token] })
  assert.deepEqual((await first(rightPassword)).json, { operator: 'admin', made: false })
  assert.equal((await login(asks, 'admin')).status, 403)
})

const asset = (name: string, contentType: string): ConsoleAsset => ({
  name,
  contentType,
  bytes: utf8Encode(`plain ${name}`),
  gzip: utf8Encode(`zipped ${name}`),
})
const assets = [asset('index.html', 'text/html'), asset('main-ABC.js', 'text/javascript')]

test('pages come with strict headers; only hashed names are kept', async () => {
  const handler = servePages(assets, async () => answerJson(404, {}))
  const get = async (target: string, headers: readonly (readonly [string, string])[] = []) => {
    const signal = new AbortController().signal
    const body = (async function* () {})()
    const base = { method: 'GET', remoteAddress: '::1', isSecure: true, signal, body }
    const { status, headers: given, body: sent } = await handler({ ...base, target, headers })
    assert.ok(sent instanceof Uint8Array)
    return { status, headers: new Map(given), text: utf8Decode(sent) }
  }
  const page = await get('/console/nodes?x=1')
  assert.deepEqual([page.status, page.text], [200, 'plain index.html'])
  const policy = page.headers.get('content-security-policy') ?? ''
  assert.ok(policy.includes("default-src 'none'") && policy.includes("frame-ancestors 'none'"))
  assert.ok(!policy.includes('unsafe'))
  assert.equal(page.headers.get('x-content-type-options'), 'nosniff')
  assert.equal(page.headers.get('cache-control'), 'no-cache')
  const script = await get('/console/main-ABC.js', [['accept-encoding', 'br, gzip']])
  assert.equal(script.text, 'zipped main-ABC.js')
  assert.equal(script.headers.get('content-encoding'), 'gzip')
  assert.match(script.headers.get('cache-control') ?? '', /immutable/)
  const refused = await get('/console/main-ABC.js', [['accept-encoding', 'gzip;q=0, br']])
  assert.equal(refused.text, 'plain main-ABC.js')
  assert.equal((await get('/console/other.js')).status, 404)
  assert.equal((await get('/console/..%2f..%2fetc/passwd.x')).status, 404)
  assert.equal((await get('/', [['accept', 'text/html,*/*']])).headers.get('location'), '/console/')
  assert.equal((await get('/')).status, 404)
  const api = await get('/v1/status')
  assert.equal(api.headers.get('x-content-type-options'), 'nosniff')
})

test('a node without pages says so', async () => {
  const handler = servePages([], async () => answerJson(404, {}))
  const signal = new AbortController().signal
  const body = (async function* () {})()
  const base = { method: 'GET', remoteAddress: '::1', isSecure: true, signal, body, headers: [] }
  assert.equal((await handler({ ...base, target: '/console/' })).status, 501)
})

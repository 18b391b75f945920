import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openAccess } from '../../access/index.ts'
import { Fault, type NodeId, nodeId, utf8Decode, utf8Encode } from '../../base/index.ts'
import { MemoryKeyspace } from '../../cluster/testing/memory-keyspace.ts'
import type { Host, HttpRequest } from '../../host/index.ts'
import { createAuthority } from './authority.ts'
import { createAdminHandler } from './handler.ts'
import { nodeRoutes } from './node-routes.ts'
import { raftRoutes } from './raft-api.ts'
import { type AdminRoute, answerJson, compileRoutes } from './routes.ts'

const journaled: unknown[] = []
const host = {
  random: { bytes: (count: number) => new Uint8Array(count).fill(171) },
  journal: {
    event: (...event: unknown[]) => void journaled.push(event),
    fatal: (_event: string, error: unknown) => {
      throw error
    },
  },
} as unknown as Host

const actions = {
  status: async () => ({ nodes: [] }),
  scrub: async () => ({ verified: 7, damaged: 1 }),
  async replaceMember(old: NodeId) {
    if (old === 9) throw new Fault('not-found', 'no member 9', { next: 'look' })
    return { id: nodeId(4), replaces: old, founders: [1, 2, 3].map(nodeId) }
  },
}
const routes = [...nodeRoutes(actions), ...raftRoutes(undefined)]
const entered: string[] = []
const access = openAccess({ host, system: new MemoryKeyspace() })
const handler = createAdminHandler({
  host,
  routes,
  authorise: createAuthority({ token: 'right', access }),
  enter: async (by, { action, outcome }) =>
    void entered.push(`${by.name} ${by.source} ${action} ${outcome}`),
})

async function ask(method: string, target: string, given: { token?: string; body?: string } = {}) {
  const { token, body = '' } = given
  const request: HttpRequest = {
    method,
    target,
    headers: token === undefined ? [] : [['authorization', `Bearer ${token}`]],
    body: (async function* () {
      yield utf8Encode(body)
    })(),
    remoteAddress: '127.0.0.1',
    isSecure: true,
    signal: new AbortController().signal,
  }
  const response = await handler(request)
  assert.ok(response.body instanceof Uint8Array)
  return { status: response.status, json: JSON.parse(utf8Decode(response.body)) as unknown }
}

test('health is for anybody, the rest needs the token', async () => {
  assert.deepEqual(await ask('GET', '/health'), { status: 200, json: { status: 'ok' } })
  for (const token of [undefined, '', 'wrong', 'right ', 'righ', 'rightright']) {
    const answer = await ask('GET', '/v1/status', token === undefined ? {} : { token })
    assert.equal(answer.status, 403, String(token))
  }
  const answer = await ask('GET', '/v1/status?x=1', { token: 'right' })
  assert.deepEqual(answer, { status: 200, json: { nodes: [] } })
})

test('a scrub is asked for by POST with the token', async () => {
  const answer = await ask('POST', '/v1/scrub', { token: 'right' })
  assert.deepEqual(answer, { status: 200, json: { verified: 7, damaged: 1 } })
  assert.equal((await ask('POST', '/v1/scrub')).status, 403)
  assert.equal((await ask('GET', '/v1/scrub', { token: 'right' })).status, 404)
})

test('a replacement, and every way to ask for it wrongly', async () => {
  const replace = (body: string) => ask('POST', '/v1/members/replace', { token: 'right', body })
  assert.deepEqual(await replace('{"old":2}'), {
    status: 200,
    json: { id: 4, replaces: 2, founders: [1, 2, 3] },
  })
  for (const body of ['', '{', '[]', 'null', '{"old":"2"}', '{"old":0}', '{"old":1.5}']) {
    assert.equal((await replace(body)).status, 400, body)
  }
  assert.deepEqual(await replace('{"old":9}'), {
    status: 404,
    json: { error: { code: 'not-found', message: 'no member 9', next: 'look' } },
  })
  assert.equal((await replace(`{"old":2,"x":"${'a'.repeat(70_000)}"}`)).status, 400)
  assert.equal((await ask('GET', '/v1/other', { token: 'right' })).status, 404)
})

test('acts are entered, done or refused; what is only read, and strangers, are not', async () => {
  entered.splice(0)
  await ask('GET', '/v1/status', { token: 'right' })
  await ask('POST', '/v1/scrub')
  await ask('POST', '/v1/scrub', { token: 'right' })
  await ask('POST', '/v1/members/replace', { token: 'right', body: '{"old":9}' })
  assert.deepEqual(entered, [
    'admin token 127.0.0.1 admin:Scrub ok',
    'admin token 127.0.0.1 admin:ReplaceMember not-found',
  ])
})

test('no route answers a stranger, but those that say why', async () => {
  const open: string[] = []
  for (const { method, path, needs } of routes) {
    const target = path.replaceAll(/{[^}]*}/g, 'x')
    const { status } = await ask(method, target, { body: '{}' })
    if (typeof needs === 'string') assert.equal(status, 403, `${method} ${path}`)
    else open.push(`${method} ${path}`)
  }
  assert.deepEqual(open, ['GET /health'])
  assert.equal((await ask('GET', '/nowhere')).status, 403)
})

test('what is our own failing is journaled; strangers get a number and general words', async () => {
  const broken = async (): Promise<never> => {
    throw new Fault('internal', 'the file /var/lib/atoll/db/store.sqlite is damaged', {
      next: 'look at disk sda',
      fields: { path: '/var/lib/atoll' },
    })
  }
  const ask = async (token: string | undefined, path: string) => {
    const failing = createAdminHandler({
      host,
      authorise: createAuthority({ token: 'right', access }),
      routes: [
        { method: 'POST', path: '/open', needs: { publicBecause: 'a test' }, answer: broken },
        { method: 'POST', path: '/closed', needs: 'admin:Test', answer: broken },
      ],
    })
    const response = await failing({
      method: 'POST',
      target: `${path}?secret=1`,
      headers: token === undefined ? [] : [['authorization', `Bearer ${token}`]],
      body: (async function* () {})(),
      remoteAddress: '127.0.0.1',
      isSecure: true,
      signal: new AbortController().signal,
    })
    assert.ok(response.body instanceof Uint8Array)
    return { status: response.status, json: JSON.parse(utf8Decode(response.body)) as unknown }
  }
  journaled.splice(0)
  const request = 'ab'.repeat(8)
  const next = `the node's journal has it under ${request}`
  assert.deepEqual(await ask(undefined, '/open'), {
    status: 500,
    json: {
      error: { code: 'internal', message: 'the node failed to answer', next, fields: { request } },
    },
  })
  const what = 'the file /var/lib/atoll/db/store.sqlite is damaged'
  assert.deepEqual(journaled, [
    ['warning', 'admin.request_failed', { request, method: 'POST', path: '/open', what }],
  ])
  // With the right token on a public route nobody was asked who he is.
  const open = await ask('right', '/open')
  assert.doesNotMatch(JSON.stringify(open.json), /sqlite|sda|var/)
  assert.deepEqual((await ask('right', '/closed')).json, {
    error: {
      code: 'internal',
      message: what,
      next: 'look at disk sda',
      fields: { path: '/var/lib/atoll', request },
    },
  })
  assert.equal((await ask('wrong', '/closed')).status, 403)
})

test('a path is matched part by part, and its open parts are decoded', () => {
  const route = (method: 'GET' | 'PUT', path: string): AdminRoute => ({
    method,
    path,
    needs: 'admin:Test',
    answer: async () => answerJson(200, {}),
  })
  const find = compileRoutes([
    route('GET', '/v1/nodes'),
    route('GET', '/v1/nodes/{id}'),
    route('PUT', '/v1/nodes/{id}/labels/{key}'),
    route('GET', '/v1/keys/{rest...}'),
  ])
  const params = (method: string, path: string) => find(method, path)?.params
  assert.deepEqual(params('GET', '/v1/nodes'), {})
  assert.deepEqual(params('GET', '/v1/nodes/n%2d1'), { id: 'n-1' })
  assert.deepEqual(params('PUT', '/v1/nodes/4/labels/a%2Fb'), { id: '4', key: 'a/b' })
  assert.deepEqual(params('GET', '/v1/keys/a/b'), { rest: 'a/b' })
  const none = ['/v1/nodes/', '/v1/nodes/4/', '/v1/nodes/4/labels', '/v1/keys/', '/v1/keys', '/']
  for (const path of none) assert.equal(find('GET', path), undefined, path)
  assert.equal(find('PUT', '/v1/nodes/4'), undefined)
  assert.throws(() => find('GET', '/v1/nodes/%ff'), { code: 'invalid' })
})

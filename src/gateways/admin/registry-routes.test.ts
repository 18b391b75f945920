import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { Host, HttpRequest } from '../../host/index.ts'
import { tokenAuthority } from './authority.ts'
import { createAdminHandler } from './handler.ts'
import { type RegistryActions, registryRoutes } from './registry-routes.ts'
import { answerFault } from './routes.ts'

const host = {
  journal: {
    event: () => undefined,
    fatal: (_event: string, error: unknown) => {
      throw error
    },
  },
} as unknown as Host

const seen: unknown[] = []
const note =
  (name: string) =>
  async (...given: readonly unknown[]): Promise<unknown> => {
    seen.push([name, ...given])
    return { name }
  }
const told =
  (name: string) =>
  async (id: number, ...given: readonly unknown[]): Promise<void> => {
    if (id === 9) throw new Fault('not-found', 'no member has the id 9')
    seen.push([name, id, ...given])
  }
const actions: RegistryActions = {
  status: note('status'),
  nodes: note('nodes'),
  describe: told('describe'),
  beat: told('beat'),
  label: note('label'),
  setCapabilities: note('setCapabilities'),
  explain: note('explain'),
  rule: note('rule'),
  changeRule: note('changeRule'),
  plan: note('plan'),
  audit: note('audit'),
  events: note('events'),
}
const routes = registryRoutes(actions)
const entered: string[] = []
const handler = createAdminHandler({
  host,
  routes,
  authorise: tokenAuthority('right'),
  enter: async (_, { action }) => void entered.push(action),
})

async function ask(method: string, target: string, body = '', token = 'right', isFramed = true) {
  seen.length = 0
  const request: HttpRequest = {
    method,
    target,
    headers: [
      ['authorization', `Bearer ${token}`],
      ...(isFramed ? ([['content-length', String(body.length)]] as const) : []),
    ],
    body: (async function* () {
      yield utf8Encode(body)
    })(),
    remoteAddress: '127.0.0.1',
    isSecure: true,
    signal: new AbortController().signal,
  }
  const response = await handler(request)
  assert.ok(response.body instanceof Uint8Array)
  const text = utf8Decode(response.body)
  const json: unknown = text === '' ? undefined : JSON.parse(text)
  return { status: response.status, json, seen: [...seen] }
}

test('every route answers who has the token, and nobody else', async () => {
  const targets = routes.map(({ method, path, needs }) => {
    assert.match(String(needs), /^admin:[A-Z][A-Za-z]+$/, `${method} ${path} is not public`)
    return [method, path.replace('{id}', '2').replace('{key...}', 'a/b')] as const
  })
  for (const [method, target] of targets) {
    const body = target.endsWith('/caps') ? '{"caps":[]}' : '{}'
    assert.ok((await ask(method, target, body)).status < 300, `${method} ${target}`)
    const refused = await ask(method, target, body, 'wrong')
    assert.deepEqual([refused.status, refused.seen], [403, []], `${method} ${target}`)
  }
})

test('a description is told as it was given; nothing of it is made up', async () => {
  const body = JSON.stringify({
    public_url: 'https://eu.example.org:7777',
    labels: { region: 'eu', dc: 'fra-1', rack: 'r12' },
    capacity_bytes: 1000,
    free_bytes: 10,
  })
  assert.deepEqual(await ask('PUT', '/cluster/nodes/2', body), {
    status: 204,
    json: undefined,
    seen: [
      [
        'describe',
        2,
        {
          publicUrl: 'https://eu.example.org:7777',
          labels: { region: 'eu', dc: 'fra-1', rack: 'r12' },
          capacityBytes: 1000,
          freeBytes: 10,
        },
      ],
    ],
  })
  entered.length = 0
  await ask('POST', '/cluster/nodes/3/heartbeat', '{"free_bytes":7}')
  const beat = await ask('POST', '/cluster/nodes/3/heartbeat')
  assert.deepEqual(entered, [], 'a beat is no administrative act')
  await ask('POST', '/cluster/nodes/3/heartbeat', '{"labels":{"rack":"r1"}}')
  assert.deepEqual(entered, ['admin:ReportHeartbeat'])
  assert.deepEqual([beat.status, beat.seen], [204, [['beat', 3, {}]]])
  const chunked = await ask(
    'POST',
    '/cluster/nodes/3/heartbeat',
    '{"free_bytes":8}',
    'right',
    false,
  )
  assert.deepEqual(chunked.seen, [['beat', 3, { freeBytes: 8 }]])
  assert.equal((await ask('PUT', '/cluster/nodes/9', '{}')).status, 404)
  assert.equal((await ask('POST', '/cluster/nodes/9/heartbeat')).status, 404)
})

test('what no node can be or tell is refused, and nothing is done', async () => {
  for (const id of ['0', '-1', '1.5', 'x', '00000000-0000-0000-0000-000000000000', '1e3']) {
    const answer = await ask('PUT', `/cluster/nodes/${id}`, '{}')
    assert.deepEqual([answer.status, answer.seen], [400, []], id)
  }
  for (const body of [
    '[]',
    '{',
    '{"public_url":"ftp://x"}',
    '{"public_url":"https://"}',
    '{"public_url":7}',
    '{"labels":[]}',
    '{"labels":{"rack":7}}',
    '{"capacity_bytes":-1}',
    '{"free_bytes":"7"}',
    '{"capacity_bytes":1e300}',
  ]) {
    const answer = await ask('PUT', '/cluster/nodes/2', body)
    assert.deepEqual([answer.status, answer.seen], [400, []], body)
  }
  for (const body of [
    '{"weights":"random"}',
    '{"data_shards":1.5}',
    '{"min_distinct":{"a":"1"}}',
  ]) {
    const answer = await ask('PUT', '/cluster/placement-rule', body)
    assert.deepEqual([answer.status, answer.seen], [400, []], body)
  }
})

test('keys keep their slashes and signs; pages and rules are read as they are', async () => {
  const { seen: explained } = await ask('GET', '/cluster/placement/photos/2026/a%20b%2Fc.jpg')
  assert.deepEqual(explained, [['explain', 'photos/2026/a b/c.jpg']])
  const { seen: planned } = await ask('GET', '/cluster/replication/plan?after=x&limit=5')
  assert.deepEqual(planned, [['plan', { after: 'x', limit: 5 }]])
  const { seen: listed } = await ask('GET', '/cluster/events?before=7&limit=5000')
  assert.deepEqual(listed, [['events', { before: 7, limit: 1000 }]])
  for (const asked of ['events?limit=-1', 'events?limit=0', 'replication/plan?limit=0']) {
    assert.equal((await ask('GET', `/cluster/${asked}`)).status, 400, asked)
  }
  const rule = '{"data_shards":1,"parity_shards":2,"min_distinct":{"dc":2},"weights":"equal"}'
  const { seen: changed } = await ask('PUT', '/cluster/placement-rule', rule)
  const expected = { dataShards: 1, parityShards: 2, minDistinct: { dc: 2 }, weights: 'equal' }
  assert.deepEqual(changed, [['changeRule', expected]])
})

test('capabilities are a list of names', async () => {
  const set = await ask('PUT', '/cluster/nodes/3/caps', '{"caps":["control","s3"]}')
  assert.equal(set.status, 200)
  assert.deepEqual(seen, [['setCapabilities', 3, ['control', 's3']]])
  for (const body of ['{}', '{"caps":"s3"}', '{"caps":[7]}', '[]']) {
    assert.equal((await ask('PUT', '/cluster/nodes/3/caps', body)).status, 400)
    assert.deepEqual(seen, [])
  }
})

test('a failure says when what was asked for may have happened', async () => {
  const told = (outcome: 'failed' | 'unknown'): unknown => {
    const { status, body } = answerFault(new Fault('unavailable', 'no majority', { outcome }))
    assert.ok(status === 503 && body instanceof Uint8Array)
    return JSON.parse(utf8Decode(body)).error
  }
  assert.deepEqual(told('failed'), { code: 'unavailable', message: 'no majority' })
  assert.deepEqual(told('unknown'), {
    code: 'unavailable',
    message: 'no majority',
    outcome: 'unknown',
  })
})

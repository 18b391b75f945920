import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, nodeId, utf8Decode } from '../../base/index.ts'
import { type LeavingRoutesActions, leavingRoutes } from './leaving-routes.ts'
import type { AdminCall } from './routes.ts'

const asked: unknown[] = []
const at = (host: string) => ({
  control: { host, port: 6660 },
  bulk: { host, port: 9991 },
  admin: { host, port: 7777 },
  s3: { host, port: 9000 },
})
const plan = {
  member: { id: nodeId(4), state: 'online' },
  next: { state: 'draining' },
  objections: ['its shards have nowhere to go'],
}
const actions: LeavingRoutesActions = {
  async add(newcomer) {
    asked.push(newcomer)
    return { member: { id: nodeId(4) }, founders: [nodeId(1)], members: [] }
  },
  async drain(id, options) {
    asked.push(['drain', id, options])
    return plan
  },
  async cancelDrain(id) {
    asked.push(['cancel', id])
  },
  async remove(id, options) {
    asked.push(['remove', id, options])
    return { ...plan, next: undefined, member: { id, state: 'removed' }, objections: [] }
  },
  async readdress(id, addresses) {
    asked.push(['readdress', id, addresses(at('old'))])
    return true
  },
  moves: async () => ({ share: 0.3 }),
  async setMovesShare(share) {
    asked.push(['share', share])
  },
}
const routes = leavingRoutes(actions)
async function ask(name: string, body: unknown = {}): Promise<unknown> {
  const route = routes.find(({ method, path }) => `${method} ${path}` === name)
  assert.ok(route, name)
  const call = { body: async () => body } as unknown as AdminCall
  const answer = await route.answer(call)
  assert.ok(answer.body instanceof Uint8Array)
  return JSON.parse(utf8Decode(answer.body))
}

test('each route asks for what it says', async () => {
  assert.deepEqual(await ask('POST /v1/members/add', { addresses: at('new'), caps: ['s3'] }), {
    id: 4,
    founders: [1],
    members: [],
  })
  assert.deepEqual(asked.pop(), { addresses: at('new'), labels: {}, caps: ['s3'] })
  assert.deepEqual(await ask('POST /v1/members/drain', { id: 4, force: true }), {
    id: 4,
    state: 'draining',
    warnings: ['its shards have nowhere to go'],
  })
  assert.deepEqual(asked.pop(), ['drain', 4, { isForced: true }])
  await ask('POST /v1/members/drain', { id: 4, cancel: true })
  assert.deepEqual(asked.pop(), ['cancel', 4])
  assert.deepEqual(await ask('POST /v1/members/remove', { id: 4 }), {
    id: 4,
    state: 'removed',
    warnings: [],
  })
  assert.deepEqual(asked.pop(), ['remove', 4, { isForced: false }])
  assert.deepEqual(await ask('POST /v1/members/readdress', { id: 2, host: '10.0.0.7' }), {
    id: 2,
    changed: true,
  })
  assert.deepEqual(asked.pop(), ['readdress', 2, at('10.0.0.7')])
  assert.deepEqual(await ask('GET /v1/moves'), { share: 0.3 })
  assert.deepEqual(await ask('POST /v1/moves', { share: 0.5 }), { share: 0.3 })
  assert.deepEqual(asked.pop(), ['share', 0.5])
  assert.ok(
    routes.every(({ needs }) => typeof needs === 'string'),
    'none is for strangers',
  )
})

test('what makes no sense is refused, on every route that takes a body', async () => {
  const addresses = at('new')
  const wrong: readonly unknown[] = [
    null,
    7,
    {},
    { id: '4' },
    { id: 0 },
    { id: 1.5 },
    { id: 4, force: 'yes', host: '', share: 'half', addresses: {} },
    {
      id: 4,
      cancel: 1,
      force: 1,
      host: 'a b',
      share: null,
      addresses: { ...addresses, s3: { host: 'h', port: 0 } },
    },
    { id: -1, name: '../x', addresses },
    { id: 1e300, name: '', addresses },
    { id: null, addresses, labels: { a: 7 } },
    { id: [], addresses, labels: { 'a b': 'c' } },
    { id: [], addresses, labels: { Rack: 'c' } },
    { id: {}, addresses, caps: 's3' },
    { id: false, addresses, caps: [7] },
  ]
  for (const { path } of routes.filter(({ method }) => method === 'POST')) {
    const name = `POST ${path}`
    for (const body of wrong) {
      await assert.rejects(
        ask(name, body),
        (error) => isFault(error, 'invalid'),
        `${name} ${JSON.stringify(body)}`,
      )
    }
  }
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault, isFault, revision, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { Keyspace, RangeRequest } from '../../keyspace/index.ts'
import { type RaftActions, raftRoutes } from './raft-api.ts'
import { compileRoutes } from './routes.ts'

const asked: RangeRequest[] = []
const written: unknown[] = []
const kv = (key: Uint8Array, value: Uint8Array) => ({
  key,
  value,
  createRevision: revision(2),
  modRevision: revision(3),
  version: 1,
  lease: 0,
})

const keyspace = {
  async range(request: RangeRequest) {
    asked.push(request)
    const bytes = request.key[0] === 0xff ? Uint8Array.of(0xff, 1) : utf8Encode('väl')
    const isMissing = Buffer.from(request.key).toString() === 'none'
    const kvs = isMissing ? [] : [kv(request.key, bytes)]
    return { revision: revision(9), kvs, more: false, count: 1 }
  },
  async put(key: Uint8Array, value: Uint8Array) {
    written.push([key, value])
    return revision(7)
  },
  delete: async () => 1,
} as unknown as Keyspace

const status = { name: '/raft/a', leader: 2, voters: [1, 2, 3], learners: [] }
const actions: RaftActions = {
  list: async () => [status],
  create: async (name) => ({ ...status, name }),
  drop: async (name) => void written.push(['drop', name]),
  status: async () => status,
  async keyspace(name) {
    if (name === '/raft/none') throw new Fault('not-found', 'none')
    return keyspace
  },
  transfer: async (name, to) => void written.push(['transfer', name, to]),
}

let noActs = 0
const find = compileRoutes(raftRoutes(actions))
async function ask(method: string, path: string, body: unknown = {}): Promise<unknown> {
  const found = find(method, path)
  if (found === undefined) throw new Fault('not-found', path)
  const { route, params } = found
  const { status, body: answer } = await route.answer({
    request: undefined as never,
    params,
    query: new Map(),
    caller: { name: '', tenant: '' },
    body: async () => body,
    recheck: async () => undefined,
    isNoAct: () => {
      noActs++
    },
  })
  assert.ok(status === 200 && answer instanceof Uint8Array)
  return JSON.parse(utf8Decode(answer))
}
const post = (body: unknown, path = '/raft/v1/raft/a') => ask('POST', path, body)

test('paths name the namespace behind the version', async () => {
  assert.equal(find('GET', '/raft/v10'), undefined)
  assert.deepEqual(await ask('GET', '/raft/v1'), { namespaces: [status] })
  assert.deepEqual(await ask('GET', '/raft/v1/raft/a'), status)
  assert.deepEqual(await ask('DELETE', '/raft/v1/raft/a'), { dropped: '/raft/a' })
  assert.deepEqual(written.pop(), ['drop', '/raft/a'])
  for (const [method, path] of [
    ['POST', '/raft/v1'],
    ['PUT', '/raft/v1/raft/a'],
  ] as const) {
    await assert.rejects(ask(method, path), { code: 'not-found' })
  }
})

test('commands', async () => {
  assert.deepEqual(await post({ command: 'create' }), status)
  assert.equal(noActs, 0, 'making a namespace is an act')
  assert.deepEqual(await post({ command: 'set', key: 'k', value: 'v' }), { revision: 7 })
  assert.deepEqual(written.pop(), [utf8Encode('k'), utf8Encode('v')])
  const found = { found: true, key: 'k', value: 'väl', revision: 3 }
  assert.equal(noActs, 1, 'writing a key is none')
  assert.deepEqual(await post({ command: 'get', key: 'k' }), found)
  assert.equal(asked.at(-1)?.isSerializable, false)
  assert.deepEqual(await post({ command: 'get', key: 'k', barrier: false }), found)
  assert.equal(asked.at(-1)?.isSerializable, true)
  assert.deepEqual(await post({ command: 'get', key: 'none' }), { found: false, key: 'none' })
  assert.deepEqual(await post({ command: 'delete', key: 'k' }), { deleted: 1 })
  assert.deepEqual(await post({ command: 'members' }), {
    leader: 2,
    voters: [1, 2, 3],
    learners: [],
  })
  assert.deepEqual(await post({ command: 'transferLeadership', to: 3 }), { leader: 3 })
  assert.deepEqual(written.pop(), ['transfer', '/raft/a', 3])
  assert.deepEqual(await post({ command: 'keys', prefix: 'p', limit: 5 }), {
    keys: ['p'],
    more: false,
  })
  assert.equal(asked.at(-1)?.limit, 5)
  for (const [after, from] of [
    ['a', 'p'],
    ['p', 'p\0'],
    ['pq', 'pq\0'],
  ] as const) {
    await post({ command: 'keys', prefix: 'p', after })
    assert.equal(
      utf8Decode(asked.at(-1)?.key ?? new Uint8Array(0)),
      from,
      'nothing before the prefix',
    )
  }
})

test('bytes that are no text travel in base64', async () => {
  const answer = await post({ command: 'get', keyBase64: '/w==' })
  assert.deepEqual(answer, { found: true, keyBase64: '/w==', valueBase64: '/wE=', revision: 3 })
  await post({ command: 'set', key: 'k', valueBase64: '/wE=' })
  assert.deepEqual(written.pop(), [utf8Encode('k'), Uint8Array.of(0xff, 1)])
})

test('what makes no sense is refused', async () => {
  const wrong: readonly unknown[] = [
    null,
    7,
    [],
    {},
    { command: 'nothing' },
    { command: 'set', key: 'k' },
    { command: 'set', value: 'v' },
    { command: 'get', key: 7 },
    { command: 'get', keyBase64: 'not base64' },
    { command: 'keys', limit: 0 },
    { command: 'keys', limit: 1001 },
    { command: 'transferLeadership', to: 'two' },
    { command: 'transferLeadership', to: -1 },
  ]
  for (const body of wrong) {
    await assert.rejects(post(body), (error) => isFault(error, 'invalid'), JSON.stringify(body))
  }
  const none = post({ command: 'get', key: 'k' }, '/raft/v1/raft/none')
  await assert.rejects(none, { code: 'not-found' })
})

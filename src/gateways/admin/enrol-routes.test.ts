import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, Fault, nodeId, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { EnrolmentDesk, JoinAnswer, Member, TokenOptions } from '../../cluster/index.ts'
import type { Host, HttpRequest } from '../../host/index.ts'
import { type EnrolDependencies, enrolRoutes } from './enrol-routes.ts'
import { tokenAuthority } from './authority.ts'
import { createAdminHandler } from './handler.ts'

const own = clusterId('82d50000000000000000000000000000')
const created: TokenOptions[] = []
const decided: string[] = []
const address = { host: '10.0.0.1', port: 7777 }
const member: Member = {
  id: nodeId(1),
  name: 'rpi1',
  state: 'online',
  control: address,
  bulk: address,
  admin: address,
  s3: address,
  labels: { zone: 'a' },
  caps: ['s3'],
  version: '0.1.0',
  capacityBytes: 7,
  replaces: undefined,
}
const waiting = { fingerprint: 'aaaa bbbb', state: 'pending', name: 'rpi2' }
let admitted: JoinAnswer | Fault = { kind: 'pending', fingerprint: 'aaaa bbbb', retrySeconds: 2 }
const desk = {
  async createToken(options: TokenOptions) {
    created.push(options)
    return { token: 'at1.x', view: { id: 'X' } }
  },
  listTokens: async () => [],
  revokeToken: async (id: string) => ({ id, state: 'revoked' }),
  async admit() {
    if (admitted instanceof Fault) throw admitted
    return admitted
  },
  listEnrolments: async () => [waiting, { ...waiting, state: 'joined' }],
  async approve(fingerprint: string, by: string) {
    decided.push(`${fingerprint} by ${by}`)
    return waiting
  },
  reject: async () => waiting,
  config: async () => ({ config: { targetSize: 3 } }),
  bundle: async () => ({ text: '{}', epoch: 4 }),
  acknowledgements: async () => new Map([[nodeId(1), 4]]),
} as unknown as EnrolmentDesk
const deps: EnrolDependencies = {
  desk,
  clusterId: own,
  region: () => 'eu',
  members: () => [member, { ...member, id: nodeId(2), state: 'removed' }],
  pairing: {
    createCode: async () => ({ words: 'a b c d', expiresMs: 5 }),
    redeem: async () => ({ token: 'at1.y', proof: '00' }),
  },
}
const host = {
  journal: {
    fatal: (_event: string, error: unknown) => {
      throw error
    },
  },
} as unknown as Host
const routes = enrolRoutes(deps)
const handler = createAdminHandler({ host, routes, authorise: tokenAuthority('right') })

async function ask(method: string, target: string, given: { body?: unknown; token?: string } = {}) {
  const { body = '', token = 'right' } = given
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const request: HttpRequest = {
    method,
    target,
    headers: token === '' ? [] : [['authorization', `Bearer ${token}`]],
    body: (async function* () {
      yield utf8Encode(text)
    })(),
    remoteAddress: '127.0.0.1',
    isSecure: true,
    signal: new AbortController().signal,
  }
  const response = await handler(request)
  assert.ok(response.body instanceof Uint8Array)
  return { status: response.status, json: JSON.parse(utf8Decode(response.body)) }
}

test('only joining and pairing answer strangers', async () => {
  const open: string[] = []
  for (const { method, path, needs } of routes) {
    const { status } = await ask(method, path.replaceAll(/{[^}]*}/g, 'x'), {
      body: '{}',
      token: '',
    })
    if (typeof needs === 'string') assert.equal(status, 403, `${method} ${path}`)
    else open.push(`${method} ${path}`)
  }
  assert.deepEqual(open, ['POST /join', 'POST /pair'])
})

test('a machine that waits is told so by the status; what is refused keeps its reason', async () => {
  const waits = await ask('POST', '/join', { body: {}, token: '' })
  assert.deepEqual([waits.status, waits.json.status], [202, 'pending'])
  admitted = new Fault('denied', 'used', { fields: { reason: 'used' }, next: 'make one' })
  const refused = await ask('POST', '/join', { body: {}, token: '' })
  assert.equal(refused.status, 403)
  assert.deepEqual(refused.json.error, {
    code: 'denied',
    message: 'used',
    next: 'make one',
    fields: { reason: 'used' },
  })
  assert.equal(
    (await ask('POST', '/join', { body: `"${'x'.repeat(70_000)}"`, token: '' })).status,
    400,
  )
  assert.equal((await ask('POST', '/pair', { body: {}, token: '' })).status, 400)
})

test('members come with the settings that they hold, and with who waits', async () => {
  const { json } = await ask('GET', '/v1/members')
  assert.deepEqual(json, {
    clusterId: own,
    region: 'eu',
    targetSize: 3,
    epoch: 4,
    members: [
      {
        id: 1,
        name: 'rpi1',
        state: 'online',
        address: '10.0.0.1:7777',
        caps: ['s3'],
        labels: { zone: 'a' },
        version: '0.1.0',
        capacityBytes: 7,
        epoch: 4,
      },
    ],
    waiting: [waiting],
  })
})

test('tokens and decisions', async () => {
  const body = { uses: 2, lifetimeSeconds: 60, name: 'rpi2', approval: 'operator', replaces: 3 }
  assert.deepEqual((await ask('POST', '/v1/tokens', { body })).json, {
    token: 'at1.x',
    view: { id: 'X' },
  })
  const { lifetimeSeconds: _, ...rest } = body
  assert.deepEqual(created, [{ ...rest, lifetimeMs: 60_000, createdBy: 'admin token' }])
  for (const wrong of [
    [],
    7,
    { uses: 0 },
    { uses: '1' },
    { other: 1 },
    { approval: 'x' },
    { name: 1 },
  ]) {
    assert.equal(
      (await ask('POST', '/v1/tokens', { body: wrong })).status,
      400,
      JSON.stringify(wrong),
    )
  }
  assert.deepEqual((await ask('DELETE', '/v1/tokens/AB')).json, {
    token: { id: 'AB', state: 'revoked' },
  })
  await ask('POST', '/v1/enrolments/aaaa%20bbbb/approve', { body: {} })
  assert.deepEqual(decided, ['aaaa bbbb by admin token'])
  assert.deepEqual((await ask('POST', '/v1/pairings', { body: {} })).json, {
    words: 'a b c d',
    expiresMs: 5,
  })
})

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { type Access, firstTenant, openAccess, type TokenScope } from '../../access/index.ts'
import { seededRandom, sha256, toHex, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { EnrolmentDesk } from '../../cluster/index.ts'
import { MemoryKeyspace } from '../../cluster/testing/memory-keyspace.ts'
import type { Host, HttpHandler } from '../../host/index.ts'
import { accessRoutes } from './access-routes.ts'
import { createAuthority, scopeOf } from './authority.ts'
import { type EnrolDependencies, enrolRoutes } from './enrol-routes.ts'
import { createAdminHandler } from './handler.ts'
import { type LeavingRoutesActions, leavingRoutes } from './leaving-routes.ts'
import { type NodeActions, nodeRoutes } from './node-routes.ts'
import { raftRoutes } from './raft-api.ts'
import { type RegistryActions, registryRoutes } from './registry-routes.ts'
import { type AdminRoute, answerJson } from './routes.ts'
import { servicesRoutes } from './services-routes.ts'
import { trustRoutes } from './trust-routes.ts'
import { type UpgradeActions, upgradeRoutes } from './upgrade-routes.ts'

const by = { name: 'test', source: '' }
const main = `/v1/access/tenants/${firstTenant}`

/** The other parts' routes, which answer nothing: who is let through is what counts here. */
function othersRoutes(): readonly AdminRoute[] {
  const nothing = {} as unknown
  const all = [
    ...enrolRoutes(nothing as EnrolDependencies),
    ...trustRoutes(nothing as EnrolmentDesk),
    ...leavingRoutes(nothing as LeavingRoutesActions),
    ...registryRoutes(nothing as RegistryActions),
    ...nodeRoutes(nothing as NodeActions),
    ...upgradeRoutes(nothing as UpgradeActions),
    ...raftRoutes(undefined),
    ...servicesRoutes(async () => undefined),
  ]
  return all.map((route) => ({ ...route, answer: async () => answerJson(200, {}) }))
}

type World = {
  readonly access: Access
  readonly handler: HttpHandler
  readonly routes: readonly AdminRoute[]
  readonly owning: Set<string>
}

function world(): World {
  const random = seededRandom(5)
  const host = {
    clock: { wallMs: () => 1_000, monotonicMs: () => 0 },
    random,
    journal: {
      event: () => undefined,
      fatal: (_event: string, error: unknown) => {
        throw error
      },
    },
  } as unknown as Host
  const access = openAccess({ host, system: new MemoryKeyspace() })
  const owning = new Set<string>()
  const hasBuckets = async (tenant: string): Promise<boolean> => owning.has(tenant)
  const certificates = {
    async read(pem: string) {
      const [, hash = '', end = ''] = pem.split(' ')
      return { hash, notAfterMs: Number(end) }
    },
    certify: async ({ name, lifeMs }: { readonly name: string; readonly lifeMs: number }) =>
      `PEM ${toHex(sha256(utf8Encode(name)))} ${1_000 + lifeMs}`,
  }
  const routes = [...othersRoutes(), ...accessRoutes({ access, hasBuckets, certificates })]
  const authorise = createAuthority({ token: 'root', access })
  const handler = createAdminHandler({ host, routes, authorise, enter: access.admin.recordAct })
  return { access, handler, routes, owning }
}

type Answer = { readonly status: number; readonly json: Readonly<Record<string, unknown>> }

async function ask(
  { handler }: Pick<World, 'handler'>,
  call: string,
  given: {
    readonly token?: string
    readonly body?: unknown
    readonly certificate?: string
    readonly headers?: readonly (readonly [string, string])[]
  } = {},
): Promise<Answer> {
  const [method = '', target = ''] = call.split(' ')
  const { token = 'root', body, certificate, headers = [] } = given
  const response = await handler({
    method,
    target,
    headers: [...headers, ...(token === '' ? [] : [['authorization', `Bearer ${token}`] as const])],
    clientCertificate: certificate === undefined ? undefined : { hash: certificate },
    body: (async function* () {
      if (body !== undefined) yield utf8Encode(JSON.stringify(body))
    })(),
    remoteAddress: '10.0.0.7',
    isSecure: true,
    signal: new AbortController().signal,
  })
  assert.ok(response.body instanceof Uint8Array)
  return { status: response.status, json: JSON.parse(utf8Decode(response.body)) }
}

async function tokenOf({ access }: World, scopes: readonly TokenScope[], tenant = firstTenant) {
  const made = await access.admin.createToken(by, { tenant, name: 't', scopes, lifeMs: 60_000 })
  return made.token
}

test('a user with a group, a policy and a key, from nothing to nothing', async () => {
  const w = world()
  const expect = async (call: string, status: number, body?: unknown): Promise<Answer['json']> => {
    const answer = await ask(w, call, body === undefined ? {} : { body })
    assert.equal(answer.status, status, `${call} ${JSON.stringify(answer.json)}`)
    return answer.json
  }
  const document = { Statement: { Effect: 'Allow', Action: 's3:*', Resource: '*' } }
  await expect(`POST ${main}/users`, 200, { name: 'alice' })
  await expect(`POST ${main}/users`, 409, { name: 'alice' })
  await expect(`POST ${main}/groups`, 200, { name: 'devs' })
  await expect(`PUT ${main}/groups/devs/members/alice`, 200)
  await expect(`PUT ${main}/policies/all`, 200, { document })
  await expect(`PUT ${main}/policies/all`, 200, { document: JSON.stringify(document) })
  const wrong = await expect(`PUT ${main}/policies/bad`, 400, { document: { Statement: [] } })
  assert.deepEqual((wrong.error as { fields: unknown }).fields, { place: 'Statement' })
  await expect(`PUT ${main}/groups/devs/policies/all`, 200)
  const key = await expect(`POST ${main}/keys`, 200, { user: 'alice' })
  const identity = await w.access.identify(String(key.id))
  assert.equal(identity?.secretAccessKey, key.secretAccessKey)
  assert.equal(identity?.principal.kind === 'user' && identity.principal.policies.length, 1)
  const listed = await expect(`GET ${main}/keys?user=alice`, 200)
  assert.ok(!JSON.stringify(listed).includes(String(key.secretAccessKey)))
  await expect(`PUT ${main}/keys/${key.id}`, 200, { active: false })
  assert.equal(await w.access.identify(String(key.id)), undefined)
  const deletions = [
    'keys/KEY',
    'groups/devs/policies/all',
    'policies/all',
    'groups/devs/members/alice',
    'groups/devs',
    'users/alice',
  ]
  for (const path of deletions)
    await expect(`DELETE ${main}/${path.replace('KEY', String(key.id))}`, 200)
  assert.deepEqual(await expect(`GET ${main}/users`, 200), { users: [] })
  const { entries } = await expect('GET /v1/access/audit?limit=1000', 200)
  const acts = entries as { actor: string; source: string; outcome: string }[]
  assert.equal(acts.length, 16)
  assert.ok(acts.every(({ actor, source }) => actor === 'admin token' && source === '10.0.0.7'))
  assert.deepEqual(
    acts.filter(({ outcome }) => outcome !== 'ok').map(({ outcome }) => outcome),
    ['invalid', 'exists'],
  )
})

test('tenants, the root credential and tokens', async () => {
  const w = world()
  const made = await ask(w, 'POST /v1/access/tenants', { body: { name: 'acme' } })
  const { tenant, key } = made.json as { tenant: { id: string }; key: { id: string } }
  assert.ok(await w.access.identify(key.id))
  const place = `/v1/access/tenants/${tenant.id}`
  const rotated = await ask(w, `POST ${place}/root/rotate`, { body: { overlapSeconds: 0 } })
  assert.ok(await w.access.identify(String(rotated.json.id)))
  assert.equal(await w.access.identify(key.id), undefined)
  w.owning.add(tenant.id)
  assert.equal((await ask(w, `DELETE ${place}`)).status, 409)
  w.owning.clear()
  assert.equal((await ask(w, `DELETE ${place}`)).status, 200)
  const token = await ask(w, `POST ${main}/tokens`, {
    body: { name: 'ci', scopes: ['replication', 'metadata'], lifeSeconds: 60 },
  })
  assert.deepEqual(token.json.scopes, ['metadata', 'replication'])
  const tokens = (await ask(w, `GET ${main}/tokens`)).json.tokens as { id: string }[]
  assert.equal((await ask(w, `DELETE ${main}/tokens/${tokens[0]?.id}`)).status, 200)
  assert.equal((await ask(w, 'GET /v1/status', { token: String(token.json.token) })).status, 403)
})

test('what makes no sense is refused', async () => {
  const w = world()
  const table: readonly (readonly [call: string, body: unknown])[] = [
    [`POST ${main}/users`, []],
    [`POST ${main}/users`, {}],
    [`POST ${main}/users`, { name: 7 }],
    [`POST ${main}/users`, { name: 'a/b' }],
    [`POST /v1/access/tenants/x/users`, { name: 'a' }],
    [`PUT ${main}/policies/p`, {}],
    [`PUT ${main}/policies/p`, { document: 7 }],
    [`PUT ${main}/keys/K`, { active: 'yes' }],
    [`POST ${main}/root/rotate`, { overlapSeconds: -1 }],
    [`POST ${main}/root/rotate`, { overlapSeconds: 1.5 }],
    [`POST ${main}/root/rotate`, {}],
    [`POST ${main}/tokens`, { name: 'a', scopes: ['all'], lifeSeconds: 1 }],
    [`POST ${main}/tokens`, { name: 'a', scopes: ['admin', 'admin'], lifeSeconds: 1 }],
    [`POST ${main}/tokens`, { name: 'a', scopes: 'admin', lifeSeconds: 1 }],
    [`POST ${main}/tokens`, { name: 'a', scopes: ['admin'], lifeSeconds: 0 }],
    ['GET /v1/access/audit?limit=-1', undefined],
    ['GET /v1/access/audit?before=x', undefined],
  ]
  for (const [call, body] of table) {
    const { status } = await ask(w, call, { body })
    assert.equal(status, 400, `${call} ${JSON.stringify(body)}`)
  }
})

test('no file of routes is forgotten here', () => {
  const files = readdirSync(import.meta.dirname).filter((name) => /-(?:routes|api)\.ts$/.test(name))
  const known = ['access', 'enrol', 'leaving', 'node', 'registry', 'services', 'trust', 'upgrade']
  const expected = [...known.map((name) => `${name}-routes.ts`), 'raft-api.ts']
  assert.deepEqual(
    files.sort(),
    expected.sort(),
    'add its routes to othersRoutes() and its name here',
  )
})

test('every route, every kind of caller: no more than the scope opens', async () => {
  const w = world()
  const made = await w.access.admin.createTenant(by, 'acme')
  const acme = made.tenant.id
  const tokens: Readonly<Record<string, string>> = {
    metadata: await tokenOf(w, ['metadata']),
    replication: await tokenOf(w, ['replication']),
    admin: await tokenOf(w, ['admin']),
    tenant: await tokenOf(w, ['admin'], acme),
    tenantReader: await tokenOf(w, ['metadata', 'replication'], acme),
  }
  const seen = { metadata: 0, replication: 0, admin: 0 }
  const open = w.routes.filter(({ needs }) => typeof needs !== 'string')
  assert.deepEqual(open.map(({ method, path }) => `${method} ${path}`).sort(), [
    'GET /health',
    'POST /join',
    'POST /pair',
  ])
  for (const { method, path, needs } of w.routes) {
    if (typeof needs !== 'string') continue
    const scope = scopeOf(needs)
    seen[scope]++
    const isOpen: Readonly<Record<string, boolean>> = {
      metadata: scope === 'metadata',
      replication: scope !== 'admin',
      admin: true,
      tenant: false,
      tenantReader: false,
    }
    const target = path.replace('{tenant}', '999999999999').replaceAll(/{[^}]*}/g, 'x')
    for (const [name, token] of Object.entries(tokens)) {
      const { status } = await ask(w, `${method} ${target}`, { token, body: {} })
      assert.equal(status !== 403, isOpen[name], `${name}: ${method} ${path}`)
    }
    for (const token of ['', 'x', 'ac1', `ac1.${'A'.repeat(16)}.${'a'.repeat(32)}`]) {
      assert.equal(
        (await ask(w, `${method} ${target}`, { token })).status,
        403,
        `${method} ${path}`,
      )
    }
  }
  assert.ok(seen.metadata >= 3 && seen.replication >= 1 && seen.admin >= 25, JSON.stringify(seen))
})

test('a token of a tenant reaches the rights of that tenant, spelled plainly', async () => {
  const w = world()
  const acme = (await w.access.admin.createTenant(by, 'acme')).tenant.id
  const other = (await w.access.admin.createTenant(by, 'other')).tenant.id
  const token = await tokenOf(w, ['admin'], acme)
  const place = `/v1/access/tenants/${acme}`
  assert.equal((await ask(w, `POST ${place}/users`, { token, body: { name: 'a' } })).status, 200)
  const refused = [
    'GET /v1/status',
    'GET /v1/access/tenants',
    'POST /v1/access/tenants',
    'GET /v1/access/audit',
    `DELETE ${place}`,
    `GET ${main}/users`,
    `GET /v1/access/tenants/${other}/users`,
    `GET ${place}/../${other}/users`,
    `GET ${place}%2f..%2f${other}/users`,
    `GET ${place}/../../audit`,
    `GET /v1/access/tenants/%31${acme.slice(1)}/users`,
  ]
  for (const call of refused) {
    const { status } = await ask(w, call, { token, body: { name: 'x' } })
    assert.ok(status === 403 || status === 404, `${call} ${status}`)
    assert.notEqual(status, 200, call)
  }
  const entries = await w.access.admin.listAudit({ limit: 1_000 })
  const denials = entries.filter(({ outcome }) => outcome === 'denied')
  assert.ok(denials.length >= 8)
  assert.ok(denials.every(({ actor }) => actor.startsWith('client token ')))
})

test('a certificate opens what its scopes open, until it ends or is revoked; never for a page of elsewhere', async () => {
  const w = world()
  const create = (body: object) => ask(w, `POST ${main}/certificates`, { body })
  const request = { name: 'laptop', scopes: ['metadata'], request: 'CSR', lifeSeconds: 60 }
  const { status, json } = await create(request)
  assert.equal(status, 200)
  const hash = toHex(sha256(utf8Encode('laptop')))
  const { id, certificatePem, expiresMs } = json
  assert.deepEqual(
    [id, certificatePem, expiresMs],
    [hash.slice(0, 20), `PEM ${hash} 61000`, 61_000],
  )
  assert.equal((await create(request)).status, 409)
  type Given = NonNullable<Parameters<typeof ask>[2]>
  const by = async (call: string, given: Given = {}): Promise<number> =>
    (await ask(w, call, { token: '', certificate: hash, ...given })).status
  assert.equal(await by('GET /v1/status'), 200)
  assert.equal(await by(`POST ${main}/users`, { body: { name: 'x' } }), 403)
  // Browsers show a certificate by themselves: a page of elsewhere gains nothing by that.
  const own: Given['headers'] = [
    ['host', 'n:7777'],
    ['origin', 'https://n:7777'],
    ['sec-fetch-site', 'same-origin'],
  ]
  assert.equal(await by('GET /v1/status', { headers: own }), 200)
  for (const headers of [
    [['origin', 'https://evil'] as const],
    [['sec-fetch-site', 'cross-site'] as const],
    [['sec-fetch-site', 'same-site'] as const],
  ]) {
    assert.equal(await by('GET /v1/status', { headers }), 403)
  }
  // A wrong token beside it does not fall back on it.
  assert.equal(await by('GET /v1/status', { token: 'wrong' }), 403)
  assert.equal(await by('GET /v1/status', { certificate: 'f'.repeat(64) }), 403)
  assert.equal(
    await by('GET /v1/status', { certificate: `${hash.slice(0, 20)}${'0'.repeat(44)}` }),
    403,
  )
  const listed = await ask(w, `GET ${main}/certificates`)
  assert.equal((listed.json.certificates as readonly unknown[]).length, 1)
  assert.equal((await ask(w, `DELETE ${main}/certificates/${id}`)).status, 200)
  assert.equal(await by('GET /v1/status'), 403)
  const { entries } = (await ask(w, 'GET /v1/access/audit')).json as {
    readonly entries: readonly { readonly actor: string; readonly action: string }[]
  }
  assert.ok(
    entries.some(
      ({ actor, action }) =>
        actor === `client certificate ${id} (laptop)` && action === 'admin:CreateUser',
    ),
  )
  for (const wrong of [
    { ...request, name: 'a b' },
    { ...request, scopes: [] },
    { ...request, lifeSeconds: -1 },
    { ...request, user: 'nobody' },
    { ...request, request: undefined },
    { ...request, certificate: 'PEM' },
    { ...request, certificate: `PEM ${'a'.repeat(64)} 1000` },
  ]) {
    const refused = await create(wrong)
    assert.ok([400, 404].includes(refused.status), JSON.stringify(wrong))
  }
})

test('a certificate of a user ends with him; one of another tenant reaches nothing of the cluster', async () => {
  const w = world()
  await ask(w, `POST ${main}/users`, { body: { name: 'alice' } })
  const certificate = 'c'.repeat(64)
  const taken = {
    name: 'own',
    scopes: ['admin'],
    user: 'alice',
    certificate: `PEM ${certificate} 90000`,
  }
  assert.equal((await ask(w, `POST ${main}/certificates`, { body: taken })).status, 200)
  const by = async (call: string, hash = certificate): Promise<number> =>
    (await ask(w, call, { token: '', certificate: hash })).status
  assert.equal(await by('GET /v1/status'), 200)
  assert.equal((await ask(w, `DELETE ${main}/users/alice`)).status, 200)
  assert.equal(await by('GET /v1/status'), 403)
  const { json } = await ask(w, 'POST /v1/access/tenants', { body: { name: 'acme' } })
  const { id } = json.tenant as { readonly id: string }
  const theirs = 'd'.repeat(64)
  const path = `/v1/access/tenants/${id}`
  const other = { name: 'o', scopes: ['admin'], certificate: `PEM ${theirs} 90000` }
  assert.equal((await ask(w, `POST ${path}/certificates`, { body: other })).status, 200)
  assert.equal(await by(`GET ${path}/users`, theirs), 200)
  assert.equal(await by('GET /v1/status', theirs), 403)
  assert.equal(await by(`GET ${main}/users`, theirs), 403)
  assert.equal((await ask(w, `DELETE /v1/access/tenants/${id}`)).status, 409)
  assert.equal(await by(`DELETE ${path}/certificates/${certificate.slice(0, 20)}`, theirs), 404)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  cipherKeyBytes,
  importCipherKey,
  isFault,
  seededRandom,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import { MemoryKeyspace } from '../cluster/testing/memory-keyspace.ts'
import { type Access, type Actor, firstTenant } from './access.ts'
import type { ActsDeps } from './acts.ts'
import { decide, type Principal } from './core/evaluate.ts'
import { foundingCodec, foundingKey, keyKey } from './core/records.ts'
import { type AccessOptions, openAccess } from './open-access.ts'

const by: Actor = { name: 'test', source: '10.0.0.9' }
const context = { values: () => undefined }
const get = (resource: string) => ({
  action: 's3:GetObject',
  resource: `arn:aws:s3:::${resource}`,
  context,
})
const mayGet = (principal: Principal | undefined, resource = 'b/k', tenant = firstTenant) =>
  principal !== undefined &&
  decide(principal, get(resource), { tenant, policy: undefined }).isAllowed
const allowAll = '{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'
const denyAll = '{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'
const fails = (code: string) => (error: unknown) => isFault(error) && error.s3.code === code

type World = {
  readonly system: MemoryKeyspace
  readonly deps: ActsDeps
  readonly events: string[]
  readonly access: Access
  nowMs: number
  open(options?: AccessOptions): Access
}

async function world(options: AccessOptions = {}): Promise<World> {
  const system = new MemoryKeyspace()
  const random = seededRandom(1)
  const events: string[] = []
  const state = { nowMs: 1_000_000 }
  const deps = {
    host: {
      clock: { wallMs: () => state.nowMs, monotonicMs: () => state.nowMs },
      random: { bytes: (count: number) => random.bytes(count) },
      journal: { event: (_level: string, event: string) => void events.push(event) },
    },
    system,
  } as unknown as ActsDeps
  const founded = foundingCodec.encode({ accessKeyId: 'ROOT', secretAccessKey: 'rs' })
  await system.put(foundingKey('ROOT'), founded)
  const open = (more: AccessOptions = {}): Access => openAccess(deps, { ...options, ...more })
  const access = open()
  return Object.assign(state, { system, deps, events, access, open })
}

/** A user of the first tenant with one key. */
async function userWithKey({ access }: World, user: string) {
  await access.admin.createUser(by, { tenant: firstTenant, user })
  return access.admin.createKey(by, { tenant: firstTenant, user })
}

const principalOf = async (access: Access, key: string): Promise<Principal | undefined> =>
  (await access.identify(key))?.principal

test('the credential of the founding is the operator', async () => {
  const { access } = await world()
  const identity = await access.identify('ROOT')
  assert.equal(identity?.secretAccessKey, 'rs')
  assert.equal(identity?.principal.kind, 'operator')
  for (const unknown of ['', 'NONE', 'root', '../ROOT', 'x'.repeat(200)]) {
    assert.equal(await access.identify(unknown), undefined, unknown)
  }
})

test('a user may what his policies and those of his groups allow, at once', async () => {
  const w = await world()
  const { admin } = w.access
  const key = await userWithKey(w, 'alice')
  const elsewhere = w.open()
  const may = async (): Promise<readonly boolean[]> =>
    Promise.all(
      [w.access, elsewhere].map(async (access) => mayGet(await principalOf(access, key.id))),
    )
  assert.deepEqual(await may(), [false, false])
  await admin.putPolicy(by, { tenant: firstTenant, policy: 'all', document: allowAll })
  await admin.createGroup(by, { tenant: firstTenant, group: 'devs' })
  const attachment = { tenant: firstTenant, policy: 'all', group: 'devs' }
  await admin.setAttachment(by, { ...attachment, isAttached: true })
  assert.deepEqual(await may(), [false, false])
  const membership = { tenant: firstTenant, user: 'alice', group: 'devs' }
  await admin.setMembership(by, { ...membership, isMember: true })
  assert.deepEqual(await may(), [true, true])
  await admin.putPolicy(by, { tenant: firstTenant, policy: 'no', document: denyAll })
  const direct = { tenant: firstTenant, policy: 'no', user: 'alice' }
  await admin.setAttachment(by, { ...direct, isAttached: true })
  assert.deepEqual(await may(), [false, false])
  await admin.setAttachment(by, { ...direct, isAttached: false })
  assert.deepEqual(await may(), [true, true])
  await admin.putPolicy(by, { tenant: firstTenant, policy: 'all', document: denyAll })
  assert.deepEqual(await may(), [false, false])
  await admin.putPolicy(by, { tenant: firstTenant, policy: 'all', document: allowAll })
  await admin.setMembership(by, { ...membership, isMember: false })
  assert.deepEqual(await may(), [false, false])
})

test('what is known is answered without a read, and compiled once', async () => {
  const w = await world()
  const key = await userWithKey(w, 'alice')
  const elsewhere = w.open()
  const first = await principalOf(elsewhere, key.id)
  const reads = w.system.serializableReads + w.system.linearizableReads
  assert.equal(await principalOf(elsewhere, key.id), first)
  assert.equal(await elsewhere.bucketPolicy(7), undefined)
  assert.equal(await elsewhere.bucketPolicy(7), undefined)
  const more = w.system.serializableReads + w.system.linearizableReads - reads
  assert.equal(more, 3)
  await w.system.put(utf8Encode('bucket/other'), utf8Encode('x'))
  const before = w.system.serializableReads
  assert.equal(await principalOf(elsewhere, key.id), first)
  assert.equal(w.system.serializableReads, before + 1)
})

test('what does not exist costs one read of the leader, and is found once it does', async () => {
  const w = await world()
  await w.access.admin.createUser(by, { tenant: firstTenant, user: 'alice' })
  const elsewhere = w.open()
  await elsewhere.identify('AKIANONE')
  const before = w.system.linearizableReads
  assert.equal(await elsewhere.identify('AKIANONE'), undefined)
  assert.equal(w.system.linearizableReads, before + 1)
  w.system.localRevision = w.system.freshness().revision
  const key = await w.access.admin.createKey(by, { tenant: firstTenant, user: 'alice' })
  assert.equal((await principalOf(elsewhere, key.id))?.kind, 'user')
})

test('keys: switched off, deleted and expired ones are not honoured anywhere', async () => {
  const w = await world()
  const { admin } = w.access
  const key = await userWithKey(w, 'alice')
  const elsewhere = w.open()
  assert.ok(await elsewhere.identify(key.id))
  const ref = { tenant: firstTenant, key: key.id }
  await admin.setKeyActive(by, { ...ref, isActive: false })
  assert.equal(await elsewhere.identify(key.id), undefined)
  await admin.setKeyActive(by, { ...ref, isActive: true })
  assert.ok(await elsewhere.identify(key.id))
  const { tenant } = await admin.createTenant(by, 'acme')
  await assert.rejects(admin.deleteKey(by, { ...ref, tenant: tenant.id }), fails('NoSuchEntity'))
  await assert.rejects(
    admin.deleteUser(by, { tenant: firstTenant, user: 'alice' }),
    fails('DeleteConflict'),
  )
  await admin.deleteKey(by, ref)
  assert.equal(await elsewhere.identify(key.id), undefined)
  await admin.deleteUser(by, { tenant: firstTenant, user: 'alice' })
  assert.deepEqual(await admin.listUsers(firstTenant), [])
})

test('a certificate ends with its user: the next one of that name does not inherit it', async () => {
  const w = await world()
  const { admin } = w.access
  const hash = 'ab'.repeat(32)
  const alice = { tenant: firstTenant, user: 'alice' }
  const bob = { tenant: firstTenant, user: 'bob' }
  for (const user of [alice, bob]) await admin.createUser(by, user)
  const expiresMs = 86_400_000 + w.nowMs
  const asked = { ...alice, name: 'laptop', scopes: ['admin' as const], expiresMs, hash }
  await admin.addCertificate(by, asked)
  const kept = { ...asked, ...bob, hash: 'cd'.repeat(32) }
  await admin.addCertificate(by, kept)
  assert.ok(await w.access.identifyCertificate(hash))
  await admin.deleteUser(by, alice)
  assert.equal(await w.access.identifyCertificate(hash), undefined)
  await admin.createUser(by, alice)
  assert.equal(await w.access.identifyCertificate(hash), undefined)
  assert.equal((await w.access.identifyCertificate(kept.hash))?.user, 'bob')
})

test('a node that is cut off stops honouring', async () => {
  const w = await world()
  const key = await userWithKey(w, 'alice')
  const cutOff = w.open()
  await cutOff.identify(key.id)
  w.system.heardMsAgo = 1_001
  w.system.hasLeader = false
  await assert.rejects(cutOff.identify(key.id), (error) => isFault(error, 'unavailable'))
  await assert.rejects(cutOff.bucketPolicy(1), (error) => isFault(error, 'unavailable'))
  w.system.hasLeader = true
  assert.ok(await cutOff.identify(key.id))
})

test('the root credential is rotated, with an overlap', async () => {
  const w = await world()
  const { admin } = w.access
  const made = await admin.rotateRoot(by, firstTenant, 60_000)
  const elsewhere = w.open()
  assert.equal((await principalOf(elsewhere, made.id))?.kind, 'operator')
  assert.equal((await principalOf(elsewhere, 'ROOT'))?.kind, 'operator')
  assert.equal((await elsewhere.identify('ROOT'))?.secretAccessKey, 'rs')
  w.nowMs += 60_000
  assert.equal(await elsewhere.identify('ROOT'), undefined)
  const next = await admin.rotateRoot(by, firstTenant, 0)
  assert.equal(await elsewhere.identify(made.id), undefined)
  assert.equal((await elsewhere.identify(next.id))?.secretAccessKey, next.secretAccessKey)
  const listed = await admin.listKeys({ tenant: firstTenant, user: '' })
  assert.deepEqual(
    listed.map(({ id }) => id),
    [next.id],
  )
})

test('tenants: their root owns what is theirs and nothing else', async () => {
  const w = await world()
  const { admin } = w.access
  const { tenant, key } = await admin.createTenant(by, 'acme')
  const root = await principalOf(w.access, key.id)
  assert.equal(root?.kind, 'owner')
  assert.equal(mayGet(root, 'b/k', tenant.id), true)
  assert.equal(mayGet(root), false)
  await assert.rejects(admin.createTenant(by, 'acme'), fails('EntityAlreadyExists'))
  await admin.createUser(by, { tenant: tenant.id, user: 'bob' })
  const noBuckets = async (): Promise<boolean> => false
  await assert.rejects(admin.deleteTenant(by, tenant.id, noBuckets), fails('DeleteConflict'))
  await admin.deleteUser(by, { tenant: tenant.id, user: 'bob' })
  await assert.rejects(
    admin.deleteTenant(by, tenant.id, async () => true),
    fails('DeleteConflict'),
  )
  await admin.deleteTenant(by, tenant.id, noBuckets)
  assert.equal(await w.access.identify(key.id), undefined)
  assert.deepEqual(
    (await admin.listTenants()).map(({ name }) => name),
    ['main'],
  )
  await assert.rejects(admin.deleteTenant(by, firstTenant, noBuckets), fails('DeleteConflict'))
  await assert.rejects(
    admin.createUser(by, { tenant: tenant.id, user: 'x' }),
    fails('NoSuchEntity'),
  )
})

test('names that would reach elsewhere, and references to nothing', async () => {
  const { access } = await world()
  const { admin } = access
  for (const user of [
    '',
    'a/b',
    '../x',
    'a:b',
    'a*',
    'a?',
    'é',
    `\${aws:username}`,
    'a'.repeat(65),
  ]) {
    await assert.rejects(
      admin.createUser(by, { tenant: firstTenant, user }),
      fails('ValidationError'),
      user,
    )
  }
  for (const tenant of ['', '1', '00000000000x', '000000000001/x']) {
    await assert.rejects(
      admin.createUser(by, { tenant, user: 'a' }),
      fails('ValidationError'),
      tenant,
    )
  }
  await admin.createUser(by, { tenant: firstTenant, user: 'a' })
  await assert.rejects(
    admin.createUser(by, { tenant: firstTenant, user: 'a' }),
    fails('EntityAlreadyExists'),
  )
  const membership = { tenant: firstTenant, user: 'a', group: 'none', isMember: true }
  await assert.rejects(admin.setMembership(by, membership), fails('NoSuchEntity'))
  const attachment = { tenant: firstTenant, policy: 'none', user: 'a', isAttached: true }
  await assert.rejects(admin.setAttachment(by, attachment), fails('NoSuchEntity'))
  const wrong = { tenant: firstTenant, policy: 'p', document: '{}' }
  await assert.rejects(admin.putPolicy(by, wrong), fails('MalformedPolicy'))
})

test('what is in use is not deleted', async () => {
  const { access } = await world()
  const { admin } = access
  const tenant = firstTenant
  await admin.createUser(by, { tenant, user: 'a' })
  await admin.createGroup(by, { tenant, group: 'g' })
  await admin.putPolicy(by, { tenant, policy: 'p', document: allowAll })
  await admin.setMembership(by, { tenant, user: 'a', group: 'g', isMember: true })
  await admin.setAttachment(by, { tenant, policy: 'p', group: 'g', isAttached: true })
  await assert.rejects(admin.deleteGroup(by, { tenant, group: 'g' }), fails('DeleteConflict'))
  await assert.rejects(admin.deletePolicy(by, { tenant, policy: 'p' }), fails('DeleteConflict'))
  await admin.setAttachment(by, { tenant, policy: 'p', group: 'g', isAttached: false })
  await admin.deletePolicy(by, { tenant, policy: 'p' })
  await admin.setMembership(by, { tenant, user: 'a', group: 'g', isMember: false })
  await admin.deleteGroup(by, { tenant, group: 'g' })
  await assert.rejects(admin.deleteGroup(by, { tenant, group: 'g' }), fails('NoSuchEntity'))
})

test('client tokens: known by their hash, until they end', async () => {
  const w = await world()
  const { admin } = w.access
  const request = { tenant: firstTenant, name: 'ci', scopes: ['metadata'] as const, lifeMs: 1_000 }
  const made = await admin.createToken(by, request)
  assert.deepEqual((await w.access.identifyToken(made.token))?.scopes, ['metadata'])
  const stored = await w.system.range({ key: Uint8Array.of(0), rangeEnd: Uint8Array.of(255) })
  const secret = made.token.split('.')[2] ?? 'none'
  assert.ok(stored.kvs.every(({ value }) => !utf8Decode(value).includes(secret)))
  const other = await admin.createToken(by, { ...request, name: 'other' })
  const swapped = `ac1.${other.id}.${secret}`
  for (const wrong of ['', 'ac1', swapped, `${made.token}x`, made.token.toLowerCase()]) {
    assert.equal(await w.access.identifyToken(wrong), undefined, wrong)
  }
  w.nowMs += 1_000
  assert.equal(await w.access.identifyToken(made.token), undefined)
  await admin.deleteToken(by, { tenant: firstTenant, id: made.id })
  assert.deepEqual(
    (await admin.listTokens(firstTenant)).map(({ id }) => id),
    [other.id],
  )
  for (const bad of [{ scopes: [] }, { lifeMs: 0 }, { lifeMs: 1e15 }, { name: 'a b' }]) {
    await assert.rejects(admin.createToken(by, { ...request, ...bad }), (error) =>
      isFault(error, 'invalid'),
    )
  }
})

test('every act is entered, refused ones too, and the log is bounded by count and age', async () => {
  const w = await world({ auditEntriesMax: 40, auditAgeMsMax: 10_000 })
  const { admin } = w.access
  await admin.createUser(by, { tenant: firstTenant, user: 'a' })
  await assert.rejects(admin.createUser(by, { tenant: firstTenant, user: 'a' }))
  await admin.recordAct(
    { name: 'admin token', source: '' },
    { action: 'admin:Scrub', resource: '/', outcome: 'ok' },
  )
  const entries = await admin.listAudit()
  assert.deepEqual(
    entries.map(({ sequence, actor, action, source, outcome }) => [
      sequence,
      actor,
      action,
      source,
      outcome,
    ]),
    [
      [3, 'admin token', 'admin:Scrub', '', 'ok'],
      [2, 'test', 'admin:CreateUser', '10.0.0.9', 'exists'],
      [1, 'test', 'admin:CreateUser', '10.0.0.9', 'ok'],
    ],
  )
  for (let n = 0; n < 60; n++) await admin.createUser(by, { tenant: firstTenant, user: `u${n}` })
  const all = await admin.listAudit({ limit: 1_000 })
  assert.equal(all.length, 40)
  assert.deepEqual(
    await admin
      .listAudit({ before: 40, limit: 2 })
      .then((page) => page.map(({ sequence }) => sequence)),
    [39, 38],
  )
  w.nowMs += 10_001
  assert.deepEqual(await admin.listAudit(), [])
  for (let n = 0; n < 33; n++) await admin.createUser(by, { tenant: firstTenant, user: `v${n}` })
  const prefix = utf8Encode('access/audit/')
  const kept = await w.system.range({ key: prefix, rangeEnd: utf8Encode('access/audit0') })
  assert.ok(kept.count <= 33, String(kept.count))
})

test('refusals beyond a rate are counted, not entered', async () => {
  const w = await world()
  const act = { action: 'admin:X', resource: '/', outcome: 'denied' }
  for (let n = 0; n < 200; n++) await w.access.admin.recordAct(by, act)
  assert.equal((await w.access.admin.listAudit({ limit: 1_000 })).length, 120)
  w.nowMs += 60_000
  await w.access.admin.recordAct(by, act)
  assert.ok(w.events.includes('access.refusals_not_entered'))
})

test('racing acts all happen, one after the other', async () => {
  const w = await world()
  const nodes = [w.access, w.open(), w.open()]
  const tenant = firstTenant
  const made = await Promise.allSettled(
    Array.from({ length: 9 }, (_, n) => {
      const { admin } = nodes[n % 3] ?? w.access
      return admin.createUser(by, { tenant, user: `u${n % 5}` })
    }),
  )
  const won = made.filter(({ status }) => status === 'fulfilled').length
  assert.equal(won, 5)
  assert.equal((await w.access.admin.listUsers(tenant)).length, 5)
})

test('secrets are wrapped at rest, bound to their key', async () => {
  const current = { id: 'w1', key: importCipherKey(new Uint8Array(cipherKeyBytes).fill(7)) }
  const w = await world({ wrapping: { current, older: [] } })
  const key = await userWithKey(w, 'alice')
  assert.equal((await w.access.identify(key.id))?.secretAccessKey, key.secretAccessKey)
  const { kvs } = await w.system.range({ key: keyKey(key.id) })
  assert.ok(!utf8Decode(kvs[0]?.value ?? new Uint8Array(0)).includes(key.secretAccessKey))
  const older = w.open({ wrapping: { current: undefined, older: [current] } })
  assert.equal((await older.identify(key.id))?.secretAccessKey, key.secretAccessKey)
  const without = w.open({ wrapping: { current: undefined, older: [] } })
  await assert.rejects(without.identify(key.id), (error) => isFault(error, 'unavailable'))
})

test("a bucket's policy goes with its number", async () => {
  const w = await world()
  const document =
    '{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}}'
  await w.access.admin.setBucketPolicy(by, { name: 'b', number: 4, document })
  const policy = await w.access.bucketPolicy(4)
  const target = { tenant: firstTenant, policy }
  assert.equal(decide({ kind: 'anonymous' }, get('b/k'), target).isAllowed, true)
  assert.equal(await w.access.bucketPolicy(5), undefined)
  assert.equal(await w.access.admin.bucketPolicyDocument(4), document)
  const other = document.replace(':::b/*', ':::b2/*')
  for (const wrong of [allowAll, other, document.replace('arn:aws:s3:::b/*', '*')]) {
    const request = { name: 'b', number: 4, document: wrong }
    await assert.rejects(w.access.admin.setBucketPolicy(by, request), fails('MalformedPolicy'))
  }
  await w.access.admin.setBucketPolicy(by, { name: 'b', number: 4, document: undefined })
  assert.equal(await w.access.bucketPolicy(4), undefined)
})

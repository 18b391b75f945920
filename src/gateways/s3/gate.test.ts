import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Access, firstTenant, type NewAccessKey } from '../../access/index.ts'
import { digestHex, seededRandom, utf8Decode, utf8Encode } from '../../base/index.ts'
import type { HttpHandler } from '../../host/index.ts'
import { rights } from './core/rights.ts'
import type { Operation } from './core/route.ts'
import { createS3Handler } from './handler.ts'
import { operations } from './operations/table.ts'
import { createMemoryCluster } from './testing/memory-objects.ts'
import { ask } from './testing/request.ts'
import { type Pairs, signHeaders } from './testing/signing.ts'

const root = { accessKeyId: 'AKIDTEST', secretAccessKey: 'secret' }
const region = 'eu-test-1'
const nowMs = Date.UTC(2026, 0, 2, 3, 4, 5)
const by = { name: 'test', source: '' }

type Key = Pick<NewAccessKey, 'id' | 'secretAccessKey'>
type Answer = {
  readonly status: number
  readonly code: string
  readonly text: string
  readonly slicesRead: number
}
type Asked = {
  readonly method: string
  readonly target: string
  readonly headers?: Pairs
  readonly body?: string
}

class World {
  readonly handler: HttpHandler
  readonly access: Access
  readonly #users = new Map<string, Key>()

  constructor() {
    const clock = {
      wallMs: () => nowMs,
      monotonicMs: () => 0,
      sleep: () => Promise.resolve(),
      after: () => ({ cancel: () => {} }),
      every: () => ({ cancel: () => {} }),
      soon: (run: () => void) => run(),
    }
    const journal = { event: () => {}, fatal: (event: string): never => assert.fail(event) }
    const host = { clock, journal, random: seededRandom(1) }
    const cluster = createMemoryCluster({ wallMs: () => nowMs, credentials: [root], region })
    this.access = cluster.access
    this.handler = createS3Handler({ host, ...cluster }, { region })
  }

  async ask(asked: Asked, key: Key | undefined = undefined): Promise<Answer> {
    const body = utf8Encode(asked.body ?? '')
    const credential =
      key === undefined ? root : { accessKeyId: key.id, secretAccessKey: key.secretAccessKey }
    const length: Pairs = body.length === 0 ? [] : [['content-length', String(body.length)]]
    const { headers } = signHeaders(
      {
        method: asked.method,
        target: asked.target,
        headers: [['host', 'localhost'], ...length, ...(asked.headers ?? [])],
        payloadHash: digestHex('sha256', body),
      },
      { credential, region, nowMs },
    )
    const probe = { slicesRead: 0 }
    const request = { ...asked, headers, body: body.length === 0 ? [] : [body] }
    const { status, body: bytes } = await ask(this.handler, request, probe)
    const text = utf8Decode(bytes)
    return { status, code: /<Code>(\w+)</.exec(text)?.[1] ?? '', text, ...probe }
  }

  /** A user with exactly these statements; made anew for each call of another name. */
  async user(user: string, statements: readonly object[], tenant = firstTenant): Promise<Key> {
    const { admin } = this.access
    if (!this.#users.has(user)) {
      await admin.createUser(by, { tenant, user })
      this.#users.set(user, await admin.createKey(by, { tenant, user }))
    }
    if (statements.length > 0) {
      const document = JSON.stringify({ Version: '2012-10-17', Statement: statements })
      await admin.putPolicy(by, { tenant, policy: user, document })
      await admin.setAttachment(by, { tenant, policy: user, user, isAttached: true })
    }
    return this.#users.get(user) ?? assert.fail(user)
  }
}

const allow = (Action: unknown, Resource: unknown = '*', more: object = {}) => ({
  Effect: 'Allow',
  Action,
  Resource,
  ...more,
})
const arn = (name: string): string => `arn:aws:s3:::${name}`

async function founded(): Promise<World> {
  const world = new World()
  for (const bucket of ['one', 'two']) await world.ask({ method: 'PUT', target: `/${bucket}` })
  await world.ask({ method: 'PUT', target: '/one/key', body: 'bytes' })
  await world.ask({ method: 'PUT', target: '/two/secret', body: 'secret' })
  return world
}

const copyOf = (source: string): Pairs => [['x-amz-copy-source', source]]
const document = '<Delete><Object><Key>key</Key></Object></Delete>'
const parts =
  '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"x"</ETag></Part></CompleteMultipartUpload>'

/** A request for each operation. */
const samples: Readonly<Record<Operation, Asked>> = {
  ListBuckets: { method: 'GET', target: '/' },
  CreateBucket: { method: 'PUT', target: '/three', body: '<CreateBucketConfiguration/>' },
  HeadBucket: { method: 'HEAD', target: '/one' },
  DeleteBucket: { method: 'DELETE', target: '/one' },
  GetBucketLocation: { method: 'GET', target: '/one?location' },
  GetBucketVersioning: { method: 'GET', target: '/one?versioning' },
  GetBucketPolicy: { method: 'GET', target: '/one?policy' },
  PutBucketPolicy: { method: 'PUT', target: '/one?policy', body: '{}' },
  DeleteBucketPolicy: { method: 'DELETE', target: '/one?policy' },
  ListObjects: { method: 'GET', target: '/one' },
  ListObjectsV2: { method: 'GET', target: '/one?list-type=2' },
  ListMultipartUploads: { method: 'GET', target: '/one?uploads' },
  DeleteObjects: { method: 'POST', target: '/one?delete', body: document },
  GetObject: { method: 'GET', target: '/one/key' },
  HeadObject: { method: 'HEAD', target: '/one/key' },
  PutObject: { method: 'PUT', target: '/one/new', body: 'bytes' },
  CopyObject: { method: 'PUT', target: '/one/copy', headers: copyOf('/one/key') },
  DeleteObject: { method: 'DELETE', target: '/one/other' },
  CreateMultipartUpload: { method: 'POST', target: '/one/big?uploads' },
  UploadPart: { method: 'PUT', target: '/one/big?partNumber=1&uploadId=x', body: 'bytes' },
  UploadPartCopy: {
    method: 'PUT',
    target: '/one/big?partNumber=1&uploadId=x',
    headers: copyOf('/one/key'),
  },
  ListParts: { method: 'GET', target: '/one/big?uploadId=x' },
  CompleteMultipartUpload: { method: 'POST', target: '/one/big?uploadId=x', body: parts },
  AbortMultipartUpload: { method: 'DELETE', target: '/one/big?uploadId=x' },
}
const names = Object.keys(operations) as Operation[]

test('every operation names its action, and a request of its own proves it', () => {
  assert.deepEqual(Object.keys(rights).sort(), [...names].sort())
  assert.deepEqual(Object.keys(samples).sort(), [...names].sort())
  for (const { action, versioned = action } of Object.values(rights)) {
    assert.match(action, /^s3:[A-Z][A-Za-z]+$/)
    assert.match(versioned, /^s3:[A-Z][A-Za-z]+$/)
  }
})

test('without a right nothing is done and no byte of a body is read', async () => {
  const world = await founded()
  const nobody = await world.user('nobody', [])
  const elsewhere = await world.user('elsewhere', [
    allow('s3:*', [arn('two'), arn('two/*'), arn('thr'), arn('three/*')]),
  ])
  for (const name of names) {
    const isKeys = rights[name].on === 'keys'
    for (const key of isKeys ? [nobody] : [nobody, elsewhere]) {
      const answer = await world.ask(samples[name], key)
      assert.equal(answer.status, 403, name)
      if (samples[name].method !== 'HEAD') assert.equal(answer.code, 'AccessDenied', name)
      assert.equal(answer.slicesRead, 0, name)
    }
  }
})

test('the named action is needed, and is enough', async () => {
  for (const name of names) {
    const world = await founded()
    const { action, readsSource } = rights[name]
    const own = [allow(action), ...(readsSource === true ? [allow('s3:GetObject')] : [])]
    const holder = await world.user('holder', own)
    const allowed = await world.ask(samples[name], holder)
    assert.notEqual(allowed.status, 403, `${name} ${allowed.text}`)
    const fresh = await founded()
    const denied = [allow('*'), { Effect: 'Deny', Action: action, Resource: '*' }]
    const refused = await fresh.ask(samples[name], await fresh.user('denied', denied))
    const isRefused = refused.status === 403 || refused.text.includes('AccessDenied')
    assert.ok(isRefused, name)
  }
})

test('a copy needs both: to read the source and to write the target', async () => {
  const world = await founded()
  const writer = await world.user('writer', [allow('s3:*', [arn('one'), arn('one/*')])])
  for (const source of [
    '/two/secret',
    'two/secret',
    '/two/%73ecret',
    '/%74wo/secret',
    '/two/secret?versionId=null',
  ]) {
    for (const target of ['/one/stolen', '/one/big?partNumber=1&uploadId=x']) {
      const answer = await world.ask({ method: 'PUT', target, headers: copyOf(source) }, writer)
      assert.equal(answer.code, 'AccessDenied', `${source} ${target}`)
    }
  }
  const reader = await world.user('reader', [
    allow('s3:GetObject'),
    allow('s3:PutObject', arn('two/*')),
  ])
  const onto = { method: 'PUT', target: '/one/stolen', headers: copyOf('/two/secret') }
  assert.equal((await world.ask(onto, reader)).code, 'AccessDenied')
})

test('a version has actions of its own', async () => {
  const world = await founded()
  const reader = await world.user('reader', [allow(['s3:GetObject', 's3:DeleteObject'])])
  for (const method of ['GET', 'DELETE', 'HEAD']) {
    const answer = await world.ask({ method, target: '/one/key?versionId=null' }, reader)
    assert.equal(answer.status, 403, method)
  }
  assert.equal((await world.ask({ method: 'GET', target: '/one/key' }, reader)).text, 'bytes')
})

test('of a batch of deletions each key is asked for', async () => {
  const world = await founded()
  await world.ask({ method: 'PUT', target: '/one/keep/a', body: 'x' })
  const deleter = await world.user('deleter', [
    allow('s3:DeleteObject', arn('one/*')),
    { Effect: 'Deny', Action: 's3:*', Resource: arn('one/keep/*') },
  ])
  const body =
    '<Delete><Object><Key>key</Key></Object><Object><Key>keep/a</Key></Object><Object><Key>keep/../keep/a</Key></Object></Delete>'
  const answer = await world.ask({ method: 'POST', target: '/one?delete', body }, deleter)
  assert.equal(answer.status, 200)
  assert.match(answer.text, /<Deleted><Key>key<\/Key><\/Deleted>/)
  assert.match(answer.text, /<Error><Key>keep\/a<\/Key><Code>AccessDenied<\/Code>/)
  assert.equal((await world.ask({ method: 'GET', target: '/one/keep/a' })).status, 200)
})

test('a version in a batch of deletions has an action of its own', async () => {
  const world = await founded()
  const deleter = await world.user('deleter', [allow('s3:DeleteObject')])
  const versions = await world.user('versions', [allow('s3:DeleteObjectVersion')])
  const body = '<Delete><Object><Key>key</Key><VersionId>null</VersionId></Object></Delete>'
  const batch = { method: 'POST', target: '/one?delete', body }
  assert.match((await world.ask(batch, deleter)).text, /<Error><Key>key<\/Key><Code>AccessDenied</)
  assert.equal((await world.ask({ method: 'GET', target: '/one/key' })).text, 'bytes')
  assert.match((await world.ask(batch, versions)).text, /<Deleted><Key>key<\/Key><\/Deleted>/)
  const plain = { ...batch, body: body.replace('<VersionId>null</VersionId>', '') }
  assert.match((await world.ask(plain, versions)).text, /<Code>AccessDenied</)
})

test('what is authorised is what is stored: encoded, dotted and doubled paths', async () => {
  const world = await founded()
  const reader = await world.user('reader', [
    allow('s3:*', arn('one/public/*')),
    { Effect: 'Deny', Action: 's3:*', Resource: arn('one/private*') },
    allow('s3:*', arn('one/p*')),
  ])
  for (const target of [
    '/one/private',
    '/one/%70rivate',
    '/one/priv%61te',
    '/one/private/',
    '/one/private%2Fx',
    '/one//private',
    '/one/./private',
    '/one/x/../private',
  ]) {
    const answer = await world.ask({ method: 'PUT', target, body: 'x' }, reader)
    assert.equal(answer.code, 'AccessDenied', target)
  }
  const dotted = { method: 'PUT', target: '/one/public/../private', body: 'x' }
  assert.equal((await world.ask(dotted, reader)).status, 200)
  assert.equal((await world.ask({ method: 'GET', target: '/one/private' })).code, 'NoSuchKey')
})

test('where a request comes from is the socket, whatever its headers say', async () => {
  const world = await founded()
  const condition = { Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } } }
  const inside = await world.user('inside', [allow('s3:*', '*', condition)])
  const headers: Pairs = [
    ['x-forwarded-for', '10.1.2.3'],
    ['x-real-ip', '10.1.2.3'],
    ['forwarded', 'for=10.1.2.3'],
    ['aws:sourceip', '10.1.2.3'],
  ]
  const asked = { method: 'GET', target: '/one/key?aws:SourceIp=10.1.2.3', headers }
  assert.equal((await world.ask(asked, inside)).code, 'AccessDenied')
  const near = { Condition: { IpAddress: { 'aws:SourceIp': '192.0.2.0/24' } } }
  await world.user('inside', [allow('s3:*', '*', near)])
  assert.equal((await world.ask(asked, inside)).status, 200)
})

test('a prefix counts where keys are listed, and nowhere else', async () => {
  const world = await founded()
  const condition = { Condition: { StringLike: { 's3:prefix': 'a/*' } } }
  const lister = await world.user('lister', [allow('s3:*', '*', condition)])
  const status = async (target: string): Promise<number> =>
    (await world.ask({ method: 'GET', target }, lister)).status
  assert.equal(await status('/one?prefix=a/b'), 200)
  assert.equal(await status('/one?list-type=2&prefix=a%2Fb'), 200)
  assert.equal(await status('/one?prefix=b/'), 403)
  assert.equal(await status('/one'), 403)
  assert.equal(await status('/one/key?prefix=a/b'), 403)
  assert.equal(await status('/one?prefix=b/&prefix=a/'), 403)
})

test('who may not list does not learn which keys there are', async () => {
  const world = await founded()
  const reader = await world.user('reader', [allow(['s3:GetObject', 's3:PutObject'])])
  const missing = { method: 'GET', target: '/one/none' }
  assert.equal((await world.ask(missing, reader)).code, 'AccessDenied')
  const copy = { method: 'PUT', target: '/one/x', headers: copyOf('/one/none') }
  assert.equal((await world.ask(copy, reader)).code, 'AccessDenied')
  await world.user('reader', [allow(['s3:GetObject', 's3:PutObject', 's3:ListBucket'])])
  assert.equal((await world.ask(missing, reader)).code, 'NoSuchKey')
  assert.equal((await world.ask(copy, reader)).code, 'NoSuchKey')
})

test("tenants: one's own buckets, and nobody else's", async () => {
  const world = await founded()
  const { key, tenant } = await world.access.admin.createTenant(by, 'acme')
  assert.equal((await world.ask({ method: 'PUT', target: '/acme-bucket' }, key)).status, 200)
  assert.equal(
    (await world.ask({ method: 'PUT', target: '/acme-bucket/k', body: 'x' }, key)).status,
    200,
  )
  const again = async (target: string, who?: Key): Promise<string> =>
    (await world.ask({ method: 'PUT', target }, who)).code
  assert.equal(await again('/acme-bucket', key), 'BucketAlreadyOwnedByYou')
  assert.equal(await again('/acme-bucket'), 'BucketAlreadyExists')
  const listed = await world.ask({ method: 'GET', target: '/' }, key)
  assert.deepEqual(
    [...listed.text.matchAll(/<Name>([^<]*)</g)].map(([, name]) => name),
    ['acme-bucket'],
  )
  assert.match(listed.text, new RegExp(`<ID>${tenant.id}</ID>`))
  const first = await world.ask({ method: 'GET', target: '/' })
  assert.deepEqual(
    [...first.text.matchAll(/<Name>([^<]*)</g)].map(([, name]) => name),
    ['one', 'two'],
  )
  for (const name of names) {
    if (name === 'ListBuckets' || name === 'CreateBucket') continue
    assert.equal((await world.ask(samples[name], key)).status, 403, name)
  }
  assert.equal(await again('/one', key), 'BucketAlreadyExists')
  const all = await world.user('all', [allow('*')])
  assert.equal(
    (await world.ask({ method: 'GET', target: '/acme-bucket/k' }, all)).code,
    'AccessDenied',
  )
  assert.equal((await world.ask({ method: 'GET', target: '/acme-bucket/k' })).text, 'x')
  assert.equal((await world.ask({ method: 'GET', target: '/none/k' }, key)).code, 'NoSuchBucket')
})

test('a bucket policy lets another tenant in when both sides allow, and goes with its bucket', async () => {
  const world = await founded()
  const { key, tenant } = await world.access.admin.createTenant(by, 'acme')
  const get = { method: 'GET', target: '/one/key' }
  const policy = (statement: object): Asked => ({
    method: 'PUT',
    target: '/one?policy',
    body: JSON.stringify({ Version: '2012-10-17', Statement: statement }),
  })
  const grant = { Principal: { AWS: tenant.id }, ...allow('s3:GetObject', arn('one/*')) }
  assert.equal((await world.ask(policy(grant))).status, 204)
  assert.equal((await world.ask(get, key)).text, 'bytes')
  const bob = await world.user('bob', [], tenant.id)
  assert.equal((await world.ask(get, bob)).code, 'AccessDenied')
  await world.user('bob', [allow('s3:GetObject')], tenant.id)
  assert.equal((await world.ask(get, bob)).text, 'bytes')
  assert.equal((await world.ask({ ...get, method: 'DELETE' }, bob)).code, 'AccessDenied')
  const read = await world.ask({ method: 'GET', target: '/one?policy' })
  assert.deepEqual(JSON.parse(read.text).Statement.Principal, { AWS: tenant.id })
  for (const wrong of [
    { ...grant, Resource: arn('two/*') },
    allow('*'),
    { ...grant, Principal: 'x' },
  ]) {
    assert.equal((await world.ask(policy(wrong))).code, 'MalformedPolicy')
  }
  await world.ask({ method: 'DELETE', target: '/one/key' })
  assert.equal((await world.ask({ method: 'DELETE', target: '/one' })).status, 204)
  await world.ask({ method: 'PUT', target: '/one' })
  await world.ask({ method: 'PUT', target: '/one/key', body: 'anew' })
  assert.equal((await world.ask(get, key)).code, 'AccessDenied')
  assert.equal(
    (await world.ask({ method: 'GET', target: '/one?policy' })).code,
    'NoSuchBucketPolicy',
  )
})

test('an owner who locked everybody out can lift the policy', async () => {
  const world = await founded()
  const { key } = await world.access.admin.createTenant(by, 'acme')
  await world.ask({ method: 'PUT', target: '/mine' }, key)
  const statement = { Effect: 'Deny', Principal: '*', Action: 's3:*', Resource: arn('mine') }
  const body = JSON.stringify({ Version: '2012-10-17', Statement: statement })
  assert.equal((await world.ask({ method: 'PUT', target: '/mine?policy', body }, key)).status, 204)
  assert.equal((await world.ask({ method: 'GET', target: '/mine' }, key)).code, 'AccessDenied')
  const lifted = await world.ask({ method: 'DELETE', target: '/mine?policy' }, key)
  assert.equal(lifted.status, 204)
  assert.equal((await world.ask({ method: 'GET', target: '/mine' }, key)).status, 200)
})

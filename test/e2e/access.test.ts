// Rights on real processes: made by the command line at one node, effective at all of them, for S3 and the admin API;
// a node that lost its majority stops honouring.

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListBucketsCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { type Cluster, root, run, startCluster } from './cluster.ts'

const portOffset = 11_000
const withinMs = 20_000

type Key = { readonly id: string; readonly secretAccessKey: string }

describe('rights', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'atoll-e2e-access-'))
  const clients: S3Client[] = []
  let cluster: Cluster

  async function admin<T>(...words: readonly string[]): Promise<T> {
    const command = [join(root, 'scripts/atoll.mjs'), 'admin', ...words]
    const ran = await run(process.execPath, [...command, '--data-dir', dataDir, '--json'])
    assert.equal(ran.status, 0, `${words.join(' ')}: ${ran.stderr}`)
    return JSON.parse(ran.stdout) as T
  }
  const clientOf = (position: number, key: Key): S3Client => {
    const client = new S3Client({
      region: cluster.line.region,
      endpoint: cluster.node(position).s3,
      forcePathStyle: true,
      credentials: { accessKeyId: key.id, secretAccessKey: key.secretAccessKey },
      maxAttempts: 1,
    })
    clients.push(client)
    return client
  }
  const policyFile = (statement: object): string => {
    const file = join(dataDir, 'policy.json')
    writeFileSync(file, JSON.stringify({ Version: '2012-10-17', Statement: statement }))
    return file
  }
  const get = (client: S3Client, Bucket: string, Key: string): Promise<string> =>
    outcome(async () => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
      return (await Body?.transformToString()) ?? ''
    })

  before(async () => {
    cluster = await startCluster({ portOffset, dataDir })
    const client = cluster.client(0)
    for (const Bucket of ['photos', 'private'])
      await client.send(new CreateBucketCommand({ Bucket }))
    for (const Bucket of ['photos', 'private']) {
      await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: Bucket }))
    }
  })
  after(async () => {
    for (const client of clients) client.destroy()
    await cluster?.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  it('a user may what his group is allowed, at every node, and no more', async () => {
    await admin('user', 'create', 'alice')
    await admin('group', 'create', 'readers')
    const statement = { Effect: 'Allow', Action: 's3:GetObject', Resource: 'arn:aws:s3:::photos/*' }
    await admin('policy', 'put', 'photos', policyFile(statement))
    await admin('policy', 'attach', 'photos', '--group', 'readers')
    await admin('group', 'add', 'readers', 'alice')
    const key = await admin<Key>('key', 'create', '--user', 'alice')
    const each = [0, 1, 2].map((position) => clientOf(position, key))
    for (const client of each) {
      await until(() => get(client, 'photos', 'k'), 'photos')
      assert.equal(await get(client, 'private', 'k'), '403 AccessDenied')
      const put = new PutObjectCommand({ Bucket: 'photos', Key: 'new', Body: 'x' })
      assert.equal(await outcome(() => client.send(put)), '403 AccessDenied')
    }
    await admin('policy', 'detach', 'photos', '--group', 'readers')
    const sinceMs = Date.now()
    for (const client of each) await until(() => get(client, 'photos', 'k'), '403 AccessDenied')
    console.log(`# taken away at all nodes after ${Date.now() - sinceMs} ms (aim: 1 s)`)
    await admin('key', 'disable', key.id)
    for (const client of each)
      await until(() => get(client, 'photos', 'k'), '403 InvalidAccessKeyId')
  })

  it('tenants see their own buckets, and others only when both sides allow', async () => {
    const made = await admin<{ tenant: { id: string }; key: Key }>('tenant', 'create', 'acme')
    const acme = clientOf(1, made.key)
    await acme.send(new CreateBucketCommand({ Bucket: 'acme-files' }))
    const listed = await acme.send(new ListBucketsCommand({}))
    assert.deepEqual(
      listed.Buckets?.map(({ Name }) => Name),
      ['acme-files'],
    )
    const taken = () => acme.send(new CreateBucketCommand({ Bucket: 'photos' }))
    assert.equal(await outcome(taken), '409 BucketAlreadyExists')
    assert.equal(await get(acme, 'photos', 'k'), '403 AccessDenied')
    const operator = cluster.client(2)
    const own = await operator.send(new ListBucketsCommand({}))
    assert.ok(!own.Buckets?.some(({ Name }) => Name === 'acme-files'))
    const Policy = JSON.stringify({
      Version: '2012-10-17',
      Statement: {
        Effect: 'Allow',
        Principal: { AWS: made.tenant.id },
        Action: 's3:GetObject',
        Resource: 'arn:aws:s3:::photos/*',
      },
    })
    await operator.send(new PutBucketPolicyCommand({ Bucket: 'photos', Policy }))
    await until(() => get(acme, 'photos', 'k'), 'photos')
    assert.equal(await get(acme, 'private', 'k'), '403 AccessDenied')
  })

  it('a client token reaches what its scopes open', async () => {
    const made = await admin<{ token: string }>(
      'client-token',
      'create',
      'dashboard',
      '--scopes',
      'metadata',
    )
    const { port } = new URL(cluster.node(0).admin)
    const { hostname } = new URL(cluster.node(0).admin)
    const ca = readFileSync(join(dataDir, 'ca', 'authority.pem'))
    const ask = (method: string, path: string): Promise<number> =>
      new Promise((settle, reject) => {
        const headers = { authorization: `Bearer ${made.token}` }
        const asked = request({ host: hostname, port, method, path, ca, headers }, (response) => {
          response.resume()
          response.on('end', () => settle(response.statusCode ?? 0))
        })
        asked.on('error', reject)
        asked.end()
      })
    await until(async () => String(await ask('GET', '/v1/status')), '200')
    assert.equal(await ask('POST', '/v1/scrub'), 403)
    assert.equal(await ask('GET', '/v1/access/audit'), 403)
  })

  it('a client certificate opens the admin API at every node, until it is revoked', async () => {
    type Made = {
      readonly id: string
      readonly files: { readonly key: string; readonly certificate: string }
    }
    const words = ['create', 'laptop', '--scopes', 'metadata', '--out', join(dataDir, 'laptop')]
    const { id, files } = await admin<Made>('client-certificate', ...words)
    assert.equal(statSync(files.key).mode & 0o777, 0o600)
    const pair = { key: readFileSync(files.key), cert: readFileSync(files.certificate) }
    const ca = readFileSync(join(dataDir, 'ca', 'authority.pem'))
    const ask = (position: number, shown: object, method: string, path: string): Promise<string> =>
      new Promise((settle, reject) => {
        const { hostname, port } = new URL(cluster.node(position).admin)
        const to = { host: hostname, port, method, path, ca, agent: false, ...shown }
        const asked = request(to, (response) => {
          response.resume()
          response.on('end', () => settle(String(response.statusCode)))
        })
        asked.on('error', reject)
        asked.end()
      })
    for (const position of [0, 1, 2]) {
      await until(() => ask(position, pair, 'GET', '/v1/status'), '200')
      assert.equal(await ask(position, {}, 'GET', '/v1/status'), '403')
      assert.equal(await ask(position, pair, 'POST', '/v1/scrub'), '403')
    }
    await admin('client-certificate', 'delete', id)
    for (const position of [0, 1, 2]) {
      await until(() => ask(position, pair, 'GET', '/v1/status'), '403')
    }
  })

  it('the root credential is rotated, and everything is in the log', async () => {
    const key = await admin<Key>('key', 'rotate-root', '--overlap', '0s')
    const old = cluster.client(0, { attemptsMax: 1 })
    await until(() => get(old, 'private', 'k'), '403 InvalidAccessKeyId')
    await until(() => get(clientOf(2, key), 'private', 'k'), 'private')
    const { entries } = await admin<{ entries: { action: string; outcome: string }[] }>(
      'audit',
      '--limit',
      '200',
    )
    const acts = new Set(entries.map(({ action }) => action.split(':')[1]))
    for (const act of [
      'CreateUser',
      'PutPolicy',
      'DetachPolicy',
      'CreateTenant',
      'PutBucketPolicy',
      'CreateClientToken',
      'RotateRootCredential',
    ]) {
      assert.ok(acts.has(act), act)
    }
    assert.ok(entries.some(({ outcome: became }) => became === 'denied'))
    await cluster.kill(1)
    await cluster.kill(2)
    const alone = clientOf(0, key)
    await until(() => get(alone, 'private', 'k'), '503 ServiceUnavailable')
  })
})

/** The answer, or status and code of the failure. */
async function outcome(work: () => Promise<unknown>): Promise<string> {
  try {
    const answer = await work()
    return typeof answer === 'string' ? answer : '200'
  } catch (error) {
    if (error instanceof S3ServiceException) {
      return `${error.$metadata.httpStatusCode} ${error.name}`
    }
    throw error
  }
}

async function until(ask: () => Promise<string>, expected: string): Promise<void> {
  const deadline = Date.now() + withinMs
  for (;;) {
    const got = await ask()
    if (got === expected) return
    if (Date.now() > deadline) assert.equal(got, expected)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

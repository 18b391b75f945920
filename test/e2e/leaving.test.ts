// A cluster that grows from one node to three and to five and shrinks to three again, the node that founded it among
// those that leave, while clients write objects and keys: everything that was acknowledged is there afterwards, on
// every node that stayed.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CreateBucketCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import {
  type Cluster,
  getHash,
  randomFile,
  root,
  run,
  type Status,
  sha256,
  startCluster,
} from './cluster.ts'

const Bucket = 'leaving'
const namespace = '/raft/v1/raft/leaving'
const objects = new Map<string, string>()
const keys = new Map<string, string>()
const failures: string[] = []
/** Positions of the nodes that clients use. */
let used = [0]
let cluster: Cluster

before(async () => {
  cluster = await startCluster({ portOffset: 6000, args: ['--nodes', '1', '--rs', '1+0'] })
  await cluster.client(0).send(new CreateBucketCommand({ Bucket }))
  await ask(0, { command: 'create' })
})
after(() => cluster?.stop())

/** The command API of one node. */
function ask(position: number, command: unknown): Promise<{ value?: string }> {
  const { hostname, port } = new URL(cluster.node(position).admin)
  const ca = readFileSync(join(cluster.dataDir, 'ca', 'authority.pem'))
  const token = readFileSync(join(cluster.dataDir, 'ca', 'admin-token'), 'utf8').trim()
  const headers = { authorization: `Bearer ${token}` }
  return new Promise((resolve, reject) => {
    const options = {
      hostname,
      port,
      path: namespace,
      method: 'POST',
      ca,
      headers,
      timeout: 20_000,
    }
    const asked = request(options, (response) => {
      let text = ''
      response.on('data', (part: Buffer) => {
        text += part.toString()
      })
      response.on('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(text) as { value?: string })
        else reject(new Error(text))
      })
    })
    asked.on('timeout', () => asked.destroy(new Error('no answer')))
    asked.on('error', reject)
    asked.end(JSON.stringify(command))
  })
}

async function admin(...words: readonly string[]): Promise<void> {
  const command = [join(root, 'scripts/atoll.mjs'), 'admin', ...words]
  const args = ['--data-dir', cluster.dataDir]
  const { status, stdout, stderr } = await run(process.execPath, [...command, ...args])
  assert.equal(status, 0, `${words.join(' ')}: ${stdout}${stderr}`)
}

async function writeObjects(isOver: () => boolean): Promise<void> {
  const clients = new Map<number, S3Client>()
  for (let i = 0; !isOver(); i++) {
    const position = used[i % used.length] ?? 0
    const client = clients.get(position) ?? cluster.client(position, { attemptsMax: 6 })
    clients.set(position, client)
    const Key = `object-${i}`
    const Body = randomFile([100, 9_000, 60_000, 1_000_000][i % 4] ?? 0)
    try {
      await client.send(new PutObjectCommand({ Bucket, Key, Body }))
      objects.set(Key, sha256(Body))
    } catch (error) {
      failures.push(`${Key} at ${position}: ${String(error)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 150))
  }
}

async function writeKeys(isOver: () => boolean): Promise<void> {
  for (let i = 0; !isOver(); i++) {
    const key = `key-${i}`
    const value = `value-${i}`
    const isDone = await ask(used[i % used.length] ?? 0, { command: 'set', key, value }).then(
      () => true,
      () => false,
    )
    if (isDone) keys.set(key, value)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** Every group has a leader, and says so many voters. */
function haveVoters(count: number): (status: Status) => boolean {
  return ({ groups }) => {
    const settled = groups.filter(
      ({ role, voters }) => role === 'leader' && Array.isArray(voters) && voters.length === count,
    )
    const names = new Set(groups.map(({ name }) => name))
    return names.size > 0 && names.size === new Set(settled.map(({ name }) => name)).size
  }
}

test('one node becomes three, five, and three again under load', { timeout: 900_000 }, async () => {
  let isOver = false
  const load = Promise.all([writeObjects(() => isOver), writeKeys(() => isOver)])
  try {
    for (const count of [3, 5]) {
      await cluster.addNodes(2)
      used = Array.from({ length: count }, (_, position) => position)
      await cluster.until(`${count} voters`, haveVoters(count), 180_000)
    }
    const held = objects.size
    for (const position of [0, 4]) {
      used = used.filter((one) => one !== position)
      const { id } = cluster.node(position)
      await admin('drain', String(id))
      await admin('remove', `node-${id}`)
    }
    assert.ok(objects.size > held, 'clients went on writing')
  } finally {
    isOver = true
    await load
  }
  await cluster.until('three voters', haveVoters(3), 180_000)
  assert.deepEqual(failures, [], 'no write failed for clients that try again')
  assert.ok(objects.size > 20 && keys.size > 20)
  for (const position of used) {
    const client = cluster.client(position)
    for (const [key, hash] of objects) assert.equal(await getHash(client, Bucket, key), hash, key)
    for (const [key, value] of keys) {
      assert.equal((await ask(position, { command: 'get', key })).value, value, key)
    }
  }
})

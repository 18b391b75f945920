// Certificates that live for a minute, under requests that never stop: they are renewed before they end, on
// connections that stay and on new ones, and no request fails. ATOLL_CERTIFICATE_SECONDS and ATOLL_RUN_SECONDS make it
// longer: 120 and 600 are ten minutes of two-minute certificates.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { type Cluster, getHash, randomFile, sha256, startCluster } from './cluster.ts'

const certificateSeconds = Number(process.env.ATOLL_CERTIFICATE_SECONDS ?? 60)
const runMs = 1000 * Number(process.env.ATOLL_RUN_SECONDS ?? 0)
const Bucket = 'renewed'
const body = randomFile(300_000)
const hash = sha256(body)
let cluster: Cluster

before(async () => {
  cluster = await startCluster({ portOffset: 5200, args: ['--data-threads', '1'] })
})
after(() => cluster.stop())

type Certificate = { readonly member: number; readonly serial: string; readonly notAfterMs: number }

/** Asks a node's admin port, trusting the authority that its directory names. */
function ask<T>(
  position: number,
  call: {
    readonly method: string
    readonly path: string
    readonly body?: unknown
    readonly agent?: Agent
  },
): Promise<T> {
  const { admin, dataDir } = cluster.node(position)
  const read = (name: string): string => readFileSync(join(dataDir, 'identity', name), 'utf8')
  const text = call.body === undefined ? '' : JSON.stringify(call.body)
  return new Promise((resolve, reject) => {
    const asked = request(
      new URL(call.path, admin),
      {
        method: call.method,
        agent: call.agent ?? false,
        ca: read('authority.pem'),
        headers: {
          authorization: `Bearer ${read('admin-token').trim()}`,
          'content-length': Buffer.byteLength(text),
        },
      },
      (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('error', reject)
        response.on('end', () => {
          const answer = Buffer.concat(parts).toString()
          if (response.statusCode === 200) resolve(JSON.parse(answer) as T)
          else reject(new Error(`${call.path}: ${response.statusCode} ${answer}`))
        })
      },
    )
    asked.on('error', reject)
    asked.end(text)
  })
}

const certificates = async (): Promise<readonly Certificate[]> => {
  const path = '/v1/certificates'
  return (await ask<{ certificates: Certificate[] }>(0, { method: 'GET', path })).certificates
}

test('certificates are renewed under load, and no request fails', async () => {
  await cluster.client(0).send(new CreateBucketCommand({ Bucket }))
  const name = 'certificate_seconds'
  await ask(0, { method: 'PUT', path: '/v1/config', body: { name, value: certificateSeconds } })
  const clients = [0, 1, 2].map((position) => cluster.client(position, { attemptsMax: 1 }))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  let isOver = false
  let requests = 0
  const load = async (position: number): Promise<void> => {
    const client = clients[position] ?? assert.fail()
    for (let turn = 0; !isOver; turn++) {
      const Key = `n${position}-${turn % 16}`
      await client.send(new PutObjectCommand({ Bucket, Key, Body: body }))
      assert.equal(await getHash(clients[(position + 1) % 3] ?? client, Bucket, Key), hash)
      await ask(position, { method: 'GET', path: '/health', agent })
      await ask(position, { method: 'GET', path: '/health' })
      requests += 4
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
  const loads = [0, 1, 2].map(load)
  const startedMs = Date.now()
  const seen = new Map<number, Set<string>>()
  const watch = async (): Promise<void> => {
    for (;;) {
      for (const { member, serial, notAfterMs } of await certificates()) {
        assert.ok(notAfterMs > Date.now(), `the certificate of node ${member} has ended`)
        seen.set(member, (seen.get(member) ?? new Set()).add(serial))
      }
      const counts = [...seen.values()].map((serials) => serials.size)
      const isEnough = counts.length === 3 && counts.every((count) => count >= 3)
      if (isEnough && Date.now() - startedMs >= runMs) return
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  }
  try {
    await Promise.race([watch(), Promise.all(loads)])
  } finally {
    isOver = true
  }
  await Promise.all(loads)
  agent.destroy()
  const renewals = [...seen.values()].map((serials) => serials.size - 1)
  console.log(`${requests} requests, none failed; renewals per node: ${renewals.join(', ')}`)
  assert.ok(requests > 0)
})

test('a node that dies and comes back goes on with what it has on disk', async () => {
  await cluster.kill(1)
  await cluster.startMissing()
  await cluster.until('all are online', ({ nodes }) =>
    nodes.every(({ state }) => state === 'online'),
  )
  const Key = 'n0-0'
  assert.equal(await getHash(cluster.client(1), Bucket, Key), hash)
})

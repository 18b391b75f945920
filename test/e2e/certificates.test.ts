// Certificates that live for a minute, under requests that never stop: they are renewed before they end, on
// connections that stay and on new ones, and no request fails; nor while the authority is rotated. ATOLL_CERTIFICATE_SECONDS and ATOLL_RUN_SECONDS make it
// longer: 120 and 600 are ten minutes of two-minute certificates. ATOLL_PAUSE_MS: between two rounds of a client.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import {
  type Cluster,
  getHash,
  type Ran,
  randomFile,
  root,
  run,
  sha256,
  startCluster,
} from './cluster.ts'
import { until } from './machines.ts'

const certificateSeconds = Number(process.env.ATOLL_CERTIFICATE_SECONDS ?? 60)
const runMs = 1000 * Number(process.env.ATOLL_RUN_SECONDS ?? 0)
const pauseMs = Number(process.env.ATOLL_PAUSE_MS ?? 200)
const Bucket = 'renewed'
const body = randomFile(100_000)
const hash = sha256(body)
let cluster: Cluster

before(async () => {
  cluster = await startCluster({ portOffset: 5200, args: ['--data-threads', '1'] })
})
after(() => cluster?.stop())

type Version = {
  readonly version: number
  readonly config: { readonly certificateSeconds: number }
}
type Authority = { readonly pin: string; readonly state: string }
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

/** None while the cluster elects, which on a busy machine it may. */
const certificates = async (): Promise<readonly Certificate[]> => {
  const path = '/v1/certificates'
  const asked = ask<{ certificates: Certificate[] }>(0, { method: 'GET', path })
  return await asked.then(
    ({ certificates }) => certificates,
    (error: Error) => {
      if (/ 503 .*"(deadline|unavailable|not-leader)"/.test(error.message)) return []
      throw error
    },
  )
}

/** Runs `act` while clients ask all nodes; answers how many requests they made. None may fail. */
async function underRequests(act: () => Promise<void>): Promise<number> {
  // Requests over TLS are never repeated; those for objects as their client does it, because a busy machine may lose a
  // leader for reasons of its own.
  const clients = [0, 1, 2].map((position) => cluster.client(position))
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
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }
  const loads = [0, 1, 2].map(load)
  try {
    await Promise.race([act(), Promise.all(loads)])
  } finally {
    isOver = true
  }
  await Promise.all(loads)
  agent.destroy()
  assert.ok(requests > 0)
  return requests
}

async function admin(...words: readonly string[]): Promise<Ran> {
  const command = [join(root, 'scripts/atoll.mjs'), 'admin', ...words, '--json']
  return await run(process.execPath, [...command, '--data-dir', cluster.dataDir])
}

async function must<T>(...words: readonly string[]): Promise<T> {
  const { status, stdout, stderr } = await admin(...words)
  assert.equal(status, 0, `${words.join(' ')}: ${stderr}`)
  return JSON.parse(stdout) as T
}

test('certificates are renewed under load, and no request fails', async () => {
  await cluster.client(0).send(new CreateBucketCommand({ Bucket }))
  const seconds = String(certificateSeconds)
  const set = await must<Version>('config', 'set', 'certificate_seconds', seconds)
  assert.equal(set.config.certificateSeconds, certificateSeconds)
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
  const requests = await underRequests(watch)
  const renewals = [...seen.values()].map((serials) => serials.size - 1)
  console.log(`${requests} requests, none failed; renewals per node: ${renewals.join(', ')}`)
  const { certificates: listed } = await must<{ certificates: Certificate[] }>('certificates')
  assert.deepEqual(
    listed.map(({ member }) => member),
    [1, 2, 3],
  )
})

test('settings have a history, and go back', async () => {
  const { version } = await must<Version>('config', 'rollback', '1')
  const { versions } = await must<{ versions: Version[] }>('config', 'history')
  assert.deepEqual([versions[0]?.version, version], [version, 3])
  assert.deepEqual(versions[0]?.config, versions[2]?.config)
  assert.deepEqual(await must('config', 'get', 'certificate_seconds'), {
    certificate_seconds: 7 * 86_400,
  })
  const refused = await admin('config', 'set', 'certificate_seconds', 'soon')
  assert.notEqual(refused.status, 0)
})

test('the authority is rotated by command, and no request fails', async () => {
  const list = async (): Promise<readonly Authority[]> =>
    (await must<{ authorities: Authority[] }>('authority', 'list')).authorities
  const [before] = await list()
  const requests = await underRequests(async () => {
    for (const step of ['add', 'issue', 'drop']) {
      await until(`authority ${step}`, async () => {
        const { status, stderr } = await admin('authority', step)
        if (status !== 0 && !stderr.includes('not every member has')) throw new Error(stderr)
        return status === 0
      })
    }
  })
  const after = await list()
  assert.deepEqual(
    after.map(({ state }) => state),
    ['signing'],
  )
  assert.notEqual(after[0]?.pin, before?.pin)
  console.log(`${requests} requests, none failed`)
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

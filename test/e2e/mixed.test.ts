// The release before and this one in a cluster: upgraded node by node under load, one gone back while that is possible, the
// level raised, an old program refused from then on. Every acknowledged write is read at the end.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListBucketsCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { type Line, type Machine, Machines, until } from './machines.ts'
import { findPrevious } from './previous.ts'

const previous = findPrevious()
const machines = new Machines(14_000)
const all = [1, 2, 3].map((at) => machines.add(`mix${at}`, `127.0.0.${40 + at}`))
const [one, two, three] = all as [Machine, Machine, Machine]
const Bucket = 'mixed'
const place = '/raft/v1/raft/mixed'
const betweenMs = 25
const attemptsMs = 30_000
/** Of programs that did not go by capabilities. */
const firstLevel = 1

after(async () => {
  await machines.stopAll()
  if (previous.kind === 'program') previous.remove()
})

/** The admin API of a machine's own node. */
function ask(machine: Machine, method: string, path: string, body?: unknown): Promise<unknown> {
  const read = (name: string): string =>
    readFileSync(join(machine.dataDir, 'identity', name), 'utf8')
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: machine.host,
        port: machines.port(7777),
        method,
        path,
        ca: read('authority.pem'),
        agent: false,
        timeout: 5_000,
        headers: { authorization: `Bearer ${read('admin-token').trim()}` },
      },
      (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString()
        })
        response.on('error', reject)
        response.on('end', () => {
          if (response.statusCode === 200) resolve(JSON.parse(text))
          else reject(new Error(`${path}: ${response.statusCode} ${text}`))
        })
      },
    )
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')))
    asked.on('error', reject)
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

/** Clients that know every node and ask the next when one does not answer. */
class Load {
  readonly objects = new Map<string, string>()
  readonly keys = new Map<string, string>()
  retries = 0
  readonly #clients: readonly S3Client[]
  readonly #work: Promise<unknown>
  #isOver = false

  constructor(keys: Line) {
    this.#clients = all.map((machine) => machines.client(machine, keys))
    const putters = [0, 1].map((own) => this.#loop((count) => this.#putObject(own, count)))
    this.#work = Promise.all([...putters, this.#loop((count) => this.#putKey(count))])
  }

  /** Settles once everything written has been acknowledged. */
  async end(): Promise<void> {
    this.#isOver = true
    await this.#work
  }

  async #loop(write: (count: number) => Promise<void>): Promise<void> {
    for (let count = 0; !this.#isOver; count++) {
      await write(count)
      await new Promise((resolve) => setTimeout(resolve, betweenMs))
    }
  }

  async #putObject(own: number, count: number): Promise<void> {
    const Key = `${own}/${count % 50}`
    const Body = `${own} ${count} `.repeat(1 + (count % 500))
    await this.#tryAll(own + count, async (at) => {
      const client = this.#clients[at]
      await client?.send(new PutObjectCommand({ Bucket, Key, Body }))
    })
    this.objects.set(Key, Body)
  }

  async #putKey(count: number): Promise<void> {
    const [key, value] = [`k${count % 50}`, `v${count}`]
    await this.#tryAll(count, async (at) => {
      await ask(all[at] ?? one, 'POST', place, { command: 'set', key, value })
    })
    this.keys.set(key, value)
  }

  async #tryAll(first: number, send: (at: number) => Promise<void>): Promise<void> {
    const endMs = Date.now() + attemptsMs
    for (let at = first; ; at++) {
      try {
        return await send(at % all.length)
      } catch (error) {
        if (Date.now() > endMs) throw error
        this.retries++
      }
    }
  }

  async check(from: Machine, client: S3Client): Promise<void> {
    for (const [Key, expected] of this.objects) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
      assert.equal(await Body?.transformToString(), expected, `object ${Key}`)
    }
    for (const [key, expected] of this.keys) {
      const { value } = (await ask(from, 'POST', place, { command: 'get', key })) as Line
      assert.equal(value, expected, `key ${key}`)
    }
  }
}

/** All are online, every group has a leader, and no shard is missing. */
async function whole(machine: Machine): Promise<void> {
  type Status = {
    readonly nodes: readonly { readonly state: string }[]
    readonly groups: readonly { readonly leader: number; readonly voters: readonly number[] }[]
    readonly underReplicatedShards: number
  }
  await until('a whole cluster', async () => {
    const { nodes, groups, underReplicatedShards } = (await ask(
      machine,
      'GET',
      '/v1/status',
    )) as Status
    return (
      nodes.length === 3 &&
      nodes.every(({ state }) => state === 'online') &&
      groups.length > 0 &&
      groups.every(({ leader, voters }) => leader !== 0 && voters.length === 3) &&
      underReplicatedShards === 0
    )
  })
}

async function stop(machine: Machine): Promise<void> {
  await machines.must(machine, ['stop', '--data-dir', machine.dataDir])
}

/** As an operator does it: stopped, and started with the other program. */
async function runWith(machine: Machine, program?: string): Promise<void> {
  await stop(machine)
  machines.install(machine, program)
  machines.start(machine, ['start', '--data-dir', machine.dataDir])
}

async function serves(machine: Machine, keys: Line): Promise<boolean> {
  try {
    await machines.client(machine, keys).send(new ListBucketsCommand({}))
    return true
  } catch {
    return false
  }
}

type Checked = {
  readonly level: { readonly active: number; readonly newest: number; readonly to: number }
  readonly nodes: readonly { readonly id: number; readonly level: number }[]
}

async function found(path: string): Promise<Line> {
  for (const machine of all) machines.install(machine, path)
  const init = machines.start(one, [
    ...['admin', 'init', ...machines.flags(one)],
    ...['--nodes', '3', '--rs', '2+1'],
  ])
  const { token } = await init.line('started')
  const from = ['--host', `${one.host}:${machines.port(7777)}`, '--token', String(token)]
  for (const machine of [two, three]) {
    // Programs of level 1 serve S3 all the same; later ones go by the capabilities.
    const caps = machine === three ? ['--cap', 'ebs'] : []
    await machines.must(machine, ['admin', 'join', ...machines.flags(machine), ...caps, ...from])
  }
  const formed = await init.line('formed')
  assert.equal((await init.ended).status, 0)
  await machines.client(one, formed).send(new CreateBucketCommand({ Bucket }))
  await ask(one, 'POST', place, { command: 'create' })
  await whole(one)
  return formed
}

const check = async (): Promise<Checked> => (await ask(one, 'GET', '/v1/upgrade')) as Checked

/** Every node goes over to this program, one comes back; then the level rises as far as there is another. */
async function upgrade(
  t: TestContext,
  {
    path,
    formed,
    before,
  }: { readonly path: string; readonly formed: Line; readonly before: number },
): Promise<void> {
  await runWith(one)
  await whole(one)
  assert.equal((await check()).level.active, before)
  const { newest } = (await check()).level
  assert.deepEqual(
    (await check()).nodes.map(({ level }) => level),
    [newest, before, before],
  )
  await machines.must(one, ['admin', 'upgrade', 'policy', 'by-operator', '--data-dir', one.dataDir])
  for (const machine of [two, three]) {
    await runWith(machine)
    await whole(machine)
  }
  await until('all tell their level', async () =>
    (await check()).nodes.every(({ level }) => level === newest),
  )
  assert.equal((await check()).level.active, before)
  assert.equal(await serves(three, formed), before === firstLevel)
  t.diagnostic('all nodes run this program')
  await runWith(three, path)
  await whole(one)
  if (newest === before) return await runWith(three)
  const early = ['admin', 'upgrade', 'raise', '--data-dir', one.dataDir]
  // It answers before the list says again that it is online.
  await until('the older program is named', async () => {
    const { status, stderr } = await machines.run(one, early)
    assert.notEqual(status, 0, 'an older program keeps the level down')
    return new RegExp(`mix3 .*does not know level ${before + 1}`).test(stderr)
  })
  await runWith(three)
  await whole(one)
  t.diagnostic('one went back, and came again')
  await until('the level is raised', async () => (await machines.run(one, early)).status === 0)
  assert.equal((await check()).level.active, newest)
  await until('what the level brings', async () => !(await serves(three, formed)))
}

/** Nobody speaks to it, and the others say why; or it has read the level on its own disk, says so and ends. */
async function refuseOld(
  path: string,
  { formed, before }: { readonly formed: Line; readonly before: number },
): Promise<void> {
  await runWith(three, path)
  const why = `knows feature levels up to ${before}`
  await until(
    'the older program is refused',
    async () =>
      [one, two].every((machine) => said(machine).includes(why)) ||
      said(three).includes(`it ${why}`),
  )
  assert.equal(await serves(three, formed), false)
  await runWith(three)
  await whole(one)
}

/** What the node of a machine has told, in its file or as a command of this test. */
function said(machine: Machine): string {
  const file = readFileSync(join(machine.dataDir, 'node.log'), 'utf8')
  return `${file}\n${machines.said()}`
}

test('an earlier program and this one share a cluster, node by node, and back, until the level rises', {
  skip: previous.kind === 'none' ? previous.reason : false,
}, async (t) => {
  if (previous.kind === 'none') return
  t.diagnostic(`beside ${previous.name}`)
  const formed = await found(previous.path)
  const load = new Load(formed)
  try {
    const before = (await check()).level.newest
    await upgrade(t, { path: previous.path, formed, before })
    const isRaised = (await check()).level.active > before
    if (isRaised) await refuseOld(previous.path, { formed, before })
    t.diagnostic(isRaised ? `level ${before} has risen` : `level ${before} is the newest`)
  } finally {
    await load.end()
  }
  const { objects, keys, retries } = load
  t.diagnostic(`${objects.size} objects, ${keys.size} keys, ${retries} requests asked again`)
  assert.ok(objects.size > 50 && keys.size > 25)
  for (const machine of [one, two]) await load.check(machine, machines.client(machine, formed))
})

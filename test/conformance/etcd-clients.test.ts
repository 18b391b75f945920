// Clients of etcd that others wrote, against three real nodes whose leader is killed while they work: what they
// asked for has happened once, and they notice nothing but a pause.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, afterEach, before, describe, it } from 'node:test'
import { Client, credentials } from '@grpc/grpc-js'
import { type Election, Etcd3, isRecoverableError } from 'etcd3'
import { decodeBytes, encodeBytes, type Message, type MessageOf } from '../../src/base/index.ts'
import {
  leaseGrantRequest,
  leaseGrantResponse,
  rangeRequest,
  rangeResponse,
} from '../../src/keyspace/etcd/wire.ts'
import { recipeMessages } from '../../src/gateways/etcd/recipes.ts'
import { type Cluster, startCluster } from '../e2e/cluster.ts'
import { bytes, noPair, range, Storage, told, Watching } from './etcd/kubernetes.ts'

const portOffset = 19_000
const port = 2379 + portOffset
const noPython = (module: string): string | false => {
  const probe = spawnSync('/usr/bin/python3', ['-c', `import ${module}`])
  return probe.status === 0 ? false : `python's ${module} is missing`
}
const noEtcdctl =
  spawnSync('which', ['etcdctl']).status === 0 ? false : 'etcdctl is missing (etcd-client)'

let cluster: Cluster
before(async () => {
  cluster = await startCluster({ portOffset, args: ['--etcd'] })
})
/** One that failed while a node was dead is no reason for the next to fail. */
afterEach(() => cluster.startMissing())
after(() => cluster.stop())

const addressOf = (id: number): string => `127.0.0.${id}:${port}`
const allAddresses = [1, 2, 3].map(addressOf)

async function leader(): Promise<number> {
  for (const address of allAddresses) {
    const asked = fetch(`http://${address}/v3/maintenance/status`, { method: 'POST', body: '{}' })
    const answer = await asked.catch(() => undefined)
    const status = (await answer?.json()) as { leader?: string } | undefined
    if (status?.leader !== undefined) return Number(status.leader)
  }
  return assert.fail('no node tells who leads')
}

let dead = 0
const isDead = (id: number): boolean => id === dead

/** kill -9 of the leader of etcd's group. Answers a node that lives. */
async function killLeader(): Promise<number> {
  const id = await leader()
  dead = id
  await cluster.kill(cluster.line.nodes.findIndex((node) => node.id === id))
  return (id % 3) + 1
}

/** A program that says 'ready' in the middle of its work and 'done' at its end. */
async function runWhileKilled(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (part: Buffer) => {
    errors = (errors + part.toString()).slice(-4000)
  })
  const said: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line)
    if (line === 'ready') await killLeader()
  }
  await ended(child)
  assert.deepEqual(said, ['ready', 'done'], errors)
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => child.once('exit', () => resolve()))
}

describe('one node, everything on one thread, with TLS for clients of an authority', () => {
  it('serves etcdctl, and nobody without a certificate', { skip: noEtcdctl }, async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'atoll-etcd-tls-'))
    const identity = join(dataDir, 'node-1', 'identity')
    const authority = join(identity, 'authority.pem')
    const endpoint = `--endpoints=https://127.0.0.1:${port + 500}`
    const flags = ['--nodes', '1', '--data-threads', '0', '--etcd-port', String(port + 500)]
    const alone = await startCluster({
      portOffset: portOffset + 500,
      dataDir,
      args: [...flags, '--etcd-tls'],
    })
    const etcdctl = (args: readonly string[], isKnown = true): string => {
      const known = ['--cert', join(identity, 'node.pem'), '--key', join(identity, 'node-key.pem')]
      const all = [endpoint, '--cacert', authority, ...(isKnown ? known : []), ...args]
      const options = { env: { ...process.env, ETCDCTL_API: '3' }, timeout: 20_000 }
      const ran = spawnSync('etcdctl', ['--command-timeout=2s', ...all], options)
      return `${ran.stdout}${ran.stderr}`
    }
    try {
      assert.match(etcdctl(['put', 'tls', 'x'], false), /^OK/)
      await alone.stop()
      const mutual = [...flags, '--etcd-client-ca', authority]
      const guarded = await startCluster({ portOffset: portOffset + 500, dataDir, args: mutual })
      try {
        assert.match(etcdctl(['get', 'tls']), /^tls\nx/)
        assert.match(etcdctl(['lock', 'l', 'echo', 'held']), /held/)
        assert.doesNotMatch(etcdctl(['get', 'tls'], false), /^tls/)
      } finally {
        await guarded.stop()
      }
    } finally {
      await alone.stop()
      rmSync(dataDir, { recursive: true, force: true })
    }
  })

  it('names the flag that moves a taken port', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'atoll-etcd-port-'))
    const taken = createServer().listen({ host: '127.0.0.1', port: port + 501, exclusive: true })
    try {
      const args = ['--nodes', '1', '--etcd-port', String(port + 501)]
      await assert.rejects(
        startCluster({ portOffset: portOffset + 500, dataDir, args }),
        /is taken by another program; it is for etcd's API[\s\S]*--etcd-port PORT/,
      )
    } finally {
      await new Promise((resolve) => taken.close(resolve))
      rmSync(dataDir, { recursive: true, force: true })
    }
  })
})

describe('the npm client etcd3', () => {
  /** What failed on the way is asked again, perhaps of another node: the client leaves that to its user. */
  const again = async <T>(ask: () => PromiseLike<T>): Promise<T> => {
    for (let left = 200; ; left--) {
      try {
        return await ask()
      } catch (error) {
        if (!isRecoverableError(error as Error) || left === 0) throw error
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }
  let client: Etcd3
  before(() => {
    client = new Etcd3({ hosts: allAddresses.map((address) => `http://${address}`) })
  })
  after(() => client.close())

  it('reads, writes, watches, leases, locks and elects while the leader is killed', async () => {
    await client.put('js/a').value('1')
    assert.equal(await client.get('js/a').string(), '1')
    const moved = await client
      .if('js/a', 'Value', '==', '1')
      .then(client.put('js/a').value('2'))
      .else(client.get('js/a'))
      .commit()
    assert.equal(moved.succeeded, true)
    const lease = client.lease(30)
    await lease.put('js/leased').value('v')
    const watcher = await client.watch().prefix('js/n/').create()
    const seen: number[] = []
    const revisions: number[] = []
    const all = new Promise<void>((resolve) =>
      watcher.on('put', (kv) => {
        seen.push(Number(kv.value.toString()))
        revisions.push(Number(kv.mod_revision))
        if (seen.at(-1) === 99) resolve()
      }),
    )
    const election: Election = client.election('js-election', 30)
    const campaign = election.campaign('me')
    await new Promise<void>((resolve, reject) => {
      campaign.on('error', reject)
      campaign.on('elected', resolve)
    })
    await client
      .lock('js-lock')
      .ttl(30)
      .do(async () => {
        const killing = sleepUntil(() => seen.length > 20).then(killLeader)
        for (let i = 0; i < 100; i++) await again(() => client.put(`js/n/${i}`).value(i))
        await killing
        await assert.rejects(
          again(() => client.lock('js-lock').ttl(30).acquire()),
          /lock/i,
        )
      })
    await all
    // A put whose answer the kill took may have happened, and is asked again, by the client itself too: then it is there
    // twice, but no event ever is.
    const hundred = Array.from({ length: 100 }, (_, i) => i)
    assert.deepEqual([...new Set(seen)], hundred)
    const inOrder = [...new Set(revisions)].sort((a, b) => a - b)
    assert.deepEqual(revisions, inOrder, String(seen))
    assert.equal((await again(() => client.getAll().prefix('js/n/').keys())).length, 100)
    assert.equal(await again(() => election.leader()), 'me')
    await again(() => campaign.resign())
    assert.equal(await again(() => client.get('js/leased').string()), 'v')
    await again(() => lease.revoke())
    assert.equal(await again(() => client.get('js/leased').exists()), false)
    await watcher.cancel()
  })
})

/** Polls what events change, as tests that cannot be told may. */
async function sleepUntil(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe("python's clients over the JSON gateway", () => {
  const script = (name: string): string => join(import.meta.dirname, 'etcd', name)

  it('etcd3gw goes on while another node is killed', { skip: noPython('etcd3gw') }, async () => {
    const survivor = ((await leader()) % 3) + 1
    await runWhileKilled('/usr/bin/python3', [script('use_etcd3gw.py'), addressOf(survivor)])
  })

  it("Patroni's etcd3 goes on", { skip: noPython('patroni.dcs.etcd3') }, async () => {
    await runWhileKilled('/usr/bin/python3', [script('use_patroni.py'), allAddresses.join(',')])
  })
})

describe("the calls of Kubernetes' storage", () => {
  const counter = '/registry/leases/counter'
  const pods = { key: bytes('/registry/pods/'), rangeEnd: bytes('/registry/pods0') }

  /** As Kubernetes does: what broke off is asked again, a watch goes on behind what it has seen. */
  const again = async <T>(ask: () => Promise<T>): Promise<T> => {
    for (let left = 200; ; left--) {
      try {
        return await ask()
      } catch (error) {
        if (left === 0) throw error
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }

  /** Every value of the counter, each with the one before it, up to the one that is asked for. */
  const follow = async (storage: Storage, isLast: (value: string) => boolean) => {
    const seen: string[] = []
    let startRevision = storage.start + 1
    while (seen.length === 0 || !isLast(seen.at(-1)?.split(' ')[1] ?? '')) {
      const watching = new Watching(storage)
      watching.create({ key: bytes(counter), startRevision, prevKv: true })
      try {
        for (;;) {
          const { events } = await watching.next()
          for (const event of events) {
            const { value, modRevision } = event?.kv ?? noPair
            seen.push(`${told(event?.prevKv?.value)} ${told(value)}`)
            startRevision = modRevision + 1
          }
          if (isLast(seen.at(-1)?.split(' ')[1] ?? '')) break
        }
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20))
      } finally {
        watching.close()
      }
    }
    return seen
  }

  const page = async (storage: Storage, revision: number, from: string): Promise<string> => {
    const asked = { ...pods, key: bytes(from), limit: 2, revision }
    const { kvs, more } = await again(() => storage.ask(range, asked))
    const last = kvs.at(-1)?.key
    const rest = more ? await page(storage, revision, `${told(last)}\0`) : ''
    return kvs.map((pair) => told(pair?.value)).join('') + rest
  }

  it('update, list in pages and watch on while the leader is killed', async () => {
    const storage = new Storage(`ipv4:${allAddresses.join(',')}`)
    try {
      for (const name of ['a', 'b', 'c', 'd', 'e']) {
        await storage.writeAt(`/registry/pods/${name}`, 0, name)
      }
      storage.start = (await storage.ask(range, pods)).header?.revision ?? 0
      await storage.writeAt('/registry/pods/c', storage.start - 2, undefined)
      let acknowledged = 0
      let unknown = 0
      const increment = async (): Promise<void> => {
        const { kvs } = await again(() => storage.ask(range, { key: bytes(counter) }))
        const { value, modRevision } = kvs[0] ?? noPair
        const next = String(Number(told(value)) + 1)
        const written = storage.writeAt(counter, modRevision, next).catch(() => undefined)
        const succeeded = (await written)?.succeeded
        if (succeeded === true) acknowledged++
        else if (succeeded === undefined) unknown++
      }
      let last = Number.POSITIVE_INFINITY
      const following = follow(storage, (value) => Number(value) >= last)
      const killing = sleepUntil(() => acknowledged > 30).then(killLeader)
      const work = async (): Promise<void> => {
        while (acknowledged < 120) await increment()
      }
      await Promise.all([killing, work(), work(), work()])
      await increment()
      const { kvs } = await again(() => storage.ask(range, { key: bytes(counter) }))
      last = Number(told(kvs[0]?.value))
      assert.ok(last >= acknowledged && last <= acknowledged + unknown, `${last}: ${acknowledged}`)
      last++
      await again(() => storage.writeAt(counter, kvs[0]?.modRevision ?? 0, String(last)))
      const expected = Array.from({ length: last }, (_, i) => `${i === 0 ? '' : i} ${i + 1}`)
      assert.deepEqual(await following, expected)
      assert.equal(await page(storage, storage.start, '/registry/pods/'), 'abcde')
      assert.equal(await page(storage, 0, '/registry/pods/'), 'abde')
    } finally {
      storage.client.close()
    }
  })
})

// biome-ignore lint/suspicious/noExplicitAny: inference over open records of fields
type Fields = Record<string, any>
type Shape<Q extends Fields, A extends Fields> = readonly [string, Message<Q>, Message<A>]

/** grpc-js without code that is made from protocol files: our messages, its HTTP/2. */
class Grpc {
  readonly #client: Client

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure())
  }

  call<Q extends Fields, A extends Fields>(
    [name, request, response]: Shape<Q, A>,
    message: Partial<MessageOf<Message<Q>>>,
  ) {
    const whole = { ...decodeBytes(request, new Uint8Array(0)), ...message }
    const path = `/${name}`
    let cancel = (): void => undefined
    const answer = new Promise<MessageOf<Message<A>>>((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        (value: typeof whole) => Buffer.from(encodeBytes(request, value)),
        (bytes: Buffer) => decodeBytes(response, bytes),
        whole,
        (error, value) => (error === null && value !== undefined ? resolve(value) : reject(error)),
      )
      cancel = () => call.cancel()
    })
    return { answer, cancel }
  }

  ask<Q extends Fields, A extends Fields>(
    shape: Shape<Q, A>,
    message: Partial<MessageOf<Message<Q>>>,
  ): Promise<MessageOf<Message<A>>> {
    return this.call(shape, message).answer
  }

  stream<Q extends Fields, A extends Fields>(
    [name, request, response]: Shape<Q, A>,
    message: Partial<MessageOf<Message<Q>>>,
  ) {
    const whole = { ...decodeBytes(request, new Uint8Array(0)), ...message }
    const call = this.#client.makeServerStreamRequest(
      `/${name}`,
      (value: typeof whole) => Buffer.from(encodeBytes(request, value)),
      (bytes: Buffer) => decodeBytes(response, bytes),
      whole,
    )
    call.on('error', () => undefined)
    return call
  }

  close(): void {
    this.#client.close()
  }
}

describe('Lock and Election over gRPC', () => {
  const range = ['etcdserverpb.KV/Range', rangeRequest, rangeResponse] as const
  const grant = ['etcdserverpb.Lease/LeaseGrant', leaseGrantRequest, leaseGrantResponse] as const
  const { lock, unlock, campaign, proclaim, leaderOf, observe, resign } = recipeMessages
  const text = (value: string): Uint8Array => new TextEncoder().encode(value)
  let grpc: Grpc
  before(() => {
    grpc = new Grpc(addressOf(1))
  })
  after(() => grpc.close())
  const count = async (name: string): Promise<number> =>
    (await grpc.ask(range, { key: text(`${name}/`), rangeEnd: text(`${name}0`) })).count
  const leased = async (ttl: number): Promise<number> => (await grpc.ask(grant, { ttl })).id

  it('frees a lock when its lease ends, and forgets who does not wait any more', async () => {
    const name = text('glock')
    const held = await grpc.ask(lock, { name, lease: await leased(2) })
    const gone = grpc.call(lock, { name, lease: await leased(60) })
    while ((await count('glock')) < 2) await new Promise((resolve) => setTimeout(resolve, 10))
    const waiting = grpc.call(lock, { name, lease: await leased(60) })
    while ((await count('glock')) < 3) await new Promise((resolve) => setTimeout(resolve, 10))
    gone.cancel()
    await assert.rejects(gone.answer, { code: 1 })
    const next = await waiting.answer
    assert.notDeepEqual(next.key, held.key)
    assert.equal(await count('glock'), 1)
    await grpc.ask(unlock, { key: next.key })
    assert.equal(await count('glock'), 0)
  })

  it('elects one, tells its values, and the next when it resigns', async () => {
    const name = text('gelect')
    const first = await grpc.ask(campaign, { name, lease: await leased(60), value: text('a') })
    const second = grpc.call(campaign, { name, lease: await leased(60), value: text('b') })
    const seen: string[] = []
    const observing = grpc.stream(observe, { name })
    const three = new Promise<void>((resolve) =>
      observing.on('data', (answer: { kv?: { value: Uint8Array } }) => {
        const value = new TextDecoder().decode(answer.kv?.value)
        if (seen.at(-1) !== value) seen.push(value)
        if (value === 'b') resolve()
        else if (value === 'a')
          grpc.ask(proclaim, { leader: first.leader, value: text('a2') }).catch(assert.ifError)
        else grpc.ask(resign, { leader: first.leader }).catch(assert.ifError)
      }),
    )
    await three
    const won = await second.answer
    assert.deepEqual(seen, ['a', 'a2', 'b'])
    const now = await grpc.ask(leaderOf, { name })
    assert.deepEqual(now.kv?.key, won.leader?.key)
    await assert.rejects(grpc.ask(proclaim, { leader: first.leader, value: text('x') }), {
      code: 2,
      details: 'election: not leader',
    })
    observing.cancel()
    await grpc.ask(resign, { leader: won.leader })
    await assert.rejects(grpc.ask(leaderOf, { name }), { details: 'election: no leader' })
  })
})

describe('etcdctl', { skip: noEtcdctl }, () => {
  const etcdctl = (
    args: readonly string[],
    endpoints = allAddresses,
    input = '',
    timeout = 20_000,
  ): string => {
    const env = { ...process.env, ETCDCTL_API: '3' }
    const options = { env, input, timeout }
    const ran = spawnSync('etcdctl', [`--endpoints=${endpoints.join(',')}`, ...args], options)
    return `${ran.stdout}${ran.stderr}`
  }
  const running = new Set<ChildProcess>()
  after(() => {
    for (const child of running) child.kill('SIGKILL')
  })
  const follow = (args: readonly string[]) => {
    const env = { ...process.env, ETCDCTL_API: '3' }
    const all = [`--endpoints=${allAddresses.join(',')}`, ...args]
    const child = spawn('etcdctl', all, { env, stdio: ['ignore', 'pipe', 'ignore'] })
    running.add(child)
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    return { child, next: async () => (await lines.next()).value as string }
  }

  const lines = async (from: ReturnType<typeof follow>, count: number): Promise<string[]> => {
    const read: string[] = []
    while (read.length < count) read.push(await from.next())
    return read
  }

  it('elects the next when the first goes, and locks one at a time', async () => {
    const first = follow(['elect', 'ctl', 'one'])
    assert.match(await first.next(), /^ctl\//)
    assert.equal(await first.next(), 'one')
    const second = follow(['elect', 'ctl', 'two'])
    const holder = follow(['lock', 'ctl-lock'])
    assert.match(await holder.next(), /^ctl-lock\//)
    const waiter = follow(['lock', 'ctl-lock'])
    first.child.kill('SIGINT')
    assert.match(await second.next(), /^ctl\//)
    assert.equal(await second.next(), 'two')
    holder.child.kill('SIGINT')
    assert.match(await waiter.next(), /^ctl-lock\//)
    for (const { child } of [second, waiter]) child.kill('SIGINT')
    await Promise.all([first, second, holder, waiter].map(({ child }) => ended(child)))
  })

  it('works on while the leader is killed: what runs, and what is asked meanwhile', async () => {
    const granted = /lease ([0-9a-f]+) granted/.exec(etcdctl(['lease', 'grant', '30']))
    const lease = granted?.[1] ?? ''
    const watching = follow(['watch', 'fo/', '--prefix'])
    const alive = follow(['lease', 'keep-alive', lease])
    const holding = follow(['lock', 'fo-lock'])
    const leading = follow(['elect', 'fo-elect', 'me'])
    assert.match(await alive.next(), /keepalived with TTL\(30\)/)
    assert.match(await holding.next(), /^fo-lock\//)
    assert.match(await leading.next(), /^fo-elect\//)
    assert.match(etcdctl(['put', 'fo/leased', '0', `--lease=${lease}`]), /^OK/)
    assert.deepEqual(await lines(watching, 3), ['PUT', 'fo/leased', '0'])

    const rest = [addressOf(await killLeader())]
    rest.push(...allAddresses.filter((address) => address !== rest[0]))
    for (const i of [1, 2, 3]) assert.match(etcdctl(['put', 'fo/n', String(i)], rest), /^OK/)
    for (const i of ['1', '2', '3']) {
      assert.deepEqual(await lines(watching, 3), ['PUT', 'fo/n', i])
    }
    assert.equal(etcdctl(['get', 'fo/n', '--print-value-only'], rest), '3\n')
    const taken = 'value("fo/n") = "3"\n\nput fo/n 4\nget fo/n\n\nget fo/leased\n\n'
    assert.match(etcdctl(['txn'], rest, taken), /^SUCCESS\n\nOK\n\nfo\/n\n4\n$/)
    assert.deepEqual(await lines(watching, 3), ['PUT', 'fo/n', '4'])
    assert.equal(etcdctl(['del', 'fo/n'], rest), '1\n')
    assert.deepEqual(await lines(watching, 3), ['DELETE', 'fo/n', ''])
    assert.match(await alive.next(), /keepalived with TTL\(30\)/)
    assert.match(
      etcdctl(['lease', 'timetolive', lease, '--keys'], rest),
      /granted with TTL\(30s\), remaining\(\d+s\), attached keys\(\[fo\/leased\]\)/,
    )
    assert.match(etcdctl(['lease', 'list'], rest), new RegExp(`^${lease}$`, 'm'))
    assert.match(etcdctl(['lease', 'revoke', lease], rest), /revoked/)
    assert.deepEqual(await lines(watching, 3), ['DELETE', 'fo/leased', ''])
    const refused = etcdctl(['lock', 'fo-lock', '--command-timeout=1s', 'true'], rest, '', 2000)
    assert.equal(refused, '', 'the lock is still held')
    const copy = join(mkdtempSync(join(tmpdir(), 'atoll-etcd-copy-')), 'snapshot.db')
    assert.match(etcdctl(['snapshot', 'save', copy], rest.slice(0, 1)), /Snapshot saved at/)
    assert.match(etcdctl(['snapshot', 'status', copy]), /^[0-9a-f]+, \d+, \d+, /)
    rmSync(dirname(copy), { recursive: true })
    assert.match(etcdctl(['user', 'add', 'fo:pw'], rest), /User fo created/)
    assert.match(etcdctl(['role', 'add', 'fo'], rest), /Role fo created/)
    assert.match(etcdctl(['user', 'grant-role', 'fo', 'fo'], rest), /granted/)
    assert.match(etcdctl(['user', 'delete', 'fo'], rest), /deleted/)
    assert.match(etcdctl(['role', 'delete', 'fo'], rest), /deleted/)
    assert.equal(etcdctl(['alarm', 'list'], rest), '')
    const { header } = JSON.parse(etcdctl(['get', 'fo/n', '-w', 'json'], rest))
    assert.match(etcdctl(['compaction', String(header.revision - 1)], rest), /compacted revision/)
    const live = await leader()
    const target = String([1, 2, 3].find((id) => id !== live && !isDead(id)))
    assert.match(etcdctl(['move-leader', target], [addressOf(live)]), /Leadership transferred/)
    assert.match(etcdctl(['endpoint', 'status'], [addressOf(Number(target))]), /3\.5\.\d+/)

    await cluster.startMissing()
    assert.equal(etcdctl(['endpoint', 'health']).match(/is healthy/g)?.length, 3)
    const marks = [1, 2, 3].map((id) => {
      const at = ['endpoint', 'hashkv', `--rev=${header.revision}`]
      return etcdctl(at, [addressOf(id)]).split(', ')[1]
    })
    assert.equal(new Set(marks).size, 1, marks.join())
    for (const { child } of [watching, alive, holding, leading]) child.kill('SIGINT')
    await Promise.all([watching, alive, holding, leading].map(({ child }) => ended(child)))
  })

  it('takes a member out of the group and back, first as a learner', async () => {
    const id = String(((await leader()) % 3) + 1)
    const others = [addressOf((Number(id) % 3) + 1)]
    assert.match(etcdctl(['member', 'remove', id], others), /removed from cluster/)
    assert.equal(etcdctl(['member', 'list'], others).trim().split('\n').length, 2)
    assert.match(etcdctl(['put', 'without', id], others), /OK/)
    const peer = `--peer-urls=https://127.0.0.${id}:${6660 + portOffset}`
    assert.match(etcdctl(['member', 'add', 'again', peer, '--learner'], others), /added to cluster/)
    assert.match(etcdctl(['member', 'list'], others), new RegExp(`^${id}, started, .* true$`, 'm'))
    assert.match(etcdctl(['member', 'promote', id], others), /promoted/)
    assert.doesNotMatch(etcdctl(['member', 'list'], others), /true$/m)
    assert.equal(
      etcdctl(['get', 'without', '--print-value-only'], [addressOf(Number(id))]),
      `${id}\n`,
    )
    const last = await leader()
    const next = [addressOf((last % 3) + 1)]
    assert.match(etcdctl(['member', 'remove', String(last)], next), /removed from cluster/)
    assert.equal(etcdctl(['member', 'list'], next).includes(`${last}, started`), false)
    const back = `--peer-urls=https://127.0.0.${last}:${6660 + portOffset}`
    assert.match(etcdctl(['member', 'add', 'again', back], next), /added to cluster/)
    assert.match(etcdctl(['member', 'update', String(last), back], next), /updated/)
    assert.match(etcdctl(['endpoint', 'health']), /is healthy/)
  })
})

// A member that is found at another address, and one whose disk is lost and whose place is taken: by command, of a
// launcher's cluster and of machines of their own. What was stored is read through the moved and from the new.

import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
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
import { type Line, type Machine, Machines, until } from './machines.ts'

const Bucket = 'places'
const file = randomFile(3 * 1024 * 1024)
const hash = sha256(file)

const isWhole = ({ nodes, underReplicatedShards }: Status): boolean =>
  underReplicatedShards === 0 && nodes.every(({ state }) => state === 'online')

async function fill(client: S3Client): Promise<void> {
  await client.send(new CreateBucketCommand({ Bucket }))
  await client.send(new PutObjectCommand({ Bucket, Key: 'a', Body: file }))
}

describe('of a launcher', () => {
  let cluster: Cluster
  after(() => cluster?.stop())

  async function admin(...words: readonly string[]): Promise<Line> {
    const command = [join(root, 'scripts/atoll.mjs'), 'admin', ...words, '--json']
    const ran = await run(process.execPath, [...command, '--data-dir', cluster.dataDir])
    assert.equal(ran.status, 0, `${words.join(' ')}: ${ran.stderr}`)
    return JSON.parse(ran.stdout) as Line
  }

  test('a node moves to another address', async () => {
    cluster = await startCluster({ portOffset: 7000 })
    await fill(cluster.client(0))
    await cluster.kill(1)
    const told = await admin('readdress', '2', '--bind', '127.0.0.102')
    assert.deepEqual(told, { id: 2, changed: true })
    await cluster.startMissing()
    assert.match(cluster.node(1).s3, /127\.0\.0\.102:/)
    await cluster.until('all are online and whole', isWhole)
    assert.equal(await getHash(cluster.client(1), Bucket, 'a'), hash)
  })

  test('a node that lost its disk is replaced, and the new one holds what it held', async () => {
    await cluster.kill(2)
    rmSync(cluster.node(2).dataDir, { recursive: true })
    assert.deepEqual(await admin('replace', '3'), { id: 4, replaces: 3 })
    await cluster.startMissing()
    assert.equal(cluster.node(2).id, 4)
    await cluster.until('all are online and whole', isWhole)
    await cluster.kill(0)
    await until('a read without the first node', async () => {
      return (await getHash(cluster.client(2), Bucket, 'a')) === hash
    })
  })
})

describe('of machines', () => {
  const machines = new Machines(8000)
  after(() => machines.stopAll())
  const [one, two, three] = [41, 42, 43].map((last) =>
    machines.add(`rpi${last}`, `127.0.0.${last}`),
  ) as [Machine, Machine, Machine]
  const at = `127.0.0.41:${machines.port(7777)}`
  const join = (machine: Machine, token: unknown): Promise<string> => {
    const args = ['--host', at, '--token', String(token)]
    return machines.must(machine, ['admin', 'join', ...machines.flags(machine), ...args])
  }
  const states = async (asked: Machine): Promise<ReadonlyMap<unknown, unknown>> => {
    const { members } = await machines.ask(asked, 'admin', 'nodes')
    return new Map((members as readonly Line[]).map(({ name, state }) => [name, state]))
  }
  let formed: Line

  test('a machine moves to another address, and gets certificates that name it', async () => {
    const list = [one, two, three].map(({ host }) => host).join()
    const args = ['--nodes', '3', '--storage-nodes', list, '--rs', '2+1']
    const init = machines.start(one, ['admin', 'init', ...machines.flags(one), ...args])
    const { token } = await init.line('started')
    await join(two, token)
    await join(three, token)
    formed = await init.line('formed')
    await fill(machines.client(one, formed))
    await machines.kill(two)
    const move = ['admin', 'readdress', '2', '--bind', '127.0.0.142']
    assert.deepEqual(await machines.ask(one, ...move), { id: 2, changed: true })
    assert.deepEqual(await machines.ask(two, ...move), { id: 2, changed: true })
    machines.start(two, ['start', '--data-dir', two.dataDir])
    // Over TLS, at the new address: refused until the certificate names it.
    await until('the moved machine answers', async () => {
      return [...(await states(two)).values()].every((state) => state === 'online')
    })
    const moved = machines.client(two, formed, `http://127.0.0.142:${machines.port(9000)}`)
    assert.equal(await getHash(moved, Bucket, 'a'), hash)
  })

  test('a machine that is lost is replaced by another at its address', async () => {
    await machines.kill(three)
    const { token } = await machines.ask(one, 'admin', 'replace', '3')
    const four = machines.add('rpi44', three.host)
    await join(four, token)
    await until('the lost one is gone, and the new one whole', async () => {
      const known = await states(four)
      const status = (await machines.ask(four, 'status')) as unknown as Status
      return !known.has('rpi43') && known.get('rpi44') === 'online' && isWhole(status)
    })
    await machines.kill(one)
    await until('a read without the first machine', async () => {
      return (await getHash(machines.client(four, formed), Bucket, 'a')) === hash
    })
  })
})

// Real hosts: each machine is a network namespace with an address of its own, on one bridge. A cluster is formed by
// token, by search, by file and by page; while clients write keys and objects, networks are cut in halves and in pieces, one
// way only, and are slow and lossy; a machine moves to another address, one is lost and its place taken by another, and, in
// longer runs, two leave, the founder among them. Everything that was acknowledged is there afterwards.
//
// The story runs in a process of its own inside a namespace, so that whatever it makes ends with it.
// ATOLL_NETNS_TURNS: how often the networks go wrong; 1 by default.

import assert from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { seededRandom } from '../../src/base/index.ts'
import { askAdmin } from '../../src/cli/admin-client.ts'
import { requireOwnNode } from '../../src/cli/own-node.ts'
import { hostOf, Networks, whyNoNetworks } from '../../tools/torture/networks.ts'
import { getHash, randomFile, run, sha256 } from './cluster.ts'
import { type Line, type Machine, Machines, until } from './machines.ts'

const insideMark = 'ATOLL_NETNS_INSIDE'
const count = 5
/** Between two writes of one writer: the machines share few processors. */
const pauseMs = 100
/** Frames that are lost before the network is whole again. */
const lostMin = 50
const turns = Number(process.env.ATOLL_NETNS_TURNS ?? 1)

/** Writes keys and objects, and remembers what was acknowledged. */
class Writer {
  readonly acknowledged = new Map<string, string>()
  readonly objects = new Map<string, string>()
  #isStopped = false
  #count = 0
  readonly #running = new Map<string, Promise<void>>()
  readonly #leaving = new Set<string>()
  readonly #client: (machine: Machine) => S3Client

  constructor(client: (machine: Machine) => S3Client) {
    this.#client = client
  }

  /** One writer for each machine: a machine that does not answer holds up its own only. */
  start(machine: Machine): void {
    this.#leaving.delete(machine.name)
    this.#running.set(machine.name, this.#run(machine))
  }

  /** The writer of this machine. */
  async leave({ name }: Machine): Promise<void> {
    this.#leaving.add(name)
    await this.#running.get(name)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#running.values())
  }

  async #run(machine: Machine): Promise<void> {
    for (let at = 0; !this.#isStopped && !this.#leaving.has(machine.name); at++) {
      const number = this.#count++
      const key = `k${number}`
      try {
        if (at % 10 === 9) {
          const body = randomFile(50_000)
          const put = new PutObjectCommand({ Bucket: 'story', Key: key, Body: body })
          await this.#client(machine).send(put, { abortSignal: AbortSignal.timeout(10_000) })
          this.objects.set(key, sha256(body))
        } else {
          await command(machine, { command: 'set', key, value: `v${number}` })
          this.acknowledged.set(key, `v${number}`)
        }
      } catch {
        // Not acknowledged: it may have happened or not.
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }

  /** Settles when that many further writes were acknowledged, objects among them. */
  async progress(what: string, writes = 30): Promise<void> {
    const [keys, objects] = [this.acknowledged.size, this.objects.size]
    const isDone = async (): Promise<boolean> =>
      this.acknowledged.size >= keys + writes && this.objects.size > objects
    await until(what, isDone)
  }
}

async function command(machine: Machine, body: Line): Promise<Line> {
  const { endpoint } = requireOwnNode(machine.dataDir)
  const path = '/raft/v1/raft/story'
  return (await askAdmin(endpoint, { method: 'POST', path, body, timeoutMs: 5_000 })) as Line
}

function story(): void {
  const networks = new Networks(count)
  const machines = new Machines(0)
  const all = Array.from({ length: count }, (_, at) => {
    return machines.add(`rpi${at + 1}`, hostOf(at), networks.prefix(at))
  })
  const machine = (at: number): Machine => {
    const found = all[at]
    assert.ok(found !== undefined)
    return found
  }
  const list = all.slice(0, 3).map(({ host }) => host)
  const clients = new Map<string, S3Client>()
  let formed: Line = {}
  const client = (at: Machine): S3Client => {
    const known = clients.get(at.host)
    if (known !== undefined) return known
    const { endpoint } = requireOwnNode(at.dataDir)
    const made = new S3Client({
      region: String(formed.region),
      endpoint: `https://${at.host}:8443`,
      forcePathStyle: true,
      maxAttempts: 1,
      credentials: {
        accessKeyId: String(formed.accessKeyId),
        secretAccessKey: String(formed.secretAccessKey),
      },
      requestHandler: { httpsAgent: new Agent({ ca: endpoint.authorityPem }) },
    })
    clients.set(at.host, made)
    return made
  }
  const writer = new Writer(client)
  const noSlow = networks.canBeSlow ? false : 'the kernel has no VXLAN'
  const online = async (at: Machine, names: readonly string[]): Promise<boolean> => {
    const { members } = await machines.ask(at, 'admin', 'nodes')
    const states = new Map((members as readonly Line[]).map(({ name, state }) => [name, state]))
    return names.every((name) => states.get(name) === 'online')
  }
  after(async () => {
    await writer.stop()
    networks.heal()
    for (const one of clients.values()) one.destroy()
    await machines.stopAll()
    networks.close()
  })

  test('one founds, one joins by token, one finds the cluster by itself', async () => {
    if (noSlow === false) await networks.openSlowPath(seededRandom(1))
    const args = ['--nodes', '3', '--storage-nodes', list.join()]
    const init = machines.start(machine(0), [
      'admin',
      'init',
      ...machines.flags(machine(0)),
      ...args,
    ])
    const { token } = await init.line('started')
    const join = ['admin', 'join', '--token', String(token)]
    const second = machines.flags(machine(1))
    await machines.must(machine(1), [...join, ...second, '--leader', `https://${list[0]}:7777`])
    await machines.must(machine(2), [...join, ...machines.flags(machine(2))])
    formed = await init.line('formed')
    await command(machine(0), { command: 'create' })
    await client(machine(0)).send(new CreateBucketCommand({ Bucket: 'story' }))
    for (const one of all.slice(0, 3)) writer.start(one)
    await writer.progress('writes at three machines')
  })

  for (let turn = 1; turn <= turns; turn++) {
    const again = turns === 1 ? '' : `, turn ${turn}`

    test(`two halves: the larger goes on, and the smaller catches up${again}`, async () => {
      networks.cutNode(2, 'both')
      await writer.progress('writes beside the cut')
      networks.heal()
      await until('the third is heard again', () => online(machine(2), ['rpi1', 'rpi2', 'rpi3']))
    })

    test(`three pieces: nothing is acknowledged, and all goes on afterwards${again}`, async () => {
      for (let at = 0; at < 3; at++) networks.cutNode(at, 'both')
      // Who led may still answer what it had agreed before; a write needs another machine.
      const alone = all.slice(0, 3).map((at) => {
        return assert.rejects(command(at, { command: 'set', key: 'never', value: 'x' }))
      })
      await Promise.all(alone)
      networks.heal()
      await writer.progress('writes after the pieces')
    })

    test(`one way only: who is heard and hears nobody, and the reverse${again}`, async () => {
      networks.cutNode(0, 'in')
      await writer.progress('writes beside the deaf one')
      networks.heal()
      networks.cutNode(1, 'out')
      await writer.progress('writes beside the mute one')
      networks.heal()
      await writer.progress('writes after both')
    })

    const noFilter = Networks.whyNoFilter() ?? false
    test(`one link loses all, one way, by a rule of nftables${again}`, {
      skip: noFilter,
    }, async () => {
      for (const from of [1, 2]) networks.lose(0, { from, percent: 100 })
      await writer.progress('writes beside the loss')
      networks.heal()
      for (let at = 0; at < 3; at++) networks.lose(at, { percent: 5 })
      await writer.progress('writes while a twentieth is lost')
      networks.heal()
      await writer.progress('writes after the loss')
    })

    test(`a network of 300 ms that loses a twentieth${again}`, { skip: noSlow }, async () => {
      networks.slow({ delayMs: 150, jitterMs: 20, lossRatio: 0 })
      await writer.progress('writes over a slow network')
      networks.slow({ delayMs: 150, jitterMs: 20, lossRatio: 0.05 })
      const isLossy = async (): Promise<boolean> => networks.slowFrames.dropped >= lostMin
      await until('many frames are lost', isLossy)
      networks.heal()
      await writer.progress('writes after the slow network')
      const { passed, dropped } = networks.slowFrames
      console.log(`${passed} frames were slow, ${dropped} lost`)
    })
  }

  test('a machine joins by file, and one by its page, while clients write', async () => {
    const { token } = await machines.ask(machine(0), 'admin', 'token', 'create')
    const file = {
      controllers: [list[1]],
      token,
      name: 'rpi4',
      bind: machine(3).host,
      region: 'eu',
    }
    mkdirSync(machine(3).dataDir, { recursive: true })
    writeFileSync(join(machine(3).dataDir, 'bootstrap.json'), JSON.stringify(file), { mode: 0o600 })
    machines.start(machine(3), ['start', '--data-dir', machine(3).dataDir])
    await until('the fourth is online', async () => {
      if (!(await online(machine(3), ['rpi4']))) throw new Error(machines.said())
      return true
    })
    const bind = machine(4).host
    machines.start(machine(4), ['start', '--data-dir', machine(4).dataDir, '--bind', bind])
    const { words } = await machines.ask(machine(2), 'admin', 'token', 'create', '--pairing')
    let page = ''
    await until('the page is served', async () => {
      page = (await askPage(`https://${bind}:7777/`)).text
      return page.includes('<form')
    })
    const number = /name="number" value="([0-9a-f]+)"/.exec(page)?.[1] ?? ''
    const fields = {
      controller: `${list[2]}`,
      secret: String(words),
      name: 'rpi5',
      bind,
      region: 'eu',
      zone: 'b',
    }
    const form = new URLSearchParams({ ...fields, number, caps: '', labels: '' }).toString()
    assert.equal((await askPage(`https://${bind}:7777/join`, form)).status, 303)
    await until('the fifth is online', async () => {
      if (!(await online(machine(4), ['rpi4', 'rpi5']))) throw new Error(machines.said())
      return true
    })
    for (const one of all.slice(3)) writer.start(one)
    await writer.progress('writes at five machines')
  })

  test('a machine moves to another address', async () => {
    await writer.leave(machine(1))
    await machines.kill(machine(1))
    const host = '10.77.0.12'
    networks.move(1, host)
    const move = ['admin', 'readdress', '2', '--bind', host]
    assert.deepEqual(await machines.ask(machine(0), ...move), { id: 2, changed: true })
    assert.deepEqual(await machines.ask(machine(1), ...move), { id: 2, changed: true })
    all[1] = machines.add('rpi2', host, networks.prefix(1))
    machines.start(machine(1), ['start', '--data-dir', machine(1).dataDir])
    await until('the moved one is online', () => online(machine(1), ['rpi2']))
    writer.start(machine(1))
    await writer.progress('writes with the moved one')
  })

  test('a machine that is lost is replaced by another at its address', async () => {
    await machines.kill(machine(2))
    rmSync(machine(2).dataDir, { recursive: true, force: true })
    const { token } = await machines.ask(machine(0), 'admin', 'token', 'create', '--replaces', '3')
    const args = ['--host', `${list[0]}:7777`, '--token', String(token)]
    const flags = machines.flags(machine(2))
    await machines.must(machine(2), ['admin', 'join', ...flags, ...args])
    await writer.progress('writes at five machines again')
  })

  const noTime = turns > 1 ? false : 'a minute or two: leaving.test.ts, and here with more turns'
  test('two machines leave, the founder among them', { skip: noTime }, async () => {
    for (const at of [0, 4]) {
      const one = machine(at)
      await writer.leave(one)
      const ask = (...words: readonly string[]): Promise<string> => {
        const args = ['admin', ...words, one.name, '--data-dir', machine(3).dataDir]
        return machines.must(machine(3), args)
      }
      await ask('drain')
      await ask('remove')
    }
    await writer.progress('writes at three machines again')
  })

  test('everything acknowledged is there', async () => {
    await writer.stop()
    for (const [key, value] of writer.acknowledged) {
      const found = await command(machine(3), { command: 'get', key })
      assert.equal(found.value, value, key)
    }
    for (const [key, hash] of writer.objects) {
      assert.equal(await getHash(client(machine(1)), 'story', key), hash, key)
    }
    const { size } = writer.acknowledged
    console.log(`everything acknowledged is there: ${size} keys, ${writer.objects.size} objects`)
  })
}

/** The page of a machine that nobody knows yet: its certificate is of the moment. */
function askPage(url: string, form?: string): Promise<{ status: number; text: string }> {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const options = {
    method: form === undefined ? 'GET' : 'POST',
    rejectUnauthorized: false,
    headers,
  }
  return new Promise((resolve, reject) => {
    const asked = request(url, options, (response) => {
      let text = ''
      response.on('data', (part: Buffer) => {
        text += part.toString()
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    asked.on('error', reject)
    asked.end(form)
  })
}

if (process.env[insideMark] === undefined) {
  test('machines with networks of their own', { skip: whyNoNetworks() ?? false }, async () => {
    const inside = [process.execPath, '--test', '--test-reporter=spec', import.meta.filename]
    // Node tells its tests that they run inside others, which these do not.
    const ends = ['--pid', '--fork', '--mount-proc', '--kill-child']
    const args = ['--net', '--mount', ...ends, 'env', '-u', 'NODE_TEST_CONTEXT', ...inside]
    const ran = await run('unshare', args, { env: { [insideMark]: '1' } })
    console.log(ran.stdout.trim())
    assert.equal(ran.status, 0, ran.stdout + ran.stderr)
    assert.match(ran.stdout, /everything acknowledged is there/)
  })
} else story()

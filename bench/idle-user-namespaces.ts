// What many idle namespaces cost: a cluster of three real nodes, opened by name through the command API, each with its
// own group and leader. CPU and memory before and after; then one node is killed and every namespace has to accept a
// write at one of the others.

import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { cpuMs, residentMebibytes } from './load.ts'
import { startOurs } from './ours.ts'

const settleMs = 8_000
const atOnce = 16
const writeMsMax = 60_000

export async function run(args: readonly string[]): Promise<void> {
  const count = Number(args[0] ?? 1_000)
  const seconds = Number(args[1] ?? 15)
  const { cluster, target } = await startOurs([], 6_500)
  const admins = cluster.line.nodes.map(({ admin }) => new Admin(admin, cluster.dataDir))
  try {
    await pause(settleMs)
    const before = await measure(target.pids, seconds)
    const names = Array.from({ length: count }, (_, i) => `/raft/bench/${i}`)
    const startedMs = performance.now()
    await each(names, (name, i) => at(admins, i).post(name, { command: 'create' }))
    const createdMs = performance.now() - startedMs
    await until(async () => {
      const { namespaces } = (await at(admins, 0).get('')) as { namespaces: { leader: number }[] }
      return namespaces.filter(({ leader }) => leader > 0).length === count
    })
    const ledMs = performance.now() - startedMs
    console.log(
      `${count} namespaces created in ${inSeconds(createdMs)}, all led after ${inSeconds(ledMs)}`,
    )
    await pause(settleMs)
    const after = await measure(target.pids, seconds)
    const added = after.share - before.share
    console.log(
      `idle: ${before.share.toFixed(2)} % of one core for three nodes, ${before.mebibytes.toFixed(0)} MiB a node`,
    )
    console.log(
      `with ${count} idle namespaces: ${after.share.toFixed(2)} %, ${after.mebibytes.toFixed(0)} MiB a node`,
    )
    console.log(`beyond idle: ${added.toFixed(2)} % of one core (aim: under 5)`)
    console.log(
      `memory beyond idle: ${(after.mebibytes - before.mebibytes).toFixed(0)} MiB a node (aim: under 300)`,
    )
    await cluster.kill(0)
    const killedMs = performance.now()
    const [, ...others] = admins
    const body = { command: 'set', key: 'k', value: 'v' }
    await each(names, (name, i) => persist(() => at(others, i).post(name, body)))
    const tookMs = performance.now() - killedMs
    console.log(`one node killed: all ${count} took a write after ${inSeconds(tookMs)} (aim: 10 s)`)
  } finally {
    for (const admin of admins) admin.close()
    await cluster.stop()
  }
}

async function measure(pids: readonly number[], seconds: number) {
  const beforeMs = cpuMs(pids)
  await pause(seconds * 1000)
  const share = ((cpuMs(pids) - beforeMs) / (seconds * 1000)) * 100
  return { share, mebibytes: residentMebibytes(pids) / pids.length }
}

function at<T>(list: readonly T[], i: number): T {
  const one = list[i % list.length]
  if (one === undefined) throw new Error('the list is empty')
  return one
}

async function each(names: readonly string[], run: (name: string, at: number) => Promise<unknown>) {
  let next = 0
  const work = async (): Promise<void> => {
    while (next < names.length) {
      const i = next++
      await run(names[i] ?? '', i)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

async function persist(run: () => Promise<unknown>): Promise<void> {
  const endMs = performance.now() + writeMsMax
  for (;;) {
    try {
      await run()
      return
    } catch (error) {
      if (performance.now() > endMs) throw error
      await pause(50)
    }
  }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await pause(200)
}

/** The command API of one node over connections that stay. */
class Admin {
  readonly #url: URL
  readonly #token: string
  readonly #agent: Agent

  constructor(url: string, dataDir: string) {
    this.#url = new URL(url)
    this.#token = readFileSync(join(dataDir, 'ca', 'admin-token'), 'utf8').trim()
    const ca = readFileSync(join(dataDir, 'ca', 'authority.pem'))
    this.#agent = new Agent({ keepAlive: true, maxSockets: atOnce, ca })
  }

  post(name: string, body: unknown): Promise<unknown> {
    return this.#ask('POST', `/raft/v1${name}`, JSON.stringify(body))
  }

  get(name: string): Promise<unknown> {
    return this.#ask('GET', `/raft/v1${name}`, '')
  }

  close(): void {
    this.#agent.destroy()
  }

  #ask(method: string, path: string, body: string): Promise<unknown> {
    const { hostname, port } = this.#url
    const headers = {
      authorization: `Bearer ${this.#token}`,
      'content-length': Buffer.byteLength(body),
    }
    const options = { method, path, host: hostname, port, agent: this.#agent, headers }
    return new Promise((resolve, reject) => {
      const asked = request({ ...options, timeout: 120_000 }, (response) => {
        let text = ''
        response.on('data', (part: Buffer) => {
          text += part.toString()
        })
        response.on('error', reject)
        response.on('end', () => {
          if (response.statusCode === 200) resolve(JSON.parse(text))
          else reject(new Error(`${path}: ${response.statusCode} ${text}`))
        })
      })
      asked.on('timeout', () => asked.destroy(new Error('no answer')))
      asked.on('error', reject)
      asked.end(body)
    })
  }
}

function inSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

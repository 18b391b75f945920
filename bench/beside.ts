// What clients feel of background work: p50 and p99 of GET and PUT by themselves, beside a drain, and beside a repair.
//
//   npm run bench -- beside [MiB of data, default 512] [seconds by themselves, default 20]
//
// Four nodes under 2+1. Clients begin an operation at fixed moments, whatever the last one took, so that a stall counts
// for all who would have met it. The fourth node is drained and removed; then the third loses its disk and is replaced.
// By themselves is measured before the drain and between both; the mean of these two is compared with. A phase's first
// second, and what a starting process costs, are not counted.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../test/e2e/cluster.ts'
import { root, run as runCommand } from '../test/e2e/cluster.ts'
import { Client, incompressible, type Target } from './load.ts'
import { startOurs } from './ours.ts'

const mebibyte = 1024 * 1024
const portOffset = 5_600
const bucket = 'beside'
const objectBytes = mebibyte
const putBytes = 64 * 1024
const clients = 4
const everyMs = 100
const phaseMsMax = 300_000
const skippedMs = 1_000
/** Shards of what clients have just written may lack for a moment. */
const freshMax = 8

type Kind = 'GET' | 'PUT'
type Times = Readonly<Record<Kind, number[]>> & { failures: number; seconds: number }

export async function run(args: readonly string[]): Promise<void> {
  const [dataMebibytes, aloneSeconds] = [Number(args[0] ?? 512), Number(args[1] ?? 20)]
  const { cluster, target } = await startOurs(['--rs', '2+1'], portOffset)
  try {
    await cluster.addNodes(1)
    const used: Target = { ...target, endpoints: target.endpoints.slice(0, 2) }
    await fill(used, dataMebibytes)
    const load = new Load(used, dataMebibytes)
    await load.during(sleep(5_000))
    const before = await load.during(sleep(aloneSeconds * 1_000))
    const drain = await load.during(drained(cluster))
    await admin(cluster, 'remove', '4')
    const between = await load.during(sleep(aloneSeconds * 1_000))
    await cluster.kill(2)
    rmSync(cluster.node(2).dataDir, { recursive: true, force: true })
    await admin(cluster, 'replace', '3')
    await cluster.startMissing()
    const repair = await load.during(repaired(cluster))
    load.close()
    const alone = { GET: mean('GET', before, between), PUT: mean('PUT', before, between) }
    tell('by themselves', before)
    tell('again', between)
    tell('beside a drain', drain, alone)
    tell('beside a repair', repair, alone)
  } finally {
    await cluster.stop()
  }
}

async function fill(target: Target, objects: number): Promise<void> {
  const client = new Client(target, 0)
  await client.send('PUT', `/${bucket}`)
  const body = incompressible(objectBytes)
  for (let at = 0; at < objects; at++) await client.send('PUT', `/${bucket}/data-${at}`, body)
  client.close()
}

class Load {
  readonly #clients: readonly Client[]
  readonly #objects: number
  readonly #body = incompressible(putBytes)
  #number = 0

  constructor(target: Target, objects: number) {
    // A connection carries one operation at a time: some are under way when the next begin.
    this.#clients = Array.from({ length: clients * 8 }, (_, at) => new Client(target, at))
    this.#objects = objects
  }

  async during(work: Promise<unknown>): Promise<Times> {
    let isOver = false
    const times: Times = { GET: [], PUT: [], failures: 0, seconds: 0 }
    const startedMs = performance.now()
    const running = new Set<Promise<void>>()
    const timer = setInterval(() => {
      const isCounted = performance.now() - startedMs > skippedMs
      for (let client = 0; client < clients && !isOver; client++) {
        const done = this.#operate(isCounted ? times : undefined)
        running.add(done)
        void done.then(() => running.delete(done))
      }
    }, everyMs)
    try {
      await work
    } finally {
      isOver = true
      clearInterval(timer)
    }
    await Promise.all(running)
    times.seconds = (performance.now() - startedMs) / 1_000
    return times
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }

  async #operate(times: Times | undefined): Promise<void> {
    const number = this.#number++
    const client = this.#clients[number % this.#clients.length]
    if (client === undefined) return
    const kind: Kind = number % 2 === 0 ? 'GET' : 'PUT'
    const beganMs = performance.now()
    const answer = await (kind === 'GET'
      ? client.send('GET', `/${bucket}/data-${(number * 7919) % this.#objects}`)
      : client.send('PUT', `/${bucket}/put-${number % 512}`, this.#body)
    ).catch(() => undefined)
    if (times === undefined) return
    if (answer?.status === 200) times[kind].push(performance.now() - beganMs)
    else times.failures++
  }
}

async function drained(cluster: Cluster): Promise<void> {
  await admin(cluster, 'drain', '4')
}

async function repaired(cluster: Cluster): Promise<void> {
  // The first audit that saw nothing missing may have been made before the loss.
  await sleep(3_000)
  await cluster.until(
    'the repair has ended',
    ({ underReplicatedShards, nodes }) =>
      underReplicatedShards <= freshMax && nodes.every(({ state }) => state === 'online'),
    phaseMsMax,
  )
}

async function admin(cluster: Cluster, ...words: readonly string[]): Promise<void> {
  const command = [join(root, 'scripts/atoll.mjs'), 'admin', ...words]
  const ran = await runCommand(process.execPath, [...command, '--data-dir', cluster.dataDir])
  if (ran.status !== 0) throw new Error(`${words.join(' ')}: ${ran.stderr}`)
}

function tell(what: string, times: Times, alone?: Readonly<Record<Kind, number>>): void {
  const { seconds, failures } = times
  const kinds = (['GET', 'PUT'] as const).map((kind) => {
    const [p50, p99] = [percentile(times[kind], 0.5), percentile(times[kind], 0.99)]
    const grown = alone === undefined ? '' : `, ${(p99 / alone[kind]).toFixed(2)} times`
    return `${kind} p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} ms${grown}`
  })
  const count = times.GET.length + times.PUT.length
  const line = `${kinds.join('; ')} (${count} in ${seconds.toFixed(0)} s, ${failures} failed)`
  console.log(`${what}: ${line}${alone === undefined ? '' : ' (aim: under 1.5 times)'}`)
}

function mean(kind: Kind, a: Times, b: Times): number {
  return (percentile(a[kind], 0.99) + percentile(b[kind], 0.99)) / 2
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

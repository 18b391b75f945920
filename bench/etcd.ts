// etcd's API under load beside running etcd clusters, each row of all servers in one run: writes (as `etcdctl check
// perf` makes them: many clients, new keys, 256 random bytes), linearizable reads of one key each, the same writes over
// our library's own client, and watchers of one key.
//
//   npm run bench -- etcd
//   npm run bench -- etcd --peer 'name=etcd;endpoints=http://127.0.0.1:12379,http://127.0.0.2:12379;pids=1,2,3'
//
// All servers sync their logs. Ours encrypts between its nodes; a peer started without certificates does not.

import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import {
  GrpcConnection,
  kvPut,
  kvRange,
  putRequest,
  rangeRequest,
  watchRequest,
  watchWatch,
} from './grpc-client.ts'
import { cpuMs, residentMebibytes, threadCpuMs } from './load.ts'
import { startNative } from './native.ts'
import { startOurs } from './ours.ts'
import { parsePeer, type Peer as Target } from './peers.ts'

const etcdPort = 2379
const portOffset = 5100
const valueBytes = 256

type Figures = {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  readonly cpuUs: number
  readonly mebibytes: number
  readonly failures: number
}

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      peer: { type: 'string', multiple: true, default: [] },
      seconds: { type: 'string', default: '8' },
      warm: { type: 'string', default: '4' },
      clients: { type: 'string', default: '500' },
      connections: { type: 'string', default: '24' },
      watchers: { type: 'string', default: '10000' },
      rows: { type: 'string', default: 'put,get,native,watch' },
      'data-threads': { type: 'string' },
      threads: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(
      'options: --seconds N, --warm N, --clients N, --connections N, --watchers N, --rows put,get,native,watch, --data-threads 0|1, --threads, --peer SPEC (repeatable)',
    )
    return
  }
  const load = {
    clients: Number(values.clients),
    connections: Number(values.connections),
    seconds: Number(values.seconds),
    warmSeconds: Number(values.warm),
    showsThreads: values.threads,
  }
  const chosen = values.rows.split(',')
  const threads = values['data-threads']
  const args0 = ['--etcd', ...(threads === undefined ? [] : ['--data-threads', threads])]
  const ours = await startOurs(args0, portOffset)
  const own: Target = {
    name: 'atoll',
    endpoints: ours.cluster.line.nodes.map(
      ({ id }) => `http://127.0.0.${id}:${etcdPort + portOffset}`,
    ),
    pids: ours.target.pids,
  }
  const targets = [own, ...values.peer.map(parsePeer)]
  try {
    if (chosen.includes('put') || chosen.includes('get')) {
      await runRow('PUT', targets, load, (_, n) => [kvPut, putOf(n)])
    }
    if (chosen.includes('get')) {
      await runRow('linearizable GET', targets, load, (_, n) => [kvRange, rangeRequest(keyOf(n))])
    }
    if (chosen.includes('native')) await runNative(targets.slice(1), load)
    if (chosen.includes('watch')) await runWatch(targets, Number(values.watchers))
  } finally {
    await ours.cluster.stop()
  }
}

const value = randomBytes(valueBytes)
const keyOf = (n: number): Buffer => Buffer.from(`bench/${String(n).padStart(10, '0')}`)
const putOf = (n: number): Buffer => putRequest(keyOf(n), value)

type Load = {
  readonly clients: number
  readonly connections: number
  readonly seconds: number
  readonly warmSeconds: number
  readonly showsThreads: boolean
}
/** True when it succeeded. */
type Operate = (client: number, n: number) => Promise<boolean>
type Call = (client: number, n: number) => readonly [string, Buffer]

/** Numbers go on from row to row, so that puts are of new keys and gets of keys that are there. */
async function runRow(
  name: string,
  targets: readonly Target[],
  load: Load,
  call: Call,
): Promise<void> {
  const figures: Figures[] = []
  for (const target of targets) {
    const connections = connect(target, load.connections)
    const operate = async (client: number, n: number): Promise<boolean> => {
      const [path, request] = call(client, n)
      return (await connections[client % connections.length]?.call(path, request)) !== undefined
    }
    figures.push(await measureWarm(target, load, operate))
    for (const connection of connections) connection.close()
  }
  print(`${name}, ${load.clients} clients`, targets, figures)
}

/** Puts of new keys over the library's own client, beside those over gRPC of the others. */
async function runNative(peers: readonly Target[], load: Load): Promise<void> {
  const native = await startNative()
  const own: Target = { name: 'atoll/raft', endpoints: [], pids: native.pids }
  const figures: Figures[] = []
  try {
    figures.push(await measureWarm(own, load, (_, n) => native.set(keyOf(n).toString(), value)))
  } finally {
    await native.stop()
  }
  for (const target of peers) {
    const connections = connect(target, load.connections)
    const put = async (client: number, n: number): Promise<boolean> => {
      const connection = connections[client % connections.length]
      return (await connection?.call(kvPut, putOf(n))) !== undefined
    }
    figures.push(await measureWarm(target, load, put))
    for (const connection of connections) connection.close()
  }
  print(`PUT over the native client, ${load.clients} at once`, [own, ...peers], figures)
}

async function measureWarm(target: Target, load: Load, operate: Operate): Promise<Figures> {
  const counter = { next: 0 }
  await measure(target, { ...load, seconds: load.warmSeconds, operate, counter })
  const before = load.showsThreads ? threadCpuMs(target.pids) : undefined
  const figure = await measure(target, { ...load, operate, counter })
  if (before !== undefined) printThreads(before, threadCpuMs(target.pids), figure, load.seconds)
  return figure
}

function connect(target: Target, count: number): GrpcConnection[] {
  return Array.from(
    { length: count },
    (_, i) => new GrpcConnection(target.endpoints[i % target.endpoints.length] ?? ''),
  )
}

async function measure(
  target: Target,
  load: {
    readonly clients: number
    readonly seconds: number
    readonly operate: Operate
    readonly counter: { next: number }
  },
): Promise<Figures> {
  const latencies: number[] = []
  let failures = 0
  const before = cpuMs(target.pids)
  const startedMs = performance.now()
  const endMs = startedMs + load.seconds * 1000
  const client = async (number: number): Promise<void> => {
    while (performance.now() < endMs) {
      const beganMs = performance.now()
      if (await load.operate(number, load.counter.next++)) {
        latencies.push(performance.now() - beganMs)
      } else failures++
    }
  }
  await Promise.all(Array.from({ length: load.clients }, (_, number) => client(number)))
  const seconds = (performance.now() - startedMs) / 1000
  return summary(target, { latencies, failures, seconds, cpu: cpuMs(target.pids) - before })
}

function summary(
  target: Target,
  seen: {
    readonly latencies: number[]
    readonly failures: number
    readonly seconds: number
    readonly cpu: number
  },
): Figures {
  const { latencies, failures, seconds, cpu } = seen
  latencies.sort((a, b) => a - b)
  const count = latencies.length
  const at = (share: number) => latencies[Math.min(count - 1, Math.floor(count * share))] ?? 0
  return {
    perSecond: count / seconds,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: at(1),
    cpuUs: (cpu * 1000) / Math.max(1, count),
    mebibytes: residentMebibytes(target.pids),
    failures,
  }
}

const watchedWrites = 100

/** Every watcher waits for every write of one key; lateness is counted from the writer's sending. */
async function runWatch(targets: readonly Target[], watchers: number): Promise<void> {
  const figures: Figures[] = []
  for (const target of targets) {
    const connections = connect(target, 48)
    const key = Buffer.from(`watched/${Date.now()}`)
    const latencies: number[] = []
    let sentMs = 0
    let created = 0
    let seen = 0
    let onAll = (): void => undefined
    const streams = Array.from({ length: watchers }, (_, i) =>
      connections[i % connections.length]?.stream(watchWatch, watchRequest(key), (message) => {
        // WatchResponse: header 1, watch_id 2, created 3, canceled 4, events 11 (tag 0x5a).
        if (!message.includes(key)) created++
        else {
          latencies.push(performance.now() - sentMs)
          seen++
        }
        if (created === watchers || seen === watchers) onAll()
      }),
    )
    await all((done) => {
      onAll = done
    }, created === watchers)
    created = 0
    const before = cpuMs(target.pids)
    const startedMs = performance.now()
    const [writer] = connect(target, 1)
    for (let n = 0; n < watchedWrites; n++) {
      seen = 0
      const told = all((done) => {
        onAll = done
      }, false)
      sentMs = performance.now()
      await writer?.call(kvPut, putRequest(key, Buffer.from(String(n))))
      await told
    }
    const seconds = (performance.now() - startedMs) / 1000
    const cpu = cpuMs(target.pids) - before
    figures.push(summary(target, { latencies, failures: 0, seconds, cpu }))
    for (const stream of streams) stream?.destroy()
    for (const connection of [...connections, ...(writer === undefined ? [] : [writer])]) {
      connection.close()
    }
  }
  print(`WATCH, ${watchers} watchers of one key, ${watchedWrites} writes, events`, targets, figures)
}

function all(wait: (done: () => void) => void, isDone: boolean): Promise<void> {
  return isDone ? Promise.resolve() : new Promise((resolve) => wait(resolve))
}

function printThreads(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
  figure: Figures,
  seconds: number,
): void {
  const operations = figure.perSecond * seconds
  for (const [name, ms] of after) {
    const us = ((ms - (before.get(name) ?? 0)) * 1000) / operations
    if (us >= 1) console.log(`    ${name.padEnd(20)} ${us.toFixed(0)} us/op`)
  }
}

function print(title: string, targets: readonly Target[], figures: readonly Figures[]): void {
  const best = Math.max(0, ...figures.slice(1).map(({ perSecond }) => perSecond))
  console.log(`\n${title}`)
  for (const [i, target] of targets.entries()) {
    const figure = figures[i]
    if (figure === undefined) continue
    const ratio =
      i === 0 && best > 0 ? `  ratio to the best peer ${(figure.perSecond / best).toFixed(2)}` : ''
    console.log(
      `  ${target.name.padEnd(10)} ${figure.perSecond.toFixed(0)}/s  p50 ${figure.p50Ms.toFixed(1)} ms  p99 ${figure.p99Ms.toFixed(1)} ms  max ${figure.maxMs.toFixed(1)} ms  CPU ${figure.cpuUs.toFixed(0)} us/op  ${figure.mebibytes.toFixed(0)} MiB resident  ${figure.failures} failed${ratio}`,
    )
  }
}

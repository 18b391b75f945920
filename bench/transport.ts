// CPU of the connections between nodes: certificates (TLS) against the shared key, in one process, both ends
// together, over loopback. Bulk in MiB, and messages of 256 B in batches as rpc sends them (one send per turn).
// Plain TCP is the floor under both. What counts are the ratios; each round takes its turn with each transport,
// and the median of the rounds is told.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { clusterId, nodeId, utf8Encode } from '../src/base/index.ts'
import type { ByteConnection, Host, Listener } from '../src/host/index.ts'
import { createRealHost } from '../src/host/real/index.ts'
import { createTestAuthority } from '../src/host/testing/certificates.ts'
import { createKeyTransport, createRpc, parseSharedKey, type Rpc } from '../src/rpc/index.ts'
import type { Transport } from '../src/host/index.ts'

const usage = `usage: npm run bench -- transport [--mib 256] [--messages 200000] [--rounds 5]`
const anywhere = { host: '127.0.0.1', port: 0 }
const anybody = { nodeId: nodeId(1), clusterId: clusterId('a'.repeat(32)) }

type Options = { readonly mib: number; readonly messages: number; readonly rounds: number }
type Pair = {
  readonly dialled: ByteConnection
  readonly accepted: ByteConnection
  end(): Promise<void>
}
/** Of one transport: how to connect two ends, and how to give it to rpc. */
type Subject = {
  readonly name: string
  connect(): Promise<Pair>
  readonly ends?: readonly [Transport, Transport]
}

export async function run(args: readonly string[]): Promise<void> {
  const options = readOptions(args)
  if (options === undefined) {
    console.log(usage)
    return
  }
  const root = mkdtempSync(`${tmpdir()}/atoll-bench-transport-`)
  try {
    await compare(options, root)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

function readOptions(args: readonly string[]): Options | undefined {
  const values = { mib: 256, messages: 200_000, rounds: 5 }
  for (let at = 0; at < args.length; at += 2) {
    const name = args[at]?.replace(/^--/, '')
    const value = Number(args[at + 1])
    if ((name !== 'mib' && name !== 'messages' && name !== 'rounds') || !(value >= 1))
      return undefined
    values[name] = Math.floor(value)
  }
  return values
}

async function compare(options: Options, root: string): Promise<void> {
  const host = createRealHost({ rootPath: root, journal: { format: 'text', level: 'error' } })
  const subjects = await createSubjects(host)
  const measures = {
    'bulk, ms of CPU per MiB': (subject: Subject) => bulk(subject, options.mib),
    'messages of 256 B, 64 per send, us of CPU each': (subject: Subject) =>
      messages(subject, { count: options.messages, batch: 64 }),
    'messages of 256 B, one per send, us of CPU each': (subject: Subject) =>
      messages(subject, { count: Math.ceil(options.messages / 10), batch: 1 }),
    'rpc calls of 256 B, 64 under way, us of CPU each': (subject: Subject) =>
      calls(host, subject, { count: Math.ceil(options.messages / 4), underWay: 64 }),
    'rpc calls of 256 B, one after the other, us of CPU each': (subject: Subject) =>
      calls(host, subject, { count: Math.ceil(options.messages / 20), underWay: 1 }),
    'connections, us of CPU each': (subject: Subject) => connections(subject, 200),
  }
  for (const [what, measure] of Object.entries(measures)) {
    const results = new Map<string, number[]>(subjects.map(({ name }) => [name, []]))
    for (let round = 0; round <= options.rounds; round++) {
      for (const subject of subjects) {
        const cost = await measure(subject)
        // The first round warms up.
        if (round > 0 && cost !== undefined) results.get(subject.name)?.push(cost)
      }
    }
    print(what, results)
  }
}

function print(what: string, results: ReadonlyMap<string, readonly number[]>): void {
  const medians = new Map<string, number>()
  for (const [name, values] of results) {
    const sorted = [...values].sort((a, b) => a - b)
    const middle = sorted[Math.floor(sorted.length / 2)]
    if (middle !== undefined) medians.set(name, middle)
  }
  const tls = medians.get('TLS') ?? Number.NaN
  console.log(what)
  for (const [name, median] of medians) {
    console.log(
      `  ${name.padEnd(12)} ${median.toFixed(2).padStart(9)}   ${(median / tls).toFixed(2)} of TLS`,
    )
  }
}

async function createSubjects(host: Host): Promise<readonly Subject[]> {
  const authority = await createTestAuthority('bench')
  const tls = [
    host.network.secured(await authority.identity(1)),
    host.network.secured(await authority.identity(2)),
  ] as const
  const key = parseSharedKey(randomBytes(32))
  const two = { ...anybody, nodeId: nodeId(2) }
  const keyed = [
    createKeyTransport(host, { self: anybody, key }),
    createKeyTransport(host, { self: two, key }),
  ] as const
  const { plain } = host.network
  return [
    { name: 'plain TCP', connect: () => connectPair(plain, plain) },
    { name: 'TLS', connect: () => connectPair(tls[0], tls[1]), ends: tls },
    { name: 'shared key', connect: () => connectPair(keyed[0], keyed[1]), ends: keyed },
  ]
}

type Listens = {
  listen(
    address: typeof anywhere,
    options: { readonly onConnection: (connection: ByteConnection) => void },
  ): Promise<Listener>
}
type Dials = {
  connect(
    address: typeof anywhere,
    options: { readonly timeoutMs: number; readonly receiveBuffer: Uint8Array },
  ): Promise<ByteConnection>
}

async function connectPair(one: Listens, two: Dials): Promise<Pair> {
  const accepting = Promise.withResolvers<ByteConnection>()
  const listener = await one.listen(anywhere, { onConnection: accepting.resolve })
  const receiveBuffer = new Uint8Array(64 * 1024)
  const dialled = await two.connect(listener.address, { timeoutMs: 5_000, receiveBuffer })
  const accepted = await accepting.promise
  const closed = new Promise<void>((resolve) => {
    accepted.onClose = () => resolve()
  })
  const end = async (): Promise<void> => {
    dialled.destroy()
    await closed
    await listener.close()
  }
  return { dialled, accepted, end }
}

/** Microseconds of CPU of this process, both ends together. */
async function cpuOf(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

/** The receiver of bulk has dialled, as in the product. */
async function bulk(subject: Subject, mib: number): Promise<number> {
  const { dialled, accepted, end } = await subject.connect()
  const slice = randomBytes(256 * 1024)
  const total = mib * 1024 * 1024
  accepted.onBytes = () => undefined
  const cpu = await cpuOf(async () => {
    const arrived = untilReceived(dialled, total)
    for (let sent = 0; sent < total; sent += slice.length) {
      if (!accepted.send([slice])) await accepted.drained()
    }
    await arrived
  })
  await end()
  return cpu / 1_000 / mib
}

async function messages(
  subject: Subject,
  { count, batch }: { readonly count: number; readonly batch: number },
): Promise<number> {
  const { dialled, accepted, end } = await subject.connect()
  const sent = randomBytes(256 * batch)
  dialled.onBytes = () => undefined
  let waiting: (() => void) | undefined
  let missing = 0
  accepted.onBytes = (bytes) => {
    missing -= bytes.length
    if (missing === 0) waiting?.()
  }
  const cpu = await cpuOf(async () => {
    for (let i = 0; i < count; i += batch) {
      missing += sent.length
      const arrived = new Promise<void>((resolve) => {
        waiting = resolve
      })
      dialled.send([sent])
      await arrived
    }
  })
  await end()
  return cpu / count
}

async function calls(
  host: Host,
  subject: Subject,
  { count, underWay }: { readonly count: number; readonly underWay: number },
): Promise<number | undefined> {
  if (subject.ends === undefined) return undefined
  const port = 23_000 + (process.pid % 5_000)
  const addresses = [port, port + 1].map((at) => ({ host: '127.0.0.1', port: at }))
  const peers = new Map(addresses.map((address, at) => [nodeId(at + 1), address]))
  const rpcs: Rpc[] = []
  for (const [at, transport] of subject.ends.entries()) {
    const rpc = createRpc(host, { transport, listen: addresses[at] ?? anywhere })
    rpc.serve(1, async ({ request }) => request)
    await rpc.listen()
    rpc.setPeers(peers)
    rpcs.push(rpc)
  }
  const [one, two] = rpcs
  if (one === undefined || two === undefined) return undefined
  while (!one.isReachable(nodeId(2))) await new Promise((resolve) => setTimeout(resolve, 5))
  const request = utf8Encode('x'.repeat(256))
  let left = count
  const caller = async (): Promise<void> => {
    while (left-- > 0) await one.call(nodeId(2), 1, request, { deadlineMs: 30_000 })
  }
  const cpu = await cpuOf(async () => {
    await Promise.all(Array.from({ length: underWay }, caller))
  })
  await Promise.all(rpcs.map((rpc) => rpc.close()))
  return cpu / count
}

async function connections(subject: Subject, count: number): Promise<number> {
  const cpu = await cpuOf(async () => {
    for (let i = 0; i < count; i++) await (await subject.connect()).end()
  })
  return cpu / count
}

function untilReceived(connection: ByteConnection, total: number): Promise<void> {
  return new Promise((resolve) => {
    let received = 0
    connection.onBytes = (bytes) => {
      received += bytes.length
      if (received === total) resolve()
    }
  })
}

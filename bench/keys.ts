// Many keys: what a million costs in memory, and how long a node takes to start with all of them. Keys of 24 bytes with 64
// random bytes each go in over gRPC, 128 to a transaction; then one node is killed and started again, and asked for a key
// by a read of its own replica, and by a linearizable one. Peers are filled and measured alike, but not restarted.
//
//   npm run bench -- keys [--millions 1] [--nodes 3] [--peer 'name=etcd;endpoints=http://127.0.0.1:12379;pids=1,2,3']

import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import {
  GrpcConnection,
  kvRange,
  kvTxn,
  putRequest,
  putsRequest,
  rangeRequest,
} from './grpc-client.ts'
import { cpuMs, residentMebibytes } from './load.ts'
import { startOurs } from './ours.ts'
import { parsePeer, type Peer } from './peers.ts'

const etcdPort = 2379
const portOffset = 5400
const perTxn = 128
const atOnce = 16
const settleMs = 15_000
const million = 1_000_000

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      millions: { type: 'string', default: '1' },
      nodes: { type: 'string', default: '3' },
      peer: { type: 'string', multiple: true, default: [] },
    },
  })
  const count = Math.round(Number(values.millions) * million)
  for (const peer of values.peer.map(parsePeer)) await measure(peer, count)
  const { cluster } = await startOurs(['--etcd', '--nodes', values.nodes], portOffset)
  try {
    const { nodes } = cluster.line
    const endpoints = nodes.map(({ id }) => `http://127.0.0.${id}:${etcdPort + portOffset}`)
    await measure({ name: 'atoll', endpoints, pids: nodes.map(({ pid }) => pid) }, count)
    const last = nodes.length - 1
    await cluster.kill(last)
    const startedMs = performance.now()
    const restarted = cluster.startMissing()
    await untilRead(endpoints[last] ?? '')
    console.log(
      `  kill -9 and start with ${count} keys: linearizable read after ${since(startedMs)}`,
    )
    await restarted
    console.log(`  launcher reports all ready after ${since(startedMs)} (aim: under 5 s)`)
  } finally {
    await cluster.stop()
  }
}

async function measure({ name, endpoints, pids }: Peer, count: number): Promise<void> {
  const beforeMebibytes = residentMebibytes(pids)
  const beforeMs = cpuMs(pids)
  const startedMs = performance.now()
  const connections = endpoints.map((endpoint) => new GrpcConnection(endpoint))
  let next = 0
  const fill = async (lane: number): Promise<void> => {
    const connection = connections[lane % connections.length]
    while (next < count) {
      const first = next
      next += perTxn
      const puts = Array.from({ length: Math.min(perTxn, count - first) }, (_, i) =>
        putRequest(keyOf(first + i), randomBytes(64)),
      )
      while ((await connection?.call(kvTxn, putsRequest(puts))) === undefined) await pause(100)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, (_, lane) => fill(lane)))
  for (const connection of connections) connection.close()
  const seconds = (performance.now() - startedMs) / 1000
  const cpu = ((cpuMs(pids) - beforeMs) * 1000) / count
  await pause(settleMs)
  const after = residentMebibytes(pids)
  const perNode = (after - beforeMebibytes) / pids.length
  console.log(
    `${name}: ${count} keys in ${seconds.toFixed(0)} s (${(count / seconds).toFixed(0)}/s, CPU ${cpu.toFixed(0)} us/key of all nodes); memory per node ${(beforeMebibytes / pids.length).toFixed(0)} -> ${(after / pids.length).toFixed(0)} MiB, ${((perNode * million) / count).toFixed(0)} MiB per million`,
  )
}

const keyOf = (n: number): Buffer => Buffer.from(`keys/${String(n).padStart(19, '0')}`)

async function untilRead(endpoint: string): Promise<void> {
  for (;;) {
    const connection = new GrpcConnection(endpoint)
    const answer = await Promise.race([
      connection.call(kvRange, rangeRequest(keyOf(0))),
      pause(250).then(() => undefined),
    ])
    connection.close()
    if (answer !== undefined) return
    await pause(20)
  }
}

function since(startedMs: number): string {
  return `${((performance.now() - startedMs) / 1000).toFixed(2)} s`
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

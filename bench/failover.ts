// How long etcd's namespace is without a leader after kill -9 of the node that leads it: from the kill to the first write
// that another node acknowledges, and how many election timeouts that is (500 ms: ten ticks of 50 ms). The node is
// started again and has caught up before the next.
//
//   npm run bench -- failover [KILLS]

import { GrpcConnection, kvPut, putRequest } from './grpc-client.ts'
import { startOurs } from './ours.ts'

const etcdPort = 2379
const portOffset = 5300
const electionTimeoutMs = 500
const tryEveryMs = 20
const settleMsMax = 60_000

export async function run(args: readonly string[]): Promise<void> {
  const kills = Number(args[0] ?? 11)
  const { cluster } = await startOurs(['--etcd'], portOffset)
  const tookMs: number[] = []
  try {
    for (let kill = 0; kill < kills; kill++) {
      const led = await untilWhole()
      const others = cluster.line.nodes.filter((_, position) => position !== led)
      const connections = others.map(
        ({ id }) => new GrpcConnection(`http://127.0.0.${id}:${etcdPort + portOffset}`),
      )
      const startedMs = performance.now()
      await cluster.kill(led)
      await firstWrite(connections, kill)
      tookMs.push(performance.now() - startedMs)
      for (const connection of connections) connection.close()
      await cluster.startMissing()
    }
  } finally {
    await cluster.stop()
  }
  tookMs.sort((a, b) => a - b)
  const median = tookMs[tookMs.length >> 1] ?? 0
  const timeouts = (median / electionTimeoutMs).toFixed(2)
  console.log(
    `${kills} kills of the leader: a write after ${inMs(tookMs[0])} to ${inMs(tookMs.at(-1))}, median ${inMs(median)}, ${timeouts} election timeouts (aim: under 2)`,
  )

  /** The position of the node that leads, once all three are voters and up. */
  async function untilWhole(): Promise<number> {
    let leader = 0
    await cluster.until(
      'a leader and three nodes',
      ({ nodes, groups }) => {
        const group = groups.find(({ name }) => name === '/raft/etcd')
        leader = Number(group?.leader ?? 0)
        return leader > 0 && nodes.every(({ state }) => state === 'online')
      },
      settleMsMax,
    )
    return cluster.line.nodes.findIndex(({ id }) => id === leader)
  }
}

/** All are asked all the time: a write that one of them answers is enough. */
async function firstWrite(connections: readonly GrpcConnection[], n: number): Promise<void> {
  const request = putRequest(Buffer.from(`failover/${n}`), Buffer.from('x'))
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      for (const connection of connections) {
        void connection.call(kvPut, request).then((answer) => {
          if (answer === undefined) return
          clearInterval(timer)
          resolve()
        })
      }
    }, tryEveryMs)
  })
}

function inMs(ms: number | undefined): string {
  return `${(ms ?? 0).toFixed(0)} ms`
}

// Lateness of the core's tick beside 16 uploads of 4 MiB, as the nodes report it in their status.

import { incompressible, measure } from './load.ts'
import { startOurs } from './ours.ts'

export async function run(args: readonly string[]): Promise<void> {
  const seconds = Number(args[0] ?? 15)
  const { cluster, target } = await startOurs()
  try {
    const body = incompressible(4 * 1024 * 1024)
    await measure(target, {
      clients: 1,
      seconds: 5,
      operationsMax: 1,
      bytesPerOperation: 0,
      operate: async (client) => (await client.send('PUT', '/bench')).status === 200,
    })
    const figures = await measure(target, {
      clients: 16,
      seconds,
      operationsMax: 100_000,
      bytesPerOperation: body.length,
      operate: async (client, n) =>
        (await client.send('PUT', `/bench/${n % 200}`, body)).status === 200,
    })
    console.log(
      `16 uploads of 4 MiB: ${figures.mebibytesPerSecond.toFixed(0)} MiB/s, ${figures.failures} failed`,
    )
    for (const { id } of cluster.line.nodes) {
      const status = (await cluster.status(id - 1)) as unknown as {
        nodes: { id: number; tickLateMs?: { p50: number; p99: number; max: number } }[]
      }
      const lateness = status.nodes.find((node) => node.id === id)?.tickLateMs
      if (lateness === undefined) throw new Error('the status has no tickLateMs')
      const { p50, p99, max } = lateness
      console.log(
        `node ${id}: tick late by p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, max ${max.toFixed(1)} ms (aim: p99 under 5)`,
      )
    }
  } finally {
    await cluster.stop()
  }
}

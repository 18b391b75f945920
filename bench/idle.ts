// What an idle cluster of three costs, and how long `npm start` takes until the first successful PUT.

import { Client, cpuMs, residentMebibytes } from './load.ts'
import { startOurs } from './ours.ts'

export async function run(args: readonly string[]): Promise<void> {
  const seconds = Number(args[0] ?? 20)
  const startedMs = performance.now()
  const { cluster, target } = await startOurs()
  try {
    const client = new Client(target, 0)
    await client.send('PUT', '/first')
    const { status } = await client.send('PUT', '/first/put', Buffer.from('x'))
    const firstMs = performance.now() - startedMs
    console.log(
      `start to first successful PUT (status ${status}): ${(firstMs / 1000).toFixed(2)} s`,
    )
    client.close()
    await new Promise((resolve) => setTimeout(resolve, 3000))
    const before = target.pids.map((pid) => cpuMs([pid]))
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    target.pids.forEach((pid, i) => {
      const share = (cpuMs([pid]) - (before[i] ?? 0)) / (seconds * 1000)
      const resident = residentMebibytes([pid]).toFixed(0)
      console.log(
        `node ${i + 1}: ${(share * 100).toFixed(2)} % of a core, ${resident} MiB resident`,
      )
    })
    const total = target.pids.reduce((sum, pid, i) => sum + cpuMs([pid]) - (before[i] ?? 0), 0)
    console.log(
      `all three: ${((total / (seconds * 1000)) * 100).toFixed(2)} % of one core (aim: under 3 %)`,
    )
  } finally {
    await cluster.stop()
  }
}

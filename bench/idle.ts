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
    await sleep(3)
    await tell('soon after the start', target.pids, seconds)
    await sleep(settleSeconds)
    await tell('settled', target.pids, 3 * seconds)
  } finally {
    await cluster.stop()
  }
}

/** Code that runs for the first times is compiled, and the start's garbage is collected, in the first minute. */
const settleSeconds = 30

const sleep = (seconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, seconds * 1000))

/** Watches the nodes for a while; says what share of a core each and all took, and their memory at the end. */
async function tell(when: string, pids: readonly number[], seconds: number): Promise<void> {
  const before = pids.map((pid) => cpuMs([pid]))
  await sleep(seconds)
  const shares = pids.map((pid, i) => (cpuMs([pid]) - (before[i] ?? 0)) / (seconds * 10))
  const resident = pids.map((pid) => residentMebibytes([pid]).toFixed(0))
  const total = shares.reduce((sum, share) => sum + share, 0)
  console.log(
    `${when}, ${seconds} s: ${shares.map((share) => share.toFixed(2)).join(', ')} % of a core; ` +
      `all three: ${total.toFixed(2)} % (aim: under 3 %); resident ${resident.join(', ')} MiB (aim: 150)`,
  )
}

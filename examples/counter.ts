// A counter that three processes keep together. In three terminals, with one key:
//
//   export COUNTER_KEY=$(openssl rand -hex 32)
//   node examples/counter.ts /tmp/counter-1 127.0.0.1:7001 127.0.0.1:7002 127.0.0.1:7003
//   node examples/counter.ts /tmp/counter-2 127.0.0.1:7002 127.0.0.1:7001
//   node examples/counter.ts /tmp/counter-3 127.0.0.1:7003 127.0.0.1:7001
//
// Then type in any of them: `add 5`, `get`, `leader`, `quit`. Kill one with kill -9: the others go on, and it
// catches up when it is started again. Arguments: directory, own address, addresses of others.

import { createInterface } from 'node:readline'
import { type ClusterMachine, isFault, openMesh } from 'atoll/raft'

const namespace = '/raft/example/counter'
const text = new TextDecoder()
const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(String(value))

let total = 0
/** What is replicated: the same additions in the same order give the same total everywhere. */
const counter: ClusterMachine = {
  apply({ payload }) {
    total += Number(text.decode(payload))
    return bytes(total)
  },
  snapshot: () => bytes(total),
  restore(state) {
    total = Number(text.decode(state))
  },
}

const [directory = '', listen = '', ...contacts] = process.argv.slice(2)
const key = process.env.COUNTER_KEY ?? ''
const mesh = await openMesh({ directory, listen, contacts, key, preset: 'local' })
const cluster = await mesh.open(namespace, {
  founders: { kind: 'size', size: 3 },
  machine: counter,
})
const client = mesh.client(namespace)

/** Additions go through the client, which finds the leader; reads wait until this node is up to date. */
async function answer(line: string): Promise<string> {
  const [verb, amount] = line.trim().split(/\s+/)
  if (verb === 'add') return text.decode(await client.apply(bytes(Number(amount ?? 1) || 0)))
  if (verb === 'leader') return `${await cluster.waitForLeader(30_000)}, this is ${cluster.node}`
  if (verb !== 'get') return 'type add N, get, leader or quit'
  await cluster.barrier()
  return String(total)
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === 'quit') break
  try {
    console.log(await answer(line))
  } catch (error) {
    if (!isFault(error)) throw error
    console.log(`${error.code} (${error.outcome}): ${error.message}`)
  }
}
process.stdin.destroy()
await mesh.close()

// What many idle namespaces of a mesh cost: three nodes as processes, each namespace founded by the three with
// its own members and leader, over the built-in keyspace. CPU and memory with two, then with many; then the
// node that leads most is killed, and every namespace has to accept a write.

import { type ChildProcess, fork } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cpuMs, residentMebibytes } from './load.ts'
import { scratchDirectory } from './ours.ts'

export type NamespacesNode = {
  readonly directory: string
  readonly listen: string
  readonly contacts: readonly string[]
  readonly count: number
}
export type NamespacesNotice =
  | { readonly kind: 'ready'; readonly leads: number }
  | { readonly kind: 'written'; readonly name: string }

const nodeProgram = fileURLToPath(new URL('./idle-namespaces-node.ts', import.meta.url))
const basePort = 17_700
const settleMs = 15_000

export async function run(args: readonly string[]): Promise<void> {
  const count = Number(args[0] ?? 1_000)
  const seconds = Number(args[1] ?? 20)
  const few = await measure(2, seconds, false)
  const many = await measure(count, seconds, true)
  const added = many.share - few.share
  console.log(
    `${count} idle namespaces beyond 2: ${added.toFixed(2)} % of one core for three nodes (aim: under 5)`,
  )
  console.log(
    `memory per node: ${(many.mebibytes - few.mebibytes).toFixed(0)} MiB (aim: under 300)`,
  )
}

type Cost = { readonly share: number; readonly mebibytes: number }

async function measure(count: number, seconds: number, kills: boolean): Promise<Cost> {
  const path = scratchDirectory('namespaces')
  const nodes = startNodes(path, count)
  try {
    const startedMs = performance.now()
    const leads = await Promise.all(nodes.map(ready))
    console.log(
      `${count} founded in ${((performance.now() - startedMs) / 1000).toFixed(1)} s, led ${leads}`,
    )
    await pause(settleMs)
    const pids = nodes.map(({ pid }) => pid ?? 0)
    const beforeMs = cpuMs(pids)
    await pause(seconds * 1000)
    const share = ((cpuMs(pids) - beforeMs) / (seconds * 1000)) * 100
    const mebibytes = residentMebibytes(pids) / pids.length
    console.log(`${count}: ${share.toFixed(2)} % of one core, ${mebibytes.toFixed(0)} MiB a node`)
    if (kills) await killOne(nodes, { count, at: leads.indexOf(Math.max(...leads)) })
    return { share, mebibytes }
  } finally {
    for (const node of nodes) node.kill('SIGKILL')
    rmSync(path, { recursive: true, force: true })
  }
}

function startNodes(path: string, count: number): readonly ChildProcess[] {
  const addresses = [1, 2, 3].map((id) => `127.0.0.1:${basePort + id}`)
  return addresses.map((listen, i) => {
    const child = fork(nodeProgram, { serialization: 'advanced' })
    const contacts = addresses.filter((address) => address !== listen)
    child.send({ directory: join(path, `node-${i + 1}`), listen, contacts, count })
    return child
  })
}

function ready(node: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    node.once('exit', (status) => reject(new Error(`a node ended with status ${status}`)))
    node.on('message', (notice: NamespacesNotice) => {
      if (notice.kind === 'ready') resolve(notice.leads)
    })
  })
}

async function killOne(
  nodes: readonly ChildProcess[],
  { count, at }: { readonly count: number; readonly at: number },
): Promise<void> {
  const others = nodes.filter((_, i) => i !== at)
  const startedMs = performance.now()
  nodes[at]?.kill('SIGKILL')
  const written = new Set<string>()
  await new Promise<void>((resolve) => {
    for (const node of others) {
      node.on('message', (notice: NamespacesNotice) => {
        if (notice.kind === 'written') written.add(notice.name)
        if (written.size >= count) resolve()
      })
      node.send('write')
    }
  })
  const seconds = (performance.now() - startedMs) / 1000
  console.log(`one node killed: all ${count} took a write after ${seconds.toFixed(2)} s (aim: 10)`)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

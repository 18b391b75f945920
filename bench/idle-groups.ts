// What many idle groups cost: three nodes of raft, log, store and mTLS in processes of their own, without
// the rooms above. CPU and memory with two groups, then with many; then one node is killed and every
// group has to accept a write.

import { type ChildProcess, fork } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { clusterId, nodeId } from '../src/base/index.ts'
import { issueNodeCertificate, makeAuthority, type PemPair } from '../src/cli/authority.ts'
import type { NodeIdentity } from '../src/host/index.ts'
import { cpuMs, residentMebibytes } from './load.ts'
import { scratchDirectory } from './ours.ts'

export type GroupsNode = {
  readonly identity: NodeIdentity
  readonly rootPath: string
  readonly groups: number
  readonly basePort: number
}
export type GroupsNotice =
  | { readonly kind: 'leads'; readonly count: number }
  | { readonly kind: 'written'; readonly group: number }

const nodeProgram = fileURLToPath(new URL('./idle-groups-node.ts', import.meta.url))
const basePort = 17_600
const settleMs = 6_000

export async function run(args: readonly string[]): Promise<void> {
  const groups = Number(args[0] ?? 1_000)
  const seconds = Number(args[1] ?? 15)
  const few = await measure(2, seconds)
  const many = await measure(groups, seconds, true)
  const added = many.share - few.share
  console.log(
    `${groups} idle groups beyond 2: ${added.toFixed(2)} % of one core for three nodes (aim: under 5)`,
  )
  console.log(
    `memory per node: ${(many.mebibytes - few.mebibytes).toFixed(0)} MiB (aim: under 300)`,
  )
}

type Cost = { readonly share: number; readonly mebibytes: number }

async function measure(groups: number, seconds: number, kills = false): Promise<Cost> {
  const path = scratchDirectory('groups')
  const nodes = await startNodes(path, groups)
  try {
    await allLed(nodes, groups)
    await pause(settleMs)
    const pids = nodes.map(({ pid }) => pid ?? 0)
    const beforeMs = cpuMs(pids)
    await pause(seconds * 1000)
    const share = ((cpuMs(pids) - beforeMs) / (seconds * 1000)) * 100
    const mebibytes = residentMebibytes(pids) / pids.length
    console.log(
      `${groups} groups: ${share.toFixed(2)} % of one core, ${mebibytes.toFixed(0)} MiB a node`,
    )
    if (kills) await killOne(nodes, groups)
    return { share, mebibytes }
  } finally {
    for (const node of nodes) node.kill('SIGKILL')
    rmSync(path, { recursive: true, force: true })
  }
}

async function startNodes(path: string, groups: number): Promise<readonly ChildProcess[]> {
  const cluster = clusterId('67726f75707367726f75707367726f75')
  const authority = await makeAuthority(cluster)
  const identities = await Promise.all([1, 2, 3].map((id) => identityOf(authority, id)))
  return identities.map((identity, i) => {
    const id = i + 1
    const child = fork(nodeProgram, { serialization: 'advanced' })
    child.send({ identity, rootPath: join(path, `node-${id}`), groups, basePort })
    return child
  })
  async function identityOf(signer: PemPair, id: number): Promise<NodeIdentity> {
    const subject = { clusterId: cluster, id: nodeId(id), host: '127.0.0.1' }
    const pair = await issueNodeCertificate(signer, subject)
    const { certificatePem: authorityPem } = signer
    return { nodeId: subject.id, clusterId: cluster, authorityPem, ...pair }
  }
}

/** Settles when the nodes together lead every group. */
function allLed(nodes: readonly ChildProcess[], groups: number): Promise<void> {
  const counts = new Map<ChildProcess, number>()
  return new Promise((resolve) => {
    for (const node of nodes) {
      node.on('message', (notice: GroupsNotice) => {
        if (notice.kind !== 'leads') return
        counts.set(node, notice.count)
        if ([...counts.values()].reduce((sum, count) => sum + count, 0) >= groups) resolve()
      })
    }
  })
}

async function killOne(nodes: readonly ChildProcess[], groups: number): Promise<void> {
  const [killed, ...others] = nodes
  const startedMs = performance.now()
  killed?.kill('SIGKILL')
  const written = new Set<number>()
  await new Promise<void>((resolve) => {
    for (const node of others) {
      node.on('message', (notice: GroupsNotice) => {
        if (notice.kind === 'written') written.add(notice.group)
        if (written.size >= groups) resolve()
      })
      node.send('write')
    }
  })
  const tookMs = performance.now() - startedMs
  console.log(
    `one node killed: all ${groups} groups took a write after ${(tookMs / 1000).toFixed(2)} s (aim: 10)`,
  )
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

// One node of idle-namespaces: a mesh with many namespaces of the built-in keyspace, founded with the others.

import { isFault } from '../src/base/index.ts'
import { type Cluster, type Mesh, openMesh } from '../src/library/raft.ts'
import type { NamespacesNode, NamespacesNotice } from './idle-namespaces.ts'

const openAtOnce = 40
const bootstrapTimeoutMs = 2_000
const leaderMsMax = 120_000
const writeMsMax = 60_000

process.once('message', (node: NamespacesNode) => {
  start(node).catch((error) => {
    console.error(error)
    process.exit(70)
  })
})

async function start({ directory, listen, contacts, count }: NamespacesNode): Promise<void> {
  const key = 'the key of a measurement, of more than 32 bytes'
  const mesh = await openMesh({ directory, listen, contacts, key })
  const names = Array.from({ length: count }, (_, i) => `/raft/idle/${i}`)
  const clusters: Cluster[] = []
  const next = names.values()
  await Promise.all(Array.from({ length: openAtOnce }, () => openSome(mesh, next, clusters)))
  tell({ kind: 'ready', leads: clusters.filter((cluster) => cluster.isLeader()).length })
  process.on('message', () => {
    for (const name of names) void write(mesh, name)
  })
}

async function openSome(
  mesh: Mesh,
  names: IterableIterator<string>,
  clusters: Cluster[],
): Promise<void> {
  for (const name of names) {
    const founders = { kind: 'size', size: 3 } as const
    const cluster = await mesh.open(name, { founders, bootstrapTimeoutMs })
    await cluster.waitForLeader(leaderMsMax)
    clusters.push(cluster)
  }
}

/** Through a client, which finds the new leader; tried again when it failed for certain. */
async function write(mesh: Mesh, name: string): Promise<void> {
  const client = mesh.client(name, { timeoutMs: writeMsMax })
  try {
    await client.set('k', new Uint8Array(8))
    tell({ kind: 'written', name })
  } catch (error) {
    if (!isFault(error)) throw error
    console.error(`${name}: ${error.message}`)
  }
}

function tell(notice: NamespacesNotice): void {
  process.send?.(notice)
}

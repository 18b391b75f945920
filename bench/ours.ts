// Starts our own cluster for a benchmark, in a directory that goes with it.

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cluster, startCluster } from '../test/e2e/cluster.ts'
import type { Target } from './load.ts'

export type Ours = { readonly cluster: Cluster; readonly target: Target }

export async function startOurs(args: readonly string[] = [], portOffset = 5000): Promise<Ours> {
  const cluster = await startCluster({ portOffset, args })
  const { line } = cluster
  const target: Target = {
    name: 'atoll',
    endpoints: line.nodes.map(({ s3 }) => s3),
    accessKeyId: line.accessKeyId,
    secretAccessKey: line.secretAccessKey,
    region: line.region,
    pids: line.nodes.map(({ pid }) => pid),
  }
  return { cluster, target }
}

export function scratchDirectory(name: string): string {
  return mkdtempSync(join(tmpdir(), `atoll-bench-${name}-`))
}

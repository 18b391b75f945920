// `atoll status`: asks a node for its picture of the cluster and shows it.

import type { ClusterStatus } from '../node/index.ts'
import { askAdmin } from './admin-client.ts'
import { findNodes } from './known-nodes.ts'
import { describeStatus } from './status-text.ts'
import { answer, withProgress } from './terminal.ts'

export type StatusOptions = {
  readonly dataDir: string
  readonly node: number | undefined
  readonly isJson: boolean
}

const askMs = 10_000

export async function status(options: StatusOptions): Promise<number> {
  const describe = (): string => 'still waiting for an answer'
  const found = await withProgress(describe, askAny(options))
  answer(options.isJson ? JSON.stringify(found) : describeStatus(found))
  return 0
}

/** The named node, or the first that answers. */
async function askAny({ dataDir, node }: StatusOptions): Promise<ClusterStatus> {
  let last: unknown
  for (const { endpoint } of findNodes(dataDir, node)) {
    try {
      const call = { method: 'GET', path: '/v1/status', timeoutMs: askMs } as const
      return (await askAdmin(endpoint, call)) as ClusterStatus
    } catch (error) {
      last = error
    }
  }
  throw last
}

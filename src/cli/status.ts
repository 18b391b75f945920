// `atoll status`: asks a node for its picture of the cluster and shows it.

import { Fault } from '../base/index.ts'
import type { ClusterStatus } from '../node/index.ts'
import { askAdmin } from './admin-client.ts'
import { type Formation, readAdminToken, readAuthority, readFormation } from './formation.ts'
import { describeStatus } from './status-text.ts'
import { answer, withProgress } from './terminal.ts'

export type StatusOptions = {
  readonly dataDir: string
  readonly node: number | undefined
  readonly isJson: boolean
}

const askMs = 10_000

export async function status(options: StatusOptions): Promise<number> {
  const formation = readFormation(options.dataDir)
  if (formation === undefined) {
    throw new Fault('not-found', `${options.dataDir} holds no cluster`, {
      next: 'give the directory that `atoll up` uses with --data-dir, or start one: atoll up',
    })
  }
  const describe = (): string => 'still waiting for an answer'
  const found = await withProgress(describe, askAny(options, formation))
  answer(options.isJson ? JSON.stringify(found) : describeStatus(found))
  return 0
}

/** The named node, or the first that answers. */
async function askAny(options: StatusOptions, formation: Formation): Promise<ClusterStatus> {
  const { node } = options
  const asked = formation.slots.filter(
    (slot) => node === undefined || slot.id === node || slot.slot === node,
  )
  if (asked.length === 0) throw new Fault('not-found', `no node ${node} in ${options.dataDir}`)
  let last: unknown
  for (const { host, ports } of asked) {
    const endpoint = {
      host,
      port: ports.admin,
      authorityPem: readAuthority(options.dataDir).certificatePem,
      token: readAdminToken(options.dataDir),
    }
    try {
      const call = { method: 'GET', path: '/v1/status', timeoutMs: askMs } as const
      return (await askAdmin(endpoint, call)) as ClusterStatus
    } catch (error) {
      last = error
    }
  }
  throw last
}

// The nodes of a data directory and how to ask their admin API.

import { Fault } from '../base/index.ts'
import type { AdminEndpoint } from './admin-client.ts'
import { readAdminToken, readAuthority, readFormation } from './formation.ts'
import { readText } from './files.ts'
import { findOwnNode } from './own-node.ts'
import { launcherPaths, nodePaths } from './paths.ts'

export type KnownNode = { readonly id: number; readonly endpoint: AdminEndpoint }

/** All nodes, or the one that `node` names by id or position. Fault 'not-found'. */
export function findNodes(dataDir: string, node: number | undefined): readonly KnownNode[] {
  const formation = readFormation(dataDir)
  if (formation === undefined) {
    const own = findOwnNode(dataDir)
    if (own !== undefined && (node === undefined || node === own.id)) return [own]
    if (own !== undefined)
      throw new Fault('not-found', `${dataDir} is the directory of node ${own.id}, not of ${node}`)
    throw new Fault('not-found', `${dataDir} holds no cluster`, {
      next: 'give the directory of a node or the one that `atoll up` uses with --data-dir, or start one: atoll up',
    })
  }
  const chosen = formation.slots.filter(
    (slot) => node === undefined || slot.id === node || slot.slot === node,
  )
  if (chosen.length === 0) throw new Fault('not-found', `no node ${node} in ${dataDir}`)
  const first = readAuthority(dataDir).certificatePem
  const token = readAdminToken(dataDir)
  return chosen.map(({ id, slot, host, ports }) => {
    // The node's own, which follows rotations.
    const own = nodePaths(launcherPaths(dataDir).node(slot)).authorityCertificate
    const authorityPem = readText(own) ?? first
    return { id, endpoint: { host, port: ports.admin, authorityPem, token } }
  })
}

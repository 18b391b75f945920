// Wiring of the way in for machines: the routes of enrolment, pairing codes, and the answer to who searches for a
// cluster on the local network. A node without a desk has none of it.

import { answerDiscovery, type Cluster, createPairing, type MemberTrust } from '../cluster/index.ts'
import { type AdminRoute, enrolRoutes } from '../gateways/admin/index.ts'
import type { Address, Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Closers } from './closers.ts'
import type { NodeConfig } from './config.ts'

type Parts = {
  readonly config: NodeConfig
  readonly host: Host
  readonly system: Keyspace
  readonly trust: MemberTrust | undefined
}

export function routesOfEnrolment(
  { config, host, system, trust }: Parts,
  cluster: Cluster,
): readonly AdminRoute[] {
  if (trust === undefined) return []
  const { desk } = trust
  const { clusterId } = config.identity
  const serverKeyHashes = (): readonly string[] => trust.serverKeyHashes
  return enrolRoutes({
    desk,
    pairing: createPairing({ host, system, clusterId, desk, serverKeyHashes }),
    clusterId,
    region: () => cluster.view.settings().region,
    members: () => cluster.allMembers(),
  })
}

/** Once the admin API is served: what is found must answer. */
export async function answerSearches(
  { config, host, trust }: Parts,
  { admin, closers, cluster }: { admin: Address; closers: Closers; cluster: Cluster },
): Promise<void> {
  if (trust === undefined) return
  const own = cluster.allMembers().find(({ id }) => id === config.self)
  const close = await answerDiscovery(host, {
    clusterId: config.identity.clusterId,
    region: cluster.view.settings().region,
    name: own?.name ?? `node-${config.self}`,
    admin,
  })
  closers.add(close)
}

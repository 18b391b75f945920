// A cluster of three nodes as its founding leaves it, in memory: for tests of this room.

import { clusterId } from '../../base/index.ts'
import { planGenesis } from '../core/genesis.ts'
import { planTopology } from '../core/topology.ts'
import { MemoryKeyspace } from './memory-keyspace.ts'

export const ownCluster = clusterId('00112233445566778899aabbccddeeff')

export const threeNodes = planTopology({
  region: 'eu-1',
  rs: { data: 2, parity: 1 },
  s3Tls: { host: '0.0.0.0', port: 8443 },
  addresses: ['a', 'b', 'c'].map((host) => ({ host, controlPort: 6660, bulkPort: 9991 })),
  buckets: [],
  auth: [],
})

export async function founded(): Promise<MemoryKeyspace> {
  const system = new MemoryKeyspace()
  await system.txn(planGenesis(threeNodes, { clusterId: ownCluster, createdMs: 1 }))
  return system
}

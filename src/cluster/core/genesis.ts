// Genesis: the one transaction that turns a topology file into a cluster's first state. Every founder
// may propose it; the compare lets exactly one win, and all founders carry the same file.
//
// Members are the founders. The file may list more nodes: their numbers stay reserved, and each becomes a
// member when it joins.

import type { ClusterId, NodeId } from '../../base/index.ts'
import { nodeId } from '../../base/index.ts'
import type { Operation, TxnRequest } from '../../keyspace/index.ts'
import type { Member } from '../cluster.ts'
import { newestLevel } from './feature-levels.ts'
import { programVersion } from './program-version.ts'
import {
  bucketCodec,
  bucketCounterKey,
  bucketKey,
  clusterCodec,
  clusterKey,
  counterCodec,
  credentialCodec,
  credentialKey,
  memberCodec,
  memberKey,
  levelCodec,
  levelKey,
  nodeCounterKey,
} from './records.ts'
import { type Topology, topologyDefaults } from './topology.ts'

/** Voters of a group at most: more would make every write wait for more disks and add little safety. */
export const votersMax = 5

/** Where the objects of new buckets live while there is one range. */
export const firstObjectsNamespace = '/raft/objects/1'

/** Founding configuration of every group: the same on every founder and for every later joiner. */
export function planFounders(ids: readonly number[]): {
  readonly voters: readonly ReturnType<typeof nodeId>[]
  readonly learners: readonly ReturnType<typeof nodeId>[]
} {
  const sorted = [...ids].sort((a, b) => a - b).map(nodeId)
  return { voters: sorted.slice(0, votersMax), learners: sorted.slice(votersMax) }
}

/** Members as the topology lists them; servers for people sit at the table's ports, shifted alike. */
export function membersOf(topology: Topology): readonly Member[] {
  return topology.db.map((db) => {
    const bulk = topology.nodes.find((node) => node.id === db.id) ?? db
    const shift = db.port - topologyDefaults.controlPort
    const moved = (port: number): number => Math.min(65_535, Math.max(1, port + shift))
    return {
      id: db.id,
      name: `node-${db.id}`,
      state: 'online',
      control: { host: db.host, port: db.port },
      bulk: { host: bulk.host, port: bulk.port },
      admin: { host: db.host, port: moved(topologyDefaults.adminPort) },
      s3: { host: db.host, port: moved(topologyDefaults.s3Port) },
      labels: {},
      caps: [],
      version: '',
      capacityBytes: 0,
      replaces: undefined,
    }
  })
}

/** What the founder of a cluster that others join tells of itself; several founders tell nothing. */
export type FounderFacts = {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly caps: readonly string[]
}

export type Genesis = {
  readonly clusterId: ClusterId
  readonly createdMs: number
  /** Default: every node of the topology. */
  readonly founders?: readonly NodeId[]
  readonly facts?: FounderFacts
}

export function planGenesis(topology: Topology, given: Genesis): TxnRequest {
  const put = (key: Uint8Array, value: Uint8Array): Operation => ({ kind: 'put', key, value })
  const ids = topology.db.map((db) => db.id)
  const founders = given.founders ?? ids
  const settings = {
    clusterId: given.clusterId,
    region: topology.region,
    dataShards: topology.rs.data,
    parityShards: topology.rs.parity,
    founders,
  }
  const operations = [
    put(clusterKey, clusterCodec.encode(settings)),
    put(nodeCounterKey, counterCodec.encode({ value: Math.max(...ids) })),
    put(bucketCounterKey, counterCodec.encode({ value: topology.buckets.length })),
    put(levelKey, levelCodec.encode({ level: newestLevel, isByOperator: false, raisedMs: 0 })),
  ]
  const facts = founders.length === 1 ? given.facts : undefined
  // Of several founders nobody knows the others' programs: each tells its own once it serves.
  const version = founders.length === 1 ? programVersion : ''
  for (const member of membersOf(topology)) {
    if (!founders.includes(member.id)) continue
    operations.push(put(memberKey(member.id), memberCodec.encode({ ...member, ...facts, version })))
  }
  for (const [at, bucket] of topology.buckets.entries()) {
    const record = {
      ...bucket,
      createdMs: given.createdMs,
      namespace: firstObjectsNamespace,
      number: at + 1,
      allowsBareQuorum: true,
      tenant: '',
    }
    operations.push(put(bucketKey(bucket.name), bucketCodec.encode(record)))
  }
  for (const credential of topology.auth) {
    operations.push(put(credentialKey(credential.accessKeyId), credentialCodec.encode(credential)))
  }
  return {
    compares: [{ key: clusterKey, target: 'create', result: 'equal', operand: 0 }],
    success: operations,
    failure: [],
  }
}

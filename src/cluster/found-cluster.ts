// Founding: brings '/raft/system' from nothing to its first state, and reads what a node needs before
// it can talk: who the members are.

import { type ClusterId, Fault, isFault, type NodeId, nodeId, prefixEnd } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Member } from './cluster.ts'
import { type FounderFacts, planGenesis } from './core/genesis.ts'
import { levelRecordOf } from './core/feature-levels.ts'
import { clusterCodec, clusterKey, levelKey, memberCodec, memberPrefix } from './core/records.ts'
import type { Topology } from './core/topology.ts'

export type FoundingOptions = {
  readonly clusterId: ClusterId
  readonly topology: Topology
  /** False on a node that joined later: it waits for the state and never proposes a first one. */
  readonly isFounder: boolean
  /** Who founds. Default: every node of the topology. */
  readonly founders?: readonly NodeId[]
  readonly facts?: FounderFacts
  readonly signal?: AbortSignal
}

const askDeadlineMs = 2_000
const retryEveryMs = 100

/**
 * Settles once the cluster's first state is committed, proposed by this node or another. Waits as long
 * as no majority is there (journaled once a period). Fault 'invalid' when the state that is there
 * belongs to another cluster; Fault 'cancelled' by the signal.
 */
export async function foundCluster(
  deps: { readonly host: Host; readonly system: Keyspace },
  options: FoundingOptions,
): Promise<void> {
  const { host, system } = deps
  for (;;) {
    if (options.signal?.aborted === true) throw new Fault('cancelled', 'the start was given up')
    try {
      const found = await system.range({ key: clusterKey }, { deadlineMs: askDeadlineMs })
      const record = found.kvs[0]
      if (record !== undefined) return checkCluster(record.value, options.clusterId)
      if (options.isFounder) {
        const createdMs = Math.max(0, Math.floor(host.clock.wallMs()))
        const genesis = planGenesis(options.topology, { ...options, createdMs })
        await system.txn(genesis, { deadlineMs: askDeadlineMs })
        continue
      }
    } catch (error) {
      if (!isFault(error) || (error.code === 'invalid' && error.fields.cluster !== undefined)) {
        throw error
      }
      host.journal.event('debug', 'cluster.founding_waits', { reason: error.message })
    }
    await host.clock.sleep(retryEveryMs, options.signal)
  }
}

function checkCluster(value: Uint8Array, expected: ClusterId): void {
  const { clusterId } = clusterCodec.decode(value)
  if (clusterId === expected) return
  throw new Fault('invalid', `this data directory belongs to cluster ${clusterId}`, {
    fields: { cluster: clusterId },
    next: 'start it with the certificates of its own cluster',
  })
}

/** What this node's own replica says, asking nobody; undefined while it holds nothing. */
export async function readLocalMembers(system: Keyspace): Promise<
  | {
      readonly members: readonly Member[]
      readonly founders: readonly ReturnType<typeof nodeId>[]
      /** The active feature level. */
      readonly level: number
    }
  | undefined
> {
  const found = await system.range({ key: clusterKey, isSerializable: true })
  const record = found.kvs[0]
  if (record === undefined) return undefined
  const listed = await system.range({
    key: memberPrefix,
    rangeEnd: prefixEnd(memberPrefix),
    isSerializable: true,
  })
  const [level] = (await system.range({ key: levelKey, isSerializable: true })).kvs
  return {
    level: levelRecordOf(level).level,
    members: listed.kvs.map((kv) => memberCodec.decode(kv.value)).sort((a, b) => a.id - b.id),
    founders: clusterCodec.decode(record.value).founders.map(nodeId),
  }
}

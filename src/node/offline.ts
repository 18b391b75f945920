// A stopped node's log and store, for commands that look at or change what is on its disk. The caller
// holds the lock of the data directory.

import type { GroupId } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import {
  planQuorumRecovery,
  type QuorumRecovery,
  raftTable,
  runQuorumRecovery,
  type StoredGroup,
  storedGroups,
} from '../raft/index.ts'
import { keyspaceTables } from '../keyspace/index.ts'
import { openLog, openStore } from '../storage/index.ts'
import { type NodeConfig, pathsOf } from './config.ts'

export type OfflineNode = {
  /** Groups that have state here, by id. */
  groups(): readonly StoredGroup[]
  /** Faults as planQuorumRecovery. */
  planRecovery(group: GroupId): QuorumRecovery
  /** Durable when it settles. */
  recover(plan: QuorumRecovery): Promise<void>
  close(): Promise<void>
}

export async function openOffline(config: NodeConfig, host: Host): Promise<OfflineNode> {
  const { self } = config
  const { db } = pathsOf(config)
  const log = await openLog(host, { path: `${db}/log`, ownThread: false })
  try {
    const tables = [raftTable, ...keyspaceTables]
    const store = await openStore(host, { path: `${db}/store.sqlite`, tables })
    return {
      groups: () => storedGroups(store),
      planRecovery: (group) => planQuorumRecovery({ log, store }, { group, self }),
      recover: (plan) => runQuorumRecovery({ store, random: host.random }, { plan, self }),
      async close() {
        await store.close()
        await log.close()
      },
    }
  } catch (error) {
    await log.close()
    throw error
  }
}

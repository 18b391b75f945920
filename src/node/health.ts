// Health of members: this node's beats and, while it leads the system group, its watch over the beats of others.

import type { GroupId, NodeId } from '../base/index.ts'
import { Heartbeats, newestLevel, programVersion } from '../cluster/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Raft } from '../raft/index.ts'
import type { Rpc } from '../rpc/index.ts'

/** Before the port listens. Undefined where another engine keeps the state: nobody leads there. */
export function createHeartbeats(parts: {
  readonly host: Host
  readonly raft: Raft
  readonly rpc: Rpc
  readonly system: Keyspace
  readonly systemGroup: GroupId
  readonly self: NodeId
}): Heartbeats | undefined {
  const { host, raft, rpc, system, systemGroup, self } = parts
  const group = raft.group(systemGroup)
  if (group === undefined) return undefined
  let leader = group.status().leader
  group.onLeadership((now) => {
    leader = now
  })
  const facts = async () => {
    const { freeBytes, totalBytes } = await host.disk.space()
    return { freeBytes, capacityBytes: totalBytes, version: programVersion, level: newestLevel }
  }
  return new Heartbeats({ host, rpc, system, self, leader: () => leader, facts })
}

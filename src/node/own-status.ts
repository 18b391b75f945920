// Gathering: this node's own numbers, and those of its peers with a short deadline, so that a status is
// always answered, with or without them.

import type { GroupId, NodeId } from '../base/index.ts'
import { type Cluster, newestLevel, programVersion } from '../cluster/index.ts'
import type { Host } from '../host/index.ts'
import type { Raft } from '../raft/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import type { Log, Store } from '../storage/index.ts'
import type { Lane } from './lane.ts'
import {
  type ClusterStatus,
  composeStatus,
  encodableGroup,
  type Heard,
  type NodeStatus,
  nodeStatusCodec,
} from './status.ts'

const peerDeadlineMs = 2_500

export type StatusParts = {
  readonly self: NodeId
  readonly host: Host
  readonly startedMs: number
  readonly log: Log
  readonly store: Store
  readonly raft: Raft
  readonly rpc: Rpc
  /** What the core runs of itself, by capability. */
  readonly coreServices: () => readonly string[]
  /** Of a namespace that was dropped: it rests until the node stops, and is not told. */
  readonly isDropped: (group: GroupId) => boolean
}

export async function ownStatus(parts: StatusParts, lane: Lane | undefined): Promise<NodeStatus> {
  const { self, host, raft } = parts
  const statistics = raft.statistics()
  const micros = (ms: number): number => Math.max(0, Math.round(ms * 1000))
  const laneStatus = await lane?.status()
  return {
    id: self,
    version: programVersion,
    level: newestLevel,
    uptimeMs: Math.floor(host.clock.monotonicMs() - parts.startedMs),
    residentBytes: host.memory.residentBytes(),
    groups: raft
      .groups()
      .map((group) => group.status())
      .filter(({ group }) => !parts.isDropped(group))
      .map(encodableGroup),
    lane: laneStatus,
    services: [...(laneStatus?.services ?? []), ...parts.coreServices()].sort(),
    logBytes: parts.log.statistics().bytes,
    storeBytes: parts.store.sizeBytes(),
    elections: statistics.elections,
    snapshotsSent: statistics.snapshotsSent,
    snapshotsInstalled: statistics.snapshotsInstalled,
    membershipChanges: statistics.membershipChanges,
    tickLateP50: micros(statistics.tickLatenessMs.p50),
    tickLateP99: micros(statistics.tickLatenessMs.p99),
    tickLateMax: micros(statistics.tickLatenessMs.max),
  }
}

type Asked = { readonly cluster: Cluster; readonly lane: Lane | undefined }

export async function clusterStatus(parts: StatusParts, asked: Asked): Promise<ClusterStatus> {
  const heard = await hearAll(parts, asked)
  return composeStatus(asked.cluster.view.settings(), parts.self, heard)
}

/** Every member with what it says of itself now. */
export async function hearAll(
  parts: StatusParts,
  { cluster, lane }: Asked,
): Promise<readonly Heard[]> {
  const { self, rpc } = parts
  const { view } = cluster
  const heard = view.members().map(async (member): Promise<Heard> => {
    const isOwn = member.id === self
    const asked = isOwn ? ownStatus(parts, lane) : askPeer(rpc, member.id)
    return { member, status: await asked, isReachable: isOwn || rpc.isReachable(member.id) }
  })
  return await Promise.all(heard)
}

async function askPeer(rpc: Rpc, id: NodeId): Promise<NodeStatus | undefined> {
  try {
    const asked = { deadlineMs: peerDeadlineMs }
    const bytes = await rpc.call(id, controlMethod.nodeStatus, new Uint8Array(0), asked)
    return nodeStatusCodec.decode(bytes)
  } catch {
    return undefined
  }
}

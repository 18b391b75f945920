// What one node knows about itself, as bytes between nodes, and the cluster's picture put together from
// the answers of all of them.

import {
  bool,
  type Codec,
  codecOf,
  type MessageOf,
  message,
  nested,
  repeated,
  text,
  uint,
} from '../base/index.ts'
import type { Member } from '../cluster/index.ts'
import type { ContentStatus } from '../content/index.ts'
import type { GroupStatus } from '../raft/index.ts'

const groupFields = message({
  group: uint(1),
  name: text(2),
  role: text(3),
  isLearner: bool(4),
  term: uint(5),
  /** 0: unknown. */
  leader: uint(6),
  commit: uint(7),
  applied: uint(8),
  voters: repeated(uint(9)),
  learners: repeated(uint(10)),
  isJoint: bool(11),
})

const movesFields = message({
  shardsLeft: uint(1),
  bytesLeft: uint(2),
  movedShards: uint(3),
  movedBytes: uint(4),
  bytesPerSecond: uint(5),
  idleBytesPerSecond: uint(6),
})

/** What the node's last audit saw at a holder. */
const holderFields = message({
  node: uint(1),
  shards: uint(2),
  bytes: uint(3),
  lastCopies: uint(4),
})

const contentFields = message({
  chunks: uint(1),
  underReplicatedShards: uint(2),
  liveBytes: uint(3),
  garbageBytes: uint(4),
  freeBytes: uint(5),
  totalBytes: uint(6),
  repairedShards: uint(7),
  damagedShards: uint(8),
  /** Milliseconds since the last audit ended, plus one; 0: there was none. */
  auditedMsAgo: uint(9),
  isAuditCurrent: bool(10),
  moves: nested(11, movesFields),
  holders: repeated(nested(12, holderFields)),
})

export const laneFields = message({
  content: nested(1, contentFields),
  /** Plus one; 0: not known now. */
  objects: uint(2),
  /** By the names of their capabilities, as they run now. */
  services: repeated(text(3)),
})

const nodeFields = message({
  id: uint(1),
  version: text(2),
  uptimeMs: uint(3),
  residentBytes: uint(4),
  groups: repeated(nested(5, groupFields)),
  lane: nested(6, laneFields),
  logBytes: uint(7),
  storeBytes: uint(8),
  elections: uint(9),
  snapshotsSent: uint(10),
  snapshotsInstalled: uint(11),
  membershipChanges: uint(12),
  /** Microseconds. */
  tickLateP50: uint(13),
  tickLateP99: uint(14),
  tickLateMax: uint(15),
  /** The newest feature level that the program supports; 0: it tells none. */
  level: uint(16),
  /** What it runs now, by capability; a program of level 3 and before tells none. */
  services: repeated(text(17)),
})

export type LaneStatus = MessageOf<typeof laneFields>
export type NodeStatus = MessageOf<typeof nodeFields>
export const nodeStatusCodec: Codec<NodeStatus> = codecOf(nodeFields)

export function encodableGroup(status: GroupStatus): MessageOf<typeof groupFields> {
  const { group, name, role, isLearner, term, commit, applied, voters, learners } = status
  return {
    group,
    name,
    role,
    isLearner,
    term,
    leader: status.leader ?? 0,
    commit,
    applied,
    voters,
    learners,
    isJoint: status.votersOutgoing.length > 0,
  }
}

export function encodableContent(
  status: ContentStatus,
  nowMs: number,
): MessageOf<typeof contentFields> {
  const { lastAuditMs, ...counts } = status
  const sinceMs = Math.max(0, Math.floor(nowMs - lastAuditMs))
  return { ...counts, auditedMsAgo: lastAuditMs <= 0 ? 0 : sinceMs + 1 }
}

/** The answer of GET /v1/status and of `atoll status --json`. */
export type ClusterStatus = {
  readonly clusterId: string
  readonly region: string
  readonly code: { readonly data: number; readonly parity: number }
  /** Who put this together. */
  readonly askedNode: number
  readonly nodes: readonly NodeRow[]
  readonly groups: readonly GroupRow[]
  /** -1: nobody who knows answered. */
  readonly objects: number
  /** Each node audits the whole chunk table; the most that one of them misses. -1: being counted. */
  readonly underReplicatedShards: number
  readonly damagedShards: number
  readonly liveBytes: number
  readonly freeBytes: number
  readonly totalBytes: number
  /** Shards that are on their way to where they belong, all nodes together. */
  readonly moves: {
    readonly shardsLeft: number
    readonly bytesLeft: number
    readonly bytesPerSecond: number
  }
}
type NodeRow = {
  readonly id: number
  readonly name: string
  /** Of the member list; 'offline' when it does not answer, 'suspect' when it answers nothing useful. */
  readonly state: string
  readonly control: string
  readonly admin: string
  readonly s3: string
  readonly replaces: number | undefined
  readonly uptimeMs: number
  readonly residentBytes: number
  readonly liveBytes: number
  readonly garbageBytes: number
  readonly freeBytes: number
  readonly totalBytes: number
  readonly logBytes: number
  readonly tickLateMs: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly elections: number
  readonly snapshotsInstalled: number
}
type GroupRow = {
  readonly group: number
  readonly name: string
  readonly node: number
  readonly role: string
  readonly term: number
  readonly leader: number
  readonly commit: number
  readonly applied: number
  readonly voters: readonly number[]
  readonly learners: readonly number[]
}

export type Heard = {
  readonly member: Member
  /** Undefined: it did not answer. */
  readonly status: NodeStatus | undefined
  readonly isReachable: boolean
}

export function composeStatus(
  settings: {
    readonly clusterId: string
    readonly region: string
    readonly dataShards: number
    readonly parityShards: number
  },
  askedNode: number,
  heard: readonly Heard[],
): ClusterStatus {
  const contents = heard.flatMap(({ status }) => status?.lane?.content ?? [])
  const sum = (pick: (content: (typeof contents)[number]) => number): number =>
    contents.reduce((total, content) => total + pick(content), 0)
  const counted = heard.map(({ status }) => (status?.lane?.objects ?? 0) - 1)
  return {
    clusterId: settings.clusterId,
    region: settings.region,
    code: { data: settings.dataShards, parity: settings.parityShards },
    askedNode,
    nodes: heard.map(nodeRow),
    groups: heard.flatMap(({ member, status }) =>
      (status?.groups ?? []).flatMap((group) =>
        group === undefined ? [] : [groupRow(member.id, group)],
      ),
    ),
    objects: Math.max(-1, ...counted),
    underReplicatedShards: contents.every((content) => content.isAuditCurrent)
      ? Math.max(-1, ...contents.map((content) => content.underReplicatedShards))
      : -1,
    damagedShards: sum((content) => content.damagedShards),
    liveBytes: sum((content) => content.liveBytes),
    freeBytes: sum((content) => content.freeBytes),
    totalBytes: sum((content) => content.totalBytes),
    moves: {
      shardsLeft: sum((content) => content.moves?.shardsLeft ?? 0),
      bytesLeft: sum((content) => content.moves?.bytesLeft ?? 0),
      bytesPerSecond: sum((content) => content.moves?.bytesPerSecond ?? 0),
    },
  }
}

function nodeRow({ member, status, isReachable }: Heard): NodeRow {
  const content = status?.lane?.content
  const address = ({ host, port }: { host: string; port: number }): string => `${host}:${port}`
  return {
    id: member.id,
    name: member.name,
    state: stateOf(member, status, isReachable),
    control: address(member.control),
    admin: address(member.admin),
    s3: address(member.s3),
    replaces: member.replaces,
    uptimeMs: status?.uptimeMs ?? 0,
    residentBytes: status?.residentBytes ?? 0,
    liveBytes: content?.liveBytes ?? 0,
    garbageBytes: content?.garbageBytes ?? 0,
    freeBytes: content?.freeBytes ?? 0,
    totalBytes: content?.totalBytes ?? 0,
    logBytes: status?.logBytes ?? 0,
    tickLateMs: {
      p50: (status?.tickLateP50 ?? 0) / 1000,
      p99: (status?.tickLateP99 ?? 0) / 1000,
      max: (status?.tickLateMax ?? 0) / 1000,
    },
    elections: status?.elections ?? 0,
    snapshotsInstalled: status?.snapshotsInstalled ?? 0,
  }
}

/** The member list says who belongs; this node's own experience says whether it is there. */
function stateOf(member: Member, status: NodeStatus | undefined, isReachable: boolean): string {
  const { state } = member
  if (state !== 'online' && state !== 'suspect' && state !== 'offline') return state
  // An answer of this moment is newer than what its leader last heard.
  if (status !== undefined) return 'online'
  return isReachable && state !== 'offline' ? 'suspect' : 'offline'
}

function groupRow(node: number, group: MessageOf<typeof groupFields>): GroupRow {
  const { name, term, leader, commit, applied, voters, learners } = group
  const role = group.isLearner ? 'learner' : group.role
  return { group: group.group, name, node, role, term, leader, commit, applied, voters, learners }
}

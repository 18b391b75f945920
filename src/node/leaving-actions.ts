// Members that come and go, as the admin API asks for it: facts are asked of all nodes (who is up, who votes, what the
// last audits saw), then one transaction decides and does it (cluster/leaving.ts). Moves and drains are told with
// what is left of them and an estimate.

import { isFault, type NodeId, nodeId } from '../base/index.ts'
import {
  type Added,
  addMember,
  type Addresses,
  type AskedFacts,
  cancelDrain,
  type Cluster,
  drainMember,
  firstObjectsNamespace,
  type GroupFacts,
  type HeldFacts,
  isDrained,
  type LeavingPlan,
  type Member,
  type Newcomer,
  readDraining,
  readdressMember,
  removeMember,
  setMovesShare,
} from '../cluster/index.ts'
import { countShardsOf } from '../content/index.ts'
import type { Keyspace, Keyspaces } from '../keyspace/index.ts'
import type { Lane } from './lane.ts'
import { hearAll, type StatusParts } from './own-status.ts'
import type { Heard } from './status.ts'

type Deps = {
  readonly parts: StatusParts
  readonly cluster: Cluster
  readonly system: Keyspace
  readonly keyspaces: Keyspaces
  readonly lane: () => Lane | undefined
}

export type DrainProgress = {
  readonly id: number
  readonly name: string
  readonly isUp: boolean
  readonly shardsLeft: number
  /** By the mean size that the last audit saw. */
  readonly bytesLeft: number
  /** Names of groups. */
  readonly votesIn: readonly string[]
  readonly leads: readonly string[]
  /** It has said that it is empty: it may be removed. */
  readonly isDrained: boolean
  /** -1: cannot be told yet. */
  readonly estimateMs: number
}

export type MovesProgress = {
  readonly share: number
  readonly shardsLeft: number
  readonly bytesLeft: number
  readonly bytesPerSecond: number
  readonly estimateMs: number
  readonly draining: readonly DrainProgress[]
}

export type LeavingActions = {
  add(newcomer: Newcomer): Promise<Added>
  drain(id: NodeId, options: { readonly isForced: boolean }): Promise<LeavingPlan>
  cancelDrain(id: NodeId): Promise<void>
  remove(id: NodeId, options: { readonly isForced: boolean }): Promise<LeavingPlan>
  /** Whether anything changed. */
  readdress(id: NodeId, addresses: (member: Member) => Addresses): Promise<boolean>
  moves(): Promise<MovesProgress>
  setMovesShare(share: number): Promise<void>
}

const shareDefault = 0.3

export function createLeavingActions(deps: Deps): LeavingActions {
  const { system, cluster } = deps
  const hear = (): Promise<readonly Heard[]> => {
    return hearAll(deps.parts, { cluster, lane: deps.lane() })
  }
  const ask = async (id: NodeId): Promise<AskedFacts> => factsOf(deps, id, await hear())
  const nowMs = (): number => Math.floor(deps.parts.host.clock.wallMs())
  return {
    add: (newcomer) => addMember(system, newcomer),
    drain: async (id, { isForced }) =>
      drainMember(system, id, { ...(await ask(id)), isForced, atMs: nowMs() }),
    cancelDrain: (id) => cancelDrain(system, id, { atMs: nowMs() }),
    remove: async (id, { isForced }) =>
      removeMember(system, id, { ...(await ask(id)), isForced, atMs: nowMs() }),
    readdress: (id, addresses) => readdressMember(system, id, addresses),
    moves: async () => progressOf(deps, await hear()),
    setMovesShare: (share) => setMovesShare(system, share),
  }
}

async function factsOf(
  { parts, keyspaces }: Deps,
  id: NodeId,
  heard: readonly Heard[],
): Promise<AskedFacts> {
  const { self, rpc } = parts
  const shards = await countShardsOf(await keyspaces.open(firstObjectsNamespace), id)
  return {
    groups: groupsOf(heard),
    isUp: (other) => other === self || rpc.isReachable(other),
    held: heldOf(heard, id, shards),
  }
}

/** Each group as its leader has it, else as the one that has most of it. */
function groupsOf(heard: readonly Heard[]): readonly GroupFacts[] {
  const best = new Map<string, GroupFacts & { readonly rank: number }>()
  for (const { status } of heard) {
    for (const group of status?.groups ?? []) {
      if (group === undefined) continue
      const rank = group.role === 'leader' ? Number.MAX_SAFE_INTEGER : group.commit
      const known = best.get(group.name)
      if (known !== undefined && known.rank >= rank) continue
      const { name, voters, learners } = group
      best.set(name, { name, voters: voters.map(nodeId), learners: learners.map(nodeId), rank })
    }
  }
  return [...best.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Rows are exact, sizes and last copies as the most worried audit saw them. Undefined when nobody has audited. */
function heldOf(heard: readonly Heard[], id: NodeId, shards: number): HeldFacts | undefined {
  if (shards === 0) return { shards, bytes: 0, lastCopies: 0 }
  const audits = heard.flatMap(({ status }) => {
    const content = status?.lane?.content
    return content === undefined || content.auditedMsAgo === 0 ? [] : [content]
  })
  if (audits.length === 0) return undefined
  const seen = audits.flatMap(({ holders }) => holders.filter((holder) => holder?.node === id))
  return {
    shards,
    bytes: Math.max(0, ...seen.map((holder) => holder?.bytes ?? 0)),
    lastCopies: Math.max(0, ...seen.map((holder) => holder?.lastCopies ?? 0)),
  }
}

async function progressOf(deps: Deps, heard: readonly Heard[]): Promise<MovesProgress> {
  const { cluster, system, keyspaces } = deps
  const moves = heard.flatMap(({ status }) => status?.lane?.content?.moves ?? [])
  const sum = (pick: (one: (typeof moves)[number]) => number): number =>
    moves.reduce((total, one) => total + pick(one), 0)
  const bytesPerSecond = sum((one) => one.bytesPerSecond)
  const bytesLeft = sum((one) => one.bytesLeft)
  const objects = await keyspaces.open(firstObjectsNamespace)
  const groups = groupsOf(heard)
  const leaving = await readDraining(system)
  const draining = leaving.map(async ({ id, name }): Promise<DrainProgress> => {
    const { isReachable = false, status } = heard.find(({ member }) => member.id === id) ?? {}
    // Before the rows are counted: who says that it is empty has none at any later time.
    const hasDeclared = await isDrained(system, id).catch((error: unknown) => {
      if (isFault(error)) return false
      throw error
    })
    const shardsLeft = await countShardsOf(objects, id)
    const held = heldOf(heard, id, shardsLeft)
    const bytes = meanBytes(heard, id) * shardsLeft
    return {
      id,
      name,
      isUp: isReachable && status !== undefined,
      shardsLeft,
      bytesLeft: held === undefined ? 0 : Math.round(bytes),
      votesIn: groups.filter(({ voters }) => voters.includes(id)).map((group) => group.name),
      leads: (status?.groups ?? []).flatMap((group) =>
        group?.role === 'leader' ? [group.name] : [],
      ),
      isDrained: hasDeclared,
      estimateMs: estimate(shardsLeft === 0 ? 0 : Math.max(1, bytes), bytesPerSecond),
    }
  })
  return {
    share: cluster.view.settings().movesShare ?? shareDefault,
    shardsLeft: sum((one) => one.shardsLeft),
    bytesLeft,
    bytesPerSecond,
    estimateMs: estimate(bytesLeft, bytesPerSecond),
    draining: await Promise.all(draining),
  }
}

function meanBytes(heard: readonly Heard[], id: NodeId): number {
  const means = heard.flatMap(({ status }) =>
    (status?.lane?.content?.holders ?? []).flatMap((holder) =>
      holder?.node === id && holder.shards > 0 ? [holder.bytes / holder.shards] : [],
    ),
  )
  return Math.max(0, ...means)
}

function estimate(bytesLeft: number, bytesPerSecond: number): number {
  if (bytesLeft === 0) return 0
  return bytesPerSecond === 0 ? -1 : Math.ceil((1000 * bytesLeft) / bytesPerSecond)
}

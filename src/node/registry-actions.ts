// What the registry's routes do: the member list with what the leader of the system group remembers of each, changes of
// descriptions, labels and the rule, and questions of placement to the data thread.

import { Fault, type NodeId } from '../base/index.ts'
import {
  type BeatRow,
  changeMember,
  changePlacementRule,
  type Cluster,
  describeMember,
  formatAddress,
  type Heartbeats,
  labelMember,
  setCapabilities,
  listEvents,
  type Member,
  type PlacementRule,
  ruleOf,
  unmetLabels,
} from '../cluster/index.ts'
import type { RegistryActions } from '../gateways/admin/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { Lane } from './lane.ts'

const newestEvents = 10

type Parts = {
  readonly self: NodeId
  readonly host: Host
  readonly system: Keyspace
  readonly cluster: Cluster
  /** Undefined where another engine keeps the state: health is not watched there. */
  readonly heartbeats: Heartbeats | undefined
  readonly lane: Pick<Lane, 'ask'>
  leader(): NodeId | undefined
}

export function createRegistryActions(parts: Parts): RegistryActions {
  const { host, system, cluster, heartbeats, lane } = parts
  const nowMs = (): number => Math.max(0, Math.floor(host.clock.wallMs()))
  return {
    status: () => clusterPicture(parts),
    nodes: async () => {
      const beats = await heardOf(heartbeats)
      return shownMembers(cluster).map((member) => descriptor(member, beats, nowMs()))
    },
    async describe(id, { freeBytes, ...told }) {
      const member = await describeMember(system, id, told)
      if (freeBytes !== undefined) await report(parts, member, freeBytes)
    },
    async beat(id, { freeBytes, ...told }) {
      const isTold = Object.keys(told).length > 0
      const member = isTold
        ? await describeMember(system, id, told)
        : await changeMember(system, id, () => undefined)
      if (member === undefined) throw new Fault('not-found', `no member has the id ${id}`)
      await report(parts, member, freeBytes)
    },
    label: async (id, changes) => {
      const { name, labels } = await labelMember(system, id, changes)
      return { node_id: id, name, labels }
    },
    setCapabilities: async (id, caps) => {
      const member = await setCapabilities(system, id, { caps, atMs: nowMs() })
      return { node_id: id, name: member.name, caps: member.caps }
    },
    explain: (key) => lane.ask({ name: 'explain', key }),
    rule: async () => shownRule(parts, ruleOf(cluster.view.settings())),
    async changeRule(changes) {
      const decide = (rule = ruleOf(cluster.view.settings())) => ({ ...rule, ...changes })
      return shownRule(parts, await changePlacementRule(system, decide, nowMs()))
    },
    plan: (page) => replicationPlan(parts, page),
    async audit() {
      const { repaired, missing } = (await lane.ask({ name: 'audit' })) as Audited
      return { ...(await replicationPlan(parts, {})), repaired, missing }
    },
    events: async (page) => ({
      events: await listEvents(system, { ...page, isSerializable: true }),
    }),
  }
}

async function report(
  { heartbeats }: Parts,
  { id, capacityBytes }: Member,
  freeBytes: number | undefined,
): Promise<void> {
  const told = capacityBytes > 0 ? { capacityBytes } : {}
  await heartbeats?.report(id, freeBytes === undefined ? told : { ...told, freeBytes })
}

/** Nothing while nobody leads: the member list is shown all the same. */
async function heardOf(heartbeats: Heartbeats | undefined): Promise<ReadonlyMap<NodeId, BeatRow>> {
  const rows = (await heartbeats?.rows().catch(() => [])) ?? []
  return new Map(rows.map((row) => [row.id, row]))
}

function shownMembers({ allMembers }: Cluster): readonly Member[] {
  return allMembers().filter(({ state }) => state !== 'removed')
}

function descriptor(
  member: Member,
  beats: ReadonlyMap<NodeId, BeatRow>,
  nowMs: number,
): Readonly<Record<string, unknown>> {
  const beat = beats.get(member.id)
  const { admin, publicUrl, labels } = member
  const heardMs = beat?.isHeard === true ? nowMs - beat.silentMs : undefined
  return {
    node_id: member.id,
    name: member.name,
    public_url: publicUrl ?? `https://${formatAddress(admin)}`,
    labels,
    capacity_bytes: member.capacityBytes > 0 ? member.capacityBytes : (beat?.capacityBytes ?? 0),
    free_bytes: beat?.freeBytes ?? 0,
    last_heartbeat_unix: heardMs === undefined ? null : Math.floor(heardMs / 1000),
    status: member.state,
    caps: member.caps,
    version: beat?.version ?? member.version,
    silent_ms: beat?.silentMs ?? null,
    suspect_after_ms: beat?.suspectAfterMs ?? null,
    phi: beat?.phi ?? null,
    settings_digest: beat?.settingsDigest ?? '',
  }
}

async function clusterPicture(parts: Parts): Promise<unknown> {
  const { cluster, self, system } = parts
  const settings = cluster.view.settings()
  const states: Record<string, number> = {}
  for (const { state } of shownMembers(cluster)) states[state] = (states[state] ?? 0) + 1
  const events = await listEvents(system, { limit: newestEvents, isSerializable: true })
  return {
    cluster_id: settings.clusterId,
    region: settings.region,
    local_node_id: self,
    leader_node_id: parts.leader() ?? null,
    total_nodes: shownMembers(cluster).length,
    online_nodes: states.online ?? 0,
    offline_nodes: states.offline ?? 0,
    states,
    replication_factor: settings.dataShards + settings.parityShards,
    rule: shownRule(parts, ruleOf(settings)),
    events,
  }
}

function shownRule({ cluster }: Parts, rule: PlacementRule): unknown {
  return {
    data_shards: rule.dataShards,
    parity_shards: rule.parityShards,
    min_distinct: rule.minDistinct,
    weights: rule.weights,
    repair_after_ms: rule.repairAfterMs,
    unmet: unmetLabels(rule, cluster.view.members()),
  }
}

type Item = {
  readonly chunk: string
  readonly current: readonly NodeId[]
  readonly desired: readonly NodeId[]
  readonly missing: readonly NodeId[]
  readonly extra: readonly NodeId[]
  readonly shards: number
}
type Audited = { readonly repaired: number; readonly missing: number }
type Plan = {
  readonly chunks: number
  readonly items: readonly Item[]
  readonly next?: string
}

/** In the origin's words; of those that hold too much, the fullest disks first. */
async function replicationPlan(
  { host, lane, heartbeats }: Parts,
  page: { readonly after?: string; readonly limit?: number },
): Promise<object> {
  const { chunks, items, next } = (await lane.ask({ name: 'plan', ...page })) as Plan
  const beats = await heardOf(heartbeats)
  const freeOf = (id: NodeId): number => beats.get(id)?.freeBytes ?? 0
  return {
    generated_at_unix: Math.floor(host.clock.wallMs() / 1000),
    chunks,
    under_replicated: items.filter(
      ({ current, extra, shards }) => current.length - extra.length < shards,
    ).length,
    over_replicated: items.filter(({ extra }) => extra.length > 0).length,
    items: items.map(({ chunk, desired, current, missing, extra }) => ({
      key: chunk,
      desired,
      current,
      missing,
      extra: [...extra].sort((a, b) => freeOf(a) - freeOf(b) || a - b),
    })),
    next: next ?? null,
  }
}

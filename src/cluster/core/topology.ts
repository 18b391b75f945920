// The topology: who founds the cluster and where they listen, the default erasure code, and which buckets
// and keys exist at first start. Afterwards the system namespace rules and the file is generated from it.
// Reading the file is topology-file.ts, apart, because only the command needs it.
//
// Keys and defaults are those of the erasure store's document: 6660 and 9991, S3 on 8443, ids 1..n in
// list order, leader = true on id 1 only, paths distributed/db/node-N/ and distributed/nodes/node-N/.

import { type NodeId, nodeId } from '../../base/index.ts'
import type { Member } from '../cluster.ts'

export const topologyDefaults = {
  version: '1.0',
  region: 'ap-southeast-2',
  host: '0.0.0.0',
  s3TlsPort: 8443,
  controlPort: 6660,
  bulkPort: 9991,
  adminPort: 7777,
  s3Port: 9000,
} as const

export type TopologyEntry = {
  readonly id: NodeId
  readonly host: string
  readonly port: number
  readonly path: string
}
/** Who keeps the replicated state instead of this cluster's own groups: an existing cluster of etcd. */
export type EtcdControl = {
  readonly engine: 'etcd'
  /** URLs: 'http://10.0.0.1:2379'. */
  readonly endpoints: readonly string[]
  /** All keys begin with it; '/atoll' unless several clusters share one etcd. */
  readonly prefix: string
  /** Files, as seen from the node's directory. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly username?: string
  readonly password?: string
}

export type Topology = {
  readonly version: string
  readonly region: string
  /** Where S3 over TLS listens on every node. */
  readonly host: string
  readonly port: number
  readonly rs: { readonly data: number; readonly parity: number }
  /** Absent: the nodes agree among themselves. */
  readonly control?: EtcdControl
  /** Consensus and control; in list order. */
  readonly db: readonly (TopologyEntry & { readonly leader: boolean })[]
  /** Bulk bytes; the same ids. */
  readonly nodes: readonly TopologyEntry[]
  readonly buckets: readonly {
    readonly name: string
    readonly region: string
    readonly type: string
  }[]
  readonly auth: readonly { readonly accessKeyId: string; readonly secretAccessKey: string }[]
}

/** The whole file. The document's example comes out byte for byte. */
export function renderTopology(topology: Topology): string {
  const { data, parity } = topology.rs
  const paragraphs = [
    `version = ${quote(topology.version)}\nregion = ${quote(topology.region)}`,
    `host = ${quote(topology.host)}\nport = ${topology.port}`,
    `[rs]\ndata = ${data}\nparity = ${parity}`,
  ]
  if (topology.control !== undefined) paragraphs.push(renderControl(topology.control))
  for (const db of topology.db) {
    paragraphs.push(`[[db]]\n${renderEntry(db)}${db.leader ? '\nleader = true' : ''}`)
  }
  for (const node of topology.nodes) paragraphs.push(`[[nodes]]\n${renderEntry(node)}`)
  for (const { name, region, type } of topology.buckets) {
    const lines = `name = ${quote(name)}\nregion = ${quote(region)}\ntype = ${quote(type)}`
    paragraphs.push(`[[buckets]]\n${lines}`)
  }
  for (const { accessKeyId, secretAccessKey } of topology.auth) {
    const lines = `access_key_id = ${quote(accessKeyId)}\nsecret_access_key = ${quote(secretAccessKey)}`
    paragraphs.push(`[[auth]]\n${lines}`)
  }
  return `${paragraphs.join('\n\n')}\n`
}

function renderControl(control: EtcdControl): string {
  const { engine, endpoints, prefix } = control
  const lines = [
    '[control]',
    `engine = ${quote(engine)}`,
    `endpoints = [${endpoints.map(quote).join(', ')}]`,
    `prefix = ${quote(prefix)}`,
  ]
  for (const name of ['ca', 'cert', 'key', 'username', 'password'] as const) {
    const value = control[name]
    if (value !== undefined) lines.push(`${name} = ${quote(value)}`)
  }
  return lines.join('\n')
}

function renderEntry(listed: TopologyEntry): string {
  const { id: own, host, port: at, path } = listed
  return `id = ${own}\nhost = ${quote(host)}\nport = ${at}\npath = ${quote(path)}`
}

/** A TOML basic string: JSON's escapes are a subset of TOML's, but for the delete character. */
export function quote(value: string): string {
  return JSON.stringify(value).replaceAll('\u007f', '\\u007f')
}

/** A topology of nodes 1..n in list order with the document's paths. */
export function planTopology(plan: {
  readonly region: string
  readonly rs: { readonly data: number; readonly parity: number }
  readonly s3Tls: { readonly host: string; readonly port: number }
  readonly addresses: readonly {
    readonly host: string
    readonly controlPort: number
    readonly bulkPort: number
  }[]
  readonly buckets: readonly string[]
  readonly auth: Topology['auth']
}): Topology {
  return {
    version: topologyDefaults.version,
    region: plan.region,
    host: plan.s3Tls.host,
    port: plan.s3Tls.port,
    rs: plan.rs,
    db: plan.addresses.map(({ host, controlPort }, at) => ({
      id: nodeId(at + 1),
      host,
      port: controlPort,
      path: `distributed/db/node-${at + 1}/`,
      leader: at === 0,
    })),
    nodes: plan.addresses.map(({ host, bulkPort }, at) => ({
      id: nodeId(at + 1),
      host,
      port: bulkPort,
      path: `distributed/nodes/node-${at + 1}/`,
    })),
    buckets: plan.buckets.map((name) => ({ name, region: plan.region, type: 'distributed' })),
    auth: plan.auth,
  }
}

/** The same cluster after a member lost its disk: a new id at the same addresses. */
export function replaceInTopology(topology: Topology, old: NodeId, fresh: NodeId): Topology {
  const replaceEntry = <E extends TopologyEntry>(listed: E, kind: string): E =>
    listed.id === old
      ? { ...listed, id: fresh, path: `distributed/${kind}/node-${fresh}/`, leader: false }
      : listed
  return {
    ...topology,
    db: topology.db.map((listed) => replaceEntry(listed, 'db')),
    nodes: topology.nodes.map((listed) => {
      const { id: own, host, port: at, path } = replaceEntry(listed, 'nodes')
      return { id: own, host, port: at, path }
    }),
  }
}

/**
 * The file as it follows the member list: who took a removed member's place has its position, a removed one that
 * nobody replaced is gone, members that it lacks come last, in the order of who first had their place, and
 * addresses are the members'. Entries of nodes that never joined stay. Everybody who had the same file and knows the same members has the same
 * answer, whatever they knew in between.
 */
export function followMembers(
  topology: Topology,
  members: readonly Pick<Member, 'id' | 'state' | 'control' | 'bulk' | 'replaces'>[],
): Topology {
  const byId = new Map<number, (typeof members)[number]>(members.map((one) => [one.id, one]))
  const placed = new Set<number>()
  const db: Topology['db'][number][] = []
  for (const listed of topology.db) {
    const member = byId.get(listed.id)
    if (member === undefined) {
      db.push(listed)
      continue
    }
    const holder = presentHolder(member, members)
    if (holder === undefined || placed.has(holder.id)) continue
    placed.add(holder.id)
    db.push(holder === member ? { ...listed, ...holder.control } : entryOf(holder))
  }
  const isMissing = ({ id, state }: (typeof members)[number]): boolean =>
    state !== 'removed' && state !== 'pending' && state !== 'unpaired' && !placed.has(id)
  const missing = members
    .filter(isMissing)
    .map((member) => ({ member, first: firstHolder(member, byId) }))
    .sort((a, b) => a.first - b.first)
  for (const { member } of missing) db.push(entryOf(member))
  const nodes = db.map(({ id }): TopologyEntry => {
    const listed = topology.nodes.find((node) => node.id === id)
    const member = byId.get(id)
    const path = listed?.path ?? `distributed/nodes/node-${id}/`
    if (member !== undefined) return { id, ...member.bulk, path }
    return listed ?? { id, host: '', port: topologyDefaults.bulkPort, path }
  })
  return { ...topology, db, nodes }
}

/** Who holds a member's place now: itself, or the end of its replacements; undefined when nobody does. */
function presentHolder<M extends Pick<Member, 'id' | 'state' | 'replaces'>>(
  member: M,
  members: readonly M[],
): M | undefined {
  let holder: M | undefined = member
  for (let step = 0; step <= members.length && holder?.state === 'removed'; step++) {
    const gone: NodeId = holder.id
    holder = members.find((other) => other.replaces === gone)
  }
  return holder?.state === 'removed' ? undefined : holder
}

/** Where the chain of replacements that led to a member began. */
function firstHolder(
  member: Pick<Member, 'id' | 'replaces'>,
  byId: ReadonlyMap<number, Pick<Member, 'id' | 'replaces'>>,
): number {
  let first = member
  for (let step = 0; step < byId.size && first.replaces !== undefined; step++) {
    const before = byId.get(first.replaces)
    if (before === undefined) break
    first = before
  }
  return first.id
}

function entryOf({ id, control }: Pick<Member, 'id' | 'control'>): Topology['db'][number] {
  return { id, ...control, path: `distributed/db/node-${id}/`, leader: false }
}

export function isSameTopology(a: Topology, b: Topology): boolean {
  return renderTopology(a) === renderTopology(b)
}

/** With one node more at the end of both lists. */
export function extendTopology(
  topology: Topology,
  added: {
    readonly id: NodeId
    readonly host: string
    readonly controlPort: number
    readonly bulkPort: number
  },
): Topology {
  const { id, host, controlPort, bulkPort } = added
  const db = { id, host, port: controlPort, path: `distributed/db/node-${id}/`, leader: false }
  const node = { id, host, port: bulkPort, path: `distributed/nodes/node-${id}/` }
  return { ...topology, db: [...topology.db, db], nodes: [...topology.nodes, node] }
}

/** Without a node that is removed; without node 1 nobody is marked as the first leader. */
export function shrinkTopology(topology: Topology, removed: NodeId): Topology {
  return {
    ...topology,
    db: topology.db.filter(({ id }) => id !== removed),
    nodes: topology.nodes.filter(({ id }) => id !== removed),
  }
}

/** With a node at another host, its ports kept. */
export function readdressInTopology(topology: Topology, id: NodeId, host: string): Topology {
  const moved = <E extends TopologyEntry>(listed: E): E =>
    listed.id === id ? { ...listed, host } : listed
  return { ...topology, db: topology.db.map(moved), nodes: topology.nodes.map(moved) }
}

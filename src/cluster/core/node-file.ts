// node.toml: what one node knows about itself and shares with nobody: its id, and where its own servers
// listen. The cluster's file is the same everywhere; this one says "I am this member".
//
//   [node]
//   node_id = 4
//   founders = [1, 2, 3]     only where they are not the topology's own nodes: who founded the groups
//   name = "rpi1"            of a node that was initialised or joined by command
//   caps = ["control", "s3"] capabilities; none: all there are
//   target_size = 3          where the cluster began: how many members it is meant to have
//
//   [labels]
//   region = "ap-southeast-2"
//   zone = "a"
//
//   [listen]
//   admin = 7777
//   s3 = 9000
//   s3_tls = 8443
//
// Without a list of several nodes no id is written: the only node is found by its address.

import * as v from 'valibot'
import { Fault, type NodeId, nodeId } from '../../base/index.ts'
import { describeIssue } from './shape-issue.ts'
import { lineOf } from './toml-lines.ts'
import { quote, type Topology, topologyDefaults } from './topology.ts'
import { readToml } from './topology-file.ts'

export type NodeFile = {
  readonly id: NodeId | undefined
  /** Empty: the topology's own nodes founded the groups. */
  readonly founders: readonly NodeId[]
  readonly adminPort: number
  readonly s3Port: number
  readonly s3TlsPort: number
  readonly name?: string
  readonly caps?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  readonly targetSize?: number
}

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))
const id = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(0xffff_ffff))
const nodeFileSchema = v.strictObject({
  node: v.optional(
    v.strictObject({
      node_id: v.optional(id),
      founders: v.optional(v.pipe(v.array(id), v.maxLength(1024)), []),
      name: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(63))),
      caps: v.optional(
        v.pipe(v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(32))), v.maxLength(32)),
      ),
      target_size: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1024))),
    }),
    { founders: [] },
  ),
  labels: v.optional(
    v.record(
      v.pipe(v.string(), v.minLength(1), v.maxLength(63)),
      v.pipe(v.string(), v.maxLength(255)),
    ),
  ),
  listen: v.optional(
    v.strictObject({
      admin: v.optional(port, topologyDefaults.adminPort),
      s3: v.optional(port, topologyDefaults.s3Port),
      s3_tls: v.optional(port),
    }),
    { admin: topologyDefaults.adminPort, s3: topologyDefaults.s3Port },
  ),
})

export function parseNodeFile(text: string, topology: Topology): NodeFile {
  const parsed = v.safeParse(nodeFileSchema, readToml(text, 'node.toml'))
  if (!parsed.success) {
    const { path, what } = describeIssue(parsed.issues[0])
    const line = lineOf(text, path)
    const key = path.join('.')
    throw new Fault('invalid', `node.toml:${line}: ${key}: ${what}`, {
      fields: { line: String(line), key },
    })
  }
  const { node, listen, labels } = parsed.output
  return {
    ...(node.name === undefined ? {} : { name: node.name }),
    ...(node.caps === undefined ? {} : { caps: node.caps }),
    ...(labels === undefined ? {} : { labels }),
    ...(node.target_size === undefined ? {} : { targetSize: node.target_size }),
    id: node.node_id === undefined ? undefined : nodeId(node.node_id),
    founders: node.founders.map(nodeId),
    adminPort: listen.admin,
    s3Port: listen.s3,
    s3TlsPort: listen.s3_tls ?? topology.port,
  }
}

export function renderNodeFile(file: NodeFile): string {
  const { id: own, founders, name, caps, targetSize, labels } = file
  const lines: string[] = []
  if (own !== undefined) lines.push(`node_id = ${own}`)
  if (founders.length > 0) lines.push(`founders = [${founders.join(', ')}]`)
  if (name !== undefined) lines.push(`name = ${quote(name)}`)
  if (caps !== undefined) lines.push(`caps = [${caps.map(quote).join(', ')}]`)
  if (targetSize !== undefined) lines.push(`target_size = ${targetSize}`)
  if (lines.length > 0) lines.splice(0, 0, '[node]')
  if (lines.length > 0) lines.push('')
  if (labels !== undefined) {
    lines.push('[labels]')
    for (const [key, value] of Object.entries(labels))
      lines.push(`${bareKey(key)} = ${quote(value)}`)
    lines.push('')
  }
  lines.push('[listen]', `admin = ${file.adminPort}`, `s3 = ${file.s3Port}`)
  lines.push(`s3_tls = ${file.s3TlsPort}`)
  return `${lines.join('\n')}\n`
}

function bareKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : quote(key)
}

/** Environment variables that name this node's id, the first that is set and not empty wins. */
export const nodeIdVariables = ['ATOLL_NODE_ID', 'HIVE_PREDASTORE_NODE_ID'] as const

/**
 * Which member this node is: the environment's word, else node.toml's, else the entry with this node's
 * bind address, else the only entry. Fault 'invalid' when that is nobody in the topology.
 */
export function resolveNodeId(
  topology: Topology,
  known: {
    readonly environment: Readonly<Record<string, string | undefined>>
    readonly file?: NodeId | undefined
    readonly bindHost?: string | undefined
  },
): NodeId {
  for (const variable of nodeIdVariables) {
    const value = known.environment[variable]
    if (value === undefined || value === '') continue
    const own = Number(value)
    if (!/^[0-9]{1,10}$/.test(value) || own < 1) {
      throw new Fault('invalid', `${variable}=${value} is not a node id`, {
        next: `set ${variable} to one of ${listIds(topology)}, or leave it empty`,
      })
    }
    return requireListed(topology, nodeId(own), variable)
  }
  if (known.file !== undefined) return requireListed(topology, known.file, 'node.toml')
  if (known.bindHost !== undefined) {
    const own = findNodeIdByHost(topology, known.bindHost)
    if (own !== undefined) return own
    throw new Fault('invalid', `no [[db]] entry has the bind address ${known.bindHost}`, {
      next: 'bind to an address that cluster.toml lists, or add this node to it',
    })
  }
  const only = topology.db[0]
  if (topology.db.length === 1 && only !== undefined) return only.id
  throw new Fault(
    'invalid',
    'cluster.toml lists several nodes and nothing says which one this is',
    {
      next: `set ATOLL_NODE_ID to one of ${listIds(topology)}, or give a bind address`,
    },
  )
}

/** The id of the [[db]] entry with this host; undefined when none or several have it. */
export function findNodeIdByHost(topology: Topology, host: string): NodeId | undefined {
  const found = topology.db.filter((db) => db.host === host)
  return found.length === 1 ? found[0]?.id : undefined
}

function requireListed(topology: Topology, own: NodeId, source: string): NodeId {
  if (topology.db.some((db) => db.id === own)) return own
  throw new Fault('invalid', `${source} says node ${own}, which cluster.toml does not list`, {
    next: `it lists ${listIds(topology)}`,
  })
}

function listIds(topology: Topology): string {
  return topology.db.map((db) => db.id).join(', ')
}

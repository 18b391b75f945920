// The node of a directory as a command asks it: over TLS at its own address, with the directory's own token.

import * as v from 'valibot'
import { type ClusterId, clusterId, Fault, isFault } from '../base/index.ts'
import { type NodeFile, parseNodeFile, resolveNodeId } from '../cluster/files.ts'
import type { Topology } from '../cluster/index.ts'
import { type AdminEndpoint, askAdmin } from './admin-client.ts'
import { readText, requireText } from './files.ts'
import { certifiedId, hasIdentity, readTopology } from './node-dir.ts'
import { nodePaths } from './paths.ts'

export type OwnNode = {
  readonly id: number
  readonly name: string
  readonly clusterId: ClusterId
  readonly topology: Topology
  readonly file: NodeFile
  readonly host: string
  readonly endpoint: AdminEndpoint
}

/** Undefined when the directory is not a node's. */
export function findOwnNode(dataDir: string): OwnNode | undefined {
  if (!hasIdentity(dataDir)) return undefined
  const topology = readTopology(dataDir, { mayGrow: true })
  if (topology === undefined) return undefined
  const paths = nodePaths(dataDir)
  const file = parseNodeFile(readText(paths.node) ?? '', topology)
  const id = resolveNodeId(topology, {
    environment: {},
    file: file.id ?? certifiedId(dataDir),
  })
  const host = topology.db.find((db) => db.id === id)?.host ?? ''
  return {
    id,
    name: file.name ?? `node-${id}`,
    clusterId: clusterId(requireText(paths.clusterId).trim()),
    topology,
    file,
    host,
    endpoint: {
      host,
      port: file.adminPort,
      authorityPem: requireText(paths.authorityCertificate),
      token: requireText(paths.adminToken).trim(),
    },
  }
}

/** Fault 'not-found' that says how a directory becomes a node's. */
export function requireOwnNode(dataDir: string): OwnNode {
  const own = findOwnNode(dataDir)
  if (own !== undefined) return own
  throw new Fault('not-found', `${dataDir} holds no node`, {
    next: 'make one first: atoll admin init, or atoll admin join (--help shows how)',
  })
}

const memberSchema = v.object({
  id: v.pipe(v.number(), v.integer()),
  name: v.string(),
  state: v.string(),
  address: v.string(),
  caps: v.array(v.string()),
  labels: v.record(v.string(), v.string()),
  version: v.string(),
  epoch: v.pipe(v.number(), v.integer()),
})
const membersSchema = v.object({
  clusterId: v.string(),
  region: v.string(),
  targetSize: v.pipe(v.number(), v.integer()),
  epoch: v.pipe(v.number(), v.integer()),
  members: v.array(memberSchema),
  waiting: v.array(
    v.object({
      fingerprint: v.string(),
      name: v.string(),
      address: v.string(),
      version: v.string(),
    }),
  ),
})
export type MembersAnswer = v.InferOutput<typeof membersSchema>

const askMs = 5_000

export async function askMembers(endpoint: AdminEndpoint): Promise<MembersAnswer> {
  const call = { method: 'GET', path: '/v1/members', timeoutMs: askMs } as const
  return v.parse(membersSchema, await askAdmin(endpoint, call))
}

/** Undefined while the node does not answer, or has no state of the cluster yet. */
export async function tryAsk<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (
      isFault(error, 'unavailable') ||
      isFault(error, 'deadline') ||
      isFault(error, 'not-leader')
    ) {
      return undefined
    }
    throw error
  }
}

// How certificates name a cluster and its members.

import { type ClusterId, clusterId, type NodeId, nodeId } from '../../base/index.ts'

const authorityPrefix = 'Atoll cluster '

/** Common name of the authority. */
export const authorityName = (cluster: ClusterId): string => `${authorityPrefix}${cluster}`

/** The cluster whose authority has this common name. */
export function clusterOfAuthority(subjectName: string): ClusterId | undefined {
  if (!subjectName.startsWith(authorityPrefix)) return undefined
  const name = subjectName.slice(authorityPrefix.length)
  return /^[0-9a-f]{32}$/.test(name) ? clusterId(name) : undefined
}

/** SAN URI of a member, by which its peers know it. */
export const nodeUri = (cluster: ClusterId, id: NodeId): string => `atoll://${cluster}/node/${id}`

/** SAN URI of a client's certificate: no member has it. */
export const clientUri = (cluster: ClusterId, name: string): string =>
  `atoll://${cluster}/client/${encodeURIComponent(name)}`

/** The member that a certificate is for; undefined unless it names exactly one. */
export function memberOfUris(
  uris: readonly string[],
): { readonly clusterId: ClusterId; readonly nodeId: NodeId } | undefined {
  const own = uris.filter((uri) => uri.startsWith('atoll:'))
  const parts = /^atoll:\/\/([0-9a-f]{32})\/node\/([1-9][0-9]{0,9})$/.exec(own[0] ?? '')
  if (own.length !== 1 || parts === null) return undefined
  return { clusterId: clusterId(parts[1] ?? ''), nodeId: nodeId(Number(parts[2])) }
}

// The cluster's status as a page of text.

import type { ClusterStatus } from '../node/index.ts'

export function describeStatus(status: ClusterStatus): string {
  const { code, nodes, groups } = status
  const objects = status.objects < 0 ? 'unknown' : String(status.objects)
  const missing = status.underReplicatedShards
  const redundancy =
    missing < 0
      ? 'being checked'
      : missing === 0
        ? 'complete'
        : `${missing} shards missing, being repaired`
  return [
    `Cluster ${status.clusterId} in ${status.region}, code ${code.data}+${code.parity}`,
    '',
    ...table(
      ['node', 'state', 'S3', 'up', 'memory', 'shards', 'free'],
      nodes.map((node) => [
        `${node.id}${node.replaces === undefined ? '' : ` (for ${node.replaces})`}`,
        node.state,
        node.s3,
        duration(node.uptimeMs),
        size(node.residentBytes),
        size(node.liveBytes),
        `${size(node.freeBytes)} of ${size(node.totalBytes)}`,
      ]),
    ),
    '',
    ...table(
      ['group', 'node', 'role', 'term', 'commit', 'applied'],
      groups.map((group) => [
        group.name,
        String(group.node),
        group.role,
        String(group.term),
        String(group.commit),
        String(group.applied),
      ]),
    ),
    '',
    `objects     ${objects}`,
    `shards      ${size(status.liveBytes)} on ${nodes.length} nodes, ${size(status.freeBytes)} free`,
    `redundancy  ${redundancy}`,
    ...(status.moves.shardsLeft === 0
      ? []
      : [`moves       ${status.moves.shardsLeft} shards, ${size(status.moves.bytesLeft)} to go`]),
    `damage      ${status.damagedShards} shards found damaged since the nodes started`,
    '',
  ].join('\n')
}

/** Columns as wide as their widest cell. */
export function table(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): readonly string[] {
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  return [heads, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function size(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}

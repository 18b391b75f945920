// What `atoll up` answers: one line of JSON for programs, endpoints and ready-to-paste lines for people.

import { resolve } from 'node:path'
import type { Topology } from '../cluster/index.ts'
import { describeOperator, type FirstOperator } from './first-operator.ts'
import type { Slot } from './formation.ts'
import { defaultDataDir } from './paths.ts'

export type ClusterSummary = {
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly nodes: readonly {
    readonly id: number
    readonly pid: number
    /** A plain-HTTP URL. */
    readonly s3: string
    readonly admin: string
    readonly dataDir: string
  }[]
  /** Absent when the cluster could not be asked. */
  readonly console?: FirstOperator & { readonly url: string }
}

export function summarizeCluster(
  topology: Topology,
  running: {
    readonly nodes: readonly {
      readonly slot: Slot
      readonly pid: number
      readonly nodeDir: string
    }[]
    readonly operator?: FirstOperator | undefined
  },
): ClusterSummary {
  const key = topology.auth[0]
  const { operator } = running
  const slot = running.nodes[0]?.slot
  const url = slot === undefined ? '' : `https://${slot.host}:${slot.ports.admin}/console/`
  return {
    region: topology.region,
    accessKeyId: key?.accessKeyId ?? '',
    secretAccessKey: key?.secretAccessKey ?? '',
    nodes: running.nodes.map(({ slot, pid, nodeDir }) => ({
      id: slot.id,
      pid,
      s3: `http://${slot.host}:${slot.ports.s3}`,
      admin: `https://${slot.host}:${slot.ports.admin}`,
      dataDir: nodeDir,
    })),
    ...(operator === undefined ? {} : { console: { url, ...operator } }),
  }
}

export function describeCluster(summary: ClusterSummary, dataDir: string): string {
  const { region, accessKeyId, secretAccessKey, nodes, console: people } = summary
  const first = nodes[0]?.s3 ?? ''
  const flag = dataDir === resolve(defaultDataDir) ? '' : ` -- --data-dir ${dataDir}`
  const rows = nodes.map(
    ({ id, pid, s3, admin }) =>
      `  node ${String(id).padEnd(3)} ${s3.padEnd(24)} ${admin.padEnd(26)} pid ${pid}`,
  )
  return [
    '',
    `Atoll is ready: ${nodes.length} ${nodes.length === 1 ? 'node' : 'nodes'}, data in ${dataDir}`,
    '',
    `  ${''.padEnd(8)} ${'S3'.padEnd(24)} admin`,
    ...rows,
    '',
    ...(people === undefined ? [] : [describeOperator(people.url, people), '']),
    '  With the AWS CLI:',
    '',
    `    export AWS_ACCESS_KEY_ID=${accessKeyId}`,
    `    export AWS_SECRET_ACCESS_KEY=${secretAccessKey}`,
    `    export AWS_REGION=${region} AWS_ENDPOINT_URL=${first}`,
    '    aws s3 mb s3://demo && aws s3 cp README.md s3://demo/ && aws s3 ls s3://demo',
    '',
    '  With curl:',
    '',
    `    curl --aws-sigv4 aws:amz:${region}:s3 --user ${accessKeyId}:${secretAccessKey} \\`,
    `      -H x-amz-content-sha256:UNSIGNED-PAYLOAD -T README.md ${first}/predastore/README.md`,
    '',
    `  State: npm run -s atoll -- status --data-dir ${dataDir}`,
    `  Ctrl-C stops the cluster; \`npm start${flag}\` starts it again with everything it had.`,
    '',
  ].join('\n')
}

// What tools ask besides the API: /version, /metrics, and the probes. Metrics bear etcd's names where they mean the same
// (etcd's metrics.md), so that its dashboards show something true.

import { utf8Encode } from '../../base/index.ts'
import type { HttpRequest, HttpResponse } from '../../host/index.ts'
import type { Context } from './context.ts'
import { answerProbe } from './probes.ts'
import { apiVersion } from './upkeep.ts'

/** Undefined when the request is for no page. */
export async function answerPage(
  context: Context,
  request: HttpRequest,
): Promise<HttpResponse | undefined> {
  const probed = await answerProbe(context, request)
  if (probed !== undefined) return probed
  if (request.method !== 'GET' && request.method !== 'HEAD') return undefined
  const path = request.target.split('?')[0]
  if (path === '/version') {
    return json(200, { etcdserver: apiVersion, etcdcluster: apiVersion.replace(/\d+$/, '0') })
  }
  if (path === '/metrics') return await answerMetrics(context)
  return undefined
}

function json(status: number, value: unknown): HttpResponse {
  const body = utf8Encode(`${JSON.stringify(value)}\n`)
  return { status, headers: [['content-type', 'application/json']], body }
}

type Sample = readonly [name: string, type: 'gauge' | 'counter', help: string, value: number]

async function answerMetrics(context: Context): Promise<HttpResponse> {
  const { cluster, counters, keyspace } = context
  const { leader, commit, applied, isLearner, leaderChanges } = cluster.group()
  const status = await keyspace.status()
  const samples: readonly Sample[] = [
    ['etcd_server_has_leader', 'gauge', 'Whether a leader is known.', leader === 0 ? 0 : 1],
    ['etcd_server_is_leader', 'gauge', 'Whether it leads.', leader === cluster.self ? 1 : 0],
    ['etcd_server_is_learner', 'gauge', 'Whether it has no vote.', isLearner ? 1 : 0],
    ['etcd_server_leader_changes_seen_total', 'counter', 'New leaders seen.', leaderChanges],
    ['etcd_server_proposals_committed_total', 'gauge', 'Index of the last commit.', commit],
    ['etcd_server_proposals_applied_total', 'gauge', 'Index of the last apply.', applied],
    ['etcd_server_proposals_pending', 'gauge', 'Writes that wait.', counters.pendingProposals],
    ['etcd_server_proposals_failed_total', 'counter', 'Writes lost.', counters.failedProposals],
    ['etcd_server_health_success', 'counter', 'Good answers of /health.', counters.goodHealth],
    ['etcd_server_health_failures', 'counter', 'Bad answers of /health.', counters.badHealth],
    ['etcd_server_quota_backend_bytes', 'gauge', 'The quota.', status.quotaBytes],
    ['etcd_mvcc_db_total_size_in_bytes', 'gauge', 'Bytes against it.', status.usedBytes],
    ['etcd_mvcc_db_total_size_in_use_in_bytes', 'gauge', 'As much.', status.usedBytes],
    ['etcd_debugging_mvcc_current_revision', 'gauge', 'The revision.', status.revision],
    ['etcd_debugging_mvcc_compact_revision', 'gauge', 'History begins.', status.compacted],
    ['etcd_debugging_mvcc_watch_stream_total', 'gauge', 'Watch streams.', counters.watchStreams],
    ['etcd_debugging_mvcc_watcher_total', 'gauge', 'Watches.', counters.watchers],
    [
      'etcd_network_client_grpc_received_bytes_total',
      'counter',
      'Bytes of clients.',
      counters.receivedBytes,
    ],
    [
      'etcd_network_client_grpc_sent_bytes_total',
      'counter',
      'Bytes to clients.',
      counters.sentBytes,
    ],
    [
      'process_resident_memory_bytes',
      'gauge',
      'Memory of the process.',
      context.host.memory.residentBytes(),
    ],
  ]
  const labelled = [
    ['etcd_server_version', `server_version="${apiVersion}"`],
    ['etcd_cluster_version', `cluster_version="${apiVersion.replace(/\.\d+$/, '')}"`],
    ['etcd_server_id', `server_id="${cluster.self.toString(16)}"`],
  ] as const
  const lines = [
    ...labelled.flatMap(([name, label]) => [`# TYPE ${name} gauge`, `${name}{${label}} 1`]),
    ...samples.flatMap(([name, type, help, value]) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      `${name} ${value}`,
    ]),
    ...counters.lines(),
  ]
  const headers = [['content-type', 'text/plain; version=0.0.4; charset=utf-8']] as const
  return { status: 200, headers, body: utf8Encode(`${lines.join('\n')}\n`) }
}

// What tools ask besides the API: /version, /health, /metrics. Metrics bear etcd's names where they mean the same
// (etcd's metrics.md), so that its dashboards show something true.

import { utf8Encode } from '../../base/index.ts'
import type { HttpRequest, HttpResponse } from '../../host/index.ts'
import type { Context } from './context.ts'
import { codeNames } from './core/errors.ts'
import type { Ended } from './grpc.ts'
import { apiVersion, isHealthy } from './upkeep.ts'

/** Calls by method and code: as many as there are methods and codes, at most. */
export class Counters {
  readonly #handled = new Map<string, { readonly ended: Ended; count: number }>()

  count(ended: Ended): void {
    const key = `${ended.method.name} ${ended.code}`
    const known = this.#handled.get(key)
    if (known === undefined) this.#handled.set(key, { ended, count: 1 })
    else known.count++
  }

  lines(): readonly string[] {
    const keys = [...this.#handled.keys()].sort()
    return keys.flatMap((key) => {
      const row = this.#handled.get(key)
      if (row === undefined) return []
      const [room = '', name = ''] = row.ended.method.name.split('/')
      const type = row.ended.method.run.kind === 'unary' ? 'unary' : 'bidi_stream'
      const code = codeNames[row.ended.code] ?? 'Unknown'
      const labels = `grpc_code="${code}",grpc_method="${name}",grpc_service="${room}",grpc_type="${type}"`
      return [`grpc_server_handled_total{${labels}} ${row.count}`]
    })
  }
}

/** Undefined when the request is for no page. */
export async function answerPage(
  context: Context,
  request: HttpRequest,
  counters: Counters,
): Promise<HttpResponse | undefined> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return undefined
  const path = request.target.split('?')[0]
  if (path === '/version') {
    return json(200, { etcdserver: apiVersion, etcdcluster: apiVersion.replace(/\d+$/, '0') })
  }
  if (path === '/health') {
    const isWell = await isHealthy(context)
    return json(isWell ? 200 : 503, { health: String(isWell), reason: '' })
  }
  if (path === '/metrics') return await answerMetrics(context, counters)
  return undefined
}

function json(status: number, value: unknown): HttpResponse {
  const body = utf8Encode(`${JSON.stringify(value)}\n`)
  return { status, headers: [['content-type', 'application/json']], body }
}

async function answerMetrics(context: Context, counters: Counters): Promise<HttpResponse> {
  const { cluster, keyspace } = context
  const { leader, commit, applied, isLearner } = cluster.group()
  const status = await keyspace.status()
  const gauges: readonly (readonly [string, number])[] = [
    ['etcd_server_has_leader', leader === 0 ? 0 : 1],
    ['etcd_server_is_leader', leader === cluster.self ? 1 : 0],
    ['etcd_server_is_learner', isLearner ? 1 : 0],
    ['etcd_server_proposals_committed_total', commit],
    ['etcd_server_proposals_applied_total', applied],
    ['etcd_server_quota_backend_bytes', status.quotaBytes],
    ['etcd_mvcc_db_total_size_in_bytes', status.usedBytes],
    ['etcd_mvcc_db_total_size_in_use_in_bytes', status.usedBytes],
    ['etcd_debugging_mvcc_current_revision', status.revision],
    ['etcd_debugging_mvcc_compact_revision', status.compacted],
    ['etcd_debugging_lease_granted', status.leases],
    ['process_resident_memory_bytes', context.host.memory.residentBytes()],
  ]
  const lines = [
    `etcd_server_version{server_version="${apiVersion}"} 1`,
    ...gauges.map(([name, value]) => `${name} ${value}`),
    ...counters.lines(),
  ]
  const headers = [['content-type', 'text/plain; version=0.0.4; charset=utf-8']] as const
  return { status: 200, headers, body: utf8Encode(`${lines.join('\n')}\n`) }
}

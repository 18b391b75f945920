// What this thread's gateway has done, for /metrics: numbers only, as many as there are methods and codes.

import type { Method } from './context.ts'
import { codeNames } from './core/errors.ts'

export type Ended = { readonly method: Method; readonly code: number }

/** Calls that become entries of the log. */
const proposing: ReadonlySet<string> = new Set([
  'etcdserverpb.KV/Put',
  'etcdserverpb.KV/DeleteRange',
  'etcdserverpb.KV/Txn',
  'etcdserverpb.KV/Compact',
  'etcdserverpb.Lease/LeaseGrant',
  'etcdserverpb.Lease/LeaseRevoke',
])
/** Canceled, DeadlineExceeded, Unavailable: what was proposed was not seen to commit. */
const uncommittedCodes: ReadonlySet<number> = new Set([1, 4, 14])

type Row = {
  started: number
  received: number
  sent: number
  readonly handled: Map<number, number>
}

export class Counters {
  readonly #rows = new Map<string, { readonly method: Method; readonly row: Row }>()
  receivedBytes = 0
  sentBytes = 0
  watchStreams = 0
  watchers = 0
  pendingProposals = 0
  failedProposals = 0
  goodHealth = 0
  badHealth = 0

  started(method: Method): void {
    this.#rowOf(method).started++
    if (proposing.has(method.name)) this.pendingProposals++
  }

  received(method: Method, bytes: number): void {
    this.#rowOf(method).received++
    this.receivedBytes += bytes
  }

  sent(method: Method, bytes: number): void {
    this.#rowOf(method).sent++
    this.sentBytes += bytes
  }

  ended({ method, code }: Ended): void {
    const { handled } = this.#rowOf(method)
    handled.set(code, (handled.get(code) ?? 0) + 1)
    if (!proposing.has(method.name)) return
    this.pendingProposals--
    if (uncommittedCodes.has(code)) this.failedProposals++
  }

  /** In the form of the text format of Prometheus, methods in order. */
  lines(): readonly string[] {
    const rows = [...this.#rows].sort(([a], [b]) => (a < b ? -1 : 1))
    const counted = (name: string, help: string, countOf: (row: Row) => number): string[] => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} counter`,
      ...rows.map(([, { method, row }]) => `${name}{${labelsOf(method)}} ${countOf(row)}`),
    ]
    return [
      ...counted('grpc_server_started_total', 'Calls begun.', (row) => row.started),
      ...counted('grpc_server_msg_received_total', 'Messages of clients.', (row) => row.received),
      ...counted('grpc_server_msg_sent_total', 'Messages to clients.', (row) => row.sent),
      '# HELP grpc_server_handled_total Calls ended, by code.',
      '# TYPE grpc_server_handled_total counter',
      ...rows.flatMap(([, { method, row }]) =>
        [...row.handled]
          .sort(([a], [b]) => a - b)
          .map(([code, count]) => {
            const name = codeNames[code] ?? 'Unknown'
            return `grpc_server_handled_total{grpc_code="${name}",${labelsOf(method)}} ${count}`
          }),
      ),
    ]
  }

  #rowOf(method: Method): Row {
    const known = this.#rows.get(method.name)
    if (known !== undefined) return known.row
    const row = { started: 0, received: 0, sent: 0, handled: new Map<number, number>() }
    this.#rows.set(method.name, { method, row })
    return row
  }
}

function labelsOf({ name, run }: Method): string {
  const [about = '', call = ''] = name.split('/')
  const type = run.kind === 'unary' ? 'unary' : 'bidi_stream'
  return `grpc_method="${call}",grpc_service="${about}",grpc_type="${type}"`
}

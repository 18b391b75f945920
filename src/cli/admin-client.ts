// Asks a node's admin API: TLS with the cluster's own authority as the only trusted one, and the token
// of the data directory.

import { request } from 'node:https'
import { Fault, faultCodeOf, isFault } from '../base/index.ts'
import { reason } from './files.ts'

export type AdminEndpoint = {
  readonly host: string
  readonly port: number
  readonly authorityPem: string
  readonly token: string
}

const answerBytesMax = 8 * 1024 * 1024
const startNext =
  "start it with `atoll up`, or with `atoll start --data-dir DIR` where the directory is one node's"

/** What the first of `nodes` says that answers; no other is asked for what one may have begun with. */
export async function askFirst<N, T>(
  nodes: readonly N[],
  ask: (node: N) => Promise<T>,
): Promise<T> {
  let last: Fault | undefined
  for (const node of nodes) {
    try {
      return await ask(node)
    } catch (error) {
      if (!isFault(error, 'unavailable') || error.outcome === 'unknown') throw error
      last = error
    }
  }
  throw last ?? new Fault('unavailable', 'no node runs', { next: startNext })
}

/**
 * The answer's JSON. Faults: what the node answered, or 'unavailable' when it does not answer; its outcome is unknown when
 * the node may have begun with something other than an answer.
 */
export function askAdmin(
  endpoint: AdminEndpoint,
  call: {
    readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
    readonly path: string
    readonly body?: unknown
    readonly timeoutMs: number
  },
): Promise<unknown> {
  const { host, port } = endpoint
  const body = call.body === undefined ? undefined : JSON.stringify(call.body)
  return new Promise((resolve, reject) => {
    let isReached = false
    const silent = (what: string): void =>
      reject(
        new Fault('unavailable', `the node at ${host}:${port} does not answer: ${what}`, {
          ...(isReached && call.method !== 'GET'
            ? { outcome: 'unknown', next: 'it may have done it: look before you ask again' }
            : { next: startNext }),
        }),
      )
    const asked = request(
      {
        host,
        port,
        method: call.method,
        path: call.path,
        ca: endpoint.authorityPem,
        timeout: call.timeoutMs,
        agent: false,
        headers: {
          authorization: `Bearer ${endpoint.token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          'content-length': Buffer.byteLength(body ?? ''),
        },
      },
      (response) => {
        const parts: Buffer[] = []
        let bytes = 0
        response.on('data', (part: Buffer) => {
          bytes += part.length
          if (bytes > answerBytesMax) asked.destroy(new Error('the answer is too large'))
          else parts.push(part)
        })
        response.on('error', (error) => silent(reason(error)))
        response.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8')
          try {
            resolve(readAnswer(response.statusCode ?? 0, text))
          } catch (error) {
            reject(error)
          }
        })
      },
    )
    asked.on('socket', (socket) => {
      socket.once('secureConnect', () => {
        isReached = true
      })
    })
    asked.on('timeout', () => asked.destroy(new Error(`nothing within ${call.timeoutMs} ms`)))
    asked.on('error', (error) => silent(reason(error)))
    asked.end(body)
  })
}

function readAnswer(status: number, text: string): unknown {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw new Fault('internal', `the admin API answered ${status} without JSON`)
  }
  if (status >= 200 && status < 300) return parsed
  const { error } = parsed as {
    error?: {
      code?: string
      message?: string
      next?: string
      fields?: Record<string, string>
      outcome?: string
    }
  }
  throw new Fault(
    faultCodeOf(error?.code ?? ''),
    error?.message ?? `the admin API answered ${status}`,
    {
      ...(error?.next === undefined ? {} : { next: error.next }),
      ...(error?.fields === undefined ? {} : { fields: error.fields }),
      ...(error?.outcome === 'unknown' ? { outcome: 'unknown' } : {}),
    },
  )
}

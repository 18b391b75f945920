// Asks a node's admin API: TLS with the cluster's own authority as the only trusted one, and the token
// of the data directory.

import { request } from 'node:https'
import { Fault, faultCodeOf } from '../base/index.ts'
import { reason } from './files.ts'

export type AdminEndpoint = {
  readonly host: string
  readonly port: number
  readonly authorityPem: string
  readonly token: string
}

const answerBytesMax = 8 * 1024 * 1024

/** The answer's JSON. Faults: what the node answered, or 'unavailable' when it does not answer. */
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
    const silent = (what: string): void =>
      reject(
        new Fault('unavailable', `the node at ${host}:${port} does not answer: ${what}`, {
          next: "start it with `atoll up`, or with `atoll start --data-dir DIR` where the directory is one node's",
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
    error?: { code?: string; message?: string; next?: string; fields?: Record<string, string> }
  }
  throw new Fault(
    faultCodeOf(error?.code ?? ''),
    error?.message ?? `the admin API answered ${status}`,
    {
      ...(error?.next === undefined ? {} : { next: error.next }),
      ...(error?.fields === undefined ? {} : { fields: error.fields }),
    },
  )
}

// Requests and answers without a network, for tests of the handler.

import { concatBytes } from '../../../base/index.ts'
import type { HttpHandler, HttpRequest } from '../../../host/index.ts'
import type { Pairs } from './signing.ts'

export type PlainRequest = {
  readonly method: string
  readonly target: string
  readonly headers: Pairs
  readonly body: readonly Uint8Array[]
}

export type PlainAnswer = {
  readonly status: number
  readonly headers: Pairs
  readonly body: Uint8Array
}

/** Counts what of the body was asked for. */
export type Probe = { slicesRead: number }

/** Runs one request to its end. */
export async function ask(
  handler: HttpHandler,
  request: PlainRequest,
  probe: Probe = { slicesRead: 0 },
): Promise<PlainAnswer> {
  const http: HttpRequest = {
    method: request.method,
    target: request.target,
    headers: request.headers,
    body: slices(request.body, probe),
    remoteAddress: '192.0.2.1',
    isSecure: false,
    signal: new AbortController().signal,
  }
  const response = await handler(http)
  return { status: response.status, headers: response.headers, body: await gather(response.body) }
}

async function* slices(
  body: readonly Uint8Array[],
  probe: Probe,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const slice of body) {
    probe.slicesRead++
    yield slice
  }
}

async function gather(
  body: Uint8Array | AsyncIterable<Uint8Array> | undefined,
): Promise<Uint8Array> {
  if (body === undefined) return new Uint8Array(0)
  if (body instanceof Uint8Array) return body
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part.slice())
  return concatBytes(parts)
}

// gRPC over the host's HTTP: one request is one call. Answers are always HTTP 200; what became of the call stands
// in the trailers, or in the headers when nothing else was sent.

import { AssertionFailure, decodeBytes, encodeBytes, isFault, toFault } from '../../base/index.ts'
import type { HttpRequest, HttpResponse } from '../../host/index.ts'
import { runStream, runUnary, tokenOf } from './calls.ts'
import { type Context, deadlineOf, type Method, type MessageStream } from './context.ts'
import type { AnySchema } from '../../keyspace/etcd/wire.ts'
import { type EtcdError, EtcdRefusal, etcdErrors, grpcCode, toEtcdError } from './core/errors.ts'
import { encodeFrame, encodeStatusText, FrameReader, parseTimeoutMs } from './core/frames.ts'
import { OutBody } from './out-body.ts'

const contentType = ['content-type', 'application/grpc'] as const
/** Frozen: the host encodes such lists once. */
const grpcHeaders = Object.freeze([contentType])

export async function answerGrpc(
  context: Context,
  { method, request }: { readonly method: Method; readonly request: HttpRequest },
): Promise<HttpResponse> {
  const { counters } = context
  const end = (error: EtcdError | undefined): EtcdError | undefined => {
    counters.ended({ method, code: error?.code ?? grpcCode.ok })
    return error
  }
  counters.started(method)
  try {
    const timeoutMs = timeoutOf(request)
    if (method.run.kind === 'stream') return answerStream(context, { method, request }, end)
    const message = await readOnly(request)
    counters.received(method, message.length)
    const deadlineMs = deadlineOf(method, timeoutMs)
    const options = isPatient(method) ? { deadlineMs, signal: request.signal } : { deadlineMs }
    const asked = decodeRequest(method.request, message)
    const call = { request: asked, options, token: tokenOf(request) }
    const answer = await runUnary(context, method, call)
    const frame = encodeFrame(encodeBytes(method.response, answer as never))
    counters.sent(method, frame.length)
    end(undefined)
    return { status: 200, headers: grpcHeaders, body: frame, trailers: () => okTrailers }
  } catch (error) {
    return refuseGrpc(end(errorOf(context, method, error)) ?? unknownError)
  }
}

/**
 * A call that waits for other clients (Lock, Campaign) ends when its own client goes. Any other is answered at once,
 * and runs to its end: a signal for each costs more than what it would save.
 */
function isPatient(method: Method): boolean {
  return method.name.startsWith('v3')
}

/** A call that never ran: status in the headers ('Trailers-Only'). */
export function refuseGrpc(error: EtcdError): HttpResponse {
  return { status: 200, headers: [contentType, ...trailersOf(error)] }
}

const okTrailers = Object.freeze([['grpc-status', '0']] as const)
const unknownError: EtcdError = { code: grpcCode.unknown, text: '' }

function trailersOf(error: EtcdError): readonly (readonly [string, string])[] {
  return [
    ['grpc-status', String(error.code)],
    ['grpc-message', encodeStatusText(error.text)],
  ]
}

/** Own failings are journaled; clients see a neutral text. */
export function errorOf(context: Context, method: Method, error: unknown): EtcdError {
  if (error instanceof AssertionFailure) throw error
  const fault = toFault(error)
  if (isFault(fault, 'internal')) {
    const what = fault.message
    context.host.journal.event('warning', 'etcd.request_failed', { method: method.name, what })
  }
  return toEtcdError(fault)
}

function timeoutOf(request: HttpRequest): number {
  const given = request.headers.find(([name]) => name === 'grpc-timeout')
  return given === undefined ? Number.POSITIVE_INFINITY : Math.ceil(parseTimeoutMs(given[1]))
}

/** The one message of a unary call. */
async function readOnly(request: HttpRequest): Promise<Uint8Array> {
  const reader = new FrameReader()
  let message: Uint8Array | undefined
  for await (const slice of request.body) {
    for (const next of reader.add(slice)) {
      if (message !== undefined) throw broken('more than one message in a unary call')
      message = next
    }
  }
  if (message === undefined || !reader.isBetweenMessages) throw broken('the call has no message')
  return message
}

function decodeRequest(schema: AnySchema, message: Uint8Array): unknown {
  try {
    return decodeBytes(schema, message)
  } catch (error) {
    throw broken(`grpc: error unmarshalling request: ${toFault(error).message}`)
  }
}

function broken(text: string): EtcdRefusal {
  return new EtcdRefusal({ code: grpcCode.internal, text })
}

type End = (error: EtcdError | undefined) => EtcdError | undefined

function answerStream(
  context: Context,
  { method, request }: { readonly method: Method; readonly request: HttpRequest },
  end: End,
): HttpResponse {
  const out = new OutBody()
  let outcome: EtcdError | undefined
  const stream: MessageStream<unknown, unknown> = {
    requests: decodeAll(context, method, request),
    token: tokenOf(request),
    signal: request.signal,
    send(answer) {
      const frame = encodeFrame(encodeBytes(method.response, answer as never))
      context.counters.sent(method, frame.length)
      return out.push(frame)
    },
    drained: () => out.drained(),
  }
  runStream(context, method, stream).then(
    () => {
      end(undefined)
      out.finish()
    },
    (error: unknown) => {
      if (error instanceof AssertionFailure) context.host.journal.fatal('etcd.call_failed', error)
      outcome = end(request.signal.aborted ? etcdErrors.canceled : errorOf(context, method, error))
      out.finish()
    },
  )
  return {
    status: 200,
    headers: grpcHeaders,
    body: out,
    trailers: () => (outcome === undefined ? okTrailers : trailersOf(outcome)),
  }
}

async function* decodeAll(
  { counters }: Context,
  method: Method,
  request: HttpRequest,
): AsyncGenerator<unknown> {
  const reader = new FrameReader()
  for await (const slice of request.body) {
    for (const message of reader.add(slice)) {
      counters.received(method, message.length)
      yield decodeRequest(method.request, message)
    }
  }
  if (!reader.isBetweenMessages) throw broken('the stream ended within a message')
}

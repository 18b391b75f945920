// The JSON gateway: the same methods as POST with JSON, as grpc-gateway serves them for etcd. A stream is answered
// line by line, each {"result": message}; one that fails ends with {"error": ...}.

import { AssertionFailure, concatBytes, utf8Encode } from '../../base/index.ts'
import type { HttpRequest, HttpResponse } from '../../host/index.ts'
import { runStream, runUnary, tokenOf } from './calls.ts'
import { type Context, type Method, type MessageStream, requestMsMax } from './context.ts'
import { type EtcdError, EtcdRefusal, etcdErrors, grpcCode, httpStatusOf } from './core/errors.ts'
import { messageBytesMax } from './core/frames.ts'
import { JsonStream, messageFromJson, messageToJson, parseJson } from './core/json.ts'
import { errorOf } from './grpc.ts'
import { methodsByHttpPath } from './methods.ts'
import { OutBody } from './out-body.ts'
import { plain } from './probes.ts'

/** Base64 makes a request a third longer. */
const bodyBytesMax = Math.ceil((messageBytesMax * 4) / 3)
const contentType = ['content-type', 'application/json'] as const

export async function answerJson(context: Context, request: HttpRequest): Promise<HttpResponse> {
  const { counters } = context
  const path = request.target.split('?')[0] ?? ''
  const method = methodsByHttpPath.get(path)
  if (method === undefined) {
    return plain(404, path.startsWith('/v3/') ? 'Not Found\n' : '404 page not found\n')
  }
  if (request.method !== 'POST') return plain(405, 'Method Not Allowed\n')
  counters.started(method)
  if (method.run.kind === 'stream') return answerStream(context, { method, request })
  try {
    const asked = messageFromJson(method.request, parseJson(await readBody(request)))
    const options = { deadlineMs: requestMsMax, signal: request.signal }
    const call = { request: asked, options, token: tokenOf(request) }
    const answer = await runUnary(context, method, call)
    counters.ended({ method, code: grpcCode.ok })
    return json(200, messageToJson(method.response, answer as never))
  } catch (error) {
    const failure = errorOf(context, method, error)
    counters.ended({ method, code: failure.code })
    return json(httpStatusOf(failure.code), errorJson(failure))
  }
}

async function readBody(request: HttpRequest): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const slice of request.body) {
    bytes += slice.length
    if (bytes > bodyBytesMax) throw new EtcdRefusal(etcdErrors.requestTooLarge)
    parts.push(slice.slice())
  }
  return bytes === 0 ? utf8Encode('{}') : concatBytes(parts)
}

function answerStream(
  context: Context,
  { method, request }: { readonly method: Method; readonly request: HttpRequest },
): HttpResponse {
  const { counters } = context
  const out = new OutBody()
  const line = (value: unknown): boolean => out.push(utf8Encode(`${JSON.stringify(value)}\n`))
  const stream: MessageStream<unknown, unknown> = {
    requests: readAll(method, request),
    token: tokenOf(request),
    signal: request.signal,
    send: (answer) => line({ result: messageToJson(method.response, answer as never) }),
    drained: () => out.drained(),
  }
  runStream(context, method, stream).then(
    () => {
      counters.ended({ method, code: grpcCode.ok })
      out.finish()
    },
    (error: unknown) => {
      if (error instanceof AssertionFailure) context.host.journal.fatal('etcd.call_failed', error)
      const { canceled } = etcdErrors
      const failure = request.signal.aborted ? canceled : errorOf(context, method, error)
      const { code, text } = failure
      counters.ended({ method, code })
      const status = httpStatusOf(code)
      line({ error: { grpc_code: code, http_code: status, message: text, http_status: '' } })
      out.finish()
    },
  )
  return { status: 200, headers: [contentType], body: out }
}

async function* readAll(method: Method, request: HttpRequest): AsyncGenerator<unknown> {
  const reader = new JsonStream(bodyBytesMax)
  for await (const slice of request.body) {
    for (const value of reader.add(slice)) yield messageFromJson(method.request, value)
  }
}

function errorJson({ code, text }: EtcdError): unknown {
  return { error: text, code, message: text }
}

function json(status: number, value: unknown): HttpResponse {
  return { status, headers: [contentType], body: utf8Encode(JSON.stringify(value)) }
}

// The etcd gateway: one HTTP handler for gRPC, for the JSON gateway beside it, and for the pages that tools ask
// (/version, /health, /metrics). It keeps counters and nothing else: state is the keyspace's.

import { AssertionFailure, type Fault, faultTable, utf8Encode } from '../../base/index.ts'
import type { HttpHandler, HttpRequest, HttpResponse } from '../../host/index.ts'
import { Context, type EtcdDependencies, type Method } from './context.ts'
import { grpcCode } from './core/errors.ts'
import { answerGrpc, refuseGrpc } from './grpc.ts'
import { answerJson } from './json-gateway.ts'
import { methods } from './methods.ts'
import { answerPage } from './pages.ts'

/** The handler of the port 2379; its server speaks HTTP/2 and HTTP/1.1. */
export function createEtcdHandler(dependencies: EtcdDependencies): HttpHandler {
  const gateway = new EtcdGateway(dependencies)
  return (request) => gateway.answer(request)
}

class EtcdGateway {
  readonly #context: Context
  readonly #byPath: ReadonlyMap<string, Method>

  constructor(dependencies: EtcdDependencies) {
    this.#context = new Context(dependencies)
    this.#byPath = new Map(methods.map((method) => [`/${method.name}`, method]))
  }

  async answer(request: HttpRequest): Promise<HttpResponse> {
    try {
      if (isGrpc(request)) {
        const method = this.#byPath.get(request.target)
        if (method !== undefined) return await answerGrpc(this.#context, { method, request })
        return refuseGrpc({ code: grpcCode.unimplemented, text: this.#unknown(request.target) })
      }
      const page = await answerPage(this.#context, request)
      return page ?? (await answerJson(this.#context, request))
    } catch (error) {
      if (error instanceof AssertionFailure) throw error
      this.#context.host.journal.fatal('etcd.request_failed', error)
    }
  }

  /** As Go's server words it. */
  #unknown(target: string): string {
    const [path, owner, method] = /^\/(.+)\/([^/]*)$/.exec(target.slice(0, 256)) ?? []
    if (path === undefined) return `malformed method name: "${target.slice(0, 256)}"`
    const isKnown = methods.some(({ name }) => name.startsWith(`${owner}/`))
    return isKnown ? `unknown method ${method} for service ${owner}` : `unknown service ${owner}`
  }
}

/** A request that is not let through to the API, in the words of the protocol that it came by. */
export function refuseEtcd(request: HttpRequest, fault: Fault): HttpResponse {
  const { grpcCode: code, httpStatus } = faultTable[fault.code]
  const text = fault.next === undefined ? fault.message : `${fault.message}: ${fault.next}`
  if (isGrpc(request)) return refuseGrpc({ code, text })
  const body = utf8Encode(`${JSON.stringify({ error: text, code, message: text })}\n`)
  return { status: httpStatus, headers: [['content-type', 'application/json']], body }
}

/** gRPC needs HTTP/2: its status is in trailers. */
function isGrpc(request: HttpRequest): boolean {
  if (request.isHttp2 !== true) return false
  const type = request.headers.find(([name]) => name === 'content-type')?.[1] ?? ''
  return type === 'application/grpc' || /^application\/grpc[+;]/.test(type)
}

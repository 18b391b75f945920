// The admin API: JSON over TLS. GET /health is for anybody; everything else needs the bearer token of
// the data directory.
//
//   GET  /health               200 {"status":"ok"} while this node serves
//   GET  /v1/status            the cluster as this node and its peers see it
//   POST /v1/scrub             {"verified", "damaged"}: reads every shard of this node now; damaged ones are made
//                              again from the others
//   POST /v1/members/replace   {"old": id} -> {"id", "replaces", "founders"}: gives the place of a member
//                              whose disk is lost to a new identity
//
//   /raft/v1/...               namespaces and their commands: raft-api.ts
//
// A failure is {"error": {"code", "message", "next"}} with the HTTP status of its Fault.

import {
  equalSecret,
  Fault,
  faultTable,
  isFault,
  type NodeId,
  nodeId,
  sha256,
  utf8Decode,
  utf8Encode,
} from '../../base/index.ts'
import { answerRaft, isRaftPath, type RaftActions } from './raft-api.ts'
import type { Host, HttpHandler, HttpRequest, HttpResponse } from '../../host/index.ts'

export type AdminActions = {
  /** Plain JSON values. */
  status(): Promise<unknown>
  /** Absent where the node has no groups of its own. */
  readonly raft?: RaftActions
  scrub(): Promise<{ readonly verified: number; readonly damaged: number }>
  replaceMember(old: NodeId): Promise<{
    readonly id: NodeId
    readonly replaces: NodeId
    readonly founders: readonly NodeId[]
  }>
}

const bodyBytesMax = 64 * 1024
/** A value of a namespace, in base64, with what is around it. */
const valueBytesMax = 2 * 1024 * 1024 + 64 * 1024

export function createAdminHandler(
  deps: { readonly host: Host; readonly actions: AdminActions },
  options: { readonly token: string },
): HttpHandler {
  const expected = sha256(`Bearer ${options.token}`)
  return async (request) => {
    try {
      return await route(request, deps.actions, expected)
    } catch (error) {
      if (!isFault(error)) return deps.host.journal.fatal('admin.request_failed', error)
      return failure(error)
    }
  }
}

/** What a request is answered that is not HTTP. */
export function adminMalformed(what: string): HttpResponse {
  return failure(new Fault('invalid', what))
}

async function route(
  request: HttpRequest,
  actions: AdminActions,
  expected: Uint8Array,
): Promise<HttpResponse> {
  const path = request.target.split('?')[0] ?? ''
  const name = `${request.method} ${path}`
  if (name === 'GET /health') return json(200, { status: 'ok' })
  requireToken(request, expected)
  if (name === 'GET /v1/status') return json(200, await actions.status())
  if (name === 'POST /v1/scrub') {
    const { verified, damaged } = await actions.scrub()
    return json(200, { verified, damaged })
  }
  if (name === 'POST /v1/members/replace') {
    const old = readOld(await readBody(request))
    const { id, replaces, founders } = await actions.replaceMember(old)
    return json(200, { id, replaces, founders })
  }
  if (isRaftPath(path)) {
    if (actions.raft === undefined) {
      throw new Fault(
        'unsupported',
        'namespaces are groups of nodes, which another engine replaces',
      )
    }
    const { method } = request
    return json(
      200,
      await answerRaft(actions.raft, {
        method,
        path,
        body: () => readBody(request, valueBytesMax),
      }),
    )
  }
  throw new Fault('not-found', `the admin API has no ${name}`)
}

/** Digests of equal length are compared, in constant time. */
function requireToken(request: HttpRequest, expected: Uint8Array): void {
  const given = request.headers.find(([name]) => name === 'authorization')?.[1] ?? ''
  if (equalSecret(sha256(given), expected)) return
  throw new Fault('unauthenticated', 'the admin API needs the token of the data directory', {
    next: 'send it as "authorization: Bearer TOKEN"; it is in identity/admin-token',
  })
}

async function readBody(request: HttpRequest, bytesMax = bodyBytesMax): Promise<unknown> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const slice of request.body) {
    bytes += slice.length
    if (bytes > bytesMax) throw new Fault('too-large', `more than ${bytesMax} bytes`)
    parts.push(slice.slice())
  }
  const whole = new Uint8Array(bytes)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  try {
    return JSON.parse(utf8Decode(whole))
  } catch {
    throw new Fault('invalid', 'the body is not JSON')
  }
}

function readOld(body: unknown): NodeId {
  const old = typeof body === 'object' && body !== null && 'old' in body ? body.old : undefined
  if (typeof old === 'number' && Number.isSafeInteger(old) && old > 0) return nodeId(old)
  throw new Fault('invalid', 'expected {"old": id of the member that is lost}')
}

function json(status: number, value: unknown): HttpResponse {
  const body = utf8Encode(`${JSON.stringify(value)}\n`)
  return {
    status,
    headers: [
      ['content-type', 'application/json'],
      ['content-length', String(body.length)],
      ['cache-control', 'no-store'],
    ],
    body,
  }
}

function failure(fault: Fault): HttpResponse {
  const { code, message, next } = fault
  const error = next === undefined ? { code, message } : { code, message, next }
  return json(faultTable[code].httpStatus, { error })
}

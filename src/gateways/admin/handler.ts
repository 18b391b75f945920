// The admin API: JSON over TLS, by the table of routes. Every request is held against what its route
// needs before anything of it is read; a failure is {"error": {"code", "message", "next", "fields"}} with the
// HTTP status of its Fault.

import { equalSecret, Fault, isFault, sha256 } from '../../base/index.ts'
import type { Host, HttpHandler, HttpRequest, HttpResponse } from '../../host/index.ts'
import {
  type AdminCaller,
  type AdminRoute,
  answerFault,
  type Authorise,
  compileRoutes,
  parseQuery,
  readJson,
} from './routes.ts'

const nobody: AdminCaller = { name: '' }

export function createAdminHandler(deps: {
  readonly host: Host
  readonly routes: readonly AdminRoute[]
  readonly authorise: Authorise
}): HttpHandler {
  const { host, authorise } = deps
  const find = compileRoutes(deps.routes)
  const answer = async (request: HttpRequest): Promise<HttpResponse> => {
    const path = request.target.split('?')[0] ?? ''
    const found = find(request.method, path)
    const needs = found === undefined ? 'admin:Explore' : found.route.needs
    const caller =
      typeof needs === 'string'
        ? await authorise(request, { action: needs, resource: path })
        : nobody
    if (found === undefined) {
      throw new Fault('not-found', `the admin API has no ${request.method} ${path}`)
    }
    return await found.route.answer({
      request,
      params: found.params,
      query: parseQuery(request.target),
      caller,
      body: (bytesMax) => readJson(request, bytesMax),
    })
  }
  return async (request) => {
    try {
      return await answer(request)
    } catch (error) {
      if (!isFault(error)) return host.journal.fatal('admin.request_failed', error)
      return answerFault(error)
    }
  }
}

/** What a request is answered that is not HTTP. */
export function adminMalformed(what: string): HttpResponse {
  return answerFault(new Fault('invalid', what))
}

/** Whoever sends the token of the data directory may do everything. Digests are compared, in constant time. */
export function tokenAuthority(token: string): Authorise {
  const expected = sha256(`Bearer ${token}`)
  return async (request) => {
    const given = request.headers.find(([name]) => name === 'authorization')?.[1] ?? ''
    if (equalSecret(sha256(given), expected)) return { name: 'admin token' }
    throw new Fault('unauthenticated', 'the admin API needs the token of the data directory', {
      next: 'send it as "authorization: Bearer TOKEN"; it is in identity/admin-token',
    })
  }
}

// The admin API: JSON over TLS, by the table of routes. Every request is held against what its route
// needs before anything of it is read; a failure is {"error": {"code", "message", "next", "fields", "outcome"}} with the
// HTTP status of its Fault.

import { Fault, isFault } from '../../base/index.ts'
import type { Host, HttpHandler, HttpRequest, HttpResponse } from '../../host/index.ts'
import { actorOf } from './authority.ts'
import {
  type AdminCaller,
  type AdminRoute,
  answerFault,
  type Authorise,
  compileRoutes,
  parseQuery,
  readJson,
} from './routes.ts'

const nobody: AdminCaller = { name: '', tenant: '' }

/** Enters an act in the audit log. Never fails. */
export type EnterAct = (
  by: { readonly name: string; readonly source: string },
  act: { readonly action: string; readonly resource: string; readonly outcome: string },
) => Promise<void>

export function createAdminHandler(deps: {
  readonly host: Host
  readonly routes: readonly AdminRoute[]
  readonly authorise: Authorise
  /** Absent: nothing is entered. */
  readonly enter?: EnterAct
}): HttpHandler {
  const { host, authorise, enter } = deps
  const find = compileRoutes(deps.routes)
  const answer = async (request: HttpRequest): Promise<HttpResponse> => {
    const path = request.target.split('?')[0] ?? ''
    const found = find(request.method, path)
    const needs = found === undefined ? 'admin:Explore' : found.route.needs
    const identify = async (): Promise<AdminCaller> =>
      typeof needs === 'string'
        ? await authorise(request, { action: needs, resource: path })
        : nobody
    const caller = await identify()
    if (found === undefined) {
      throw new Fault('not-found', `the admin API has no ${request.method} ${path}`)
    }
    const { route, params } = found
    let isAct = request.method !== 'GET' && typeof needs === 'string'
    const entered = async (outcome: string): Promise<void> => {
      if (enter === undefined || !isAct || route.isEnteredByItself === true) return
      const act = { action: String(route.needs), resource: path, outcome }
      await enter(actorOf(caller, request), act)
    }
    try {
      const response = await route.answer({
        request,
        params,
        query: parseQuery(request.target),
        caller,
        body: (bytesMax) => readJson(request, bytesMax),
        recheck: async () => void (await identify()),
        isNoAct: () => {
          isAct = false
        },
      })
      await entered('ok')
      return response
    } catch (error) {
      if (isFault(error)) await entered(error.code)
      throw error
    }
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

// The admin API: JSON over TLS, by the table of routes. Every request is held against what its route
// needs before anything of it is read; a failure is {"error": {"code", "message", "next", "fields", "outcome"}} with the
// HTTP status of its Fault.
//
// What is our own failing ('internal', 'corrupt') is journaled under a number that the answer tells, too. Whoever proved who he is
// reads the message as it is; a stranger gets general words, because it may speak of paths, peers and the state of disks.

import { Fault, isFault, toHex } from '../../base/index.ts'
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
  const answer = async (request: HttpRequest, asked: Asked): Promise<HttpResponse> => {
    const { path } = asked
    const found = find(request.method, path)
    const needs = found === undefined ? 'admin:Explore' : found.route.needs
    const identify = async (): Promise<AdminCaller> =>
      typeof needs === 'string'
        ? await authorise(request, { action: needs, resource: path })
        : nobody
    const caller = await identify()
    asked.isKnown = caller !== nobody
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
    const asked = { path: request.target.split('?')[0] ?? '', isKnown: false }
    try {
      return await answer(request, asked)
    } catch (error) {
      if (!isFault(error)) return host.journal.fatal('admin.request_failed', error)
      return answerFault(shownFault(host, error, { ...asked, method: request.method }))
    }
  }
}

/** `isKnown`: the caller proved who he is. */
type Asked = { readonly path: string; isKnown: boolean }

const pathCharsMax = 256

function shownFault(
  { journal, random }: Pick<Host, 'journal' | 'random'>,
  fault: Fault,
  { method, path, isKnown }: Asked & { readonly method: string },
): Fault {
  const { code, message, outcome, next } = fault
  if (code !== 'internal' && code !== 'corrupt') return fault
  const request = toHex(random.bytes(8))
  const place = path.slice(0, pathCharsMax)
  journal.event('warning', 'admin.request_failed', { request, method, path: place, what: message })
  const shown = isKnown ? message : 'the node failed to answer'
  return new Fault(code, shown, {
    outcome,
    next: (isKnown ? next : undefined) ?? `the node's journal has it under ${request}`,
    fields: { ...(isKnown ? fault.fields : {}), request },
  })
}

/** What a request is answered that is not HTTP. */
export function adminMalformed(what: string): HttpResponse {
  return answerFault(new Fault('invalid', what))
}

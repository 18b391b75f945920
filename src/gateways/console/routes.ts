// Routes of the console:
//
//   POST   /v1/console/login            {"operator", "password"} -> the session, and its cookie
//   GET    /v1/console/session          {"operator", "scopes", "createdMs", "expiresMs", "csrf"}
//   POST   /v1/console/logout           ends the session of the cookie, on every node
//   GET    /v1/access/operators         {"operators": [{"name", "scopes", "createdMs", "changedMs"}]}
//   POST   /v1/access/operators         {"name", "password"?, "scopes"?} -> the operator; with the password if it was drawn here
//   POST   /v1/access/operators/first   {"password"} -> {"operator", "made"}: once in the life of the cluster
//   POST   /v1/access/operators/{name}/password  {"password"?} -> the same; ends his sessions
//   DELETE /v1/access/operators/{name}  {}; ends his sessions
//
// Login draws a new secret whatever cookie comes with it, and ends the session of that cookie: nobody who planted or knew it
// is logged in by it. It answers a wrong name and a wrong password alike, as slowly, and within limits (core/login-limits.ts). A login is entered in the
// audit log; one that failed is in the journal only, or strangers could fill the log.

import { type TokenScope, tokenScopes } from '../../access/index.ts'
import { Fault } from '../../base/index.ts'
import type { Host, HttpRequest, HttpResponse } from '../../host/index.ts'
import type { Keyspace } from '../../keyspace/index.ts'
import type { EnterAct } from '../admin/handler.ts'
import { type AdminCall, type AdminRoute, answerJson, type Authorise } from '../admin/routes.ts'
import { clearCookie, csrfTokenOf, originOf, secretOf, setCookie } from './core/cookie.ts'
import { LoginLimits } from './core/login-limits.ts'
import { firstOperator, Operators } from './operators.ts'
import { callerOf, requireSession, sessionAuthority } from './session-authority.ts'
import { type OpenSession, Sessions } from './sessions.ts'

export type Console = {
  readonly routes: readonly AdminRoute[]
  /** Lets operators with a session in, and asks `otherwise` about everybody else. */
  authority(otherwise: Authorise): Authorise
}

type Parts = {
  readonly host: Host
  readonly enter: EnterAct
  readonly operators: Operators
  readonly sessions: Sessions
  readonly limits: LoginLimits
}

export function createConsole(deps: {
  readonly host: Host
  readonly system: Keyspace
  readonly enter: EnterAct
}): Console {
  const { host, system, enter } = deps
  const parts = {
    host,
    enter,
    operators: new Operators(host, system),
    sessions: new Sessions(host, system),
    limits: new LoginLimits(),
  }
  return {
    routes: [...sessionRoutes(parts), ...operatorRoutes(parts)],
    authority: (otherwise) => sessionAuthority(parts, otherwise),
  }
}

function sessionRoutes(parts: Parts): readonly AdminRoute[] {
  const { sessions } = parts
  return [
    {
      method: 'POST',
      path: '/v1/console/login',
      needs: { publicBecause: 'who asks proves himself by a password; tries are limited' },
      answer: (call) => login(parts, call),
    },
    {
      method: 'GET',
      path: '/v1/console/session',
      needs: 'admin:ReadOwnSession',
      async answer({ request }) {
        const secret = requireCookie(request)
        return answerJson(200, shownSession(await requireSession(sessions, secret), secret))
      },
    },
    {
      method: 'POST',
      path: '/v1/console/logout',
      needs: 'admin:EndOwnSession',
      async answer({ request }) {
        await sessions.end(requireCookie(request))
        return withHeader(answerJson(200, {}), clearCookie)
      },
    },
  ]
}

async function login(parts: Parts, call: AdminCall): Promise<HttpResponse> {
  const { host, enter, operators, sessions, limits } = parts
  const { request } = call
  if (originOf(request) === 'other') throw new Fault('denied', 'a page of another origin asks')
  const type = request.headers.find(([name]) => name === 'content-type')?.[1] ?? ''
  if (!/^application\/json\b/i.test(type)) throw new Fault('invalid', 'the body must be JSON')
  const body = fieldsOf(await call.body())
  const { operator: name, password } = body
  if (typeof name !== 'string' || typeof password !== 'string') {
    throw new Fault('invalid', 'expected {"operator", "password"}')
  }
  const { remoteAddress } = request
  // Names that cannot be are counted together, so that they make no buckets of their own.
  const counted = /^[\w.-]{1,63}$/.test(name) ? name : ''
  const waitMs = limits.take(counted, remoteAddress, host.clock.monotonicMs())
  if (waitMs > 0) {
    const seconds = Math.ceil(waitMs / 1000)
    throw new Fault('overloaded', 'too many tries to log in', {
      next: `wait ${seconds} seconds`,
      fields: { retryAfterSeconds: String(seconds) },
    })
  }
  const operator = await operators.verify(name, password)
  const outcome = operator === undefined ? 'refused' : 'ok'
  host.journal.event('notice', 'console.login_tried', {
    operator: counted,
    source: remoteAddress,
    outcome,
  })
  if (operator === undefined) throw new Fault('unauthenticated', 'wrong name or password')
  limits.giveBack(counted, remoteAddress, host.clock.monotonicMs())
  const before = secretOf(request)
  if (before !== undefined) await sessions.end(before)
  const { secret, session } = await sessions.open(operator, remoteAddress)
  const by = { name: callerOf(session), source: remoteAddress }
  await enter(by, { action: 'admin:LogIn', resource: '/v1/console/login', outcome: 'ok' })
  return withHeader(answerJson(200, shownSession(session, secret)), setCookie(secret))
}

function operatorRoutes({ operators }: Parts): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/v1/access/operators',
      needs: 'admin:ReadRights',
      answer: async () => answerJson(200, { operators: await operators.list() }),
    },
    {
      method: 'POST',
      path: '/v1/access/operators',
      needs: 'admin:CreateOperator',
      async answer(call) {
        const body = fieldsOf(await call.body())
        const { name } = body
        if (typeof name !== 'string') throw new Fault('invalid', 'expected {"name"}')
        const { password, drawn } = passwordOf(body, operators)
        const operator = await operators.create({ name, password, scopes: scopesOf(body.scopes) })
        return answerJson(200, { ...operator, ...drawn })
      },
    },
    {
      method: 'POST',
      path: '/v1/access/operators/first',
      needs: 'admin:CreateOperator',
      async answer(call) {
        const { password } = fieldsOf(await call.body())
        if (typeof password !== 'string') throw new Fault('invalid', 'expected {"password"}')
        const made = await operators.createFirst(password)
        return answerJson(200, { operator: firstOperator, made })
      },
    },
    {
      method: 'POST',
      path: '/v1/access/operators/{name}/password',
      needs: 'admin:SetOperatorPassword',
      async answer(call) {
        const { password, drawn } = passwordOf(fieldsOf(await call.body()), operators)
        const operator = await operators.setPassword(call.params.name ?? '', password)
        return answerJson(200, { ...operator, ...drawn })
      },
    },
    {
      method: 'DELETE',
      path: '/v1/access/operators/{name}',
      needs: 'admin:DeleteOperator',
      async answer({ params }) {
        await operators.remove(params.name ?? '')
        return answerJson(200, {})
      },
    },
  ]
}

function shownSession(session: OpenSession, secret: string) {
  return { ...session, csrf: csrfTokenOf(secret) }
}

function requireCookie(request: HttpRequest): string {
  const secret = secretOf(request)
  if (secret !== undefined) return secret
  throw new Fault('not-found', 'the request has no session', { next: 'log in to the console' })
}

function withHeader(response: HttpResponse, header: readonly [string, string]): HttpResponse {
  return { ...response, headers: [...response.headers, header] }
}

type Fields = Readonly<Record<string, unknown>>

function fieldsOf(body: unknown): Fields {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Fields
  throw new Fault('invalid', 'expected an object')
}

/** `drawn`: what the answer tells of a password that nobody gave. */
function passwordOf({ password }: Fields, operators: Operators) {
  if (typeof password === 'string') return { password, drawn: {} }
  if (password !== undefined) throw new Fault('invalid', '"password" is a text')
  const drawn = operators.drawPassword()
  return { password: drawn, drawn: { password: drawn } }
}

function scopesOf(given: unknown): readonly TokenScope[] {
  if (given === undefined) return ['admin']
  const named: readonly unknown[] = Array.isArray(given) ? given : []
  const found = tokenScopes.filter((scope) => named.includes(scope))
  if (found.length > 0 && found.length === named.length) return found
  throw new Fault('invalid', `"scopes" lists some of ${tokenScopes.join(', ')}, each once`)
}

// rqlite's HTTP API on a port of its own (4001), on the data thread. Paths without a prefix are of the database 'main', which
// the first request makes that may; every other database is below /sql/NAME, as on the admin port.
//
// Who asks says so with each request: name and password are an access key and its secret, or the password (or bearer token)
// is a client token with the scope admin. Databases are the operator's tenant's. Users have what their policies say of the
// actions below on 'arn:atoll:sql:::NAME':
//
//   sql:Execute   /db/execute and /db/request          sql:Query       /db/query
//   sql:ReadStatus   /status, /nodes, /leader, /readyz, /replicas
//   sql:ListDatabases, sql:CreateDatabase, sql:DropDatabase
//
// A browser that was once asked for name and password sends them for every page that asks here, so pages of elsewhere are refused.

import {
  type Access,
  type Context,
  decide,
  firstTenant,
  type Principal,
} from '../../access/index.ts'
import { equalSecret, Fault, isFault, sha256, toHex, utf8Decode } from '../../base/index.ts'
import type { Host, HttpHandler, HttpRequest, HttpResponse } from '../../host/index.ts'
import {
  type AdminCall,
  type AdminMethod,
  type AdminRoute,
  answerJson,
  compileRoutes,
  parseQuery,
} from '../admin/routes.ts'
import { base64Decode } from '../s3/core/text.ts'
import { answerFault, answers } from './answers.ts'
import { type AnsweredDatabase, requests } from './routes.ts'

const mainDatabase = 'main'

type SqlAction =
  | 'sql:Execute'
  | 'sql:Query'
  | 'sql:ReadStatus'
  | 'sql:ListDatabases'
  | 'sql:CreateDatabase'
  | 'sql:DropDatabase'

/** Of the node, as its data thread reaches them. */
export type PortDatabases = {
  list(): Promise<readonly string[]>
  create(name: string): Promise<void>
  drop(name: string): Promise<void>
  database(name: string): AnsweredDatabase
}

export type SqlHandlerDeps = {
  readonly host: Host
  readonly access: Pick<Access, 'identify' | 'identifyToken'>
  readonly databases: PortDatabases
}

type Caller = { may(action: SqlAction, database: string): boolean }

type Route = {
  readonly needs: SqlAction
  answer(call: AdminCall, caller: Caller): Promise<HttpResponse>
}

export function createSqlHandler(deps: SqlHandlerDeps): HttpHandler {
  const { host } = deps
  const routes = new Map<AdminRoute, Route>()
  const find = compileRoutes(routesOf(deps, routes))
  return async (request) => {
    const path = request.target.split('?')[0] ?? ''
    let call: AdminCall | undefined
    try {
      call = { ...emptyCall, request, query: parseQuery(request.target) }
      refuseOtherPages(request)
      const caller = await identify(request, deps)
      const found = find(request.method, path)
      const route = found === undefined ? undefined : routes.get(found.route)
      if (found === undefined || route === undefined) {
        throw new Fault('not-found', `there is no ${request.method} ${path.slice(0, 256)}`)
      }
      call = { ...call, params: found.params }
      const name = nameOf(call)
      if (!caller.may(route.needs, name)) {
        throw new Fault(
          'denied',
          `the policies of this user do not allow ${route.needs} on ${name}`,
        )
      }
      return await route.answer(call, caller)
    } catch (error) {
      if (!isFault(error)) return host.journal.fatal('sql.request_failed', error)
      const response = answerFault(shown(host, error), call ?? { ...emptyCall, request })
      if (error.code !== 'unauthenticated') return response
      const challenge = ['www-authenticate', 'Basic realm="atoll"'] as const
      return { ...response, status: 401, headers: [...response.headers, challenge] }
    }
  }
}

const emptyCall: AdminCall = {
  request: undefined as never,
  params: {},
  query: new Map(),
  caller: { name: '', tenant: '' },
  body: () => Promise.reject(new Fault('internal', 'bodies are read as bytes')),
  recheck: async () => undefined,
  isNoAct: () => undefined,
}

/** What is our own failing is told under a number that the journal has. */
function shown({ journal, random }: Host, fault: Fault): Fault {
  if (fault.code !== 'internal' && fault.code !== 'corrupt') return fault
  const request = toHex(random.bytes(8))
  journal.event('warning', 'sql.request_failed', { request, what: fault.message })
  const next = `the node's journal has it under ${request}`
  return new Fault(fault.code, 'the node failed to answer', { outcome: fault.outcome, next })
}

function nameOf({ params }: Pick<AdminCall, 'params'>): string {
  return params.name ?? mainDatabase
}

function routesOf(
  { host, databases }: SqlHandlerDeps,
  routes: Map<AdminRoute, Route>,
): readonly AdminRoute[] {
  const monotonicMs = (): number => host.clock.monotonicMs()
  const main = new MainDatabase(databases)
  const add = (method: AdminMethod, path: string, route: Route): AdminRoute => {
    // The table is the admin port's, whose rights mean nothing here.
    const made: AdminRoute = {
      method,
      path,
      needs: 'admin:UseSqlDatabase',
      answer: () =>
        Promise.reject(new Fault('internal', 'routes of this port are asked otherwise')),
    }
    routes.set(made, route)
    return made
  }
  const ofDatabases = requests.flatMap(([method, path, name]) => {
    const needs = needsOf(name)
    const answer = async (call: AdminCall, caller: Caller): Promise<HttpResponse> => {
      const isMain = call.params.name === undefined
      if (isMain) await main.ensure(caller)
      try {
        const database = databases.database(nameOf(call))
        return await answers[name]({ call, database, monotonicMs })
      } catch (error) {
        if (isMain && isFault(error, 'not-found')) main.forget()
        throw error
      }
    }
    return [
      add(method, `/${path}`, { needs, answer }),
      add(method, `/sql/{name}/${path}`, { needs, answer }),
    ]
  })
  return [...ofDatabases, ...manage(databases, add)]
}

/** A stock client makes no database: the first request of who may does it for him. */
class MainDatabase {
  readonly #databases: PortDatabases
  #isKnown = false

  constructor(databases: PortDatabases) {
    this.#databases = databases
  }

  async ensure(caller: Caller): Promise<void> {
    if (this.#isKnown) return
    try {
      await this.#databases.database(mainDatabase).status()
    } catch (error) {
      if (!isFault(error, 'not-found') || !caller.may('sql:CreateDatabase', mainDatabase))
        throw error
      await this.#databases.create(mainDatabase)
    }
    this.#isKnown = true
  }

  forget(): void {
    this.#isKnown = false
  }
}

function manage(
  databases: PortDatabases,
  add: (method: AdminMethod, path: string, route: Route) => AdminRoute,
): readonly AdminRoute[] {
  return [
    add('GET', '/sql', {
      needs: 'sql:ListDatabases',
      answer: async () => answerJson(200, { databases: await databases.list() }),
    }),
    add('PUT', '/sql/{name}', {
      needs: 'sql:CreateDatabase',
      async answer(call) {
        await databases.create(nameOf(call))
        return answerJson(200, { created: nameOf(call) })
      },
    }),
    add('DELETE', '/sql/{name}', {
      needs: 'sql:DropDatabase',
      async answer(call) {
        await databases.drop(nameOf(call))
        return answerJson(200, { dropped: nameOf(call) })
      },
    }),
  ]
}

function needsOf(name: keyof typeof answers): SqlAction {
  if (name === 'query') return 'sql:Query'
  return name === 'execute' || name === 'request' || name === 'notYet'
    ? 'sql:Execute'
    : 'sql:ReadStatus'
}

/** As far as browsers say; programs send neither header. */
function refuseOtherPages(request: HttpRequest): void {
  const origin = headerOf(request, 'origin')
  const own = `${request.isSecure ? 'https' : 'http'}://${headerOf(request, 'host')}`
  const site = headerOf(request, 'sec-fetch-site')
  const isOwn = origin === '' || origin.toLowerCase() === own.toLowerCase()
  if (isOwn && ['', 'none', 'same-origin'].includes(site)) return
  throw new Fault('denied', 'a page of elsewhere asks with what this browser knows')
}

/** Fault 'unauthenticated'. */
async function identify(request: HttpRequest, { access }: SqlHandlerDeps): Promise<Caller> {
  const [scheme = '', given = ''] = headerOf(request, 'authorization').split(' ')
  const { name, password } = readCredentials(scheme.toLowerCase(), given)
  if (password.startsWith('ac1.')) {
    const token = await access.identifyToken(password)
    const isOurs = token?.tenant === firstTenant && token.scopes.includes('admin')
    if (isOurs) return { may: () => true }
    if (token !== undefined) return { may: () => false }
  } else if (name !== '' && password !== '') {
    const identity = await access.identify(name)
    const expected = sha256(identity?.secretAccessKey ?? '')
    const isRight = equalSecret(sha256(password), expected) && identity !== undefined
    if (isRight) return callerOf(request, identity.principal)
  }
  throw new Fault('unauthenticated', 'an access key and its secret are needed, or a client token')
}

function callerOf(request: HttpRequest, principal: Principal): Caller {
  const context = contextOf(request, principal)
  const target = { tenant: firstTenant, policy: undefined }
  return {
    may(action, database) {
      const resource = `arn:atoll:sql:::${database}`
      return decide(principal, { action, resource, context }, target).isAllowed
    },
  }
}

/** What conditions may ask: only what this server knows by itself. */
function contextOf({ remoteAddress, isSecure }: HttpRequest, principal: Principal): Context {
  const values: Readonly<Record<string, string | undefined>> = {
    'aws:sourceip': remoteAddress,
    'aws:securetransport': String(isSecure),
    'aws:username': principal.kind === 'user' ? principal.name : undefined,
    'aws:principalarn': principal.kind === 'anonymous' ? undefined : principal.arn,
    'aws:principalaccount': principal.kind === 'anonymous' ? undefined : principal.tenant,
  }
  return {
    values(key) {
      const value = Object.hasOwn(values, key) ? values[key] : undefined
      return value === undefined ? undefined : [value]
    },
  }
}

function readCredentials(
  scheme: string,
  given: string,
): { readonly name: string; readonly password: string } {
  if (scheme === 'bearer') return { name: '', password: given }
  const decoded = scheme === 'basic' ? base64Decode(given) : undefined
  if (decoded === undefined) return { name: '', password: '' }
  const pair = utf8Decode(decoded)
  const colon = pair.indexOf(':')
  return { name: pair.slice(0, Math.max(0, colon)), password: pair.slice(colon + 1) }
}

function headerOf({ headers }: HttpRequest, wanted: string): string {
  return headers.find(([name]) => name === wanted)?.[1] ?? ''
}

/** What a request is answered that is not HTTP. */
export function sqlMalformed(what: string): HttpResponse {
  return answerJson(400, { error: what })
}

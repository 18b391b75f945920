// Who may use the admin API: the token of the data directory (the operator, everything), and client tokens ('ac1...',
// room access) and client certificates within their scopes.
//
//   metadata      to see how the cluster is: actions that read and list
//   replication   besides: audits, repairs and plans of the data's redundancy
//   admin         everything
//
// An action that no list here names needs 'admin': a new route is closed until somebody opens it. Tokens of any tenant but the
// first reach the rights of their own tenant and nothing of the cluster, and need 'admin' for that too.
//
// A browser shows a certificate to whatever page makes it ask, so a certificate counts only where no page of elsewhere asks: that
// is, not with another origin than the one that is asked, and not where the browser itself says that another site asks. A
// request with an authorization header speaks by that alone.
//
// What a known caller is refused is entered in the audit log; a stranger leaves no trace there, or he could fill it.

import {
  type Access,
  type ClientCertificate,
  type ClientToken,
  firstTenant,
  type TokenScope,
  userArn,
} from '../../access/index.ts'
import { equalSecret, Fault, sha256, utf8Decode } from '../../base/index.ts'
import type { HttpRequest } from '../../host/index.ts'
import { originOf } from '../console/core/cookie.ts'
import { base64Decode } from '../s3/core/text.ts'
import type { AdminAction, AdminCaller, Authorise } from './routes.ts'

/** Readings that tell who may do what, or let somebody in. */
const closed: ReadonlySet<string> = new Set([
  'admin:ReadAudit',
  'admin:ReadRights',
  'admin:ListTokens',
])
const metadataPattern = /^admin:(?:Read|List|Explain|Explore)/
const replicationPattern =
  /^admin:(?:Scrub|Audit|Repair|Plan|ReadReplication)|^admin:ReportHeartbeat$/

/** The least scope that an action needs. */
export function scopeOf(action: AdminAction): TokenScope {
  if (closed.has(action)) return 'admin'
  if (replicationPattern.test(action)) return 'replication'
  return metadataPattern.test(action) ? 'metadata' : 'admin'
}

const tenantPath = (tenant: string): string => `/v1/access/tenants/${tenant}/`

/** Whoever sends the token may do everything. Digests are compared, in constant time. */
export function tokenAuthority(token: string): Authorise {
  const expected = sha256(`Bearer ${token}`)
  return async (request) => {
    if (equalSecret(sha256(authorizationOf(request)), expected)) {
      return { name: 'admin token', tenant: firstTenant }
    }
    throw stranger()
  }
}

type Shown = { readonly what: string; readonly name: string; readonly holder: Holder }
type Holder = Pick<ClientToken, 'tenant' | 'scopes' | 'name'>
type Known = Pick<Access, 'identifyToken' | 'identifyCertificate' | 'admin'>

/** The token of the data directory, or a client token or certificate within its scopes. */
export function createAuthority(deps: {
  /** Of the data directory. */
  readonly token: string
  readonly access: Known
}): Authorise {
  const { access } = deps
  const operator = tokenAuthority(deps.token)
  return async (request, asked) => {
    const { action, resource } = asked
    const shown = await identify(request, access)
    if (shown === undefined) return operator(request, asked)
    const { what, name, holder } = shown
    const caller: AdminCaller = { name, tenant: holder.tenant }
    if (mayUse(holder, action, resource)) return caller
    await access.admin.recordAct(actorOf(caller, request), { action, resource, outcome: 'denied' })
    throw new Fault('denied', `the ${what} ${holder.name} has not the scope for ${action}`, {
      fields: { scope: scopeOf(action) },
    })
  }
}

async function identify(request: HttpRequest, access: Known): Promise<Shown | undefined> {
  const given = authorizationOf(request)
  if (given !== '') {
    const [scheme, text = ''] = given.split(' ')
    const isOurs = scheme === 'Bearer' && text.startsWith('ac1.')
    const token = isOurs ? await access.identifyToken(text) : undefined
    if (token === undefined) return undefined
    const what = 'client token'
    return { what, name: `${what} ${token.id} (${token.name})`, holder: token }
  }
  const { clientCertificate } = request
  if (clientCertificate === undefined || isOfAnotherPage(request)) return undefined
  const found = await access.identifyCertificate(clientCertificate.hash)
  return found === undefined
    ? undefined
    : { what: 'client certificate', name: nameOf(found), holder: found }
}

function nameOf({ id, name, user, tenant }: ClientCertificate): string {
  const what = `client certificate ${id} (${name})`
  return user === '' ? what : `${userArn(tenant, user)} by ${what}`
}

/** As far as browsers say; programs send neither header. */
function isOfAnotherPage(request: HttpRequest): boolean {
  const site = request.headers.find(([name]) => name === 'sec-fetch-site')?.[1] ?? 'none'
  return originOf(request) === 'other' || (site !== 'none' && site !== 'same-origin')
}

/**
 * Clients of SQL's HTTP API send a name and a password: the password is the token. Below /sql only, because browsers send
 * such a header by themselves to wherever it was asked for.
 */
function authorizationOf({ headers, target }: HttpRequest): string {
  const given = headers.find(([name]) => name === 'authorization')?.[1] ?? ''
  if (!given.startsWith('Basic ') || !/^\/sql(?:[/?]|$)/.test(target)) return given
  const pair = utf8Decode(base64Decode(given.slice('Basic '.length)) ?? new Uint8Array(0))
  return `Bearer ${pair.slice(pair.indexOf(':') + 1)}`
}

function mayUse(token: Holder, action: AdminAction, resource: string): boolean {
  const { scopes } = token
  if (token.tenant !== firstTenant) {
    return scopes.includes('admin') && resource.startsWith(tenantPath(token.tenant))
  }
  if (scopes.includes('admin')) return true
  const needed = scopeOf(action)
  return scopes.includes(needed) || (needed === 'metadata' && scopes.includes('replication'))
}

/** As the audit log names him. */
export function actorOf(
  caller: AdminCaller,
  { remoteAddress }: Pick<HttpRequest, 'remoteAddress'>,
): { readonly name: string; readonly source: string } {
  return { name: caller.name, source: remoteAddress }
}

function stranger(): Fault {
  return new Fault('unauthenticated', 'the admin API needs a token', {
    next: 'send "authorization: Bearer TOKEN"; the one of the data directory is in identity/admin-token',
  })
}

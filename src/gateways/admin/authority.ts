// Who may use the admin API: the token of the data directory (the operator, everything), and client tokens ('ac1...',
// room access) within their scopes.
//
//   metadata      to see how the cluster is: actions that read and list
//   replication   besides: audits, repairs and plans of the data's redundancy
//   admin         everything
//
// An action that no list here names needs 'admin': a new route is closed until somebody opens it. Tokens of any tenant but the
// first reach the rights of their own tenant and nothing of the cluster, and need 'admin' for that too.
//
// What a known caller is refused is entered in the audit log; a stranger leaves no trace there, or he could fill it.

import { type Access, type ClientToken, firstTenant, type TokenScope } from '../../access/index.ts'
import { equalSecret, Fault, sha256, utf8Decode } from '../../base/index.ts'
import type { HttpRequest } from '../../host/index.ts'
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

/** The token of the data directory, or a client token within its scopes. */
export function createAuthority(deps: {
  /** Of the data directory. */
  readonly token: string
  readonly access: Pick<Access, 'identifyToken' | 'admin'>
}): Authorise {
  const { access } = deps
  const operator = tokenAuthority(deps.token)
  return async (request, asked) => {
    const { action, resource } = asked
    const [scheme, text = ''] = authorizationOf(request).split(' ')
    if (!text.startsWith('ac1.')) return operator(request, asked)
    const token = scheme === 'Bearer' ? await access.identifyToken(text) : undefined
    if (token === undefined) return operator(request, asked)
    const caller: AdminCaller = {
      name: `client token ${token.id} (${token.name})`,
      tenant: token.tenant,
    }
    if (mayUse(token, action, resource)) return caller
    await access.admin.recordAct(actorOf(caller, request), { action, resource, outcome: 'denied' })
    throw new Fault('denied', `the client token ${token.name} has not the scope for ${action}`, {
      fields: { scope: scopeOf(action) },
    })
  }
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

function mayUse(token: ClientToken, action: AdminAction, resource: string): boolean {
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

// Who may use the admin API by a session: the cookie of the console, held against the same scopes as every other
// secret. Requests with an authorization header, and those without the cookie, are for the authority behind this one.
//
// A browser sends the cookie with whatever a page makes it send, so a request that changes something proves besides
// that our own page sent it: its origin is the address that it came to, and it carries the session's CSRF token, which
// no page of another origin can read. SameSite=Strict says the same to browsers that know it; nothing rests on that alone.

import { firstTenant, type TokenScope } from '../../access/index.ts'
import { Fault } from '../../base/index.ts'
import type { HttpRequest } from '../../host/index.ts'
import { scopeOf } from '../admin/authority.ts'
import type { EnterAct } from '../admin/handler.ts'
import type { AdminAction, Authorise } from '../admin/routes.ts'
import { hasCsrfToken, originOf, secretOf } from './core/cookie.ts'
import type { OpenSession, Sessions } from './sessions.ts'

/** Whoever has a session may look at it and end it. */
const own: ReadonlySet<string> = new Set(['admin:ReadOwnSession', 'admin:EndOwnSession'])

export function sessionAuthority(
  deps: { readonly sessions: Pick<Sessions, 'find'>; readonly enter: EnterAct },
  otherwise: Authorise,
): Authorise {
  const { sessions, enter } = deps
  return async (request, asked) => {
    const hasOwnProof = request.headers.some(([name]) => name === 'authorization')
    const secret = hasOwnProof ? undefined : secretOf(request)
    if (secret === undefined) return await otherwise(request, asked)
    const session = await requireSession(sessions, secret)
    if (request.method !== 'GET') requireOwnPage(request, secret)
    const { action, resource } = asked
    const name = callerOf(session)
    if (isAllowed(session.scopes, action)) return { name, tenant: firstTenant }
    const by = { name, source: request.remoteAddress }
    await enter(by, { action, resource, outcome: 'denied' })
    throw new Fault('denied', `${session.operator} has not the scope for ${action}`, {
      fields: { scope: scopeOf(action) },
    })
  }
}

export function isAllowed(held: readonly TokenScope[], action: AdminAction): boolean {
  if (own.has(action) || held.includes('admin')) return true
  const needed = scopeOf(action)
  return held.includes(needed) || (needed === 'metadata' && held.includes('replication'))
}

export async function requireSession(
  sessions: Pick<Sessions, 'find'>,
  secret: string,
): Promise<OpenSession> {
  const session = await sessions.find(secret)
  if (session !== undefined) return session
  throw new Fault('unauthenticated', 'the session has ended', { next: 'log in again' })
}

function requireOwnPage(request: HttpRequest, secret: string): void {
  if (originOf(request) === 'same' && hasCsrfToken(request, secret)) return
  throw new Fault('denied', 'the request was not sent by a page of the console', {
    next: 'load the page again',
  })
}

export function callerOf({ operator }: Pick<OpenSession, 'operator'>): string {
  return `operator ${operator}`
}

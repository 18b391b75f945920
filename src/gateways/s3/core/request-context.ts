// What conditions of policies may ask about a request ("AWS global condition context keys", S3's own keys).
//
// Whatever identifies the caller is taken from the server's own knowledge: the socket's address, the key that signed.
// No header can set such a key; X-Forwarded-For is not looked at. Keys that describe the request (s3:x-amz-*, s3:prefix) are
// the client's words by their nature, and each is there only for requests that mean it.

import { type Context, formatMoment, type Principal } from '../../../access/index.ts'
import type { Right } from './rights.ts'
import { queryValue, type WireRequest } from './wire-request.ts'

export type RequestFacts = {
  readonly wire: WireRequest
  readonly headers: ReadonlyMap<string, string>
  readonly principal: Principal
  readonly right: Right
  readonly remoteAddress: string
  readonly isSecure: boolean
  readonly nowMs: number
  readonly signedAtMs: number
  readonly region: string
  /** The tenant that owns what is asked for. */
  readonly owner: string
}

const fromQuery: ReadonlyMap<string, string> = new Map([
  ['s3:prefix', 'prefix'],
  ['s3:delimiter', 'delimiter'],
  ['s3:max-keys', 'max-keys'],
])

export function contextOf(facts: RequestFacts): Context {
  return {
    values(key) {
      const value = lookUp(key, facts)
      return value === undefined ? undefined : [value]
    },
  }
}

function lookUp(key: string, facts: RequestFacts): string | undefined {
  return key.startsWith('aws:') ? globalValue(key, facts) : s3Value(key, facts)
}

function globalValue(key: string, facts: RequestFacts): string | undefined {
  const { principal, wire } = facts
  switch (key) {
    case 'aws:username':
      return principal.kind === 'user' ? principal.name : undefined
    case 'aws:userid':
      if (principal.kind === 'anonymous') return 'anonymous'
      return principal.kind === 'user' ? principal.id : principal.tenant
    case 'aws:principalarn':
      return principal.kind === 'anonymous' ? undefined : principal.arn
    case 'aws:principalaccount':
      return principal.kind === 'anonymous' ? undefined : principal.tenant
    case 'aws:principaltype':
      if (principal.kind === 'anonymous') return 'Anonymous'
      return principal.kind === 'user' ? 'User' : 'Account'
    case 'aws:principalisawsservice':
    case 'aws:viaawsservice':
      return 'false'
    case 'aws:sourceip':
      return facts.remoteAddress === '' ? undefined : facts.remoteAddress
    case 'aws:securetransport':
      return String(facts.isSecure)
    case 'aws:currenttime':
      return formatMoment(facts.nowMs)
    case 'aws:epochtime':
      return String(Math.floor(facts.nowMs / 1000))
    case 'aws:requestedregion':
      return facts.region
    case 'aws:resourceaccount':
      return facts.owner
    case 'aws:useragent':
      return wire.headers.get('user-agent')
    case 'aws:referer':
      return wire.headers.get('referer')
    default:
      return undefined
  }
}

function s3Value(key: string, facts: RequestFacts): string | undefined {
  const { wire } = facts
  const parameter = fromQuery.get(key)
  if (parameter !== undefined) {
    return facts.right.lists === true ? queryValue(wire, parameter) : undefined
  }
  if (key.startsWith('s3:x-amz-')) return facts.headers.get(key.slice(3))
  switch (key) {
    case 's3:authtype':
      return wire.headers.has('authorization') ? 'REST-HEADER' : 'REST-QUERY-STRING'
    case 's3:signatureversion':
      return 'AWS4-HMAC-SHA256'
    case 's3:signatureage':
      return String(Math.max(0, facts.nowMs - facts.signedAtMs))
    case 's3:resourceaccount':
      return facts.owner
    case 's3:versionid':
      return queryValue(wire, 'versionId')
    case 's3:if-match':
    case 's3:if-none-match':
      return wire.headers.get(key.slice(3))
    default:
      return undefined
  }
}

// The session's cookie and what is derived from it.
//
// '__Host-' makes browsers insist on Secure, Path=/ and no Domain, so that no other host and no plain connection can
// set it. Without Max-Age it ends with the browser; when the session ends is decided by its record.
//
// The CSRF token is a hash of the secret: pages of another origin cannot read it, it needs no storage of its own, and
// it ends with the session.

import { equalSecret, sha256, utf8Encode } from '../../../base/index.ts'
import type { HttpRequest } from '../../../host/index.ts'
import { base64UrlOf } from './base64-url.ts'

const cookieName = '__Host-atoll'
export const csrfHeader = 'x-atoll-csrf'
/** 32 bytes in base64url. */
const secretPattern = /^[A-Za-z0-9_-]{43}$/

type Headers = Pick<HttpRequest, 'headers'>

/** The secret of the cookie; undefined when there is none, or several that could be meant. */
export function secretOf({ headers }: Headers): string | undefined {
  const found = headers
    .filter(([name]) => name === 'cookie')
    .flatMap(([, value]) => value.split(';'))
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${cookieName}=`))
  const [only, ...others] = found
  if (only === undefined || others.length > 0) return undefined
  const secret = only.slice(cookieName.length + 1)
  return secretPattern.test(secret) ? secret : undefined
}

export function setCookie(secret: string): readonly [string, string] {
  return ['set-cookie', `${cookieName}=${secret}; Path=/; Secure; HttpOnly; SameSite=Strict`]
}

export const clearCookie: readonly [string, string] = [
  'set-cookie',
  `${cookieName}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0`,
]

export function csrfTokenOf(secret: string): string {
  return base64UrlOf(sha256(`atoll console csrf v1\n${secret}`))
}

export function hasCsrfToken({ headers }: Headers, secret: string): boolean {
  const given = headers.find(([name]) => name === csrfHeader)?.[1] ?? ''
  return equalSecret(utf8Encode(given), utf8Encode(csrfTokenOf(secret)))
}

/** Browsers name the origin with every request that changes something: absent is 'absent'. */
export function originOf({ headers }: Headers): 'same' | 'other' | 'absent' {
  const origin = headers.find(([name]) => name === 'origin')?.[1]
  if (origin === undefined) return 'absent'
  const host = headers.find(([name]) => name === 'host')?.[1] ?? ''
  return host !== '' && origin.toLowerCase() === `https://${host.toLowerCase()}` ? 'same' : 'other'
}

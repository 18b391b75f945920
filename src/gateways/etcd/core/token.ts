// Tokens that Authenticate gives: a signed statement of who, since when, so that every node believes it and none
// has to remember it.
//
//   token   base64url(message), '.', base64url(HMAC-SHA-256 of the first part under the state's token key)
//
// A token ends with its user's password (serial), with the next enabling of authentication (key), and when it was
// neither made nor used here for tokenMsMax: a node remembers when it saw a token last, as etcd's simple tokens do.

import {
  bytes,
  codecOf,
  equalSecret,
  Fault,
  hmacSha256,
  isFault,
  message,
  text,
  uint,
} from '../../../base/index.ts'
import { base64Decode, base64Encode } from '../../s3/core/text.ts'

/** etcd's --auth-token-ttl. */
export const tokenMsMax = 300_000
const tokenTextMax = 4096
const rememberedMax = 16_384

export type TokenClaim = {
  readonly user: string
  readonly serial: number
  readonly issuedMs: number
  readonly nonce: Uint8Array
}

const claimCodec = codecOf(
  message({ user: text(1), serial: uint(2), issuedMs: uint(3), nonce: bytes(4) }),
)

export function formatToken(claim: TokenClaim, key: Uint8Array): string {
  const head = toUrlText(claimCodec.encode(claim))
  return `${head}.${toUrlText(hmacSha256(key, head))}`
}

/** Undefined for whatever was not signed with the key. */
export function parseToken(token: string, key: Uint8Array): TokenClaim | undefined {
  if (token.length > tokenTextMax || key.length === 0) return undefined
  const [head = '', signature = '', ...more] = token.split('.')
  const given = fromUrlText(signature)
  if (given === undefined || more.length > 0) return undefined
  if (!equalSecret(given, hmacSha256(key, head))) return undefined
  const encoded = fromUrlText(head)
  if (encoded === undefined) return undefined
  try {
    return claimCodec.decode(encoded)
  } catch (error) {
    if (isFault(error)) return undefined
    throw new Fault('internal', 'a signed token cannot be read', { cause: error })
  }
}

/** When tokens were used last; the one that rested longest is forgotten first. */
export class TokenUses {
  readonly #usedMs = new Map<string, number>()

  /** Whether the token is still good, which makes it good for as long again. */
  renew(token: string, claim: TokenClaim, nowMs: number): boolean {
    const usedMs = Math.max(claim.issuedMs, this.#usedMs.get(token) ?? 0)
    this.#usedMs.delete(token)
    if (nowMs - usedMs > tokenMsMax) return false
    this.#usedMs.set(token, nowMs)
    if (this.#usedMs.size > rememberedMax) {
      const [oldest] = this.#usedMs.keys()
      if (oldest !== undefined) this.#usedMs.delete(oldest)
    }
    return true
  }
}

function toUrlText(encoded: Uint8Array): string {
  return base64Encode(encoded).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function fromUrlText(given: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9_-]+$/.test(given)) return undefined
  const padded = given + '='.repeat((4 - (given.length % 4)) % 4)
  return base64Decode(padded.replaceAll('-', '+').replaceAll('_', '/'))
}

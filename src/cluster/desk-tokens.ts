// Tokens at the desk: made, listed, revoked. The secret is told once and forgotten; what is kept of it is its hash,
// sealed, because whoever knows the hash could make the proof.

import { fromHex, Fault } from '../base/index.ts'
import { checkAddressPrefix } from './core/address-prefix.ts'
import { configDefaults } from './core/cluster-config.ts'
import { absent, put, unchanged } from './core/compares.ts'
import { nodeNameRule } from './core/enrol-messages.ts'
import { tokenCodec, tokenKey, tokenPrefix, type TokenRecord } from './core/enrolment-records.ts'
import {
  formatJoinToken,
  proofKeyOf,
  tokenIdBytes,
  tokenIdOf,
  tokenSecretBytes,
} from './core/join-token.ts'
import { sealSecret } from './core/sealing.ts'
import type { DeskDeps } from './create-desk.ts'
import { attemptsMax, requireSealKeyOf } from './desk-limits.ts'
import type { TokenOptions, TokenView } from './enrolment.ts'
import { listBelow, readSystem } from './system-sight.ts'
import { pinOf, requireAuthority, signingEntry } from './trust-state.ts'

const lifetimeMsDefault = 3_600_000
const lifetimeMsMin = 60_000
const lifetimeMsMax = 24 * 3_600_000
const usesMax = 1024
const tokensMax = 1024
/** How long one that has ended is listed, and its end told to who shows it. */
const keptMs = 86_400_000

export const proofPurpose = (id: string): string => `proof key of token ${id}`

export class TokenDesk {
  readonly #deps: DeskDeps

  constructor(deps: DeskDeps) {
    this.#deps = deps
  }

  async create(
    options: TokenOptions,
  ): Promise<{ readonly token: string; readonly view: TokenView }> {
    checkOptions(options)
    const { host, system } = this.#deps
    const sealKey = requireSealKeyOf(this.#deps)
    const sight = await readSystem(system)
    const entry = signingEntry(requireAuthority(sight, sealKey))
    await this.#makeRoom()
    const pin = fromHex(pinOf(entry)) ?? new Uint8Array(0)
    const createdMs = Math.floor(host.clock.wallMs())
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const id = tokenIdOf(host.random.bytes(tokenIdBytes))
      const secret = host.random.bytes(tokenSecretBytes)
      const uses = options.uses ?? 1
      const record: TokenRecord = {
        id,
        proofKey: sealSecret(sealKey, proofKeyOf(secret), {
          purpose: proofPurpose(id),
          random: host.random,
        }),
        pin: pinOf(entry),
        createdMs,
        expiresMs: createdMs + (options.lifetimeMs ?? lifetimeMsDefault),
        uses,
        usesLeft: uses,
        name: options.name ?? '',
        addressPrefix: options.addressPrefix ?? '',
        approval: options.approval ?? (sight.config?.config ?? configDefaults).approval,
        replaces: options.replaces,
        createdBy: options.createdBy,
        revokedMs: 0,
      }
      const answer = await system.txn({
        compares: [absent(tokenKey(id))],
        success: [put(tokenKey(id), tokenCodec.encode(record))],
        failure: [],
      })
      if (!answer.succeeded) continue
      return { token: formatJoinToken({ id, secret, pin }), view: viewOf(record, createdMs) }
    }
    throw new Fault('conflict', 'no free token id was found')
  }

  async list(): Promise<readonly TokenView[]> {
    const nowMs = this.#deps.host.clock.wallMs()
    const kvs = await listBelow(this.#deps.system, tokenPrefix)
    const views = kvs.map((kv) => viewOf(tokenCodec.decode(kv.value), nowMs))
    return views.sort((a, b) => b.createdMs - a.createdMs)
  }

  async revoke(id: string): Promise<TokenView> {
    const { host, system } = this.#deps
    const nowMs = Math.floor(host.clock.wallMs())
    const key = tokenKey(id.toUpperCase())
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const kv = (await system.range({ key })).kvs[0]
      if (kv === undefined) {
        throw new Fault('not-found', `there is no token ${id.slice(0, 16)}`, {
          next: '`atoll admin token list` lists them',
        })
      }
      const token = tokenCodec.decode(kv.value)
      if (viewOf(token, nowMs).state !== 'open') return viewOf(token, nowMs)
      const revoked = { ...token, revokedMs: nowMs }
      const answer = await system.txn({
        compares: [unchanged(key, kv)],
        success: [put(key, tokenCodec.encode(revoked))],
        failure: [],
      })
      if (answer.succeeded) return viewOf(revoked, nowMs)
    }
    throw new Fault('conflict', `too many changes at once of token ${id}`)
  }

  /** Forgets those that ended long ago; Fault 'overloaded' when too many are left. */
  async #makeRoom(): Promise<void> {
    const { host, system } = this.#deps
    const nowMs = host.clock.wallMs()
    const kvs = await listBelow(system, tokenPrefix)
    const old = kvs.filter((kv) => nowMs > tokenCodec.decode(kv.value).expiresMs + keptMs)
    for (const kv of old) {
      await system.txn({
        compares: [unchanged(kv.key, kv)],
        success: [{ kind: 'delete', key: kv.key }],
        failure: [],
      })
    }
    if (kvs.length - old.length < tokensMax) return
    throw new Fault('overloaded', `there are ${tokensMax} tokens already`, {
      next: 'tokens are forgotten a day after they end; use one token with several uses',
    })
  }
}

function checkOptions({ lifetimeMs, uses, name, addressPrefix, createdBy }: TokenOptions): void {
  const isBetween = (value: number, least: number, most: number): boolean =>
    Number.isSafeInteger(value) && value >= least && value <= most
  if (lifetimeMs !== undefined && !isBetween(lifetimeMs, lifetimeMsMin, lifetimeMsMax)) {
    throw new Fault('invalid', 'a token lives from one minute to 24 hours')
  }
  if (uses !== undefined && !isBetween(uses, 1, usesMax)) {
    throw new Fault('invalid', `a token has 1 to ${usesMax} uses`)
  }
  const { charsMax, pattern, what } = nodeNameRule
  if (name !== undefined && (name.length > charsMax || !pattern.test(name))) {
    throw new Fault('invalid', `the name of a node is ${what}`)
  }
  if (addressPrefix !== undefined) checkAddressPrefix(addressPrefix)
  if (createdBy.length > 256) throw new Fault('invalid', 'who made it is too long a name')
}

export function viewOf(token: TokenRecord, nowMs: number): TokenView {
  const { id, createdMs, expiresMs, uses, usesLeft, name, addressPrefix, approval } = token
  const ended = token.revokedMs > 0 ? 'revoked' : usesLeft === 0 ? 'used' : 'expired'
  const isOpen = token.revokedMs === 0 && usesLeft > 0 && nowMs < expiresMs
  return {
    id,
    state: isOpen ? 'open' : ended,
    createdMs,
    expiresMs,
    uses,
    usesLeft,
    name: name === '' ? undefined : name,
    addressPrefix: addressPrefix === '' ? undefined : addressPrefix,
    approval,
    replaces: token.replaces,
    createdBy: token.createdBy,
  }
}

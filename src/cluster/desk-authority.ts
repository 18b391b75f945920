// The authority at the desk: listed, and rotated in three steps, each of which every member must have taken before
// the next is accepted. With it goes the key that signs cluster.json.
//
// Trap: without waiting for everybody:
//   1. the second authority signs node 1's new certificate while node 3 was down at 'add';
//   2. node 3 comes back, trusts the first one only, and refuses node 1;
//   3. the list that would tell it of the second is on the other side of that connection.

import { Fault, isFault, type NodeId } from '../base/index.ts'
import { put, unchanged } from './core/compares.ts'
import {
  authorityCodec,
  type AuthorityEntry,
  authorityKey,
  type AuthorityRecord,
  configKey,
  tokenCodec,
  tokenPrefix,
} from './core/enrolment-records.ts'
import { authorityName, clientUri } from './core/identity-names.ts'
import { handoversMax, signHandover } from './core/settings-bundle.ts'
import type { DeskDeps } from './create-desk.ts'
import { attemptsMax, requireSealKeyOf } from './desk-limits.ts'
import type { AuthorityStep, AuthorityView } from './enrolment.ts'
import { backdatedMs } from './issuing.ts'
import { listBelow, readSystem, type SystemSight } from './system-sight.ts'
import type { TrustReport } from './trust-report.ts'
import {
  makeSigner,
  nextBundle,
  openAuthority,
  openSigner,
  pinOf,
  requireAuthority,
  sealAuthorityKey,
  signingEntry,
} from './trust-state.ts'

export const authorityMs = 3_650 * 86_400_000

export class AuthorityDesk {
  readonly #deps: DeskDeps

  constructor(deps: DeskDeps) {
    this.#deps = deps
  }

  async list(): Promise<readonly AuthorityView[]> {
    const { authority } = await readSystem(this.#deps.system)
    return viewsOf(authority)
  }

  async certifyClient(client: {
    readonly name: string
    readonly requestPem: string
    readonly lifeMs: number
  }): Promise<string> {
    const { system, host } = this.#deps
    const { name, requestPem, lifeMs } = client
    const sealKey = requireSealKeyOf(this.#deps)
    const sight = await readSystem(system)
    const entry = signingEntry(requireAuthority(sight, sealKey))
    const nowMs = Math.floor(host.clock.wallMs())
    if (!Number.isSafeInteger(lifeMs) || lifeMs < 1_000) {
      throw new Fault('invalid', 'a certificate lives a second at least')
    }
    return await host.pki.issue(openAuthority(entry, sealKey), {
      subjectName: name.replaceAll(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, ''),
      uris: [clientUri(sight.cluster.clusterId, name)],
      hosts: [],
      usage: 'client',
      requestPem,
      notBeforeMs: nowMs - backdatedMs,
      notAfterMs: nowMs + lifeMs,
    })
  }

  async rotate(step: AuthorityStep): Promise<readonly AuthorityView[]> {
    const { system, host } = this.#deps
    const sealKey = requireSealKeyOf(this.#deps)
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const sight = await readSystem(system)
      const before = requireAuthority(sight, sealKey)
      const next = await this.#plan(step, { sight, before, sealKey })
      const bundle = nextBundle(sight, { nowMs: host.clock.wallMs(), sealKey, authority: next })
      const answer = await system.txn({
        compares: [
          unchanged(authorityKey, sight.authorityKv),
          unchanged(configKey, sight.configKv),
          ...bundle.compares,
        ],
        success: [put(authorityKey, authorityCodec.encode(next)), ...bundle.operations],
        failure: [],
      })
      if (!answer.succeeded) continue
      if (step === 'issue') await this.#revokeTokens(pinOf(signingEntry(before)))
      host.journal.event('notice', 'cluster.authority_rotated', { step })
      return viewsOf(next)
    }
    throw new Fault('conflict', 'too many changes at once of the authority')
  }

  #plan(
    step: AuthorityStep,
    now: {
      readonly sight: SystemSight
      readonly before: AuthorityRecord
      readonly sealKey: Uint8Array
    },
  ): Promise<AuthorityRecord> {
    if (step === 'add') return this.#add(now.sight, now.before, now.sealKey)
    return step === 'issue' ? this.#issue(now.sight, now.before) : this.#drop(now.sight, now.before)
  }

  async #add(
    { cluster }: SystemSight,
    before: AuthorityRecord,
    sealKey: Uint8Array,
  ): Promise<AuthorityRecord> {
    requireStep(before, [], 'finish the rotation that is under way: issue, then drop')
    const { host } = this.#deps
    const nowMs = Math.floor(host.clock.wallMs())
    const pair = await host.pki.makeAuthority({
      subjectName: authorityName(cluster.clusterId),
      notBeforeMs: nowMs - backdatedMs,
      notAfterMs: nowMs + authorityMs,
    })
    const { keyHash, notAfterMs } = await host.pki.readCertificate(pair.certificatePem)
    const sealedKey = sealAuthorityKey(pair, keyHash, { sealKey, random: host.random })
    const { certificatePem } = pair
    const entry: AuthorityEntry = { certificatePem, sealedKey, keyHash, notAfterMs, state: 'next' }
    const nextSigner = makeSigner(sealKey, host.random)
    const signer = openSigner(before.signer, sealKey)
    const handover = signHandover(signer, nextSigner.publicKey, cluster.clusterId)
    return {
      ...before,
      authorities: [...before.authorities, entry],
      nextSigner,
      handovers: [...before.handovers, handover].slice(-handoversMax),
    }
  }

  async #issue(sight: SystemSight, before: AuthorityRecord): Promise<AuthorityRecord> {
    const next = requireStep(before, ['next'], 'add a second authority first')
    await this.#requireEverybody(sight, `trust ${pinOf(next)}`, ({ authorities, epoch }) => {
      return authorities.includes(pinOf(next)) && epoch >= (sight.bundle?.epoch ?? 0)
    })
    const { nextSigner, ...rest } = before
    return {
      ...rest,
      authorities: before.authorities.map((entry) => {
        return { ...entry, state: entry === next ? 'signing' : 'retiring' } as const
      }),
      signer: nextSigner ?? before.signer,
      nextSigner: undefined,
    }
  }

  async #drop(sight: SystemSight, before: AuthorityRecord): Promise<AuthorityRecord> {
    requireStep(before, ['retiring'], 'add a second authority, and issue from it, first')
    const pin = pinOf(signingEntry(before))
    await this.#requireEverybody(sight, `a certificate of ${pin}`, ({ issuer }) => issuer === pin)
    return { ...before, authorities: [signingEntry(before)] }
  }

  /** Fault 'precondition' that names who has not. */
  async #requireEverybody(
    { members }: SystemSight,
    what: string,
    has: (report: TrustReport) => boolean,
  ): Promise<void> {
    const listed = members.filter(({ state }) => state !== 'removed')
    const answers = await Promise.all(listed.map(({ id }) => this.#isReady(id, has)))
    const lacking = listed.filter((_, at) => answers[at] !== true)
    if (lacking.length === 0) return
    const names = lacking.map(({ id, name }) => `${id} (${name})`).join(', ')
    throw new Fault('precondition', `not every member has ${what} yet: ${names}`, {
      next: 'wait for them, bring them back, or remove them first',
    })
  }

  async #isReady(id: NodeId, has: (report: TrustReport) => boolean): Promise<boolean> {
    try {
      return has(await this.#deps.askMember(id))
    } catch (error) {
      if (isFault(error)) return false
      throw error
    }
  }

  /** Tokens name the authority that a machine shall find: those of the old one would lead nowhere. */
  async #revokeTokens(pin: string): Promise<void> {
    const { system, host } = this.#deps
    const revokedMs = Math.floor(host.clock.wallMs())
    for (const kv of await listBelow(system, tokenPrefix)) {
      const token = tokenCodec.decode(kv.value)
      if (token.pin !== pin || token.revokedMs > 0) continue
      await system.txn({
        compares: [unchanged(kv.key, kv)],
        success: [put(kv.key, tokenCodec.encode({ ...token, revokedMs }))],
        failure: [],
      })
    }
  }
}

/** The authority in the one state that this step needs besides 'signing'; Fault 'precondition' otherwise. */
function requireStep(
  { authorities }: AuthorityRecord,
  wanted: readonly AuthorityEntry['state'][],
  next: string,
): AuthorityEntry {
  const others = authorities.filter(({ state }) => state !== 'signing')
  const states = others.map(({ state }) => state)
  const isAsWanted = states.length === wanted.length && wanted.every((one) => states.includes(one))
  const entry = others[0] ?? authorities[0]
  if (isAsWanted && entry !== undefined) return entry
  throw new Fault('precondition', 'the rotation of the authority is at another step', { next })
}

function viewsOf(record: AuthorityRecord | undefined): readonly AuthorityView[] {
  return (record?.authorities ?? []).map(({ certificatePem, state, keyHash, notAfterMs }) => {
    return { pin: pinOf({ keyHash }), state, notAfterMs, certificatePem }
  })
}

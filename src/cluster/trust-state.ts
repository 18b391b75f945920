// The cluster's secrets, opened for one decision, and the bundle that follows from a state: shared by the desk, by
// founding and by the keeper of the bundle.

import {
  ed25519Pair,
  type Ed25519Pair,
  Fault,
  type NodeId,
  type Random,
  toHex,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import type { PemPair } from '../host/index.ts'
import type { Compare, Operation } from '../keyspace/index.ts'
import type { Member } from './cluster.ts'
import { configDefaults } from './core/cluster-config.ts'
import { put, unchanged } from './core/compares.ts'
import {
  type AuthorityEntry,
  type AuthorityRecord,
  bundleCodec,
  bundleKey,
  type CertificateRecord,
  type SignerEntry,
} from './core/enrolment-records.ts'
import { openSecret, requireSealKey, sealSecret } from './core/sealing.ts'
import { bundleContent, type BundleState, saysTheSame, signBundle } from './core/settings-bundle.ts'
import type { ClusterConfig } from './enrolment.ts'
import type { SystemSight } from './system-sight.ts'

/** First 128 bits of the hash of an authority's key, hexadecimal: what tokens pin. */
export const pinLength = 32

export function pinOf({ keyHash }: Pick<AuthorityEntry, 'keyHash'>): string {
  return keyHash.slice(0, pinLength)
}

/** Every authority to trust; the one that signs comes first. */
export function trustedPem(record: AuthorityRecord): string {
  const order = ['signing', 'next', 'retiring']
  return [...record.authorities]
    .sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state))
    .map(({ certificatePem }) => certificatePem)
    .join('')
}

export function signingEntry(record: AuthorityRecord): AuthorityEntry {
  const entry = record.authorities.find(({ state }) => state === 'signing')
  if (entry === undefined) throw new Fault('corrupt', 'no authority signs')
  return entry
}

/** Faults 'precondition' in a cluster that has none, 'denied' by a foreign key. */
export function requireAuthority(sight: SystemSight, sealKey: Uint8Array): AuthorityRecord {
  const { authority } = sight
  if (authority === undefined) {
    throw new Fault('precondition', 'this cluster has no sealed authority: nobody can join it', {
      next: 'start a founder that has identity/authority-key.pem and identity/seal-key',
    })
  }
  requireSealKey(sealKey, authority.sealCheck)
  return authority
}

const authorityPurpose = (keyHash: string): string => `authority ${keyHash}`
const signerPurpose = (publicKey: string): string => `settings signer ${publicKey}`

export function openAuthority(entry: AuthorityEntry, sealKey: Uint8Array): PemPair {
  const { certificatePem, sealedKey, keyHash } = entry
  const key = openSecret(sealKey, sealedKey, authorityPurpose(keyHash))
  return { certificatePem, privateKeyPem: utf8Decode(key) }
}

export function sealAuthorityKey(
  pair: PemPair,
  keyHash: string,
  sealing: { readonly sealKey: Uint8Array; readonly random: Random },
): Uint8Array {
  const { sealKey, random } = sealing
  const purpose = authorityPurpose(keyHash)
  return sealSecret(sealKey, utf8Encode(pair.privateKeyPem), { purpose, random })
}

export function openSigner(entry: SignerEntry, sealKey: Uint8Array): Ed25519Pair {
  return ed25519Pair(openSecret(sealKey, entry.sealedKey, signerPurpose(entry.publicKey)))
}

export function makeSigner(sealKey: Uint8Array, random: Random): SignerEntry {
  const seed = random.bytes(32)
  const publicKey = toHex(ed25519Pair(seed).publicKey)
  const purpose = signerPurpose(publicKey)
  return { publicKey, sealedKey: sealSecret(sealKey, seed, { purpose, random }) }
}

/** What a transaction is about to make of the state that was read. */
export type NextState = {
  readonly nowMs: number
  readonly sealKey: Uint8Array
  readonly members?: readonly Member[]
  readonly config?: ClusterConfig
  readonly authority?: AuthorityRecord
}

export type NextBundle = {
  readonly text: string
  readonly epoch: number
  readonly compares: readonly Compare[]
  /** Empty when the stored bundle says all that already. */
  readonly operations: readonly Operation[]
}

/** cluster.json for that state: the stored one, or one of the next epoch with what stores it. */
export function nextBundle(sight: SystemSight, next: NextState): NextBundle {
  const authority = next.authority ?? requireAuthority(sight, next.sealKey)
  const members = next.members ?? sight.members
  const content = bundleContent({
    clusterId: sight.cluster.clusterId,
    config: next.config ?? sight.config?.config ?? configDefaults,
    members,
    authorities: authority.authorities.map(pinOf),
    revoked: revokedSerials(members, sight.certificates, next.nowMs),
    handovers: authority.handovers,
  } satisfies BundleState)
  const { bundle, bundleKv } = sight
  const compares = [unchanged(bundleKey, bundleKv)]
  if (bundle !== undefined && saysTheSame(bundle.text, content, authority.signer.publicKey)) {
    return { ...bundle, compares, operations: [] }
  }
  const epoch = (bundle?.epoch ?? 0) + 1
  const text = signBundle(content, { epoch, pair: openSigner(authority.signer, next.sealKey) })
  return {
    text,
    epoch,
    compares,
    operations: [put(bundleKey, bundleCodec.encode({ epoch, text }))],
  }
}

function revokedSerials(
  members: readonly Member[],
  certificates: readonly CertificateRecord[],
  nowMs: number,
): readonly string[] {
  const removed = new Set<NodeId>()
  for (const { id, state } of members) if (state === 'removed') removed.add(id)
  return certificates
    .filter(({ member, notAfterMs }) => removed.has(member) && notAfterMs > nowMs)
    .flatMap(({ serial, serverSerial }) => [serial, serverSerial])
}

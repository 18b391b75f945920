// Keys and stored records of enrolment in '/raft/system', in the form of records.ts.
//
//   authority                   AuthorityRecord: certificates and sealed keys, and the signer of cluster.json
//   join-token/<id>             TokenRecord
//   enrolment/<hash of key>     EnrolmentRecord: what became of one machine's asking
//   certificate/<member id>     CertificateRecord: the newest certificate of a member, kept when it is removed
//   config                      ConfigRecord: what the operator set
//   config-history/<version>    earlier ones, eight digits
//   bundle                      BundleRecord: cluster.json
//
// Sealed fields are nonce, ciphertext and tag of AES-256-GCM under the seal key (sealing.ts).

import {
  bytes,
  type Codec,
  codecOf,
  Fault,
  mapped,
  message,
  nested,
  type NodeId,
  nodeId,
  repeated,
  sealedRecord,
  text,
  uint,
  utf8Encode,
} from '../../base/index.ts'
import type { Approval, ClusterConfig, EnrolmentState } from '../enrolment.ts'
import { canonicalJson } from './canonical-json.ts'
import { readClusterConfig } from './cluster-config.ts'
import type { Handover } from './settings-bundle.ts'

export const authorityKey = utf8Encode('authority')
export const configKey = utf8Encode('config')
export const bundleKey = utf8Encode('bundle')
export const tokenPrefix = utf8Encode('join-token/')
export const enrolmentPrefix = utf8Encode('enrolment/')
export const certificatePrefix = utf8Encode('certificate/')
export const configHistoryPrefix = utf8Encode('config-history/')
export const tokenKey = (id: string): Uint8Array => utf8Encode(`join-token/${id}`)
export const enrolmentKey = (keyHash: string): Uint8Array => utf8Encode(`enrolment/${keyHash}`)
export const certificateKey = (id: NodeId): Uint8Array => utf8Encode(`certificate/${id}`)
export const configHistoryKey = (version: number): Uint8Array =>
  utf8Encode(`config-history/${String(version).padStart(8, '0')}`)

const approvals = ['automatic', 'operator'] as const satisfies readonly Approval[]

function pick<T>(all: readonly T[], at: number, what: string): T {
  const found = all[at]
  if (found === undefined) throw new Fault('corrupt', `${what} ${at} is not known`)
  return found
}

export type TokenRecord = {
  readonly id: string
  /** Sealed: key of the proof. */
  readonly proofKey: Uint8Array
  /** Of the authority that the token names. */
  readonly pin: string
  readonly createdMs: number
  readonly expiresMs: number
  readonly uses: number
  readonly usesLeft: number
  /** '': any. */
  readonly name: string
  readonly addressPrefix: string
  readonly approval: Approval
  readonly replaces: NodeId | undefined
  readonly createdBy: string
  /** 0: not revoked. */
  readonly revokedMs: number
}

const tokenFields = message({
  id: text(1),
  proofKey: bytes(2),
  pin: text(3),
  createdMs: uint(4),
  expiresMs: uint(5),
  uses: uint(6),
  usesLeft: uint(7),
  name: text(8),
  addressPrefix: text(9),
  approval: uint(10),
  replaces: uint(11),
  createdBy: text(12),
  revokedMs: uint(13),
})
export const tokenCodec: Codec<TokenRecord> = sealedRecord(
  'token',
  24,
  mapped(
    codecOf(tokenFields),
    (token: TokenRecord) => ({
      ...token,
      approval: approvals.indexOf(token.approval),
      replaces: token.replaces ?? 0,
    }),
    (raw): TokenRecord => ({
      ...raw,
      approval: pick(approvals, raw.approval, 'approval'),
      replaces: raw.replaces === 0 ? undefined : nodeId(raw.replaces),
    }),
  ),
)

/** Wire numbers of states; a number keeps its meaning for ever. */
const enrolmentStates = [
  'pending',
  'approved',
  'joined',
  'rejected',
  'expired',
  'revoked',
] as const satisfies readonly EnrolmentState[]

export type EnrolmentRecord = {
  /** SHA-256 of the machine's public key, hexadecimal. */
  readonly keyHash: string
  readonly state: EnrolmentState
  readonly name: string
  /** Of its consensus port: 'host:port'. */
  readonly address: string
  readonly region: string
  readonly zone: string
  readonly caps: readonly string[]
  readonly version: string
  /** '': it came with the cluster's id alone. */
  readonly tokenId: string
  readonly replaces: NodeId | undefined
  readonly member: NodeId | undefined
  readonly requestedMs: number
  readonly decidedMs: number
  readonly decidedBy: string
  /** The answer that it was given, to be given again. */
  readonly nodeCertificatePem: string
  readonly serverCertificatePem: string
}

const enrolmentFields = message({
  keyHash: text(1),
  state: uint(2),
  name: text(3),
  address: text(4),
  region: text(5),
  zone: text(6),
  caps: repeated(text(7)),
  version: text(8),
  tokenId: text(9),
  replaces: uint(10),
  member: uint(11),
  requestedMs: uint(12),
  decidedMs: uint(13),
  decidedBy: text(14),
  nodeCertificatePem: text(15),
  serverCertificatePem: text(16),
})
export const enrolmentCodec: Codec<EnrolmentRecord> = sealedRecord(
  'enrolment',
  25,
  mapped(
    codecOf(enrolmentFields),
    (record: EnrolmentRecord) => ({
      ...record,
      state: enrolmentStates.indexOf(record.state),
      replaces: record.replaces ?? 0,
      member: record.member ?? 0,
    }),
    (raw): EnrolmentRecord => ({
      ...raw,
      state: pick(enrolmentStates, raw.state, 'enrolment state'),
      replaces: raw.replaces === 0 ? undefined : nodeId(raw.replaces),
      member: raw.member === 0 ? undefined : nodeId(raw.member),
    }),
  ),
)

export type AuthorityState = 'signing' | 'next' | 'retiring'
const authorityStates = ['signing', 'next', 'retiring'] as const satisfies readonly AuthorityState[]

export type AuthorityEntry = {
  readonly certificatePem: string
  readonly sealedKey: Uint8Array
  readonly state: AuthorityState
  /** SHA-256 of its public key, hexadecimal. */
  readonly keyHash: string
  readonly notAfterMs: number
}

export type AuthorityRecord = {
  /** One signs. */
  readonly authorities: readonly AuthorityEntry[]
  readonly signer: SignerEntry
  /** Announced by a handover, and signs after the next step. */
  readonly nextSigner: SignerEntry | undefined
  readonly handovers: readonly Handover[]
  /** Tells the right seal key from another. */
  readonly sealCheck: Uint8Array
}

/** A key pair of cluster.json's signature: the public key in hexadecimal, the sealed private one. */
export type SignerEntry = { readonly publicKey: string; readonly sealedKey: Uint8Array }

const authorityEntryFields = message({
  certificatePem: text(1),
  sealedKey: bytes(2),
  state: uint(3),
  keyHash: text(4),
  notAfterMs: uint(5),
})
const signerFields = message({ publicKey: text(1), sealedKey: bytes(2) })
const handoverFields = message({ from: text(1), to: text(2), sig: text(3) })
const authorityFields = message({
  authorities: repeated(nested(1, authorityEntryFields)),
  signer: nested(2, signerFields),
  nextSigner: nested(3, signerFields),
  handovers: repeated(nested(4, handoverFields)),
  sealCheck: bytes(5),
})
const isThere = <T>(value: T | undefined): value is T => value !== undefined

export const authorityCodec: Codec<AuthorityRecord> = sealedRecord(
  'authority',
  26,
  mapped(
    codecOf(authorityFields),
    (record: AuthorityRecord) => ({
      ...record,
      authorities: record.authorities.map((entry) => ({
        ...entry,
        state: authorityStates.indexOf(entry.state),
      })),
    }),
    (raw): AuthorityRecord => {
      const { signer } = raw
      if (signer === undefined) throw new Fault('corrupt', 'authority record without a signer')
      const authorities = raw.authorities.filter(isThere).map((entry) => ({
        ...entry,
        state: pick(authorityStates, entry.state, 'authority state'),
      }))
      return { ...raw, signer, authorities, handovers: raw.handovers.filter(isThere) }
    },
  ),
)

export type CertificateRecord = {
  readonly member: NodeId
  /** Of the certificate that peers see. */
  readonly serial: string
  readonly serverSerial: string
  /** Names the authority that signed it. */
  readonly authorityPin: string
  readonly issuedMs: number
  readonly notAfterMs: number
}
const certificateFields = message({
  member: uint(1),
  serial: text(2),
  serverSerial: text(3),
  authorityPin: text(4),
  issuedMs: uint(5),
  notAfterMs: uint(6),
})
export const certificateCodec: Codec<CertificateRecord> = sealedRecord(
  'certificate',
  27,
  mapped(
    codecOf(certificateFields),
    (record: CertificateRecord) => record,
    (raw): CertificateRecord => ({ ...raw, member: nodeId(raw.member) }),
  ),
)

export type ConfigRecord = {
  readonly version: number
  readonly changedMs: number
  readonly changedBy: string
  readonly config: ClusterConfig
}
const configFields = message({
  version: uint(1),
  changedMs: uint(2),
  changedBy: text(3),
  config: text(4),
})
export const configCodec: Codec<ConfigRecord> = sealedRecord(
  'config',
  28,
  mapped(
    codecOf(configFields),
    (record: ConfigRecord) => ({ ...record, config: canonicalJson(record.config) }),
    (raw): ConfigRecord => ({ ...raw, config: readClusterConfig(raw.config) }),
  ),
)

export type BundleRecord = { readonly epoch: number; readonly text: string }
const bundleFields = message({ epoch: uint(1), text: text(2) })
export const bundleCodec: Codec<BundleRecord> = sealedRecord('bundle', 29, codecOf(bundleFields))

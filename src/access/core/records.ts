// Keys and stored records of access in '/raft/system'.
//
//   access/counter                   rises by one with every change of what follows, and numbers the audit log
//   access/tenant/<id>               TenantRecord
//   access/user/<tenant>/<name>      UserRecord: memberships, attached policies and keys are in it
//   access/group/<tenant>/<name>     GroupRecord
//   access/policy/<tenant>/<name>    PolicyRecord
//   access/key/<access key>          KeyRecord
//   access/token/<id>                TokenRecord
//   access/certificate/<id>          ClientCertificate, by the first 20 digits of its hash
//   access/bucket-policy/<number>    BucketPolicyRecord, by the number that no other bucket ever gets
//   access/audit/<sequence>          AuditRecord, 16 hexadecimal digits
//   credential/<access key>          of the room cluster: what clusters were founded with. Read as a root key of the first
//                                    tenant; a rotation moves it to access/key.
//
// Names hold no '/', so no key reaches into another's range. Values are sealed records of kinds 48 to 63.

import {
  bool,
  bytes,
  type Codec,
  codecOf,
  Fault,
  mapped,
  message,
  repeated,
  sealedRecord,
  text,
  uint,
  utf8Encode,
} from '../../base/index.ts'
import { type TokenScope, tokenScopes } from '../access.ts'
import type {
  AuditEntry,
  ClientCertificate,
  ClientToken,
  Group,
  NamedPolicy,
  Tenant,
  User,
} from '../access.ts'

export const counterKey = utf8Encode('access/counter')
export const tenantKey = (id: string): Uint8Array => utf8Encode(`access/tenant/${id}`)
export const tenantPrefix = utf8Encode('access/tenant/')
export const userKey = (tenant: string, name: string): Uint8Array =>
  utf8Encode(`access/user/${tenant}/${name}`)
export const usersOf = (tenant: string): Uint8Array => userKey(tenant, '')
export const groupKey = (tenant: string, name: string): Uint8Array =>
  utf8Encode(`access/group/${tenant}/${name}`)
export const groupsOf = (tenant: string): Uint8Array => groupKey(tenant, '')
export const policyKey = (tenant: string, name: string): Uint8Array =>
  utf8Encode(`access/policy/${tenant}/${name}`)
export const policiesOf = (tenant: string): Uint8Array => policyKey(tenant, '')
export const keyKey = (id: string): Uint8Array => utf8Encode(`access/key/${id}`)
export const tokenKey = (id: string): Uint8Array => utf8Encode(`access/token/${id}`)
export const tokenPrefix = utf8Encode('access/token/')
export const certificateKey = (id: string): Uint8Array => utf8Encode(`access/certificate/${id}`)
export const certificatePrefix = utf8Encode('access/certificate/')
export const bucketPolicyKey = (number: number): Uint8Array =>
  utf8Encode(`access/bucket-policy/${number}`)
export const auditPrefix = utf8Encode('access/audit/')
export const auditKey = (sequence: number): Uint8Array =>
  utf8Encode(`access/audit/${sequence.toString(16).padStart(16, '0')}`)
export const foundingKey = (id: string): Uint8Array => utf8Encode(`credential/${id}`)
export const foundingPrefix = utf8Encode('credential/')

export const tenantCodec: Codec<Tenant> = sealedRecord(
  'tenant',
  48,
  codecOf(message({ id: text(1), name: text(2), createdMs: uint(3), keys: repeated(text(4)) })),
)

export const userCodec: Codec<User> = sealedRecord(
  'user',
  49,
  codecOf(
    message({
      tenant: text(1),
      name: text(2),
      id: text(3),
      createdMs: uint(4),
      groups: repeated(text(5)),
      policies: repeated(text(6)),
      keys: repeated(text(7)),
    }),
  ),
)

export const groupCodec: Codec<Group> = sealedRecord(
  'group',
  50,
  codecOf(
    message({ tenant: text(1), name: text(2), createdMs: uint(3), policies: repeated(text(4)) }),
  ),
)

export const policyCodec: Codec<NamedPolicy> = sealedRecord(
  'policy',
  51,
  codecOf(
    message({
      tenant: text(1),
      name: text(2),
      document: text(3),
      createdMs: uint(4),
      changedMs: uint(5),
    }),
  ),
)

/** An access key as it is stored. */
export type KeyRecord = {
  readonly id: string
  readonly tenant: string
  /** '': the root of the tenant. */
  readonly user: string
  /** The secret's UTF-8, or what wrapping made of it. */
  readonly secret: Uint8Array
  /** '': the secret is not wrapped. */
  readonly wrappedBy: string
  readonly createdMs: number
  readonly isInactive: boolean
  readonly expiresMs: number
}

export const keyCodec: Codec<KeyRecord> = sealedRecord(
  'access key',
  52,
  codecOf(
    message({
      id: text(1),
      tenant: text(2),
      user: text(3),
      secret: bytes(4),
      wrappedBy: text(5),
      createdMs: uint(6),
      isInactive: bool(7),
      expiresMs: uint(8),
    }),
  ),
)

/** A client token as it is stored: the SHA-256 of its secret part. */
export type TokenRecord = ClientToken & { readonly hash: Uint8Array }

const tokenFields = message({
  id: text(1),
  tenant: text(2),
  name: text(3),
  hash: bytes(4),
  scopes: repeated(text(5)),
  createdMs: uint(6),
  expiresMs: uint(7),
})
export const tokenCodec: Codec<TokenRecord> = sealedRecord(
  'token',
  53,
  mapped(
    codecOf(tokenFields),
    (record: TokenRecord) => record,
    (raw): TokenRecord => ({ ...raw, scopes: raw.scopes.map(readScope) }),
  ),
)

const certificateFields = message({
  id: text(1),
  tenant: text(2),
  name: text(3),
  user: text(4),
  scopes: repeated(text(5)),
  createdMs: uint(6),
  expiresMs: uint(7),
  hash: text(8),
})
export const certificateCodec: Codec<ClientCertificate> = sealedRecord(
  'client certificate',
  57,
  mapped(
    codecOf(certificateFields),
    (record: ClientCertificate) => record,
    (raw): ClientCertificate => ({ ...raw, scopes: raw.scopes.map(readScope) }),
  ),
)

function readScope(scope: string): TokenScope {
  const known = tokenScopes.find((name) => name === scope)
  if (known === undefined) throw new Fault('corrupt', `token scope ${scope} is not known`)
  return known
}

export const auditCodec: Codec<AuditEntry> = sealedRecord(
  'audit entry',
  54,
  codecOf(
    message({
      sequence: uint(1),
      atMs: uint(2),
      actor: text(3),
      action: text(4),
      resource: text(5),
      source: text(6),
      outcome: text(7),
    }),
  ),
)

export const counterCodec: Codec<{ readonly value: number }> = sealedRecord(
  'access counter',
  55,
  codecOf(message({ value: uint(1) })),
)

export type BucketPolicyRecord = { readonly document: string; readonly changedMs: number }

export const bucketPolicyCodec: Codec<BucketPolicyRecord> = sealedRecord(
  'bucket policy',
  56,
  codecOf(message({ document: text(1), changedMs: uint(2) })),
)

/** What the room cluster writes at founding (its kind 3). */
export const foundingCodec: Codec<{
  readonly accessKeyId: string
  readonly secretAccessKey: string
}> = sealedRecord(
  'credential',
  3,
  codecOf(message({ accessKeyId: text(1), secretAccessKey: text(2) })),
)

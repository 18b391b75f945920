// Access: who may do what. Contract only. All of it is replicated state in '/raft/system'; every thread of a node sees
// it through caches that are valid while the node's replica of the namespace heard the leader within staleMsMax
// (1 s): a change is effective everywhere within that, and a node that is cut off stops honouring anything.
//
// Tenants own users, groups, policies and buckets. The first tenant is there without being made: the credential that
// the cluster was founded with is its root, and the operator of the cluster, whom nothing is denied.

import type { Policy } from './core/policy.ts'
import type { Principal } from './core/evaluate.ts'

/** The tenant of the cluster's operator: there without a record. */
export const firstTenant = '000000000001'

export type Tenant = {
  /** 12 digits. */
  readonly id: string
  readonly name: string
  readonly createdMs: number
  /** Access keys of its root. */
  readonly keys: readonly string[]
}

export type User = {
  readonly tenant: string
  readonly name: string
  /** 'AIDA...', never given to another user of the name. */
  readonly id: string
  readonly createdMs: number
  /** Sorted. */
  readonly groups: readonly string[]
  readonly policies: readonly string[]
  /** Ids of his access keys. */
  readonly keys: readonly string[]
}

export type Group = {
  readonly tenant: string
  readonly name: string
  readonly createdMs: number
  readonly policies: readonly string[]
}

export type NamedPolicy = {
  readonly tenant: string
  readonly name: string
  /** As it was given. */
  readonly document: string
  readonly createdMs: number
  readonly changedMs: number
}

/** What may be shown of an access key: all but the secret. */
export type AccessKey = {
  readonly id: string
  readonly tenant: string
  /** '': the root of the tenant. */
  readonly user: string
  readonly createdMs: number
  readonly isActive: boolean
  /** Not honoured from then on; 0: until it is deleted. */
  readonly expiresMs: number
}

/** A key whose secret is shown this once. */
export type NewAccessKey = AccessKey & { readonly secretAccessKey: string }

/** What a client token opens: reading, moves and repairs of data, everything else. 'admin' includes the others. */
export const tokenScopes = ['metadata', 'replication', 'admin'] as const
export type TokenScope = (typeof tokenScopes)[number]

export type ClientToken = {
  /** May be shown. */
  readonly id: string
  readonly tenant: string
  readonly name: string
  readonly scopes: readonly TokenScope[]
  readonly createdMs: number
  readonly expiresMs: number
}

/** The text is shown this once: only its hash is kept. */
export type NewClientToken = ClientToken & { readonly token: string }

/** A certificate with which a program or a person shows who it is; nothing of it is secret. */
export type ClientCertificate = {
  /** The beginning of its hash. */
  readonly id: string
  readonly tenant: string
  readonly name: string
  /** Whose it is; '': nobody's in particular. A user who was deleted takes it along. */
  readonly user: string
  readonly scopes: readonly TokenScope[]
  readonly createdMs: number
  readonly expiresMs: number
  /** SHA-256 of the whole certificate, lower-case hexadecimal. */
  readonly hash: string
}

export type AuditEntry = {
  /** Rises by one with every change; gaps are acts without an entry of their own. */
  readonly sequence: number
  readonly atMs: number
  /** 'arn:aws:iam::...:user/alice', 'admin token'. */
  readonly actor: string
  /** 'admin:CreateUser'. */
  readonly action: string
  readonly resource: string
  /** Address of the caller's socket; '' within the node. */
  readonly source: string
  /** 'ok' or the code of the fault. */
  readonly outcome: string
}

/** Who does an administrative act; goes into the audit log. */
export type Actor = { readonly name: string; readonly source: string }

/** Who signs with an access key. */
export type Identity = { readonly secretAccessKey: string; readonly principal: Principal }

export type Access = {
  /**
   * Undefined: there is no such key, or it is not active any more. Fault 'unavailable' when the replica is staler than
   * staleMsMax and nobody can be asked.
   */
  identify(accessKeyId: string): Promise<Identity | undefined>
  /** Of a client token's text; undefined when it is none, expired or revoked. Faults as identify. */
  identifyToken(token: string): Promise<ClientToken | undefined>
  /** Of the hash of a certificate whose key the caller has; undefined as identifyToken. Faults as identify. */
  identifyCertificate(hash: string): Promise<ClientCertificate | undefined>
  /** Of a bucket, by its number, which is never given again: a new bucket of the name has none. */
  bucketPolicy(number: number): Promise<Policy | undefined>
  /** Undefined: there is none. */
  tenant(id: string): Promise<Tenant | undefined>
  readonly admin: AccessAdmin
  close(): void
}

/**
 * Every change is one transaction that also writes its audit entry: there is no change without one. A change that is
 * refused is entered too. Faults: 'invalid', 'not-found', 'exists', 'conflict' (S3 and IAM words in `s3.code`),
 * 'overloaded' at a limit.
 */
export type AccessAdmin = {
  createTenant(by: Actor, name: string): Promise<{ tenant: Tenant; key: NewAccessKey }>
  /** `hasBuckets` is asked within the act. Fault 'conflict' while anything belongs to it. */
  deleteTenant(by: Actor, id: string, hasBuckets: () => Promise<boolean>): Promise<void>
  listTenants(): Promise<readonly Tenant[]>

  createUser(by: Actor, user: UserRef): Promise<User>
  /** Fault 'conflict' (DeleteConflict) while he has keys. */
  deleteUser(by: Actor, user: UserRef): Promise<void>
  listUsers(tenant: string): Promise<readonly User[]>

  createGroup(by: Actor, group: GroupRef): Promise<Group>
  /** Fault 'conflict' (DeleteConflict) while it has members. */
  deleteGroup(by: Actor, group: GroupRef): Promise<void>
  listGroups(tenant: string): Promise<readonly Group[]>
  /** Adds or removes; nothing to do is no fault. */
  setMembership(by: Actor, member: UserRef & { group: string; isMember: boolean }): Promise<User>

  /** Makes or replaces. Fault 'invalid' (MalformedPolicy) with the place. */
  putPolicy(by: Actor, policy: PolicyRef & { document: string }): Promise<NamedPolicy>
  /** Fault 'conflict' (DeleteConflict) while it is attached. */
  deletePolicy(by: Actor, policy: PolicyRef): Promise<void>
  listPolicies(tenant: string): Promise<readonly NamedPolicy[]>
  /** To exactly one of user and group. */
  setAttachment(by: Actor, attachment: Attachment): Promise<void>

  /** user '': the tenant's root. */
  createKey(by: Actor, owner: KeyOwner): Promise<NewAccessKey>
  setKeyActive(by: Actor, key: KeyRef & { isActive: boolean }): Promise<AccessKey>
  deleteKey(by: Actor, key: KeyRef): Promise<void>
  listKeys(owner: KeyOwner): Promise<readonly AccessKey[]>
  /** A new root key; all older ones of the tenant's root are honoured for `overlapMs` more. */
  rotateRoot(by: Actor, tenant: string, overlapMs: number): Promise<NewAccessKey>

  createToken(by: Actor, token: TokenRequest): Promise<NewClientToken>
  deleteToken(by: Actor, token: { tenant: string; id: string }): Promise<void>
  listTokens(tenant: string): Promise<readonly ClientToken[]>

  /** Fault 'exists' for one that is known already, 'not-found' for a user that is not there. */
  addCertificate(by: Actor, certificate: CertificateRequest): Promise<ClientCertificate>
  deleteCertificate(by: Actor, certificate: { tenant: string; id: string }): Promise<void>
  listCertificates(tenant: string): Promise<readonly ClientCertificate[]>

  /** `document` undefined: none any more. */
  setBucketPolicy(by: Actor, bucket: BucketRef & { document: string | undefined }): Promise<void>
  bucketPolicyDocument(number: number): Promise<string | undefined>

  /** Newest first, at most `limit` (1,000), older than the sequence `before`. */
  listAudit(request?: { before?: number; limit?: number }): Promise<readonly AuditEntry[]>
  /** An act of another room, after it was done or refused. Never fails the act: what cannot be entered is journaled. */
  recordAct(by: Actor, act: { action: string; resource: string; outcome: string }): Promise<void>
}

export type UserRef = { readonly tenant: string; readonly user: string }
export type GroupRef = { readonly tenant: string; readonly group: string }
export type PolicyRef = { readonly tenant: string; readonly policy: string }
export type KeyOwner = { readonly tenant: string; readonly user: string }
/** The tenant that the key must belong to. */
export type KeyRef = { readonly tenant: string; readonly key: string }
export type BucketRef = { readonly name: string; readonly number: number }
export type Attachment = PolicyRef & {
  readonly user?: string
  readonly group?: string
  readonly isAttached: boolean
}
export type CertificateRequest = {
  readonly tenant: string
  readonly name: string
  readonly user: string
  readonly scopes: readonly TokenScope[]
  readonly expiresMs: number
  /** As ClientCertificate's. */
  readonly hash: string
}
export type TokenRequest = {
  readonly tenant: string
  readonly name: string
  readonly scopes: readonly TokenScope[]
  readonly lifeMs: number
}

// Access over the system namespace: answers who somebody is from this thread's caches, and changes rights by
// transactions.

import { equalSecret, sha256, utf8Encode } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import {
  type Access,
  type ClientCertificate,
  firstTenant,
  type Identity,
  type Tenant,
} from './access.ts'
import { createAccessAdmin } from './access-admin.ts'
import type { Principal } from './core/evaluate.ts'
import { rootArn, userArn } from './core/names.ts'
import type { Policy } from './core/policy.ts'
import {
  bucketPolicyCodec,
  bucketPolicyKey,
  certificateCodec,
  certificateKey,
  foundingCodec,
  foundingKey,
  groupCodec,
  groupKey,
  keyCodec,
  keyKey,
  type KeyRecord,
  policyCodec,
  policyKey,
  tenantCodec,
  tenantKey,
  tokenCodec,
  tokenKey,
  type TokenRecord,
  userCodec,
  userKey,
} from './core/records.ts'
import { parseToken } from './core/token.ts'
import { certificateIdOf } from './certificate-acts.ts'
import { foundingRecord } from './key-acts.ts'
import { AccessSight, type ReadRecord } from './sight.ts'
import { unwrapSecret, type Wrapping } from './wrap.ts'

export type AccessOptions = {
  /** How old the last word of the leader may be. Default 1,000 ms. */
  readonly staleMsMax?: number
  /** Cached principals, tokens and policies at most, of each. Default 4,096. */
  readonly cachedMax?: number
  /** Keys that secrets are wrapped with at rest. Default: none. */
  readonly wrapping?: Wrapping
  /** Entries of the audit log at most (default 10,000), and for how long (default 400 days). */
  readonly auditEntriesMax?: number
  readonly auditAgeMsMax?: number
}

export type AccessDeps = {
  readonly host: Pick<Host, 'clock' | 'random' | 'journal'>
  /** '/raft/system', opened on this thread. */
  readonly system: Keyspace
}

const accessKeyMax = 128

/** Asks for nothing before it is asked. */
export function openAccess(deps: AccessDeps, options: AccessOptions = {}): Access {
  const { host, system } = deps
  const { staleMsMax = 1_000, cachedMax = 4_096 } = options
  const wrapping = options.wrapping ?? { current: undefined, older: [] }
  const sight = new AccessSight(system, { staleMsMax, cachedMax })
  const isOver = (expiresMs: number): boolean => expiresMs !== 0 && expiresMs <= host.clock.wallMs()
  return {
    async identify(accessKeyId) {
      if (accessKeyId === '' || accessKeyId.length > accessKeyMax) return undefined
      const found = await sight.find(`key/${accessKeyId}`, (read) =>
        loadIdentity(accessKeyId, { read, sight, wrapping }),
      )
      return found === undefined || isOver(found.expiresMs) ? undefined : found.identity
    },
    async identifyToken(token) {
      const parsed = parseToken(token)
      if (parsed === undefined) return undefined
      const found = await sight.find(`token/${parsed.id}`, (read) => loadToken(parsed.id, read))
      if (found === undefined || !equalSecret(found.hash, sha256(utf8Encode(parsed.secret)))) {
        return undefined
      }
      if (isOver(found.expiresMs)) return undefined
      const { hash: _, ...shown } = found
      return shown
    },
    async identifyCertificate(hash) {
      if (!/^[0-9a-f]{64}$/.test(hash)) return undefined
      const id = certificateIdOf(hash)
      const found = await sight.find(`certificate/${id}`, (read) => loadCertificate(id, read))
      return found?.hash !== hash || isOver(found.expiresMs) ? undefined : found
    },
    bucketPolicy: (number) =>
      sight.find(`bucket/${number}`, (read) => loadBucketPolicy(number, { read, sight }), true),
    tenant: (id) => sight.find(`tenant/${id}`, (read) => loadTenant(id, read)),
    admin: createAccessAdmin(deps, {
      wrapping,
      auditEntriesMax: options.auditEntriesMax ?? 10_000,
      auditAgeMsMax: options.auditAgeMsMax ?? 400 * 86_400_000,
      wrote: (written) => sight.wrote(written),
    }),
    close: () => undefined,
  }
}

type Loading = { readonly read: ReadRecord; readonly sight: AccessSight }
type Known = { readonly identity: Identity; readonly expiresMs: number }

async function loadIdentity(
  accessKeyId: string,
  loading: Loading & { readonly wrapping: Wrapping },
): Promise<Known | undefined> {
  const { read, wrapping } = loading
  const kv = await read(keyKey(accessKeyId))
  const record =
    kv === undefined ? await readFounding(accessKeyId, read) : keyCodec.decode(kv.value)
  if (record === undefined || record.isInactive) return undefined
  const principal = await loadPrincipal(record, loading)
  if (principal === undefined) return undefined
  const secretAccessKey = unwrapSecret(record, wrapping)
  return { identity: { secretAccessKey, principal }, expiresMs: record.expiresMs }
}

/** What clusters were founded with. */
async function readFounding(id: string, read: ReadRecord): Promise<KeyRecord | undefined> {
  const kv = await read(foundingKey(id))
  return kv === undefined
    ? undefined
    : foundingRecord(id, foundingCodec.decode(kv.value).secretAccessKey)
}

async function loadPrincipal(
  { tenant, user }: KeyRecord,
  { read, sight }: Loading,
): Promise<Principal | undefined> {
  if (user === '') {
    if (tenant === firstTenant) return { kind: 'operator', tenant, arn: rootArn(tenant) }
    const isThere = (await read(tenantKey(tenant))) !== undefined
    return isThere ? { kind: 'owner', tenant, arn: rootArn(tenant) } : undefined
  }
  const kv = await read(userKey(tenant, user))
  if (kv === undefined) return undefined
  const record = userCodec.decode(kv.value)
  const names = new Set(record.policies)
  for (const group of record.groups) {
    const found = await read(groupKey(tenant, group))
    if (found !== undefined) {
      for (const policy of groupCodec.decode(found.value).policies) names.add(policy)
    }
  }
  const policies: Policy[] = []
  for (const name of [...names].sort()) {
    const found = await read(policyKey(tenant, name))
    if (found === undefined) continue
    policies.push(sight.compile(found, policyCodec.decode(found.value).document, 'identity'))
  }
  const arn = userArn(tenant, user)
  return { kind: 'user', tenant, arn, name: user, id: record.id, policies }
}

async function loadToken(id: string, read: ReadRecord): Promise<TokenRecord | undefined> {
  const kv = await read(tokenKey(id))
  if (kv === undefined) return undefined
  const record = tokenCodec.decode(kv.value)
  return { ...record, hash: record.hash.slice() }
}

async function loadCertificate(
  id: string,
  read: ReadRecord,
): Promise<ClientCertificate | undefined> {
  const kv = await read(certificateKey(id))
  if (kv === undefined) return undefined
  const record = certificateCodec.decode(kv.value)
  const { tenant, user } = record
  return user === '' || (await read(userKey(tenant, user))) !== undefined ? record : undefined
}

async function loadTenant(id: string, read: ReadRecord): Promise<Tenant | undefined> {
  const kv = await read(tenantKey(id))
  if (kv !== undefined) return tenantCodec.decode(kv.value)
  return id === firstTenant ? { id, name: 'main', createdMs: 0, keys: [] } : undefined
}

async function loadBucketPolicy(
  number: number,
  { read, sight }: Loading,
): Promise<Policy | undefined> {
  const kv = await read(bucketPolicyKey(number))
  if (kv === undefined) return undefined
  return sight.compile(kv, bucketPolicyCodec.decode(kv.value).document, 'resource')
}

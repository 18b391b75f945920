// Access keys and client tokens: made, switched, deleted, rotated. The secret of a key is shown once, when it is made;
// of a token's only the hash is stored.
//
// The root of a tenant has its keys in the tenant's record; the first tenant has none as long as its keys are those of
// the founding. Rotation moves such a credential to access/key, so that it can be given an end.

import { Fault, sha256, utf8Encode } from '../base/index.ts'
import {
  type AccessAdmin,
  type AccessKey,
  type ClientToken,
  firstTenant,
  type KeyOwner,
  type NewAccessKey,
  type TokenRequest,
  tokenScopes,
} from './access.ts'
import { type Draft, listAll } from './acts.ts'
import { base32Text, base64Text, checkName, limits, rootArn, userArn } from './core/names.ts'
import {
  foundingCodec,
  foundingKey,
  foundingPrefix,
  keyCodec,
  keyKey,
  type KeyRecord,
  tenantCodec,
  tenantKey,
  tokenCodec,
  tokenKey,
  tokenPrefix,
  userCodec,
  userKey,
} from './core/records.ts'
import { formatToken, tokenIdCharacters, tokenSecretCharacters } from './core/token.ts'
import { checkLimit, noSuch, readHolder, readTenant, type Rooms } from './tenants.ts'
import { wrapSecret } from './wrap.ts'

const tokenLifeMsMax = 10 * 366 * 86_400_000
const overlapMsMax = 90 * 86_400_000

type KeyActs = Pick<
  AccessAdmin,
  | 'createKey'
  | 'setKeyActive'
  | 'deleteKey'
  | 'listKeys'
  | 'rotateRoot'
  | 'createToken'
  | 'deleteToken'
  | 'listTokens'
>

export function createKeyActs(rooms: Rooms): KeyActs {
  const { deps, acts, wrapping } = rooms
  const { host, system } = deps
  const local: Draft = localDraft(rooms)
  return {
    async createKey(by, owner) {
      const act = { by, action: 'admin:CreateAccessKey', resource: arnOf(owner) }
      return acts.run(act, async (draft) => {
        const keys = await keysOf(draft, owner)
        checkLimit(keys.length, limits.keysPerUser, 'access keys of one user')
        const made = draftKey({ host, wrapping, draft }, owner)
        await putKeysOf(draft, owner, [...keys, made.id].sort())
        return made
      })
    },
    async setKeyActive(by, { tenant, key, isActive }) {
      const act = { by, action: 'admin:UpdateAccessKey', resource: keyResource(tenant, key) }
      return acts.run(act, async (draft) => {
        const record = await readKey(draft, tenant, key)
        const changed = { ...record, isInactive: !isActive }
        draft.put(keyKey(key), keyCodec.encode(changed))
        return shown(changed)
      })
    },
    async deleteKey(by, { tenant, key }) {
      const act = { by, action: 'admin:DeleteAccessKey', resource: keyResource(tenant, key) }
      await acts.run(act, async (draft) => {
        const record = await readKey(draft, tenant, key)
        const keys = await keysOf(draft, record)
        draft.delete(keyKey(key))
        await putKeysOf(
          draft,
          record,
          keys.filter((id) => id !== key),
        )
      })
    },
    async listKeys(owner) {
      const keys: AccessKey[] = []
      for (const id of await keysOf(local, owner)) {
        const kv = await local.read(keyKey(id))
        if (kv !== undefined) keys.push(shown(keyCodec.decode(kv.value)))
      }
      if (owner.tenant !== firstTenant || owner.user !== '') return keys
      return [...(await foundingKeys(local)).map(shown), ...keys]
    },
    rotateRoot: (by, tenant, overlapMs) => rotateRoot(rooms, { by, tenant, overlapMs }),
    async createToken(by, request) {
      checkToken(request)
      const { tenant, name, scopes, lifeMs } = request
      const act = { by, action: 'admin:CreateClientToken', resource: tokenResource(tenant, name) }
      return acts.run(act, async (draft) => {
        await readTenant(draft, tenant)
        checkLimit(await draft.count(tokenPrefix), limits.tokens, 'client tokens')
        const id = base32Text(host.random.bytes(tokenIdCharacters))
        const secret = base64Text(host.random.bytes(tokenSecretCharacters))
        const createdMs = host.clock.wallMs()
        const sorted = tokenScopes.filter((scope) => scopes.includes(scope))
        const made: ClientToken = {
          id,
          tenant,
          name,
          scopes: sorted,
          createdMs,
          expiresMs: createdMs + lifeMs,
        }
        const hash = sha256(utf8Encode(secret))
        draft.put(tokenKey(id), tokenCodec.encode({ ...made, hash }))
        return { ...made, token: formatToken(id, secret) }
      })
    },
    async deleteToken(by, { tenant, id }) {
      const act = { by, action: 'admin:DeleteClientToken', resource: tokenResource(tenant, id) }
      await acts.run(act, async (draft) => {
        const kv = await readHolder(draft, tokenKey(id), { tenant, what: `token ${id}` })
        if (tokenCodec.decode(kv.value).tenant !== tenant) throw noSuch(`token ${id}`)
        draft.delete(tokenKey(id))
      })
    },
    async listTokens(tenant) {
      const found = await listAll(system, tokenPrefix)
      const records = found.map((kv) => tokenCodec.decode(kv.value))
      return records.filter((record) => record.tenant === tenant).map(withoutHash)
    },
  }
}

async function rotateRoot(
  { deps, acts, wrapping }: Rooms,
  {
    by,
    tenant,
    overlapMs,
  }: { by: Parameters<KeyActs['rotateRoot']>[0]; tenant: string; overlapMs: number },
): Promise<NewAccessKey> {
  if (!Number.isSafeInteger(overlapMs) || overlapMs < 0 || overlapMs > overlapMsMax) {
    throw new Fault('invalid', `an overlap is 0 to ${overlapMsMax} ms`)
  }
  const { host } = deps
  const act = { by, action: 'admin:RotateRootCredential', resource: rootArn(tenant) }
  return acts.run(act, async (draft) => {
    const owner = { tenant, user: '' }
    const nowMs = host.clock.wallMs()
    const endMs = nowMs + Math.max(overlapMs, 1)
    const kept: string[] = []
    const old: KeyRecord[] = []
    for (const id of await keysOf(draft, owner)) {
      const kv = await draft.read(keyKey(id))
      if (kv !== undefined) old.push(keyCodec.decode(kv.value))
    }
    if (tenant === firstTenant) old.push(...(await foundingKeys(draft)))
    for (const record of old) {
      draft.delete(foundingKey(record.id))
      if (overlapMs === 0 || (record.expiresMs !== 0 && record.expiresMs <= nowMs)) {
        draft.delete(keyKey(record.id))
        continue
      }
      const expiresMs = record.expiresMs === 0 ? endMs : Math.min(record.expiresMs, endMs)
      draft.put(keyKey(record.id), keyCodec.encode({ ...record, expiresMs }))
      kept.push(record.id)
    }
    const made = draftKey({ host, wrapping, draft }, owner)
    await putKeysOf(draft, owner, [...kept, made.id].sort())
    return made
  })
}

/** A new key of the owner; the owner's own record is the caller's to change. */
export function draftKey(
  {
    host,
    wrapping,
    draft,
  }: Pick<Rooms, 'wrapping'> & { draft: Draft; host: Rooms['deps']['host'] },
  { tenant, user }: KeyOwner,
): NewAccessKey {
  const id = `AKIA${base32Text(host.random.bytes(16))}`
  const secretAccessKey = base64Text(host.random.bytes(40))
  const record: KeyRecord = {
    id,
    tenant,
    user,
    ...wrapSecret(secretAccessKey, id, { wrapping, host }),
    createdMs: host.clock.wallMs(),
    isInactive: false,
    expiresMs: 0,
  }
  draft.put(keyKey(id), keyCodec.encode(record))
  return { ...shown(record), secretAccessKey }
}

export async function tokensOf(draft: Draft, tenant: string): Promise<readonly ClientToken[]> {
  const records = (await draft.list(tokenPrefix)).map((kv) => tokenCodec.decode(kv.value))
  return records.filter((record) => record.tenant === tenant)
}

async function keysOf(draft: Draft, { tenant, user }: KeyOwner): Promise<readonly string[]> {
  if (user === '') return (await readTenant(draft, tenant)).keys
  const kv = await readHolder(draft, userKey(tenant, user), { tenant, what: `user ${user}` })
  return userCodec.decode(kv.value).keys
}

async function putKeysOf(
  draft: Draft,
  { tenant, user }: KeyOwner,
  keys: readonly string[],
): Promise<void> {
  if (user === '') {
    const record = await readTenant(draft, tenant)
    return draft.put(tenantKey(tenant), tenantCodec.encode({ ...record, keys }))
  }
  const kv = await readHolder(draft, userKey(tenant, user), { tenant, what: `user ${user}` })
  const record = userCodec.decode(kv.value)
  draft.put(userKey(tenant, user), userCodec.encode({ ...record, keys }))
}

/** Fault 'not-found' also for a key of another tenant: it is not told from one that does not exist. */
async function readKey(draft: Draft, tenant: string, key: string): Promise<KeyRecord> {
  const kv = await readHolder(draft, keyKey(key), { tenant, what: `access key ${key}` })
  const record = keyCodec.decode(kv.value)
  if (record.tenant !== tenant) throw noSuch(`access key ${key} of tenant ${tenant}`)
  return record
}

async function foundingKeys(draft: Draft): Promise<readonly KeyRecord[]> {
  const kvs = await draft.list(foundingPrefix)
  return kvs.map((kv) => {
    const { accessKeyId, secretAccessKey } = foundingCodec.decode(kv.value)
    return foundingRecord(accessKeyId, secretAccessKey)
  })
}

/** A credential of the founding as a root key of the first tenant. */
export function foundingRecord(id: string, secretAccessKey: string): KeyRecord {
  return {
    id,
    tenant: firstTenant,
    user: '',
    secret: utf8Encode(secretAccessKey),
    wrappedBy: '',
    createdMs: 0,
    isInactive: false,
    expiresMs: 0,
  }
}

function shown({ id, tenant, user, createdMs, isInactive, expiresMs }: KeyRecord): AccessKey {
  return { id, tenant, user, createdMs, isActive: !isInactive, expiresMs }
}

function withoutHash({ id, tenant, name, scopes, createdMs, expiresMs }: ClientToken): ClientToken {
  return { id, tenant, name, scopes, createdMs, expiresMs }
}

function checkToken({ name, scopes, lifeMs }: TokenRequest): void {
  checkName(name, "a token's name")
  if (scopes.length === 0 || !scopes.every((scope) => tokenScopes.includes(scope))) {
    throw new Fault('invalid', `a token has at least one scope of ${tokenScopes.join(', ')}`)
  }
  if (!Number.isSafeInteger(lifeMs) || lifeMs < 1 || lifeMs > tokenLifeMsMax) {
    throw new Fault('invalid', 'a token lives at most ten years')
  }
}

/** Reads without deciding anything on them. */
function localDraft({ deps: { system } }: Rooms): Draft {
  return {
    read: async (key) => (await system.range({ key })).kvs[0],
    list: (prefix) => listAll(system, prefix),
    count: async () => 0,
    put: () => undefined,
    delete: () => undefined,
  }
}

const arnOf = ({ tenant, user }: KeyOwner): string =>
  user === '' ? rootArn(tenant) : userArn(tenant, user)
const keyResource = (tenant: string, key: string): string =>
  `arn:aws:iam::${tenant}:access-key/${key}`
const tokenResource = (tenant: string, token: string): string =>
  `arn:aws:iam::${tenant}:client-token/${token}`

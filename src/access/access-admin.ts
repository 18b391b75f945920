// Changes of rights: what each act reads, checks and writes. How they are committed and entered is acts.ts; keys and
// tokens are in key-acts.ts.

import { Fault, prefixEnd } from '../base/index.ts'
import type { AccessAdmin, AuditEntry, Group, NamedPolicy, Tenant, User } from './access.ts'
import { firstTenant } from './access.ts'
import { Acts, type ActsDeps, type ActsOptions, type Draft, listAll, readOne } from './acts.ts'
import {
  base32Text,
  checkName,
  checkTenantId,
  groupArn,
  limits,
  policyArn,
  rootArn,
  tenantIdOf,
  userArn,
} from './core/names.ts'
import { checkBucketResources, parsePolicy } from './core/policy.ts'
import {
  certificateKey,
  auditCodec,
  auditKey,
  auditPrefix,
  bucketPolicyCodec,
  bucketPolicyKey,
  groupCodec,
  groupKey,
  groupsOf,
  keyKey,
  policiesOf,
  policyCodec,
  policyKey,
  tenantCodec,
  tenantKey,
  tenantPrefix,
  userCodec,
  userKey,
  usersOf,
} from './core/records.ts'
import { certificatesOf, createCertificateActs } from './certificate-acts.ts'
import { createKeyActs, draftKey, tokensOf } from './key-acts.ts'
import { checkLimit, readHolder, readTenant, type Rooms } from './tenants.ts'
import type { Wrapping } from './wrap.ts'

export type AdminOptions = ActsOptions & { readonly wrapping: Wrapping }

export function createAccessAdmin(deps: ActsDeps, options: AdminOptions): AccessAdmin {
  const acts = new Acts(deps, options)
  const rooms: Rooms = { deps, acts, wrapping: options.wrapping }
  return {
    ...tenantActs(rooms),
    ...userActs(rooms),
    ...groupActs(rooms),
    ...policyActs(rooms),
    ...createKeyActs(rooms),
    ...createCertificateActs(rooms),
    ...auditActs(rooms),
  }
}

type Part<K extends keyof AccessAdmin> = Pick<AccessAdmin, K>

function tenantActs({
  deps,
  acts,
  wrapping,
}: Rooms): Part<'createTenant' | 'deleteTenant' | 'listTenants'> {
  const { host, system } = deps
  return {
    async createTenant(by, name) {
      checkName(name, "a tenant's name")
      return acts.run({ by, action: 'admin:CreateTenant', resource: name }, async (draft) => {
        const known = (await draft.list(tenantPrefix)).map((kv) => tenantCodec.decode(kv.value))
        if (name === 'main' || known.some((tenant) => tenant.name === name)) {
          throw exists(`a tenant is called ${name}`)
        }
        checkLimit(known.length, limits.tenants, 'tenants')
        const id = tenantIdOf(host.random.bytes(12))
        if (known.some((tenant) => tenant.id === id)) throw new Fault('conflict', 'try again')
        const key = draftKey({ host, wrapping, draft }, { tenant: id, user: '' })
        const tenant: Tenant = { id, name, createdMs: host.clock.wallMs(), keys: [key.id] }
        draft.put(tenantKey(id), tenantCodec.encode(tenant))
        return { tenant, key }
      })
    },
    async deleteTenant(by, id, hasBuckets) {
      const act = { by, action: 'admin:DeleteTenant', resource: rootArn(id) }
      await acts.run(act, async (draft) => {
        const tenant = await readTenant(draft, id)
        if (id === firstTenant) throw inUse('the first tenant is the operator of the cluster')
        const owned = [usersOf(id), groupsOf(id), policiesOf(id)]
        for (const prefix of owned) {
          if ((await draft.count(prefix)) > 0) throw inUse(`tenant ${id} has users or policies`)
        }
        if ((await tokensOf(draft, id)).length > 0) throw inUse(`tenant ${id} has client tokens`)
        if ((await certificatesOf(draft, id)).length > 0) {
          throw inUse(`tenant ${id} has client certificates`)
        }
        if (await hasBuckets()) throw inUse(`tenant ${id} has buckets`)
        for (const key of tenant.keys) draft.delete(keyKey(key))
        draft.delete(tenantKey(id))
      })
    },
    async listTenants() {
      const found = (await listAll(system, tenantPrefix)).map((kv) => tenantCodec.decode(kv.value))
      if (found.some(({ id }) => id === firstTenant)) return found
      return [{ id: firstTenant, name: 'main', createdMs: 0, keys: [] }, ...found]
    },
  }
}

function userActs({
  deps,
  acts,
}: Rooms): Part<'createUser' | 'deleteUser' | 'listUsers' | 'setMembership'> {
  const { host, system } = deps
  return {
    async createUser(by, { tenant, user }) {
      checkName(user, "a user's name")
      const act = { by, action: 'admin:CreateUser', resource: userArn(tenant, user) }
      return acts.run(act, async (draft) => {
        await readTenant(draft, tenant)
        if ((await draft.read(userKey(tenant, user))) !== undefined) {
          throw exists(`there is a user ${user}`)
        }
        checkLimit(await draft.count(usersOf(tenant)), limits.usersPerTenant, 'users')
        const record: User = {
          tenant,
          name: user,
          id: `AIDA${base32Text(host.random.bytes(17))}`,
          createdMs: host.clock.wallMs(),
          groups: [],
          policies: [],
          keys: [],
        }
        draft.put(userKey(tenant, user), userCodec.encode(record))
        return record
      })
    },
    async deleteUser(by, { tenant, user }) {
      const act = { by, action: 'admin:DeleteUser', resource: userArn(tenant, user) }
      await acts.run(act, async (draft) => {
        const record = await readUser(draft, tenant, user)
        if (record.keys.length > 0) throw inUse(`${user} has access keys: delete them first`)
        // One that stayed would open the cluster for the next user of this name.
        for (const { id, user: whose } of await certificatesOf(draft, tenant)) {
          if (whose === user) draft.delete(certificateKey(id))
        }
        draft.delete(userKey(tenant, user))
      })
    },
    async listUsers(tenant) {
      checkTenantId(tenant)
      return (await listAll(system, usersOf(tenant))).map((kv) => userCodec.decode(kv.value))
    },
    async setMembership(by, { tenant, user, group, isMember }) {
      const action = isMember ? 'admin:AddUserToGroup' : 'admin:RemoveUserFromGroup'
      const act = { by, action, resource: `${groupArn(tenant, group)} ${userArn(tenant, user)}` }
      return acts.run(act, async (draft) => {
        const record = await readUser(draft, tenant, user)
        if (isMember) await readGroup(draft, tenant, group)
        const groups = withOrWithout(record.groups, group, isMember)
        checkLimit(groups.length - 1, limits.groupsPerUser, 'groups of one user')
        const changed = { ...record, groups }
        draft.put(userKey(tenant, user), userCodec.encode(changed))
        return changed
      })
    },
  }
}

function groupActs({ deps, acts }: Rooms): Part<'createGroup' | 'deleteGroup' | 'listGroups'> {
  const { host, system } = deps
  return {
    async createGroup(by, { tenant, group }) {
      checkName(group, "a group's name")
      const act = { by, action: 'admin:CreateGroup', resource: groupArn(tenant, group) }
      return acts.run(act, async (draft) => {
        await readTenant(draft, tenant)
        if ((await draft.read(groupKey(tenant, group))) !== undefined) {
          throw exists(`there is a group ${group}`)
        }
        checkLimit(await draft.count(groupsOf(tenant)), limits.groupsPerTenant, 'groups')
        const record: Group = {
          tenant,
          name: group,
          createdMs: host.clock.wallMs(),
          policies: [],
        }
        draft.put(groupKey(tenant, group), groupCodec.encode(record))
        return record
      })
    },
    async deleteGroup(by, { tenant, group }) {
      const act = { by, action: 'admin:DeleteGroup', resource: groupArn(tenant, group) }
      await acts.run(act, async (draft) => {
        await readGroup(draft, tenant, group)
        const users = await draft.list(usersOf(tenant))
        if (users.some((kv) => userCodec.decode(kv.value).groups.includes(group))) {
          throw inUse(`${group} has members`)
        }
        draft.delete(groupKey(tenant, group))
      })
    },
    async listGroups(tenant) {
      checkTenantId(tenant)
      return (await listAll(system, groupsOf(tenant))).map((kv) => groupCodec.decode(kv.value))
    },
  }
}

function policyActs({
  deps,
  acts,
}: Rooms): Part<
  | 'putPolicy'
  | 'deletePolicy'
  | 'listPolicies'
  | 'setAttachment'
  | 'setBucketPolicy'
  | 'bucketPolicyDocument'
> {
  const { host, system } = deps
  return {
    async putPolicy(by, { tenant, policy, document }) {
      checkName(policy, "a policy's name")
      const act = { by, action: 'admin:PutPolicy', resource: policyArn(tenant, policy) }
      return acts.run(act, async (draft) => {
        await readTenant(draft, tenant)
        parsePolicy(document, 'identity')
        const found = await draft.read(policyKey(tenant, policy))
        if (found === undefined) {
          checkLimit(await draft.count(policiesOf(tenant)), limits.policiesPerTenant, 'policies')
        }
        const changedMs = host.clock.wallMs()
        const createdMs =
          found === undefined ? changedMs : policyCodec.decode(found.value).createdMs
        const record: NamedPolicy = { tenant, name: policy, document, createdMs, changedMs }
        draft.put(policyKey(tenant, policy), policyCodec.encode(record))
        return record
      })
    },
    async deletePolicy(by, { tenant, policy }) {
      const act = { by, action: 'admin:DeletePolicy', resource: policyArn(tenant, policy) }
      await acts.run(act, async (draft) => {
        await readPolicy(draft, tenant, policy)
        const users = (await draft.list(usersOf(tenant))).map((kv) => userCodec.decode(kv.value))
        const groups = (await draft.list(groupsOf(tenant))).map((kv) => groupCodec.decode(kv.value))
        const holder = [...users, ...groups].find(({ policies }) => policies.includes(policy))
        if (holder !== undefined) throw inUse(`${policy} is attached to ${holder.name}`)
        draft.delete(policyKey(tenant, policy))
      })
    },
    async listPolicies(tenant) {
      checkTenantId(tenant)
      return (await listAll(system, policiesOf(tenant))).map((kv) => policyCodec.decode(kv.value))
    },
    async setAttachment(by, { tenant, policy, user, group, isAttached }) {
      if ((user === undefined) === (group === undefined)) {
        throw new Fault('invalid', 'a policy is attached to a user or to a group')
      }
      const action = `admin:${isAttached ? 'Attach' : 'Detach'}Policy`
      const holder = user === undefined ? groupArn(tenant, group ?? '') : userArn(tenant, user)
      const act = { by, action, resource: `${policyArn(tenant, policy)} ${holder}` }
      await acts.run(act, async (draft) => {
        if (isAttached) await readPolicy(draft, tenant, policy)
        const change = (policies: readonly string[]): readonly string[] => {
          const changed = withOrWithout(policies, policy, isAttached)
          checkLimit(changed.length - 1, limits.policiesPerHolder, 'policies attached to one')
          return changed
        }
        if (user !== undefined) {
          const record = await readUser(draft, tenant, user)
          const changed = { ...record, policies: change(record.policies) }
          draft.put(userKey(tenant, user), userCodec.encode(changed))
        } else {
          const record = await readGroup(draft, tenant, group ?? '')
          const changed = { ...record, policies: change(record.policies) }
          draft.put(groupKey(tenant, record.name), groupCodec.encode(changed))
        }
      })
    },
    async setBucketPolicy(by, { name, number, document }) {
      const action = document === undefined ? 's3:DeleteBucketPolicy' : 's3:PutBucketPolicy'
      await acts.run({ by, action, resource: `arn:aws:s3:::${name}` }, async (draft) => {
        if (document === undefined) return draft.delete(bucketPolicyKey(number))
        checkBucketResources(parsePolicy(document, 'resource'), `arn:aws:s3:::${name}`)
        const record = { document, changedMs: host.clock.wallMs() }
        draft.put(bucketPolicyKey(number), bucketPolicyCodec.encode(record))
      })
    },
    async bucketPolicyDocument(number) {
      const kv = await readOne(system, bucketPolicyKey(number))
      return kv === undefined ? undefined : bucketPolicyCodec.decode(kv.value).document
    },
  }
}

const auditPageMax = 1_000

function auditActs({ deps, acts }: Rooms): Part<'listAudit' | 'recordAct'> {
  return {
    async listAudit({ before, limit = 100 } = {}) {
      const rangeEnd = before === undefined ? prefixEnd(auditPrefix) : auditKey(before)
      const { kvs } = await deps.system.range({
        key: auditPrefix,
        rangeEnd,
        limit: Math.min(Math.max(limit, 1), auditPageMax),
        isReverse: true,
      })
      const entries = kvs.map((kv): AuditEntry => auditCodec.decode(kv.value))
      return entries.filter((entry) => !acts.isTooOld(entry))
    },
    recordAct: (by, { action, resource, outcome }) =>
      acts.record({ by, action, resource }, outcome),
  }
}

async function readUser(draft: Draft, tenant: string, user: string): Promise<User> {
  const kv = await readHolder(draft, userKey(tenant, user), { tenant, what: `user ${user}` })
  return userCodec.decode(kv.value)
}

async function readGroup(draft: Draft, tenant: string, group: string): Promise<Group> {
  const kv = await readHolder(draft, groupKey(tenant, group), { tenant, what: `group ${group}` })
  return groupCodec.decode(kv.value)
}

async function readPolicy(draft: Draft, tenant: string, policy: string): Promise<void> {
  await readHolder(draft, policyKey(tenant, policy), { tenant, what: `policy ${policy}` })
}

/** Sorted, so that the same members are the same bytes. */
function withOrWithout(names: readonly string[], name: string, isIn: boolean): readonly string[] {
  const others = names.filter((other) => other !== name)
  return isIn ? [...others, name].sort() : others
}

function exists(what: string): Fault {
  return new Fault('exists', what, { s3: { code: 'EntityAlreadyExists', status: 409 } })
}

function inUse(what: string): Fault {
  return new Fault('conflict', what, { s3: { code: 'DeleteConflict', status: 409 } })
}

// What each call needs while authentication is on: etcd's rules (server/etcdserver/apply_auth.go, auth/store.go,
// api/v3rpc/maintenance.go, 3.5), in one table. A call that is not in it is root's.
//
// Stricter than etcd, whose gaps these are: leases, compaction and alarms need a user; the keys of a lease are shown
// to those who may read them; moving the leader is root's. Members and status stay open, as clients ask for them
// before they have a token.

import { prefixEnd } from '../../base/index.ts'
import { linePrefix, type RequestOptions } from '../../keyspace/index.ts'
import type { Context, Method } from './context.ts'
import type {
  EtcdCompare,
  EtcdDelete,
  EtcdOperation,
  EtcdPut,
  EtcdRange,
  EtcdTxn,
} from '../../keyspace/etcd/wire.ts'
import type { Permit } from './gate.ts'

type Asked = { readonly context: Context; readonly options: RequestOptions }
type Rule = (permit: Permit, request: never, asked: Asked) => void | Promise<void>

const open: Rule = () => undefined
const user: Rule = (permit) => permit.requireUser()
const root: Rule = (permit) => permit.requireRoot()

/** Refusals of etcd; settles when the call may run. */
export async function checkRule(
  method: Method,
  permit: Permit,
  asked: Asked & { readonly request: unknown },
): Promise<void> {
  if (!permit.state.isEnabled) return
  const rule = rules[method.name] ?? root
  await rule(permit, asked.request as never, asked)
}

export function hasRule(name: string): boolean {
  return rules[name] !== undefined
}

const rules: Readonly<Record<string, Rule>> = {
  'etcdserverpb.KV/Range': (permit, { key, rangeEnd }: EtcdRange) =>
    permit.requireRead(key, rangeEnd),
  'etcdserverpb.KV/Put': checkPut,
  'etcdserverpb.KV/DeleteRange': (permit, request: EtcdDelete) => checkDelete(permit, request),
  'etcdserverpb.KV/Txn': checkTxn,
  'etcdserverpb.KV/Compact': user,
  // Each watch by itself, when it is created and whenever users or roles change.
  'etcdserverpb.Watch/Watch': open,
  'etcdserverpb.Lease/LeaseGrant': user,
  'etcdserverpb.Lease/LeaseKeepAlive': user,
  'etcdserverpb.Lease/LeaseLeases': user,
  'etcdserverpb.Lease/LeaseRevoke': async (permit, request: { id: number | bigint }, asked) => {
    permit.requireUser()
    await forKeysOf(request.id, asked, (key) => permit.requireWrite(key))
  },
  'etcdserverpb.Lease/LeaseTimeToLive': async (
    permit,
    request: { id: number | bigint; keys: boolean },
    asked,
  ) => {
    permit.requireUser()
    if (request.keys) await forKeysOf(request.id, asked, (key) => permit.requireRead(key))
  },
  'etcdserverpb.Cluster/MemberList': open,
  'etcdserverpb.Cluster/MemberAdd': root,
  'etcdserverpb.Cluster/MemberRemove': root,
  'etcdserverpb.Cluster/MemberUpdate': root,
  'etcdserverpb.Cluster/MemberPromote': root,
  'etcdserverpb.Maintenance/Alarm': (permit, request: { action: number }) =>
    request.action === 0 ? permit.requireUser() : permit.requireRoot(),
  'etcdserverpb.Maintenance/Status': open,
  'etcdserverpb.Maintenance/Defragment': root,
  'etcdserverpb.Maintenance/Hash': root,
  'etcdserverpb.Maintenance/HashKV': root,
  'etcdserverpb.Maintenance/Snapshot': root,
  'etcdserverpb.Maintenance/MoveLeader': root,
  'etcdserverpb.Auth/Authenticate': open,
  'etcdserverpb.Auth/AuthEnable': root,
  'etcdserverpb.Auth/AuthDisable': root,
  'etcdserverpb.Auth/AuthStatus': root,
  'etcdserverpb.Auth/UserAdd': root,
  'etcdserverpb.Auth/UserGet': (permit, { name }: { name: string }) => {
    if (permit.user?.name !== name) permit.requireRoot()
  },
  'etcdserverpb.Auth/UserList': root,
  'etcdserverpb.Auth/UserDelete': root,
  'etcdserverpb.Auth/UserChangePassword': root,
  'etcdserverpb.Auth/UserGrantRole': root,
  'etcdserverpb.Auth/UserRevokeRole': root,
  'etcdserverpb.Auth/RoleAdd': root,
  'etcdserverpb.Auth/RoleGet': (permit, { role }: { role: string }) => {
    if (permit.user?.roles.includes(role) !== true) permit.requireRoot()
  },
  'etcdserverpb.Auth/RoleList': root,
  'etcdserverpb.Auth/RoleDelete': root,
  'etcdserverpb.Auth/RoleGrantPermission': root,
  'etcdserverpb.Auth/RoleRevokePermission': root,
  'v3lockpb.Lock/Lock': stand,
  'v3lockpb.Lock/Unlock': (permit, { key }: { key: Uint8Array }) => permit.requireWrite(key),
  'v3electionpb.Election/Campaign': stand,
  'v3electionpb.Election/Proclaim': async (permit, request: ByLeader, asked) => {
    asLeader(permit, request)
    await forKeysOf(request.leader?.lease ?? 0, asked, (key) => permit.requireWrite(key))
  },
  'v3electionpb.Election/Leader': (permit, { name }: { name: Uint8Array }) =>
    checkObserve(permit, name),
  // What it observes is checked when that is known.
  'v3electionpb.Election/Observe': user,
  'v3electionpb.Election/Resign': asLeader,
  'grpc.health.v1.Health/Check': open,
}

/** A put on a lease needs all keys of the lease, or it could be used to delete what others wrote. */
async function checkPut(permit: Permit, request: EtcdPut, asked: Asked): Promise<void> {
  permit.requireWrite(request.key)
  if (request.prevKv) permit.requireRead(request.key)
  if (request.lease !== 0) {
    await forKeysOf(request.lease, asked, (key) => permit.requireWrite(key))
  }
}

function checkDelete(permit: Permit, { key, rangeEnd, prevKv }: EtcdDelete): void {
  permit.requireWrite(key, rangeEnd)
  if (prevKv) permit.requireRead(key, rangeEnd)
}

/** Both branches, whichever would run. */
async function checkTxn(permit: Permit, request: EtcdTxn, asked: Asked): Promise<void> {
  for (const compare of request.compare) checkCompare(permit, compare)
  for (const operation of request.success) await checkOperation(permit, operation, asked)
  for (const operation of request.failure) await checkOperation(permit, operation, asked)
}

function checkCompare(permit: Permit, compare: EtcdCompare | undefined): void {
  if (compare !== undefined) permit.requireRead(compare.key, compare.rangeEnd)
}

async function checkOperation(
  permit: Permit,
  operation: EtcdOperation | undefined,
  asked: Asked,
): Promise<void> {
  const { requestRange, requestPut, requestDeleteRange, requestTxn } = operation ?? {}
  if (requestRange !== undefined) permit.requireRead(requestRange.key, requestRange.rangeEnd)
  if (requestPut !== undefined) await checkPut(permit, requestPut, asked)
  if (requestDeleteRange !== undefined) checkDelete(permit, requestDeleteRange)
  if (requestTxn !== undefined) await checkTxn(permit, requestTxn, asked)
}

/** None for a lease that does not exist: what is asked of it will say so. */
async function forKeysOf(
  id: number | bigint,
  asked: Asked,
  check: (key: Uint8Array) => void,
): Promise<void> {
  if (typeof id !== 'number' || id <= 0 || !Number.isSafeInteger(id)) return
  const { keyspace } = asked.context
  const { keys } = await keyspace.leases.timeToLive(id, { ...asked.options, withKeys: true })
  for (const key of keys) check(key)
}

/** Whoever stands in a line puts a key on the lease that he names: as checkPut. */
async function stand(
  permit: Permit,
  { name, lease }: { name: Uint8Array; lease: number | bigint },
  asked: Asked,
): Promise<void> {
  const prefix = linePrefix(name)
  permit.requireWrite(prefix, prefixEnd(prefix))
  permit.requireRead(prefix, prefixEnd(prefix))
  await forKeysOf(lease, asked, (key) => permit.requireWrite(key))
}

export function checkObserve(permit: Permit, name: Uint8Array): void {
  const prefix = linePrefix(name)
  permit.requireRead(prefix, prefixEnd(prefix))
}

type ByLeader = {
  leader: { readonly key: Uint8Array; readonly lease: number | bigint } | undefined
}

function asLeader(permit: Permit, { leader }: ByLeader): void {
  const key = leader?.key ?? new Uint8Array(0)
  permit.requireRead(key)
  permit.requireWrite(key)
}

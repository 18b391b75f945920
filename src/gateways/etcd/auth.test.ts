// Users, roles and what they may do, at several nodes of one keyspace: what one node has answered holds at all.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { utf8Decode, utf8Encode } from '../../base/index.ts'
import type { HttpHandler } from '../../host/index.ts'
import * as auth from './auth.ts'
import {
  alarmRequest,
  alarmResponse,
  compactionRequest,
  deleteRequest,
  deleteResponse,
  empty,
  hashResponse,
  headerOnly,
  leaseGrantRequest,
  leaseGrantResponse,
  leaseIdRequest,
  leaseTimeToLiveRequest,
  leaseTimeToLiveResponse,
  memberListRequest,
  memberListResponse,
  putRequest,
  putResponse,
  rangeRequest,
  rangeResponse,
  statusResponse,
  txnRequest,
  txnResponse,
  watchRequest,
  watchResponse,
} from '../../keyspace/etcd/wire.ts'
import { methods } from './methods.ts'
import { recipeMessages } from './recipes.ts'
import { hasRule } from './rules.ts'
import { asker, bodyOf, readAll, requestOf, StreamCall } from './testing/call.ts'
import { EtcdWorld } from './testing/world.ts'

const key = utf8Encode
const none = key('')
const range = ['etcdserverpb.KV/Range', rangeRequest, rangeResponse] as const
const put = ['etcdserverpb.KV/Put', putRequest, putResponse] as const
const remove = ['etcdserverpb.KV/DeleteRange', deleteRequest, deleteResponse] as const
const txn = ['etcdserverpb.KV/Txn', txnRequest, txnResponse] as const
const compact = ['etcdserverpb.KV/Compact', compactionRequest, headerOnly] as const
const watch = ['etcdserverpb.Watch/Watch', watchRequest, watchResponse] as const
const leaseGrant = ['etcdserverpb.Lease/LeaseGrant', leaseGrantRequest, leaseGrantResponse] as const
const leaseRevoke = ['etcdserverpb.Lease/LeaseRevoke', leaseIdRequest, headerOnly] as const
const timeToLive = [
  'etcdserverpb.Lease/LeaseTimeToLive',
  leaseTimeToLiveRequest,
  leaseTimeToLiveResponse,
] as const
const memberList = [
  'etcdserverpb.Cluster/MemberList',
  memberListRequest,
  memberListResponse,
] as const
const status = ['etcdserverpb.Maintenance/Status', empty, statusResponse] as const
const hash = ['etcdserverpb.Maintenance/Hash', empty, hashResponse] as const
const alarm = ['etcdserverpb.Maintenance/Alarm', alarmRequest, alarmResponse] as const
const enable = ['etcdserverpb.Auth/AuthEnable', empty, headerOnly] as const
const disable = ['etcdserverpb.Auth/AuthDisable', empty, headerOnly] as const
const authStatus = ['etcdserverpb.Auth/AuthStatus', empty, auth.authStatus] as const
const authenticate = ['etcdserverpb.Auth/Authenticate', auth.credentials, auth.token] as const
const userAdd = ['etcdserverpb.Auth/UserAdd', auth.newUser, headerOnly] as const
const userGet = ['etcdserverpb.Auth/UserGet', auth.named, auth.roles] as const
const userList = ['etcdserverpb.Auth/UserList', empty, auth.users] as const
const userDelete = ['etcdserverpb.Auth/UserDelete', auth.named, headerOnly] as const
const changePassword = [
  'etcdserverpb.Auth/UserChangePassword',
  auth.credentials,
  headerOnly,
] as const
const userGrant = ['etcdserverpb.Auth/UserGrantRole', auth.userRole, headerOnly] as const
const userRevoke = ['etcdserverpb.Auth/UserRevokeRole', auth.nameRole, headerOnly] as const
const roleAdd = ['etcdserverpb.Auth/RoleAdd', auth.named, headerOnly] as const
const roleGet = ['etcdserverpb.Auth/RoleGet', auth.ofRole, auth.permissions] as const
const roleDelete = ['etcdserverpb.Auth/RoleDelete', auth.ofRole, headerOnly] as const
const grant = ['etcdserverpb.Auth/RoleGrantPermission', auth.grant, headerOnly] as const
const revoke = ['etcdserverpb.Auth/RoleRevokePermission', auth.revocation, headerOnly] as const

let etcd: EtcdWorld
let first: HttpHandler
let second: HttpHandler
before(async () => {
  etcd = new EtcdWorld()
  first = await etcd.start()
  second = etcd.handlerAt(2)
})
after(() => etcd.close())

const { ask, refused: refusal } = asker(() => first)

async function refused(...call: Parameters<typeof refusal>): Promise<string> {
  const { code, text } = await refusal(...call)
  return `${code} ${text.replace('etcdserver: ', '')}`
}

async function tokenOf(name: string, password: string, at = second): Promise<string> {
  return (await ask(authenticate, { name, password }, { at })).token
}

const noOperation = {
  requestRange: undefined,
  requestPut: undefined,
  requestDeleteRange: undefined,
  requestTxn: undefined,
}
const denied = '7 permission denied'
const nobody = '3 user name is empty'

describe('users and roles', () => {
  it('are made, shown and refused in the words of etcd', async () => {
    assert.equal(await refused(enable, {}), '9 root user does not exist')
    await ask(userAdd, { name: 'root', password: 'rootpw' })
    assert.equal(await refused(enable, {}, { at: second }), '9 root user does not have root role')
    assert.equal(await refused(userAdd, { name: 'root' }), '9 user name already exists')
    assert.equal(await refused(userAdd, { name: '' }), '3 user name is empty')
    assert.equal(await refused(roleAdd, { name: '' }), '3 role name is empty')
    await ask(roleAdd, { name: 'root' })
    await ask(userGrant, { user: 'root', role: 'root' })
    await ask(userAdd, { name: 'alice', password: 'alicepw' }, { at: second })
    await ask(userAdd, { name: 'ghost', options: { noPassword: true } })
    await ask(roleAdd, { name: 'reader' })
    assert.equal(await refused(roleAdd, { name: 'reader' }), '9 role name already exists')
    assert.equal(await refused(userGrant, { user: 'alice', role: 'no' }), '9 role name not found')
    assert.equal(await refused(userGrant, { user: 'no', role: 'reader' }), '9 user name not found')
    await ask(userGrant, { user: 'alice', role: 'reader' })
    assert.equal(
      await refused(userRevoke, { name: 'ghost', role: 'reader' }),
      '9 role is not granted to the user',
    )
    const perm = { permType: 0, key: key('a/'), rangeEnd: key('a0') }
    await ask(grant, { name: 'reader', perm })
    await ask(grant, { name: 'reader', perm: { ...perm, permType: 2 } }, { at: second })
    assert.equal(await refused(grant, { name: 'no', perm }), '9 role name not found')
    assert.equal(await refused(grant, { name: 'reader' }), '3 permission not given')
    const backwards = { permType: 0, key: key('b'), rangeEnd: key('a') }
    assert.equal(
      await refused(grant, { name: 'reader', perm: backwards }),
      '3 invalid auth management',
    )
    assert.equal(
      await refused(revoke, { role: 'reader', key: key('x') }),
      '9 permission is not granted to the role',
    )
    const shown = (await ask(roleGet, { role: 'reader' })).perm.map((one) => [
      one?.permType,
      utf8Decode(one?.key ?? none),
      utf8Decode(one?.rangeEnd ?? none),
    ])
    assert.deepEqual(shown, [[2, 'a/', 'a0']])
    assert.deepEqual((await ask(userList, {})).users, ['alice', 'ghost', 'root'])
    assert.deepEqual((await ask(userGet, { name: 'alice' })).roles, ['reader'])
    const { enabled, authRevision } = await ask(authStatus, {})
    assert.deepEqual([enabled, authRevision], [false, 10])
    assert.equal(
      await refused(authenticate, { name: 'root', password: 'rootpw' }),
      '9 authentication is not enabled',
    )
  })

  it('have a rule for every call', () => {
    assert.deepEqual(
      methods.filter(({ name }) => !hasRule(name)),
      [],
    )
  })
})

describe('authentication', () => {
  let root: string
  let alice: string
  before(async () => {
    await ask(put, { key: key('a/1'), value: key('seen') })
    await ask(put, { key: key('b/1'), value: key('hidden') })
    await ask(enable, {}, { at: second })
    root = await tokenOf('root', 'rootpw')
    alice = await tokenOf('alice', 'alicepw')
  })
  const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }

  it('asks for a name, a password and a token', async () => {
    const wrong = '3 authentication failed, invalid user ID or password'
    assert.equal(await refused(authenticate, { name: 'root', password: 'no' }), wrong)
    assert.equal(await refused(authenticate, { name: 'nobody', password: 'x' }), wrong)
    assert.equal(await refused(authenticate, { name: 'ghost', password: '' }), wrong)
    assert.equal(await refused(range, { key: key('a/1') }), nobody)
    assert.equal(await refused(put, { key: key('a/1') }, { at: second }), nobody)
    const forged = `${alice.slice(0, -2)}xx`
    for (const token of ['', 'x', 'a.b', forged, `${alice}.a`]) {
      assert.equal(await refused(range, { key: key('a/1') }, { token }), '16 invalid auth token')
    }
    assert.equal((await ask(memberList, {})).members.length, 3)
    assert.ok((await ask(status, {})).leader > 0)
  })

  it('lets users do what their roles allow, whole ranges alone', async () => {
    for (const at of [first, second]) {
      const asker = { token: alice, at }
      assert.equal((await ask(range, { key: key('a/1') }, asker)).count, 1)
      await ask(range, { key: key('a/'), rangeEnd: key('a0') }, asker)
      assert.equal(await refused(range, { key: key('a/'), rangeEnd: key('a1') }, asker), denied)
      assert.equal(await refused(range, all, asker), denied)
      assert.equal(await refused(range, { key: key('b/1') }, asker), denied)
      await ask(put, { key: key('a/2'), value: key('x'), prevKv: true }, asker)
      assert.equal(await refused(put, { key: key('b/1') }, asker), denied)
      assert.equal(await refused(remove, { ...all }, asker), denied)
      await ask(remove, { key: key('a/2'), prevKv: true }, asker)
      assert.equal((await ask(range, all, { token: root, at })).count, 2)
    }
  })

  it('looks at every range of a transaction, also of the branch that would not run', async () => {
    const requestRange = { ...rangeDefaults(), key: key('b/1') }
    const hidden = { ...noOperation, requestRange }
    const compare = { ...compareDefaults(), key: key('b/1') }
    const nested = { compare: [], success: [], failure: [hidden] }
    const asker = { token: alice }
    assert.equal(await refused(txn, { success: [hidden] }, asker), denied)
    assert.equal(await refused(txn, { failure: [hidden] }, asker), denied)
    assert.equal(await refused(txn, { compare: [compare] }, asker), denied)
    const deep = { ...noOperation, requestTxn: nested }
    assert.equal(await refused(txn, { success: [deep] }, asker), denied)
    const wide = { ...compare, key: key('a/'), rangeEnd: Uint8Array.of(0) }
    assert.equal(await refused(txn, { compare: [wide] }, asker), denied)
    assert.equal((await ask(txn, { success: [hidden] }, { token: root })).succeeded, true)
  })

  it("guards leases by their keys, and what is the operator's by root", async () => {
    const asker = { token: alice }
    const { id } = await ask(leaseGrant, { ttl: 60 }, asker)
    await ask(put, { key: key('b/leased'), lease: id }, { token: root })
    assert.equal(await refused(put, { key: key('a/1'), lease: id }, asker), denied)
    const place = { name: key('a/line'), lease: id, value: key('v') }
    assert.equal(await refused(recipeMessages.lock, place, asker), denied)
    assert.equal(await refused(recipeMessages.campaign, place, asker), denied)
    const leader = { name: place.name, key: key('a/line/1'), rev: 1, lease: id }
    assert.equal(await refused(recipeMessages.proclaim, { leader, value: none }, asker), denied)
    assert.equal(await refused(leaseRevoke, { id }, asker), denied)
    assert.equal(await refused(timeToLive, { id, keys: true }, asker), denied)
    assert.equal((await ask(timeToLive, { id }, asker)).id, id)
    assert.equal(await refused(leaseGrant, { ttl: 60 }), nobody)
    await ask(leaseRevoke, { id }, { token: root })
    assert.equal(await refused(compact, { revision: 1 }), nobody)
    assert.equal(await refused(hash, {}, asker), denied)
    assert.equal(await refused(alarm, { action: 2, alarm: 1 }, asker), denied)
    await ask(alarm, {}, asker)
    assert.equal(await refused(userAdd, { name: 'eve' }, asker), denied)
    assert.equal(await refused(userAdd, { name: 'eve' }), nobody)
    assert.equal(
      await refused(userDelete, { name: 'root' }, { token: root }),
      '3 invalid auth management',
    )
    assert.equal(
      await refused(roleDelete, { role: 'root' }, { token: root }),
      '3 invalid auth management',
    )
    assert.deepEqual((await ask(userGet, { name: 'alice' }, asker)).roles, ['reader'])
    assert.equal(await refused(userGet, { name: 'root' }, asker), denied)
    assert.equal((await ask(roleGet, { role: 'reader' }, asker)).perm.length, 1)
    assert.equal(await refused(roleGet, { role: 'root' }, asker), denied)
  })

  it('refuses watches one by one, and ends those that are not allowed any more', async () => {
    const call = new StreamCall(second, watch, alice)
    const create = (name: string) => ({
      createRequest: {
        key: key(name),
        rangeEnd: none,
        startRevision: 0,
        progressNotify: false,
        filters: [],
        prevKv: false,
        watchId: 0,
        fragment: false,
      },
    })
    call.send(create('b/1'))
    const no = await call.read()
    assert.deepEqual([no?.watchId, no?.created, no?.canceled], [-1, true, true])
    assert.equal(
      no?.cancelReason,
      'rpc error: code = PermissionDenied desc = etcdserver: permission denied',
    )
    call.send(create('a/1'))
    assert.deepEqual([(await call.read())?.created], [true])
    await ask(put, { key: key('a/1'), value: key('event') }, { token: alice })
    assert.equal(utf8Decode((await call.read())?.events[0]?.kv?.value ?? none), 'event')
    await ask(revoke, { role: 'reader', key: key('a/'), rangeEnd: key('a0') }, { token: root })
    const ended = await call.read()
    assert.deepEqual([ended?.watchId, ended?.created, ended?.canceled], [0, false, true])
    assert.match(ended?.cancelReason ?? '', /permission denied/)
    call.leave()
    assert.equal(await refused(range, { key: key('a/1') }, { token: alice, at: second }), denied)
    const perm = { permType: 2, key: key('a/'), rangeEnd: key('a0') }
    await ask(grant, { name: 'reader', perm }, { token: root })
    assert.equal((await ask(range, { key: key('a/1') }, { token: alice, at: second })).count, 1)
  })

  it('ends tokens with the password', async () => {
    const asker = { token: alice, at: second }
    await ask(changePassword, { name: 'alice', password: 'new' }, { token: root })
    assert.equal(await refused(range, { key: key('a/1') }, asker), '16 invalid auth token')
    alice = await tokenOf('alice', 'new', first)
    assert.equal((await ask(range, { key: key('a/1') }, { token: alice })).count, 1)
    await ask(userDelete, { name: 'alice' }, { token: root, at: second })
    assert.equal(
      await refused(range, { key: key('a/1') }, { token: alice }),
      '16 invalid auth token',
    )
  })

  it('works over JSON too', async () => {
    const post = async (path: string, body: object, token?: string) => {
      const headers = token === undefined ? [] : [['authorization', token] as const]
      const given = bodyOf(utf8Encode(JSON.stringify(body)))
      const answer = await first(requestOf(path, given, { headers, isHttp2: false }))
      return { status: answer.status, json: JSON.parse(utf8Decode(await readAll(answer))) }
    }
    const login = await post('/v3/auth/authenticate', { name: 'root', password: 'rootpw' })
    assert.equal(login.status, 200)
    const read = await post('/v3/kv/range', { key: 'YS8x' }, login.json.token)
    assert.equal(read.json.count, '1')
    assert.equal((await post('/v3/kv/range', { key: 'YS8x' })).status, 400)
    assert.equal((await post('/v3/kv/range', { key: 'YS8x' }, 'no')).status, 401)
  })

  it('raises no revision of the keys, and is switched off by root', async () => {
    const before = (await ask(range, { key: key('a/1') }, { token: root })).header?.revision
    await ask(roleAdd, { name: 'more' }, { token: root })
    await ask(disable, {}, { token: root })
    assert.equal((await ask(range, { key: key('a/1') }, { at: second })).header?.revision, before)
    assert.equal((await ask(range, { key: key('a/1') }, { token: 'of before' })).count, 1)
  })
})

function rangeDefaults() {
  const zero = { limit: 0, revision: 0, sortOrder: 0, sortTarget: 0 }
  const flags = { serializable: false, keysOnly: false, countOnly: false }
  const bounds = {
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  }
  return { rangeEnd: none, ...zero, ...flags, ...bounds }
}

function compareDefaults() {
  const numbers = { version: 0, createRevision: 0, modRevision: 0, lease: 0 }
  return { rangeEnd: none, result: 0, target: 0, value: none, ...numbers }
}

// What clients match on when a call fails: the code and the text, of gRPC and of the JSON gateway, asked of a real
// node and of Debian's own etcd-server with the same bytes. What differs on purpose is stated with its reason.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Client, credentials } from '@grpc/grpc-js'
import {
  bytes,
  decodeBytes,
  encodeBytes,
  type Message,
  type MessageOf,
  message,
  text,
} from '../../src/base/index.ts'
import {
  compactionRequest,
  deleteRequest,
  hashKvRequest,
  healthRequest,
  leaseGrantRequest,
  leaseIdRequest,
  leaseTimeToLiveRequest,
  memberAddRequest,
  memberIdRequest,
  memberUpdateRequest,
  putRequest,
  rangeRequest,
  txnRequest,
} from '../../src/keyspace/etcd/wire.ts'
import { recipeMessages } from '../../src/gateways/etcd/recipes.ts'
import { type Cluster, startCluster } from '../e2e/cluster.ts'
import { type EtcdServer, missing, startEtcd } from './etcd-server.ts'

const portOffset = 20_000
const ours = `127.0.0.1:${2379 + portOffset}`
const referencePort = 2479 + portOffset
const noServer = missing('etcd', 'etcd-server')

let cluster: Cluster | undefined
let reference: EtcdServer | undefined
before(async () => {
  if (noServer !== false) return
  cluster = await startCluster({ portOffset, args: ['--nodes', '1', '--etcd'] })
  reference = await startEtcd(referencePort)
})
after(async () => {
  await cluster?.stop()
  await reference?.stop()
})

type Case = { readonly method: string; readonly what: string; readonly request: Uint8Array }

// biome-ignore lint/suspicious/noExplicitAny: inference over an open record of fields
function call<F extends Record<string, any>>(
  method: string,
  schema: Message<F>,
  fields: Partial<MessageOf<Message<F>>>,
): Case {
  const request = encodeBytes(schema, whole(schema, fields))
  return { method, request, what: JSON.stringify(fields, shown).slice(0, 120) }
}

/** The other fields are as on a wire that has none of them. */
// biome-ignore lint/suspicious/noExplicitAny: inference over an open record of fields
function whole<F extends Record<string, any>>(
  schema: Message<F>,
  fields: Partial<MessageOf<Message<F>>>,
): MessageOf<Message<F>> {
  return { ...decodeBytes(schema, new Uint8Array()), ...fields }
}

function shown(_name: string, value: unknown): unknown {
  return value instanceof Uint8Array ? new TextDecoder().decode(value.subarray(0, 20)) : value
}

const key = (name: string): Uint8Array => new TextEncoder().encode(name)
const value = key('v')
const names = message({ first: text(1), second: text(2) })
const raw = message({ rest: bytes(15) })
const put = (fields: Partial<MessageOf<typeof putRequest>>): Case =>
  call('etcdserverpb.KV/Put', putRequest, fields)
const range = (fields: Partial<MessageOf<typeof rangeRequest>>): Case =>
  call('etcdserverpb.KV/Range', rangeRequest, fields)
type Operation = MessageOf<typeof txnRequest>['success'][number]
const noOperation: Operation = {
  requestRange: undefined,
  requestPut: undefined,
  requestDeleteRange: undefined,
  requestTxn: undefined,
}
const txn = (...success: Operation[]): Case => call('etcdserverpb.KV/Txn', txnRequest, { success })
const putting = (name: string, lease = 0): Operation => ({
  ...noOperation,
  requestPut: whole(putRequest, { key: key(name), value, lease }),
})
const removing = (from: string, to = ''): Operation => ({
  ...noOperation,
  requestDeleteRange: whole(deleteRequest, { key: key(from), rangeEnd: key(to) }),
})
const within = (operation: Operation): Operation => ({
  ...noOperation,
  requestTxn: whole(txnRequest, { success: [operation] }),
})
const grant = (fields: Partial<MessageOf<typeof leaseGrantRequest>>): Case =>
  call('etcdserverpb.Lease/LeaseGrant', leaseGrantRequest, fields)
const auth = (method: string, first = '', second = ''): Case =>
  call(`etcdserverpb.Auth/${method}`, names, { first, second })
const { lock, unlock, campaign, leaderOf, proclaim, resign } = recipeMessages
const stranger = { name: key('e'), key: key('none'), rev: 5, lease: 7 }

const cases: readonly Case[] = [
  put({ key: key('a'), value }),
  put({ value }),
  put({ key: key('a'), value, lease: 123_456 }),
  put({ key: key('none'), ignoreValue: true }),
  put({ key: key('a'), value, ignoreValue: true }),
  put({ key: key('a'), value, lease: 5, ignoreLease: true }),
  put({ key: key('a'), value: new Uint8Array(1_600_000) }),
  put({ key: key('a'), value: new Uint8Array(2_200_000) }),
  range({}),
  range({ key: key('a'), revision: 99_999_999 }),
  range({ key: key('a'), revision: -1 }),
  range({ key: key('a'), limit: -1 }),
  range({ key: key('b'), rangeEnd: key('a') }),
  call('etcdserverpb.KV/DeleteRange', deleteRequest, {}),
  txn(),
  txn(putting('x'), putting('x')),
  txn(putting('x1'), removing('x', 'y')),
  txn(removing('x', 'y'), removing('x1')),
  txn(...Array.from({ length: 129 }, (_, i) => putting(`m${i}`))),
  txn(putting('')),
  txn(noOperation),
  txn(putting('n', 987)),
  txn(within(putting(''))),
  txn(putting('n'), within(putting('n'))),
  call('etcdserverpb.KV/Compact', compactionRequest, { revision: 99_999_999 }),
  call('etcdserverpb.KV/Compact', compactionRequest, { revision: -5 }),
  grant({ ttl: 9_999_999_999 }),
  grant({ ttl: 100, id: 77 }),
  grant({ ttl: 100, id: 77 }),
  grant({ ttl: -5 }),
  call('etcdserverpb.Lease/LeaseRevoke', leaseIdRequest, { id: 123 }),
  call('etcdserverpb.Lease/LeaseTimeToLive', leaseTimeToLiveRequest, { id: 123, keys: true }),
  call('etcdserverpb.Cluster/MemberAdd', memberAddRequest, { peerUrls: [] }),
  call('etcdserverpb.Cluster/MemberAdd', memberAddRequest, { peerUrls: ['ftp://1.1.1.1:3'] }),
  call('etcdserverpb.Cluster/MemberRemove', memberIdRequest, { id: 1234 }),
  call('etcdserverpb.Cluster/MemberPromote', memberIdRequest, { id: 1234 }),
  call('etcdserverpb.Cluster/MemberUpdate', memberUpdateRequest, { id: 1234, peerUrls: [] }),
  call('etcdserverpb.Maintenance/HashKV', hashKvRequest, { revision: 99_999_999 }),
  call(lock[0], lock[1], { name: key('l'), lease: 4242 }),
  call(unlock[0], unlock[1], { key: key('none') }),
  call(unlock[0], unlock[1], {}),
  call(campaign[0], campaign[1], { name: key('e'), lease: 4242 }),
  call(leaderOf[0], leaderOf[1], { name: key('none') }),
  call(proclaim[0], proclaim[1], {}),
  call(proclaim[0], proclaim[1], { leader: stranger }),
  call(resign[0], resign[1], { leader: stranger }),
  auth('AuthEnable'),
  auth('AuthDisable'),
  auth('Authenticate', 'a', 'b'),
  auth('UserAdd'),
  auth('UserGet', 'a'),
  auth('UserDelete', 'a'),
  auth('UserChangePassword', 'a', 'b'),
  auth('UserGrantRole', 'a', 'b'),
  auth('UserRevokeRole', 'a', 'b'),
  auth('RoleGet', 'a'),
  auth('RoleAdd'),
  auth('RoleDelete', 'a'),
  auth('RoleRevokePermission', 'a'),
  call('etcdserverpb.KV/Nothing', raw, {}),
  call('grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', raw, {}),
  call('grpc.health.v1.Health/Check', healthRequest, {}),
  call('grpc.health.v1.Health/Check', healthRequest, { about: 'nothing' }),
]

function outcomeOf(client: Client, { method, request }: Case): Promise<string> {
  const asIs = (given: Uint8Array): Buffer => Buffer.from(given)
  return new Promise((resolve) => {
    const options = { deadline: Date.now() + 10_000 }
    client.makeUnaryRequest(`/${method}`, asIs, asIs, request, options, (error) =>
      resolve(error === null ? 'OK' : `${error.code} ${error.details}`),
    )
  })
}

const encoded = (name: string): string => Buffer.from(name).toString('base64')

/** Path and body; without a body it is a GET. */
const paths: readonly (readonly [string, string?])[] = [
  ['/v3/kv/put', JSON.stringify({ key: encoded('j'), value: encoded('1') })],
  ['/v3/kv/put', JSON.stringify({ key: encoded('j'), value: encoded('2'), prev_kv: true })],
  ['/v3beta/kv/range', JSON.stringify({ key: encoded('j') })],
  ['/v3/kv/range', JSON.stringify({ key: encoded('j'), count_only: true })],
  ['/v3/kv/range', '{}'],
  ['/v3/kv/range'],
  ['/v3/nothing', '{}'],
  ['/nothing'],
  ['/v3/kv/txn', '{}'],
  ['/v3/kv/deleterange', JSON.stringify({ key: encoded('j'), prev_kv: true })],
  ['/v3/kv/compaction', JSON.stringify({ revision: '99999999' })],
  ['/v3/lease/keepalive', JSON.stringify({ ID: '4243' })],
  ['/v3/kv/lease/timetolive', JSON.stringify({ ID: '4243', keys: true })],
  ['/v3/lease/revoke', JSON.stringify({ ID: '4243' })],
  ['/v3/auth/role/list', '{}'],
  ['/v3/election/leader', JSON.stringify({ name: encoded('nobody') })],
  ['/health', ''],
]

const numbers = /"(cluster_id|member_id|raft_term|revision|create_revision|mod_revision)":"\d+"/g

/** Releases up to 3.4 tell a failed precondition by 412, and name fields of errors in another order. */
async function pageOf(authority: string, [path, body]: (typeof paths)[number]): Promise<string> {
  const init = body === undefined ? {} : { method: 'POST', body }
  const answer = await fetch(`http://${authority}${path}`, init)
  const status = answer.status === 412 ? 400 : answer.status
  const content = await answer.text()
  if (!content.startsWith('{"error"')) return `${status} ${content.replace(numbers, '$1')}`
  const { error, code, message: said } = JSON.parse(content)
  return `${status} ${code} ${error} ${said}`
}

describe('what fails', () => {
  it('has the code and the text that it has with etcd', { skip: noServer }, async () => {
    const clients = [ours, `127.0.0.1:${referencePort}`].map(
      (authority) =>
        new Client(authority, credentials.createInsecure(), { 'grpc.max_send_message_length': -1 }),
    )
    try {
      for (const one of cases) {
        const [mine, theirs] = await Promise.all(clients.map((client) => outcomeOf(client, one)))
        assert.equal(mine, theirs, `${one.method} ${one.what}`)
      }
    } finally {
      for (const client of clients) client.close()
    }
  })

  it('has the status and the body that it has with etcd', { skip: noServer }, async () => {
    for (const one of paths) {
      const [mine, theirs] = await Promise.all(
        [ours, `127.0.0.1:${referencePort}`].map((authority) => pageOf(authority, one)),
      )
      assert.equal(mine, theirs, one.join(' '))
    }
  })
})

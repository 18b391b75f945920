// Members, alarms, status and snapshots, as a client of etcd sees them.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { decodeBytes, sha256, toHex, utf8Encode } from '../../base/index.ts'
import type { HttpHandler } from '../../host/index.ts'
import {
  alarmRequest,
  alarmResponse,
  empty,
  keyValue,
  memberAddRequest,
  memberAddResponse,
  memberIdRequest,
  memberListRequest,
  memberListResponse,
  memberUpdateRequest,
  putRequest,
  putResponse,
  rangeRequest,
  rangeResponse,
  snapshotResponse,
  statusResponse,
} from '../../keyspace/etcd/wire.ts'
import { readBolt } from './testing/bolt-reader.ts'
import { asker, type Status, StreamCall } from './testing/call.ts'
import { EtcdWorld } from './testing/world.ts'

const key = utf8Encode
const range = ['etcdserverpb.KV/Range', rangeRequest, rangeResponse] as const
const put = ['etcdserverpb.KV/Put', putRequest, putResponse] as const

let etcd: EtcdWorld
let handler: HttpHandler
before(async () => {
  etcd = new EtcdWorld()
  handler = await etcd.start()
  for (let i = 0; i < 300; i++) {
    await ask(put, { key: key(`pair/${i}`), value: new Uint8Array(i * 40) })
  }
})
after(() => etcd.close())

const { ask, refused } = asker(() => handler)

describe('members, alarms and snapshots', () => {
  it('lists members, tells its status, streams a snapshot', async () => {
    const list = await ask(
      ['etcdserverpb.Cluster/MemberList', memberListRequest, memberListResponse],
      {},
    )
    assert.deepEqual(
      list.members.map((one) => one?.name),
      ['node-1', 'node-2', 'node-3'],
    )
    const status = await ask(['etcdserverpb.Maintenance/Status', empty, statusResponse], {})
    assert.deepEqual([status.leader, status.raftTerm, status.raftIndex], [1, 5, 9])
    const call = new StreamCall(handler, [
      'etcdserverpb.Maintenance/Snapshot',
      empty,
      snapshotResponse,
    ] as const)
    call.send({})
    call.end()
    const blobs: Uint8Array[] = []
    let remaining = -1
    for (let part = await call.read(); part !== undefined; part = await call.read()) {
      const { length } = part.blob
      if (remaining >= 0 && part.remainingBytes > 0)
        assert.equal(remaining, part.remainingBytes + length)
      remaining = part.remainingBytes
      blobs.push(part.blob)
    }
    const file = Buffer.concat(blobs)
    assert.equal(file.length % 4096, 32)
    assert.deepEqual(new Uint8Array(file.subarray(-32)), sha256(file.subarray(0, -32)))
    const pairs = readBolt(file).get('key') ?? new Map()
    const now = await ask(range, { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) })
    const held = [...pairs.values()].map((value) => decodeBytes(keyValue, value))
    assert.deepEqual(
      held.map((kv) => toHex(kv.key)).sort(),
      now.kvs.map((kv) => toHex(kv?.key ?? key(''))).sort(),
    )
    const order = held.map((kv) => kv.modRevision)
    assert.deepEqual(
      order,
      [...order].sort((a, b) => a - b),
    )
    assert.equal((await call.status()).code, 0)
  })

  it('raises alarms and ends them', async () => {
    const alarm = ['etcdserverpb.Maintenance/Alarm', alarmRequest, alarmResponse] as const
    assert.deepEqual((await ask(alarm, {})).alarms, [])
    assert.equal((await refused(alarm, { action: 1 })).code, 3)
    await ask(alarm, { action: 1, memberId: 1, alarm: 1 })
    assert.equal((await ask(alarm, {})).alarms[0]?.alarm, 1)
    assert.deepEqual(await refused(put, { key: key('full') }), {
      code: 8,
      text: 'etcdserver: mvcc: database space exceeded',
    })
    const shown = await ask(['etcdserverpb.Maintenance/Status', empty, statusResponse], {})
    assert.deepEqual(shown.errors, ['alarm:NOSPACE'])
    await ask(alarm, { action: 2, memberId: 1, alarm: 1 })
    await ask(put, { key: key('full') })
  })

  it('changes members of the group among the nodes of the cluster', async () => {
    const add = ['etcdserverpb.Cluster/MemberAdd', memberAddRequest, memberAddResponse] as const
    const drop = ['etcdserverpb.Cluster/MemberRemove', memberIdRequest, memberListResponse] as const
    const promote = [
      'etcdserverpb.Cluster/MemberPromote',
      memberIdRequest,
      memberListResponse,
    ] as const
    const update = [
      'etcdserverpb.Cluster/MemberUpdate',
      memberUpdateRequest,
      memberListResponse,
    ] as const
    const third = { peerUrls: ['https://127.0.0.3:6660'] }
    const textOf = async (answer: Promise<Status>): Promise<string> => (await answer).text
    assert.match(await textOf(refused(add, third)), /Peer URLs already exists/)
    assert.match(await textOf(refused(add, { peerUrls: ['x'] })), /member URLs are invalid/)
    const stranger = { peerUrls: ['http://10.0.0.9:2380'] }
    assert.match(await textOf(refused(add, stranger)), /no node of the cluster is at 10.0.0.9:2380/)
    assert.match(await textOf(refused(drop, { id: 9 })), /member not found/)
    etcd.down.add(2)
    assert.match(await textOf(refused(drop, { id: 3 })), /not enough started members/)
    etcd.down.clear()
    const rest = await ask(drop, { id: 1 })
    assert.deepEqual(
      rest.members.map((one) => one?.id),
      [2, 3],
    )
    etcd.voters = [1, 2, 3]
    assert.deepEqual((await ask(drop, { id: 3 })).members.length, 2)
    const added = await ask(add, { ...third, isLearner: true })
    assert.deepEqual([added.member?.id, added.member?.isLearner], [3, true])
    assert.match(await textOf(refused(promote, { id: 2 })), /only promote a learner member$/)
    etcd.down.add(3)
    assert.match(await textOf(refused(promote, { id: 3 })), /in sync with leader/)
    etcd.down.clear()
    const whole = await ask(promote, { id: 3 })
    assert.equal(
      whole.members.some((one) => one?.isLearner),
      false,
    )
    assert.equal((await ask(update, { id: 3, ...third })).members.length, 3)
    assert.match(await textOf(refused(update, { id: 2, ...third })), /Peer URLs already exists/)
    assert.match(await textOf(refused(update, { id: 2, ...stranger })), /tells its address itself/)
  })
})

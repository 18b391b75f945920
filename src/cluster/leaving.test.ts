import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId, type NodeId } from '../base/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import { clusterCodec, clusterKey, memberCodec, memberKey } from './core/records.ts'
import { readLocalMembers } from './found-cluster.ts'
import { type Replacement, replaceMember } from './cluster-admin.ts'
import {
  addMember,
  cancelDrain,
  declareDrained,
  drainMember,
  isDrained,
  readdressMember,
  readDrain,
  readDraining,
  removeMember,
  setMovesShare,
} from './leaving.ts'
import { listEventsAfter } from './registry.ts'
import { founded } from './testing/founded.ts'
import type { MemoryKeyspace } from './testing/memory-keyspace.ts'

const newcomer = (host: string) => ({
  addresses: {
    control: { host, port: 6660 },
    bulk: { host, port: 9991 },
    admin: { host, port: 7777 },
    s3: { host, port: 9000 },
  },
  labels: {},
  caps: [],
})
const asked = (held: { shards: number; bytes: number; lastCopies: number } | undefined) => ({
  groups: [],
  isUp: () => true,
  held,
  isForced: false,
  atMs: 1_000,
})
const nothing = { shards: 0, bytes: 0, lastCopies: 0 }
async function stateOf(system: MemoryKeyspace, id: number): Promise<string | undefined> {
  const kv = (await system.range({ key: memberKey(id) })).kvs[0]
  return kv === undefined ? undefined : memberCodec.decode(kv.value).state
}
async function makeOnline(system: MemoryKeyspace, id: NodeId): Promise<void> {
  const kv = (await system.range({ key: memberKey(id) })).kvs[0]
  assert.ok(kv)
  await system.put(
    memberKey(id),
    memberCodec.encode({ ...memberCodec.decode(kv.value), state: 'online' }),
  )
}

test('a member joins, drains, says that it is empty and is removed; its id is not given again', async () => {
  const system = await founded()
  const { member, founders, members } = await addMember(system, newcomer('d'))
  assert.deepEqual([member.id, founders, members.length], [4, [1, 2, 3], 4])
  await assert.rejects(addMember(system, newcomer('d')), { code: 'exists' })
  await makeOnline(system, member.id)
  const unknown = asked(undefined)
  await assert.rejects(removeMember(system, member.id, unknown), { code: 'precondition' })
  await drainMember(system, member.id, unknown)
  assert.equal(await stateOf(system, 4), 'draining')
  await assert.rejects(removeMember(system, member.id, unknown), { code: 'precondition' })
  const drain = await readDrain(system, member.id)
  assert.equal(drain?.name, 'node-4')
  assert.ok(await declareDrained(system, drain, { atMs: 2_000 }))
  assert.equal(await isDrained(system, member.id), true)
  await removeMember(system, member.id, unknown)
  assert.equal(await stateOf(system, 4), 'removed')
  await removeMember(system, member.id, unknown)
  assert.equal((await addMember(system, newcomer('d'))).member.id, 5)
  const events = await listEventsAfter(system, { after: 0, limit: 10 })
  assert.deepEqual(
    events.map(({ kind, node, text }) => [kind, node, text]),
    [
      ['member-draining', 4, 'node-4 is being drained'],
      ['member-drained', 4, 'node-4 is empty: it can be removed'],
      ['member-removed', 4, 'node-4 was removed'],
    ],
  )
})

test('the word of an earlier drain is worth nothing in a later one', async () => {
  const system = await founded()
  await addMember(system, newcomer('d'))
  const id = nodeId(4)
  await makeOnline(system, id)
  await drainMember(system, id, asked(nothing))
  assert.deepEqual(
    (await readDraining(system)).map((member) => member.id),
    [4],
  )
  const first = await readDrain(system, id)
  assert.ok(first !== undefined && (await declareDrained(system, first, { atMs: 2_000 })))
  await cancelDrain(system, id, { atMs: 1_000 })
  assert.equal(await stateOf(system, 4), 'online')
  assert.equal(await readDrain(system, id), undefined)
  assert.deepEqual(await readDraining(system), [])
  await drainMember(system, id, asked(nothing))
  assert.equal(await isDrained(system, id), false)
  assert.equal(await declareDrained(system, first, { atMs: 2_000 }), false)
  await assert.rejects(removeMember(system, id, asked(undefined)), { code: 'precondition' })
})

test('of two drains that were decided on the same list one is decided again', async () => {
  const system = await founded()
  await addMember(system, newcomer('d'))
  await makeOnline(system, nodeId(4))
  const both = await Promise.allSettled([
    drainMember(system, nodeId(3), asked(nothing)),
    drainMember(system, nodeId(4), asked(nothing)),
  ])
  assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
})

test('force removes what is not empty, but two of the same do not both pass unseen', async () => {
  const system = await founded()
  const holding = { shards: 7, bytes: 70, lastCopies: 1 }
  const plan = await removeMember(system, nodeId(3), { ...asked(holding), isForced: true })
  assert.equal(plan.objections.length, 2)
  const [event] = await listEventsAfter(system, { after: 0, limit: 10 })
  assert.match(event?.text ?? '', /^node-3 was removed, by force: .*7 shards/)
  assert.equal(await stateOf(system, 3), 'removed')
})

test('a member is re-addressed; a place that is taken is refused', async () => {
  const system = await founded()
  assert.equal(await readdressMember(system, nodeId(2), () => newcomer('z').addresses), true)
  assert.equal(await readdressMember(system, nodeId(2), () => newcomer('z').addresses), false)
  await assert.rejects(
    readdressMember(system, nodeId(3), () => newcomer('z').addresses),
    { code: 'exists' },
  )
  const local = await readLocalMembers(system)
  assert.equal(local?.members.find(({ id }) => id === 2)?.bulk.host, 'z')
})

test('a replacement keeps the place of the first in its chain', async () => {
  const system = await founded()
  const first = await replaceMember(system, nodeId(2))
  const second = await replaceMember(system, first.id)
  assert.equal(second.members.find(({ id }) => id === second.id)?.place, 2)
})

test('a replacement for which nobody waits any more throws nobody out', async () => {
  const system = await founded()
  const gone = new AbortController()
  const slow: Keyspace = Object.create(system)
  let first: Replacement | undefined
  // The client's second request is answered while the first still reads.
  slow.range = async (request) => {
    if (first === undefined) {
      gone.abort()
      first = await replaceMember(system, nodeId(2))
    }
    return system.range(request)
  }
  await assert.rejects(replaceMember(slow, nodeId(2), gone.signal), { code: 'cancelled' })
  const { kvs } = await system.range({ key: memberKey(first?.id ?? nodeId(9)) })
  assert.equal(memberCodec.decode(kvs[0]?.value ?? new Uint8Array(0)).state, 'joining')
})

test('the share of moves is kept in the settings', async () => {
  const system = await founded()
  await setMovesShare(system, 0.125)
  const kv = (await system.range({ key: clusterKey })).kvs[0]
  assert.ok(kv)
  assert.equal(clusterCodec.decode(kv.value).movesShare, 0.125)
  await assert.rejects(setMovesShare(system, 0), { code: 'invalid' })
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, nodeId } from '../base/index.ts'
import {
  counterCodec,
  eventCodec,
  eventCounterKey,
  eventKey,
  memberCodec,
  memberKey,
} from './core/records.ts'
import type { Member, PlacementRule } from './cluster.ts'
import {
  changeMember,
  changePlacementRule,
  describeMember,
  eventsMax,
  labelMember,
  listEvents,
  readPlacementRule,
  setCapabilities,
} from './registry.ts'
import { founded } from './testing/founded.ts'

const offline = (member: Member) => ({
  member: { ...member, state: 'offline' as const },
  event: { atMs: 7, kind: 'member-offline', node: member.id, text: `${member.name} is silent` },
})

const old = { atMs: 1, kind: 'member-online', node: 1, text: 'long ago' }

test('a change and its event are one transaction, decided again when somebody was faster', async () => {
  const system = await founded()
  let asked = 0
  const changed = await changeMember(system, nodeId(2), (member) => {
    asked++
    if (asked === 1) {
      const value = memberCodec.encode({ ...member, labels: { rack: 'r1' } })
      void system.put(memberKey(2), value)
    }
    return offline(member)
  })
  assert.equal(asked, 2)
  assert.deepEqual([changed?.state, changed?.labels], ['offline', { rack: 'r1' }])
  const events = await listEvents(system, { limit: 10, isSerializable: false })
  assert.deepEqual(events, [
    { number: 1, atMs: 7, kind: 'member-offline', node: 2, text: 'node-2 is silent' },
  ])
  assert.equal(await changeMember(system, nodeId(9), offline), undefined)
})

test('the list of events keeps the newest, newest first, in pages', async () => {
  const system = await founded()
  await system.put(eventCounterKey, counterCodec.encode({ value: eventsMax - 3 }))
  await system.put(eventKey(1), eventCodec.encode({ ...old, number: 1 }))
  await system.put(eventKey(5), eventCodec.encode({ ...old, number: 5 }))
  for (let i = 0; i < 5; i++) await changeMember(system, nodeId(1), offline)
  const all = await listEvents(system, { limit: eventsMax * 2, isSerializable: true })
  const numbers = [2, 1, 0, -1, -2].map((past) => eventsMax + past)
  assert.deepEqual(
    all.map(({ number }) => number),
    [...numbers, 5],
  )
  const before = eventsMax
  const page = await listEvents(system, { limit: 2, before, isSerializable: true })
  assert.deepEqual(
    page.map(({ number }) => number),
    [eventsMax - 1, eventsMax - 2],
  )
})

test('members are described and labelled only if they are members, and only sensibly', async () => {
  const system = await founded()
  await describeMember(system, nodeId(1), {
    labels: { dc: 'fra-1', rack: 'r12' },
    capacityBytes: 5,
    publicUrl: 'https://eu.example.org:7777',
  })
  const labelled = await labelMember(system, nodeId(1), { rack: '', zone: 'a' })
  assert.deepEqual(
    [labelled.labels, labelled.capacityBytes, labelled.publicUrl],
    [{ dc: 'fra-1', zone: 'a' }, 5, 'https://eu.example.org:7777'],
  )
  const missing = (error: unknown): boolean => isFault(error, 'not-found')
  await assert.rejects(describeMember(system, nodeId(4), {}), missing)
  await assert.rejects(labelMember(system, nodeId(4), { dc: 'x' }), missing)
  await assert.rejects(labelMember(system, nodeId(1), { 'a b': 'x' }), (e) => isFault(e, 'invalid'))
})

test('the rule of placement is kept as it was set, and its change is told', async () => {
  const system = await founded()
  assert.equal(await readPlacementRule(system), undefined)
  const rule: PlacementRule = {
    dataShards: 1,
    parityShards: 2,
    minDistinct: { dc: 2, rack: 3 },
    weights: 'equal',
    repairAfterMs: 5_000,
  }
  await changePlacementRule(system, () => rule, 3)
  assert.deepEqual(await readPlacementRule(system), rule)
  const [event] = await listEvents(system, { limit: 1, isSerializable: false })
  assert.deepEqual([event?.kind, event?.atMs], ['rule-changed', 3])
  const bad = changePlacementRule(system, () => ({ ...rule, dataShards: 40 }), 4)
  await assert.rejects(bad, (error) => isFault(error, 'invalid'))
})

test('what a member runs is changed with its event; control is given and never taken', async () => {
  const system = await founded()
  const set = (id: number, caps: readonly string[]) =>
    setCapabilities(system, nodeId(id), { caps, atMs: 9 })
  const refused = (asked: Promise<unknown>, code: 'invalid' | 'not-found', words: RegExp) =>
    assert.rejects(asked, (error) => isFault(error, code) && words.test(error.message))
  assert.deepEqual((await set(1, ['control', 's3'])).caps, ['control', 's3'])
  const [event] = await listEvents(system, { limit: 1, isSerializable: false })
  assert.deepEqual(
    [event?.kind, event?.node, event?.text],
    ['capabilities-changed', 1, 'node-1 runs control, s3'],
  )
  await refused(set(1, ['s3']), 'invalid', /'control', which stays/)
  assert.deepEqual((await set(1, [])).caps, [])
  await refused(set(1, ['ebs']), 'invalid', /'control', which stays/)
  await refused(set(4, []), 'not-found', /no member has the id 4/)
  for (const wrong of [['S3'], ['s3', 's3'], [''], Array.from({ length: 33 }, (_, i) => `c${i}`)]) {
    await refused(set(1, ['control', ...wrong]), 'invalid', /capabilit/)
  }
})

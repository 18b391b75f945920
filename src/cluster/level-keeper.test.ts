import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId, type NodeId } from '../base/index.ts'
import type { Member } from './cluster.ts'
import { firstLevel, type HeardLevel, newestLevel } from './core/feature-levels.ts'
import {
  counterCodec,
  levelCodec,
  levelKey,
  memberCodec,
  memberKey,
  nodeCounterKey,
} from './core/records.ts'
import type { BeatRow } from './heartbeats.ts'
import { changeLevelPolicy, LevelKeeper, raiseLevel, readLevel } from './level-keeper.ts'
import { listEvents } from './registry.ts'
import { founded } from './testing/founded.ts'
import { MemoryKeyspace } from './testing/memory-keyspace.ts'

const three = [1, 2, 3].map(nodeId)

/** A cluster that was founded by an older program. */
async function foundedBefore(): Promise<MemoryKeyspace> {
  const system = await founded()
  const old = { level: firstLevel, isByOperator: false, raisedMs: 0 }
  await system.put(levelKey, levelCodec.encode(old))
  return system
}

async function membersOf(system: MemoryKeyspace): Promise<readonly Member[]> {
  const kvs = await Promise.all(three.map((id) => system.range({ key: memberKey(id) })))
  return kvs.flatMap((found) => found.kvs.map((kv) => memberCodec.decode(kv.value)))
}

const row = (id: NodeId, level: number): BeatRow => ({
  id,
  level,
  freeBytes: 1,
  capacityBytes: 2,
  version: '0.1.0',
  silentMs: 10,
  isHeard: true,
  suspectAfterMs: 3_000,
  phi: 0,
  settingsDigest: '',
})

const heardAs =
  (rows: readonly BeatRow[]) =>
  (members: readonly Member[]): readonly HeardLevel[] =>
    members.map(({ id, name, state }) => {
      const { isHeard = false, level = 0, version = '' } = rows.find((one) => one.id === id) ?? {}
      return { id, name, state, isHeard, level, version }
    })

test('a cluster begins at the newest level of the program that founds it', async () => {
  const system = await founded()
  assert.equal((await readLevel(system)).level, newestLevel)
  assert.equal((await readLevel(new MemoryKeyspace())).level, firstLevel)
})

test('a raise is one transaction with its event; it goes no further than the slowest, and never back', async () => {
  const system = await foundedBefore()
  const how = { atMs: 77, newest: 5 }
  const rows = (levels: readonly number[]) =>
    heardAs(three.map((id, at) => row(id, levels[at] ?? 0)))
  const blocked = await raiseLevel(system, rows([4, 4, 1]), how)
  assert.equal(blocked.record.level, firstLevel)
  assert.deepEqual(blocked.plan.blockers, ['node-3 runs 0.1.0, which does not know level 2'])
  const raised = await raiseLevel(system, rows([4, 4, 3]), how)
  assert.deepEqual(raised.record, { level: 3, isByOperator: false, raisedMs: 77 })
  assert.deepEqual(await readLevel(system), raised.record)
  const later = await raiseLevel(system, rows([1, 1, 1]), how)
  assert.deepEqual(later.record, raised.record, 'never lowered')
  const events = await listEvents(system, { limit: 9, isSerializable: true })
  assert.deepEqual(
    events.map(({ kind, text }) => [kind, text]),
    [['level-raised', 'feature level 3']],
  )
})

test('who comes in while the level rises is seen: the decision is made again', async () => {
  const system = await foundedBefore()
  const members = await membersOf(system)
  const [first] = members
  assert.ok(first !== undefined)
  const rows = heardAs(three.map((id) => row(id, 2)))
  // Between the read that decides and the transaction: a newcomer that nobody has heard.
  const { txn } = system
  let isFirst = true
  system.txn = async (request) => {
    const isRaise = request.success.some(({ kind }) => kind === 'put')
    if (isRaise && isFirst) {
      isFirst = false
      const joining = { ...first, id: nodeId(4), name: 'node-4', state: 'joining' as const }
      await system.put(memberKey(4), memberCodec.encode(joining))
      await system.put(nodeCounterKey, counterCodec.encode({ value: 4 }))
    }
    return txn.call(system, request)
  }
  const { record, plan } = await raiseLevel(system, rows, { atMs: 1, newest: 2 })
  assert.equal(record.level, firstLevel)
  assert.deepEqual(plan.blockers, ['node-4 is joining'])
})

test('the leader raises by itself once all were able for a while; by command only when that is set', async () => {
  const system = await foundedBefore()
  const members = await membersOf(system)
  let nowMs = 0
  let look = (): void => undefined
  let rows: readonly BeatRow[] = []
  let done: Promise<unknown> = Promise.resolve()
  const clock = {
    monotonicMs: () => nowMs,
    wallMs: () => 1_000 + nowMs,
    every: (_ms: number, run: () => void) => {
      look = run
      return { cancel: () => undefined }
    },
  }
  const journal = { event: () => undefined, fatal: assert.fail }
  const host = { clock, journal } as unknown as ConstructorParameters<typeof LevelKeeper>[0]['host']
  let active = firstLevel
  const parts = { host, system, rows: () => rows, active: () => active }
  const keeper = new LevelKeeper(parts, () => members, { settleMs: 5_000, newest: 2 })
  const after = async (ms: number): Promise<number> => {
    nowMs += ms
    look()
    for (let turn = 0; turn < 50; turn++) await Promise.resolve()
    await done
    done = Promise.resolve()
    active = (await readLevel(system)).level
    return active
  }
  const able = three.map((id) => row(id, 2))
  assert.equal(await after(60_000), 1, 'not the leader')
  rows = able
  assert.equal(await after(1_000), 1)
  assert.equal(await after(4_000), 1)
  rows = [row(nodeId(1), 2), row(nodeId(2), 2), row(nodeId(3), 0)]
  assert.equal(await after(500), 1, 'one went back')
  rows = able
  assert.equal(await after(4_000), 1)
  await changeLevelPolicy(system, true)
  assert.equal(await after(6_000), 1, 'by command')
  await changeLevelPolicy(system, false)
  assert.equal(await after(1_000), 1)
  assert.equal(await after(6_000), 2)
  assert.equal((await readLevel(system)).isByOperator, false)
  keeper.close()
})

// What the leader does by its clock, and what replicas are held to: leases, entries' time, sessions, the
// quota, comparison of digests, hashes. Clocks are moved by the tests.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Fault, Fault as FaultOf, nodeId, utf8Decode, utf8Encode } from '../base/index.ts'
import { EntryClock } from './core/entry-clock.ts'
import { judge } from './core/judge.ts'
import { latestKey, spaceOf } from './core/rows.ts'
import type { FullKeyspace } from './keyspace.ts'
import type { NamespaceOptions } from './keyspaces.ts'
import { TestClock } from './testing/clock-host.ts'
import { type TestDirectory, testDirectory, testGroup } from './testing/doubles.ts'
import { World } from './testing/world.ts'

const text = utf8Encode
const key = text('k')
const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }
let directory: TestDirectory
before(() => {
  directory = testDirectory()
})
after(() => directory.remove())

type Timed = { readonly world: World; readonly clocks: readonly TestClock[] }

/** Nodes 1 to 4, each with a clock of its own. */
async function inTime(
  run: (timed: Timed) => Promise<void>,
  namespace: Partial<NamespaceOptions> = {},
): Promise<void> {
  const clocks = [1, 2, 3, 4].map(() => new TestClock(directory.host))
  const hostOf = (id: number) => (clocks[id - 1] as TestClock).host
  const world = new World(directory.host, { namespace, hostOf })
  await world.start()
  try {
    await run({ world, clocks })
  } finally {
    await world.close()
  }
}

function clockOf({ clocks }: Timed, id: number): TestClock {
  return clocks[id - 1] as TestClock
}

async function keysAt(keyspace: FullKeyspace): Promise<string[]> {
  return (await keyspace.range(all)).kvs.map((kv) => utf8Decode(kv.key))
}

async function putWith(keyspace: FullKeyspace, name: string, lease: number): Promise<void> {
  const success = [{ kind: 'put', key: text(name), value: text('v'), lease } as const]
  await keyspace.txn({ compares: [], success, failure: [] })
}

describe("entries' time", () => {
  it('advances as the monotonic clock of the leader does, from the newest entry on', () => {
    const clock = new EntryClock()
    const wallMs = 1_000_000
    assert.equal(clock.read({ monotonicMs: 10, wallMs, newestMs: 0 }), wallMs)
    assert.equal(clock.read({ monotonicMs: 60.7, wallMs: 9e12, newestMs: wallMs }), wallMs + 50)
    assert.equal(clock.read({ monotonicMs: 70, wallMs: 5, newestMs: wallMs + 50 }), wallMs + 60)
    clock.restart()
    assert.equal(
      clock.read({ monotonicMs: 9000, wallMs: 9e12, newestMs: wallMs + 60 }),
      wallMs + 60,
    )
    assert.equal(clock.read({ monotonicMs: 9005, wallMs: 9e12, newestMs: wallMs }), wallMs + 65)
    // Entries of an earlier leader, applied late, are the newest then.
    assert.equal(clock.read({ monotonicMs: 9010, wallMs: 0, newestMs: wallMs + 500 }), wallMs + 500)
    assert.equal(clock.read({ monotonicMs: 9011, wallMs: 0, newestMs: wallMs + 500 }), wallMs + 501)
  })

  it('is not moved by jumps of wall clocks, on any leader: no session ends by them', () =>
    inTime(async (timed) => {
      const { world } = timed
      const timeMs = async (): Promise<number> => {
        const { timeMs: told } = world.machineAt(3).state.record
        return told
      }
      await world.at(4).put(key, text('first'))
      const start = await timeMs()
      clockOf(timed, 1).wallMs += 5 * 3_600_000
      await clockOf(timed, 1).jump(1000)
      await world.at(1).put(key, text('jumped'))
      assert.equal(await timeMs(), start + 1000)
      clockOf(timed, 2).wallMs += 9 * 3_600_000
      world.consensus.elect(2)
      await world.at(2).put(key, text('elected'))
      await clockOf(timed, 2).jump(2000)
      await world.at(2).put(key, text('later'))
      assert.equal(await timeMs(), start + 3000)
      await world.keyspacesAt(2).compactNow({ ageMs: 1e9, revisionsMax: 1 })
      assert.equal(world.machineAt(3).state.sessionCount, 3)
    }))

  it('a session that is forgotten begins anew, but not for a request that may have been applied', () =>
    inTime(async (timed) => {
      const { world } = timed
      await world.at(4).put(key, text('a'))
      await clockOf(timed, 1).jump(700_000)
      await world.at(1).put(key, text('b'))
      await world.keyspacesAt(1).compactNow({ ageMs: 1e9, revisionsMax: 1 })
      assert.equal(world.machineAt(1).state.sessionCount, 1)
      world.consensus.fates.push('applied-then-lost')
      await assert.rejects(world.at(4).put(key, text('c')), (fault: Fault) => {
        return fault.fields.session === 'expired' && fault.outcome === 'unknown'
      })
      assert.equal(await world.at(4).put(key, text('d')), 4)
      assert.equal(world.machineAt(1).state.sessionCount, 2)
    }))
})

describe('leases', () => {
  it('end with their keys when their time is over, and not before', () =>
    inTime(async (timed) => {
      const { world } = timed
      const clock = clockOf(timed, 1)
      const { id, ttlSeconds } = await world.at(4).leases.grant({ ttlSeconds: 10 })
      assert.ok(id > 0 && ttlSeconds === 10)
      await putWith(world.at(3), 'b', id)
      await putWith(world.at(4), 'a', id)
      await clock.pass(9000)
      assert.deepEqual(await keysAt(world.at(3)), ['a', 'b'])
      const left = await world.at(2).leases.timeToLive(id, { withKeys: true })
      assert.deepEqual(left.keys.map(utf8Decode), ['a', 'b'])
      assert.ok(left.ttlSeconds >= 1 && left.ttlSeconds <= 2 && left.grantedTtlSeconds === 10)
      assert.equal((await world.at(4).leases.keepAlive(id)).ttlSeconds, 10)
      await clock.pass(9000)
      assert.deepEqual((await world.at(2).leases.list()).ids, [id])
      await clock.pass(2000)
      assert.deepEqual(await keysAt(world.at(3)), [])
      assert.deepEqual((await world.at(2).leases.list()).ids, [])
      assert.equal((await world.at(2).leases.keepAlive(id)).ttlSeconds, 0)
      const gone = await world.at(2).leases.timeToLive(id)
      assert.deepEqual([gone.ttlSeconds, gone.revision], [-1, 4])
    }))

  it('cost no entry to keep alive, and live on whole when the lead moves', () =>
    inTime(async (timed) => {
      const { world } = timed
      const { id } = await world.at(1).leases.grant({ id: 77, ttlSeconds: 10 })
      await clockOf(timed, 1).pass(9000)
      const { proposals } = world.consensus
      for (const node of [1, 2, 3, 4]) await world.at(node).leases.keepAlive(id)
      assert.equal(world.consensus.proposals, proposals)
      await clockOf(timed, 1).pass(8000)
      world.consensus.elect(2)
      await clockOf(timed, 2).pass(9000)
      assert.deepEqual((await world.at(1).leases.list()).ids, [77])
      await clockOf(timed, 2).pass(2000)
      assert.deepEqual((await world.at(1).leases.list()).ids, [])
    }))

  it('are not ended by a leader that slept, nor by one that does not lead any more', () =>
    inTime(async (timed) => {
      const { world, clocks } = timed
      const { id } = await world.at(1).leases.grant({ ttlSeconds: 5 })
      await clocks[0]?.pass(2000)
      await clocks[0]?.jump(60_000)
      assert.deepEqual((await world.at(2).leases.list()).ids, [id])
      // Cut off: it does not hear that another leads, its lead is not confirmed, nothing is proposed.
      const { proposals } = world.consensus
      world.consensus.refuseBarriers(1)
      await clocks[0]?.pass(60_000)
      assert.equal(world.consensus.proposals, proposals)
      world.consensus.elect(2)
      await clocks[0]?.pass(60_000)
      assert.equal(world.consensus.proposals, proposals)
      assert.deepEqual((await world.at(3).leases.list()).ids, [id])
      await clocks[1]?.pass(4000)
      assert.equal((await world.at(4).leases.keepAlive(id)).ttlSeconds, 5)
    }))

  it('refuse what etcd refuses, in its words', () =>
    inTime(async ({ world }) => {
      const { leases } = world.at(4)
      await leases.grant({ id: 5, ttlSeconds: 60 })
      await assert.rejects(leases.grant({ id: 5, ttlSeconds: 60 }), /lease already exists/)
      await assert.rejects(leases.grant({ ttlSeconds: 1e10 }), /too large lease TTL/)
      await assert.rejects(leases.revoke(6), /requested lease not found/)
      await assert.rejects(putWith(world.at(1), 'a', 6), /requested lease not found/)
      await putWith(world.at(1), 'a', 5)
      assert.equal(await leases.revoke(5), 3)
      assert.deepEqual(await keysAt(world.at(2)), [])
    }))
})

describe('the quota', () => {
  it('refuses puts, and recovers by deletion and compaction alone', () =>
    inTime(
      async (timed) => {
        const { world } = timed
        const keyspace = world.at(4)
        const value = new Uint8Array(900)
        let revision = 0
        await assert.rejects(async () => {
          for (let i = 0; i < 40; i++) revision = await keyspace.put(text(`k${i}`), value)
        }, /etcdserver: mvcc: database space exceeded/)
        const full = await keyspace.status()
        assert.deepEqual(full.alarms, ['no-space'])
        assert.ok(full.usedBytes > full.quotaBytes && full.usedBytes < full.quotaBytes + 4000)
        await assert.rejects(keyspace.leases.grant({ ttlSeconds: 9 }), { code: 'no-space' })
        assert.ok((await keyspace.range(all)).kvs.length > 10)
        assert.ok((await keyspace.delete(text('k'), { rangeEnd: text('l') })) > 10)
        await keyspace.disarm('no-space')
        await assert.rejects(keyspace.put(key, value), { code: 'no-space' })
        await keyspace.compact(revision + 1, { isPhysical: true })
        await clockOf(timed, 1).pass(1000)
        assert.deepEqual((await keyspace.status()).alarms, [])
        await keyspace.put(key, value)
      },
      { quotaBytes: 20_000 },
    ))
})

describe('comparison of replicas', () => {
  const digest = (byte: number): Uint8Array => Uint8Array.of(byte)
  const nodes = [1, 2, 3].map(nodeId)

  it('judges by a majority of the voters', () => {
    const of = (digests: Record<number, number>) =>
      judge(
        new Map(Object.entries(digests).map(([id, byte]) => [nodeId(Number(id)), digest(byte)])),
        nodes,
      )
    assert.deepEqual(of({ 1: 7, 2: 7, 3: 7 }), { kind: 'agreed' })
    assert.deepEqual(of({ 1: 7, 2: 7 }), { kind: 'agreed' })
    assert.deepEqual(of({ 1: 7 }), { kind: 'unknown' })
    assert.deepEqual(of({ 1: 7, 2: 8 }), { kind: 'split' })
    assert.deepEqual(of({ 1: 7, 2: 8, 3: 9 }), { kind: 'split' })
    assert.deepEqual(of({ 1: 7, 2: 8, 3: 8 }), { kind: 'verdict', digest: digest(8), wrong: [1] })
    const learner = of({ 1: 7, 2: 7, 3: 7, 9: 8 })
    assert.deepEqual(learner, { kind: 'verdict', digest: digest(7), wrong: [9] })
  })

  /** Another value than everybody else's, behind the back of the log. */
  async function spoil(world: World, id: number): Promise<void> {
    const store = world.storeAt(id)
    const space = spaceOf(testGroup, 0)
    const row = store.get('latest', latestKey(space, text('other')))
    assert.ok(row !== undefined)
    store.transaction(() => {
      store.put('latest', latestKey(space, key), row)
      store.delete('latest', latestKey(space, key))
    })
    await world.at(1).put(key, text('again'))
  }

  it('stops the replica that differs, and tells', () =>
    inTime(async ({ world }) => {
      await world.at(1).put(key, text('x'))
      await world.at(1).put(text('other'), text('y'))
      await world.keyspacesAt(1).compareNow()
      assert.equal((await world.at(3).status()).isDiverged, false)
      await spoil(world, 3)
      await world.keyspacesAt(1).compareNow()
      assert.equal((await world.at(3).status()).isDiverged, true)
      assert.equal((await world.at(2).status()).isDiverged, false)
      const { proposals } = world.consensus
      await world.keyspacesAt(1).compareNow()
      assert.equal(world.consensus.proposals, proposals)
      // Reads at the wrong node are answered by the leader; what only it could answer is refused.
      assert.equal((await world.at(3).range({ key })).kvs[0]?.version, 2)
      await assert.rejects(world.at(3).hash(0), { code: 'corrupt' })
      const ended = new Promise<Fault>((resolve) => {
        world.at(3).watch({ key }, { onResponse: () => true, onEnded: resolve })
      })
      assert.equal((await ended).code, 'corrupt')
      assert.deepEqual((await world.at(1).hash(0)).hash, (await world.at(2).hash(0)).hash)
    }))

  it('makes a leader that differs give the lead away', () =>
    inTime(async ({ world }) => {
      await world.at(1).put(key, text('x'))
      await world.at(1).put(text('other'), text('y'))
      await spoil(world, 1)
      await world.keyspacesAt(1).compareNow()
      assert.equal(world.consensus.leader, 2)
      assert.equal((await world.at(1).status()).isDiverged, true)
      assert.ok((await world.at(1).put(key, text('z'))) > 3)
      assert.equal(utf8Decode((await world.at(1).range({ key })).kvs[0]?.value as Uint8Array), 'z')
    }))

  it('stops all writing when nobody is in the majority, until somebody is', () =>
    inTime(async ({ world }) => {
      await world.at(1).put(key, text('x'))
      await world.at(1).put(text('other'), text('y'))
      await spoil(world, 2)
      world.network.down.add(nodeId(3))
      await world.keyspacesAt(1).compareNow()
      assert.deepEqual((await world.at(1).status()).alarms, ['corrupt'])
      await assert.rejects(world.at(1).put(key, text('z')), /etcdserver: corrupt cluster/)
      assert.equal((await world.at(1).range({ key })).kvs.length, 1)
      world.network.down.delete(nodeId(3))
      await world.keyspacesAt(1).compareNow()
      assert.deepEqual((await world.at(1).status()).alarms, [])
      assert.equal((await world.at(2).status()).isDiverged, true)
      await world.at(1).put(key, text('z'))
    }))
})

describe('hashes', () => {
  it('at a revision are what the hash of now was then, on every replica', () =>
    inTime(async ({ world }) => {
      const known = new Map<number, number>()
      for (let i = 0; i < 30; i++) {
        const value = new Uint8Array([5, 300, 2000][i % 3] as number).fill(i)
        const revision = await world.at(1).put(text(`k${i % 7}`), value)
        if (i % 5 === 4) await world.at(1).delete(text(`k${(i + 3) % 7}`))
        const now = await world.at(2).hash(0)
        assert.equal(now.hashRevision, now.revision)
        known.set(now.revision, now.hash)
        if (i % 5 !== 4) assert.equal(now.revision, revision)
      }
      assert.equal(new Set(known.values()).size, known.size)
      await world.at(1).compact(12)
      await world.keyspacesAt(3).sweep()
      for (const [revision, hash] of known) {
        if (revision < 12) continue
        for (const id of [1, 3, 4]) assert.equal((await world.at(id).hash(revision)).hash, hash)
      }
      await assert.rejects(world.at(1).hash(11), { code: 'compacted' })
      await assert.rejects(world.at(1).hash(999), /future revision/)
    }))
})

describe('compaction on request', () => {
  it('is refused below and above, and removes rows at once when asked to', () =>
    inTime(async ({ world }) => {
      for (let i = 0; i < 20; i++) await world.at(4).put(key, text(`${i}`))
      assert.equal(await world.at(4).compact(20, { isPhysical: true }), 21)
      assert.equal(world.storeAt(1).keys('history', { start: new Uint8Array(0) }).length, 2)
      await assert.rejects(world.at(2).compact(20), (fault: Fault) => {
        return fault instanceof FaultOf && fault.fields.compacted === '20'
      })
      await assert.rejects(world.at(2).compact(22), /future revision/)
      assert.equal((await world.at(3).status()).compacted, 20)
    }))
})

describe('an alarm raised by hand', () => {
  it('stops puts at every node until it is ended by hand', () =>
    inTime(async (timed) => {
      const { world } = timed
      await world.at(4).arm('no-space')
      for (let i = 0; i < 5; i++) await clockOf(timed, 1).pass(1000)
      for (const id of [1, 2, 3]) {
        assert.deepEqual((await world.at(id).status()).alarms, ['no-space'])
        await assert.rejects(world.at(id).put(key, key), { code: 'no-space' })
      }
      await world.at(1).delete(key)
      await world.at(2).disarm('no-space')
      await world.at(3).put(key, key)
    }))
})

describe('the guard', () => {
  const document = text('who may do what')

  it('is replaced by whoever knows its revision, everywhere alike', () =>
    inTime(async ({ world }) => {
      const follower = world.at(2)
      assert.deepEqual(await follower.guard(), { revision: 0, document: new Uint8Array(0) })
      const before = (await world.at(1).range(all)).revision
      assert.equal(await follower.setGuard({ expected: 0, document }), 1)
      for (const id of [1, 2, 3, 4]) {
        assert.deepEqual(await world.at(id).guard(), { revision: 1, document })
      }
      assert.deepEqual(await follower.guard({ known: 1 }), {
        revision: 1,
        document: new Uint8Array(0),
      })
      await assert.rejects(world.at(3).setGuard({ expected: 0, document }), {
        code: 'conflict',
        fields: { guard: '1' },
      })
      const large = new Uint8Array(1024 * 1024 + 1)
      await assert.rejects(follower.setGuard({ expected: 1, document: large }), {
        code: 'too-large',
      })
      assert.equal((await world.at(1).range(all)).revision, before)
      assert.deepEqual(world.machineAt(1).digest(), world.machineAt(2).digest())
    }))

  it('lets requests that name another revision have no effect', () =>
    inTime(async ({ world }) => {
      const keyspace = world.at(4)
      const { id } = await keyspace.leases.grant({ ttlSeconds: 60 }, { guard: 0 })
      await keyspace.put(key, text('under none'), { guard: 0 })
      await keyspace.setGuard({ expected: 0, document })
      const old = { guard: 0 }
      const refused = [
        keyspace.put(key, text('x'), old),
        keyspace.delete(key, old),
        keyspace.range(all, old),
        keyspace.range({ ...all, isSerializable: true }, old),
        keyspace.txn(
          { compares: [], success: [{ kind: 'range', request: all }], failure: [] },
          old,
        ),
        keyspace.leases.grant({ ttlSeconds: 5 }, old),
        keyspace.leases.revoke(id, old),
        keyspace.leases.timeToLive(id, old),
        keyspace.leases.list(old),
        keyspace.compact(1, old),
      ]
      for (const result of await Promise.allSettled(refused)) {
        assert.equal(result.status === 'rejected' && result.reason.fields.guard, '1')
      }
      const kept = await keyspace.range({ key }, { guard: 1 })
      assert.equal(utf8Decode(kept.kvs[0]?.value ?? key), 'under none')
      assert.deepEqual((await keyspace.leases.list()).ids, [id])
    }))
})

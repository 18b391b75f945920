import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nodeId, seededRandom } from '../base/index.ts'
import type { Manifest } from './content.ts'
import { Pace } from './pace.ts'
import { FakeClock } from './testing/fake-clock.ts'
import { FakeCluster } from './testing/fake-cluster.ts'
import { holdersOf, readWithoutEach, write } from './testing/questions.ts'

type Stored = { readonly manifest: Manifest; readonly bytes: Uint8Array }

async function fill(cluster: FakeCluster, count: number): Promise<readonly Stored[]> {
  const stored: Stored[] = []
  for (let i = 0; i < count; i++) {
    const bytes = seededRandom(100 + i).bytes(3_000 + 900 * i)
    stored.push({ manifest: await cluster.store(1 + (i % 2), bytes), bytes })
  }
  return stored
}

function shardsOn(holders: readonly (readonly number[])[], id: number): number {
  return holders.filter((one) => one.includes(id)).length
}

describe('a member that comes', () => {
  it('takes its share, each shard from one holder, and nothing else moves', async () => {
    const cluster = new FakeCluster({ nodes: 4, rs: [2, 1] })
    const stored = await fill(cluster, 24)
    equal(await cluster.repair(), 0)
    const before = await holdersOf(cluster)
    cluster.add(nodeId(5))
    equal(await cluster.repair(), 0)
    const after = await holdersOf(cluster)
    const isMoved = after.map((holders, i) => holders.filter((id) => !before[i]?.includes(id)))
    ok(isMoved.every((fresh) => fresh.length <= 1 && fresh.every((id) => id === 5)))
    const share = shardsOn(after, 5)
    // Three shards of each chunk on five members: 14.4 of 24 chunks are expected there.
    ok(share >= 8 && share <= 21, `${share} of 24 chunks`)
    for (const { manifest, bytes } of stored) deepEqual(await cluster.load(5, manifest), bytes)
    const { moves } = cluster.node(5).content.status()
    equal(moves.movedShards, share)
    equal(moves.shardsLeft, 0)
  })

  it('in the place of a lost one is given what that one had, and no more', async () => {
    const cluster = new FakeCluster({ nodes: 5, rs: [2, 1] })
    await fill(cluster, 16)
    await cluster.repair()
    const before = await holdersOf(cluster)
    cluster.stop(2)
    cluster.remove(2)
    cluster.add(nodeId(6), nodeId(2))
    equal(await cluster.repair(), 0)
    const after = await holdersOf(cluster)
    deepEqual(
      after,
      before.map((holders) => holders.map((id) => (id === 2 ? 6 : id))),
    )
  })
})

describe('a member that drains', () => {
  it('is emptied while it serves, stays whole at every step, and says when it is empty', async () => {
    const cluster = new FakeCluster({ nodes: 4, rs: [2, 1] }, { freedGraceMs: 600_000 })
    const stored = await fill(cluster, 12)
    equal(await cluster.run(cluster.node(3).content.runEmptying()), false)
    cluster.setState(3, 'draining')
    const held = shardsOn(await holdersOf(cluster), 3)
    ok(held > 0)
    equal(await cluster.run(cluster.node(3).content.runEmptying()), false)
    equal(await cluster.repair(), 0, 'nothing lacks redundancy while it moves')
    equal(shardsOn(await holdersOf(cluster), 3), 0)
    equal(await cluster.run(cluster.node(3).content.runEmptying()), true)
    equal(cluster.node(3).segments.objects.size, 0)
    for (const { manifest, bytes } of stored) {
      deepEqual(await cluster.load(1, manifest), bytes)
    }
    cluster.stop(3)
    cluster.remove(3)
    for (const { manifest, bytes } of stored) await readWithoutEach(cluster, manifest, bytes)
  })

  it('is read by who holds the old list, and that one asks again when it is empty', async () => {
    const cluster = new FakeCluster({ nodes: 2, rs: [1, 0] })
    const stored = await fill(cluster, 6)
    for (const { manifest } of stored) await cluster.load(1, manifest)
    cluster.setState(2, 'draining')
    equal(await cluster.repair(), 0)
    equal(await cluster.run(cluster.node(2).content.runEmptying()), true)
    for (const { manifest, bytes } of stored) {
      deepEqual(await cluster.load(1, manifest), bytes)
      deepEqual(await cluster.load(2, manifest), bytes)
    }
    equal(cluster.events.filter((event) => event.startsWith('content.shard_damaged')).length, 0)
  })

  it('takes no new shard, whatever a writer believes', async () => {
    const cluster = new FakeCluster({ nodes: 4, rs: [2, 1] })
    const random = seededRandom(7)
    cluster.membersSeenBy.set(nodeId(1), cluster.members)
    cluster.setState(4, 'draining')
    for (let i = 0; i < 8; i++) await cluster.store(1, random.bytes(9_000))
    equal(shardsOn(await holdersOf(cluster), 4), 0)
  })

  it('is not empty while an upload may still name what lies there; a late one repeats', async () => {
    const cluster = new FakeCluster({ nodes: 4, rs: [2, 1] })
    const bytes = seededRandom(8).bytes(40_000)
    const draft = await write(cluster, bytes, true)
    const { content, segments } = cluster.node(4)
    ok(segments.objects.size > 0, 'the draft has shards on node 4')
    cluster.setState(4, 'draining')
    equal(await cluster.run(content.runEmptying()), false)
    cluster.clock.nowMs += 61_000
    equal(await cluster.run(content.runEmptying()), true)
    const late = await cluster.keyspace.txn({
      compares: draft.compares,
      success: draft.operations,
      failure: [],
    })
    equal(late.succeeded, false, 'it would have named shards of a node that is about to go')
    await rejects(cluster.run(draft.refresh()), { code: 'unavailable' })
    equal(shardsOn(await holdersOf(cluster), 4), 0)
  })

  it('an upload that ends in time is moved like the rest', async () => {
    const cluster = new FakeCluster({ nodes: 4, rs: [2, 1] })
    const bytes = seededRandom(9).bytes(40_000)
    const draft = await write(cluster, bytes, true)
    cluster.setState(4, 'draining')
    const { content } = cluster.node(4)
    equal(await cluster.run(content.runEmptying()), false)
    const manifest = await cluster.name(draft)
    equal(await cluster.run(content.runEmptying()), false)
    equal(await cluster.repair(), 0)
    equal(await cluster.run(content.runEmptying()), true)
    deepEqual(await cluster.load(2, manifest), bytes)
  })

  it('that dies half way is repaired from the others', async () => {
    const cluster = new FakeCluster({ nodes: 4, rs: [2, 1] })
    const stored = await fill(cluster, 8)
    cluster.setState(3, 'draining')
    cluster.stop(3)
    equal(await cluster.repair(), 0)
    equal(shardsOn(await holdersOf(cluster), 3), 0)
    for (const { manifest, bytes } of stored) deepEqual(await cluster.load(1, manifest), bytes)
  })

  it('that stays after all gets its share back', async () => {
    const cluster = new FakeCluster({ nodes: 4, rs: [2, 1] }, { freedGraceMs: 0 })
    await fill(cluster, 12)
    await cluster.repair()
    const before = await holdersOf(cluster)
    cluster.setState(3, 'draining')
    await cluster.repair()
    await cluster.run(cluster.node(3).content.runEmptying())
    cluster.setState(3, 'online')
    equal(await cluster.run(cluster.node(3).content.runEmptying()), false)
    equal(await cluster.repair(), 0)
    const sorted = (all: readonly (readonly number[])[]) => all.map((one) => [...one].sort())
    deepEqual(sorted(await holdersOf(cluster)), sorted(before))
  })
})

describe('the throttle', () => {
  it('measures first, then holds back to its share, and follows the setting at once', async () => {
    const clock = new FakeClock()
    let share: number | undefined
    const pace = new Pace(clock, () => share)
    const unit = 1024 * 1024
    const spend = async (units: number): Promise<number> => {
      const beforeMs = clock.nowMs
      for (let i = 0; i < units; i++) {
        let isDone = false
        void pace.take(unit, 1).then(() => {
          isDone = true
        })
        for (;;) {
          await new Promise<void>((resolve) => setImmediate(resolve))
          if (isDone || !clock.skip()) break
        }
      }
      return clock.nowMs - beforeMs
    }
    equal(await spend(50), 0)
    pace.measured(2 * unit, 20)
    equal(pace.idleBytesPerSecond, 0, 'too little to tell')
    pace.measured(3 * unit, 30)
    equal(pace.idleBytesPerSecond, 100 * unit)
    await spend(1)
    ok(Math.abs((await spend(30)) - 1_000) < 2, 'thirty of a hundred in a second')
    share = 1
    await spend(1)
    ok(Math.abs((await spend(100)) - 1_000) < 2)
    clock.nowMs += 3_700_000
    ok(pace.isMeasuring(), 'after an hour it is measured anew')
  })

  it('gives all that fetch together no more than one share', async () => {
    const clock = new FakeClock()
    const pace = new Pace(clock, () => 0.5)
    const unit = 1024 * 1024
    let given = 0
    for (let reader = 0; reader < 4; reader++) {
      const read = async (): Promise<void> => {
        for (let i = 0; i < 10; i++) {
          await pace.give(unit, 100 * unit)
          given++
        }
      }
      void read()
    }
    const beforeMs = clock.nowMs
    while (given < 40) {
      await new Promise<void>((resolve) => setImmediate(resolve))
      clock.skip()
    }
    ok(Math.abs(clock.nowMs - beforeMs - 780) < 5, `${clock.nowMs - beforeMs} ms for 40 MiB`)
  })
})

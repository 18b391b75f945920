import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nodeId, seededRandom } from '../base/index.ts'
import type { Manifest } from './content.ts'
import { FakeCluster, sliced } from './testing/fake-cluster.ts'
import { holdersOf, readWithoutEach, totalObjects, write } from './testing/questions.ts'

describe('a lost disk', () => {
  it('is rebuilt shard by shard', async () => {
    const cluster = new FakeCluster({ nodes: 5, rs: [3, 2] })
    const bytes = seededRandom(12).bytes(200_000)
    const manifest = await cluster.store(1, bytes)
    const { segments, content } = cluster.node(4)
    const before = new Map([...segments.objects].map(([name, { bytes: shard }]) => [name, shard]))
    segments.objects.clear()
    deepEqual(await cluster.load(4, manifest), bytes)
    equal(await cluster.repair(), 0)
    deepEqual(
      new Map([...segments.objects].map(([name, { bytes: shard }]) => [name, shard])),
      before,
    )
    equal(content.status().repairedShards, before.size)
  })

  it('under a new identity is taken over by the replacement', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const bytes = seededRandom(13).bytes(100_000)
    const manifest = await cluster.store(1, bytes)
    cluster.stop(2)
    cluster.remove(2)
    cluster.add(nodeId(4), nodeId(2))
    equal(await cluster.repair(), 0)
    for (const holders of await holdersOf(cluster)) deepEqual([...holders].sort(), [1, 3, 4])
    const rows = cluster.keyspace.keys('n/').filter((key) => key[9] === 2)
    equal(rows.length, 0)
    await readWithoutEach(cluster, manifest, bytes)
  })
})

describe('a member that leaves', () => {
  it('for long gives its shards to spare members, and deletes its own when it returns', async () => {
    const cluster = new FakeCluster({ nodes: 4, rs: [2, 1] }, { repairAfterMs: 600_000 })
    const bytes = seededRandom(14).bytes(120_000)
    const manifest = await cluster.store(1, bytes)
    cluster.stop(2)
    cluster.setState(2, 'offline')
    ok((await cluster.repair()) > 0, 'not moved before repairAfterMs')
    cluster.clock.nowMs += 600_000
    equal(await cluster.repair(), 0)
    for (const holders of await holdersOf(cluster)) ok(!holders.includes(2))
    cluster.restart(2)
    cluster.setState(2, 'online')
    cluster.clock.nowMs += 100_000
    equal(await cluster.repair(), 0)
    await cluster.run(cluster.node(2).content.runSweep())
    equal(cluster.node(2).segments.objects.size, 0)
    deepEqual(await cluster.load(2, manifest), bytes)
  })

  it('is given no shard again before it has followed its notes', async () => {
    const cluster = new FakeCluster({ nodes: 4, rs: [2, 1] }, { repairAfterMs: 0 })
    const bytes = seededRandom(15).bytes(60_000)
    const manifest = await cluster.store(1, bytes)
    cluster.stop(2)
    cluster.setState(2, 'offline')
    equal(await cluster.repair(), 0)
    cluster.restart(2)
    cluster.setState(2, 'online')
    cluster.stop(3)
    cluster.remove(3)
    await cluster.repair()
    cluster.clock.nowMs += 100_000
    for (const id of [1, 2, 4]) await cluster.run(cluster.node(id).content.runSweep())
    equal(await cluster.repair(), 0)
    for (const holders of await holdersOf(cluster)) deepEqual([...holders].sort(), [1, 2, 4])
    await readWithoutEach(cluster, manifest, bytes)
  })

  it('by draining gives its shards away while it serves them', async () => {
    const cluster = new FakeCluster({ nodes: 4, rs: [2, 1] })
    const bytes = seededRandom(16).bytes(60_000)
    const manifest = await cluster.store(1, bytes)
    cluster.setState(3, 'draining')
    equal(await cluster.repair(), 0)
    for (const holders of await holdersOf(cluster)) ok(!holders.includes(3))
    deepEqual(await cluster.load(1, manifest), bytes)
  })
})

describe('labels', () => {
  it('are spread by writes and kept by repairs, which the plan foretells', async () => {
    const cluster = new FakeCluster({ nodes: 6, rs: [2, 1] })
    const rackOf = (id: number): string => `r${id % 3}`
    for (let id = 1; id <= 6; id++) cluster.setLabels(id, { rack: rackOf(id) })
    const shards = { dataShards: 2, parityShards: 1 }
    const rest = { weights: 'equal', repairAfterMs: 60_000 } as const
    cluster.settings = {
      ...cluster.settings,
      placement: { ...shards, ...rest, minDistinct: { rack: 3 } },
    }
    const bytes = seededRandom(19).bytes(300_000)
    const manifest = await cluster.store(1, bytes)
    const racks = async (): Promise<number[]> =>
      (await holdersOf(cluster)).map((holders) => new Set(holders.map(rackOf)).size)
    const all = manifest.chunks.map(() => 3)
    ok(all.length >= 9)
    deepEqual(await racks(), all)
    cluster.stop(2)
    cluster.setState(2, 'offline')
    await cluster.repair()
    const { content } = cluster.node(1)
    equal((await cluster.run(content.planReplication({ limit: 100 }))).items.length, 0)
    cluster.clock.nowMs += 60_000
    const lost = (await holdersOf(cluster)).filter((holders) => holders.includes(nodeId(2))).length
    const first = await cluster.run(content.planReplication({ limit: 1 }))
    const others = await cluster.run(content.planReplication({ limit: 100, after: first.next }))
    equal(others.next, undefined)
    const items = [...first.items, ...others.items]
    equal(items.length, lost)
    // Node 5 is the only other one in the rack.
    for (const { missing, extra } of items) deepEqual([missing, extra], [[5], [2]])
    equal(await cluster.repair(), 0)
    deepEqual(await racks(), all)
    deepEqual(await cluster.load(3, manifest), bytes)
  })
})

describe('the sweep', () => {
  const sweepAll = async (cluster: FakeCluster): Promise<number> => {
    let deleted = 0
    for (const { content } of cluster.nodes.values()) {
      deleted += (await cluster.run(content.runSweep())).deleted
    }
    return deleted
  }

  it('deletes what nobody named, with the second raise', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const kept = seededRandom(17).bytes(50_000)
    const manifest = await cluster.store(1, kept)
    const named = totalObjects(cluster)
    await write(cluster, new Uint8Array(50_000), true)
    equal(await sweepAll(cluster), 0)
    equal(totalObjects(cluster), 2 * named)
    equal(await sweepAll(cluster), named)
    deepEqual(await cluster.load(2, manifest), kept)
    equal(await sweepAll(cluster), 0)
  })

  it('makes a late namer touch its shards', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const bytes = seededRandom(18).bytes(50_000)
    const draft = await write(cluster, bytes, true)
    await sweepAll(cluster)
    const early = await cluster.keyspace.txn({
      compares: draft.compares,
      success: draft.operations,
      failure: [],
    })
    equal(early.succeeded, false)
    const fresh = await cluster.run(draft.refresh())
    await sweepAll(cluster)
    const again = await cluster.run(fresh.refresh())
    const manifest = await cluster.name(again)
    for (let i = 0; i < 3; i++) equal(await sweepAll(cluster), 0)
    deepEqual(await cluster.load(2, manifest), bytes)
  })

  it('is told to the namer whose shards are gone', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const draft = await write(cluster, new Uint8Array(50_000), true)
    for (let i = 0; i < 3; i++) await sweepAll(cluster)
    await rejects(cluster.run(draft.refresh()), { code: 'unavailable' })
  })

  it('never deletes a named shard, whatever runs beside it', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const cluster = new FakeCluster({ nodes: 4, rs: [2, 1], seed }, { freedGraceMs: 0 })
      const random = seededRandom(seed)
      const stored: { manifest: Manifest; bytes: Uint8Array }[] = []
      let isOver = false
      const sweeping = (async () => {
        while (!isOver) {
          const id = 1 + random.integer(4)
          await cluster.node(id).content.runSweep()
          await cluster.turn()
        }
      })()
      for (let i = 0; i < 8; i++) {
        const bytes = random.bytes(1 + random.integer(60_000))
        try {
          stored.push({ manifest: await cluster.store(1 + random.integer(4), bytes), bytes })
        } catch (error) {
          equal((error as { code?: string }).code, 'unavailable')
        }
        const old = random.chance(0.3) ? stored.shift() : undefined
        if (old !== undefined) await cluster.free(1 + random.integer(4), old.manifest)
      }
      isOver = true
      await cluster.run(sweeping)
      for (const { manifest, bytes } of stored) {
        for (let reader = 1; reader <= 4; reader++) {
          deepEqual(await cluster.load(reader, manifest), bytes)
        }
      }
      let missing = 0
      for (const { content } of cluster.nodes.values()) {
        missing += (await cluster.run(content.runRepair())).repaired
      }
      equal(missing, 0, 'no named shard was gone')
    }
  })
})

describe('memory', () => {
  it('is given back by writes and reads that fail', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] }, { memoryBytesMax: 65_536 })
    const bytes = seededRandom(19).bytes(50_000)
    const manifest = await cluster.store(1, bytes)
    for (let round = 0; round < 30; round++) {
      const { segments } = cluster.node(1 + (round % 3))
      segments.isFull = true
      await rejects(write(cluster, bytes, true))
      segments.isFull = false
      cluster.clock.nowMs += 60_000
      const reading = cluster.node(1).content.read(manifest, {
        keyspace: cluster.keyspace,
        at: 0,
        count: bytes.length,
      })
      cluster.stop(2 + (round % 2))
      for await (const slice of reading) if (slice.length > 0) break
      cluster.restart(2 + (round % 2))
      cluster.clock.nowMs += 60_000
    }
    deepEqual(await cluster.load(2, await cluster.store(1, bytes)), bytes)
  })

  it('is shared by many uploads at once', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] }, { memoryBytesMax: 65_536 })
    const all = Array.from({ length: 40 }, (_, i) => seededRandom(i).bytes(20_000))
    const { content } = cluster.node(1)
    const drafts = await cluster.run(
      Promise.all(
        all.map((bytes) =>
          content.write(sliced(bytes, cluster.random), {
            keyspace: cluster.keyspace,
            allowsBareQuorum: true,
          }),
        ),
      ),
    )
    for (const [i, draft] of drafts.entries()) {
      deepEqual(await cluster.load(3, await cluster.name(draft)), all[i])
    }
  })
})

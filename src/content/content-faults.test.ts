import { deepEqual, equal, notDeepEqual, ok, rejects } from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nodeId, seededRandom } from '../base/index.ts'
import { FakeCluster, testUnitBytes } from './testing/fake-cluster.ts'
import { holdersOf, readWithoutEach, totalObjects, write } from './testing/questions.ts'

describe('a holder that is down', () => {
  it('is missing from the record until it returns', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const bytes = seededRandom(1).bytes(90_000)
    cluster.stop(3)
    const manifest = await cluster.store(1, bytes)
    for (const holders of await holdersOf(cluster)) deepEqual([...holders].sort(), [0, 1, 2])
    equal(await cluster.repair(), manifest.chunks.length)
    cluster.restart(3)
    equal(await cluster.repair(), 0)
    for (const holders of await holdersOf(cluster)) deepEqual([...holders].sort(), [1, 2, 3])
    await readWithoutEach(cluster, manifest, bytes)
    equal(cluster.node(3).content.status().underReplicatedShards, 0)
    equal(cluster.node(3).content.status().chunks, manifest.chunks.length)
  })

  it('fails the write when the bucket wants k+1, and leaves nothing', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    cluster.stop(3)
    await rejects(write(cluster, new Uint8Array(50_000), false), { code: 'unavailable' })
    equal(totalObjects(cluster), 0)
  })

  it('fails the write when fewer than k nodes are up', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    cluster.stop(2)
    cluster.stop(3)
    await rejects(write(cluster, new Uint8Array(50_000), true), { code: 'unavailable' })
    equal(totalObjects(cluster), 0)
  })

  it('may go down at any moment of a write', async () => {
    const bytes = seededRandom(2).bytes(70_000)
    for (let moment = 1; moment < 130; moment += 7) {
      const cluster = new FakeCluster({ nodes: 3, rs: [2, 1], seed: moment })
      let deliveries = 0
      cluster.onDeliver = () => {
        if (++deliveries === moment) cluster.stop(3)
      }
      const manifest = await cluster.store(1, bytes)
      deepEqual(await cluster.load(2, manifest), bytes)
      cluster.restart(3)
      equal(await cluster.repair(), 0, `down at delivery ${moment}`)
      await readWithoutEach(cluster, manifest, bytes)
    }
  })

  it('is made good on another member before the write ends', async () => {
    const bytes = seededRandom(3).bytes(30_000)
    let isRebuilt = false
    for (let moment = 2; moment < 50; moment += 4) {
      const cluster = new FakeCluster({ nodes: 5, rs: [2, 1], seed: moment })
      let deliveries = 0
      cluster.onDeliver = (to) => {
        if (++deliveries >= moment && to !== nodeId(1) && cluster.down.size === 0) cluster.stop(to)
      }
      const draft = await write(cluster, bytes, false)
      const manifest = await cluster.name(draft)
      for (const holders of await holdersOf(cluster)) {
        equal(holders.filter((id) => id !== 0).length, 3)
        if (holders.some((id) => cluster.down.has(nodeId(id)))) continue
        isRebuilt = true
      }
      deepEqual(await cluster.load(1, manifest), bytes)
    }
    ok(isRebuilt, 'some chunk was rebuilt onto a spare member')
  })
})

describe('a holder that stalls', () => {
  it('is given up by a writer', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const bytes = seededRandom(4).bytes(60_000)
    cluster.onDeliver = (to) => {
      if (to === nodeId(3)) cluster.stalled.add(to)
    }
    const manifest = await cluster.store(1, bytes)
    cluster.onDeliver = () => undefined
    cluster.stalled.clear()
    deepEqual(await cluster.load(2, manifest), bytes)
    ok((await holdersOf(cluster)).every((holders) => holders.includes(0)))
    cluster.clock.nowMs += 60_000
    equal(await cluster.repair(), 0)
    await readWithoutEach(cluster, manifest, bytes)
  })

  it('is passed over by a reader', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const bytes = seededRandom(5).bytes(60_000)
    const manifest = await cluster.store(1, bytes)
    for (const stalled of [2, 3]) {
      cluster.stalled.add(nodeId(stalled))
      const before = cluster.clock.nowMs
      deepEqual(await cluster.load(1, manifest), bytes)
      ok(cluster.clock.nowMs - before < 2_000, 'hedged, not waited for')
      cluster.stalled.clear()
    }
  })

  it('takes nothing from writers while it reads what must be computed, and its client rests', async () => {
    // One of the two has a data shard of the first chunk.
    for (const lost of [2, 3]) {
      const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
      const { keyspace } = cluster
      const { content } = cluster.node(1)
      const bytes = seededRandom(6).bytes(60_000)
      const manifest = await cluster.store(1, bytes)
      cluster.stop(lost)
      const readers = Array.from({ length: 200 }, () =>
        content.read(manifest, { keyspace, at: 0, count: bytes.length })[Symbol.asyncIterator](),
      )
      for (const reader of readers) {
        const { value } = await cluster.run(reader.next())
        deepEqual(value, bytes.subarray(0, testUnitBytes))
      }
      const other = seededRandom(7).bytes(60_000)
      deepEqual(await cluster.load(1, await cluster.store(1, other)), other)
      for (const reader of readers) await cluster.run(Promise.resolve(reader.return?.()))
    }
  })

  it('stops the body while the upload has no room', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] }, { stallMs: 1e9 })
    let given = 0
    async function* body(): AsyncGenerator<Uint8Array> {
      for (; given < 1_000_000; given += 500) yield new Uint8Array(500)
    }
    cluster.stalled.add(nodeId(2))
    const writing = cluster.node(1).content.write(body(), {
      keyspace: cluster.keyspace,
      allowsBareQuorum: true,
    })
    for (let turn = 0; turn < 2_000; turn++) await cluster.idle()
    // One lane may hold all slots: 15 units of 1 KiB, each of another stripe of 2 KiB.
    ok(given <= 16 * 2 * testUnitBytes + 500, `${given} bytes taken`)
    cluster.stalled.clear()
    const draft = await cluster.run(writing)
    equal(draft.manifest.length, 1_000_000)
  })
})

describe('a full disk', () => {
  it('is passed by when another member has room', async () => {
    const cluster = new FakeCluster({ nodes: 4, rs: [2, 1] })
    const bytes = seededRandom(6).bytes(90_000)
    cluster.node(4).segments.isFull = true
    const manifest = await cluster.name(await write(cluster, bytes, false))
    for (const holders of await holdersOf(cluster)) deepEqual([...holders].sort(), [1, 2, 3])
    deepEqual(await cluster.load(4, manifest), bytes)
  })

  it('fails the write when no other member has room; reads go on', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const bytes = seededRandom(7).bytes(40_000)
    const manifest = await cluster.store(1, bytes)
    for (const { segments } of cluster.nodes.values()) segments.isFull = true
    await rejects(write(cluster, bytes, true), { code: 'no-space' })
    deepEqual(await cluster.load(2, manifest), bytes)
    for (const { segments } of cluster.nodes.values()) segments.isFull = false
    cluster.clock.nowMs += 60_000
    deepEqual(await cluster.load(3, await cluster.store(1, bytes)), bytes)
  })
})

describe('damage', () => {
  it('anywhere in a shard is never given, and repaired behind the reader', async () => {
    const random = seededRandom(8)
    const bytes = random.bytes(30_000)
    for (let i = 0; i < 12; i++) {
      const cluster = new FakeCluster({ nodes: 3, rs: [2, 1], seed: i })
      const manifest = await cluster.store(1, bytes)
      const { segments } = cluster.node(1 + random.integer(3))
      const [[name, { bytes: shard }]] = [...segments.objects] as unknown as [
        [string, { bytes: Uint8Array }],
      ]
      const intact = shard.slice()
      segments.damage(name, random.integer(shard.length))
      for (let reader = 1; reader <= 3; reader++)
        deepEqual(await cluster.load(reader, manifest), bytes)
      notDeepEqual(segments.objects.get(name)?.bytes, intact)
      for (const { content } of cluster.nodes.values()) await cluster.run(content.runScrub())
      deepEqual(segments.objects.get(name)?.bytes, intact)
    }
  })

  it('of a shard that no chunk needs is reported once, and the shard deleted', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const bytes = seededRandom(10).bytes(9_000)
    const draft = await write(cluster, bytes, true)
    const { content, segments } = cluster.node(1)
    const [name] = [...segments.objects.keys()] as [string]
    segments.damage(name, 7)
    equal((await cluster.run(content.runScrub())).damaged, 1)
    deepEqual(await cluster.run(content.runScrub()), { verified: 0, damaged: 0 })
    const manifest = await cluster.name(draft)
    equal(await cluster.repair(), 0)
    equal(segments.objects.size, 1)
    deepEqual(await cluster.load(2, manifest), bytes)
  })

  it('is met with other shards when two are damaged in different stripes', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const bytes = seededRandom(9).bytes(32_000)
    const manifest = await cluster.store(1, bytes)
    const [[a], [b]] = [1, 2].map((id) => [...cluster.node(id).segments.objects.keys()]) as [
      [string],
      [string],
    ]
    // The real segments check 64 KiB at a time; here each unit must stand for itself.
    cluster.node(1).segments.damage(a, 2 * testUnitBytes + 5)
    cluster.node(2).segments.damage(b, 9 * testUnitBytes + 5)
    for (let reader = 1; reader <= 3; reader++)
      deepEqual(await cluster.load(reader, manifest), bytes)
  })

  it('of more shards than there is parity is a fault, not bytes', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const manifest = await cluster.store(1, seededRandom(10).bytes(20_000))
    for (const id of [1, 2]) {
      const { segments } = cluster.node(id)
      for (const name of segments.objects.keys()) segments.damage(name, 3)
    }
    await rejects(cluster.load(3, manifest), { code: 'corrupt' })
  })

  it('on the wire is refused by holders and readers', async () => {
    const bytes = seededRandom(11).bytes(40_000)
    for (let moment = 2; moment < 60; moment += 9) {
      const cluster = new FakeCluster({ nodes: 4, rs: [2, 1], seed: moment })
      let deliveries = 0
      const flip = (message: Uint8Array): void => {
        if (++deliveries === moment && message.length > 100) message[60] = (message[60] ?? 0) ^ 4
      }
      cluster.tamper = flip
      const manifest = await cluster.store(1, bytes)
      deliveries = 0
      deepEqual(await cluster.load(4, manifest), bytes)
      cluster.tamper = () => undefined
      equal(await cluster.repair(), 0)
      await readWithoutEach(cluster, manifest, bytes)
    }
  })
})

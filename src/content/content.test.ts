import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededRandom } from '../base/index.ts'
import { FakeCluster } from './testing/fake-cluster.ts'

describe('write and read', () => {
  it('gives back what was written, over many lengths and codes', async () => {
    const random = seededRandom(7)
    for (const [nodes, k, m] of [
      [1, 1, 0],
      [2, 1, 1],
      [3, 2, 1],
      [5, 3, 2],
      [6, 4, 2],
      [4, 4, 0],
    ] as const) {
      const cluster = new FakeCluster({ nodes, rs: [k, m] })
      for (const length of [1, 15, 16, 1_023, 1_024 * k, 1_024 * k + 1, 32_768, 32_769, 100_000]) {
        const bytes = random.bytes(length)
        const manifest = await cluster.store(1, bytes)
        equal(manifest.length, length)
        deepEqual(await cluster.load(nodes, manifest), bytes, `RS(${k},${m}), ${length} bytes`)
      }
    }
  })

  it('reads ranges as a slice of the whole', async () => {
    const random = seededRandom(8)
    const cluster = new FakeCluster({ nodes: 5, rs: [3, 2] })
    const bytes = random.bytes(80_123)
    const manifest = await cluster.store(2, bytes)
    for (let i = 0; i < 40; i++) {
      const at = random.integer(bytes.length)
      const count = random.integer(Math.min(bytes.length - at, i % 2 === 0 ? 3_000 : 80_000) + 1)
      deepEqual(await cluster.load(3, manifest, at, count), bytes.subarray(at, at + count))
    }
  })

  it('carries half of the bytes at most to each of three nodes: what is near is read, and computed with', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const bytes = seededRandom(10).bytes(200_000)
    const manifest = await cluster.store(1, bytes)
    for (const reader of [1, 2, 3]) {
      let carried = 0
      cluster.tamper = (message, to) => {
        if (to === reader) carried += message.length
      }
      deepEqual(await cluster.load(reader, manifest), bytes)
      ok(carried < bytes.length * 0.55, `${carried} bytes to node ${reader}`)
    }
  })

  it('stores an empty body as no chunk', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    const manifest = await cluster.store(1, new Uint8Array(0))
    deepEqual(manifest, { length: 0, chunks: [] })
    equal((await cluster.load(2, manifest)).length, 0)
  })

  it('puts each shard on a different node and takes little more than (k+m)/k', async () => {
    const cluster = new FakeCluster(
      { nodes: 3, rs: [2, 1] },
      {
        unitBytes: 65_536,
        chunkBytesMax: 4_194_304,
        uploadBytesMax: 8_388_608,
        memoryBytesMax: 12_582_912,
      },
    )
    const bytes = seededRandom(9).bytes(5_000_000)
    await cluster.store(1, bytes)
    let stored = 0
    for (const { segments } of cluster.nodes.values()) {
      equal(segments.objects.size, 2)
      stored += segments.statistics().liveBytes
    }
    ok(stored < bytes.length * 1.505, `${stored} bytes for ${bytes.length}`)
  })

  it('throws the fault of the body as it is and leaves nothing behind', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] })
    async function* broken(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 60; i++) yield new Uint8Array(1_000)
      throw new TypeError('the client has gone')
    }
    const write = cluster
      .node(1)
      .content.write(broken(), { keyspace: cluster.keyspace, allowsBareQuorum: true })
    await rejects(cluster.run(write), { name: 'TypeError' })
    for (const { segments } of cluster.nodes.values()) equal(segments.objects.size, 0)
  })

  it('frees the shards of a released manifest on every node', async () => {
    const cluster = new FakeCluster({ nodes: 3, rs: [2, 1] }, { freedGraceMs: 60_000 })
    const manifest = await cluster.store(1, seededRandom(1).bytes(70_000))
    await cluster.free(2, manifest)
    equal(cluster.keyspace.keys('c/').length, 0)
    equal(cluster.keyspace.keys('n/').length, 0)
    equal((await cluster.run(cluster.node(1).content.runSweep())).deleted, 0)
    cluster.clock.nowMs += 60_000
    for (const { content, segments } of cluster.nodes.values()) {
      await cluster.run(content.runSweep())
      equal(segments.objects.size, 0)
    }
    equal(cluster.keyspace.keys('x/').length, 0)
  })
})

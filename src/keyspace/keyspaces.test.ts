import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Fault, nodeId, utf8Decode, utf8Encode } from '../base/index.ts'
import { createLoopPorts } from '../host/index.ts'
import type { FullKeyspace, FullKeyspaces, Keyspace } from './keyspace.ts'
import { serveKeyspaces } from './keyspaces.ts'
import { createLaneKeyspaces } from './lane-client.ts'
import { type TestDirectory, testDirectory } from './testing/doubles.ts'
import { name, World } from './testing/world.ts'

const key = utf8Encode('k')
const text = utf8Encode

let directory: TestDirectory
before(() => {
  directory = testDirectory()
})
after(() => directory.remove())

async function inWorld(run: (world: World) => Promise<void>): Promise<void> {
  const world = new World(directory.host)
  await world.start()
  try {
    await run(world)
  } finally {
    await world.close()
  }
}

async function valueAt(keyspace: Keyspace): Promise<string> {
  return utf8Decode((await keyspace.range({ key })).kvs[0]?.value ?? text('(none)'))
}

describe('routing', () => {
  it('writes and reads at the leader, a follower and a node without a replica', () =>
    inWorld(async (world) => {
      assert.equal(await world.at(1).put(key, text('a')), 2)
      assert.equal(await world.at(2).put(key, text('b')), 3)
      assert.equal(await world.at(4).put(key, text('c')), 4)
      for (const id of [1, 2, 3, 4]) assert.equal(await valueAt(world.at(id)), 'c')
      assert.equal(await world.at(4).delete(key), 1)
      assert.equal(await world.at(3).delete(key), 0)
      assert.equal(await valueAt(world.at(4)), '(none)')
    }))

  it('carries the writes of one turn in one call and one entry, each with its own answer', () =>
    inWorld(async (world) => {
      await Promise.all([2, 4].map((id) => world.at(id).put(key, text('begun'))))
      const { proposals } = world.consensus
      const { calls } = world.network
      const many = Array.from({ length: 20 }, (_, i) =>
        world.at(2).put(text(`key ${i}`), text('x')),
      )
      const tooLate = world.at(2).txn({
        compares: [{ key, target: 'value', result: 'equal', operand: text('gone') }],
        success: [],
        failure: [{ kind: 'delete', key }],
      })
      const badly = world.at(2).txn({
        compares: [],
        success: [{ kind: 'put', key: text('l'), value: text('x'), lease: 77 }],
        failure: [],
      })
      const refused = assert.rejects(badly, { code: 'not-found' })
      const revisions = await Promise.all(many)
      assert.deepEqual(
        revisions,
        revisions.map((_, i) => (revisions[0] ?? 0) + i),
      )
      assert.equal((await tooLate).succeeded, false)
      await refused
      assert.equal(world.consensus.proposals - proposals, 1)
      assert.equal(world.network.calls - calls, 1)
    }))

  it('carries long values over nodes', () =>
    inWorld(async (world) => {
      const value = new Uint8Array(100_000).fill(5)
      await world.at(3).put(key, value)
      assert.deepEqual((await world.at(4).range({ key })).kvs[0]?.value, value)
      const response = await world.at(2).txn({
        compares: [{ key, target: 'value', result: 'equal', operand: value }],
        success: [{ kind: 'put', key, value: text('short'), previous: true }],
        failure: [],
      })
      const [result] = response.results
      assert.ok(response.succeeded && result?.kind === 'put')
      assert.deepEqual(result.previous?.value, value)
    }))

  it('gets a value that rots here from a member whose bytes have the right digest', () =>
    inWorld(async (world) => {
      const value = new Uint8Array(5_000).fill(7)
      await world.at(1).put(key, value)
      for (const id of [1, 2, 3]) await world.machineAt(id).sync()
      const [[id, object] = []] = world.segmentsAt(2).objects
      assert.ok(id !== undefined && object !== undefined)
      const wrong = { ...object, bytes: new Uint8Array(5_000).fill(8) }
      world.segmentsAt(2).objects.delete(id)
      world.segmentsAt(1).objects.set(id, wrong)
      const read = async () => (await world.at(2).range({ key })).kvs[0]?.value
      assert.deepEqual(await read(), value)
      assert.deepEqual(world.segmentsAt(2).objects.get(id)?.bytes, value, 'it was put back')
      for (const node of [1, 2]) world.segmentsAt(node).objects.delete(id)
      world.network.down.add(nodeId(3))
      await assert.rejects(read(), { code: 'corrupt' })
    }))

  it('finds the leader again after it moved', () =>
    inWorld(async (world) => {
      await world.at(4).put(key, text('a'))
      world.consensus.elect(3)
      for (const id of [1, 2, 3, 4]) await world.at(id).put(key, text(`b${id}`))
      assert.equal(await valueAt(world.at(4)), 'b4')
    }))

  it('finds the leader whose refusal is older than its election', () =>
    inWorld(async (world) => {
      world.consensus.fates.push('not-yet-leader')
      await world.at(2).put(key, text('a'), { deadlineMs: 5_000 })
      assert.equal(await valueAt(world.at(2)), 'a')
    }))

  it('waits while there is no leader', () =>
    inWorld(async (world) => {
      world.consensus.elect(undefined)
      const writes = [1, 2, 4].map((id) => world.at(id).put(key, text('x')))
      const read = world.at(2).range({ key, countOnly: true })
      setImmediate(() => world.consensus.elect(2))
      assert.deepEqual((await Promise.all(writes)).sort(), [2, 3, 4])
      assert.ok((await read).count <= 1)
    }))

  it('applies a write once though its outcome was unknown each time', () =>
    inWorld(async (world) => {
      const count = async (id: number): Promise<void> => {
        world.consensus.fates.push('applied-then-lost', 'lost', 'refused')
        const response = await world.at(id).txn({
          compares: [{ key, target: 'version', result: 'equal', operand: 0 }],
          success: [{ kind: 'put', key, value: text('won') }],
          failure: [],
        })
        assert.equal(response.succeeded, true)
        assert.equal(await world.at(id).delete(key), 1)
      }
      for (const id of [1, 2, 4]) await count(id)
      world.network.answersLost = 2
      await count(3)
      assert.equal((await world.at(1).range({ key })).revision, 9)
    }))

  it('says that the outcome is unknown when the deadline passes in doubt', () =>
    inWorld(async (world) => {
      await world.at(1).put(key, text('w'))
      world.consensus.fates.push('applied-then-lost')
      const write = world.at(1).put(key, text('x'), { deadlineMs: 40 })
      while (world.consensus.fates.length > 0) await new Promise(setImmediate)
      world.consensus.elect(undefined)
      await assert.rejects(write, (error: Fault) => {
        return error.code === 'deadline' && error.outcome === 'unknown'
      })
      const never = world.at(1).put(key, text('y'), { deadlineMs: 20 })
      await assert.rejects(never, (error: Fault) => error.outcome === 'failed')
    }))

  it('gives up a node that does not answer when another leads', () =>
    inWorld(async (world) => {
      const hung = new Promise<never>(() => {})
      world.network.holds.set(nodeId(1), hung)
      const write = world.at(2).put(key, text('x'))
      setImmediate(() => world.consensus.elect(3))
      assert.equal(await write, 2)
    }))

  it('ends with the signal, and refuses beyond its bound', () =>
    inWorld(async (world) => {
      world.consensus.elect(undefined)
      const controller = new AbortController()
      const { signal } = controller
      const cancelled = world.at(1).put(key, text('x'), { signal })
      controller.abort()
      await assert.rejects(cancelled, { code: 'cancelled' })
      const options = { deadlineMs: 30 }
      const many = Array.from({ length: 4097 }, () => world.at(1).put(key, text('x'), options))
      const settled = await Promise.allSettled(many)
      const refused = settled.filter((result) => {
        return result.status === 'rejected' && (result.reason as Fault).code === 'overloaded'
      })
      assert.equal(refused.length, 1)
    }))

  it('passes over a replica that hears no leader, for requests and for watches', () =>
    inWorld((world) => isPassedOver(world, () => world.consensus.refuseBarriers(3))))

  it('passes over a replica that knows that it was removed, however lately it heard a leader', () =>
    inWorld((world) => isPassedOver(world, () => world.consensus.remove(3))))

  it('gives faults of the request as they are', () =>
    inWorld(async (world) => {
      for (const id of [1, 2, 4]) {
        await assert.rejects(world.at(id).range({ key, revision: 99 }), { code: 'invalid' })
        await assert.rejects(world.at(id).put(new Uint8Array(0), key), /key is not provided/)
        const put = { kind: 'put', key, value: key } as const
        const twice = world.at(id).txn({ compares: [], success: [put, put], failure: [] })
        await assert.rejects(twice, /duplicate key given in txn request/)
        const large = world.at(id).put(key, new Uint8Array(1_600_000))
        await assert.rejects(large, /request is too large/)
      }
      await assert.rejects(world.keyspacesAt(1).open('/raft/other'), { code: 'not-found' })
    }))

  it('serves a transaction of ranges without a proposal', () =>
    inWorld(async (world) => {
      await world.at(2).put(key, text('x'))
      const { proposals } = world.consensus
      const response = await world.at(4).txn({
        compares: [{ key, target: 'mod', result: 'greater', operand: 0 }],
        success: [{ kind: 'range', request: { key } }],
        failure: [],
      })
      assert.equal(response.succeeded, true)
      assert.equal(world.consensus.proposals, proposals)
    }))
})

describe('data threads', () => {
  async function inLane(
    run: (
      world: World,
      lane: { keyspace: FullKeyspace; keyspaces: FullKeyspaces },
    ) => Promise<void>,
  ): Promise<void> {
    await inWorld(async (world) => {
      const [ours, theirs] = createLoopPorts((next) => world.host.clock.soon(next))
      serveKeyspaces(ours, world.keyspacesAt(2))
      const keyspaces = createLaneKeyspaces(world.host, theirs)
      await run(world, { keyspaces, keyspace: await keyspaces.open(name) })
      await keyspaces.close()
    })
  }

  it('see the same keyspace, its faults and its freshness', () =>
    inLane(async (world, { keyspace, keyspaces }) => {
      const revisions = await Promise.all(
        Array.from({ length: 50 }, (_, i) => keyspace.put(key, text(`v${i}`))),
      )
      assert.equal(new Set(revisions).size, 50)
      assert.deepEqual(await keyspace.range({ key }), await world.at(1).range({ key }))
      const value = new Uint8Array(50_000).fill(1)
      await keyspace.put(key, value)
      assert.deepEqual((await keyspace.range({ key })).kvs[0]?.value, value)
      await assert.rejects(keyspace.range({ key, revision: 999 }), /future revision/)
      await assert.rejects(keyspaces.open('/raft/none'), { code: 'not-found' })
      assert.equal(await keyspaces.open(name), keyspace)
      const { heardMsAgo, revision } = keyspace.freshness()
      assert.ok(revision >= 1 && heardMsAgo < 60_000)
    }))

  it('ask for leases, hashes, compaction and status as the core does', () =>
    inLane(async (world, { keyspace }) => {
      const { id } = await keyspace.leases.grant({ ttlSeconds: 60 })
      const success = [{ kind: 'put', key, value: text('v'), lease: id } as const]
      await keyspace.txn({ compares: [], success, failure: [] })
      const { keys } = await keyspace.leases.timeToLive(id, { withKeys: true })
      assert.deepEqual(keys, [key])
      assert.equal((await keyspace.leases.keepAlive(id)).ttlSeconds, 60)
      assert.deepEqual(await keyspace.leases.list(), await world.at(4).leases.list())
      assert.deepEqual(await keyspace.hash(0), await world.at(3).hash(0))
      assert.equal(await keyspace.leases.revoke(id), 3)
      assert.equal(await keyspace.compact(3, { isPhysical: true }), 3)
      await assert.rejects(keyspace.compact(3), { code: 'compacted' })
      const status = await keyspace.status()
      assert.deepEqual([status.compacted, status.leases, status.alarms], [3, 0, []])
      assert.equal(status.quotaBytes, 2 * 1024 ** 3)
      assert.equal(await keyspace.disarm('no-space'), 3)
    }))

  it('cancel, and fail when the core closes', () =>
    inLane(async (world, { keyspace }) => {
      world.consensus.elect(undefined)
      const controller = new AbortController()
      const { signal } = controller
      const cancelled = keyspace.put(key, text('x'), { signal })
      setImmediate(() => controller.abort())
      await assert.rejects(cancelled, { code: 'cancelled' })
      const pending = keyspace.put(key, text('y'))
      const closed = assert.rejects(pending, { code: 'unavailable' })
      setImmediate(() => void world.keyspacesAt(2).close())
      await closed
      await assert.rejects(keyspace.put(key, text('z')), { code: 'unavailable' })
    }))
})

describe('compaction by the leader', () => {
  it('keeps the window of revisions', async () => {
    const world = new World(directory.host)
    await world.start()
    for (let i = 0; i < 30; i++) await world.at(1).put(key, text(`${i}`))
    await world.keyspacesAt(1).compactNow({ ageMs: 1e9, revisionsMax: 5 })
    await assert.rejects(world.at(3).range({ key, revision: 20 }), { code: 'compacted' })
    assert.equal((await world.at(3).range({ key, revision: 26 })).kvs.length, 1)
    await world.close()
  })
})

/** A watch of node 3 is ended, and what it is asked then is answered elsewhere. */
async function isPassedOver(world: World, strand: () => void): Promise<void> {
  const keyspace = world.at(3)
  const seen: string[] = []
  let ended = (): void => {}
  const watch = (startRevision: number) =>
    keyspace.watch(
      { key, startRevision },
      {
        onResponse: ({ events }) => {
          seen.push(...events.map(({ kv }) => utf8Decode(kv.value)))
          ended()
          return true
        },
        onEnded: (fault) => {
          seen.push(fault.code)
          ended()
        },
      },
    )
  const until = async (count: number): Promise<void> => {
    while (seen.length < count) {
      await new Promise<void>((resolve) => {
        ended = resolve
      })
    }
  }
  watch(1)
  assert.equal(await world.at(1).put(key, text('a')), 2)
  await until(1)
  strand()
  await until(2)
  assert.deepEqual(seen, ['a', 'unavailable'])
  assert.equal(await valueAt(keyspace), 'a')
  assert.equal(await keyspace.put(key, text('b')), 3)
  watch(3)
  await until(3)
  assert.equal(seen[2], 'b')
}

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { isFault, type Random, seededRandom, utf8Decode, utf8Encode } from '../base/index.ts'
import { createLoopPorts } from '../host/index.ts'
import type { FullKeyspace, WatchEvent } from './keyspace.ts'
import { serveKeyspaces } from './keyspaces.ts'
import { createLaneKeyspaces } from './lane-client.ts'
import { type TestDirectory, testDirectory } from './testing/doubles.ts'
import { ModelKeyspace } from './testing/model.ts'
import { randomTxn } from './testing/requests.ts'
import { expectedEvents, plain, randomWatch, Taker } from './testing/taker.ts'
import { name, World } from './testing/world.ts'

const text = utf8Encode
const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }
let directory: TestDirectory
before(() => {
  directory = testDirectory()
})
after(() => directory.remove())

type Threads = { readonly world: World; readonly lane: FullKeyspace }

async function inWorld(run: (threads: Threads) => Promise<void>): Promise<void> {
  const world = new World(directory.host)
  await world.start()
  const [ours, theirs] = createLoopPorts((next) => world.host.clock.soon(next))
  serveKeyspaces(ours, world.keyspacesAt(2))
  const keyspaces = createLaneKeyspaces(world.host, theirs)
  try {
    await run({ world, lane: await keyspaces.open(name) })
  } finally {
    await keyspaces.close()
    await world.close()
  }
}

describe('watches against a naive model', () => {
  for (const seed of [1, 2, 3]) {
    it(`random transactions, starts, stops and options on every thread; seed ${seed}`, () =>
      inWorld(async ({ world, lane }) => {
        const random = seededRandom(seed)
        const model = new ModelKeyspace()
        const takers: { readonly taker: Taker; readonly start: number }[] = []
        for (let round = 0; round < 90; round++) {
          const request = randomTxn(random, { high: model.revision, depth: 0 })
          if (model.refusal(request) === undefined) {
            const response = await world
              .at(1)
              .txn(request)
              .catch((error: unknown) => {
                assert.ok(isFault(error, 'invalid'), String(error))
              })
            if (response !== undefined) assert.deepEqual(response, model.txn(request))
          }
          if (round % 5 === 0) {
            const keyspace = random.chance(0.5) ? lane : world.at(1 + random.integer(4))
            const taker = new Taker(keyspace, randomWatch(random, model.revision), random)
            await taker.until(() => taker.opened !== undefined)
            const { startRevision = 0 } = taker.request
            takers.push({
              taker,
              start: startRevision === 0 ? Number(taker.opened) + 1 : startRevision,
            })
          }
          const other = takers[random.integer(takers.length)]?.taker
          if (random.chance(0.3) && other?.isStopped === true) other.resume()
        }
        for (const { taker, start } of takers) {
          if (start <= model.revision + 1) await taker.reached(model.revision)
          assert.deepEqual(plain(taker.events), plain(expectedEvents(model, taker, start)))
          taker.watch.close()
        }
      }))
  }
})

describe('a watch', () => {
  const key = text('k')
  const put = (keyspace: FullKeyspace, value: string) => keyspace.put(key, text(value))

  it('is resumed on another node behind what was seen', () =>
    inWorld(async ({ world, lane }) => {
      const first = new Taker(lane, { key })
      await first.until(() => first.opened !== undefined)
      for (let i = 0; i < 5; i++) await put(world.at(1), `${i}`)
      await first.until(() => first.events.length === 5)
      first.watch.close()
      await put(world.at(3), 'after')
      for (const id of [1, 3, 4]) {
        const next = new Taker(world.at(id), { key, startRevision: first.revision + 1 })
        await next.until(() => next.events.length > 0)
        assert.deepEqual(
          next.events.map(({ kv }) => utf8Decode(kv.value)),
          ['after'],
        )
        next.watch.close()
      }
      assert.equal(first.events.length, 5)
    }))

  it('of what is compacted ends with the compacted revision, on every thread', () =>
    inWorld(async ({ world, lane }) => {
      for (let i = 0; i < 9; i++) await put(world.at(1), `${i}`)
      assert.equal(await world.at(2).compact(6, { isPhysical: true }), 10)
      for (const keyspace of [lane, world.at(1), world.at(4)]) {
        const late = new Taker(keyspace, { key, startRevision: 5 })
        await late.until(() => late.fault !== undefined)
        assert.equal(late.fault?.code, 'compacted')
        assert.equal(late.fault?.fields.compacted, '6')
        const exact = new Taker(keyspace, { key, startRevision: 6, previous: true })
        await exact.reached(10)
        assert.deepEqual(
          exact.events.map(({ kv }) => Number(kv.modRevision)),
          [6, 7, 8, 9, 10],
        )
        assert.equal(exact.events[0]?.previous, undefined)
        assert.equal(exact.events[1]?.previous?.modRevision, 6)
        exact.watch.close()
      }
    }))

  it('sees a deletion at the compacted revision', () =>
    inWorld(async ({ world, lane }) => {
      await put(world.at(1), 'x')
      await world.at(1).delete(key)
      await put(world.at(1), 'y')
      await world.at(1).compact(3, { isPhysical: true })
      await world.keyspacesAt(2).sweep()
      const taker = new Taker(lane, { key, startRevision: 3 })
      await taker.reached(4)
      assert.deepEqual(
        taker.events.map(({ kind }) => kind),
        ['delete', 'put'],
      )
    }))

  it('that stops is caught up by history, or told that it is gone', () =>
    inWorld(async ({ world, lane }) => {
      const stopping = { chance: () => true } as unknown as Random
      const slow = new Taker(lane, { key }, stopping)
      const gone = new Taker(lane, { key }, stopping)
      await slow.until(() => slow.opened !== undefined)
      for (let i = 0; i < 50; i++) await put(world.at(1), `${i}`)
      await slow.until(() => slow.isStopped)
      const seen = slow.events.length
      await slow.reached(51)
      assert.ok(seen < 50)
      assert.deepEqual(
        slow.events.map(({ kv }) => Number(kv.modRevision)),
        range(2, 51),
      )
      await world.at(1).compact(51)
      gone.resume()
      await gone.until(() => gone.fault !== undefined)
      assert.equal(gone.fault?.code, 'compacted')
    }))

  it('gets a large revision whole, or in fragments when it asks for them', () =>
    inWorld(async ({ world, lane }) => {
      const takers = [
        new Taker(lane, { ...all }),
        new Taker(lane, { ...all, isFragmented: true }),
        new Taker(world.at(1), { key: text('k0100'), rangeEnd: text('k0110') }),
        new Taker(world.at(4), { ...all, isFragmented: true }),
      ]
      for (const taker of takers) await taker.until(() => taker.opened !== undefined)
      const keys = Array.from({ length: 1200 }, (_, i) => text(`k${String(i).padStart(4, '0')}`))
      const success = keys.map((one) => ({ kind: 'put', key: one, value: text('v') }) as const)
      await world.at(1).txn({ compares: [], success, failure: [] })
      await world.at(1).delete(text('k'), { rangeEnd: text('l') })
      for (const taker of takers) await taker.reached(3)
      const counts = takers.map(({ events }) => events.length)
      assert.deepEqual(counts, [2400, 2400, 20, 2400])
      const [whole, fragmented, some] = takers
      assert.ok(whole !== undefined && whole.responses <= 4)
      assert.ok(some !== undefined && some.responses <= 4)
      assert.ok(fragmented !== undefined && fragmented.responses > 4)
      const puts = fragmented.events.slice(0, 1200).map(({ kv }) => utf8Decode(kv.key))
      assert.deepEqual(puts, keys.map(utf8Decode))
    }))

  it('is told progress when it asks, and by itself after a while', () =>
    inWorld(async ({ world, lane }) => {
      const keyspaces = [lane, world.at(1), world.at(4)]
      const never = { key: text('never') }
      const timers = keyspaces.map((keyspace) => new Taker(keyspace, { ...never, progressMs: 1 }))
      for (const keyspace of keyspaces) {
        const quiet = new Taker(keyspace, never)
        await quiet.until(() => quiet.opened !== undefined)
        const revision = await put(world.at(1), 'x')
        await quiet.reached(revision)
        assert.deepEqual(quiet.events, [])
        quiet.watch.close()
      }
      for (const timed of timers) {
        await timed.until(() => timed.revision >= 4)
        timed.watch.close()
      }
    }))

  it('that begins beyond its node is told no progress before its start', () =>
    inWorld(async ({ world, lane }) => {
      for (const keyspace of [lane, world.at(1), world.at(4)]) {
        const now = await put(world.at(1), 'x')
        const ahead = new Taker(keyspace, { key, startRevision: now + 4, progressMs: 1 })
        const quiet = new Taker(keyspace, { key: text('never') })
        await ahead.until(() => ahead.opened !== undefined)
        ahead.watch.requestProgress()
        await quiet.reached(now)
        assert.equal(ahead.responses, 0)
        for (const value of ['a', 'b', 'c']) await put(world.at(1), value)
        await ahead.until(() => ahead.responses > 0)
        assert.deepEqual([ahead.revision, ahead.events], [now + 3, []])
        await put(world.at(1), 'd')
        await ahead.until(() => ahead.events.length > 0)
        assert.equal(ahead.events[0]?.kv.modRevision, now + 4)
        ahead.watch.close()
        quiet.watch.close()
      }
    }))

  it('ends when its thread loses the core', () =>
    inWorld(async ({ world, lane }) => {
      const [far, near] = [new Taker(lane, { key }), new Taker(world.at(2), { key })]
      await far.until(() => far.opened !== undefined)
      await near.until(() => near.opened !== undefined)
      await world.keyspacesAt(2).close()
      await far.until(() => far.fault !== undefined)
      await near.until(() => near.fault !== undefined)
      assert.deepEqual([far.fault?.code, near.fault?.code], ['unavailable', 'unavailable'])
      const late = new Taker(lane, { key })
      await late.until(() => late.fault !== undefined)
    }))

  it('goes elsewhere while its replica hears no leader, and comes back, on every thread', () =>
    inWorld(async ({ world, lane }) => {
      const keyspaces = [lane, world.at(2)]
      const begin = async (startRevision: number): Promise<readonly Taker[]> => {
        const takers = keyspaces.map((keyspace) => new Taker(keyspace, { key, startRevision }))
        for (const taker of takers) await taker.until(() => taker.opened !== undefined)
        return takers
      }
      const isGiven = async (takers: readonly Taker[], count: number): Promise<void> => {
        for (const taker of takers) {
          await taker.until(() => taker.events.length >= count || taker.fault !== undefined)
          assert.equal(taker.fault, undefined)
        }
      }
      const areEnded = async (takers: readonly Taker[]): Promise<void> => {
        for (const taker of takers) await taker.until(() => taker.fault !== undefined)
        assert.deepEqual(
          takers.map(({ fault }) => fault?.code),
          ['unavailable', 'unavailable'],
        )
      }
      const revision = await put(world.at(1), 'a')
      const before = await begin(revision)
      await isGiven(before, 1)
      world.consensus.refuseBarriers(2)
      await areEnded(before)
      const elsewhere = await begin(revision)
      await put(world.at(1), 'b')
      await isGiven(elsewhere, 2)
      world.consensus.rejoin(2)
      await areEnded(elsewhere)
      const after = await begin(revision)
      await put(world.at(1), 'c')
      await isGiven(after, 3)
    }))

  it('opened by who hears that one has ended is another one', () =>
    inWorld(async ({ world, lane }) => {
      const startRevision = await put(world.at(1), 'a')
      for (const keyspace of [lane, world.at(2)]) {
        const watch = (onEnded: () => void): Promise<void> => {
          return new Promise((resolve) => {
            const receiver = { onOpened: () => resolve(), onResponse: () => true, onEnded }
            keyspace.watch({ key, startRevision }, receiver)
          })
        }
        let hear = (): void => {}
        const again = new Promise<void>((resolve) => {
          hear = () => resolve(watch(() => {}))
        })
        await watch(() => hear())
        world.consensus.refuseBarriers(2)
        await again
        world.consensus.rejoin(2)
      }
    }))

  it('of ten thousand on one key shares every response', () =>
    inWorld(async ({ world, lane }) => {
      const seen = new Set<readonly WatchEvent[]>()
      let [opened, responses] = [0, 0]
      let wake = (): void => {}
      const watches = Array.from({ length: 10_000 }, () =>
        lane.watch(
          { key },
          {
            onOpened: () => {
              if (++opened === 10_000) wake()
            },
            onResponse: ({ events }) => {
              seen.add(events)
              if (++responses === 10_000) wake()
              return true
            },
            onEnded: assert.fail,
          },
        ),
      )
      await new Promise<void>((resolve) => {
        wake = resolve
      })
      const given = new Promise<void>((resolve) => {
        wake = resolve
      })
      await put(world.at(1), 'x')
      await given
      assert.equal(seen.size, 1)
      for (const watch of watches) watch.close()
      await put(world.at(1), 'y')
      await lane.put(key, text('z'))
      assert.equal(responses, 10_000)
    }))
})

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

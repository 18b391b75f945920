// The keyspace contract: watches.

import assert from 'node:assert/strict'
import { type Random, seededRandom, utf8Decode } from '../../base/index.ts'
import type { FullKeyspace, Operation, TxnRequest, WatchEvent, WatchRequest } from '../keyspace.ts'
import {
  type ContractWorld,
  text,
  all,
  key,
  type Tests,
  currentOf,
  refusalOf,
} from './contract-parts.ts'
import { ModelKeyspace } from './model.ts'
import { randomTxn } from './requests.ts'
import { Revisions } from './revisions.ts'
import { expectedEvents, plain, randomWatch, Taker } from './taker.ts'

export function watchTests(): Tests {
  const tests: Tests = {}
  for (const seed of [1, 2]) {
    tests[`gives events as the model does, with stops and every option; seed ${seed}`] = (world) =>
      watchModel(world, seededRandom(seed))
  }
  return { ...tests, ...watchEnds(), ...watchShapes() }
}

async function watchModel(world: ContractWorld, random: Random): Promise<void> {
  const model = new ModelKeyspace()
  const revisions = new Revisions(await currentOf(world.ways[0] as FullKeyspace))
  const takers: { readonly taker: Taker; readonly asked: WatchRequest; readonly start: number }[] =
    []
  for (let round = 0; round < 90; round++) {
    const way = world.ways[random.integer(world.ways.length)] as FullKeyspace
    const request = withoutLeases(randomTxn(random, { high: model.revision, depth: 0 }))
    if (refusalOf(model, request) === undefined) {
      const { revision } = await way.txn(revisions.toRealTxn(request))
      const before = model.revision
      model.txn(request)
      if (model.revision > before) revisions.add(revision)
    }
    if (round % 6 === 0) {
      const asked = randomWatch(random, model.revision - 1)
      const isNow = (asked.startRevision ?? 0) === 0 || (asked.startRevision ?? 0) > model.revision
      const startRevision = isNow ? 0 : revisions.toReal(asked.startRevision ?? 0)
      const taker = new Taker(way, { ...asked, startRevision }, random)
      await taker.until(() => taker.opened !== undefined)
      const start = isNow ? model.revision + 1 : (asked.startRevision ?? 0)
      takers.push({ taker, asked, start })
    }
    const other = takers[random.integer(takers.length)]?.taker
    if (random.chance(0.3) && other?.isStopped === true) other.resume()
  }
  for (const { taker, asked, start } of takers) {
    await taker.reached(revisions.toReal(model.revision))
    const wanted = expectedEvents(model, { request: asked }, start)
    const got = taker.events.map((event) => revisions.toModelEvent(event))
    assert.deepEqual(plain(got), plain(wanted))
    taker.watch.close()
  }
}

function withoutLeases(request: TxnRequest): TxnRequest {
  const operation = (one: Operation): Operation => {
    if (one.kind === 'txn') return { kind: 'txn', request: withoutLeases(one.request) }
    return one.kind === 'put' ? { ...one, lease: 0 } : one
  }
  const { compares, success, failure } = request
  return { compares, success: success.map(operation), failure: failure.map(operation) }
}

function watchEnds(): Tests {
  return {
    'a watch of what is compacted ends with the compacted revision': async (world, way) => {
      const revisions: number[] = []
      for (let i = 0; i < 9; i++) revisions.push(await way.put(key, text(`${i}`)))
      const [, , third = 0, , , sixth = 0] = revisions
      await way.compact(sixth, { isPhysical: true })
      for (const one of world.ways) {
        const late = new Taker(one, { key, startRevision: third })
        await late.until(() => late.fault !== undefined)
        assert.deepEqual(
          [late.fault?.code, late.fault?.fields.compacted],
          ['compacted', `${sixth}`],
        )
        const exact = new Taker(one, { key, startRevision: sixth, previous: true })
        await exact.until(() => exact.events.length === 4)
        assert.deepEqual(
          exact.events.map(({ kv }) => Number(kv.modRevision)),
          revisions.slice(5),
        )
        assert.equal(exact.events[0]?.previous, undefined)
        assert.equal(exact.events[1]?.previous?.modRevision, sixth)
        exact.watch.close()
      }
    },
    'one that stops is caught up by history, or told that it is gone': async (_, way) => {
      const stopping = { chance: () => true } as unknown as Random
      const slow = new Taker(way, { key }, stopping)
      const gone = new Taker(way, { key }, stopping)
      await slow.until(() => slow.opened !== undefined)
      await gone.until(() => gone.opened !== undefined)
      let last = 0
      for (let i = 0; i < 30; i++) last = await way.put(key, text(`${i}`))
      await slow.until(() => slow.isStopped)
      await gone.until(() => gone.isStopped)
      await slow.reached(last)
      assert.deepEqual(
        slow.events.map(({ kv }) => utf8Decode(kv.value)),
        Array.from({ length: 30 }, (_, i) => `${i}`),
      )
      slow.watch.close()
      await way.compact(last)
      if (gone.revision < last) {
        gone.resume()
        await gone.until(() => gone.fault !== undefined)
        assert.equal(gone.fault?.code, 'compacted')
      }
    },
    'one that is closed hears no more': async (_, way) => {
      const closed = new Taker(way, { key })
      const open = new Taker(way, { key })
      await closed.until(() => closed.opened !== undefined)
      await open.until(() => open.opened !== undefined)
      closed.watch.close()
      await way.put(key, text('x'))
      await open.until(() => open.events.length === 1)
      assert.equal(closed.events.length, 0)
      open.watch.close()
    },
  }
}

function watchShapes(): Tests {
  return {
    'a revision comes whole, or in fragments for who asks': async (world, way) => {
      const takers = world.ways.flatMap((one) => [
        new Taker(one, { ...all }),
        new Taker(one, { ...all, isFragmented: true }),
      ])
      for (const taker of takers) await taker.until(() => taker.opened !== undefined)
      const large = new Uint8Array(12_000).fill(1)
      const keys = Array.from({ length: 100 }, (_, i) => text(`k${String(i).padStart(3, '0')}`))
      const success = keys.map((one) => ({ kind: 'put', key: one, value: large }) as const)
      await way.txn({ compares: [], success, failure: [] })
      const end = await way.put(text('z'), text('end'))
      for (const taker of takers) {
        await taker.until(() => taker.revision >= end && taker.events.length === 101)
        const seen = taker.events.slice(0, 100).map(({ kv }: WatchEvent) => utf8Decode(kv.key))
        assert.deepEqual(seen, keys.map(utf8Decode))
        taker.watch.close()
      }
    },
    'progress is told when it is asked for, and by itself after a while': async (world, way) => {
      for (const one of world.ways) {
        const timed = new Taker(one, { key: text('never'), progressMs: 1 })
        const quiet = new Taker(one, { key: text('never') })
        await quiet.until(() => quiet.opened !== undefined)
        const revision = await way.put(key, text('x'))
        await quiet.reached(revision)
        assert.deepEqual(quiet.events, [])
        await timed.until(() => timed.revision >= revision)
        assert.deepEqual(timed.events, [])
        quiet.watch.close()
        timed.watch.close()
      }
    },
    'one that begins in the future hears nothing before': async (_, way) => {
      const now = await way.put(key, text('x'))
      const ahead = new Taker(way, { key, startRevision: now + 3 })
      await ahead.until(() => ahead.opened !== undefined)
      let last = now
      for (let i = 0; last < now + 5; i++) last = await way.put(key, text(`${i}`))
      await ahead.until(() => ahead.events.at(-1)?.kv.modRevision === last)
      assert.ok(ahead.events.every(({ kv }) => kv.modRevision >= now + 3))
      ahead.watch.close()
    },
  }
}

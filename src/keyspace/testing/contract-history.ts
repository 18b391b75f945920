// The keyspace contract: ranges, transactions, history and leases.

import assert from 'node:assert/strict'
import { utf8Decode } from '../../base/index.ts'
import type { FullKeyspace, KeyValue, RangeRequest } from '../keyspace.ts'
import {
  text,
  all,
  key,
  type Tests,
  type Has,
  put,
  txn,
  compactedWords,
  eventually,
  rejects,
} from './contract-parts.ts'
import { Taker } from './taker.ts'

async function fill(way: FullKeyspace): Promise<void> {
  for (const name of ['d', 'b', 'a', 'c']) await way.put(text(name), text(`${name}-1`))
  await way.put(text('b'), text('z'))
}

const names = (kvs: readonly KeyValue[]): string => kvs.map((kv) => utf8Decode(kv.key)).join('')

export function historyTests(has: Has): Tests {
  return {
    'sorts by everything, both ways, before it limits': async (_, way) => {
      await fill(way)
      const orders: readonly (readonly [Partial<RangeRequest>, string])[] = [
        [{}, 'abcd'],
        [{ isReverse: true }, 'dcba'],
        [{ sortBy: 'create' }, 'dbac'],
        [{ sortBy: 'mod' }, 'dacb'],
        [{ sortBy: 'mod', isReverse: true }, 'bcad'],
        [{ sortBy: 'value' }, 'acdb'],
        [{ sortBy: 'version', isReverse: true, limit: 1 }, 'b'],
        [{ limit: 2 }, 'ab'],
        [{ limit: 2, isReverse: true }, 'dc'],
      ]
      for (const [more, expected] of orders) {
        const found = await way.range({ ...all, ...more, isCounted: true })
        assert.equal(names(found.kvs), expected)
        assert.deepEqual([found.more, found.count], [expected.length < 4, 4])
      }
    },
    'reads the past until it is compacted, exactly at the compacted revision too': async (
      world,
      way,
    ) => {
      const revisions = [await way.put(key, text('0'))]
      for (let i = 1; i < 6; i++) revisions.push(await way.put(key, text(`${i}`)))
      const [first = 0, , third = 0] = revisions
      assert.equal(
        utf8Decode((await way.range({ key, revision: first })).kvs[0]?.value ?? key),
        '0',
      )
      await way.compact(third, { isPhysical: true })
      for (const one of world.ways) {
        await rejects(one.range({ key, revision: first }), 'compacted', compactedWords)
        const exact = await one.range({ key, revision: third })
        assert.equal(utf8Decode(exact.kvs[0]?.value ?? key), '2')
        const inTxn = txn({ kind: 'range', request: { key, revision: first } })
        await rejects(one.txn(inTxn), 'compacted', compactedWords)
      }
      await rejects(way.compact(third), 'compacted', compactedWords)
      await rejects(way.compact(first), 'compacted', compactedWords)
      assert.equal((await way.status()).compacted, third)
    },
    'nested transactions compare with the state before everything': async (_, way) => {
      const missing = { key, target: 'version', result: 'equal', operand: 0 } as const
      const inner = { compares: [missing], success: [put('yes')], failure: [put('no')] }
      const answer = await way.txn({
        compares: [missing],
        success: [put('k'), { kind: 'txn', request: inner }],
        failure: [],
      })
      const [, nested] = answer.results
      assert.ok(nested?.kind === 'txn' && nested.response.succeeded)
      assert.equal(names((await way.range(all)).kvs), 'kyes')
      const again = await way.txn({
        compares: [missing],
        success: [],
        failure: [{ kind: 'txn', request: inner }],
      })
      const [other] = again.results
      assert.ok(!again.succeeded && other?.kind === 'txn' && !other.response.succeeded)
    },
    'a way that is told a revision has it for reads that ask nobody': async (world, way) => {
      const [, other] = world.ways
      assert.ok(other !== undefined)
      const revision = await way.put(key, text('x'))
      await eventually(async () => other.freshness().revision >= revision)
      assert.ok(other.freshness().heardMsAgo < 10_000)
      const near = await other.range({ key, isSerializable: true })
      assert.equal(utf8Decode(near.kvs[0]?.value ?? text('')), 'x')
      let changes = 0
      const end = other.onRevision(() => {
        changes++
      })
      await way.put(key, text('y'))
      await eventually(async () => changes > 0)
      end()
    },
    'one of many writers wins a key, and a counter loses nothing': async (world) => {
      const { ways } = world
      const missing = { key, target: 'create', result: 'equal', operand: 0 } as const
      const tries = Array.from({ length: 20 }, (_, at) => {
        const way = ways[at % ways.length] as FullKeyspace
        return way.txn({ compares: [missing], success: [put('k')], failure: [] })
      })
      const won = (await Promise.all(tries)).filter(({ succeeded }) => succeeded)
      assert.equal(won.length, 1)
      const count = async (way: FullKeyspace): Promise<void> => {
        for (;;) {
          const [now] = (await way.range({ key: text('n') })).kvs
          const operand = now?.modRevision ?? 0
          const compare = { key: text('n'), target: 'mod', result: 'equal', operand } as const
          const value = text(String(Number(utf8Decode(now?.value ?? text('0'))) + 1))
          const success = [{ kind: 'put', key: text('n'), value } as const]
          if ((await way.txn({ compares: [compare], success, failure: [] })).succeeded) return
        }
      }
      const counting = Array.from({ length: 12 }, (_, at) =>
        count(ways[at % ways.length] as FullKeyspace),
      )
      await Promise.all(counting)
      const [counted] = (await ways[0]?.range({ key: text('n') }))?.kvs ?? []
      assert.equal(utf8Decode(counted?.value ?? text('')), '12')
    },
    'answers have pages, whatever their size': async (_, way) => {
      const value = new Uint8Array(100_000).fill(7)
      for (let i = 0; i < 12; i++) await way.put(text(`p${String(i).padStart(2, '0')}`), value)
      const whole = await way.range({ ...all, isCounted: true })
      assert.equal(whole.count, 12)
      assert.equal(whole.more, !has('unboundedAnswers'))
      let [from, pages, found]: [Uint8Array, number, string[]] = [all.key, 0, []]
      for (let more = true; more; pages++) {
        const page = await way.range({ key: from, rangeEnd: all.rangeEnd, limit: 5 })
        found = [...found, ...page.kvs.map((kv) => utf8Decode(kv.key))]
        const last = page.kvs.at(-1)
        assert.ok(last !== undefined)
        from = Uint8Array.from([...last.key, 0])
        more = page.more
      }
      assert.deepEqual([found.length, new Set(found).size, pages], [12, 12, 3])
    },
    'an alarm stops what puts until it is ended by hand': async (world, way) => {
      await way.put(key, text('x'))
      await way.arm('no-space')
      try {
        assert.deepEqual((await way.status()).alarms, ['no-space'])
        const [, other] = world.ways
        const full = 'etcdserver: mvcc: database space exceeded'
        await rejects(other?.put(key, text('y')) ?? Promise.resolve(), 'no-space', full)
        assert.equal((await way.range({ key })).kvs[0]?.version, 1)
        assert.equal(await way.delete(key), 1)
      } finally {
        await way.disarm('no-space')
      }
      assert.deepEqual((await way.status()).alarms, [])
      await way.put(key, text('z'))
    },
    'digests agree between the ways, and change with the keys': async (world, way) => {
      await way.put(key, text('x'))
      const [before, other] = [await way.hash(0), world.ways[1]]
      assert.equal((await other?.hash(before.hashRevision))?.hash, before.hash)
      await way.put(key, text('y'))
      assert.notEqual((await way.hash(0)).hash, before.hash)
      if (!has('hashOfCluster'))
        assert.equal((await way.hash(before.hashRevision)).hash, before.hash)
    },
  }
}

export function leaseTests(has: Has): Tests {
  return {
    'a lease has a time, keys, and ends with both': async (world, way) => {
      const { id, ttlSeconds } = await way.leases.grant({ ttlSeconds: 100 })
      assert.equal(ttlSeconds, 100)
      await way.txn(txn(put('b', { lease: id }), put('a', { lease: id }), put('free')))
      const [, other] = world.ways
      assert.ok(other !== undefined)
      const told = await other.leases.timeToLive(id, { withKeys: true })
      assert.deepEqual(told.keys.map(utf8Decode), ['a', 'b'])
      assert.equal(told.grantedTtlSeconds, 100)
      assert.ok(told.ttlSeconds > 90 && told.ttlSeconds <= 100)
      assert.equal((await other.leases.keepAlive(id)).ttlSeconds, 100)
      assert.ok((await other.leases.list()).ids.includes(id))
      await way.txn(txn({ kind: 'put', key: text('b'), value: text('own') }))
      await way.leases.revoke(id)
      assert.equal(names((await way.range(all)).kvs), 'bfree')
      assert.equal((await way.leases.timeToLive(id)).ttlSeconds, -1)
      assert.equal((await way.leases.keepAlive(id)).ttlSeconds, 0)
      const { ids } = await way.leases.list()
      if (!has('clusterLeases')) assert.deepEqual(ids, [])
      assert.ok(!ids.includes(id))
    },
    'a lease that nobody keeps ends in one revision': async (_, way) => {
      const { id, ttlSeconds } = await way.leases.grant({ ttlSeconds: 1 })
      assert.equal(ttlSeconds, 2)
      const taker = new Taker(way, { ...all })
      await taker.until(() => taker.opened !== undefined)
      await way.txn(txn(put('a', { lease: id }), put('b', { lease: id })))
      await taker.until(() => taker.events.length === 4)
      const [, , first, second] = taker.events
      assert.deepEqual([first?.kind, second?.kind], ['delete', 'delete'])
      assert.equal(first?.kv.modRevision, second?.kv.modRevision)
      taker.watch.close()
    },
  }
}

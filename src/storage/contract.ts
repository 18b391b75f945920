// The suite every Store passes, whatever its engine. `openAt` opens the same files again on each call.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AssertionFailure, compareBytes, seededRandom, toHex, utf8Encode } from '../base/index.ts'
import type { Store, StoreOptions, StoreReader } from './store.ts'

export type StoreFactory = (options: StoreOptions) => Promise<Store>

const path = 'node/store.sqlite'
const b = utf8Encode
const empty = new Uint8Array(0)

/** Registers the suite's tests; each begins with `fresh()`, a factory over an empty disk. */
export function testStore(name: string, fresh: () => StoreFactory): void {
  const open = (factory: StoreFactory, tables = ['one', 'two']) => factory({ path, tables })

  test(`${name}: puts, gets, deletes, and keeps tables apart`, async () => {
    const store = await open(fresh())
    store.transaction(() => {
      store.put('one', b('a'), b('1'))
      store.put('one', b('b'), empty)
      store.put('one', empty, b('no key'))
      store.put('two', b('a'), b('other'))
      assert.deepEqual(store.get('one', b('a')), b('1'))
    })
    store.transaction(() => {
      store.put('one', b('a'), b('2'))
      store.delete('one', b('missing'))
      store.delete('two', b('a'))
    })
    assert.deepEqual(store.get('one', b('a')), b('2'))
    assert.deepEqual(store.get('one', b('b')), empty)
    assert.deepEqual(store.get('one', empty), b('no key'))
    assert.equal(store.get('two', b('a')), undefined)
    assert.equal(store.get('one', b('c')), undefined)
    assert.ok(store.sizeBytes() > 0)
    await store.close()
  })

  test(`${name}: a transaction that throws leaves nothing`, async () => {
    const store = await open(fresh())
    store.transaction(() => {
      for (const key of ['a', 'b', 'c', 'd']) store.put('one', b(key), b('old'))
    })
    const before = dump(store)
    assert.throws(
      () =>
        store.transaction(() => {
          store.put('one', b('a'), b('new'))
          store.put('one', b('z'), b('new'))
          store.delete('one', b('b'))
          store.deleteRange('one', { start: b('c'), end: b('e') })
          store.put('one', b('c'), b('new'))
          throw new AssertionFailure('stop')
        }),
      /stop/,
    )
    assert.deepEqual(dump(store), before)
    assert.equal(
      store.transaction(() => 5),
      5,
    )
    await store.close()
  })

  test(`${name}: writes outside of a transaction and nesting are refused`, async () => {
    const store = await open(fresh())
    assert.throws(() => store.put('one', b('a'), b('1')), AssertionFailure)
    assert.throws(() => store.delete('one', b('a')), AssertionFailure)
    assert.throws(() => store.deleteRange('one', { start: b('a'), end: b('b') }), AssertionFailure)
    assert.throws(() => store.transaction(() => store.transaction(() => 1)), AssertionFailure)
    assert.throws(() => store.get('three', b('a')), AssertionFailure)
    await store.close()
  })

  test(`${name}: the caller's buffers may be reused`, async () => {
    const store = await open(fresh())
    const buffer = b('key')
    store.transaction(() => {
      store.put('one', buffer, buffer)
      buffer.fill(0)
    })
    assert.deepEqual(store.get('one', b('key')), b('key'))
    await store.close()
  })

  test(`${name}: agrees with a naive model, ranges included`, async () => {
    const factory = fresh()
    let store = await open(factory)
    const model = new Map<string, [Uint8Array, Uint8Array]>()
    const random = seededRandom(11)
    const key = () => random.bytes(random.integer(3))
    for (let round = 0; round < 60; round++) {
      store.transaction(() => {
        for (let i = 0; i < 20; i++) changeOnce(store, model, { random, key })
      })
      compareRanges(store, model, { random, key })
      if (round % 20 === 10) {
        await store.checkpoint()
        await store.close()
        store = await open(factory)
        compareRanges(store, model, { random, key })
      }
    }
    await store.close()
  })

  test(`${name}: a view keeps its moment`, async () => {
    const store = await open(fresh())
    store.transaction(() => {
      for (let i = 0; i < 1000; i++) store.put('one', b(`k${i}`), b('old'))
    })
    const before = dump(store)
    const view = store.view()
    const second = store.view()
    store.transaction(() => {
      store.put('one', b('k1'), b('new'))
      store.deleteRange('one', { start: b('k5'), end: b('k8') })
      store.put('two', b('x'), b('y'))
    })
    await store.checkpoint()
    assert.deepEqual(dump(view), before)
    second.close()
    store.transaction(() => store.put('one', b('k2'), b('new')))
    assert.deepEqual(dump(view), before)
    assert.deepEqual(view.get('one', b('k1')), b('old'))
    assert.equal(view.keys('one', { start: b('k5'), limit: 3 }).length, 3)
    view.close()
    view.close()
    assert.deepEqual(store.get('one', b('k1')), b('new'))
    const third = store.view()
    assert.deepEqual(third.get('two', b('x')), b('y'))
    third.close()
    await store.checkpoint()
    await store.close()
  })

  test(`${name}: concurrent checkpoints all end, close keeps everything`, async () => {
    const factory = fresh()
    const store = await open(factory)
    const checkpoints: Promise<void>[] = []
    for (let i = 0; i < 30; i++) {
      store.transaction(() => store.put('one', b(`k${i}`), new Uint8Array(2000).fill(i)))
      if (i % 3 === 0) checkpoints.push(store.checkpoint())
      if (i % 10 === 0) await Promise.all(checkpoints)
    }
    await Promise.all(checkpoints)
    const before = dump(store)
    await store.close()
    const again = await open(factory, ['one', 'two', 'three'])
    assert.deepEqual(dump(again), before)
    again.transaction(() => again.put('three', b('x'), b('y')))
    await again.close()
    const last = await open(factory, ['three', 'two', 'one'])
    assert.deepEqual(last.get('three', b('x')), b('y'))
    assert.deepEqual(dump(last), before)
    await last.close()
  })
}

type Source = { readonly random: ReturnType<typeof seededRandom>; readonly key: () => Uint8Array }

function changeOnce(
  store: Store,
  model: Map<string, [Uint8Array, Uint8Array]>,
  { random, key }: Source,
): void {
  const k = key()
  const draw = random.integer(25)
  if (draw < 20) {
    const value = random.bytes(random.integer(50))
    store.put('one', k, value)
    model.set(toHex(k), [k, value])
  } else if (draw < 24) {
    store.delete('one', k)
    model.delete(toHex(k))
  } else {
    const end = random.bytes(2)
    store.deleteRange('one', { start: k, end })
    for (const [name, [at]] of model) {
      if (compareBytes(at, k) >= 0 && compareBytes(at, end) < 0) model.delete(name)
    }
  }
}

function compareRanges(
  store: StoreReader,
  model: Map<string, [Uint8Array, Uint8Array]>,
  { random, key }: Source,
): void {
  const start = key()
  const end = random.chance(0.3) ? empty : key()
  const limit = random.chance(0.5) ? undefined : random.integer(20)
  for (const isReverse of [false, true]) {
    const expected = [...model.values()]
      .filter(([k]) => compareBytes(k, start) >= 0)
      .filter(([k]) => end.length === 0 || compareBytes(k, end) < 0)
      .sort(([x], [y]) => compareBytes(x, y))
    if (isReverse) expected.reverse()
    const range = { start, end, isReverse, ...(limit === undefined ? {} : { limit }) }
    const wanted = expected.slice(0, limit)
    assert.deepEqual(
      store.range('one', range).map((row) => [row.key, row.value]),
      wanted,
    )
    assert.deepEqual(
      store.keys('one', range),
      wanted.map(([k]) => k),
    )
  }
}

/** Every row of the suite's two tables, as text. */
export function dump(store: StoreReader): readonly string[] {
  return ['one', 'two'].flatMap((table) =>
    store
      .range(table, { start: empty })
      .map((row) => `${table} ${toHex(row.key)} ${toHex(row.value)}`),
  )
}

// What every keyspace must do, whoever serves it: ours, and an etcd cluster behind the engine. Requests drawn from a
// seed are run on it and on the naive model, and the answers compared; then the refusals, word for word; then
// compaction, leases and watches. Because etcd passes it too, it says that our semantics are etcd's.
//
// Revisions are compared by their order: on a cluster of etcd other namespaces write between ours. Where the two
// differ on purpose, the difference is a name in `differences`, with its reason; the suite then asks for less.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  type FaultCode,
  isFault,
  type Outcome,
  type Random,
  seededRandom,
  toHex,
  utf8Decode,
  utf8Encode,
} from '../../base/index.ts'
import { checkTxn } from '../core/check.ts'
import type {
  FullKeyspace,
  KeyValue,
  Operation,
  RangeRequest,
  TxnRequest,
  WatchEvent,
  WatchRequest,
} from '../keyspace.ts'
import { ModelKeyspace } from './model.ts'
import { leaseIds, randomRange, randomTxn } from './requests.ts'
import { Revisions } from './revisions.ts'
import { expectedEvents, plain, randomWatch, Taker } from './taker.ts'

/** What an implementation of the contract does otherwise, and why. */
export const knownDifferences = {
  sharedRevisions:
    'an etcd cluster has one revision for all namespaces, and every mutation of the engine counts itself in the same revision: it grows also when a transaction changes nothing',
  clusterLeases: 'ids of leases belong to the whole etcd cluster: a namespace sees those of others',
  operationsMax:
    'etcd takes 128 operations in a transaction unless started with --max-txn-ops, and the engine needs three of them',
  unboundedAnswers: 'etcd answers a range whole, whatever its size; ours is cut at 960 KiB',
  hashOfCluster: "a digest is etcd's own and covers the whole cluster",
} as const
export type Difference = keyof typeof knownDifferences

export type ContractWorld = {
  /** Ways to one namespace, which is empty: threads or nodes. At least two. */
  readonly ways: readonly FullKeyspace[]
  close(): Promise<void>
}

export type ContractOptions = {
  readonly name: string
  /** A fresh namespace each time. */
  make(): Promise<ContractWorld>
  readonly differences: readonly Difference[]
}

const text = utf8Encode
const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }
const key = text('k')

export function keyspaceContract(options: ContractOptions): void {
  const run = async (body: (world: ContractWorld, way: FullKeyspace) => Promise<void>) => {
    const world = await options.make()
    try {
      const [way] = world.ways
      assert.ok(way !== undefined && world.ways.length > 1)
      await body(world, way)
    } finally {
      await world.close()
    }
  }
  const has = (difference: Difference): boolean => options.differences.includes(difference)
  const all = { ...modelTests(has), ...refusalTests(), ...historyTests(has), ...leaseTests(has) }
  describe(`keyspace contract: ${options.name}`, () => {
    for (const [name, body] of Object.entries({ ...all, ...watchTests() })) {
      it(name, { timeout: 60_000 }, () => run(body))
    }
  })
}

type Tests = Record<string, (world: ContractWorld, way: FullKeyspace) => Promise<void>>
type Has = (difference: Difference) => boolean

/** Waits for what another way must see; its own turn of the loop each time. */
async function eventually(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10))
}

async function currentOf(way: FullKeyspace): Promise<number> {
  return (await way.range({ key, countOnly: true })).revision
}

// ---- against the model ----

function modelTests(has: Has): Tests {
  const tests: Tests = {}
  for (const seed of [1, 2, 3, 4, 5]) {
    tests[`answers random transactions and ranges as the model does; seed ${seed}`] = (world) =>
      compareWithModel(world, seededRandom(seed), has)
  }
  return tests
}

async function compareWithModel(world: ContractWorld, random: Random, has: Has): Promise<void> {
  const model = new ModelKeyspace()
  const revisions = new Revisions(await currentOf(world.ways[0] as FullKeyspace))
  const leases = new LeaseNames(world)
  for (let round = 0; round < 120; round++) {
    const way = world.ways[random.integer(world.ways.length)] as FullKeyspace
    if (round % 10 === 5) await leases.change(model, revisions, random)
    const request = randomTxn(random, { high: model.revision, depth: 0 })
    const expected = refusalOf(model, request)
    const real = leases.rename(revisions.toRealTxn(request))
    if (expected !== undefined) {
      await rejects(way.txn(real), expected.code, expected.text)
    } else {
      const response = await way.txn(real)
      const before = model.revision
      const wanted = model.txn(request)
      if (model.revision > before) revisions.add(response.revision)
      if (!has('sharedRevisions'))
        assert.equal(response.revision, revisions.toReal(wanted.revision))
      assert.deepEqual(
        leases.showTxn(revisions.toModelTxn(response)),
        leases.showTxn(revisions.toModelTxn(wanted, true)),
      )
    }
    const range = randomRange(random, { low: 1, high: model.revision })
    const found = await way.range(revisions.toRealRange(range))
    assert.deepEqual(
      leases.showRange(revisions.toModelRange(found)),
      leases.showRange(revisions.toModelRange(model.range(range, model.revision), true)),
    )
  }
  await leases.end()
}

/** Rules of a request first, then what the state refuses. */
function refusalOf(
  model: ModelKeyspace,
  request: TxnRequest,
): { readonly code: FaultCode; readonly text: string } | undefined {
  try {
    checkTxn(request)
  } catch (error) {
    assert.ok(isFault(error))
    return { code: error.code, text: error.message }
  }
  const refusal = model.refusal(request)
  if (refusal === undefined) return undefined
  return { code: refusal.includes('lease') ? 'not-found' : 'invalid', text: refusal }
}

async function rejects(
  work: Promise<unknown>,
  code: FaultCode,
  words: string,
  outcome: Outcome = 'failed',
): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isFault(error), String(error))
    const got = { code: error.code, outcome: error.outcome }
    assert.deepEqual(got, { code, outcome }, error.message)
    assert.ok(error.message.includes(words), `'${error.message}' has no '${words}'`)
    return true
  })
}

/** The model's leases 1, 2, ... are others on the wire, because a cluster of etcd may know those already. */
class LeaseNames {
  readonly #world: ContractWorld
  readonly #base: number
  readonly #granted = new Set<number>()

  constructor(world: ContractWorld) {
    this.#world = world
    this.#base = leaseBase
    leaseBase += 100
  }

  async change(model: ModelKeyspace, revisions: Revisions, random: Random): Promise<void> {
    const id = 1 + random.integer(leaseIds)
    const [way] = this.#world.ways
    assert.ok(way !== undefined)
    if (!model.leases.has(id)) {
      await way.leases.grant({ id: this.#base + id, ttlSeconds: 1000 })
      model.leases.set(id, 1000)
      this.#granted.add(id)
      return
    }
    const before = model.revision
    const revision = await way.leases.revoke(this.#base + id)
    model.revoke(id)
    this.#granted.delete(id)
    if (model.revision > before) revisions.add(revision)
  }

  rename(request: TxnRequest): TxnRequest {
    const operation = (one: Operation): Operation => {
      if (one.kind === 'txn') return { kind: 'txn', request: this.rename(one.request) }
      if (one.kind !== 'put' || (one.lease ?? 0) === 0) return one
      return { ...one, lease: this.#base + (one.lease ?? 0) }
    }
    return {
      compares: request.compares.map((compare) => {
        const { operand } = compare
        const isLease = compare.target === 'lease' && typeof operand === 'number' && operand > 0
        return isLease ? { ...compare, operand: this.#base + operand } : compare
      }),
      success: request.success.map(operation),
      failure: request.failure.map(operation),
    }
  }

  /** As text, with leases by the model's names. */
  showTxn(response: unknown): unknown {
    return JSON.parse(JSON.stringify(response, (name, value: unknown) => this.#show(name, value)))
  }

  showRange(response: unknown): unknown {
    return this.showTxn(response)
  }

  async end(): Promise<void> {
    for (const id of this.#granted) await this.#world.ways[0]?.leases.revoke(this.#base + id)
  }

  #show(name: string, value: unknown): unknown {
    if (value instanceof Uint8Array) return toHex(value)
    if (name === 'lease' && typeof value === 'number' && value > this.#base) {
      return value - this.#base
    }
    return value
  }
}

let leaseBase = 1000

// ---- refusals, word for word ----

type Refusal = {
  readonly ask: (way: FullKeyspace) => Promise<unknown>
  readonly code: FaultCode
  readonly words: string
}

const put = (name: string, more: object = {}) =>
  ({ kind: 'put', key: text(name), value: text('v'), ...more }) as const
const txn = (...success: readonly Operation[]): TxnRequest => ({
  compares: [],
  success,
  failure: [],
})

const refusals: Readonly<Record<string, Refusal>> = {
  'an empty key': {
    ask: (way) => way.put(text(''), text('v')),
    code: 'invalid',
    words: 'etcdserver: key is not provided',
  },
  'an empty key of a range': {
    ask: (way) => way.range({ key: text('') }),
    code: 'invalid',
    words: 'etcdserver: key is not provided',
  },
  'an empty key of a compare': {
    ask: (way) => {
      const compare = { key: text(''), target: 'mod', result: 'equal', operand: 0 } as const
      return way.txn({ compares: [compare], success: [], failure: [] })
    },
    code: 'invalid',
    words: 'etcdserver: key is not provided',
  },
  'a key put twice': {
    ask: (way) => way.txn(txn(put('a'), put('a'))),
    code: 'invalid',
    words: 'etcdserver: duplicate key given in txn request',
  },
  'a key put and deleted': {
    ask: (way) => way.txn(txn(put('b'), { kind: 'delete', key: text('a'), rangeEnd: text('c') })),
    code: 'invalid',
    words: 'etcdserver: duplicate key given in txn request',
  },
  'a key put twice over nested transactions': {
    ask: (way) => way.txn(txn(put('a'), { kind: 'txn', request: txn(put('a')) })),
    code: 'invalid',
    words: 'etcdserver: duplicate key given in txn request',
  },
  'a value with ignoreValue': {
    ask: (way) => way.txn(txn(put('a', { ignoreValue: true }))),
    code: 'invalid',
    words: 'etcdserver: value is provided',
  },
  'a lease with ignoreLease': {
    ask: (way) => way.txn(txn(put('a', { ignoreLease: true, lease: 7 }))),
    code: 'invalid',
    words: 'etcdserver: lease is provided',
  },
  'ignoreValue of a key that is not': {
    ask: (way) => way.txn(txn(put('none', { ignoreValue: true, value: text('') }))),
    code: 'invalid',
    words: 'etcdserver: key not found',
  },
  'ignoreLease of a key that is not': {
    ask: (way) => way.txn(txn(put('none', { ignoreLease: true }))),
    code: 'invalid',
    words: 'etcdserver: key not found',
  },
  'a lease that is not': {
    ask: (way) => way.txn(txn(put('a', { lease: 987_654 }))),
    code: 'not-found',
    words: 'etcdserver: requested lease not found',
  },
  'a range of the future': {
    ask: async (way) => way.range({ key, revision: (await currentOf(way)) + 1000 }),
    code: 'invalid',
    words: 'etcdserver: mvcc: required revision is a future revision',
  },
  'a transaction that reads the future': {
    ask: async (way) => {
      const revision = (await currentOf(way)) + 1000
      return way.txn(txn(put('a'), { kind: 'range', request: { key, revision } }))
    },
    code: 'invalid',
    words: 'etcdserver: mvcc: required revision is a future revision',
  },
  'a compaction of the future': {
    ask: async (way) => way.compact((await currentOf(way)) + 1000),
    code: 'invalid',
    words: 'etcdserver: mvcc: required revision is a future revision',
  },
  'a request that is too large': {
    ask: (way) => way.put(key, new Uint8Array(1_600_000)),
    code: 'too-large',
    words: 'etcdserver: request is too large',
  },
  'a lease granted twice': {
    ask: async (way) => {
      const { id } = await way.leases.grant({ ttlSeconds: 100 })
      try {
        await way.leases.grant({ id, ttlSeconds: 100 })
      } finally {
        await way.leases.revoke(id)
      }
    },
    code: 'precondition',
    words: 'etcdserver: lease already exists',
  },
  'a lease of three hundred years': {
    ask: (way) => way.leases.grant({ ttlSeconds: 9_000_000_001 }),
    code: 'too-large',
    words: 'etcdserver: too large lease TTL',
  },
  'the revoking of a lease that is not': {
    ask: (way) => way.leases.revoke(987_654),
    code: 'not-found',
    words: 'etcdserver: requested lease not found',
  },
}

function refusalTests(): Tests {
  return {
    'refuses in the same words, with the same codes, and has changed nothing': async (_, way) => {
      for (const [name, { ask, code, words }] of Object.entries(refusals)) {
        await rejects(ask(way), code, words).catch((error: unknown) => {
          assert.fail(`${name}: ${String(error)}`)
        })
      }
      assert.deepEqual((await way.range(all)).kvs, [])
    },
    'a request that was cancelled before it began did not happen': async (_, way) => {
      const controller = new AbortController()
      controller.abort()
      await rejects(way.txn(txn(put('a')), { signal: controller.signal }), 'cancelled', '')
      assert.equal((await way.range({ key: text('a') })).kvs.length, 0)
    },
  }
}

// ---- ranges, transactions, history ----

async function fill(way: FullKeyspace): Promise<void> {
  for (const name of ['d', 'b', 'a', 'c']) await way.put(text(name), text(`${name}-1`))
  await way.put(text('b'), text('z'))
}

const names = (kvs: readonly KeyValue[]): string => kvs.map((kv) => utf8Decode(kv.key)).join('')

function historyTests(has: Has): Tests {
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

const compactedWords = 'etcdserver: mvcc: required revision has been compacted'

// ---- leases ----

function leaseTests(has: Has): Tests {
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

// ---- watches ----

function watchTests(): Tests {
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

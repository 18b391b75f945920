import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  Fault,
  isFault,
  logIndex,
  type Random,
  seededRandom,
  term,
  toHex,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import { openSegments, openStore } from '../storage/index.ts'
import { responseBytesMax, versionOverheadBytes } from './core/limits.ts'
import { keyspaceTables, spaceOf, versionKey } from './core/rows.ts'
import { encodeEntry, encodeNumbers, encodeWrite } from './core/entry.ts'
import { decodeAnswer, encodeTxn } from './core/wire.ts'
import type { RangeResponse, TxnRequest } from './keyspace.ts'
import { type TestDirectory, testDirectory, TestSegments, testStore } from './testing/doubles.ts'
import { addNeighbours, Bench, group } from './testing/bench.ts'
import { ModelKeyspace } from './testing/model.ts'
import { leaseIds, randomRange, randomTxn } from './testing/requests.ts'

const text = utf8Encode
let directory: TestDirectory
let stores = 0
before(() => {
  directory = testDirectory()
})
after(() => directory.remove())

async function inBench(run: (bench: Bench<TestSegments>) => Promise<void>): Promise<void> {
  const store = await testStore(directory.host, `machine-${stores++}`)
  const bench = new Bench(directory.host, store, new TestSegments())
  addNeighbours(store)
  try {
    await run(bench)
  } finally {
    await bench.close()
  }
}

const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }

/** Grants, revokes or lets end a lease, in both. */
function changeLease(random: Random, bench: Bench, model: ModelKeyspace): void {
  const id = 1 + random.integer(leaseIds)
  if (!model.leases.has(id)) {
    const answer = bench.upkeep('lease-grant', { id, ttlSeconds: 60 + id })
    assert.deepEqual([answer.id, answer.ttlSeconds], [id, 60 + id])
    model.leases.set(id, 60 + id)
  } else if (random.chance(0.3)) {
    assert.ok(model.revoke(id))
    assert.equal(bench.upkeep('lease-revoke', { id }).revision, model.revision)
  } else if (random.chance(0.2)) {
    assert.ok(model.revoke(id))
    bench.propose('expire', encodeNumbers([id, 99]))
  }
}

function checkLeases(bench: Bench, model: ModelKeyspace): void {
  const { leases } = bench.machine.state
  assert.deepEqual(
    leases.ids(),
    [...model.leases.keys()].sort((a, b) => a - b),
  )
  for (const [id, ttlSeconds] of model.leases) {
    const keys = leases.keysOf(bench.store, id)
    assert.deepEqual(keys, model.keysOf(id))
    assert.deepEqual(leases.find(id), { ttlSeconds, keys: keys.length })
  }
}

describe('the transition against a naive model', () => {
  for (const seed of [1, 2, 3, 4]) {
    it(`random transactions, old revisions, compactions; seed ${seed}`, () =>
      inBench(async (bench) => {
        const random = seededRandom(seed)
        const model = new ModelKeyspace()
        let low = 1
        let refused = 0
        for (let round = 0; round < 250; round++) {
          const request = randomTxn(random, { high: model.revision, depth: 0 })
          const refusal = model.refusal(request)
          try {
            const response = await bench.txn(request)
            assert.equal(refusal, undefined)
            assert.deepEqual(response, model.txn(request))
          } catch (error) {
            assert.ok(isFault(error, 'invalid') || isFault(error, 'not-found'), String(error))
            if (!/duplicate key/.test(error.message)) {
              assert.match(error.message, new RegExp(refusal ?? 'none'))
            }
            refused++
          }
          if (random.chance(0.3)) changeLease(random, bench, model)
          const range = randomRange(random, { low, high: model.revision })
          assert.deepEqual(await bench.range(range), model.range(range, model.revision))
          checkLeases(bench, model)
          if (round % 40 === 39) {
            low = Math.max(low, model.revision - random.integer(10))
            bench.compact(low)
            await bench.values.sync()
            if (random.chance(0.7)) await bench.machine.sweep()
            if (random.chance(0.5)) bench.machine.state.reload()
          }
        }
        assert.ok(refused < 160, `${refused} refused`)
        await assert.rejects(bench.range({ ...all, revision: low - 1 }), { code: 'compacted' })
      }))
  }
})

describe('on SQLite and segment files', () => {
  it('agrees with the memory store, and has everything after it is opened again', async () => {
    const { host } = directory
    const open = async (): Promise<Bench> => {
      const store = await openStore(host, { path: 'real/store.sqlite', tables: keyspaceTables })
      return new Bench(host, store, await openSegments(host, { path: 'real/values' }))
    }
    const random = seededRandom(21)
    const model = new ModelKeyspace()
    let bench = await open()
    for (let round = 0; round < 120; round++) {
      const request = randomTxn(random, { high: model.revision, depth: 0 })
      if (random.chance(0.3)) changeLease(random, bench, model)
      const response = await bench.txn(request).catch((error: unknown) => {
        assert.ok(isFault(error, 'invalid') || isFault(error, 'not-found'), String(error))
      })
      if (response !== undefined) assert.deepEqual(response, model.txn(request))
      if (round % 30 !== 29) continue
      checkLeases(bench, model)
      const { sequence, index } = bench
      if (round % 60 === 29) await bench.values.sync()
      bench.compact(model.revision - 5)
      await bench.close()
      bench = await open()
      Object.assign(bench, { sequence, index })
      const at = { ...all, revision: model.revision - 5 }
      assert.deepEqual(await bench.range(at), model.range(at, model.revision))
    }
    assert.deepEqual(await bench.range(all), model.range(all, model.revision))
    await bench.machine.sweep()
    assert.deepEqual(await bench.range(all), model.range(all, model.revision))
    await bench.close()
  })
})

describe('compaction', () => {
  it('leaves one row per live key and none of the deleted', () =>
    inBench(async (bench) => {
      for (let i = 0; i < 300; i++) bench.put(`k${i % 10}`, `v${i}`)
      bench.put('long', new Uint8Array(5000).fill(7))
      bench.put('long', new Uint8Array(6000).fill(8))
      await bench.values.sync()
      assert.equal(bench.segments.objects.size, 2)
      await bench.txn({ compares: [], failure: [], success: [{ kind: 'delete', key: text('k0') }] })
      assert.equal(bench.rowCounts().history, 303)
      const used = bench.machine.usedBytes()
      bench.compact(bench.put('z', 'last'))
      await bench.machine.sweep()
      const rows = { latest: 11, history: 11, sessions: 1, pending: 0, leases: 0, leasekeys: 0 }
      assert.deepEqual(bench.rowCounts(), rows)
      assert.equal(bench.segments.objects.size, 1)
      assert.equal((await bench.range(all)).kvs.length, 11)
      assert.ok(used > 304 * versionOverheadBytes + 11_000)
      const keys = 9 * 'k1v290'.length + 'long'.length + 6000 + 'zlast'.length
      assert.equal(bench.machine.usedBytes(), 11 * versionOverheadBytes + keys)
    }))

  it('keeps what a running read has pinned', () =>
    inBench(async (bench) => {
      bench.put('a', '1')
      const unpin = bench.machine.pin(2)
      bench.put('a', '2')
      bench.put('a', '3')
      bench.compact(4)
      await bench.machine.sweep()
      assert.equal(bench.rowCounts().history, 3)
      unpin()
      await bench.machine.sweep()
      assert.equal(bench.rowCounts().history, 1)
    }))
})

describe('once only', () => {
  const put = (value: string): TxnRequest => ({
    compares: [],
    success: [{ kind: 'put', key: text('k'), value: text(value), previous: true }],
    failure: [],
  })

  it('answers a repeated request as the first time, also after a reload', () =>
    inBench(async (bench) => {
      const first = bench.applyTxn(put('1'), { sequence: 1, lowestOpen: 1 })
      bench.applyTxn(put('2'), { sequence: 2, lowestOpen: 1 })
      assert.deepEqual(bench.applyTxn(put('1'), { sequence: 1, lowestOpen: 1 }), first)
      bench.machine.state.reload()
      assert.deepEqual(bench.applyTxn(put('1'), { sequence: 1, lowestOpen: 1 }), first)
      assert.equal(bench.machine.state.record.revision, 3)
      assert.equal(bench.machine.state.record.requests, 2)
    }))

  it('applies a request that comes twice in one turn once', () =>
    inBench(async (bench) => {
      const id = { session: 1, openedMs: 5, sequence: 1, lowestOpen: 1 }
      const write = encodeWrite({ kind: 'txn', ...id, body: encodeTxn(put('1')) })
      const payload = encodeEntry({ kind: 'write', timeMs: 5, seed: 1, body: write })
      const entries = [1, 2].map((i) => ({ index: logIndex(i), term: term(1), payload }))
      const answers = bench.store.transaction(() => bench.machine.apply(entries))
      assert.deepEqual(answers[0], answers[1])
      assert.equal(bench.machine.state.record.revision, 2)
    }))

  it('remembers a refusal like any other answer', () =>
    inBench(async (bench) => {
      const request: TxnRequest = {
        compares: [],
        success: [{ kind: 'put', key: text('k'), value: text(''), ignoreValue: true }],
        failure: [],
      }
      const first = bench.applyTxn(request, { sequence: 1, lowestOpen: 1 })
      assert.throws(() => decodeAnswer(first), /key not found/)
      bench.applyTxn(put('now it is there'), { sequence: 2, lowestOpen: 1 })
      bench.machine.state.reload()
      assert.deepEqual(bench.applyTxn(request, { sequence: 1, lowestOpen: 1 }), first)
      assert.equal(bench.machine.state.record.revision, 2)
    }))

  it('refuses another request under the same id, and one that was closed', () =>
    inBench(async (bench) => {
      bench.applyTxn(put('1'), { sequence: 1, lowestOpen: 1 })
      const other = bench.applyTxn(put('other'), { sequence: 1, lowestOpen: 1 })
      assert.throws(() => decodeAnswer(other), /used for another request/)
      bench.applyTxn(put('3'), { sequence: 3, lowestOpen: 3 })
      const closed = bench.applyTxn(put('1'), { sequence: 1, lowestOpen: 1 })
      assert.throws(() => decodeAnswer(closed), /closed by its asker/)
      assert.equal(bench.machine.state.record.revision, 3)
    }))

  it('prunes closed answers and forgets silent sessions', () =>
    inBench(async (bench) => {
      for (let i = 1; i <= 50; i++) bench.applyTxn(put('x'), { sequence: i, lowestOpen: i })
      assert.equal(bench.rowCounts().sessions, 1)
      bench.timeMs += 700_000
      bench.applyTxn(put('y'), { session: 10, sequence: 1, lowestOpen: 1 })
      bench.compact(1)
      assert.equal(bench.machine.state.sessionCount, 1)
      assert.equal(bench.rowCounts().sessions, 1)
    }))
})

describe('state that did not commit', () => {
  it('is forgotten with its transaction', () =>
    inBench(async (bench) => {
      bench.put('a', '1')
      const write = encodeWrite({
        kind: 'txn',
        session: 9,
        openedMs: 5,
        sequence: ++bench.sequence,
        lowestOpen: 1,
        body: encodeTxn({
          compares: [],
          success: [{ kind: 'put', key: text('a'), value: text('lost') }],
          failure: [],
        }),
      })
      const payload = encodeEntry({ kind: 'write', timeMs: 5, seed: 1, body: write })
      assert.throws(() =>
        bench.store.transaction(() => {
          bench.machine.apply([{ index: logIndex(9), term: term(1), payload }])
          throw new Fault('no-space', 'the commit fails')
        }),
      )
      assert.equal(bench.put('b', '2'), 3)
      assert.equal(
        utf8Decode((await bench.range({ key: text('a') })).kvs[0]?.value as Uint8Array),
        '1',
      )
    }))
})

describe('long values', () => {
  it('stay readable while the segments are full, and move when there is room', () =>
    inBench(async (bench) => {
      bench.segments.isFull = true
      const value = seededRandom(1).bytes(20_000)
      bench.put('k', value)
      await bench.values.sync()
      assert.equal(bench.rowCounts().pending, 1)
      assert.deepEqual((await bench.range({ key: text('k') })).kvs[0]?.value, value)
      bench.segments.isFull = false
      await bench.values.sync()
      assert.equal(bench.rowCounts().pending, 0)
      assert.deepEqual((await bench.range({ key: text('k') })).kvs[0]?.value, value)
    }))

  it('that no row names are collected', () =>
    inBench(async (bench) => {
      bench.put('k', new Uint8Array(2000))
      await bench.values.sync()
      const named = versionKey(spaceOf(group, 0), { modRevision: 2, sub: 0 })
      assert.deepEqual([...bench.segments.objects.keys()], [toHex(named)])
      await bench.segments.put(
        versionKey(spaceOf(group, 0), { modRevision: 2, sub: 1 }),
        new Uint8Array(3),
      )
      await bench.machine.sweep()
      assert.deepEqual([...bench.segments.objects.keys()], [toHex(named)])
    }))

  it('that several versions share go with the last of them', () =>
    inBench(async (bench) => {
      const value = seededRandom(2).bytes(5000)
      const keep = {
        kind: 'put',
        key: text('k'),
        value: new Uint8Array(0),
        ignoreValue: true,
      } as const
      bench.put('k', value)
      for (let i = 0; i < 3; i++) {
        await bench.txn({ compares: [], success: [keep], failure: [] })
        bench.compact(bench.put('other', `${i}`))
        await bench.values.sync()
        await bench.machine.sweep()
        assert.deepEqual((await bench.range({ key: text('k') })).kvs[0]?.value, value)
      }
      assert.equal(bench.segments.objects.size, 1)
      bench.put('k', 'short')
      bench.compact(bench.put('other', 'last'))
      await bench.machine.sweep()
      assert.equal(bench.segments.objects.size, 0)
      assert.deepEqual([bench.rowCounts().latest, bench.rowCounts().history], [2, 2])
    }))

  it('bound an answer at 1 MiB', () =>
    inBench(async (bench) => {
      for (let i = 0; i < 5; i++) bench.put(`k${i}`, new Uint8Array(400_000))
      const response = await bench.range(all)
      assert.equal(response.kvs.length, 2)
      assert.equal(response.more, true)
      bench.put('k5', new Uint8Array(responseBytesMax + 1))
      const one = await bench.range({ key: text('k5') })
      assert.equal(one.kvs[0]?.value.length, responseBytesMax + 1)
      const request = {
        kind: 'delete',
        key: text('k'),
        rangeEnd: text('l'),
        previous: true,
      } as const
      const tooLarge = bench.txn({ compares: [], success: [request], failure: [] })
      await assert.rejects(tooLarge, { code: 'too-large' })
      assert.equal((await bench.range({ ...all, countOnly: true })).count, 6)
    }))
})

describe('snapshots', () => {
  async function fill(bench: Bench, seed: number): Promise<void> {
    const random = seededRandom(seed)
    for (let id = 1; id <= leaseIds; id += 2) bench.upkeep('lease-grant', { id, ttlSeconds: 9 })
    for (let i = 0; i < 150; i++) {
      bench.applyTxn(randomTxn(random, { high: bench.machine.state.record.revision, depth: 0 }))
    }
    bench.upkeep('set-guard', { document: random.bytes(3000) })
    bench.put('huge', random.bytes(700_000))
    const kept = { key: text('huge'), value: new Uint8Array(0), lease: 1, ignoreValue: true }
    await bench.txn({ compares: [], success: [{ kind: 'put', ...kept }], failure: [] })
    bench.compact(20)
  }

  async function chunksOf(bench: Bench): Promise<Uint8Array[]> {
    const source = bench.machine.snapshot()
    const chunks: Uint8Array[] = []
    for await (const chunk of source.chunks) chunks.push(chunk.slice())
    source.close()
    return chunks
  }

  async function dump(bench: Bench): Promise<unknown> {
    const ranges: RangeResponse[] = []
    for (let revision = 20; revision <= bench.machine.state.record.revision; revision += 7) {
      ranges.push(await bench.range({ ...all, revision, keysOnly: true }))
    }
    const huge = await bench.range({ key: text('huge') })
    const { leases } = bench.machine.state
    const held = leases.ids().map((id) => [id, leases.find(id), leases.keysOf(bench.store, id)])
    assert.ok(leases.keysOf(bench.store, 1).length > 0)
    const digest = toHex(bench.machine.digest())
    const { guard } = bench.machine.state
    assert.equal(guard.document.length, 3000)
    return { ranges, huge, digest, held, guard, all: await bench.range(all) }
  }

  it('carry everything over to a replica that had another state', () =>
    inBench((from) =>
      inBench(async (to) => {
        await fill(from, 5)
        await from.values.sync()
        await fill(to, 6)
        const chunks = await chunksOf(from)
        assert.ok(chunks.every((chunk) => chunk.length <= 256 * 1024))
        const sink = to.machine.install()
        for (const chunk of chunks) await sink.write(chunk)
        to.store.transaction(() => sink.finish())
        assert.deepEqual(await dump(to), await dump(from))
        await to.machine.sweep()
        await from.machine.sweep()
        assert.deepEqual(await dump(to), await dump(from))
        assert.equal(to.rowCounts().latest, from.rowCounts().latest)
        assert.equal(to.rowCounts().history, from.rowCounts().history)
        assert.equal(to.machine.usedBytes(), from.machine.usedBytes())
        const { sequence, timeMs: openedMs } = from
        const again = { sequence, lowestOpen: sequence, openedMs }
        const request: TxnRequest = { compares: [], success: [], failure: [] }
        assert.deepEqual(to.applyTxn(request, again), from.applyTxn(request, again))
      }),
    ))

  it('that are cut, damaged or aborted leave the state as it was', () =>
    inBench((from) =>
      inBench(async (to) => {
        await fill(from, 7)
        await fill(to, 8)
        await to.machine.sweep()
        const before = await dump(to)
        const rows = to.rowCounts()
        const whole = Buffer.concat(await chunksOf(from))
        const random = seededRandom(9)
        for (let round = 0; round < 20; round++) {
          const sink = to.machine.install()
          const damaged = new Uint8Array(whole)
          const at = random.integer(damaged.length)
          damaged[at] = (damaged[at] as number) ^ (1 + random.integer(255))
          await assert.rejects(sink.write(damaged), { code: 'corrupt' }).catch(() => {
            assert.throws(() => to.store.transaction(() => sink.finish()))
          })
          await sink.abort()
        }
        const cut = to.machine.install()
        await cut.write(whole.subarray(0, whole.length >> 1))
        assert.throws(() => to.store.transaction(() => cut.finish()), /complete/)
        await cut.abort()
        await to.machine.sweep()
        assert.deepEqual(await dump(to), before)
        assert.equal(to.rowCounts().latest, rows.latest)
        assert.equal(to.rowCounts().sessions, rows.sessions)
      }),
    ))
})

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { decodeParts, encodeParts, Fault, logIndex, term, utf8Encode } from '../base/index.ts'
import { encodeEntry, encodeWrite } from './core/entry.ts'
import { decodeAnswer, encodeTxn } from './core/wire.ts'
import type { TxnRequest } from './keyspace.ts'
import { Bench } from './testing/bench.ts'
import { type TestDirectory, testDirectory, TestSegments, testStore } from './testing/doubles.ts'

const text = utf8Encode
const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }
let directory: TestDirectory
let stores = 0
before(() => {
  directory = testDirectory()
})
after(() => directory.remove())

async function inBench(run: (bench: Bench<TestSegments>) => Promise<void>): Promise<void> {
  const store = await testStore(directory.host, `long-delete-${stores++}`)
  const bench = new Bench(directory.host, store, new TestSegments())
  try {
    await run(bench)
  } finally {
    await bench.close()
  }
}

describe('a delete of many keys', () => {
  const keys = 5000
  const named = (i: number): Uint8Array => text(`k${String(i).padStart(5, '0')}`)

  const fill = (bench: Bench): void => {
    bench.upkeep('lease-grant', { id: 7, ttlSeconds: 60 })
    for (let from = 0; from < keys; from += 1000) {
      const success = Array.from({ length: 1000 }, (_, i) => {
        const lease = (from + i) % 100 === 0 ? { lease: 7 } : {}
        return { kind: 'put', key: named(from + i), value: text('v'), ...lease } as const
      })
      bench.applyTxn({ compares: [], success, failure: [] })
    }
    bench.put('z', 'stays')
  }

  const entryOf = (request: TxnRequest, index: number) => {
    const timeMs = 1_000_000
    const id = { session: 3, openedMs: timeMs, sequence: index, lowestOpen: 1 }
    const body = encodeWrite({ kind: 'txn', ...id, body: encodeTxn(request) })
    const payload = encodeEntry({ kind: 'write', timeMs, seed: 1, body })
    return { index: logIndex(index), term: term(1), payload }
  }
  const put = (value: string): TxnRequest => ({
    compares: [],
    success: [{ kind: 'put', key: text('other'), value: text(value) }],
    failure: [],
  })
  const deletion: TxnRequest = {
    compares: [],
    success: [{ kind: 'delete', key: text('k'), rangeEnd: text('l') }],
    failure: [],
  }

  it('takes many turns and one revision, is seen whole, and goes on after a crash', () =>
    inBench(async (bench) => {
      fill(bench)
      const { revision } = bench.machine.state.record
      const before = bench.machine.digest()
      const entries = [entryOf(deletion, 100), entryOf(put('after'), 101)]
      const turn = (): readonly Uint8Array[] =>
        bench.store.transaction(() => bench.machine.apply(entries))
      assert.deepEqual(turn(), [])
      const reading = bench.replica.read(
        'read',
        encodeTxn({ compares: [], success: [{ kind: 'range', request: all }], failure: [] }),
        { isSerializable: true, signal: undefined },
      )
      assert.throws(() => {
        bench.store.transaction(() => {
          bench.machine.apply(entries)
          throw new Fault('no-space', 'the commit fails')
        })
      })
      assert.deepEqual(turn(), [])
      const range = await bench.range({ ...all, countOnly: true })
      assert.deepEqual([range.count, range.revision], [keys + 1, revision])
      const old = await bench.range({ key: named(0), revision })
      assert.equal(old.kvs.length, 1)
      assert.equal(bench.machine.state.divergedAt, 0)
      assert.deepEqual(bench.machine.digest().subarray(0, 28), before.subarray(0, 28))
      assert.throws(
        () => bench.store.transaction(() => bench.machine.apply([entryOf(put('x'), 102)])),
        /another one follows/,
      )

      bench.machine.state.reload()
      let answers = turn()
      for (let turns = 0; answers.length === 0; turns++) {
        assert.ok(turns < 10)
        answers = turn()
      }
      assert.equal(answers.length, 2)
      const { response } = decodeAnswer(answers[0] as Uint8Array)
      assert.deepEqual(response.results, [{ kind: 'delete', deleted: keys, previous: [] }])
      assert.equal(response.revision, revision + 1)
      assert.deepEqual(answers[0], bench.store.transaction(turnOnce(bench, entries[0]))[0])

      const [seen] = decodeAnswer(await reading).response.results
      assert.equal(seen?.kind === 'range' && seen.response.count, 2)
      assert.equal((await bench.range({ ...all, revision, countOnly: true })).count, keys + 1)
      assert.equal((await bench.range({ ...all, countOnly: true })).count, 2)
      assert.equal(bench.machine.state.leases.find(7)?.keys, 0)
      assert.equal(bench.machine.state.leases.keysOf(bench.store, 7).length, 0)
      const { record } = bench.machine.state
      assert.equal(record.revision, revision + 2)
      bench.machine.state.reload()
      assert.equal(bench.machine.state.isUnfinished, false)
    }))

  const turnOnce =
    (bench: Bench, entry: ReturnType<typeof entryOf> | undefined) => (): readonly Uint8Array[] =>
      bench.machine.apply(entry === undefined ? [] : [entry])

  it('is one of several writes of an entry, of which none is applied twice', () =>
    inBench(async (bench) => {
      fill(bench)
      const { revision } = bench.machine.state.record
      const timeMs = 1_000_000
      const writes = [put('1'), deletion, put('2')].map((request, i) => {
        const id = { session: 3, openedMs: timeMs, sequence: i + 1, lowestOpen: 1 }
        return encodeWrite({ kind: 'txn', ...id, body: encodeTxn(request) })
      })
      const payload = encodeEntry({ kind: 'writes', timeMs, seed: 1, body: encodeParts(writes) })
      const entries = [{ index: logIndex(200), term: term(1), payload }]
      const turn = (): readonly Uint8Array[] =>
        bench.store.transaction(() => bench.machine.apply(entries))
      assert.deepEqual(turn(), [])
      assert.equal(bench.machine.state.record.revision, revision + 1)
      bench.machine.state.reload()
      let answers = turn()
      while (answers.length === 0) answers = turn()
      const [, second, third] = decodeParts(answers[0] as Uint8Array)
      const { results } = decodeAnswer(second as Uint8Array).response
      assert.deepEqual(results, [{ kind: 'delete', deleted: keys, previous: [] }])
      assert.equal(decodeAnswer(third as Uint8Array).response.revision, revision + 3)
      const [kv] = (await bench.range({ key: text('other') })).kvs
      assert.deepEqual([kv?.version, kv?.modRevision], [2, revision + 3])
    }))

  it('passes over what is deleted already, in one revision or none', () =>
    inBench(async (bench) => {
      fill(bench)
      const { revision } = bench.machine.state.record
      const first = decodeAnswer(bench.applyTxn(deletion)).response
      assert.equal(first.revision, revision + 1)
      const again = decodeAnswer(bench.applyTxn(deletion)).response
      assert.deepEqual(again.results, [{ kind: 'delete', deleted: 0, previous: [] }])
      assert.equal(again.revision, revision + 1)
      bench.put('k3', 'x')
      const third = decodeAnswer(bench.applyTxn(deletion)).response
      assert.deepEqual(third.results, [{ kind: 'delete', deleted: 1, previous: [] }])
      assert.equal(third.revision, revision + 3)
    }))

  it('takes the branch that its compares choose before it begins', () =>
    inBench(async (bench) => {
      fill(bench)
      const compare = { target: 'version', result: 'equal', operand: 0 } as const
      const request: TxnRequest = {
        compares: [{ ...compare, key: named(0) }],
        success: [{ kind: 'put', key: text('no'), value: text('x') }],
        failure: deletion.success,
      }
      const { response } = decodeAnswer(bench.applyTxn(request))
      assert.equal(response.succeeded, false)
      assert.deepEqual(response.results, [{ kind: 'delete', deleted: keys, previous: [] }])
    }))
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromHex, groupId, seededRandom, toHex, utf8Encode } from '../../base/index.ts'
import type { Operation, TxnRequest } from '../keyspace.ts'
import { createSlab } from './bytes.ts'
import { LeaseTable } from './leases.ts'
import { encodePlainPut, PlainPuts } from './plain-put.ts'
import { emptyKeyspaceRecord, type KeyspaceRecord } from './records.ts'
import { type Rows, spaceOf } from './rows.ts'
import { runTxn } from './txn.ts'
import { decodeTxn, encodeAnswer, encodePutAnswer, encodeTxn } from './wire.ts'

const space = spaceOf(groupId(7), 3)
const noBytes = new Uint8Array(0)

test('a plain put does what its transaction does, to the byte', () => {
  for (let seed = 1; seed <= 4; seed++) {
    const random = seededRandom(seed)
    const [short, long] = [new Side(), new Side()]
    const counts = { none: 0, created: 0, superseded: 0 }
    for (let i = 0; i < 400; i++) {
      const request = { compares: [], success: [drawOperation(random)], failure: [] }
      const encoded = encodeTxn(request, random.chance(0.5) ? 4 : undefined)
      const outcome = short.puts.run(encoded, short.record, 4)
      counts[outcome]++
      const before = long.superseding
      const expected = long.runLong(request)
      const answer = outcome === 'none' ? short.runLong(request) : shortAnswer(short)
      assert.deepEqual(answer, expected)
      if (outcome !== 'none') assert.equal(outcome === 'superseded', long.superseding > before)
      assert.deepEqual(short.record, long.record)
      if (i % 50 === 49) assert.deepEqual(short.rows.dump(), long.rows.dump())
    }
    assert.ok(counts.created > 5 && counts.superseded > 50 && counts.none > 50)
  }
})

test('a plain put is encoded as any other transaction', () => {
  const random = seededRandom(12)
  for (let i = 0; i < 200; i++) {
    const key = random.bytes(1 + random.integer(random.chance(0.1) ? 8000 : 40))
    const value = random.bytes(random.chance(0.2) ? 0 : random.integer(70_000))
    const whole = encodeTxn({ compares: [], success: [{ kind: 'put', key, value }], failure: [] })
    assert.deepEqual(encodePlainPut(key, value), whole)
  }
  assert.throws(() => encodePlainPut(noBytes, noBytes), { code: 'invalid' })
  assert.throws(() => encodePlainPut(Uint8Array.of(1), new Uint8Array(1_572_864)), {
    code: 'too-large',
  })
})

test('what is not exactly a plain put is left alone: other options, guards, alarms, and any other bytes', () => {
  const side = new Side()
  const [key, value] = [utf8Encode('k'), utf8Encode('v')]
  const put = { kind: 'put', key, value } as const
  const of = (success: readonly Operation[]): TxnRequest => ({ compares: [], success, failure: [] })
  const refused: Uint8Array[] = [
    encodeTxn(of([put, { ...put, key: value }])),
    encodeTxn(of([{ ...put, lease: 5 }])),
    encodeTxn(of([{ ...put, previous: true }])),
    encodeTxn(of([{ ...put, ignoreLease: true }])),
    encodeTxn(of([{ ...put, value: new Uint8Array(1025) }])),
    encodeTxn(of([{ ...put, key: new Uint8Array(8193) }])),
    encodeTxn(of([{ kind: 'delete', key }])),
    encodeTxn({ compares: [], success: [], failure: [put] }),
    encodeTxn(of([put]), 3),
    new Uint8Array(0),
  ]
  for (const encoded of refused) assert.equal(side.puts.run(encoded, side.record, 4), 'none')
  const alarmed = { ...side.record, alarms: 1 }
  assert.equal(side.puts.run(encodeTxn(of([put])), alarmed, 4), 'none')
  const random = seededRandom(9)
  const good = encodeTxn(of([put]), 4)
  for (let i = 0; i < 3000; i++) {
    const bytes = random.chance(0.3) ? good.slice(0, random.integer(good.length)) : good.slice()
    if (bytes.length > 0) bytes[random.integer(bytes.length)] = random.integer(256)
    const fresh = new Side()
    if (fresh.puts.run(bytes, fresh.record, 4) === 'none') {
      assert.deepEqual(fresh.record, emptyKeyspaceRecord())
      continue
    }
    const { request } = decodeTxn(bytes)
    const other = new Side()
    other.runLong(request)
    assert.deepEqual(fresh.rows.dump(), other.rows.dump())
  }
})

function drawOperation(random: ReturnType<typeof seededRandom>): Operation {
  const key = utf8Encode(`key ${random.integer(12)}`.repeat(random.chance(0.1) ? 60 : 1))
  if (random.chance(0.15)) return { kind: 'delete', key }
  const lengths = [0, 1, 255, 256, 257, 1023, 1024, 1025, random.integer(2000)]
  const value = random.bytes(lengths[random.integer(lengths.length)] ?? 0)
  return random.chance(0.1)
    ? { kind: 'put', key, value, previous: true }
    : { kind: 'put', key, value }
}

function shortAnswer({ record }: Side): Uint8Array {
  return encodePutAnswer(record.revision)
}

/** Rows and what is counted beside them. */
class Side {
  readonly rows = new TestRows()
  readonly record: KeyspaceRecord = emptyKeyspaceRecord()
  readonly leases = new LeaseTable(this.rows, space)
  readonly puts = new PlainPuts(this.rows, space, createSlab())
  superseding = 0

  runLong(request: TxnRequest): Uint8Array {
    const { record, leases } = this
    const outcome = runTxn(this.rows, space, { request, state: record, leases })
    record.digestA = (record.digestA + outcome.digest.a) >>> 0
    record.digestB = (record.digestB + outcome.digest.b) >>> 0
    record.revision = outcome.revision
    record.addedBytes += outcome.addedBytes
    if (outcome.isSuperseding) this.superseding++
    return encodeAnswer(outcome.response, outcome)
  }
}

/** Tables as maps of keys in hexadecimal, sorted when a range is asked for. */
class TestRows implements Rows {
  readonly #tables = new Map<string, Map<string, Uint8Array>>()

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    return this.#tables.get(table)?.get(toHex(key))
  }

  range(table: string, range: Parameters<Rows['range']>[1]): ReturnType<Rows['range']> {
    const [start, end] = [toHex(range.start), toHex(range.end ?? new Uint8Array(0))]
    const rows = [...(this.#tables.get(table) ?? [])]
      .filter(([key]) => key >= start && (end === '' || key < end))
      .sort(([a], [b]) => (a < b ? -1 : 1))
    return rows
      .slice(0, range.limit)
      .map(([key, value]) => ({ key: fromHex(key) ?? noBytes, value }))
  }

  put(table: string, key: Uint8Array, value: Uint8Array): void {
    const rows = this.#tables.get(table) ?? new Map<string, Uint8Array>()
    this.#tables.set(table, rows)
    rows.set(toHex(key), value.slice())
  }

  delete(table: string, key: Uint8Array): void {
    this.#tables.get(table)?.delete(toHex(key))
  }

  dump(): string[] {
    const all: string[] = []
    for (const [table, rows] of this.#tables) {
      for (const [key, value] of rows) all.push(`${table} ${key} ${toHex(value)}`)
    }
    return all.sort()
  }
}

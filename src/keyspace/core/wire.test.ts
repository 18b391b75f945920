import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  Fault,
  isFault,
  type Random,
  seededRandom,
  revision as toRevision,
  toHex,
  utf8Encode,
} from '../../base/index.ts'
import type { KeyValue, TxnRequest, TxnResponse } from '../keyspace.ts'
import { ModelKeyspace } from '../testing/model.ts'
import { randomRange, randomTxn } from '../testing/requests.ts'
import { checkTxn } from './check.ts'
import {
  decodeLaneNews,
  decodeLaneRequests,
  encodeLaneNews,
  encodeLaneRequests,
} from './lane-wire.ts'
import { requestBytesMax } from './limits.ts'
import {
  decodeHistory,
  decodeKeyspaceRecord,
  decodeLatest,
  decodeSession,
  emptyKeyspaceRecord,
  encodeHistory,
  encodeKeyspaceRecord,
  encodeLatest,
  encodeSession,
  valueKind,
  valueTail,
} from './records.ts'
import {
  decodeCall,
  decodeHashAnswer,
  decodeStatusAnswer,
  decodeUpkeepAnswer,
  encodeCall,
  encodeHashAnswer,
  encodeStatusAnswer,
  encodeUpkeepAnswer,
} from './calls.ts'
import {
  decodeAlarm,
  decodeEntry,
  decodeMark,
  decodeNumbers,
  decodeUpkeep,
  decodeWrite,
  encodeAlarm,
  encodeEntry,
  encodeMark,
  encodeNumbers,
  encodeUpkeep,
  encodeWrite,
} from './entry.ts'
import { decodeLease, encodeLease } from './leases.ts'
import {
  decodeAnswer,
  decodeRange,
  decodeRangeResponse,
  decodeTxn,
  encodeAnswer,
  encodeFaultAnswer,
  encodeRange,
  encodeRangeResponse,
  encodeTxn,
  mayHaveApart,
  readFaultAnswer,
} from './wire.ts'

const key = utf8Encode('key')

/** Every byte flipped at random, and every kind of cut: a Fault, or another valid message. */
function fuzz(random: Random, encoded: Uint8Array, decode: (bytes: Uint8Array) => unknown): void {
  for (let round = 0; round < 60; round++) {
    const damaged = encoded.slice(
      0,
      random.chance(0.4) ? random.integer(encoded.length + 1) : undefined,
    )
    for (let flips = random.integer(4); flips > 0 && damaged.length > 0; flips--) {
      damaged[random.integer(damaged.length)] = random.integer(256)
    }
    try {
      decode(damaged)
    } catch (error) {
      assert.ok(isFault(error), String(error))
    }
  }
}

describe('requests and answers', () => {
  it('come back as they were, and hostile bytes are faults', () => {
    const random = seededRandom(11)
    const model = new ModelKeyspace()
    for (let round = 0; round < 60; round++) {
      const request = randomTxn(random, { high: 20, depth: 0 })
      const encoded = encodeTxn(request)
      assert.deepEqual(encodeTxn(decodeTxn(encoded).request), encoded)
      const response = model.txn(decodeTxn(encoded).request)
      const answer = encodeAnswer(response, { hasApart: false })
      assert.deepEqual(decodeAnswer(answer), { response, hasApart: false })
      const range = randomRange(random, { low: 1, high: 20 })
      assert.deepEqual(encodeRange(decodeRange(encodeRange(range)).request), encodeRange(range))
      const ranged = model.range(range, 7)
      assert.deepEqual(decodeRangeResponse(encodeRangeResponse(ranged)), ranged)
      fuzz(random, encoded, (bytes) => checkTxn(decodeTxn(bytes).request))
      fuzz(random, answer, decodeAnswer)
      fuzz(random, encodeRangeResponse(ranged), decodeRangeResponse)
    }
  })

  it('an answer to one put has the bytes of the general form', () => {
    for (const revision of [1, 127, 128, 300, 2 ** 31, 2 ** 53 - 1]) {
      const response: TxnResponse = {
        revision: toRevision(revision),
        succeeded: true,
        results: [{ kind: 'put' }],
      }
      const quick = encodeAnswer(response, { hasApart: false })
      const two: TxnResponse = { ...response, results: [...response.results, { kind: 'put' }] }
      const general = encodeAnswer(two, { hasApart: false })
      assert.equal(toHex(general), toHex(quick) + toHex(quick.subarray(quick.length - 4)))
      assert.deepEqual(decodeAnswer(quick).response, response)
    }
  })

  it('a fault crosses as the same fault', () => {
    const fault = new Fault('compacted', 'gone', { fields: { compacted: '7' } })
    assert.throws(() => decodeAnswer(encodeFaultAnswer(fault)), {
      code: 'compacted',
      message: 'gone',
    })
  })

  it('a named value is noticed without decoding', () => {
    const pair = { key, value: new Uint8Array(0), createRevision: 1, modRevision: 2, version: 1 }
    const apart = { apartRevision: 2, apartSub: 1, valueBytes: 2000 }
    const previous = { ...pair, lease: 0, ...apart } as unknown as KeyValue
    const response: TxnResponse = {
      revision: toRevision(3),
      succeeded: true,
      results: [{ kind: 'put', previous }],
    }
    const answer = encodeAnswer(response, { hasApart: true })
    assert.ok(mayHaveApart(answer))
    assert.deepEqual(decodeAnswer(answer), { response, hasApart: true })
  })

  it('a request beyond the limits is refused in etcd words', () => {
    const put = { kind: 'put', key, value: new Uint8Array(requestBytesMax) } as const
    const large: TxnRequest = { compares: [], success: [put], failure: [] }
    assert.throws(() => encodeTxn(large), { code: 'too-large', message: /request is too large/ })
    const range = { kind: 'range', request: { key } } as const
    const many = { compares: [], success: Array(8193).fill(range), failure: [] }
    assert.throws(() => checkTxn(many), /too many operations in txn request/)
    let deep: TxnRequest = { compares: [], success: [], failure: [] }
    for (let i = 0; i < 6; i++) {
      deep = { compares: [], success: [{ kind: 'txn', request: deep }], failure: [] }
    }
    assert.throws(() => checkTxn(deep), /nested too deeply/)
    checkTxn(deep.success[0]?.kind === 'txn' ? deep.success[0].request : deep)
  })

  it('the check of puts and deletes is not quadratic in what clients send', () => {
    const names = Array.from({ length: 4000 }, (_, i) => utf8Encode(`k${(i * 7919) % 4000}`))
    const puts = names.map((name) => ({ kind: 'put', key: name, value: name }) as const)
    const deletes = names.map((name) => {
      return {
        kind: 'delete',
        key: utf8Encode(`x${name}`),
        rangeEnd: utf8Encode(`x${name}z`),
      } as const
    })
    checkTxn({ compares: [], success: [...puts, ...deletes], failure: [] })
    const hit = {
      kind: 'delete',
      key: utf8Encode('k39990'),
      rangeEnd: utf8Encode('k3999z'),
    } as const
    checkTxn({ compares: [], success: [...puts, ...deletes, hit], failure: [] })
    const overlap = { ...hit, key: utf8Encode('k3999') }
    const request = { compares: [], success: [...puts, ...deletes, overlap], failure: [] }
    assert.throws(() => checkTxn(request), /duplicate key/)
  })
})

describe('entries and calls', () => {
  it('come back as they were, and hostile bytes are faults', () => {
    const random = seededRandom(12)
    const body = random.bytes(30)
    const id = { session: 2 ** 52, openedMs: 2 ** 50, sequence: 7, lowestOpen: 5 }
    for (const kind of ['txn', 'lease-grant', 'disarm'] as const) {
      const write = { ...id, kind, body }
      assert.deepEqual(decodeWrite(encodeWrite(write)), write)
    }
    const write = encodeWrite({ ...id, kind: 'txn', body })
    for (const kind of ['write', 'compact', 'expire', 'alarm', 'mark', 'verdict'] as const) {
      const entry = { kind, timeMs: 1_700_000_000_000, seed: 0xffff_ffff, body: write }
      assert.deepEqual(decodeEntry(encodeEntry(entry)), entry)
    }
    const entry = encodeEntry({ kind: 'write', timeMs: 1, seed: 2, body: write })
    const call = { group: 3, kind: 'ttl', isSerializable: true, body } as const
    assert.deepEqual(decodeCall(encodeCall(call)), call)
    fuzz(random, entry, (bytes) => decodeWrite(decodeEntry(bytes).body))
    fuzz(random, encodeCall(call), decodeCall)
    const newer = entry.slice()
    newer[0] = 3
    assert.throws(() => decodeEntry(newer), { code: 'unsupported' })
    newer[0] = 1
    assert.throws(() => decodeEntry(newer), { code: 'unsupported' })
  })

  it('bodies of entries come back as they were, and hostile bytes are faults', () => {
    const random = seededRandom(14)
    const numbers = [0, 1, 2 ** 53 - 1]
    assert.deepEqual(decodeNumbers(encodeNumbers(numbers)), numbers)
    assert.deepEqual(decodeAlarm(encodeAlarm('corrupt', true)), { alarm: 'corrupt', isOn: true })
    const mark = { index: 2 ** 40, digest: random.bytes(60) }
    assert.deepEqual(decodeMark(encodeMark(mark)), mark)
    const upkeep = { id: 7, ttlSeconds: 2 ** 40, revision: 9, alarm: 1 }
    const guarded = { guard: 0, document: key }
    const request = { ...upkeep, ...guarded, isPhysical: true, withKeys: false }
    assert.deepEqual(decodeUpkeep(encodeUpkeep(request)), request)
    fuzz(random, encodeNumbers(numbers), decodeNumbers)
    fuzz(random, encodeAlarm('no-space', false), decodeAlarm)
    fuzz(random, encodeMark(mark), decodeMark)
    fuzz(random, encodeUpkeep(request), decodeUpkeep)
  })

  it('answers of upkeep come back as they were, and hostile bytes are faults', () => {
    const random = seededRandom(15)
    const answer = { revision: 5, id: 2 ** 52, ttlSeconds: -1, grantedTtlSeconds: 60 }
    const lists = { keys: [key, new Uint8Array(0)], ids: [1, 0, 2 ** 53 - 1], document: key }
    const whole = { ...answer, ...lists, timeMs: 3 }
    const { fault: _, ...decoded } = decodeUpkeepAnswer(
      encodeUpkeepAnswer(whole),
    ) as typeof whole & {
      fault: Uint8Array
    }
    assert.deepEqual(decoded, whole)
    const refused = encodeFaultAnswer(new Fault('not-found', 'gone'))
    assert.throws(() => decodeUpkeepAnswer(refused), { code: 'not-found' })
    assert.equal(readFaultAnswer(refused)?.message, 'gone')
    assert.equal(readFaultAnswer(encodeUpkeepAnswer(whole)), undefined)
    const revision = toRevision(5)
    const hash = { revision, hashRevision: revision, compacted: toRevision(2), hash: 0xffff_ffff }
    assert.deepEqual(decodeHashAnswer(encodeHashAnswer(hash)), hash)
    const numbers = { usedBytes: 2 ** 33, quotaBytes: 0, leases: 3, isDiverged: true }
    const status = { revision, compacted: toRevision(2), ...numbers, alarms: ['corrupt'] as const }
    assert.deepEqual(decodeStatusAnswer(encodeStatusAnswer(status)), status)
    fuzz(random, encodeUpkeepAnswer(whole), decodeUpkeepAnswer)
    fuzz(random, encodeHashAnswer(hash), decodeHashAnswer)
    fuzz(random, encodeStatusAnswer(status), decodeStatusAnswer)
    fuzz(random, refused, readFaultAnswer)
  })

  it('golden bytes stay readable', () => {
    const body = encodeTxn({
      compares: [],
      success: [{ kind: 'put', key, value: key, lease: 5, ignoreLease: true }],
      failure: [],
    })
    const id = { session: 1, openedMs: 600, sequence: 2, lowestOpen: 1 }
    const write = encodeWrite({ kind: 'txn', ...id, body })
    const entry = encodeEntry({ kind: 'write', timeMs: 1000, seed: 9, body: write })
    assert.equal(
      toHex(entry),
      '020100000000000003e800000009' +
        '02010000000000000001000000000000025800000000000000020000000000000001' +
        '12101' +
        '20e0a036b657912036b65791805' +
        '3001',
    )
  })

  it('messages of data threads', () => {
    const random = seededRandom(13)
    const requests = [
      {
        id: 1,
        kind: 'open',
        namespace: 0,
        deadlineMs: 9,
        isSerializable: false,
        body: key,
        feed: 0,
      },
      {
        id: 2,
        kind: 'lease-grant',
        namespace: 1,
        deadlineMs: 5,
        isSerializable: true,
        body: key,
        feed: 3,
      },
    ] as const
    assert.deepEqual(decodeLaneRequests(encodeLaneRequests(requests)), requests)
    const news = {
      answers: [{ id: 2, fault: key, body: key, namespace: 1 }],
      feeds: [{ namespace: 1, feed: 4, chunk: key, fault: key }],
      freshness: [
        { namespace: 1, revision: 3, guard: 2, heardMsAgo: 12 },
        { namespace: 2, revision: 0, guard: 0, heardMsAgo: Number.POSITIVE_INFINITY },
      ],
      isClosed: true,
    }
    assert.deepEqual(decodeLaneNews(encodeLaneNews(news)), news)
    fuzz(random, encodeLaneRequests(requests), decodeLaneRequests)
    fuzz(random, encodeLaneNews(news), decodeLaneNews)
  })
})

describe('stored records', () => {
  const version = (value: Uint8Array) => ({
    kind: valueKind(value.length),
    modRevision: 2 ** 40,
    sub: 3,
    createRevision: 5,
    version: 6,
    lease: 7,
    valueBytes: value.length,
    tail: valueTail(value, { modRevision: 2 ** 40, sub: 3 }),
  })

  it('come back as they were', () => {
    for (const length of [0, 256, 257, 1024, 1025]) {
      const value = new Uint8Array(length).fill(9)
      assert.deepEqual(decodeLatest(key, encodeLatest(key, version(value))), version(value))
      const record = { ...version(value), key, previousRevision: 4, previousSub: 1 }
      const encoded = encodeHistory(key, record, { value })
      const { modRevision, sub, ...rest } = record
      const tail = length > 1024 ? record.tail : value
      assert.deepEqual(decodeHistory(key, encoded), { ...rest, tail })
      assert.equal(modRevision + sub, 2 ** 40 + 3)
    }
    const session = {
      lowestOpen: 3,
      timeMs: 4,
      openedMs: 2,
      answers: [{ sequence: 5, requestCrc: 6, answer: key }],
    }
    assert.deepEqual(decodeSession(key, encodeSession(key, session)), session)
    const id = Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 2)
    assert.deepEqual(decodeLease(id, encodeLease(id, 60)), { id: 258, ttlSeconds: 60 })
    const record = { ...emptyKeyspaceRecord(), generation: 2, digestA: 0xffff_ffff }
    assert.deepEqual(decodeKeyspaceRecord(key, encodeKeyspaceRecord(key, record)), record)
  })

  it('are refused when a bit differs, or under another key', () => {
    const value = utf8Encode('value')
    const history = { ...version(value), key, previousRevision: 0, previousSub: 0 }
    const session = { lowestOpen: 1, timeMs: 1, openedMs: 0, answers: [] }
    const records: [Uint8Array, (at: Uint8Array, bytes: Uint8Array) => unknown][] = [
      [encodeLatest(key, version(value)), decodeLatest],
      [encodeHistory(key, history, { value }), decodeHistory],
      [encodeSession(key, session), decodeSession],
      [encodeKeyspaceRecord(key, emptyKeyspaceRecord()), decodeKeyspaceRecord],
    ]
    for (const [encoded, decode] of records) {
      decode(key, encoded)
      assert.throws(() => decode(utf8Encode('kez'), encoded), { code: 'corrupt' })
      for (let bit = 0; bit < encoded.length * 8; bit++) {
        const damaged = encoded.slice()
        damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7))
        assert.throws(() => decode(key, damaged), { code: 'corrupt' })
      }
      for (let length = 0; length < encoded.length; length++) {
        assert.throws(() => decode(key, encoded.subarray(0, length)), { code: 'corrupt' })
      }
    }
  })
})

// The pure parts: frames, JSON, errors, requests; each with hostile input.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decodeBytes,
  encodeBytes,
  Fault,
  isFault,
  seededRandom,
  utf8Decode,
  utf8Encode,
} from '../../../base/index.ts'
import { EtcdRefusal, etcdErrors, toEtcdError } from './errors.ts'
import {
  type AnySchema,
  compare,
  type EtcdTxn,
  putRequest,
  rangeRequest,
  txnRequest,
  watchCreate,
  watchRequest,
  watchResponse,
} from '../../../keyspace/etcd/wire.ts'
import {
  encodeFrame,
  encodeStatusText,
  FrameReader,
  messageBytesMax,
  parseTimeoutMs,
} from './frames.ts'
import { JsonStream, messageFromJson, messageToJson } from './json.ts'
import { readTxn } from './translate.ts'

test('frames come out whole, however they were cut', () => {
  const random = seededRandom(3)
  for (let round = 0; round < 200; round++) {
    const messages = Array.from({ length: random.integer(5) }, () =>
      random.bytes(random.integer(40)),
    )
    const wire = Buffer.concat(messages.map(encodeFrame))
    const reader = new FrameReader()
    const found: Uint8Array[] = []
    for (let at = 0; at < wire.length; ) {
      const end = Math.min(wire.length, at + 1 + random.integer(12))
      found.push(...reader.add(wire.subarray(at, end)))
      at = end
    }
    assert.deepEqual(
      found.map((one) => [...one]),
      messages.map((one) => [...one]),
    )
    assert.ok(reader.isBetweenMessages)
  }
})

test('a frame that is too long or compressed is refused before its bytes come', () => {
  const head = new Uint8Array(5)
  new DataView(head.buffer).setUint32(1, messageBytesMax + 1)
  assert.throws(
    () => new FrameReader().add(head),
    (error) =>
      error instanceof EtcdRefusal &&
      /larger than max \(2097153 vs\. 2097152\)/.test(error.etcd.text) &&
      error.etcd.code === 8,
  )
  assert.throws(
    () => new FrameReader().add(Uint8Array.of(1, 0, 0, 0, 0)),
    (error) => error instanceof EtcdRefusal && error.etcd.code === 12,
  )
})

test('deadlines and status texts', () => {
  assert.equal(parseTimeoutMs('250m'), 250)
  assert.equal(parseTimeoutMs('5S'), 5000)
  assert.equal(parseTimeoutMs('2H'), 7_200_000)
  for (const wrong of ['', '5', 'S', '123456789m', '-1S', '5x']) {
    assert.throws(
      () => parseTimeoutMs(wrong),
      (error) => isFault(error, 'invalid'),
    )
  }
  assert.equal(encodeStatusText('100% é\n'), '100%25 %C3%A9%0A')
})

test('JSON has the names, texts and defaults of grpc-gateway', () => {
  const value = messageFromJson(rangeRequest as AnySchema, {
    key: 'Zm9v',
    rangeEnd: 'Zm9w',
    limit: '9007199254740991',
    sort_order: 'DESCEND',
    sortTarget: 3,
    serializable: true,
    unknown: [{}],
  })
  assert.equal(utf8Decode(value.key), 'foo')
  assert.equal(utf8Decode(value.rangeEnd), 'fop')
  assert.equal(value.limit, Number.MAX_SAFE_INTEGER)
  assert.deepEqual([value.sortOrder, value.sortTarget, value.serializable], [2, 3, true])
  assert.deepEqual(messageToJson(rangeRequest as AnySchema, value), {
    key: 'Zm9v',
    range_end: 'Zm9w',
    limit: '9007199254740991',
    sort_order: 'DESCEND',
    sort_target: 'MOD',
    serializable: true,
  })
})

test('JSON that is not the message is refused', () => {
  const wrong: readonly unknown[] = [
    [],
    null,
    'x',
    { key: 'no base64' },
    { key: 5 },
    { limit: '1.5' },
    { limit: 'x' },
    { sort_order: 'UP' },
    { serializable: 1 },
  ]
  for (const json of wrong) {
    assert.throws(
      () => messageFromJson(rangeRequest as AnySchema, json),
      (error) => isFault(error, 'invalid'),
      JSON.stringify(json),
    )
  }
  let deep: unknown = {}
  for (let i = 0; i < 30; i++) deep = { success: [{ request_txn: deep }] }
  assert.throws(
    () => messageFromJson(txnRequest as AnySchema, deep),
    (error) => isFault(error, 'invalid'),
  )
})

test('streamed JSON is cut at its objects, however it comes', () => {
  const text = utf8Encode('{"a":"}{\\""} \n{"b":{"c":[{}]}}{}')
  for (let size = 1; size < text.length; size++) {
    const reader = new JsonStream(100)
    const found: unknown[] = []
    for (let at = 0; at < text.length; at += size) {
      found.push(...reader.add(text.subarray(at, at + size)))
    }
    assert.deepEqual(found, [{ a: '}{"' }, { b: { c: [{}] } }, {}])
  }
  const endless = new JsonStream(10)
  assert.throws(
    () => endless.add(utf8Encode('{"aaaaaaaaaaaaaaaa')),
    (error) => isFault(error, 'too-large'),
  )
})

test('hostile bytes end in a fault, never in another error', () => {
  const random = seededRandom(8)
  const schemas = [rangeRequest, txnRequest, watchRequest, compare, watchCreate] as AnySchema[]
  for (let round = 0; round < 3000; round++) {
    const schema = schemas[round % schemas.length] as AnySchema
    try {
      decodeBytes(schema, random.bytes(random.integer(60)))
    } catch (error) {
      assert.ok(isFault(error, 'corrupt'), String(error))
    }
  }
})

test('filters come packed, as protobuf 3 sends them, and not without end', () => {
  const packed = Uint8Array.of(0x2a, 2, 0, 1)
  assert.deepEqual(decodeBytes(watchCreate, packed).filters, [0, 1])
  const many = Uint8Array.of(0x2a, 100, ...new Uint8Array(100))
  assert.throws(
    () => decodeBytes(watchCreate, many),
    (error) => isFault(error, 'corrupt'),
  )
})

test('events given to many watches are encoded once and alike', () => {
  const kv = {
    key: utf8Encode('k'),
    createRevision: 2,
    modRevision: 3,
    version: 2,
    value: utf8Encode('v'),
    lease: 0,
  }
  const events = [{ type: 0, kv, prevKv: undefined }]
  const answer = { ...decodeBytes(watchResponse, new Uint8Array(0)), watchId: 4, events }
  const first = encodeBytes(watchResponse, answer)
  assert.deepEqual(encodeBytes(watchResponse, answer), first)
  assert.deepEqual(decodeBytes(watchResponse, first), answer)
})

test('faults become etcd errors by their text, then by their kind', () => {
  const texts: readonly (readonly [Fault, number, string])[] = [
    [
      new Fault('not-found', 'etcdserver: requested lease not found'),
      5,
      'etcdserver: requested lease not found',
    ],
    [
      new Fault('invalid', 'etcdserver: mvcc: required revision is a future revision'),
      11,
      'etcdserver: mvcc: required revision is a future revision',
    ],
    [new Fault('compacted', 'x'), 11, 'etcdserver: mvcc: required revision has been compacted'],
    [
      new Fault('too-large', 'etcdserver: request is too large'),
      3,
      'etcdserver: request is too large',
    ],
    [new Fault('deadline', 'x', { outcome: 'unknown' }), 14, 'etcdserver: request timed out'],
    [new Fault('unavailable', 'x'), 14, 'etcdserver: no leader'],
    [new Fault('unavailable', 'x', { outcome: 'unknown' }), 14, 'etcdserver: leader changed'],
    [new Fault('overloaded', 'x'), 8, 'etcdserver: too many requests'],
    [new Fault('no-space', 'x'), 8, 'etcdserver: mvcc: database space exceeded'],
    [new Fault('internal', 'a secret of ours'), 13, 'etcdserver: internal error'],
    [new Fault('unsupported', 'sorting'), 12, 'etcdserver: sorting'],
  ]
  for (const [fault, code, text] of texts) {
    assert.deepEqual(toEtcdError(fault), { code, text }, fault.message)
  }
})

test('transactions are checked as etcd checks them', () => {
  const refusal = (txn: Partial<EtcdTxn>): string => {
    try {
      readTxn({ compare: [], success: [], failure: [], ...txn })
      return ''
    } catch (error) {
      return error instanceof EtcdRefusal ? error.etcd.text : String(error)
    }
  }
  const none = {
    requestRange: undefined,
    requestPut: undefined,
    requestDeleteRange: undefined,
    requestTxn: undefined,
  }
  const key = utf8Encode('k')
  const put = {
    ...none,
    requestPut: { ...decodeBytes(putRequest, new Uint8Array(0)), key },
  }
  assert.equal(
    refusal({ success: Array.from({ length: 129 }, () => put) }),
    etcdErrors.tooManyOperations.text,
  )
  assert.equal(refusal({ success: [none] }), etcdErrors.keyNotFound.text)
  assert.equal(
    refusal({ success: [{ ...none, requestPut: { ...put.requestPut, key: new Uint8Array(0) } }] }),
    etcdErrors.emptyKey.text,
  )
  assert.equal(
    refusal({
      success: [{ ...none, requestPut: { ...put.requestPut, ignoreLease: true, lease: 4 } }],
    }),
    etcdErrors.leaseProvided.text,
  )
  const inner = { compare: [], success: Array.from({ length: 128 }, () => put), failure: [] }
  assert.equal(
    refusal({ success: [{ ...none, requestTxn: inner }] }),
    etcdErrors.tooManyOperations.text,
  )
  assert.equal(refusal({ success: [put] }), '')
})

// Requests, answers and entries as bytes. The bytes of a transaction are made once, by the thread that
// asks, and travel unchanged over ports, rpc and the log.
//
//   TxnRequest     as in keyspace.ts                                            (asker)
//   WriteRequest   request id and the bytes of a TxnRequest                     (core thread of the asker's node)
//   Entry          time and seed of the leader, a WriteRequest                  (leader; both in entry.ts)
//   Answer         a fault, or the outcome; values that live apart are named, not held    (every replica)
//
// An answer that names values (`hasApart`) is made whole by the replica that gives it out.

import {
  bool,
  bytes,
  decodeBytes,
  encodeBytes,
  Fault,
  type Field,
  faultCodec,
  lazy,
  type Message,
  message,
  nested,
  repeated,
  revision as toRevision,
  uint,
} from '../../base/index.ts'
import type {
  Compare,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from '../keyspace.ts'
import { decodeGuardRevision, encodeGuardRevision } from './guard.ts'
import { requestBytesMax } from './limits.ts'

const emptyBytes = new Uint8Array(0)
const targets = ['version', 'create', 'mod', 'value', 'lease'] as const
const results = ['equal', 'greater', 'less', 'not-equal'] as const

const sortings = ['version', 'create', 'mod', 'value'] as const

/**
 * A pair whose value may be named only: apartRevision and apartSub - 1 are the version that brought it;
 * apartSub is 0 when the value is held.
 */
export type AnswerKeyValue = KeyValue & {
  readonly apartRevision: number
  readonly apartSub: number
  readonly valueBytes: number
}

type RangeFields = {
  key: Uint8Array
  rangeEnd: Uint8Array
  limit: number
  revision: number
  isSerializable: boolean
  keysOnly: boolean
  countOnly: boolean
  isReverse: boolean
  isCounted: boolean
  sortBy: number
  minModRevision: number
  maxModRevision: number
  minCreateRevision: number
  maxCreateRevision: number
  guard: number
}
type OperationFields = {
  range: RangeFields | undefined
  put: MessagePut | undefined
  delete: MessageDelete | undefined
  txn: TxnFields | undefined
}
type MessagePut = {
  key: Uint8Array
  value: Uint8Array
  lease: number
  previous: boolean
  ignoreValue: boolean
  ignoreLease: boolean
}
type MessageDelete = { key: Uint8Array; rangeEnd: Uint8Array; previous: boolean }
type TxnFields = {
  compares: readonly CompareFields[]
  success: readonly OperationFields[]
  failure: readonly OperationFields[]
  guard: number
}
type CompareFields = {
  key: Uint8Array
  rangeEnd: Uint8Array
  target: number
  result: number
  number: number
  value: Uint8Array
}

/** Zero or more nested messages; every one is written, also an empty one. */
function many<T>(field: Field<T | undefined>): Field<readonly T[]> {
  return repeated(field as Field<T>)
}

const rangeFields = message({
  key: bytes(1),
  rangeEnd: bytes(2),
  limit: uint(3),
  revision: uint(4),
  isSerializable: bool(5),
  keysOnly: bool(6),
  countOnly: bool(7),
  isReverse: bool(8),
  isCounted: bool(9),
  sortBy: uint(10),
  minModRevision: uint(11),
  maxModRevision: uint(12),
  minCreateRevision: uint(13),
  maxCreateRevision: uint(14),
  /** As in a transaction. */
  guard: uint(15),
})
const putFields = message({
  key: bytes(1),
  value: bytes(2),
  lease: uint(3),
  previous: bool(4),
  ignoreValue: bool(5),
  ignoreLease: bool(6),
})
const deleteFields = message({ key: bytes(1), rangeEnd: bytes(2), previous: bool(3) })
const compareFields = message({
  key: bytes(1),
  rangeEnd: bytes(2),
  target: uint(3),
  result: uint(4),
  number: uint(5),
  value: bytes(6),
})
const operationFields = message({
  range: nested(1, rangeFields),
  put: nested(2, putFields),
  delete: nested(3, deleteFields),
  txn: lazy<TxnFields>(4, () => txnFields),
})
const txnFields: Message<{
  compares: Field<readonly CompareFields[]>
  success: Field<readonly OperationFields[]>
  failure: Field<readonly OperationFields[]>
  guard: Field<number>
}> = message({
  compares: many(nested(1, compareFields)),
  success: many<OperationFields>(nested(2, operationFields) as Field<OperationFields | undefined>),
  failure: many<OperationFields>(nested(3, operationFields) as Field<OperationFields | undefined>),
  /** The guard's revision plus one; 0: none is named. Of the outermost transaction alone. */
  guard: uint(4),
})

/** A request, and the guard's revision that it names. */
export type Guarded<T> = { readonly request: T; readonly guard: number | undefined }

export function encodeRange(request: RangeRequest, guard?: number): Uint8Array {
  return encodeBytes(rangeFields, { ...rangeToFields(request), guard: encodeGuardRevision(guard) })
}

export function decodeRange(encoded: Uint8Array): Guarded<RangeRequest> {
  const fields = decodeBytes(rangeFields, encoded)
  return { request: rangeFromFields(fields), guard: decodeGuardRevision(fields.guard) }
}

/** Fault 'too-large' with etcd's words. */
export function encodeTxn(request: TxnRequest, guard?: number): Uint8Array {
  const fields = { ...txnToFields(request), guard: encodeGuardRevision(guard) }
  const encoded = encodeBytes(txnFields, fields)
  if (encoded.length > requestBytesMax) {
    throw new Fault('too-large', 'etcdserver: request is too large')
  }
  return encoded
}

export function decodeTxn(encoded: Uint8Array): Guarded<TxnRequest> {
  const fields = decodeBytes(txnFields, encoded)
  return { request: txnFromFields(fields), guard: decodeGuardRevision(fields.guard) }
}

function rangeToFields(request: RangeRequest): RangeFields {
  return {
    key: request.key,
    rangeEnd: request.rangeEnd ?? emptyBytes,
    limit: request.limit ?? 0,
    revision: request.revision ?? 0,
    isSerializable: request.isSerializable ?? false,
    keysOnly: request.keysOnly ?? false,
    countOnly: request.countOnly ?? false,
    isReverse: request.isReverse ?? false,
    isCounted: request.isCounted ?? false,
    sortBy: request.sortBy === undefined ? 0 : sortings.indexOf(request.sortBy) + 1,
    minModRevision: request.minModRevision ?? 0,
    maxModRevision: request.maxModRevision ?? 0,
    minCreateRevision: request.minCreateRevision ?? 0,
    maxCreateRevision: request.maxCreateRevision ?? 0,
    guard: 0,
  }
}

function rangeFromFields(fields: RangeFields): RangeRequest {
  const { rangeEnd, sortBy: number, guard: _guard, ...rest } = fields
  const sortBy = sortings[number - 1]
  if (number !== 0 && sortBy === undefined) {
    throw new Fault('corrupt', 'malformed message: a range sorted in an unknown way')
  }
  return {
    ...rest,
    ...(rangeEnd.length === 0 ? {} : { rangeEnd }),
    ...(sortBy === undefined ? {} : { sortBy }),
  }
}

function txnToFields(request: TxnRequest): TxnFields {
  return {
    compares: request.compares.map(compareToFields),
    success: request.success.map(operationToFields),
    failure: request.failure.map(operationToFields),
    guard: 0,
  }
}

function txnFromFields(fields: TxnFields): TxnRequest {
  return {
    compares: fields.compares.map(compareFromFields),
    success: fields.success.map(operationFromFields),
    failure: fields.failure.map(operationFromFields),
  }
}

function compareToFields(compare: Compare): CompareFields {
  const isValue = typeof compare.operand !== 'number'
  return {
    key: compare.key,
    rangeEnd: compare.rangeEnd ?? emptyBytes,
    target: targets.indexOf(compare.target),
    result: results.indexOf(compare.result),
    number: isValue ? 0 : (compare.operand as number),
    value: isValue ? (compare.operand as Uint8Array) : emptyBytes,
  }
}

function compareFromFields(fields: CompareFields): Compare {
  const target = targets[fields.target]
  const result = results[fields.result]
  if (target === undefined || result === undefined) {
    throw new Fault('corrupt', 'malformed message: a compare of an unknown kind')
  }
  return {
    key: fields.key,
    ...(fields.rangeEnd.length === 0 ? {} : { rangeEnd: fields.rangeEnd }),
    target,
    result,
    operand: target === 'value' ? fields.value : fields.number,
  }
}

const noOperation: OperationFields = {
  range: undefined,
  put: undefined,
  delete: undefined,
  txn: undefined,
}

function operationToFields(operation: Operation): OperationFields {
  switch (operation.kind) {
    case 'range':
      return { ...noOperation, range: rangeToFields(operation.request) }
    case 'put': {
      const { key, value, lease = 0, previous = false } = operation
      const { ignoreValue = false, ignoreLease = false } = operation
      return { ...noOperation, put: { key, value, lease, previous, ignoreValue, ignoreLease } }
    }
    case 'delete': {
      const { key, rangeEnd = emptyBytes, previous = false } = operation
      return { ...noOperation, delete: { key, rangeEnd, previous } }
    }
    case 'txn':
      return { ...noOperation, txn: txnToFields(operation.request) }
  }
}

function operationFromFields(fields: OperationFields): Operation {
  if (fields.put !== undefined) return { kind: 'put', ...fields.put }
  if (fields.range !== undefined) {
    return { kind: 'range', request: rangeFromFields(fields.range) }
  }
  if (fields.delete !== undefined) {
    const { rangeEnd, ...rest } = fields.delete
    return { kind: 'delete', ...rest, ...(rangeEnd.length === 0 ? {} : { rangeEnd }) }
  }
  if (fields.txn !== undefined) return { kind: 'txn', request: txnFromFields(fields.txn) }
  throw new Fault('corrupt', 'malformed message: an operation of an unknown kind')
}

// ---- answers ----

const pairFields = message({
  key: bytes(1),
  value: bytes(2),
  createRevision: uint(3),
  modRevision: uint(4),
  version: uint(5),
  lease: uint(6),
  apartSub: uint(7),
  valueBytes: uint(8),
  apartRevision: uint(9),
})
type PairFields = {
  key: Uint8Array
  value: Uint8Array
  createRevision: number
  modRevision: number
  version: number
  lease: number
  apartSub: number
  valueBytes: number
  apartRevision: number
}
const rangeResponseFields = message({
  revision: uint(1),
  kvs: many<PairFields>(nested(2, pairFields)),
  more: bool(3),
  count: uint(4),
})
type RangeResponseFields = {
  revision: number
  kvs: readonly PairFields[]
  more: boolean
  count: number
}
const putResultFields = message({ previous: nested(1, pairFields) })
const deleteResultFields = message({
  deleted: uint(1),
  previous: many<PairFields>(nested(2, pairFields)),
})
const resultFields = message({
  range: nested(1, rangeResponseFields),
  put: nested(2, putResultFields),
  delete: nested(3, deleteResultFields),
  txn: lazy<OutcomeFields>(4, () => outcomeFields),
})
type ResultFields = {
  range: RangeResponseFields | undefined
  put: { previous: PairFields | undefined } | undefined
  delete: { deleted: number; previous: readonly PairFields[] } | undefined
  txn: OutcomeFields | undefined
}
type OutcomeFields = {
  revision: number
  succeeded: boolean
  results: readonly ResultFields[]
  fault: Uint8Array
  hasApart: boolean
}
const outcomeFields: Message<{
  revision: Field<number>
  succeeded: Field<boolean>
  results: Field<readonly ResultFields[]>
  fault: Field<Uint8Array>
  hasApart: Field<boolean>
}> = message({
  revision: uint(1),
  succeeded: bool(2),
  results: many<ResultFields>(nested(3, resultFields) as Field<ResultFields | undefined>),
  /** Encoded Fault; everything else is unset then. */
  fault: bytes(4),
  hasApart: bool(5),
})

export function encodeRangeResponse(response: RangeResponse): Uint8Array {
  return encodeBytes(rangeResponseFields, rangeResponseToFields(response))
}

export function decodeRangeResponse(encoded: Uint8Array): RangeResponse {
  return rangeResponseFromFields(decodeBytes(rangeResponseFields, encoded))
}

export function encodeAnswer(
  response: TxnResponse,
  options: { readonly hasApart: boolean },
): Uint8Array {
  const first = response.results[0]
  if (response.results.length === 1 && first?.kind === 'put' && first.previous === undefined) {
    if (response.succeeded) return encodePutAnswer(response.revision)
  }
  return encodeBytes(outcomeFields, { ...responseToFields(response), hasApart: options.hasApart })
}

/** The same bytes as encodeAnswer gives for one plain put, which is most of all answers. */
export function encodePutAnswer(revision: number): Uint8Array {
  let digits = 1
  for (let rest = revision; rest > 0x7f; rest = Math.floor(rest / 128)) digits++
  const encoded = new Uint8Array(digits + 1 + putAnswerTail.length)
  encoded[0] = 1 * 8
  let rest = revision
  for (let i = 1; i < digits; i++) {
    encoded[i] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  encoded[digits] = rest
  encoded.set(putAnswerTail, digits + 1)
  return encoded
}

/** succeeded: true; results: one, put, with nothing in it. */
const putAnswerTail = Uint8Array.of(2 * 8, 1, 3 * 8 + 2, 2, 2 * 8 + 2, 0)

export function encodeFaultAnswer(fault: Fault): Uint8Array {
  return encodeBytes(outcomeFields, { ...emptyOutcome, fault: faultCodec.encode(fault) })
}

export type Answer = { readonly response: TxnResponse; readonly hasApart: boolean }

/** Throws the fault that the transaction was answered with. */
export function decodeAnswer(encoded: Uint8Array): Answer {
  const fields = decodeBytes(outcomeFields, encoded)
  if (fields.fault.length > 0) throw faultCodec.decode(fields.fault)
  return { response: responseFromFields(fields), hasApart: fields.hasApart }
}

/** The fault that a request of any kind was answered with, without decoding other answers. */
export function readFaultAnswer(encoded: Uint8Array): Fault | undefined {
  if (encoded[0] !== 4 * 8 + 2) return undefined
  const { fault } = decodeBytes(outcomeFields, encoded)
  return fault.length === 0 ? undefined : faultCodec.decode(fault)
}

const emptyOutcome: OutcomeFields = {
  revision: 0,
  succeeded: false,
  results: [],
  fault: emptyBytes,
  hasApart: false,
}

function responseToFields(response: TxnResponse): OutcomeFields {
  return {
    ...emptyOutcome,
    revision: response.revision,
    succeeded: response.succeeded,
    results: response.results.map(resultToFields),
  }
}

function responseFromFields(fields: OutcomeFields): TxnResponse {
  return {
    revision: toRevision(fields.revision),
    succeeded: fields.succeeded,
    results: fields.results.map(resultFromFields),
  }
}

const noResult: ResultFields = {
  range: undefined,
  put: undefined,
  delete: undefined,
  txn: undefined,
}

function resultToFields(result: OperationResult): ResultFields {
  switch (result.kind) {
    case 'range':
      return { ...noResult, range: rangeResponseToFields(result.response) }
    case 'put': {
      const previous = result.previous === undefined ? undefined : pairToFields(result.previous)
      return { ...noResult, put: { previous } }
    }
    case 'delete': {
      const previous = result.previous.map(pairToFields)
      return { ...noResult, delete: { deleted: result.deleted, previous } }
    }
    case 'txn':
      return { ...noResult, txn: responseToFields(result.response) }
  }
}

function resultFromFields(fields: ResultFields): OperationResult {
  if (fields.put !== undefined) {
    const { previous } = fields.put
    return previous === undefined
      ? { kind: 'put' }
      : { kind: 'put', previous: pairFromFields(previous) }
  }
  if (fields.range !== undefined) {
    return { kind: 'range', response: rangeResponseFromFields(fields.range) }
  }
  if (fields.delete !== undefined) {
    const { deleted, previous } = fields.delete
    return { kind: 'delete', deleted, previous: previous.map(pairFromFields) }
  }
  if (fields.txn !== undefined) return { kind: 'txn', response: responseFromFields(fields.txn) }
  throw new Fault('corrupt', 'malformed message: a result of an unknown kind')
}

function rangeResponseToFields(response: RangeResponse): RangeResponseFields {
  return {
    revision: response.revision,
    kvs: response.kvs.map(pairToFields),
    more: response.more,
    count: response.count,
  }
}

function rangeResponseFromFields(fields: RangeResponseFields): RangeResponse {
  return {
    revision: toRevision(fields.revision),
    kvs: fields.kvs.map(pairFromFields),
    more: fields.more,
    count: fields.count,
  }
}

function pairToFields(pair: KeyValue): PairFields {
  const { apartSub = 0, apartRevision = 0, valueBytes = 0 } = pair as Partial<AnswerKeyValue>
  return {
    key: pair.key,
    value: pair.value,
    createRevision: pair.createRevision,
    modRevision: pair.modRevision,
    version: pair.version,
    lease: pair.lease,
    apartSub,
    valueBytes: apartSub === 0 ? 0 : valueBytes,
    apartRevision: apartSub === 0 ? 0 : apartRevision,
  }
}

function pairFromFields(fields: PairFields): KeyValue {
  const pair: KeyValue = {
    key: fields.key,
    value: fields.value,
    createRevision: toRevision(fields.createRevision),
    modRevision: toRevision(fields.modRevision),
    version: fields.version,
    lease: fields.lease,
  }
  if (fields.apartSub === 0) return pair
  const { apartSub, apartRevision, valueBytes } = fields
  return { ...pair, apartRevision, apartSub, valueBytes } as AnswerKeyValue
}

/** False when the answer surely names no value; `hasApart` is the last field that is written. */
export function mayHaveApart(encoded: Uint8Array): boolean {
  return encoded.at(-1) === 1 && encoded.at(-2) === 5 * 8
}

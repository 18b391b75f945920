// Requests of etcd's KV as requests of the keyspace, and its answers back. Checks come first and in etcd's
// order, so that a wrong request gets the error that etcd gives.

import type {
  Compare,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from '../../../keyspace/index.ts'
import { EtcdRefusal, etcdErrors, grpcCode } from './errors.ts'
import type {
  EtcdCompare,
  EtcdOperation,
  EtcdOperationResponse,
  EtcdPut,
  EtcdRange,
  EtcdRangeResponse,
  EtcdTxn,
  EtcdTxnResponse,
  Header,
} from '../../../keyspace/etcd/wire.ts'

/** etcd's --max-txn-ops. */
export const operationsMax = 128

const sortKeys = [undefined, 'version', 'create', 'mod', 'value'] as const
const descending = 2

export function readRange(request: EtcdRange): RangeRequest {
  if (request.key.length === 0) throw new EtcdRefusal(etcdErrors.emptyKey)
  const { sortOrder, sortTarget } = request
  if (sortOrder < 0 || sortOrder > descending || sortTarget < 0 || sortTarget >= sortKeys.length) {
    throw new EtcdRefusal(etcdErrors.invalidSort)
  }
  const sortBy = sortKeys[sortTarget]
  return {
    key: request.key,
    ...readRangeEnd(request.rangeEnd),
    limit: atLeastZero(request.limit),
    revision: readRevision(request.revision),
    isSerializable: request.serializable,
    keysOnly: request.keysOnly,
    countOnly: request.countOnly,
    isReverse: sortOrder === descending,
    ...(sortBy === undefined ? {} : { sortBy }),
    minModRevision: bound(request.minModRevision),
    maxModRevision: bound(request.maxModRevision),
    minCreateRevision: bound(request.minCreateRevision),
    maxCreateRevision: bound(request.maxCreateRevision),
    isCounted: request.rangeEnd.length > 0,
  }
}

function readRangeEnd(rangeEnd: Uint8Array): { readonly rangeEnd?: Uint8Array } {
  return rangeEnd.length === 0 ? {} : { rangeEnd }
}

/** Zero and below: now. Beyond what a keyspace can count: in the future. */
export function readRevision(revision: number): number {
  if (revision > Number.MAX_SAFE_INTEGER) throw new EtcdRefusal(etcdErrors.futureRevision)
  return Math.max(0, revision)
}

function atLeastZero(limit: number): number {
  return bound(Math.max(0, limit))
}

function bound(revision: number): number {
  return Math.min(Math.max(0, revision), Number.MAX_SAFE_INTEGER)
}

export function readPut(request: EtcdPut): Operation {
  const { key, value, ignoreValue, ignoreLease } = request
  if (key.length === 0) throw new EtcdRefusal(etcdErrors.emptyKey)
  if (ignoreValue && value.length > 0) throw new EtcdRefusal(etcdErrors.valueProvided)
  if (ignoreLease && request.lease !== 0) throw new EtcdRefusal(etcdErrors.leaseProvided)
  const lease = readLease(request.lease)
  return {
    kind: 'put',
    key,
    value,
    ...(lease === 0 ? {} : { lease }),
    previous: request.prevKv,
    ignoreValue,
    ignoreLease,
  }
}

/** What no keyspace can have granted is not found. */
export function readLease(id: number | bigint): number {
  if (typeof id === 'number' && id >= 0 && Number.isSafeInteger(id)) return id
  throw new EtcdRefusal(etcdErrors.leaseNotFound)
}

export function readDelete(request: {
  readonly key: Uint8Array
  readonly rangeEnd: Uint8Array
  readonly prevKv: boolean
}): Operation {
  if (request.key.length === 0) throw new EtcdRefusal(etcdErrors.emptyKey)
  const { key, prevKv } = request
  return { kind: 'delete', key, ...readRangeEnd(request.rangeEnd), previous: prevKv }
}

export function readTxn(request: EtcdTxn, budget = operationsMax): TxnRequest {
  const { compare, success, failure } = request
  const operations = Math.max(compare.length, success.length, failure.length)
  if (operations > budget) throw new EtcdRefusal(etcdErrors.tooManyOperations)
  const rest = budget - operations
  return {
    compares: compare.map(readCompare),
    success: success.map((operation) => readOperation(operation, rest)),
    failure: failure.map((operation) => readOperation(operation, rest)),
  }
}

const results = ['equal', 'greater', 'less', 'not-equal'] as const
const targets = ['version', 'create', 'mod', 'value', 'lease'] as const

function readCompare(compare: EtcdCompare | undefined): Compare {
  if (compare === undefined || compare.key.length === 0) {
    throw new EtcdRefusal(etcdErrors.emptyKey)
  }
  const result = results[compare.result]
  const target = targets[compare.target]
  if (result === undefined || target === undefined) {
    const text = 'etcdserver: a compare of an unknown kind'
    throw new EtcdRefusal({ code: grpcCode.invalidArgument, text })
  }
  const operands = {
    version: compare.version,
    create: compare.createRevision,
    mod: compare.modRevision,
    value: compare.value,
    lease: compare.lease,
  }
  const operand = operands[target]
  const { key, rangeEnd } = compare
  return { key, ...readRangeEnd(rangeEnd), target, ...countable(result, operand) }
}

const never = Number.MAX_SAFE_INTEGER

/** No key has a number below zero or beyond what a keyspace counts, so such a compare says what is always so. */
function countable(
  result: Compare['result'],
  operand: number | Uint8Array,
): Pick<Compare, 'result' | 'operand'> {
  if (typeof operand !== 'number' || (operand >= 0 && operand < never)) return { result, operand }
  if (operand > 0) return { result, operand: never }
  const isTrue = result === 'greater' || result === 'not-equal'
  return { result: isTrue ? 'not-equal' : 'equal', operand: never }
}

function readOperation(operation: EtcdOperation | undefined, budget: number): Operation {
  if (operation?.requestRange !== undefined) {
    return { kind: 'range', request: readRange(operation.requestRange) }
  }
  if (operation?.requestPut !== undefined) return readPut(operation.requestPut)
  if (operation?.requestDeleteRange !== undefined) return readDelete(operation.requestDeleteRange)
  if (operation?.requestTxn !== undefined) {
    return { kind: 'txn', request: readTxn(operation.requestTxn, budget) }
  }
  throw new EtcdRefusal(etcdErrors.keyNotFound)
}

// ---- answers ----

export function writeRange(
  response: Omit<RangeResponse, 'revision'>,
  header: Header | undefined,
): EtcdRangeResponse {
  const { kvs, more, count } = response
  return { header, kvs, more, count }
}

export function writeTxn(
  response: TxnResponse,
  headerOf: (revision: number) => Header,
): EtcdTxnResponse {
  const { revision, succeeded, results: all } = response
  const header = headerOf(revision)
  return {
    header,
    succeeded,
    responses: all.map((result) => writeResult(result, header, headerOf)),
  }
}

const noResponse = {
  responseRange: undefined,
  responsePut: undefined,
  responseDeleteRange: undefined,
  responseTxn: undefined,
} as const

/** Answers inside a transaction carry the revision alone, as etcd's do. */
function writeResult(
  result: OperationResult,
  { revision }: Header,
  headerOf: (revision: number) => Header,
): EtcdOperationResponse {
  const header = { clusterId: 0, memberId: 0, revision, raftTerm: 0 }
  switch (result.kind) {
    case 'range':
      return { ...noResponse, responseRange: writeRange(result.response, header) }
    case 'put':
      return { ...noResponse, responsePut: { header, prevKv: result.previous } }
    case 'delete': {
      const { deleted, previous } = result
      return { ...noResponse, responseDeleteRange: { header, deleted, prevKvs: previous } }
    }
    case 'txn': {
      const response = { ...writeTxn(result.response, headerOf), header }
      return { ...noResponse, responseTxn: response }
    }
  }
}

// Requests of the keyspace as etcd's, for the keys of one namespace, and etcd's answers back: the reverse of the
// gateway's translation.

import { Fault, revision as toRevision } from '../../../base/index.ts'
import type {
  Compare,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnResponse,
} from '../../keyspace.ts'
import { checkNumber } from '../../core/check.ts'
import type {
  EtcdCompare,
  EtcdKeyValue,
  EtcdOperation,
  EtcdOperationResponse,
  EtcdRange,
  EtcdRangeResponse,
  EtcdTxn,
  EtcdTxnResponse,
} from './messages.ts'
import type { Space } from './names.ts'

const nothing = new Uint8Array(0)
const ascending = 1
const descending = 2
const sortTargets = { version: 1, create: 2, mod: 3, value: 4 } as const
const results = ['equal', 'greater', 'less', 'not-equal'] as const
const targets = ['version', 'create', 'mod', 'value', 'lease'] as const

export const noOperation: EtcdOperation = {
  requestRange: undefined,
  requestPut: undefined,
  requestDeleteRange: undefined,
  requestTxn: undefined,
}

export const noCompare: EtcdCompare = {
  result: 0,
  target: 0,
  key: nothing,
  version: 0,
  createRevision: 0,
  modRevision: 0,
  value: nothing,
  lease: 0,
  rangeEnd: nothing,
}

export const plainRange: EtcdRange = {
  key: nothing,
  rangeEnd: nothing,
  limit: 0,
  revision: 0,
  sortOrder: 0,
  sortTarget: 0,
  serializable: false,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
}

export function writeRange(space: Space, request: RangeRequest): EtcdRange {
  const { key, rangeEnd, sortBy, isReverse } = request
  const range = {
    ...plainRange,
    key: space.outer(key),
    rangeEnd: space.outerEnd(rangeEnd),
    limit: request.limit ?? 0,
    revision: request.revision ?? 0,
    sortOrder: isReverse === true ? descending : sortBy === undefined ? 0 : ascending,
    sortTarget: sortBy === undefined ? 0 : sortTargets[sortBy],
    serializable: request.isSerializable === true,
    keysOnly: request.keysOnly === true,
    countOnly: request.countOnly === true,
    minModRevision: request.minModRevision ?? 0,
    maxModRevision: request.maxModRevision ?? 0,
    minCreateRevision: request.minCreateRevision ?? 0,
    maxCreateRevision: request.maxCreateRevision ?? 0,
  }
  for (const name of numbers) checkNumber(range[name], name)
  return range
}

const numbers = [
  'limit',
  'revision',
  'minModRevision',
  'maxModRevision',
  'minCreateRevision',
  'maxCreateRevision',
] as const

export function writeCompare(space: Space, compare: Compare): EtcdCompare {
  const { key, rangeEnd, target, result, operand } = compare
  if ((target === 'value') === (typeof operand === 'number')) {
    throw new Fault('invalid', 'a compare of values takes bytes, every other takes a number')
  }
  const written = {
    ...noCompare,
    key: space.outer(key),
    rangeEnd: space.outerEnd(rangeEnd),
    result: results.indexOf(result),
    target: targets.indexOf(target),
  }
  if (typeof operand !== 'number') return { ...written, value: operand }
  checkNumber(operand, 'operand')
  if (target === 'version') return { ...written, version: operand }
  if (target === 'create') return { ...written, createRevision: operand }
  if (target === 'mod') return { ...written, modRevision: operand }
  return { ...written, lease: operand }
}

/** Everything but transactions, which the caller nests itself. */
export function writeOperation(
  space: Space,
  operation: Exclude<Operation, { readonly kind: 'txn' }>,
): EtcdOperation {
  switch (operation.kind) {
    case 'range':
      return { ...noOperation, requestRange: writeRange(space, operation.request) }
    case 'put': {
      const { key, value, lease = 0, previous, ignoreValue, ignoreLease } = operation
      checkNumber(lease, 'lease')
      const put = {
        key: space.outer(key),
        value,
        lease,
        prevKv: previous === true,
        ignoreValue: ignoreValue === true,
        ignoreLease: ignoreLease === true,
      }
      return { ...noOperation, requestPut: put }
    }
    case 'delete': {
      const { key, rangeEnd, previous } = operation
      const deletion = {
        key: space.outer(key),
        rangeEnd: space.outerEnd(rangeEnd),
        prevKv: previous === true,
      }
      return { ...noOperation, requestDeleteRange: deletion }
    }
  }
}

/** A transaction without once-only marks: for what cannot write. */
export function writePlainTxn(
  space: Space,
  request: {
    readonly compares: readonly Compare[]
    readonly success: readonly Operation[]
    readonly failure: readonly Operation[]
  },
): EtcdTxn {
  const write = (operation: Operation): EtcdOperation =>
    operation.kind === 'txn'
      ? { ...noOperation, requestTxn: writePlainTxn(space, operation.request) }
      : writeOperation(space, operation)
  return {
    compare: request.compares.map((compare) => writeCompare(space, compare)),
    success: request.success.map(write),
    failure: request.failure.map(write),
  }
}

// ---- answers ----

export function readPair(space: Space, kv: EtcdKeyValue): KeyValue {
  return {
    key: space.inner(kv.key) ?? nothing,
    value: kv.value,
    createRevision: toRevision(kv.createRevision),
    modRevision: toRevision(kv.modRevision),
    version: kv.version,
    lease: kv.lease,
  }
}

export function readRange(
  space: Space,
  response: EtcdRangeResponse,
  request: RangeRequest,
): RangeResponse {
  const kvs = readPairs(space, response.kvs)
  const isCounted = request.countOnly === true || request.isCounted === true
  return {
    revision: toRevision(response.header?.revision ?? 0),
    kvs,
    more: response.more,
    count: isCounted ? response.count : kvs.length,
  }
}

function readPairs(space: Space, kvs: readonly (EtcdKeyValue | undefined)[]): readonly KeyValue[] {
  return kvs.flatMap((kv) => (kv === undefined ? [] : [readPair(space, kv)]))
}

/** Of a transaction's branch; `responses` are those of its operations, in order. */
export function readResults(
  space: Space,
  operations: readonly Operation[],
  responses: readonly (EtcdOperationResponse | undefined)[],
): readonly OperationResult[] {
  return operations.map((operation, at) => readResult(space, operation, responses[at]))
}

function readResult(
  space: Space,
  operation: Operation,
  response: EtcdOperationResponse | undefined,
): OperationResult {
  switch (operation.kind) {
    case 'range': {
      const range = response?.responseRange ?? lost()
      return { kind: 'range', response: readRange(space, range, operation.request) }
    }
    case 'put': {
      const put = response?.responsePut ?? lost()
      return put.prevKv === undefined
        ? { kind: 'put' }
        : { kind: 'put', previous: readPair(space, put.prevKv) }
    }
    case 'delete': {
      const { deleted, prevKvs } = response?.responseDeleteRange ?? lost()
      return { kind: 'delete', deleted, previous: readPairs(space, prevKvs) }
    }
    case 'txn': {
      const txn = response?.responseTxn ?? lost()
      return { kind: 'txn', response: readTxn(space, operation.request, txn) }
    }
  }
}

/** Marks that lead each branch (once.ts) are no answers of the caller's. */
export function readTxn(
  space: Space,
  request: { readonly success: readonly Operation[]; readonly failure: readonly Operation[] },
  response: EtcdTxnResponse,
): TxnResponse {
  const branch = response.succeeded ? request.success : request.failure
  const surplus = response.responses.length - branch.length
  return {
    revision: toRevision(response.header?.revision ?? 0),
    succeeded: response.succeeded,
    results: readResults(space, branch, response.responses.slice(Math.max(0, surplus))),
  }
}

function lost(): never {
  throw new Fault('corrupt', 'etcd answered fewer operations than were asked', {
    outcome: 'unknown',
  })
}

// Ranges in one piece, as etcd answers them. The keyspace cuts what it gives out at its answer bound; here the rest
// is read on at the same revision, at most rangeBytesMax of it.
//
// A range inside a transaction that was cut is read again after the transaction, as it was at its place there:
// with what the operations before it wrote, without what those after it wrote. A key is written by one operation of a
// transaction at most, so its state there is the one at the transaction's revision if an earlier operation touched
// it, and the one at the revision before otherwise.

import { compareBytes, Fault, keyAfter } from '../../base/index.ts'
import type {
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  RequestOptions,
  TxnRequest,
  TxnResponse,
} from '../../keyspace/index.ts'
import { type Context, unguarded } from './context.ts'
import { EtcdRefusal, etcdErrors } from './core/errors.ts'
import { KeyRanges } from './core/permissions.ts'

/** Keys and values of one answer. */
const rangeBytesMax = 64 * 1024 * 1024
const noRangeEnd = new Uint8Array(0)

/** The range with everything that was asked for, in as many parts as it takes. */
export async function readWhole(
  { keyspace }: Context,
  request: RangeRequest,
  options: RequestOptions,
): Promise<RangeResponse> {
  const first = await keyspace.range(request, options)
  if (!isCut(request, first)) return first
  // An answer tells the revision of now, also when an older one was read.
  const at = { ...request, revision: request.revision || first.revision }
  const readPart = (part: RangeRequest): Promise<RangeResponse> => keyspace.range(part, options)
  if (request.sortBy === undefined) return { ...first, ...(await readOn(at, first, readPart)) }
  const { sortBy: _sorted, isReverse: _reverse, limit: _limit, ...byKey } = at
  const begun = await readPart(byKey)
  const { kvs } = await readOn(byKey, begun, readPart)
  return { ...first, ...chosenOf(kvs, request) }
}

function isCut({ limit = 0 }: RangeRequest, { more, kvs }: RangeResponse): boolean {
  return more && (limit === 0 || kvs.length < limit)
}

/** Sorted as asked, then as many as wanted. */
function chosenOf(kvs: readonly KeyValue[], request: RangeRequest) {
  const { limit = 0 } = request
  const ordered = [...kvs].sort(comparison(request))
  const wanted = limit === 0 ? ordered : ordered.slice(0, limit)
  return { kvs: wanted, more: ordered.length > wanted.length }
}

async function readOn(
  request: RangeRequest,
  first: RangeResponse,
  readPart: (part: RangeRequest) => Promise<RangeResponse>,
): Promise<{ readonly kvs: readonly KeyValue[]; readonly more: boolean }> {
  const limit = request.limit ?? 0
  const kvs = [...first.kvs]
  let bytes = weigh(first.kvs)
  let { more } = first
  while (more && (limit === 0 || kvs.length < limit)) {
    const last = kvs.at(-1)
    if (last === undefined) throw new EtcdRefusal(etcdErrors.requestTooLarge)
    const place = request.isReverse === true ? { rangeEnd: last.key } : { key: keyAfter(last.key) }
    const rest = limit === 0 ? 0 : limit - kvs.length
    const part = await readPart({ ...request, ...place, limit: rest, isCounted: false })
    bytes += weigh(part.kvs)
    if (bytes > rangeBytesMax) {
      throw new Fault('too-large', `a range of more than ${rangeBytesMax} bytes; give a limit`)
    }
    for (const kv of part.kvs) kvs.push(kv)
    more = part.more
  }
  return { kvs, more }
}

function weigh(kvs: readonly KeyValue[]): number {
  return kvs.reduce((total, { key, value }) => total + key.length + value.length + 64, 0)
}

function comparison(request: RangeRequest): (a: KeyValue, b: KeyValue) => number {
  const sign = request.isReverse === true ? -1 : 1
  const compare = (a: KeyValue, b: KeyValue): number => {
    if (request.sortBy === undefined) return compareBytes(a.key, b.key)
    if (request.sortBy === 'version') return a.version - b.version
    if (request.sortBy === 'create') return a.createRevision - b.createRevision
    if (request.sortBy === 'mod') return a.modRevision - b.modRevision
    return compareBytes(a.value, b.value)
  }
  return (a, b) => sign * compare(a, b) || compareBytes(a.key, b.key)
}

// ---- inside transactions ----

/** The answer with its ranges whole. The transaction has happened, so no document of users is named any more. */
export async function completeTxn(
  context: Context,
  done: { readonly request: TxnRequest; readonly response: TxnResponse },
  options: RequestOptions,
): Promise<TxnResponse> {
  if (!hasCut(done.request, done.response)) return done.response
  const isWrite = (operation: Operation): boolean =>
    operation.kind === 'put' || operation.kind === 'delete'
  const steps = stepsOf(done.request, done.response)
  const { revision } = done.response
  const whole = new Map<OperationResult, OperationResult>()
  for (const [at, { operation, result }] of steps.entries()) {
    if (operation.kind !== 'range' || result.kind !== 'range') continue
    if (!isCut(operation.request, result.response)) continue
    const place = {
      revision,
      before: steps
        .slice(0, at)
        .map((step) => step.operation)
        .filter(isWrite),
      hasAfter: steps.slice(at + 1).some((step) => isWrite(step.operation)),
    }
    const read = await readAsOf(context, { request: operation.request, place }, unguarded(options))
    const response = { ...result.response, kvs: read.kvs, more: read.more }
    whole.set(result, { kind: 'range', response })
  }
  return replaceResults(done.response, whole)
}

type Step = { readonly operation: Operation; readonly result: OperationResult }

/** What ran, in order, nested transactions opened. */
function stepsOf(request: TxnRequest, response: TxnResponse): readonly Step[] {
  const branch = response.succeeded ? request.success : request.failure
  return branch.flatMap((operation, i): readonly Step[] => {
    const result = response.results[i]
    if (result === undefined) return []
    if (operation.kind === 'txn' && result.kind === 'txn') {
      return stepsOf(operation.request, result.response)
    }
    return [{ operation, result }]
  })
}

function hasCut(request: TxnRequest, response: TxnResponse): boolean {
  const branch = response.succeeded ? request.success : request.failure
  return response.results.some((result, i) => {
    const operation = branch[i]
    if (result.kind === 'range' && operation?.kind === 'range') {
      return isCut(operation.request, result.response)
    }
    return (
      result.kind === 'txn' &&
      operation?.kind === 'txn' &&
      hasCut(operation.request, result.response)
    )
  })
}

function replaceResults(
  response: TxnResponse,
  whole: ReadonlyMap<OperationResult, OperationResult>,
): TxnResponse {
  const results = response.results.map((result) =>
    result.kind === 'txn'
      ? { ...result, response: replaceResults(result.response, whole) }
      : (whole.get(result) ?? result),
  )
  return { ...response, results }
}

async function readAsOf(
  context: Context,
  asked: {
    readonly request: RangeRequest
    readonly place: {
      readonly revision: number
      readonly before: readonly Operation[]
      readonly hasAfter: boolean
    }
  },
  options: RequestOptions,
): Promise<{ readonly kvs: readonly KeyValue[]; readonly more: boolean }> {
  const { request, place } = asked
  const { revision, before, hasAfter } = place
  const readAt = (part: RangeRequest, at: number): Promise<RangeResponse> =>
    readWhole(context, { ...part, revision: at }, options)
  if ((request.revision ?? 0) > 0) return readWhole(context, request, options)
  if (!hasAfter) return readAt(request, revision)
  if (before.length === 0) return readAt(request, revision - 1)
  const { sortBy: _sorted, isReverse: _reverse, limit: _limit, ...byKey } = request
  const touched = touchedBy(before)
  const isTouched = ({ key }: KeyValue): boolean => touched.covers(key, noRangeEnd)
  const old = (await readAt(byKey, revision - 1)).kvs.filter((kv) => !isTouched(kv))
  const fresh = (await readAt(byKey, revision)).kvs.filter(isTouched)
  return chosenOf([...old, ...fresh], request)
}

function touchedBy(operations: readonly Operation[]): KeyRanges {
  return new KeyRanges(
    operations.flatMap((operation) => {
      if (operation.kind === 'put') return [{ kind: 0, key: operation.key, rangeEnd: noRangeEnd }]
      if (operation.kind !== 'delete') return []
      return [{ kind: 0, key: operation.key, rangeEnd: operation.rangeEnd ?? noRangeEnd }]
    }),
  )
}

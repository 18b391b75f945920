// etcd's KV. A range that does not fit into one answer of the keyspace is read on at the revision of its
// first part, so that clients see one answer, as etcd gives it; it is bounded by rangeBytesMax.

import { compareBytes, Fault, keyAfter } from '../../base/index.ts'
import type {
  KeyValue,
  RangeRequest,
  RangeResponse,
  RequestOptions,
  TxnRequest,
} from '../../keyspace/index.ts'
import { type Context, type Method, unary } from './context.ts'
import { EtcdRefusal, etcdErrors } from './core/errors.ts'
import {
  compactionRequest,
  deleteRequest,
  deleteResponse,
  headerOnly,
  putRequest,
  putResponse,
  rangeRequest,
  rangeResponse,
  txnRequest,
  txnResponse,
} from './core/messages.ts'
import {
  readDelete,
  readPut,
  readRange,
  readRevision,
  readTxn,
  writeRange,
  writeTxn,
} from './core/translate.ts'

/** Keys and values of one answer. */
const rangeBytesMax = 64 * 1024 * 1024

export const kvMethods: readonly Method[] = [
  unary(
    'etcdserverpb.KV/Range',
    [rangeRequest, rangeResponse],
    async (context, request, options) => {
      const response = await readWhole(context, readRange(request), options)
      return writeRange(response, context.header(response.revision))
    },
  ),
  unary('etcdserverpb.KV/Put', [putRequest, putResponse], async (context, request, options) => {
    const response = await context.keyspace.txn(only(readPut(request)), options)
    const [result] = response.results
    const prevKv = result?.kind === 'put' ? result.previous : undefined
    return { header: context.header(response.revision), prevKv }
  }),
  unary(
    'etcdserverpb.KV/DeleteRange',
    [deleteRequest, deleteResponse],
    async (context, request, options) => {
      const response = await context.keyspace.txn(only(readDelete(request)), options)
      const [result] = response.results
      const header = context.header(response.revision)
      if (result?.kind !== 'delete') return { header, deleted: 0, prevKvs: [] }
      return { header, deleted: result.deleted, prevKvs: result.previous }
    },
  ),
  unary('etcdserverpb.KV/Txn', [txnRequest, txnResponse], async (context, request, options) => {
    const response = await context.keyspace.txn(readTxn(request), options)
    return writeTxn(response, (revision) => context.header(revision))
  }),
  unary(
    'etcdserverpb.KV/Compact',
    [compactionRequest, headerOnly],
    async (context, request, options) => {
      // Zero is what was compacted before anything was written: gone, as in etcd.
      const revision = readRevision(request.revision)
      if (revision === 0) throw new EtcdRefusal(etcdErrors.compacted)
      const isPhysical = request.physical
      const now = await context.keyspace.compact(revision, { ...options, isPhysical })
      return { header: context.header(now) }
    },
  ),
]

function only(operation: TxnRequest['success'][number]): TxnRequest {
  return { compares: [], success: [operation], failure: [] }
}

/** The range with everything that was asked for, in as many parts as it takes. */
export async function readWhole(
  { keyspace }: Context,
  request: RangeRequest,
  options: RequestOptions,
): Promise<RangeResponse> {
  const first = await keyspace.range(request, options)
  const limit = request.limit ?? 0
  const isCut = first.more && (limit === 0 || first.kvs.length < limit)
  if (!isCut) return first
  const at = { ...request, revision: first.revision }
  const readPart = (part: RangeRequest): Promise<RangeResponse> => keyspace.range(part, options)
  if (request.sortBy === undefined) return { ...first, ...(await readOn(at, first, readPart)) }
  const { sortBy: _sorted, isReverse: _reverse, limit: _limit, ...byKey } = at
  const begun = await readPart(byKey)
  const whole = await readOn(byKey, begun, readPart)
  const kvs = [...whole.kvs].sort(comparison(request))
  const wanted = limit === 0 ? kvs : kvs.slice(0, limit)
  return { ...first, kvs: wanted, more: kvs.length > wanted.length }
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
    if (request.sortBy === 'version') return a.version - b.version
    if (request.sortBy === 'create') return a.createRevision - b.createRevision
    if (request.sortBy === 'mod') return a.modRevision - b.modRevision
    return compareBytes(a.value, b.value)
  }
  return (a, b) => sign * compare(a, b) || compareBytes(a.key, b.key)
}

// etcd's KV: requests translated (core/translate.ts), ranges made whole (whole-range.ts).

import type { TxnRequest } from '../../keyspace/index.ts'
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
} from '../../keyspace/etcd/wire.ts'
import {
  readDelete,
  readPut,
  readRange,
  readRevision,
  readTxn,
  writeRange,
  writeTxn,
} from './core/translate.ts'
import { completeTxn, readWhole } from './whole-range.ts'

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
    const asked = readTxn(request)
    const response = await context.keyspace.txn(asked, options)
    const whole = await completeTxn(context, { request: asked, response }, options)
    return writeTxn(whole, (revision) => context.header(revision))
  }),
  unary(
    'etcdserverpb.KV/Compact',
    [compactionRequest, headerOnly],
    async (context, request, options) => {
      if (request.revision < 0) throw new EtcdRefusal(etcdErrors.compacted)
      const revision = readRevision(request.revision)
      if (revision === 0) return { header: context.header(await compactNothing(context)) }
      const isPhysical = request.physical
      const now = await context.keyspace.compact(revision, { ...options, isPhysical })
      return { header: context.header(now) }
    },
  ),
]

function only(operation: TxnRequest['success'][number]): TxnRequest {
  return { compares: [], success: [operation], failure: [] }
}

/** As in etcd: there is nothing to forget before anything was forgotten, and afterwards it is too late. */
async function compactNothing({ keyspace }: Context): Promise<number> {
  const { compacted, revision } = await keyspace.status()
  if (compacted > 0) throw new EtcdRefusal(etcdErrors.compacted)
  return revision
}

// etcd's Lease. Ids that a keyspace cannot count (beyond 2^53-1) are those of no lease.

import { isFault, type MessageOf } from '../../base/index.ts'
import { type Context, type Method, type MessageStream, streaming, unary } from './context.ts'
import { EtcdRefusal, etcdErrors, grpcCode } from './core/errors.ts'
import {
  empty,
  headerOnly,
  leaseGrantRequest,
  leaseGrantResponse,
  leaseIdRequest,
  leaseKeepAliveResponse,
  leaseListResponse,
  leaseTimeToLiveRequest,
  leaseTimeToLiveResponse,
} from '../../keyspace/etcd/wire.ts'
import { readLease } from './core/translate.ts'

type KeepAlive = MessageStream<
  MessageOf<typeof leaseIdRequest>,
  MessageOf<typeof leaseKeepAliveResponse>
>

export const leaseMethods: readonly Method[] = [
  unary(
    'etcdserverpb.Lease/LeaseGrant',
    [leaseGrantRequest, leaseGrantResponse],
    async (context, request, options) => {
      if (!Number.isSafeInteger(request.ttl)) throw new EtcdRefusal(etcdErrors.leaseTtlTooLarge)
      if (request.id < 0 || !Number.isSafeInteger(request.id)) {
        const text = 'etcdserver: lease IDs are at most 9007199254740991'
        throw new EtcdRefusal({ code: grpcCode.invalidArgument, text })
      }
      const asked = { id: request.id, ttlSeconds: Math.max(0, request.ttl) }
      const granted = await context.keyspace.leases.grant(asked, options)
      const { id, ttlSeconds, revision } = granted
      return { header: context.header(revision), id, ttl: ttlSeconds, error: '' }
    },
  ),
  unary(
    'etcdserverpb.Lease/LeaseRevoke',
    [leaseIdRequest, headerOnly],
    async (context, request, options) => {
      const revision = await context.keyspace.leases.revoke(readLease(request.id), options)
      return { header: context.header(revision) }
    },
  ),
  streaming(
    'etcdserverpb.Lease/LeaseKeepAlive',
    [leaseIdRequest, leaseKeepAliveResponse],
    keepAlive,
  ),
  unary(
    'etcdserverpb.Lease/LeaseTimeToLive',
    [leaseTimeToLiveRequest, leaseTimeToLiveResponse],
    async (context, request, options) => {
      if (!isPossible(request.id)) return noLease(context, request.id)
      const asked = { ...options, withKeys: request.keys }
      const found = await context.keyspace.leases.timeToLive(request.id, asked)
      const { id, ttlSeconds, grantedTtlSeconds, keys, revision } = found
      const header = context.header(revision)
      return { header, id, ttl: ttlSeconds, grantedTtl: grantedTtlSeconds, keys }
    },
  ),
  unary(
    'etcdserverpb.Lease/LeaseLeases',
    [empty, leaseListResponse],
    async (context, _request, options) => {
      const { revision, ids } = await context.keyspace.leases.list(options)
      return { header: context.header(revision), leases: ids.map((id) => ({ id })) }
    },
  ),
]

/** Whether a keyspace can have granted it. */
function isPossible(id: number | bigint): id is number {
  return typeof id === 'number' && id >= 0
}

function noLease(context: Context, id: number | bigint) {
  return { header: context.localHeader(), id, ttl: -1, grantedTtl: 0, keys: [] }
}

/** One after the other; a lease that is gone is answered with a time of zero. */
async function keepAlive(context: Context, stream: KeepAlive): Promise<void> {
  for await (const { id } of stream.requests) {
    const { revision, ttl } = await keepOne(context, id, stream.signal)
    stream.send({ header: context.header(revision), id, ttl })
    await stream.drained()
  }
}

async function keepOne(
  context: Context,
  id: number | bigint,
  signal: AbortSignal,
): Promise<{ readonly revision: number; readonly ttl: number }> {
  const { keyspace } = context
  if (!isPossible(id)) return { revision: keyspace.freshness().revision, ttl: 0 }
  try {
    const { revision, ttlSeconds } = await keyspace.leases.keepAlive(id, { signal })
    return { revision, ttl: ttlSeconds }
  } catch (error) {
    if (!isFault(error, 'not-found')) throw error
    return { revision: keyspace.freshness().revision, ttl: 0 }
  }
}

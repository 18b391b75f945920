// etcd's Lock and Election: recipes over the keyspace, key for key those of etcd's client library (concurrency):
// a candidate is the key name/lease in hexadecimal, created once; the one created first holds. So programs that
// use the library and programs that ask these calls meet on the same locks. The key's create revision is the
// fencing token: it only grows.

import { Fault, message, type MessageOf, prefixEnd } from '../../base/index.ts'
import type { Compare, KeyValue, RequestOptions } from '../../keyspace/index.ts'
import {
  type Context,
  type Method,
  type MessageStream,
  streaming,
  unary,
  unguarded,
} from './context.ts'
import { EtcdRefusal, grpcCode } from './core/errors.ts'
import { bytes, int64, nested } from './core/fields.ts'
import { header, headerOnly, keyValue } from './core/messages.ts'
import { readLease } from './core/translate.ts'
import { checkObserve } from './rules.ts'
import { candidateKey, prefixOf } from './recipe-keys.ts'

const lockRequest = message({ name: bytes(1), lease: int64(2) })
const lockResponse = message({ header: nested(1, header), key: bytes(2) })
const unlockRequest = message({ key: bytes(1) })

const leaderKey = message({ name: bytes(1), key: bytes(2), rev: int64(3), lease: int64(4) })
const campaignRequest = message({ name: bytes(1), lease: int64(2), value: bytes(3) })
const campaignResponse = message({ header: nested(1, header), leader: nested(2, leaderKey) })
const leaderRequest = message({ name: bytes(1) })
const leaderResponse = message({ header: nested(1, header), kv: nested(2, keyValue) })
const proclaimRequest = message({ leader: nested(1, leaderKey), value: bytes(2) })
const resignRequest = message({ leader: nested(1, leaderKey) })

/** Of a lease that the caller did not bring, as in etcd's client library. */
const sessionSeconds = 60
const none = new Uint8Array(0)

export const recipeMethods: readonly Method[] = [
  unary('v3lockpb.Lock/Lock', [lockRequest, lockResponse], async (context, request, options) => {
    const asked = { name: request.name, value: none, lease: request.lease }
    const held = await stand(context, asked, options)
    const kept = await context.keyspace.range({ key: held.key }, unguarded(options))
    if (kept.kvs.length === 0) throw plainError('mutex: session is expired')
    return { header: context.header(kept.revision), key: held.key }
  }),
  unary('v3lockpb.Lock/Unlock', [unlockRequest, headerOnly], async (context, { key }, options) => {
    const request = { compares: [], success: [{ kind: 'delete', key } as const], failure: [] }
    const { revision } = await context.keyspace.txn(request, options)
    return { header: context.header(revision) }
  }),
  unary(
    'v3electionpb.Election/Campaign',
    [campaignRequest, campaignResponse],
    async (context, request, options) => {
      const held = await stand(context, request, options)
      const { key, revision, lease } = held
      const leader = { name: request.name, key, rev: revision, lease }
      return { header: context.localHeader(), leader }
    },
  ),
  unary(
    'v3electionpb.Election/Proclaim',
    [proclaimRequest, headerOnly],
    async (context, { leader, value }, options) => {
      const { key, rev, lease } = requireLeader(leader)
      const put = { kind: 'put', key, value, lease: readLease(lease) } as const
      const request = { compares: [isCreatedAt(key, rev)], success: [put], failure: [] }
      const { succeeded, revision } = await context.keyspace.txn(request, options)
      if (!succeeded) throw plainError('election: not leader')
      return { header: context.header(revision) }
    },
  ),
  unary(
    'v3electionpb.Election/Leader',
    [leaderRequest, leaderResponse],
    async (context, { name }, options) => {
      const { kv, revision } = await readHolder(context, prefixOf(name), options)
      if (kv === undefined) throw plainError('election: no leader')
      return { header: context.header(revision), kv }
    },
  ),
  streaming('v3electionpb.Election/Observe', [leaderRequest, leaderResponse], observe),
  unary(
    'v3electionpb.Election/Resign',
    [resignRequest, headerOnly],
    async (context, { leader }, options) => {
      const { key, rev } = requireLeader(leader)
      const remove = { kind: 'delete', key } as const
      const request = { compares: [isCreatedAt(key, rev)], success: [remove], failure: [] }
      const { revision } = await context.keyspace.txn(request, options)
      return { header: context.header(revision) }
    },
  ),
]

function requireLeader(leader: MessageOf<typeof leaderKey> | undefined) {
  if (leader !== undefined && leader.key.length > 0) return leader
  throw plainError('"leader" field must be provided')
}

/** Errors of the recipes have no code of etcd's. */
function plainError(text: string): EtcdRefusal {
  return new EtcdRefusal({ code: grpcCode.unknown, text })
}

function isCreatedAt(key: Uint8Array, revision: number): Compare {
  return { key, target: 'create', result: 'equal', operand: Math.max(0, revision) }
}

type Held = { readonly key: Uint8Array; readonly revision: number; readonly lease: number }

/** Enters the queue of `name` and settles when everybody before has left. Leaves it when the client goes. */
async function stand(
  context: Context,
  request: { readonly name: Uint8Array; readonly value: Uint8Array; readonly lease: number },
  options: RequestOptions,
): Promise<Held> {
  const { keyspace } = context
  const lease = await ownLease(context, request.lease, options)
  const prefix = prefixOf(request.name)
  const key = candidateKey(request.name, lease)
  const { value } = request
  const entered = await keyspace.txn(
    {
      compares: [isCreatedAt(key, 0)],
      success: [{ kind: 'put', key, value, lease }],
      failure: [{ kind: 'range', request: { key } }],
    },
    options,
  )
  const [known] = entered.results
  const kv = known?.kind === 'range' ? known.response.kvs[0] : undefined
  const revision = kv?.createRevision ?? entered.revision
  const held = { key, revision, lease }
  try {
    if (kv !== undefined && value.length > 0) await proclaim(context, { held, value }, options)
    await untilFirst(context, { prefix, revision }, unguarded(options))
    return held
  } catch (error) {
    await keyspace.delete(key).catch(() => 0)
    throw error
  }
}

async function ownLease(context: Context, id: number, options: RequestOptions): Promise<number> {
  if (id > 0) return readLease(id)
  const { leases } = context.keyspace
  return (await leases.grant({ ttlSeconds: sessionSeconds }, options)).id
}

async function proclaim(
  { keyspace }: Context,
  { held, value }: { readonly held: Held; readonly value: Uint8Array },
  options: RequestOptions,
): Promise<void> {
  const { key, lease, revision } = held
  const success = [{ kind: 'put', key, value, lease } as const]
  await keyspace.txn({ compares: [isCreatedAt(key, revision)], success, failure: [] }, options)
}

/** Waits for the one that came last before us, then looks again; never for all at once. */
async function untilFirst(
  context: Context,
  { prefix, revision }: { readonly prefix: Uint8Array; readonly revision: number },
  options: RequestOptions,
): Promise<void> {
  const rangeEnd = prefixEnd(prefix)
  for (;;) {
    const before = await context.keyspace.range(
      {
        key: prefix,
        ...(rangeEnd === undefined ? { rangeEnd: Uint8Array.of(0) } : { rangeEnd }),
        sortBy: 'create',
        isReverse: true,
        limit: 1,
        maxCreateRevision: revision - 1,
        keysOnly: true,
      },
      options,
    )
    const [last] = before.kvs
    if (last === undefined || revision <= 1) return
    await untilDeleted(context, last.key, { revision: before.revision, signal: options.signal })
  }
}

function untilDeleted(
  context: Context,
  key: Uint8Array,
  from: { readonly revision: number; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const { signal } = from
  return new Promise((resolve, reject) => {
    const onAbort = (): void => end(() => reject(new Fault('cancelled', 'the client has gone')))
    const end = (settle: () => void): void => {
      signal?.removeEventListener('abort', onAbort)
      watch.close()
      settle()
    }
    const watch = context.keyspace.watch(
      { key, startRevision: from.revision + 1, withoutPuts: true },
      {
        onResponse: ({ events }) => {
          if (events.length > 0) end(resolve)
          return true
        },
        // Whatever ended it (a compaction, another leader): look again.
        onEnded: () => end(resolve),
      },
    )
    if (signal?.aborted === true) onAbort()
    else signal?.addEventListener('abort', onAbort)
  })
}

/** The key of the prefix that was created first. */
async function readHolder(
  { keyspace }: Context,
  prefix: Uint8Array,
  options: RequestOptions,
): Promise<{ readonly kv: KeyValue | undefined; readonly revision: number }> {
  const rangeEnd = prefixEnd(prefix) ?? Uint8Array.of(0)
  const found = await keyspace.range({ key: prefix, rangeEnd, sortBy: 'create', limit: 1 }, options)
  return { kv: found.kvs[0], revision: found.revision }
}

/** Each holder, and each value that it proclaims; one that changed meanwhile may be left out. */
async function observe(
  context: Context,
  stream: MessageStream<MessageOf<typeof leaderRequest>, MessageOf<typeof leaderResponse>>,
): Promise<void> {
  const { signal } = stream
  for await (const { name } of stream.requests) {
    await context.gate.run(stream.token, async (permit) => checkObserve(permit, name))
    const prefix = prefixOf(name)
    let shown = 0
    while (!signal.aborted) {
      const { kv, revision } = await readHolder(context, prefix, { signal })
      if (kv !== undefined && kv.modRevision > shown) {
        shown = kv.modRevision
        stream.send({ header: context.header(revision), kv })
        await stream.drained()
      }
      await untilChanged(context, prefix, { revision, signal })
    }
    return
  }
}

function untilChanged(
  context: Context,
  prefix: Uint8Array,
  from: { readonly revision: number; readonly signal: AbortSignal },
): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      from.signal.removeEventListener('abort', end)
      watch.close()
      resolve()
    }
    const rangeEnd = prefixEnd(prefix) ?? Uint8Array.of(0)
    const watch = context.keyspace.watch(
      { key: prefix, rangeEnd, startRevision: from.revision + 1 },
      {
        onResponse: ({ events }) => {
          if (events.length > 0) end()
          return true
        },
        onEnded: end,
      },
    )
    if (from.signal.aborted) end()
    else from.signal.addEventListener('abort', end)
  })
}

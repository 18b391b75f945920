// etcd's Lock and Election: the keyspace's own recipes (keyspace/recipes/line.ts) as etcd's calls. The lines are, key for
// key, those of etcd's client library (concurrency), so programs that use it, programs that ask these calls and rooms of
// the product meet on the same locks. The key's create revision is the fencing token: it only grows.

import { message, type MessageOf, toFault } from '../../base/index.ts'
import {
  announce,
  type Compare,
  enterLine,
  isPlaceLost,
  observeFirst,
  type Place,
  readFirst,
  type RequestOptions,
  untilFirst,
} from '../../keyspace/index.ts'
import {
  type Context,
  type Method,
  type MessageStream,
  streaming,
  unary,
  unguarded,
} from './context.ts'
import { EtcdRefusal, etcdErrors, grpcCode, toEtcdError } from './core/errors.ts'
import { bytes, header, headerOnly, int64, keyValue, nested } from '../../keyspace/etcd/wire.ts'
import { readLease } from './core/translate.ts'
import { checkObserve } from './rules.ts'

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

/** Names and messages, for clients that have no protocol files. */
export const recipeMessages = {
  lock: ['v3lockpb.Lock/Lock', lockRequest, lockResponse],
  unlock: ['v3lockpb.Lock/Unlock', unlockRequest, headerOnly],
  campaign: ['v3electionpb.Election/Campaign', campaignRequest, campaignResponse],
  proclaim: ['v3electionpb.Election/Proclaim', proclaimRequest, headerOnly],
  leaderOf: ['v3electionpb.Election/Leader', leaderRequest, leaderResponse],
  observe: ['v3electionpb.Election/Observe', leaderRequest, leaderResponse],
  resign: ['v3electionpb.Election/Resign', resignRequest, headerOnly],
} as const

/** Of a lease that the caller did not bring, as in etcd's client library. */
const sessionSeconds = 60
const none = new Uint8Array(0)

const plainMethods: readonly Method[] = [
  unary('v3lockpb.Lock/Lock', [lockRequest, lockResponse], async (context, request, options) => {
    const asked = { name: request.name, value: none, lease: request.lease }
    const held = await orExpired(stand(context, asked, options), 'mutex: session is expired')
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
      const held = await orExpired(stand(context, request, options), 'election: not leader')
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
      const { first, revision } = await readFirst(context.keyspace, name, options)
      if (first === undefined) throw plainError('election: no leader')
      return { header: context.header(revision), kv: first }
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

export const recipeMethods: readonly Method[] = plainMethods.map(inWords)

function requireLeader(leader: MessageOf<typeof leaderKey> | undefined) {
  if (leader !== undefined && leader.key.length > 0) return leader
  throw plainError('"leader" field must be provided')
}

/** Errors of the recipes have no code of etcd's. */
function plainError(text: string): EtcdRefusal {
  return new EtcdRefusal({ code: grpcCode.unknown, text })
}

/** etcd's own services call it as a client, whose errors come out as words alone. */
function inWords(method: Method): Method {
  const { run } = method
  if (run.kind !== 'unary') return method
  const call: typeof run.call = async (context, request, options) => {
    try {
      return await run.call(context, request, options)
    } catch (error) {
      const { text } = toEtcdError(toFault(error))
      throw inner.includes(text) ? plainError(text) : error
    }
  }
  return { ...method, run: { kind: 'unary', call } }
}

const inner: readonly string[] = [etcdErrors.leaseNotFound.text, etcdErrors.emptyKey.text]

/** The lease may end while somebody waits: the place is gone then, in words of etcd's. */
async function orExpired<T>(work: Promise<T>, text: string): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw isPlaceLost(error) ? plainError(text) : error
  }
}

function isCreatedAt(key: Uint8Array, revision: number): Compare {
  return { key, target: 'create', result: 'equal', operand: Math.max(0, revision) }
}

/** Enters the line of `name` and settles when everybody before has left. Leaves it when the client goes. */
async function stand(
  context: Context,
  request: { readonly name: Uint8Array; readonly value: Uint8Array; readonly lease: number },
  options: RequestOptions,
): Promise<Place> {
  const { keyspace } = context
  const lease = await ownLease(context, request.lease, options)
  const { name, value } = request
  const place = await enterLine(keyspace, { name, lease, value }, options)
  try {
    if (!place.isNew && value.length > 0) await announce(keyspace, { place, value }, options)
    await untilFirst(context, place, unguarded(options))
    return place
  } catch (error) {
    await keyspace.delete(place.key).catch(() => 0)
    throw error
  }
}

async function ownLease(context: Context, id: number, options: RequestOptions): Promise<number> {
  if (id > 0) return readLease(id)
  const { leases } = context.keyspace
  return (await leases.grant({ ttlSeconds: sessionSeconds }, options)).id
}

/** Each holder, and each value that it proclaims; one that changed meanwhile may be left out. */
async function observe(
  context: Context,
  stream: MessageStream<MessageOf<typeof leaderRequest>, MessageOf<typeof leaderResponse>>,
): Promise<void> {
  const { signal } = stream
  for await (const { name } of stream.requests) {
    await context.gate.run(stream.token, async (permit) => checkObserve(permit, name))
    try {
      for await (const { first, revision } of observeFirst(context, name, signal)) {
        stream.send({ header: context.header(revision), kv: first })
        await stream.drained()
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
    return
  }
}

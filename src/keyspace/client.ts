// A keyspace for its users, over any way to get encoded requests answered: the router on the core
// thread, a port on the others. Requests are checked and encoded here, once.

import { Fault, type Revision, revision as toRevision } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import {
  decodeHashAnswer,
  decodeStatusAnswer,
  decodeUpkeepAnswer,
  leaseListOf,
  leaseTimeOf,
  leaseTimeToLiveOf,
  type RequestKind,
  type UpkeepAnswer,
} from './core/calls.ts'
import { checkKey, checkNumber, checkRange, checkTxn, isReadOnly } from './core/check.ts'
import { alarms, encodeUpkeep, type UpkeepRequest, type WriteKind } from './core/entry.ts'
import { checkDocument } from './core/guard.ts'
import { deadlineMsMax } from './core/limits.ts'
import { decodeAnswer, decodeRangeResponse, encodeRange, encodeTxn } from './core/wire.ts'
import type {
  FullKeyspace,
  Guard,
  Keyspace,
  KeyspaceAlarm,
  KeyspaceHash,
  KeyspaceStatus,
  LeaseList,
  Leases,
  LeaseTime,
  LeaseTimeToLive,
  Operation,
  RangeRequest,
  RangeResponse,
  RequestOptions,
  TxnRequest,
  TxnResponse,
  Watch,
  WatchReceiver,
  WatchRequest,
} from './keyspace.ts'
import { WatchFan } from './watch-fan.ts'
import type { OpenFeed } from './watch-feed.ts'

export type TransportOptions = {
  readonly deadlineMs: number
  readonly isSerializable: boolean
  readonly signal: AbortSignal | undefined
}

export type ManyOptions = TransportOptions & {
  /** Called once for each, by its place, as soon as it has its answer or its fault. */
  readonly settle: (at: number, outcome: Uint8Array | Fault) => void
}

/**
 * Gets encoded requests answered: a RangeResponse for a range, an Answer for a transaction, the answers of
 * core/calls.ts for the rest.
 */
export type Transport = {
  request(kind: RequestKind, body: Uint8Array, options: TransportOptions): Promise<Uint8Array>
  /** Writes that came together, at little more than the cost of one. */
  requestAll?(kind: WriteKind, bodies: readonly Uint8Array[], options: ManyOptions): void
  freshness(): ReturnType<Keyspace['freshness']>
  onRevision: Keyspace['onRevision']
  readonly openFeed: OpenFeed
}

const deadlineMsDefault = 10_000

export function createKeyspace(host: Host, name: string, transport: Transport): FullKeyspace {
  return new ClientKeyspace(host, name, transport)
}

class ClientKeyspace implements FullKeyspace {
  readonly name: string
  readonly leases: Leases
  readonly #transport: Transport
  readonly #fan: WatchFan

  constructor(host: Host, name: string, transport: Transport) {
    this.name = name
    this.#transport = transport
    this.leases = new ClientLeases(transport)
    this.#fan = new WatchFan(host, (receiver) => transport.openFeed(receiver))
  }

  async range(request: RangeRequest, options: RequestOptions = {}): Promise<RangeResponse> {
    checkRange(request)
    const isSerializable = request.isSerializable === true
    const transport = transportOptions(options, isSerializable)
    return decodeRangeResponse(
      await this.#transport.request('range', encodeRange(request, options.guard), transport),
    )
  }

  async txn(request: TxnRequest, options: RequestOptions = {}): Promise<TxnResponse> {
    checkTxn(request)
    const kind = isReadOnly(request) ? 'read' : 'txn'
    const transport = transportOptions(options, false)
    const answer = await this.#transport.request(kind, encodeTxn(request, options.guard), transport)
    return decodeAnswer(answer).response
  }

  async put(key: Uint8Array, value: Uint8Array, options: RequestOptions = {}) {
    const response = await this.txn(single({ kind: 'put', key, value }), options)
    return toRevision(response.revision)
  }

  async delete(
    key: Uint8Array,
    options: RequestOptions & { readonly rangeEnd?: Uint8Array } = {},
  ): Promise<number> {
    const { rangeEnd } = options
    const operation: Operation = {
      kind: 'delete',
      key,
      ...(rangeEnd === undefined ? {} : { rangeEnd }),
    }
    const result = (await this.txn(single(operation), options)).results[0]
    if (result?.kind !== 'delete') {
      throw new Fault('corrupt', 'the answer is not one of a delete', { outcome: 'unknown' })
    }
    return result.deleted
  }

  freshness(): ReturnType<Keyspace['freshness']> {
    return this.#transport.freshness()
  }

  onRevision(changed: () => void): () => void {
    return this.#transport.onRevision(changed)
  }

  watch(request: WatchRequest, receiver: WatchReceiver): Watch {
    checkKey(request.key, request.rangeEnd)
    checkNumber(request.startRevision ?? 0, 'startRevision')
    checkNumber(request.progressMs ?? 0, 'progressMs')
    return this.#fan.watch(request, receiver)
  }

  async compact(
    revision: number,
    options: RequestOptions & { readonly isPhysical?: boolean } = {},
  ): Promise<Revision> {
    checkNumber(revision, 'revision')
    const request = { revision, isPhysical: options.isPhysical === true }
    const answer = await askUpkeep(this.#transport, 'compact', { request, options })
    return toRevision(answer.revision)
  }

  async hash(revision: number, options: RequestOptions = {}): Promise<KeyspaceHash> {
    checkNumber(revision, 'revision')
    const body = encodeUpkeep({ revision })
    const transport = transportOptions(options, true)
    return decodeHashAnswer(await this.#transport.request('hash', body, transport))
  }

  async status(options: RequestOptions = {}): Promise<KeyspaceStatus> {
    const transport = transportOptions(options, true)
    return decodeStatusAnswer(await this.#transport.request('status', encodeUpkeep({}), transport))
  }

  async guard(
    options: RequestOptions & { readonly known?: number; readonly isSerializable?: boolean } = {},
  ): Promise<Guard> {
    const { known = 0, isSerializable = false } = options
    checkNumber(known, 'known')
    const transport = transportOptions(options, isSerializable)
    const body = encodeUpkeep({ revision: known })
    const { revision, document } = decodeUpkeepAnswer(
      await this.#transport.request('guard', body, transport),
    )
    return { revision, document }
  }

  async setGuard(
    { expected, document }: { readonly expected: number; readonly document: Uint8Array },
    options: RequestOptions = {},
  ): Promise<number> {
    checkNumber(expected, 'expected')
    checkDocument(document)
    const request = { revision: expected, document }
    return (await askUpkeep(this.#transport, 'set-guard', { request, options })).revision
  }

  async arm(alarm: KeyspaceAlarm, options: RequestOptions = {}): Promise<Revision> {
    const request = { alarm: alarms.indexOf(alarm) }
    const answer = await askUpkeep(this.#transport, 'arm', { request, options })
    return toRevision(answer.revision)
  }

  async disarm(alarm: KeyspaceAlarm, options: RequestOptions = {}): Promise<Revision> {
    const request = { alarm: alarms.indexOf(alarm) }
    const answer = await askUpkeep(this.#transport, 'disarm', { request, options })
    return toRevision(answer.revision)
  }
}

class ClientLeases implements Leases {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  async grant(
    request: { readonly id?: number; readonly ttlSeconds: number },
    options: RequestOptions = {},
  ): Promise<LeaseTime> {
    const { id = 0, ttlSeconds } = request
    checkNumber(id, 'id')
    checkNumber(ttlSeconds, 'ttlSeconds')
    const body = { request: { id, ttlSeconds }, options }
    return leaseTimeOf(await askUpkeep(this.#transport, 'lease-grant', body))
  }

  async revoke(id: number, options: RequestOptions = {}): Promise<Revision> {
    const answer = await this.#ask('lease-revoke', id, options)
    return toRevision(answer.revision)
  }

  async keepAlive(id: number, options: RequestOptions = {}): Promise<LeaseTime> {
    return leaseTimeOf(await this.#ask('keepalive', id, options))
  }

  async timeToLive(
    id: number,
    options: RequestOptions & { readonly withKeys?: boolean } = {},
  ): Promise<LeaseTimeToLive> {
    checkNumber(id, 'id')
    const request = { id, withKeys: options.withKeys === true }
    return leaseTimeToLiveOf(await askUpkeep(this.#transport, 'ttl', { request, options }))
  }

  async list(options: RequestOptions = {}): Promise<LeaseList> {
    return leaseListOf(await this.#ask('leases', 0, options))
  }

  #ask(kind: RequestKind, id: number, options: RequestOptions): Promise<UpkeepAnswer> {
    checkNumber(id, 'id')
    return askUpkeep(this.#transport, kind, { request: { id }, options })
  }
}

async function askUpkeep(
  transport: Transport,
  kind: RequestKind,
  asked: { readonly request: Partial<UpkeepRequest>; readonly options: RequestOptions },
): Promise<UpkeepAnswer> {
  const options = transportOptions(asked.options, false)
  const { guard } = asked.options
  const body = encodeUpkeep({ ...asked.request, guard })
  return decodeUpkeepAnswer(await transport.request(kind, body, options))
}

function single(operation: Operation): TxnRequest {
  return { compares: [], success: [operation], failure: [] }
}

function transportOptions(options: RequestOptions, isSerializable: boolean): TransportOptions {
  const deadlineMs = Math.min(options.deadlineMs ?? deadlineMsDefault, deadlineMsMax)
  return { deadlineMs, isSerializable, signal: options.signal }
}

// A Keyspace for its users, over any way to get encoded requests answered: the router on the core
// thread, a port on the others. Requests are checked and encoded here, once.

import { Fault, revision as toRevision, utf8Encode } from '../base/index.ts'
import type { RequestKind } from './core/calls.ts'
import { checkRange, checkTxn, isReadOnly } from './core/check.ts'
import { deadlineMsMax } from './core/limits.ts'
import { decodeAnswer, decodeRangeResponse, encodeRange, encodeTxn } from './core/wire.ts'
import type {
  Keyspace,
  Operation,
  RangeRequest,
  RangeResponse,
  RequestOptions,
  TxnRequest,
  TxnResponse,
} from './keyspace.ts'

export type TransportOptions = {
  readonly deadlineMs: number
  readonly isSerializable: boolean
  readonly signal: AbortSignal | undefined
}

/** Gets encoded requests answered: a RangeResponse for a range, an Answer for a transaction. */
export type Transport = {
  request(kind: RequestKind, body: Uint8Array, options: TransportOptions): Promise<Uint8Array>
  freshness(): ReturnType<Keyspace['freshness']>
  onRevision: Keyspace['onRevision']
}

const deadlineMsDefault = 10_000

export function createKeyspace(name: string, transport: Transport): Keyspace {
  return new ClientKeyspace(name, transport)
}

class ClientKeyspace implements Keyspace {
  readonly name: string
  readonly #transport: Transport

  constructor(name: string, transport: Transport) {
    this.name = name
    this.#transport = transport
  }

  async range(request: RangeRequest, options: RequestOptions = {}): Promise<RangeResponse> {
    checkRange(request)
    const isSerializable = request.isSerializable === true
    const transport = transportOptions(options, isSerializable)
    return decodeRangeResponse(
      await this.#transport.request('range', encodeRange(request), transport),
    )
  }

  async txn(request: TxnRequest, options: RequestOptions = {}): Promise<TxnResponse> {
    checkTxn(request)
    const kind = isReadOnly(request) ? 'read' : 'txn'
    const transport = transportOptions(options, false)
    const answer = await this.#transport.request(kind, encodeTxn(request), transport)
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
}

function single(operation: Operation): TxnRequest {
  return { compares: [], success: [operation], failure: [] }
}

function transportOptions(options: RequestOptions, isSerializable: boolean): TransportOptions {
  const deadlineMs = Math.min(options.deadlineMs ?? deadlineMsDefault, deadlineMsMax)
  return { deadlineMs, isSerializable, signal: options.signal }
}

/** Names are paths: '/raft/system'. Fault 'invalid'. */
export function checkName(name: string): void {
  if (/^(\/[A-Za-z0-9._-]+)+$/.test(name) && utf8Encode(name).length <= 255) return
  throw new Fault('invalid', `'${name.slice(0, 64)}' is not the name of a namespace`)
}

// Revisions of a real keyspace, where others write between, as those of the model, which counts by one: the n-th
// change there is the n-th change here. What is answered inside of a transaction carries its own revision, which
// only tells that it is not beyond the transaction's.

import { revision as toRevision } from '../../base/index.ts'
import type {
  Compare,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
  WatchEvent,
} from '../keyspace.ts'

export class Revisions {
  /** At the model's revision. */
  readonly #real: number[]

  constructor(base: number) {
    this.#real = [0, base]
  }

  /** A change: the model's next revision. */
  add(real: number): void {
    this.#real.push(real)
  }

  /** 0 stays; what is yet to come is beyond the last. */
  toReal(model: number): number {
    const known = this.#real[model]
    if (known !== undefined) return known
    return (this.#real.at(-1) ?? 0) + (model - this.#real.length + 1)
  }

  toModel(real: number): number {
    let model = this.#real.length - 1
    while (model > 0 && (this.#real[model] ?? 0) > real) model--
    return model
  }

  toRealRange(request: RangeRequest): RangeRequest {
    return {
      ...request,
      revision: this.toReal(request.revision ?? 0),
      minModRevision: this.toReal(request.minModRevision ?? 0),
      maxModRevision: this.toReal(request.maxModRevision ?? 0),
      minCreateRevision: this.toReal(request.minCreateRevision ?? 0),
      maxCreateRevision: this.toReal(request.maxCreateRevision ?? 0),
    }
  }

  toRealTxn(request: TxnRequest): TxnRequest {
    return {
      compares: request.compares.map((compare) => this.#toRealCompare(compare)),
      success: request.success.map((operation) => this.#toRealOperation(operation)),
      failure: request.failure.map((operation) => this.#toRealOperation(operation)),
    }
  }

  /** `isModel`: its revisions are the model's already, and only what is inside of it is made alike. */
  toModelTxn(response: TxnResponse, isModel = false): unknown {
    return {
      succeeded: response.succeeded,
      results: response.results.map((result) => this.#toModelResult(result, isModel)),
    }
  }

  toModelRange(response: RangeResponse, isModel = false): unknown {
    const { kvs, more, count } = response
    return { kvs: kvs.map((kv) => (isModel ? kv : this.#toModelPair(kv))), more, count }
  }

  toModelEvent(event: WatchEvent): WatchEvent {
    const { kind, kv, previous } = event
    const seen = { kind, kv: this.#toModelPair(kv) }
    return previous === undefined ? seen : { ...seen, previous: this.#toModelPair(previous) }
  }

  #toModelResult(result: OperationResult, isModel: boolean): unknown {
    const pair = (kv: KeyValue): KeyValue => (isModel ? kv : this.#toModelPair(kv))
    switch (result.kind) {
      case 'range':
        return { kind: 'range', response: this.toModelRange(result.response, isModel) }
      case 'put':
        return result.previous === undefined
          ? { kind: 'put' }
          : { kind: 'put', previous: pair(result.previous) }
      case 'delete':
        return { ...result, previous: result.previous.map(pair) }
      case 'txn':
        return { kind: 'txn', response: this.toModelTxn(result.response, isModel) }
    }
  }

  #toModelPair(kv: KeyValue): KeyValue {
    return {
      ...kv,
      createRevision: toRevision(this.toModel(kv.createRevision)),
      modRevision: toRevision(this.toModel(kv.modRevision)),
    }
  }

  #toRealCompare(compare: Compare): Compare {
    const { target, operand } = compare
    const isRevision = target === 'create' || target === 'mod'
    if (!isRevision || typeof operand !== 'number') return compare
    return { ...compare, operand: this.toReal(operand) }
  }

  #toRealOperation(operation: Operation): Operation {
    if (operation.kind === 'range') {
      return { kind: 'range', request: this.toRealRange(operation.request) }
    }
    if (operation.kind !== 'txn') return operation
    return { kind: 'txn', request: this.toRealTxn(operation.request) }
  }
}

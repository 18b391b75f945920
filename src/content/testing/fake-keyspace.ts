// A keyspace in memory: what content uses of etcd's semantics (puts, deletes, ranges, compares of mod
// revisions), every request taking a turn of the loop. Linearizable: there is one copy.

import { equal } from 'node:assert/strict'
import { compareBytes, Fault, prefixEnd, revision, toHex, utf8Encode } from '../../base/index.ts'
import type {
  Compare,
  Keyspace,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from '../../keyspace/index.ts'
import type { Turn } from './fake-clock.ts'

export class FakeKeyspace implements Keyspace {
  readonly name: string
  readonly #turn: Turn
  readonly #rows = new Map<string, KeyValue>()
  #revision = 1

  constructor(turn: Turn, name: string) {
    this.#turn = turn
    this.name = name
  }

  async range(request: RangeRequest): Promise<RangeResponse> {
    await this.#turn()
    return this.#range(request)
  }

  async txn({ compares, success, failure }: TxnRequest): Promise<TxnResponse> {
    await this.#turn()
    const succeeded = compares.every((compare) => this.#holds(compare))
    const operations = succeeded ? success : failure
    const puts = operations.flatMap((operation) =>
      operation.kind === 'put' ? [toHex(operation.key)] : [],
    )
    if (new Set(puts).size !== puts.length) throw new Fault('invalid', 'a key is put twice')
    if (operations.some((operation) => operation.kind !== 'range')) this.#revision++
    const results = operations.map((operation) => this.#apply(operation))
    return { revision: revision(this.#revision), succeeded, results }
  }

  async put(key: Uint8Array, value: Uint8Array) {
    const answer = await this.txn({
      compares: [],
      success: [{ kind: 'put', key, value }],
      failure: [],
    })
    return answer.revision
  }

  async delete(key: Uint8Array, options: { readonly rangeEnd?: Uint8Array } = {}) {
    await this.txn({ compares: [], success: [{ kind: 'delete', key, ...options }], failure: [] })
    return 1
  }

  freshness() {
    return { revision: revision(this.#revision), guard: 0, heardMsAgo: 0 }
  }

  onRevision(): () => void {
    return () => undefined
  }

  /** Keys that start with a text. */
  keys(prefix: string): readonly Uint8Array[] {
    const key = utf8Encode(prefix)
    return this.#range({ key, rangeEnd: prefixEnd(key) }).kvs.map((row) => row.key)
  }

  #range(request: RangeRequest): RangeResponse {
    const inRange = [...this.#rows.values()]
      .filter(({ key }) => within(key, request.key, request.rangeEnd))
      .sort((a, b) => compareBytes(a.key, b.key))
    const limit =
      request.limit === undefined || request.limit === 0 ? inRange.length : request.limit
    const kvs = request.countOnly === true ? [] : inRange.slice(0, limit)
    const count = request.countOnly === true ? inRange.length : 0
    return { revision: revision(this.#revision), kvs, more: inRange.length > limit, count }
  }

  #holds({ key, target, operand, result }: Compare): boolean {
    equal(result, 'equal')
    const row = this.#rows.get(toHex(key))
    equal(target, 'mod')
    return (row?.modRevision ?? 0) === operand
  }

  #apply(operation: Operation): OperationResult {
    if (operation.kind === 'put') {
      const before = this.#rows.get(toHex(operation.key))
      this.#rows.set(toHex(operation.key), {
        key: operation.key.slice(),
        value: operation.value.slice(),
        createRevision: before?.createRevision ?? revision(this.#revision),
        modRevision: revision(this.#revision),
        version: (before?.version ?? 0) + 1,
        lease: 0,
      })
      return { kind: 'put' }
    }
    if (operation.kind === 'delete') {
      for (const { key } of [...this.#rows.values()]) {
        if (within(key, operation.key, operation.rangeEnd)) this.#rows.delete(toHex(key))
      }
      return { kind: 'delete', deleted: 1, previous: [] }
    }
    throw new Fault('unsupported', operation.kind)
  }
}

function within(key: Uint8Array, from: Uint8Array, end: Uint8Array | undefined): boolean {
  if (end === undefined) return compareBytes(key, from) === 0
  return compareBytes(key, from) >= 0 && (end.length === 0 || compareBytes(key, end) < 0)
}

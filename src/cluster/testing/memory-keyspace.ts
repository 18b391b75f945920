// A keyspace in memory for tests of this room: ranges, compares and puts as the contract says, with
// freshness and reachability of the leader set by the test.

import { compareBytes, Fault, type Revision, revision, toHex } from '../../base/index.ts'
import type {
  Compare,
  Freshness,
  Keyspace,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from '../../keyspace/index.ts'

export class MemoryKeyspace implements Keyspace {
  readonly name = '/raft/system'
  heardMsAgo = 0
  /** False: linearizable reads and transactions fail. */
  hasLeader = true
  /** What serializable reads see; undefined: the newest state. */
  localRevision: number | undefined
  linearizableReads = 0
  serializableReads = 0
  readonly #listeners = new Set<() => void>()
  readonly #history: Map<string, KeyValue>[] = [new Map()]

  freshness(): Freshness {
    const now = this.localRevision ?? this.#history.length - 1
    return { revision: revision(now), guard: 0, heardMsAgo: this.heardMsAgo }
  }

  onRevision(changed: () => void): () => void {
    this.#listeners.add(changed)
    return () => {
      this.#listeners.delete(changed)
    }
  }

  async range(request: RangeRequest): Promise<RangeResponse> {
    if (request.isSerializable === true) this.serializableReads++
    else {
      this.linearizableReads++
      this.#requireLeader()
    }
    const newest = this.#history.length - 1
    const at = request.isSerializable === true ? (this.localRevision ?? newest) : newest
    const kvs = this.#select(this.#history[at] ?? new Map(), request)
    if (request.countOnly === true) {
      return { revision: revision(at), kvs: [], more: false, count: kvs.length }
    }
    const limit = request.limit ?? 0
    const page = limit > 0 ? kvs.slice(0, limit) : kvs
    const more = page.length < kvs.length
    return { revision: revision(at), kvs: page, more, count: kvs.length }
  }

  async txn(request: TxnRequest): Promise<TxnResponse> {
    this.#requireLeader()
    const now = new Map(this.#history.at(-1))
    const succeeded = request.compares.every((compare) => holds(compare, now))
    const operations = succeeded ? request.success : request.failure
    const next = this.#history.length
    const results = operations.map((operation) => this.#run(operation, now, next))
    if (operations.some(({ kind }) => kind !== 'range')) {
      this.#history.push(now)
      for (const changed of this.#listeners) changed()
    }
    return { revision: revision(this.#history.length - 1), succeeded, results }
  }

  async put(key: Uint8Array, value: Uint8Array): Promise<Revision> {
    const success = [{ kind: 'put', key, value }] as const
    return (await this.txn({ compares: [], success, failure: [] })).revision
  }

  async delete(key: Uint8Array): Promise<number> {
    const success = [{ kind: 'delete', key }] as const
    await this.txn({ compares: [], success, failure: [] })
    return 1
  }

  #run(operation: Operation, now: Map<string, KeyValue>, next: number): OperationResult {
    if (operation.kind === 'range') {
      const kvs = this.#select(now, operation.request)
      const at = revision(this.#history.length - 1)
      return { kind: 'range', response: { revision: at, kvs, more: false, count: kvs.length } }
    }
    apply(operation, now, next)
    return operation.kind === 'delete'
      ? { kind: 'delete', deleted: 1, previous: [] }
      : { kind: 'put' }
  }

  #requireLeader(): void {
    if (!this.hasLeader) throw new Fault('unavailable', 'no leader', { outcome: 'unknown' })
  }

  #select(state: Map<string, KeyValue>, request: RangeRequest): KeyValue[] {
    const { key, rangeEnd, isReverse } = request
    if (rangeEnd === undefined) {
      const found = state.get(toHex(key))
      return found === undefined ? [] : [found]
    }
    return [...state.values()]
      .filter((kv) => compareBytes(kv.key, key) >= 0 && compareBytes(kv.key, rangeEnd) < 0)
      .sort((a, b) => compareBytes(a.key, b.key) * (isReverse === true ? -1 : 1))
  }
}

function holds(compare: Compare, state: Map<string, KeyValue>): boolean {
  const kv = state.get(toHex(compare.key))
  if (compare.operand instanceof Uint8Array) {
    return kv !== undefined && compareBytes(kv.value, compare.operand) === 0
  }
  const actual = compare.target === 'create' ? (kv?.createRevision ?? 0) : (kv?.modRevision ?? 0)
  return actual === compare.operand
}

function apply(operation: Operation, state: Map<string, KeyValue>, now: number): void {
  if (operation.kind === 'delete') {
    const { key, rangeEnd } = operation
    if (rangeEnd === undefined) state.delete(toHex(key))
    else {
      for (const [name, kv] of [...state]) {
        const isWithin = compareBytes(kv.key, key) >= 0 && compareBytes(kv.key, rangeEnd) < 0
        if (isWithin) state.delete(name)
      }
    }
  }
  if (operation.kind !== 'put') return
  const { key, value } = operation
  const old = state.get(toHex(key))
  const createRevision = old?.createRevision ?? revision(now)
  const version = (old?.version ?? 0) + 1
  const modRevision = revision(now)
  state.set(toHex(key), { key, value, createRevision, modRevision, version, lease: 0 })
}

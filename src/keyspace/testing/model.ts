// The naive model that the core is held against: every version of every key in a list, every request
// answered by walking it. Follows etcd's documentation, shares no code with the core.

import {
  compareBytes,
  equalBytes,
  type Revision,
  revision as toRevision,
} from '../../base/index.ts'
import type {
  Compare,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from '../keyspace.ts'

type Event = {
  readonly revision: number
  readonly key: Uint8Array
  /** Undefined: deleted. */
  readonly kv: KeyValue | undefined
}

export class ModelKeyspace {
  revision = 1
  readonly events: Event[] = []
  /** Id -> ttlSeconds. */
  readonly leases = new Map<number, number>()

  /** Deletes the lease's keys in one revision; false when there is no such lease. */
  revoke(id: number): boolean {
    if (!this.leases.delete(id)) return false
    const keys = this.keysOf(id)
    if (keys.length > 0) this.revision++
    for (const key of keys) this.events.push({ revision: this.revision, key, kv: undefined })
    return true
  }

  keysOf(id: number): Uint8Array[] {
    return this.at(Infinity)
      .filter((kv) => kv.lease === id)
      .map((kv) => kv.key)
  }

  /** Why a transaction is refused, in etcd's words: the branch that would run, in its order. */
  refusal(request: TxnRequest): string | undefined {
    const path: boolean[] = []
    this.#decide(request, path)
    return this.#refusal(request, path)
  }

  txn(request: TxnRequest): TxnResponse {
    const path: boolean[] = []
    this.#decide(request, path)
    const start = this.revision
    const changes = { count: 0 }
    const response = this.#run(request, { path, start, changes })
    if (changes.count > 0) this.revision = start + 1
    return response
  }

  /** Pairs at a revision, by key. */
  at(revision: number): KeyValue[] {
    const found = new Map<string, KeyValue>()
    for (const event of this.events) {
      if (event.revision > revision) continue
      const name = Buffer.from(event.key).toString('latin1')
      if (event.kv === undefined) found.delete(name)
      else found.set(name, event.kv)
    }
    return [...found.values()].sort((a, b) => compareBytes(a.key, b.key))
  }

  range(request: RangeRequest, current: number): RangeResponse {
    const { limit = 0, keysOnly = false, countOnly = false, isCounted = false } = request
    const at =
      request.revision === undefined || request.revision === 0 ? Infinity : request.revision
    const found = this.at(at).filter((kv) => isWithin(kv.key, request))
    const base = { revision: toRevision(current) }
    if (countOnly) return { ...base, kvs: [], more: false, count: found.length }
    const all = sorted(
      found.filter((kv) => isWanted(kv, request)),
      request,
    )
    const kept = limit === 0 ? all : all.slice(0, limit)
    const kvs = keysOnly ? kept.map((kv) => ({ ...kv, value: new Uint8Array(0) })) : kept
    const count = isCounted ? found.length : kvs.length
    return { ...base, kvs, more: all.length > kept.length, count }
  }

  #decide(request: TxnRequest, path: boolean[]): void {
    const holds = request.compares.every((compare) => this.#holds(compare))
    path.push(holds)
    for (const operation of holds ? request.success : request.failure) {
      if (operation.kind === 'txn') this.#decide(operation.request, path)
    }
  }

  #refusal(request: TxnRequest, path: boolean[]): string | undefined {
    const holds = path.shift() === true
    let refusal: string | undefined
    for (const operation of holds ? request.success : request.failure) {
      if (operation.kind === 'txn') refusal ??= this.#refusal(operation.request, path)
      if (operation.kind !== 'put' || refusal !== undefined) continue
      const { key, lease = 0, ignoreValue = false, ignoreLease = false } = operation
      const exists = this.at(Infinity).some((kv) => equalBytes(kv.key, key))
      if ((ignoreValue || ignoreLease) && !exists) refusal = 'key not found'
      else if (lease !== 0 && !this.leases.has(lease)) refusal = 'requested lease not found'
    }
    return refusal
  }

  #holds(compare: Compare): boolean {
    const found = this.at(Infinity).filter((kv) => isWithin(kv.key, compare))
    if (found.length > 0) return found.every((kv) => satisfies(compare, kv))
    return compare.target !== 'value' && ordered(compare, 0 - Number(compare.operand))
  }

  #run(
    request: TxnRequest,
    run: { readonly path: boolean[]; readonly start: number; readonly changes: { count: number } },
  ): TxnResponse {
    const succeeded = run.path.shift() === true
    const results = (succeeded ? request.success : request.failure).map((operation) =>
      this.#operate(operation, run),
    )
    return { revision: currentOf(run), succeeded, results }
  }

  #operate(
    operation: Operation,
    run: { readonly path: boolean[]; readonly start: number; readonly changes: { count: number } },
  ): OperationResult {
    if (operation.kind === 'txn')
      return { kind: 'txn', response: this.#run(operation.request, run) }
    if (operation.kind === 'range') {
      return { kind: 'range', response: this.range(operation.request, currentOf(run)) }
    }
    const revision = run.start + 1
    const before = this.at(Infinity).filter((kv) => isWithin(kv.key, operation))
    if (operation.kind === 'delete') {
      for (const { key } of before) this.events.push({ revision, key, kv: undefined })
      run.changes.count += before.length
      const previous = operation.previous === true ? before : []
      return { kind: 'delete', deleted: before.length, previous }
    }
    const [old] = before
    const { key } = operation
    const value = operation.ignoreValue === true && old !== undefined ? old.value : operation.value
    const lease = (operation.ignoreLease === true ? old?.lease : operation.lease) ?? 0
    const createRevision = old?.createRevision ?? toRevision(revision)
    const version = (old?.version ?? 0) + 1
    const kv = { key, value, createRevision, modRevision: toRevision(revision), version, lease }
    this.events.push({ revision, key, kv })
    run.changes.count++
    if (operation.previous !== true || old === undefined) return { kind: 'put' }
    return { kind: 'put', previous: old }
  }
}

function currentOf(run: { readonly start: number; readonly changes: { count: number } }): Revision {
  return toRevision(run.start + (run.changes.count > 0 ? 1 : 0))
}

function isWithin(
  key: Uint8Array,
  range: { readonly key: Uint8Array; readonly rangeEnd?: Uint8Array },
): boolean {
  const { rangeEnd } = range
  if (rangeEnd === undefined || rangeEnd.length === 0) return equalBytes(key, range.key)
  if (compareBytes(key, range.key) < 0) return false
  return equalBytes(rangeEnd, Uint8Array.of(0)) || compareBytes(key, rangeEnd) < 0
}

function satisfies(compare: Compare, kv: KeyValue): boolean {
  if (compare.target === 'value') {
    return ordered(compare, compareBytes(kv.value, compare.operand as Uint8Array))
  }
  const numbers = {
    version: kv.version,
    create: kv.createRevision,
    mod: kv.modRevision,
    lease: kv.lease,
  }
  return ordered(compare, numbers[compare.target] - Number(compare.operand))
}

function ordered(compare: Compare, order: number): boolean {
  if (compare.result === 'equal') return order === 0
  if (compare.result === 'not-equal') return order !== 0
  return compare.result === 'greater' ? order > 0 : order < 0
}

function isWanted(kv: KeyValue, request: RangeRequest): boolean {
  const { minModRevision = 0, maxModRevision = 0 } = request
  const { minCreateRevision = 0, maxCreateRevision = 0 } = request
  if (kv.modRevision < minModRevision || kv.createRevision < minCreateRevision) return false
  if (maxModRevision > 0 && kv.modRevision > maxModRevision) return false
  return maxCreateRevision === 0 || kv.createRevision <= maxCreateRevision
}

function sorted(kvs: readonly KeyValue[], request: RangeRequest): KeyValue[] {
  const { sortBy, isReverse = false } = request
  const sign = isReverse ? -1 : 1
  const orders: Record<string, (a: KeyValue, b: KeyValue) => number> = {
    key: (a, b) => compareBytes(a.key, b.key),
    value: (a, b) => compareBytes(a.value, b.value),
    version: (a, b) => a.version - b.version,
    create: (a, b) => a.createRevision - b.createRevision,
    mod: (a, b) => a.modRevision - b.modRevision,
  }
  return [...kvs].sort((a, b) => sign * (orders[sortBy ?? 'key']?.(a, b) ?? 0))
}

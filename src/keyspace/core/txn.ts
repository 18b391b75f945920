// The transition: one transaction on the rows of a space, etcd's applyTxn. All compares, nested ones
// included, are decided on the state before (etcd's compareToPath); then everything that could refuse
// the transaction is checked; then it runs and cannot fail. So nothing is ever half done.
//
// A transaction that writes takes the next revision; its changes are numbered 0, 1, 2, ... (sub).

import {
  compareBytes,
  equalBytes,
  Fault,
  sha256,
  revision as toRevision,
} from '../../base/index.ts'
import type { Compare, Operation, OperationResult, TxnRequest, TxnResponse } from '../keyspace.ts'
import { type Allocate, allocateOwn } from './bytes.ts'
import { checkTxn, hasPut } from './check.ts'
import { isAlarmOn } from './entry.ts'
import { Forecast, type LiveRow, liveRows, type TxnState } from './forecast.ts'
import type { LeaseTable } from './leases.ts'
import { responseBytesMax } from './limits.ts'
import {
  decodeLatest,
  encodeHistory,
  encodeLatest,
  latestHash,
  type RowHash,
  readLongTail,
  tombstone,
  type Version,
  valueKind,
  valueTail,
  versionBytes,
} from './records.ts'
import {
  latestKey,
  type Row,
  type RowReader,
  type Rows,
  type RowWriter,
  type Space,
  userKey,
  versionKey,
} from './rows.ts'
import { type ByteBudget, findLatest, newest, pairOf, RangeScan, valueAtHand } from './scan.ts'
import type { AnswerKeyValue } from './wire.ts'

const pageRows = 256

export type TxnOutcome = {
  readonly response: TxnResponse
  readonly hasApart: boolean
  /** The keyspace's revision after it. */
  readonly revision: number
  /** To add to the running digest, each lane modulo 2^32. */
  readonly digest: RowHash
  /** Bytes put into 'pending'. */
  readonly pendingBytes: number
  /** What its versions count against the quota. */
  readonly addedBytes: number
  /** It changed a key that had a version before. */
  readonly isSuperseding: boolean
}

const readOnly: RowWriter = {
  put: refuseWrite,
  delete: refuseWrite,
}

/** Runs a transaction that cannot write (isReadOnly) on a reader. Same faults as runTxn. */
export function readTxn(
  rows: RowReader,
  space: Space,
  run: { readonly request: TxnRequest; readonly state: TxnState; readonly leases: LeaseTable },
): TxnOutcome {
  const reader: Rows = {
    get: (table, key) => rows.get(table, key),
    range: (table, range) => rows.range(table, range),
    ...readOnly,
  }
  return runTxn(reader, space, run)
}

/**
 * Runs a transaction. Faults (nothing has changed then): those of checkTxn and checkAlarms, 'compacted'
 * and 'invalid' for a range's revision, 'not-found' for a lease, 'invalid' for a put that keeps what a
 * missing key does not have, 'too-large' for too many deleted keys, previous values or keys to sort,
 * 'unsupported' for the order of a value longer than 1 KiB.
 */
export function runTxn(
  rows: Rows,
  space: Space,
  run: {
    readonly request: TxnRequest
    readonly state: TxnState
    readonly leases: LeaseTable
    /** Where rows are made; they are the store's to copy. */
    readonly allocate?: Allocate
  },
): TxnOutcome {
  checkTxn(run.request)
  if (run.state.alarms !== 0) checkAlarms(run.state.alarms, hasPut(run.request))
  const path: boolean[] = []
  planPath(rows, space, { request: run.request, path })
  const forecast = new Forecast(rows, space, run)
  forecast.check(run.request, path)
  const budget = { bytes: Math.max(0, responseBytesMax - forecast.previousBytes) }
  return new TxnRun(rows, space, {
    state: run.state,
    leases: run.leases,
    budget,
    allocate: run.allocate ?? allocateOwn,
  }).run(run.request, path)
}

/** Deletes keys, which exist, in one revision: what a revoked lease takes with it. */
export function runDeletes(
  rows: Rows,
  space: Space,
  run: {
    readonly keys: readonly Uint8Array[]
    readonly state: TxnState
    readonly leases: LeaseTable
  },
): TxnOutcome {
  const success = run.keys.map((key) => ({ kind: 'delete', key }) as const)
  const { state, leases } = run
  const budget = { bytes: responseBytesMax }
  const request = { compares: [], success, failure: [] }
  const deletes = new TxnRun(rows, space, { state, leases, budget, allocate: allocateOwn })
  return deletes.run(request, [true])
}

/** Deletes what exists of a page of 'latest': the changes after the first `sub` of the next revision. */
export function runDeletePage(
  rows: Rows,
  space: Space,
  run: {
    readonly page: readonly Row[]
    readonly sub: number
    readonly state: TxnState
    readonly leases: LeaseTable
    readonly allocate: Allocate
  },
): Omit<TxnOutcome, 'response'> & { readonly deleted: number } {
  const budget = { bytes: 0 }
  return new TxnRun(rows, space, { ...run, budget }).deletePage(run.page, run.sub)
}

/** Faults 'corrupt' for every write, 'no-space' for those that put, in etcd's words. */
export function checkAlarms(alarms: number, isPutting: boolean): void {
  if (isAlarmOn(alarms, 'corrupt')) {
    throw new Fault('corrupt', 'etcdserver: corrupt cluster')
  }
  if (isPutting && isAlarmOn(alarms, 'no-space')) {
    throw new Fault('no-space', 'etcdserver: mvcc: database space exceeded')
  }
}

/** Appends which branch each transaction takes, in the order in which they run. */
function planPath(
  rows: RowReader,
  space: Space,
  plan: { readonly request: TxnRequest; readonly path: boolean[] },
): void {
  const { request, path } = plan
  const succeeds = request.compares.every((compare) => holds(rows, space, compare))
  path.push(succeeds)
  for (const operation of succeeds ? request.success : request.failure) {
    if (operation.kind === 'txn') planPath(rows, space, { request: operation.request, path })
  }
}

export function holds(rows: RowReader, space: Space, compare: Compare): boolean {
  const { key, rangeEnd } = compare
  if (rangeEnd === undefined || rangeEnd.length === 0) {
    const version = findLatest(rows, space, key)
    return versionSatisfies(rows, space, { compare, version })
  }
  let isEmpty = true
  for (const row of liveRows(rows, space, { key, rangeEnd })) {
    isEmpty = false
    if (!versionSatisfies(rows, space, { compare, version: row.version })) return false
  }
  return !isEmpty || versionSatisfies(rows, space, { compare, version: undefined })
}

/** A missing key has no value (nothing compares with it) and is 0 in everything else. */
function versionSatisfies(
  rows: RowReader,
  space: Space,
  asked: { readonly compare: Compare; readonly version: Version | undefined },
): boolean {
  const { compare } = asked
  const version = asked.version?.kind === 'tombstone' ? undefined : asked.version
  if (compare.target === 'value') {
    if (version === undefined) return false
    return valueSatisfies(rows, space, { compare, version })
  }
  return orderSatisfies(compare, versionNumber(version, compare.target) - Number(compare.operand))
}

function versionNumber(version: Version | undefined, target: Compare['target']): number {
  if (version === undefined) return 0
  if (target === 'version') return version.version
  if (target === 'create') return version.createRevision
  return target === 'mod' ? version.modRevision : version.lease
}

function valueSatisfies(
  rows: RowReader,
  space: Space,
  asked: { readonly compare: Compare; readonly version: Version },
): boolean {
  const { compare, version } = asked
  const operand = compare.operand as Uint8Array
  if (version.kind !== 'long') {
    return orderSatisfies(compare, compareBytes(valueAtHand(rows, space, version), operand))
  }
  const { digest } = readLongTail(version.tail)
  const isEqual = version.valueBytes === operand.length && equalBytes(digest, sha256(operand))
  if (compare.result === 'equal') return isEqual
  if (compare.result === 'not-equal') return !isEqual
  throw new Fault('unsupported', 'values longer than 1 KiB can be compared for equality only')
}

function orderSatisfies(compare: Compare, order: number): boolean {
  switch (compare.result) {
    case 'equal':
      return order === 0
    case 'not-equal':
      return order !== 0
    case 'greater':
      return order > 0
    case 'less':
      return order < 0
  }
}

class TxnRun {
  readonly #rows: Rows
  readonly #space: Space
  readonly #state: TxnState
  readonly #budget: ByteBudget
  readonly #allocate: Allocate
  readonly #leases: LeaseTable
  #at = 0
  #sub = 0
  #digestA = 0
  #digestB = 0
  #pendingBytes = 0
  #addedBytes = 0
  #hasApart = false
  #isSuperseding = false

  constructor(
    rows: Rows,
    space: Space,
    options: {
      readonly state: TxnState
      readonly leases: LeaseTable
      readonly budget: ByteBudget
      readonly allocate: Allocate
    },
  ) {
    this.#rows = rows
    this.#space = space
    this.#state = options.state
    this.#budget = options.budget
    this.#allocate = options.allocate
    this.#leases = options.leases
  }

  run(request: TxnRequest, path: readonly boolean[]): TxnOutcome {
    const response = this.#runTxn(request, path)
    return { response, ...this.#effects() }
  }

  deletePage(page: readonly Row[], sub: number): ReturnType<typeof runDeletePage> {
    this.#sub = sub
    for (const row of page) {
      const key = userKey(row.key)
      const version = decodeLatest(key, row.value)
      if (version.kind !== 'tombstone') this.#delete({ key, version, row })
    }
    return { deleted: this.#sub - sub, ...this.#effects() }
  }

  #effects(): Omit<TxnOutcome, 'response'> {
    return {
      hasApart: this.#hasApart,
      revision: this.#revision(),
      digest: { a: this.#digestA, b: this.#digestB },
      pendingBytes: this.#pendingBytes,
      addedBytes: this.#addedBytes,
      isSuperseding: this.#isSuperseding,
    }
  }

  #revision(): number {
    return this.#state.revision + (this.#sub > 0 ? 1 : 0)
  }

  #runTxn(request: TxnRequest, path: readonly boolean[]): TxnResponse {
    const succeeded = path[this.#at++] === true
    const results: OperationResult[] = []
    for (const operation of succeeded ? request.success : request.failure) {
      results.push(this.#runOperation(operation, path))
    }
    return { revision: toRevision(this.#revision()), succeeded, results }
  }

  #runOperation(operation: Operation, path: readonly boolean[]): OperationResult {
    switch (operation.kind) {
      case 'range':
        return this.#runRange(operation)
      case 'put':
        return this.#runPut(operation)
      case 'delete':
        return this.#runDelete(operation)
      case 'txn':
        return { kind: 'txn', response: this.#runTxn(operation.request, path) }
    }
  }

  #runRange(operation: Operation & { readonly kind: 'range' }): OperationResult {
    const { request } = operation
    const asked = request.revision ?? 0
    const scan = new RangeScan(this.#rows, request, {
      space: this.#space,
      at: asked === 0 ? newest : asked,
      revision: this.#revision(),
      budget: this.#budget,
    })
    while (!scan.step(pageRows));
    const response = scan.result()
    for (const kv of response.kvs) this.#note(kv as AnswerKeyValue)
    return { kind: 'range', response }
  }

  #runPut(operation: Operation & { readonly kind: 'put' }): OperationResult {
    const { key } = operation
    const rowKey = latestKey(this.#space, key, this.#allocate)
    const before = this.#rows.get('latest', rowKey)
    const old = before === undefined ? undefined : decodeLatest(key, before)
    const live = old?.kind === 'tombstone' ? undefined : old
    const previous =
      operation.previous === true && live !== undefined ? this.#pair(key, live) : undefined
    const kept = operation.ignoreValue === true ? live : undefined
    const value = kept === undefined ? operation.value : valueAtHand(this.#rows, this.#space, kept)
    const at = { modRevision: this.#state.revision + 1, sub: this.#sub }
    const version: Version = {
      ...at,
      kind: kept?.kind ?? valueKind(value.length),
      createRevision: live?.createRevision ?? at.modRevision,
      version: (live?.version ?? 0) + 1,
      lease: (operation.ignoreLease === true ? live?.lease : operation.lease) ?? 0,
      valueBytes: kept?.valueBytes ?? value.length,
      tail: kept?.tail ?? valueTail(value, at),
    }
    this.#write({ key, version, value, old, before, rowKey })
    return previous === undefined ? { kind: 'put' } : { kind: 'put', previous }
  }

  #runDelete(operation: Operation & { readonly kind: 'delete' }): OperationResult {
    const { key, rangeEnd } = operation
    const previous: AnswerKeyValue[] = []
    let deleted = 0
    for (const found of liveRows(this.#rows, this.#space, { key, rangeEnd })) {
      if (operation.previous === true) previous.push(this.#pair(found.key, found.version))
      this.#delete(found)
      deleted++
    }
    return { kind: 'delete', deleted, previous }
  }

  #delete({ key, version, row }: LiveRow): void {
    this.#write({
      key,
      version: tombstone(this.#state.revision + 1, this.#sub),
      value: key.subarray(0, 0),
      old: version,
      before: row.value,
      rowKey: row.key,
    })
  }

  #pair(key: Uint8Array, version: Version): AnswerKeyValue {
    return this.#note(pairOf(this.#rows, this.#space, { key, version }))
  }

  #note(pair: AnswerKeyValue): AnswerKeyValue {
    if (pair.apartSub !== 0) this.#hasApart = true
    return pair
  }

  /** One version of one key: its history row, the newest row, the digest. */
  #write(change: {
    readonly key: Uint8Array
    readonly version: Version
    readonly value: Uint8Array
    readonly old: Version | undefined
    readonly before: Uint8Array | undefined
    readonly rowKey: Uint8Array
  }): void {
    const { key, version, old } = change
    const allocate = this.#allocate
    const historyKey = versionKey(this.#space, version, allocate)
    const record = {
      ...version,
      key,
      previousRevision: old?.modRevision ?? 0,
      previousSub: old?.sub ?? 0,
    }
    this.#rows.put(
      'history',
      historyKey,
      encodeHistory(userKey(historyKey), record, { value: change.value, allocate }),
    )
    const latest = encodeLatest(key, version, allocate)
    this.#rows.put('latest', change.rowKey, latest)
    if (version.kind === 'long' && change.value.length > 0) {
      this.#rows.put('pending', historyKey, change.value)
      this.#pendingBytes += change.value.length
    }
    this.#addedBytes += versionBytes(key.length, version)
    if (old !== undefined) this.#isSuperseding = true
    const lease = old === undefined || old.kind === 'tombstone' ? 0 : old.lease
    if (lease !== version.lease) this.#moveLease(key, lease, version.lease)
    if (old !== undefined && old.kind !== 'tombstone' && change.before !== undefined) {
      const hash = latestHash(key, change.before)
      this.#digestA = (this.#digestA - hash.a) >>> 0
      this.#digestB = (this.#digestB - hash.b) >>> 0
    }
    if (version.kind !== 'tombstone') {
      const hash = latestHash(key, latest)
      this.#digestA = (this.#digestA + hash.a) >>> 0
      this.#digestB = (this.#digestB + hash.b) >>> 0
    }
    this.#sub++
  }

  #moveLease(key: Uint8Array, from: number, to: number): void {
    if (from !== 0) this.#leases.detach(this.#rows, from, key)
    if (to !== 0) this.#leases.attach(this.#rows, to, key)
  }
}

function refuseWrite(): never {
  throw new Fault('internal', 'a read-only transaction wrote')
}

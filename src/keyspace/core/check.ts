// What a transaction must obey before anything of it runs: the rules of etcd's checkTxnRequest and
// checkIntervals, in etcd's words, because clients match on them. Pure; the asker checks early, every
// replica checks again when the entry is applied.

import { compareBytes, Fault, keyAfter } from '../../base/index.ts'
import type { Operation, RangeRequest, TxnRequest } from '../keyspace.ts'
import { keyBytesMax, nestingMax, operationsMax } from './limits.ts'

/** Fault 'invalid'. */
export function checkRange(request: RangeRequest): void {
  checkKey(request.key, request.rangeEnd)
  checkNumber(request.limit ?? 0, 'limit')
  checkNumber(request.revision ?? 0, 'revision')
  checkNumber(request.minModRevision ?? 0, 'minModRevision')
  checkNumber(request.maxModRevision ?? 0, 'maxModRevision')
  checkNumber(request.minCreateRevision ?? 0, 'minCreateRevision')
  checkNumber(request.maxCreateRevision ?? 0, 'maxCreateRevision')
}

/** Fault 'invalid': an empty key, too many operations, a key that is put twice or put and deleted. */
export function checkTxn(request: TxnRequest): void {
  const budget = { operations: operationsMax }
  checkParts(request, budget, 0)
  if (!isSingle(request)) checkIntervals(request)
}

/** True when no branch can change anything: such a transaction is served as a read. */
export function isReadOnly(request: TxnRequest): boolean {
  return request.success.every(isReading) && request.failure.every(isReading)
}

/** True when a branch may put something: what a full keyspace refuses. */
export function hasPut(request: TxnRequest): boolean {
  return request.success.some(isPutting) || request.failure.some(isPutting)
}

function isPutting(operation: Operation): boolean {
  if (operation.kind === 'put') return true
  return operation.kind === 'txn' && hasPut(operation.request)
}

function isReading(operation: Operation): boolean {
  if (operation.kind === 'range') return true
  return operation.kind === 'txn' && isReadOnly(operation.request)
}

function isSingle(request: TxnRequest): boolean {
  if (request.success.length > 1 || request.failure.length > 1) return false
  return request.success[0]?.kind !== 'txn' && request.failure[0]?.kind !== 'txn'
}

function checkParts(request: TxnRequest, budget: { operations: number }, depth: number): void {
  if (depth >= nestingMax) throw invalid('transactions are nested too deeply')
  budget.operations -= request.compares.length + request.success.length + request.failure.length
  if (budget.operations < 0) throw invalid('etcdserver: too many operations in txn request')
  for (const compare of request.compares) {
    checkKey(compare.key, compare.rangeEnd)
    if ((compare.target === 'value') === (typeof compare.operand === 'number')) {
      throw invalid('a compare of values takes bytes, every other takes a number')
    }
    if (typeof compare.operand === 'number') checkNumber(compare.operand, 'operand')
  }
  for (const operation of request.success) checkOperation(operation, budget, depth)
  for (const operation of request.failure) checkOperation(operation, budget, depth)
}

function checkOperation(operation: Operation, budget: { operations: number }, depth: number): void {
  switch (operation.kind) {
    case 'range':
      checkRange(operation.request)
      return
    case 'put':
      checkKey(operation.key, undefined)
      checkNumber(operation.lease ?? 0, 'lease')
      if (operation.ignoreValue === true && operation.value.length > 0) {
        throw invalid('etcdserver: value is provided')
      }
      if (operation.ignoreLease === true && (operation.lease ?? 0) !== 0) {
        throw invalid('etcdserver: lease is provided')
      }
      return
    case 'delete':
      checkKey(operation.key, operation.rangeEnd)
      return
    case 'txn':
      checkParts(operation.request, budget, depth + 1)
      return
  }
}

export function checkKey(key: Uint8Array, rangeEnd: Uint8Array | undefined): void {
  if (key.length === 0) throw invalid('etcdserver: key is not provided')
  if (key.length > keyBytesMax || (rangeEnd?.length ?? 0) > keyBytesMax) {
    throw invalid(`a key has at most ${keyBytesMax} bytes`)
  }
}

export function checkNumber(value: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw invalid(`${name} is not an unsigned integer`)
  }
}

function invalid(what: string): Fault {
  return new Fault('invalid', what)
}

/**
 * A key may be put once; within one transaction and its children a key may not be both put and deleted,
 * and a child's put of either branch counts, except that both branches of one child may put the same
 * key. (etcd v3.5 server/etcdserver/api/v3rpc/key.go: the order of the steps is part of the rule.)
 */
function checkIntervals(request: TxnRequest): void {
  checkBranch(request.success)
  checkBranch(request.failure)
}

type Touched = { readonly puts: Set<string>; readonly deletes: IntervalSet }

function checkBranch(operations: readonly Operation[]): Touched {
  const deletes = new IntervalSet()
  const puts = new Set<string>()
  for (const operation of operations) {
    if (operation.kind === 'delete') deletes.add(operation.key, operation.rangeEnd)
  }
  for (const operation of operations) {
    if (operation.kind !== 'txn') continue
    const success = checkBranch(operation.request.success)
    const failure = checkBranch(operation.request.failure)
    for (const key of success.puts) addPut(puts, deletes, key)
    for (const key of failure.puts) {
      if (!success.puts.has(key)) addPut(puts, deletes, key)
    }
    deletes.addAll(success.deletes)
    deletes.addAll(failure.deletes)
  }
  for (const operation of operations) {
    if (operation.kind === 'put') addPut(puts, deletes, keyText(operation.key))
  }
  return { puts, deletes }
}

function addPut(puts: Set<string>, deletes: IntervalSet, key: string): void {
  if (puts.has(key) || deletes.has(key)) {
    throw invalid('etcdserver: duplicate key given in txn request')
  }
  puts.add(key)
}

/** One character per byte, so that order of texts is order of bytes. */
function keyText(key: Uint8Array): string {
  let text = ''
  for (const byte of key) text += String.fromCharCode(byte)
  return text
}

const noEnd = '\u{10ffff}'

/** Disjoint half-open intervals in order. */
class IntervalSet {
  readonly #starts: string[] = []
  readonly #ends: string[] = []

  add(key: Uint8Array, rangeEnd: Uint8Array | undefined): void {
    if (rangeEnd === undefined || rangeEnd.length === 0) {
      this.#insert(keyText(key), keyText(keyAfter(key)))
    } else if (isOpenEnd(rangeEnd)) {
      this.#insert(keyText(key), noEnd)
    } else if (compareBytes(key, rangeEnd) < 0) {
      this.#insert(keyText(key), keyText(rangeEnd))
    }
  }

  addAll(other: IntervalSet): void {
    for (let i = 0; i < other.#starts.length; i++) {
      this.#insert(other.#starts[i] as string, other.#ends[i] as string)
    }
  }

  has(key: string): boolean {
    const at = this.#countStartsUpTo(key) - 1
    return at >= 0 && key < (this.#ends[at] as string)
  }

  #insert(start: string, end: string): void {
    let from = this.#countStartsUpTo(start)
    if (from > 0 && (this.#ends[from - 1] as string) >= start) from--
    const to = Math.max(from, this.#countStartsUpTo(end))
    let newStart = start
    let newEnd = end
    if (from < to) {
      newStart = min(start, this.#starts[from] as string)
      newEnd = max(end, this.#ends[to - 1] as string)
    }
    this.#starts.splice(from, to - from, newStart)
    this.#ends.splice(from, to - from, newEnd)
  }

  #countStartsUpTo(key: string): number {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#starts[middle] as string) <= key) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** etcd's "\0" as an end: no end. */
export function isOpenEnd(rangeEnd: Uint8Array): boolean {
  return rangeEnd.length === 1 && rangeEnd[0] === 0
}

function min(a: string, b: string): string {
  return a < b ? a : b
}

function max(a: string, b: string): string {
  return a > b ? a : b
}

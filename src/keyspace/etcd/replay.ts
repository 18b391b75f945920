// The answer of a transaction that was run although its answer was lost: put together from the revision at which it
// ran and the one before, which its mark names. What cannot be told exactly (a range between two writes of the same
// transaction, a revision that was compacted since) is a Fault whose outcome is 'unknown': it was run, and its
// answer is gone.

import {
  compareBytes,
  Fault,
  type FaultCode,
  isFault,
  keyAfter,
  revision as toRevision,
} from '../../base/index.ts'
import type {
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from '../keyspace.ts'

export type ReplaySource = {
  /** At a revision. */
  range(request: RangeRequest): Promise<RangeResponse>
  /** Which branch the transaction at a path took. */
  hasSucceeded(path: string): Promise<boolean>
}

type Span = { readonly key: Uint8Array; readonly end: Uint8Array | undefined }

/** `ranAt` is the revision that the transaction made. */
export async function replayTxn(
  source: ReplaySource,
  request: TxnRequest,
  ranAt: number,
): Promise<TxnResponse> {
  try {
    return await new Replay(source, ranAt).txn(request, '')
  } catch (error) {
    if (!isFault(error)) throw error
    if (!passing.has(error.code)) throw lost(error)
    const { code, message, fields } = error
    throw new Fault(code, message, { outcome: 'unknown', fields, cause: error })
  }
}

/** Asking again may still tell. */
const passing: ReadonlySet<FaultCode> = new Set<FaultCode>([
  'unavailable',
  'deadline',
  'overloaded',
  'cancelled',
])

/** The path of the n-th operation of a branch, where that is a transaction. */
export function pathOf(parent: string, at: number): string {
  return `${parent}.${at}`
}

class Replay {
  readonly #source: ReplaySource
  readonly #ranAt: number
  /** What the operations so far wrote, in order; and everything that will be written. */
  readonly #written: Span[] = []
  readonly #deleted: Span[] = []
  #isAllWritten: readonly Span[] = []

  constructor(source: ReplaySource, ranAt: number) {
    this.#source = source
    this.#ranAt = ranAt
  }

  async txn(request: TxnRequest, path: string): Promise<TxnResponse> {
    if (path === '') this.#isAllWritten = [...spansOf(request.success), ...spansOf(request.failure)]
    const succeeded = await this.#source.hasSucceeded(path)
    const operations = succeeded ? request.success : request.failure
    const results: OperationResult[] = []
    for (const [at, operation] of operations.entries()) {
      results.push(await this.#result(operation, pathOf(path, at)))
    }
    return { revision: toRevision(this.#ranAt), succeeded, results }
  }

  async #result(operation: Operation, path: string): Promise<OperationResult> {
    switch (operation.kind) {
      case 'range':
        return { kind: 'range', response: await this.#range(operation.request) }
      case 'put': {
        const { key } = operation
        this.#written.push({ key, end: keyAfter(key) })
        if (operation.previous !== true) return { kind: 'put' }
        const before = (await this.#before({ key })).kvs[0]
        return before === undefined ? { kind: 'put' } : { kind: 'put', previous: before }
      }
      case 'delete': {
        const { key, rangeEnd, previous = false } = operation
        const span = spanOf(key, rangeEnd)
        if (this.#deleted.some((other) => meet(other, span))) throw lost()
        this.#written.push(span)
        this.#deleted.push(span)
        const range = { key, ...(rangeEnd === undefined ? {} : { rangeEnd }) }
        const found = await this.#before({ ...range, countOnly: !previous })
        return { kind: 'delete', deleted: found.count, previous: found.kvs }
      }
      case 'txn':
        return { kind: 'txn', response: await this.txn(operation.request, path) }
    }
  }

  async #range(request: RangeRequest): Promise<RangeResponse> {
    const span = spanOf(request.key, request.rangeEnd)
    const isTouched = this.#written.some((other) => meet(other, span))
    const touches = this.#isAllWritten.filter((other) => meet(other, span)).length
    const touched = this.#written.filter((other) => meet(other, span)).length
    if (isTouched && touches !== touched) throw lost()
    const at = (request.revision ?? 0) > 0 ? request.revision : this.#ranAt - (isTouched ? 0 : 1)
    const found = await this.#source.range({ ...request, revision: at ?? 0 })
    return { ...found, revision: toRevision(this.#ranAt) }
  }

  #before(request: RangeRequest): Promise<RangeResponse> {
    return this.#source.range({ ...request, revision: this.#ranAt - 1 })
  }
}

function spansOf(operations: readonly Operation[]): readonly Span[] {
  return operations.flatMap((operation) => {
    if (operation.kind === 'put') return [spanOf(operation.key, undefined)]
    if (operation.kind === 'delete') return [spanOf(operation.key, operation.rangeEnd)]
    if (operation.kind === 'range') return []
    return [...spansOf(operation.request.success), ...spansOf(operation.request.failure)]
  })
}

function spanOf(key: Uint8Array, rangeEnd: Uint8Array | undefined): Span {
  if (rangeEnd === undefined || rangeEnd.length === 0) return { key, end: keyAfter(key) }
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0
  return { key, end: isOpen ? undefined : rangeEnd }
}

function meet(a: Span, b: Span): boolean {
  const isBefore = (one: Span, other: Span): boolean =>
    one.end !== undefined && compareBytes(one.end, other.key) <= 0
  return !isBefore(a, b) && !isBefore(b, a)
}

function lost(cause?: Fault): Fault {
  const what = 'the request was run, and its answer was lost and cannot be told again'
  return new Fault('not-found', what, { outcome: 'unknown', cause })
}

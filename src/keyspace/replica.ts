// One namespace's replica on this node: proposes writes when it leads, answers reads from its rows, and
// gives answers their long values. Retries and routing are the router's.

import { Fault } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import type { Group } from '../raft/index.ts'
import type { Store } from '../storage/index.ts'
import type { RequestKind } from './client.ts'
import { checkRevision, RangeScan } from './core/scan.ts'
import { type Space, versionKey } from './core/rows.ts'
import { checkRange } from './core/check.ts'
import { responseBytesMax } from './core/limits.ts'
import { readTxn } from './core/txn.ts'
import {
  type AnswerKeyValue,
  decodeAnswer,
  decodeRange,
  decodeTxn,
  encodeAnswer,
  encodeEntry,
  encodeRangeResponse,
  mayHaveApart,
} from './core/wire.ts'
import type { KeyValue, OperationResult, TxnResponse } from './keyspace.ts'
import type { KeyspaceMachine } from './machine.ts'
import type { ValueShelf } from './values.ts'

/** Rows that a read of its own looks at before it lets others run. */
const scanRowsPerTurn = 512
const seedLimit = 0x1_0000_0000

export type ReadOptions = {
  readonly isSerializable: boolean
  readonly signal: AbortSignal | undefined
}

export class Replica {
  readonly group: Group
  readonly machine: KeyspaceMachine
  readonly #host: Host
  readonly #store: Store
  readonly #values: ValueShelf
  #proposedMs = 0

  constructor(dependencies: {
    readonly host: Host
    readonly store: Store
    readonly values: ValueShelf
    readonly group: Group
    readonly machine: KeyspaceMachine
  }) {
    this.#host = dependencies.host
    this.#store = dependencies.store
    this.#values = dependencies.values
    this.group = dependencies.group
    this.machine = dependencies.machine
  }

  /** Proposes the bytes of a WriteRequest. Faults of Group.propose, and 'no-space'. */
  async write(write: Uint8Array): Promise<Uint8Array> {
    if (this.#values.isOverfull) {
      throw new Fault('no-space', 'long values wait for disk space on the leading node')
    }
    const answer = await this.group.propose(this.#entry({ write, compactRevision: 0 }))
    return this.complete(answer)
  }

  /** An answer of the state machine with its long values. */
  async complete(answer: Uint8Array): Promise<Uint8Array> {
    if (!mayHaveApart(answer)) return answer
    const { response, hasApart } = decodeAnswer(answer)
    return hasApart ? this.#complete(response) : answer
  }

  /** Answers a range or a transaction that cannot write. */
  async read(kind: RequestKind, body: Uint8Array, options: ReadOptions): Promise<Uint8Array> {
    if (!options.isSerializable) await this.group.readBarrier(options.signal)
    return kind === 'range' ? this.#readRange(body) : this.#readTxn(body)
  }

  /** Leader only: proposes to forget what is outside the window. False when there is nothing to forget. */
  async compact(window: {
    readonly ageMs: number
    readonly revisionsMax: number
  }): Promise<boolean> {
    const { state } = this.machine
    const byAge = this.machine.revisionBefore(window.ageMs)
    const floor = Math.max(byAge, state.record.revision - window.revisionsMax)
    const timeMs = this.#nextTimeMs()
    if (floor <= state.record.compacted && !state.hasExpiredSession(timeMs)) return false
    const compactRevision = Math.max(1, floor, state.record.compacted)
    await this.group.propose(this.#entry({ write: new Uint8Array(0), compactRevision }))
    return true
  }

  #entry(content: { readonly write: Uint8Array; readonly compactRevision: number }): Uint8Array {
    const seed = this.#host.random.integer(seedLimit)
    return encodeEntry({ timeMs: this.#nextTimeMs(), seed, ...content })
  }

  /** Entries' time never goes back, whatever the wall clock does. */
  #nextTimeMs(): number {
    const wallMs = Math.floor(this.#host.clock.wallMs())
    this.#proposedMs = Math.max(this.#proposedMs, this.machine.state.record.timeMs, wallMs)
    return this.#proposedMs
  }

  async #readRange(body: Uint8Array): Promise<Uint8Array> {
    const request = decodeRange(body)
    checkRange(request)
    const { state } = this.machine
    const { space } = state
    checkRevision(request.revision ?? 0, state.record)
    const { revision } = state.record
    const at =
      request.revision === undefined || request.revision === 0 ? revision : request.revision
    const unpin = this.machine.pin(at)
    try {
      const budget = { bytes: responseBytesMax }
      const scan = new RangeScan(this.#store, request, { space, at, revision, budget })
      while (!scan.step(scanRowsPerTurn)) {
        await this.#nextTurn()
        this.#mustStillBe(space)
      }
      const response = scan.result()
      const kvs = await this.#completePairs(space, response.kvs)
      return encodeRangeResponse({ ...response, kvs })
    } finally {
      unpin()
    }
  }

  async #readTxn(body: Uint8Array): Promise<Uint8Array> {
    const request = decodeTxn(body)
    const { state } = this.machine
    const outcome = readTxn(this.#store, state.space, { request, state: state.record })
    const { response } = outcome
    if (!outcome.hasApart) return encodeAnswer(response, { hasApart: false })
    return this.#complete(response)
  }

  async #complete(response: TxnResponse): Promise<Uint8Array> {
    const { space } = this.machine.state
    const unpin = this.machine.pin(this.machine.state.record.revision)
    try {
      const whole = await this.#completeResponse(space, response)
      return encodeAnswer(whole, { hasApart: false })
    } finally {
      unpin()
    }
  }

  async #completeResponse(space: Space, response: TxnResponse): Promise<TxnResponse> {
    const results: OperationResult[] = []
    for (const result of response.results) results.push(await this.#completeResult(space, result))
    return { ...response, results }
  }

  async #completeResult(space: Space, result: OperationResult): Promise<OperationResult> {
    switch (result.kind) {
      case 'range': {
        const kvs = await this.#completePairs(space, result.response.kvs)
        return { kind: 'range', response: { ...result.response, kvs } }
      }
      case 'put': {
        if (result.previous === undefined) return result
        const [previous] = await this.#completePairs(space, [result.previous])
        return previous === undefined ? result : { kind: 'put', previous }
      }
      case 'delete':
        return { ...result, previous: await this.#completePairs(space, result.previous) }
      case 'txn':
        return { kind: 'txn', response: await this.#completeResponse(space, result.response) }
    }
  }

  async #completePairs(space: Space, pairs: readonly KeyValue[]): Promise<readonly KeyValue[]> {
    if (!pairs.some((pair) => apartSub(pair) > 0)) return pairs
    const whole: KeyValue[] = []
    for (const pair of pairs) {
      const sub = apartSub(pair)
      if (sub === 0) {
        whole.push(pair)
        continue
      }
      const value = await this.#values.read(versionKey(space, { ...pair, sub: sub - 1 }))
      whole.push({ ...pair, value, apartSub: 0 } as AnswerKeyValue)
    }
    this.#mustStillBe(space)
    return whole
  }

  #mustStillBe(space: Space): void {
    if (this.machine.state.space === space) return
    throw new Fault('unavailable', 'a snapshot was installed while the read ran')
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#host.clock.soon(resolve))
  }
}

function apartSub(pair: KeyValue): number {
  return (pair as Partial<AnswerKeyValue>).apartSub ?? 0
}

// A history: who asked what, from when to when, and what was answered. Recorded by workloads, read from
// logs, judged by check().
//
// Times are only compared. Of two events at the same time the call counts as first, so that operations
// which touch each other are concurrent. The recorder numbers events in the order in which it is told
// of them: in one process that is the order in which they happened.

import { assert } from '../../src/base/index.ts'

/**
 * One call. `output` is undefined exactly when `returnedAt` is Infinity: the outcome is not known, the
 * operation may have taken effect at any time after `calledAt`, may do so yet, or never.
 */
export type Operation<Input, Output> = {
  readonly client: number
  readonly input: Input
  readonly output: Output | undefined
  readonly calledAt: number
  readonly returnedAt: number
}

/** In any order. */
export type History<Input, Output> = readonly Operation<Input, Output>[]

/** An operation that was called and has not returned. */
export type OpenCall<Input> = {
  readonly client: number
  readonly input: Input
  readonly calledAt: number
}

const operationsMax = 1_000_000

/** Collects a history while a workload runs. A call is ended by one of returned, lost and refused. */
export class HistoryRecorder<Input, Output> {
  readonly #done: Operation<Input, Output>[] = []
  readonly #open = new Set<OpenCall<Input>>()
  #events = 0

  /** The time of something that is not a call: it is after all that was recorded, before all that will be. */
  moment(): number {
    return this.#events++
  }

  /** Before the request leaves the client. */
  called(client: number, input: Input): OpenCall<Input> {
    assert(this.#done.length + this.#open.size < operationsMax, 'a history has a limit')
    const call = { client, input, calledAt: this.#events++ }
    this.#open.add(call)
    return call
  }

  /** After the answer has come. */
  returned(call: OpenCall<Input>, output: Output): void {
    this.#close(call)
    this.#done.push({ ...call, output, returnedAt: this.#events++ })
  }

  /** The outcome is unknown, now and later. */
  lost(call: OpenCall<Input>): void {
    this.#close(call)
    this.#done.push({ ...call, output: undefined, returnedAt: Number.POSITIVE_INFINITY })
  }

  /** It certainly had no effect and told nothing. */
  refused(call: OpenCall<Input>): void {
    this.#close(call)
  }

  /** Everything so far; calls that are open count as lost. */
  history(): History<Input, Output> {
    const open = [...this.#open].map((call) => ({
      ...call,
      output: undefined,
      returnedAt: Number.POSITIVE_INFINITY,
    }))
    return [...this.#done, ...open]
  }

  #close(call: OpenCall<Input>): void {
    assert(this.#open.delete(call), 'a call ends once')
  }
}

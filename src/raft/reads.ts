// Linearizable reads of one group (ReadIndex, thesis 6.4). Callers that arrive together share a round;
// a round that gets no answer is asked again, because its messages may be lost; after the round has an
// index the callers wait until that index is applied here. A caller that waits too long gets Fault
// 'unavailable' (a read has no effect, so its outcome is failed).
//
// Trap: a caller must not join a round that is already under way.
// 1. Round r asks the leader, which notes commit index 10. 2. A write commits at 11 and is
// acknowledged. 3. A reader arrives and joins r. 4. It is answered at 10 and misses the write.
//
// A round's context is node and number; numbers start at random, so that an answer to this node's
// previous life cannot confirm a round of this one.

import { concatBytes, Fault, type NodeId, readUint64, uint64Bytes } from '../base/index.ts'
import type { ReadState } from './core/types.ts'
import type { LeaseMoment } from './lease.ts'

const contextBytes = 16

type Waiter = {
  readonly resolve: () => void
  readonly reject: (fault: Fault) => void
  readonly deadlineTick: number
  readonly signal: AbortSignal | undefined
  abort: (() => void) | undefined
  isSettled: boolean
}
type Answered = { readonly index: number; readonly waiters: readonly Waiter[] }
type Round = {
  readonly waiters: readonly Waiter[]
  askedTick: number
  asked: AskedRound | undefined
}
/** What a leader's own round proves once it is confirmed. */
export type AskedRound = { readonly term: number; readonly at: LeaseMoment }

export type ReadsOptions = {
  readonly self: NodeId
  readonly firstRound: number
  /** Ticks until a round is asked again. */
  readonly retryTicks: number
  /** Ticks until a caller gives up. */
  readonly timeoutTicks: number
  readonly roundsMax: number
  readonly waitersMax: number
  /** Of a round that is sent now; undefined when it proves nothing (no lease is wanted, or no leader asks). */
  readonly askedNow: () => AskedRound | undefined
  readonly onConfirmed: (asked: AskedRound) => void
}

export class Reads {
  readonly #options: ReadsOptions
  #arrived: Waiter[] = []
  /** By the number in the round's context. */
  readonly #rounds = new Map<number, Round>()
  #answered: Answered[] = []
  #waiterCount = 0
  #nextRound: number
  readonly #node: Uint8Array

  constructor(options: ReadsOptions) {
    this.#options = options
    this.#nextRound = options.firstRound
    this.#node = uint64Bytes(options.self)
  }

  get hasArrived(): boolean {
    return this.#arrived.length > 0 && this.#rounds.size < this.#options.roundsMax
  }

  get isWaiting(): boolean {
    return this.#waiterCount > 0
  }

  add(tick: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(cancelled())
    if (this.#waiterCount >= this.#options.waitersMax) {
      return Promise.reject(new Fault('overloaded', 'too many reads wait for the leader'))
    }
    this.#waiterCount++
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        resolve,
        reject,
        deadlineTick: tick + this.#options.timeoutTicks,
        signal,
        abort: undefined,
        isSettled: false,
      }
      this.#arrived.push(waiter)
      if (signal === undefined) return
      waiter.abort = () => this.#settle(waiter, cancelled())
      signal.addEventListener('abort', waiter.abort, { once: true })
    })
  }

  /** Starts a round for everyone who arrived. */
  ask(tick: number, readIndex: (context: Uint8Array) => void): void {
    if (!this.hasArrived) return
    const round: Round = { waiters: this.#arrived, askedTick: tick, asked: undefined }
    this.#arrived = []
    this.#send(round, readIndex)
  }

  /** Everyone who arrived may read the state as of `index`, without a round. */
  answerArrived(index: number, applied: number): void {
    this.#answered.push({ index, waiters: this.#arrived })
    this.#arrived = []
    this.appliedTo(applied)
  }

  /** The core confirmed rounds. */
  confirmed(states: readonly ReadState[], applied: number): void {
    for (const state of states) {
      if (state.context.length !== contextBytes) continue
      if (readUint64(state.context, 0) !== this.#options.self) continue
      const number = readUint64(state.context, 8)
      const round = this.#rounds.get(number)
      if (round === undefined) continue
      this.#rounds.delete(number)
      if (round.asked !== undefined) this.#options.onConfirmed(round.asked)
      this.#answered.push({ index: state.index, waiters: round.waiters })
    }
    this.appliedTo(applied)
  }

  appliedTo(applied: number): void {
    if (this.#answered.length === 0) return
    const later: Answered[] = []
    for (const answer of this.#answered) {
      if (answer.index > applied) later.push(answer)
      else for (const waiter of answer.waiters) this.#settle(waiter, undefined)
    }
    this.#answered = later
  }

  /** Asks silent rounds again, under a new number, and ends waiting that took too long. */
  tick(tick: number, readIndex: (context: Uint8Array) => void): void {
    if (this.#waiterCount === 0) return
    for (const [number, round] of [...this.#rounds]) {
      if (round.waiters.every((waiter) => waiter.isSettled)) this.#rounds.delete(number)
      else if (tick - round.askedTick >= this.#options.retryTicks) {
        this.#rounds.delete(number)
        round.askedTick = tick
        this.#send(round, readIndex)
      }
    }
    for (const waiters of this.#everyone()) {
      for (const waiter of waiters)
        if (waiter.deadlineTick <= tick) this.#settle(waiter, timedOut())
    }
    this.#arrived = this.#arrived.filter((waiter) => !waiter.isSettled)
    this.#answered = this.#answered.filter(({ waiters }) => waiters.some((one) => !one.isSettled))
  }

  rejectAll(fault: Fault): void {
    for (const waiters of this.#everyone()) {
      for (const waiter of waiters) this.#settle(waiter, fault)
    }
    this.#arrived = []
    this.#answered = []
    this.#rounds.clear()
  }

  #everyone(): (readonly Waiter[])[] {
    return [
      this.#arrived,
      ...[...this.#rounds.values()].map((round) => round.waiters),
      ...this.#answered.map((answer) => answer.waiters),
    ]
  }

  #send(round: Round, readIndex: (context: Uint8Array) => void): void {
    const number = this.#nextRound++
    this.#rounds.set(number, round)
    round.asked = this.#options.askedNow()
    readIndex(concatBytes([this.#node, uint64Bytes(number)]))
  }

  #settle(waiter: Waiter, fault: Fault | undefined): void {
    if (waiter.isSettled) return
    waiter.isSettled = true
    this.#waiterCount--
    if (waiter.abort !== undefined) waiter.signal?.removeEventListener('abort', waiter.abort)
    if (fault === undefined) waiter.resolve()
    else waiter.reject(fault)
  }
}

function cancelled(): Fault {
  return new Fault('cancelled', 'the read was cancelled')
}

function timedOut(): Fault {
  return new Fault('unavailable', 'no leader confirmed the read in time', { next: 'try again' })
}

// A leader's lease (Raft thesis 6.4.1): a promise of a quorum not to elect another leader for a while, so that
// reads need no message. Off by default, because it rests on clocks.
//
// A confirmed ReadIndex round proves that a quorum heard the leader at or after the moment at which the round
// was asked. Each of them refuses its vote for one election timeout of its own ticks from then on, also
// when it restarts meanwhile (core: CoreConfig.holdsVoteAfterStart). So until
//
//   asked + (electionTicks - 2) * tickMs * (1 - drift) / (1 + drift)
//
// no other leader exists, provided that any two nodes' monotonic clocks differ in speed by no more than `drift` each
// from true time, and that they go on while a node is suspended or the wall clock tells of it. The two ticks
// are the one that was under way when the follower heard, and timers that fire early.
//
// It ends with leadership, with a change of members, with a transfer (whose candidate may stand within the promise,
// also late: for the rest of the term), when a tick was late, and when wall time and monotonic time part.

export type LeaseBounds = {
  readonly electionTicks: number
  readonly tickMs: number
  /** By how much a clock may be faster or slower than true time, as a ratio. */
  readonly clockDriftRatio: number
}

/** The clocks at one moment. */
export type LeaseMoment = { readonly monotonicMs: number; readonly wallMs: number }

/** Wall and monotonic time may part by so much between two looks: more means a suspended machine or a jump. */
const partingMsMax = 50

export class Lease {
  readonly #leaseMs: number
  #term = 0
  #from: LeaseMoment | undefined
  #barredTerm = 0
  #notBeforeMs = Number.NEGATIVE_INFINITY

  constructor({ electionTicks, tickMs, clockDriftRatio }: LeaseBounds) {
    const ratio = (1 - clockDriftRatio) / (1 + clockDriftRatio)
    this.#leaseMs = Math.max(0, electionTicks - 2) * tickMs * ratio
  }

  /** A round that this leader asked at `asked`, in this term, was confirmed by a quorum. */
  confirm(term: number, asked: LeaseMoment): void {
    if (term <= this.#barredTerm || asked.monotonicMs < this.#notBeforeMs) return
    if (term === this.#term && (this.#from?.monotonicMs ?? 0) >= asked.monotonicMs) return
    this.#term = term
    this.#from = asked
  }

  holds(term: number, now: LeaseMoment): boolean {
    const from = this.#from
    if (from === undefined || term !== this.#term) return false
    const sinceMs = now.monotonicMs - from.monotonicMs
    const parting = Math.abs(now.wallMs - from.wallMs - sinceMs)
    return sinceMs < this.#leaseMs && parting <= partingMsMax
  }

  /** Only rounds that are asked from now on count. */
  end(nowMs: number): void {
    this.#from = undefined
    this.#notBeforeMs = nowMs
  }

  /** Of this term no more: a candidate may stand that nobody holds back. */
  bar(term: number): void {
    this.#from = undefined
    this.#barredTerm = Math.max(this.#barredTerm, term)
  }
}

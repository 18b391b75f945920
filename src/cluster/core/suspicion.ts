// Suspicion: is a member that is silent gone, or late? Phi accrual (Hayashibara et al. 2004) without its window of samples:
// per member a smoothed mean and mean deviation of the gaps between its beats (as RFC 6298 estimates round trips), and
// the silence at which the doubt would reach phi 8, 1 in 10^8, of normally spread gaps.
//
// Invariants: one missed beat is never enough (at least two and a half usual gaps, at least floorMs); whoever looks
// begins with a full period of patience for everybody and brings nobody back without having heard a beat; time in which
// the watcher itself stood still does not count; a member that comes and goes must beat longer each time before it
// counts as back, so that a link that flaps is written down ever more seldom.

import type { NodeId } from '../../base/index.ts'

export type SuspicionOptions = {
  /** Silence is never suspect before. Default 3,000 ms. */
  readonly floorMs?: number
  /** Silence is suspect then, however irregular the member was. Default 12,000 ms. */
  readonly capMs?: number
  /** From suspect to offline. Default 1,000 ms. */
  readonly graceMs?: number
  /** Usual gap, until there is experience. Default 1,000 ms. */
  readonly beatMs?: number
}

export type Health = 'online' | 'suspect' | 'offline'

type Estimate = {
  lastMs: number
  /** Beats since it was silent last; 0: none was heard yet. */
  beats: number
  meanMs: number
  deviationMs: number
  /** How often it was found silent, fading. */
  falls: number
}

const meanShare = 1 / 8
const deviationShare = 1 / 8
/** 5.6 standard deviations leave 1 in 10^8 above; one is 1.25 mean deviations. */
const deviations = 7
/** Usual gaps that may pass: one beat is lost, the next one late. */
const gapsMin = 2.5
const fallsMax = 10
/** A fall is forgotten after so many beats in a row. */
const beatsPerFall = 60
/** From offline, one beat could be the last that was under way. */
const beatsFromOffline = 2

export class Suspicion {
  readonly #floorMs: number
  readonly #capMs: number
  readonly #graceMs: number
  readonly #beatMs: number
  /** Of members only: see retain(). */
  readonly #estimates = new Map<NodeId, Estimate>()
  #sinceMs: number

  constructor(nowMs: number, options: SuspicionOptions = {}) {
    this.#sinceMs = nowMs
    this.#beatMs = options.beatMs ?? 1_000
    this.#floorMs = options.floorMs ?? 3 * this.#beatMs
    this.#capMs = options.capMs ?? 4 * this.#floorMs
    this.#graceMs = options.graceMs ?? this.#beatMs
  }

  beat(id: NodeId, nowMs: number): void {
    const estimate = this.#estimateOf(id)
    const gapMs = Math.max(0, nowMs - estimate.lastMs)
    // A gap that was an outage says nothing of the gaps of a member that is well.
    const isRegular = estimate.beats > 0 && gapMs < this.#suspectAfterMs(estimate)
    if (isRegular) {
      const error = gapMs - estimate.meanMs
      estimate.meanMs += meanShare * error
      estimate.deviationMs += deviationShare * (Math.abs(error) - estimate.deviationMs)
    } else estimate.beats = 0
    estimate.lastMs = nowMs
    estimate.beats++
    if (estimate.beats % beatsPerFall === 0) estimate.falls = Math.max(0, estimate.falls - 1)
  }

  /** What the member's state should be, given what is recorded. */
  judge(id: NodeId, recorded: Health, nowMs: number): Health {
    const estimate = this.#estimateOf(id)
    const silentMs = nowMs - estimate.lastMs
    const suspectMs = this.#suspectAfterMs(estimate)
    if (silentMs >= suspectMs) {
      const isOffline = recorded === 'offline' || silentMs >= suspectMs + this.#graceMs
      return isOffline ? 'offline' : 'suspect'
    }
    if (recorded === 'online') return recorded
    const least = recorded === 'offline' ? beatsFromOffline : 1
    return estimate.beats >= Math.max(least, estimate.falls) ? 'online' : recorded
  }

  /** The member's state was written as this. */
  noteFall(id: NodeId): void {
    const estimate = this.#estimateOf(id)
    estimate.falls = Math.min(fallsMax, estimate.falls + 1)
  }

  /** The watcher stood still for so long: nobody is the more silent for it. */
  excuse(ms: number): void {
    this.#sinceMs += ms
    for (const estimate of this.#estimates.values()) estimate.lastMs += ms
  }

  /** Whether it has beaten since the watch began. */
  isHeard(id: NodeId): boolean {
    return this.#estimateOf(id).beats > 0
  }

  silentMs(id: NodeId, nowMs: number): number {
    return nowMs - this.#estimateOf(id).lastMs
  }

  suspectAfterMs(id: NodeId): number {
    return this.#suspectAfterMs(this.#estimateOf(id))
  }

  /** How sure it is that the member is gone: -log10 of the share of gaps that are longer than this silence. For people. */
  phi(id: NodeId, nowMs: number): number {
    const { lastMs, meanMs, deviationMs } = this.#estimateOf(id)
    const spread = 1.25 * Math.max(deviationMs, meanMs / 20)
    const y = (nowMs - lastMs - meanMs) / spread
    // The logistic approximation of the normal distribution's tail (Bowling et al. 2009).
    const e = Math.exp(-y * (1.5976 + 0.070566 * y * y))
    const tail = y > 0 ? e / (1 + e) : 1 - 1 / (1 + e)
    return tail < 1e-99 ? 99 : -Math.log10(tail)
  }

  retain(ids: ReadonlySet<NodeId>): void {
    for (const id of this.#estimates.keys()) if (!ids.has(id)) this.#estimates.delete(id)
  }

  #suspectAfterMs({ meanMs, deviationMs }: Estimate): number {
    const doubtMs = Math.max(meanMs + deviations * deviationMs, gapsMin * meanMs)
    return Math.min(this.#capMs, Math.max(this.#floorMs, doubtMs))
  }

  #estimateOf(id: NodeId): Estimate {
    const known = this.#estimates.get(id)
    if (known !== undefined) return known
    const meanMs = this.#beatMs
    const lastMs = this.#sinceMs
    const estimate = { lastMs, beats: 0, meanMs, deviationMs: meanMs / 10, falls: 0 }
    this.#estimates.set(id, estimate)
    return estimate
  }
}

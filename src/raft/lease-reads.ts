// One group's lease (lease.ts) beside its core: when a round may give it, when it holds, what ends it.

import type { Host } from '../host/index.ts'
import type { RawNode, SnapshotMetadata } from './core/index.ts'
import { Lease, type LeaseBounds, type LeaseMoment } from './lease.ts'
import type { AskedRound } from './reads.ts'

export type LeaseReadsEnds = {
  readonly host: Host
  /** Undefined: no leases, ever. */
  readonly bounds: LeaseBounds | undefined
  readonly node: () => RawNode
  readonly applied: () => SnapshotMetadata
  readonly isLeader: () => boolean
  /** A change of members is on its way. */
  readonly isChanging: () => boolean
}

export class LeaseReads {
  readonly #ends: LeaseReadsEnds
  readonly #lease: Lease | undefined

  constructor(ends: LeaseReadsEnds) {
    this.#ends = ends
    this.#lease = ends.bounds === undefined ? undefined : new Lease(ends.bounds)
  }

  /**
   * The index that a reader must wait for, when no round is needed. The lease covers the configuration that it was
   * given under, and the commit index says everything only once an entry of this term is applied, and with it
   * every change of members before it.
   */
  index(): number | undefined {
    if (this.#lease === undefined || !this.#ends.isLeader()) return undefined
    const { hardState, softState, leadTransferee } = this.#ends.node().status()
    const { term, confState } = this.#ends.applied()
    if (softState.role !== 'leader' || leadTransferee !== 0) return undefined
    if (term !== hardState.term || confState.votersOutgoing.length > 0) return undefined
    if (this.#ends.isChanging() || !this.#lease.holds(term, this.#now())) return undefined
    return hardState.commit
  }

  /** What a round that is sent now proves once it is confirmed. */
  askedNow(): AskedRound | undefined {
    if (this.#lease === undefined || !this.#ends.isLeader()) return undefined
    return { term: this.#ends.node().status().hardState.term, at: this.#now() }
  }

  confirm({ term, at }: AskedRound): void {
    this.#lease?.confirm(term, at)
  }

  /** Only rounds that are asked from now on count. */
  end(): void {
    this.#lease?.end(this.#now().monotonicMs)
  }

  /** A candidate is about to stand within the promise. */
  bar(): void {
    if (this.#ends.isLeader()) this.#lease?.bar(this.#ends.node().status().hardState.term)
  }

  #now(): LeaseMoment {
    const { clock } = this.#ends.host
    return { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() }
  }
}

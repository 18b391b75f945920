// The replicas of one database held against each other where this node leads (law 7), soon after something was written.
// Replicas of one applied index that have different digests are told loudly, and shown in the status until a later
// comparison finds all of them equal.

import type { Host, Timer } from '../host/index.ts'
import type { SqlReplica } from './sql.ts'

/** A difference is told within this and the time that the members take to answer. */
const compareMs = 2000

export type ComparisonEnds = {
  readonly host: Host
  readonly name: string
  readonly self: number
  readonly isLeader: () => boolean
  /** Never rejects. */
  readonly replicas: () => Promise<readonly SqlReplica[]>
}

export class Comparison {
  readonly #ends: ComparisonEnds
  #timer: Timer | undefined
  #isClosed = false
  #differing: readonly number[] = []

  constructor(ends: ComparisonEnds) {
    this.#ends = ends
  }

  /** Members whose digest is not this node's at the same index. */
  get differing(): readonly number[] {
    return this.#differing
  }

  /** Something was written. */
  soon(): void {
    if (this.#timer !== undefined || this.#isClosed) return
    this.#timer = this.#ends.host.clock.after(compareMs, () => {
      this.#timer = undefined
      void this.#compare()
    })
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  async #compare(): Promise<void> {
    const { host, name, self, isLeader, replicas } = this.#ends
    if (!isLeader() || this.#isClosed) return
    const all = await replicas()
    const own = all.find(({ node }) => node === self)
    if (own === undefined || 'fault' in own) return
    // Of who stands elsewhere nothing is known: writes go on, and the next comparison follows the last of them.
    const comparable = all.filter((one) => 'digest' in one && one.applied === own.applied)
    const differing = comparable.filter((one) => 'digest' in one && one.digest !== own.digest)
    if (differing.length === 0 && comparable.length < all.length) return
    this.#differing = differing.map(({ node }) => node)
    if (differing.length === 0) return
    const nodes = this.#differing.join(', ')
    host.journal.event('error', 'sql.replicas_differ', { name, applied: own.applied, nodes })
  }
}

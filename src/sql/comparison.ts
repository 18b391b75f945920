// The replicas of one database held against each other where this node leads (law 7): soon after something was written, after
// an election, and again while something is wrong.
//
// All are asked for their digest behind one and the same entry, so that it does not matter how fast each applies. Whoever
// differs from a majority of the voters is told so, and stops until it has healed (healing.ts); the leader itself may be
// the one. Where voters differ and no majority agrees, nobody knows who is right, and writing stops.

import { type NodeId, toHex } from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import { judge, type Judgement } from '../keyspace/index.ts'

/** A difference is found within this and the time that the members take to answer. */
const compareMs = 2000
/** Who is away for longer is compared after the next write. */
const missesMax = 5

export type ComparisonEnds = {
  readonly host: Host
  readonly name: string
  readonly self: NodeId
  readonly isLeader: () => boolean
  readonly voters: () => readonly NodeId[]
  readonly learners: () => readonly NodeId[]
  /** Digests of all members that know theirs behind an entry that this node's file shows. Never rejects. */
  readonly collect: () => Promise<Collected | undefined>
  /** Tells one, this node perhaps, that most others had this digest. Never rejects. */
  readonly accuse: (node: NodeId, found: Accusation) => Promise<void>
}

export type Collected = {
  readonly index: number
  readonly digests: ReadonlyMap<NodeId, Uint8Array>
}

export type Accusation = { readonly index: number; readonly digest: Uint8Array }

export class Comparison {
  readonly #ends: ComparisonEnds
  #timer: Timer | undefined
  #isClosed = false
  #differing: readonly NodeId[] = []
  #isSplit = false
  /** Comparisons in a row in which somebody was missing. */
  #misses = 0

  constructor(ends: ComparisonEnds) {
    this.#ends = ends
  }

  /** Members whose digest is not that of most, as the last comparison that could tell has found. */
  get differing(): readonly NodeId[] {
    return this.#differing
  }

  /** Voters differ, and no majority agrees. */
  get isSplit(): boolean {
    return this.#isSplit
  }

  /** Something was written, or leadership came. */
  soon(): void {
    this.#misses = 0
    this.#later()
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }

  #later(): void {
    if (this.#timer !== undefined || this.#isClosed) return
    this.#timer = this.#ends.host.clock.after(compareMs, () => {
      this.#timer = undefined
      void this.#compare()
    })
  }

  async #compare(): Promise<void> {
    const { isLeader, collect, voters, learners } = this.#ends
    if (this.#isClosed || !isLeader()) return this.#forget()
    const collected = await collect()
    if (collected === undefined || !isLeader()) return
    const judgement = judge(collected.digests, voters())
    const isMissing = collected.digests.size < voters().length + learners().length
    this.#misses = isMissing ? this.#misses + 1 : 0
    // Who is found to differ, or stops the writing, does not wait for a write.
    const isWrong = this.#differing.length > 0
    if (isMissing && (isWrong || this.#misses < missesMax)) this.#later()
    if (judgement.kind === 'agreed') return this.#forget()
    if (judgement.kind === 'unknown') return
    await this.#found(collected, judgement)
    this.soon()
  }

  async #found({ index, digests }: Collected, judgement: Judgement): Promise<void> {
    const { host, name, accuse } = this.#ends
    this.#isSplit = judgement.kind === 'split'
    this.#differing = judgement.kind === 'verdict' ? judgement.wrong : [...digests.keys()]
    const nodes = this.#differing.join(', ')
    const event = this.#isSplit ? 'sql.replicas_split' : 'sql.replicas_differ'
    host.journal.event('error', event, { name, index, nodes })
    if (judgement.kind !== 'verdict') return
    const { digest, wrong } = judgement
    host.journal.event('notice', 'sql.majority', { name, index, digest: toHex(digest) })
    await Promise.all(wrong.map((node) => accuse(node, { index, digest })))
  }

  #forget(): void {
    this.#isSplit = false
    this.#differing = []
  }
}

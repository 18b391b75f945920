// Knows everything that any replica has ever claimed, and refuses what Raft rules out (Ongaro's thesis, figure 3.2, and
// what etcd's TLA+ specification checks): one leader per term, one vote per node and term, equal (index, term) means
// equal logs before it, a leader holds what was committed, what is committed is durable on a quorum and stays
// as it is, every replica applies the same, and a read sees all that was acknowledged before it was asked.

import { crc32c, type Random } from '../../src/base/index.ts'
import type { ConfState, Entry } from '../../src/raft/core/index.ts'
import { WorldFailure } from '../failures.ts'

type Known = { readonly entry: Entry; readonly termBefore: number | undefined }

/** Terms of a run stay below: (index, term) is one number. */
const termsMax = 2 ** 20

export class Oracle {
  readonly #count: (kind: string) => void
  readonly #leaders = new Map<number, number>()
  readonly #votes = new Map<number, number>()
  readonly #known = new Map<number, Known>()
  readonly #committed: (Entry | undefined)[] = []
  readonly #chain: number[] = []
  #commitMax: number
  #acknowledgedMax: number

  /** Everybody's log begins after this entry. */
  constructor(first: number, count: (kind: string) => void) {
    this.#count = count
    this.#commitMax = first
    this.#acknowledgedMax = first
    this.#chain[first] = 0
  }

  get commitMax(): number {
    return this.#commitMax
  }

  /** What a read that is asked now must see. */
  get acknowledgedMax(): number {
    return this.#acknowledgedMax
  }

  acknowledged(entry: Entry): void {
    this.#mustBeCommitted(entry)
    this.#acknowledgedMax = Math.max(this.#acknowledgedMax, entry.index)
    this.#count('writes acknowledged')
  }

  voted(node: number, term: number, candidate: number): void {
    const id = term * 1_024 + node
    const before = this.#votes.get(id)
    if (before !== undefined && before !== candidate) {
      fail(`node ${node} votes for ${candidate} in term ${term}, and has voted for ${before}`)
    }
    this.#votes.set(id, candidate)
  }

  /** `termAt`: of the leader's own log, undefined below its cut. */
  elected(node: number, term: number, termAt: (index: number) => number | undefined): void {
    const before = this.#leaders.get(term)
    if (before === node) fail(`node ${node} leads in term ${term} a second time`)
    if (before !== undefined) fail(`nodes ${before} and ${node} lead in term ${term}`)
    this.#leaders.set(term, node)
    this.#count('elections')
    for (let index = this.#commitMax; index > 0; index--) {
      const committed = this.#committed[index]
      const own = termAt(index)
      if (own === undefined && committed === undefined) return
      if (committed === undefined || committed.term > term) continue
      if (own === undefined && index === this.#commitMax) {
        fail(`node ${node} leads term ${term} without the committed entry ${index}`)
      }
      if (own === undefined) return
      if (own !== committed.term) {
        fail(
          `node ${node} leads term ${term}, entry ${index} was committed in term ${committed.term} and is of term ${own} there`,
        )
      }
    }
  }

  /** An entry in a log, written or about to be. */
  appended(node: number, entry: Entry, termBefore: number | undefined): void {
    const id = entry.index * termsMax + entry.term
    const known = this.#known.get(id)
    if (known === undefined) {
      this.#known.set(id, { entry, termBefore })
      return
    }
    if (!isSame(known.entry, entry)) {
      fail(`node ${node} has another entry ${entry.index} of term ${entry.term} than others`)
    }
    if (
      termBefore !== undefined &&
      known.termBefore !== undefined &&
      termBefore !== known.termBefore
    ) {
      fail(
        `before entry ${entry.index} of term ${entry.term} node ${node} has term ${termBefore}, others ${known.termBefore}`,
      )
    }
  }

  committed(node: number, entry: Entry): void {
    const known = this.#committed[entry.index]
    if (known === undefined) {
      this.#committed[entry.index] = entry
      this.#commitMax = Math.max(this.#commitMax, entry.index)
    } else if (!isSame(known, entry)) {
      fail(
        `node ${node} commits another entry ${entry.index}: term ${entry.term}, was ${known.term}`,
      )
    }
  }

  /** The sum over everything applied, `entry` included. */
  applied(node: number, entry: Entry, before: number): number {
    this.#mustBeCommitted(entry)
    const sum = crc32c(entry.payload, before ^ entry.term)
    const known = this.#chain[entry.index]
    if (known === undefined) this.#chain[entry.index] = sum
    else if (known !== sum) fail(`node ${node} has another state at entry ${entry.index}`)
    return sum
  }

  /** A state that came as a snapshot. */
  installed(node: number, index: number, sum: number): void {
    if (this.#chain[index] !== sum) fail(`node ${node} installs another state of entry ${index}`)
    this.#count('snapshots installed')
  }

  read(node: number, index: number, floor: number): void {
    if (index < floor) fail(`node ${node} reads at ${index}, and ${floor} was acknowledged before`)
    this.#count('reads')
  }

  #mustBeCommitted(entry: Entry): void {
    const known = this.#committed[entry.index]
    if (known === undefined || !isSame(known, entry)) {
      fail(`entry ${entry.index} of term ${entry.term} is not what was committed there`)
    }
  }
}

/** Whether more than half of each set of voters holds. */
export function quorumHolds(confState: ConfState, holds: (id: number) => boolean): boolean {
  const isMajority = (ids: readonly number[]): boolean => {
    return ids.length === 0 || ids.filter(holds).length * 2 > ids.length
  }
  return isMajority(confState.voters) && isMajority(confState.votersOutgoing)
}

export function fail(what: string): never {
  throw new WorldFailure(what)
}

export function pick<T>(from: readonly T[], random: Random): T {
  return from[random.integer(from.length)] as T
}

function isSame(a: Entry, b: Entry): boolean {
  if (a === b) return true
  if (a.term !== b.term || a.kind !== b.kind || a.payload.length !== b.payload.length) return false
  for (let at = 0; at < a.payload.length; at++) if (a.payload[at] !== b.payload[at]) return false
  return true
}

// Placement: which members should hold the shards of a chunk.
//
// Weighted rendezvous hashing: each pair of chunk and member has a draw that everybody computes alike; weighed
// by capacity it is a distance (remoteness.ts), and the nearest are chosen. A member that leaves moves only what
// it held, one that comes takes its share from all others. Labels: walking from the nearest, a member is passed
// over when the places that would be left after it were too few for the label values still missing. Such sets
// form a matroid (for one label, and for nested ones), so this greedy walk has the best possible answer, and one
// member more or less exchanges at most one holder of a chunk.
//
// Every member is drawn for, which is cheap; what costs is sorting. So each has a floor, made so that a few reach theirs,
// and only those are looked at (docs/decisions/0011).
//
// Invariants: the answer depends on chunk, member ids, states, capacities, labels, rule and `isUp` alone, never on the
// order of the list or on the floors; no member is chosen twice; members that are up come before the others. The
// choice is not a lookup: the chunk table records who holds what.

import type { NodeId } from '../../base/index.ts'
import type { Member, PlacementOptions, PlacementRule } from '../cluster.ts'
import { leastDrawWithin, remotenessOf, weightsOf } from './remoteness.ts'

/** Members in these states are given new shards. */
export function mayHoldData(member: Member): boolean {
  return member.state !== 'unpaired' && member.state !== 'pending' && member.state !== 'removed'
}

/** Fewer than `count` when there are fewer members that may hold data; draining ones come last. */
export function chooseHolders(
  chunk: Uint8Array,
  members: readonly Member[],
  options: PlacementOptions,
): readonly NodeId[] {
  return new PlacementTable(members, options.rule).choose(chunk, options)
}

export type ChoiceOptions = Omit<PlacementOptions, 'rule'>

/** Why a member has its place in a choice. */
export type Verdict = {
  readonly id: NodeId
  /** 1: the nearest of all that may hold data. */
  readonly rank: number
  readonly weight: number
  /** In units that mean nothing but their order and ratio; smaller is nearer. */
  readonly distance: number
  readonly verdict: 'chosen' | 'held' | 'crowded' | 'far' | 'down' | 'draining'
  /** Place in the choice, from 1; 0: not chosen. */
  readonly place: number
  /** Of 'crowded': labels whose missing values needed the places that were left. */
  readonly labels: readonly string[]
}

type Label = {
  readonly name: string
  readonly wanted: number
  /** Number of the value, by member. */
  readonly values: Int32Array
}

/** Draws from which a member is looked at: `coarse` has no lower half, `exact` decides. */
type Floors = { readonly coarse: Uint32Array; readonly exact: Uint32Array }

const nobody: readonly NodeId[] = []
/** So many reach their floor on average; with too few of them everybody is looked at. */
const reachingOf = (count: number): number => 8 + 2 * count
const floorsMax = 16

/** Made once for a member list and a rule; then any number of choices. */
export class PlacementTable {
  readonly #members: readonly Member[]
  readonly #weights: Float64Array
  readonly #seeds: Uint32Array
  /** The seeds after the first step of scramble(), which is linear: that of the sum is the sum of theirs. */
  readonly #steppedSeeds: Int32Array
  readonly #labels: readonly Label[]
  readonly #places = new Map<NodeId, number>()
  /** By how many are to be chosen: the draws from which members are looked at. */
  readonly #floors = new Map<number, Floors>()
  /** Of the choice under way: who is looked at, and by place in the list, draw and remoteness. */
  readonly #near: Int32Array
  readonly #draws: Uint32Array
  readonly #remote: Float64Array
  /** remote / weight, rounded: who is nearer by it is nearer, who is equal by it may not be. */
  readonly #distances: Float64Array
  #seedHigh = 0
  #seedLow = 0

  constructor(members: readonly Member[], rule: PlacementRule | undefined) {
    const holding = members.filter(mayHoldData)
    this.#members = holding
    const isEqual = rule?.weights === 'equal'
    const capacities = holding.map(({ capacityBytes }) => (isEqual ? 0 : capacityBytes))
    this.#weights = Float64Array.from(weightsOf(capacities))
    this.#seeds = Uint32Array.from(holding, (member) => scramble(placeOf(member)))
    this.#steppedSeeds = Int32Array.from(this.#seeds, firstStep)
    this.#labels = labelsOf(holding, rule?.minDistinct ?? {})
    for (const [at, { id }] of holding.entries()) this.#places.set(id, at)
    this.#near = new Int32Array(holding.length)
    this.#draws = new Uint32Array(holding.length)
    this.#remote = new Float64Array(holding.length)
    this.#distances = new Float64Array(holding.length)
  }

  choose(chunk: Uint8Array, options: ChoiceOptions): readonly NodeId[] {
    const { count } = options
    this.#mix(chunk)
    if (count < this.#members.length) {
      const walk = this.#startWalk(options)
      this.#walkNearest(walk, this.#reach(this.#floorsFor(count)), options.isUp)
      if (walk.isFull) return this.#idsOf(walk.chosen)
    }
    const walk = this.#startWalk(options)
    this.#walkAll(walk, this.#sortAll(), options.isUp)
    return this.#idsOf(walk.chosen)
  }

  /** Every member that may hold data, nearest first, with the reason for its place. */
  explain(chunk: Uint8Array, options: ChoiceOptions): readonly Verdict[] {
    const walk = this.#startWalk(options)
    this.#mix(chunk)
    const all = this.#sortAll()
    walk.explains = true
    this.#walkAll(walk, all, options.isUp)
    return [...all].map((at, rank): Verdict => {
      const { id } = this.#memberAt(at)
      const weight = this.#weights[at] as number
      const distance = Math.round((this.#distances[at] as number) * 1000) / 1000
      const place = walk.chosen.indexOf(at) + 1
      const labels = place > 0 ? [] : walk.crowdedBy(at)
      const why = labels.length > 0 ? 'crowded' : 'far'
      const verdict = place > 0 ? 'chosen' : (this.#absence(at, walk, options.isUp) ?? why)
      return { id, rank: rank + 1, weight, distance, place, verdict, labels }
    })
  }

  #absence(
    at: number,
    { held }: Walk,
    isUp: (id: NodeId) => boolean,
  ): 'held' | 'down' | 'draining' | undefined {
    const { state, id } = this.#memberAt(at)
    if (held.includes(at)) return 'held'
    if (state === 'draining') return 'draining'
    return isUp(id) ? undefined : 'down'
  }

  /** Two independent 32-bit sums over the whole id (FNV-1a with two offsets, then scrambled). */
  #mix(chunk: Uint8Array): void {
    let high = 0x811c9dc5
    let low = 0x1b873593
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] as number
      high = Math.imul(high ^ byte, 0x01000193)
      low = Math.imul(low ^ byte, 0x85ebca6b)
    }
    this.#seedHigh = scramble(high)
    this.#seedLow = scramble(low)
  }

  #startWalk({ count, held = nobody, shards }: ChoiceOptions): Walk {
    const places =
      held.length === 0 ? noPlaces : held.flatMap((id) => this.#places.get(id) ?? noPlaces)
    return new Walk(this.#labels, { count, held: places, shards: shards ?? count + places.length })
  }

  /** Of the first `end` in #near those that are up, nearest first, until the walk is full. */
  #walkNearest(walk: Walk, end: number, isUp: (id: NodeId) => boolean): void {
    const near = this.#near
    const distances = this.#distances
    // By repeated search: a few are wanted of a few more.
    for (let left = end; left > 0 && !walk.isFull; left--) {
      let best = 0
      let bestDistance = distances[near[0] as number] as number
      for (let i = 1; i < left; i++) {
        const distance = distances[near[i] as number] as number
        if (distance > bestDistance) continue
        if (this.#compare(near[i] as number, near[best] as number) > 0) continue
        best = i
        bestDistance = distance
      }
      const at = near[best] as number
      near[best] = near[left - 1] as number
      if (this.#isWilling(at, isUp)) walk.maybeTake(at)
    }
  }

  #walkAll(walk: Walk, sorted: Int32Array, isUp: (id: NodeId) => boolean): void {
    const willing = sorted.filter((at) => this.#isWilling(at, isUp))
    const others = sorted.filter((at) => !this.#isWilling(at, isUp))
    for (const part of [willing, others]) {
      for (const at of part) if (!walk.isFull) walk.maybeTake(at)
      // Too few label values among them: durability comes before spread.
      while (!walk.isFull && walk.takeAnyOf(part));
    }
  }

  #isWilling(at: number, isUp: (id: NodeId) => boolean): boolean {
    const { state, id } = this.#memberAt(at)
    return state !== 'draining' && isUp(id)
  }

  /**
   * Puts those whose draw reaches their floor into #near, answers how many. Four at a time, so that four chains of
   * multiplications overlap; and without the last step of scramble(), which changes the lower half of a draw only.
   */
  #reach({ coarse: floors, exact }: Floors): number {
    const seeds = this.#steppedSeeds
    const near = this.#near
    const stepped = firstStep(this.#seedHigh)
    const whole = seeds.length - (seeds.length % 4)
    let count = 0
    for (let at = 0; at < whole; at += 4) {
      let a = Math.imul(stepped ^ (seeds[at] as number), 0x85ebca6b)
      let b = Math.imul(stepped ^ (seeds[at + 1] as number), 0x85ebca6b)
      let c = Math.imul(stepped ^ (seeds[at + 2] as number), 0x85ebca6b)
      let d = Math.imul(stepped ^ (seeds[at + 3] as number), 0x85ebca6b)
      a = Math.imul(a ^ (a >>> 13), 0xc2b2ae35)
      b = Math.imul(b ^ (b >>> 13), 0xc2b2ae35)
      c = Math.imul(c ^ (c >>> 13), 0xc2b2ae35)
      d = Math.imul(d ^ (d >>> 13), 0xc2b2ae35)
      if (a >>> 0 >= (floors[at] as number)) near[count++] = at
      if (b >>> 0 >= (floors[at + 1] as number)) near[count++] = at + 1
      if (c >>> 0 >= (floors[at + 2] as number)) near[count++] = at + 2
      if (d >>> 0 >= (floors[at + 3] as number)) near[count++] = at + 3
    }
    for (let at = whole; at < seeds.length; at++) near[count++] = at
    let reached = 0
    for (let i = 0; i < count; i++) {
      const at = near[i] as number
      this.#draw(at)
      if ((this.#draws[at] as number) >= (exact[at] as number)) near[reached++] = at
    }
    return reached
  }

  #sortAll(): Int32Array {
    for (let at = 0; at < this.#members.length; at++) this.#draw(at)
    return Int32Array.from(this.#members, (_, at) => at).sort((a, b) => this.#compare(a, b))
  }

  #draw(at: number): void {
    const draw = scramble(this.#seedHigh ^ (this.#seeds[at] as number))
    const remoteness = remotenessOf(draw)
    this.#draws[at] = draw
    this.#remote[at] = remoteness
    this.#distances[at] = remoteness / (this.#weights[at] as number)
  }

  #compare(a: number, b: number): number {
    const weights = this.#weights
    const apart =
      (this.#remote[a] as number) * (weights[b] as number) -
      (this.#remote[b] as number) * (weights[a] as number)
    if (apart !== 0) return apart
    const draws = (this.#draws[b] as number) - (this.#draws[a] as number)
    if (draws !== 0) return draws
    const first = this.#memberAt(a)
    const second = this.#memberAt(b)
    return this.#lowDraw(second) - this.#lowDraw(first) || first.id - second.id
  }

  #lowDraw(member: Member): number {
    return scramble(this.#seedLow ^ scramble(placeOf(member) + 0x9e3779b9))
  }

  /**
   * The draws within one distance, the same for all: so who is reached is nearer than who is not. The distance
   * itself may be any.
   */
  #floorsFor(count: number): Floors {
    const known = this.#floors.get(count)
    if (known !== undefined) return known
    const total = this.#weights.reduce((sum, weight) => sum + weight, 0)
    const isAll = reachingOf(count) * 2 >= this.#members.length
    const distance = isAll ? 2 ** 32 : (reachingOf(count) * remotenessPerShare) / total
    const scaled = BigInt(Math.ceil(distance * 2 ** 20))
    const exact = Uint32Array.from(this.#weights, (weight) => {
      const within = Number((BigInt(weight) * scaled) >> 20n)
      return Math.min(leastDrawWithin(within), 0xffffffff)
    })
    const floors = { exact, coarse: exact.map((draw) => draw & 0xffff0000) }
    if (this.#floors.size >= floorsMax) this.#floors.clear()
    this.#floors.set(count, floors)
    return floors
  }

  #memberAt(at: number): Member {
    return this.#members[at] as Member
  }

  #idsOf(chosen: readonly number[]): readonly NodeId[] {
    return chosen.map((at) => this.#memberAt(at).id)
  }
}

const noPlaces: readonly number[] = []
/** A member alone is within this times x of weight 1 with a probability of x, for small x: 2^26 / ln 2. */
const remotenessPerShare = 96_817_625

/** One choice under way: who is taken, and which label values are still missing. */
class Walk {
  readonly chosen: number[] = []
  readonly held: readonly number[]
  /** Whether to remember who was passed over for what. */
  explains = false
  #passedOver: Map<number, readonly string[]> | undefined
  readonly #labels: readonly Label[]
  readonly #count: number
  readonly #shards: number
  readonly #missing: number[]

  constructor(
    labels: readonly Label[],
    sizes: { readonly count: number; readonly held: readonly number[]; readonly shards: number },
  ) {
    this.held = sizes.held
    this.#labels = labels
    this.#count = sizes.count
    this.#shards = sizes.shards
    this.#missing = labels.map(({ wanted, values }) => {
      const seen = sizes.held.length === 0 ? 0 : new Set(sizes.held.map((at) => values[at])).size
      return Math.max(0, Math.min(wanted, sizes.shards) - seen)
    })
  }

  /** The labels that it was passed over for. */
  crowdedBy(at: number): readonly string[] {
    return this.#passedOver?.get(at) ?? []
  }

  get isFull(): boolean {
    return this.chosen.length >= this.#count
  }

  /** Takes it unless that would leave too few places for the values that are missing. */
  maybeTake(at: number): void {
    if (this.held.includes(at) || this.chosen.includes(at)) return
    const left = this.#left - 1
    for (let i = 0; left >= 0 && i < this.#labels.length; i++) {
      const missing = this.#missing[i] as number
      if (missing <= left || this.#isNew(this.#labels[i] as Label, at)) continue
      if (this.explains) this.#passOver(at)
      return
    }
    this.#take(at)
  }

  /** The one that brings most of what is missing, the nearest of such; false when there is none left. */
  takeAnyOf(part: Int32Array): boolean {
    let best: number | undefined
    let bestGain = -1
    for (const at of part) {
      if (this.held.includes(at) || this.chosen.includes(at)) continue
      let gain = 0
      for (const [i, label] of this.#labels.entries()) {
        if ((this.#missing[i] as number) > 0 && this.#isNew(label, at)) gain++
      }
      if (gain <= bestGain) continue
      best = at
      bestGain = gain
    }
    if (best === undefined) return false
    this.#take(best)
    return true
  }

  /** Places that labels are counted over and that are still free. */
  get #left(): number {
    return this.#shards - this.held.length - this.chosen.length
  }

  #take(at: number): void {
    for (let i = 0; i < this.#labels.length; i++) {
      const missing = this.#missing[i] as number
      if (missing > 0 && this.#isNew(this.#labels[i] as Label, at)) this.#missing[i] = missing - 1
    }
    this.chosen.push(at)
  }

  #passOver(at: number): void {
    const short = this.#labels.filter((label, i) => {
      return (this.#missing[i] as number) > this.#left - 1 && !this.#isNew(label, at)
    })
    this.#passedOver ??= new Map()
    this.#passedOver.set(
      at,
      short.map(({ name }) => name),
    )
  }

  #isNew({ values }: Label, at: number): boolean {
    const value = values[at]
    for (const taken of this.chosen) if (values[taken] === value) return false
    for (const taken of this.held) if (values[taken] === value) return false
    return true
  }
}

/** Labels that ask for two values and more, in order of name. No more are asked for than there are. */
function labelsOf(
  members: readonly Member[],
  minDistinct: Readonly<Record<string, number>>,
): readonly Label[] {
  const asked = Object.entries(minDistinct).filter(([, least]) => least > 1)
  return asked
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, least]) => {
      const numbers = new Map<string, number>()
      const values = Int32Array.from(members, ({ labels }) => {
        const value = labels[name] ?? ''
        const number = numbers.get(value) ?? numbers.size
        numbers.set(value, number)
        return number
      })
      return { name, wanted: Math.min(least, numbers.size), values }
    })
}

function placeOf(member: Member): NodeId {
  return member.place ?? member.id
}

function firstStep(value: number): number {
  return value ^ (value >>> 16)
}

/** Murmur3's finaliser: every bit of the input reaches every bit of the output. Unsigned. */
function scramble(value: number): number {
  let mixed = value | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

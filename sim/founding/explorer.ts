// Every behaviour of the ballots core at a small scope. A world is a state per node and the set of all
// messages ever sent: any of them may arrive now, again, later or never, which is loss, duplication and
// reordering at once. A node may begin a ballot for any founders of the right number (its view of who is
// there is arbitrary), and may crash at any moment and at every write of its record: before it is durable,
// or after it and before anything of that step was sent.
//
// Answers that a proposer only gathers are taken together with the one that makes it act.
//
// Left out because they can never change anything again, whatever else happens: messages without effect
// (without-effect.ts), and the highest round that a node has seen once it cannot begin a ballot any more.
// Nodes that never propose are interchangeable (the core compares ids of proposers only), so worlds that differ
// by a renaming of those are one world.
//
// Held in every world: at most one genesis is decided; each founder of a decided genesis holds it durably as
// accepted; a ballot carries one genesis. Held of every step: what is decided stays.

import { nodeId } from '../../src/base/index.ts'
import {
  type BallotRules,
  type BallotState,
  type BallotStep,
  beginBallot,
  type Founder,
  type FoundingRecord,
  newRecord,
  takeBallotMessage,
} from '../../src/founding/index.ts'
import { WorldFailure } from '../failures.ts'
import {
  idOf,
  Interned,
  keyOf,
  namespace,
  type NodeState,
  nodeOf,
  parameters,
  rename,
  type Sent,
} from './interned.ts'
import { noPlant, type Plant } from './plants.ts'
import { Seen } from './seen.ts'
import { isAnswer, isRepeatWithoutEffect, isWithoutEffect } from './without-effect.ts'

export type Scope = {
  readonly nodes: number
  /** Founders of a genesis. */
  readonly size: number
  /** Ballots begun in all, by any of the first `ballots` nodes: only the order of proposers' ids counts. */
  readonly ballots: number
  readonly crashes: number
  /** Nodes with a higher number only join. Default: all may found. */
  readonly eligible?: number
  readonly plant?: Plant
  /** Without any of the reductions, to show that they change nothing but the number of states. */
  readonly isPlain?: boolean
  /** Fails when there are more. */
  readonly statesMax?: number
}

export type Explored = {
  readonly states: number
  readonly steps: number
  /** Different combinations of what the nodes hold durably; renamed ones count as one. */
  readonly outcomes: number
  /** Worlds in which a genesis is decided. */
  readonly decided: number
  /** Sampled worlds from which a run without faults was seen to decide. */
  readonly completed: number
  /** What broke, and the way there. */
  readonly violation: string | undefined
}

/** Nodes' states, then messages, then what is left of ballots and crashes. */
type World = {
  readonly nodes: readonly number[]
  readonly messages: readonly number[]
  readonly ballots: number
  readonly crashes: number
}
type Move = { readonly world: World; readonly what: () => string }

/** The numbers of worlds between two that are run to their end without faults. */
const completeEvery = 97
const statesMaxDefault = 200_000_000

export function explore(scope: Scope): Explored {
  return new Explorer(scope).run()
}

class Explorer {
  readonly #scope: Scope
  readonly #plant: Plant
  readonly #states = new Interned<NodeState>(keyOf)
  readonly #sent = new Interned<Sent>(keyOf)
  readonly #steps = new Map<number, Taken>()
  readonly #dead = new Map<number, boolean>()
  readonly #founderSets: readonly (readonly Founder[])[]
  readonly #renamings: readonly Renaming[]
  readonly #seen = new Seen()
  readonly #code = new Int32Array(1_024)
  readonly #bestCode = new Int32Array(1_024)
  readonly #settled = new Map<number, number>()
  readonly #outcomes = new Set<string>()
  readonly #records = new Interned<FoundingRecord>(keyOf)
  readonly #isPlain: boolean
  #stepCount = 0
  #decided = 0
  #completed = 0

  constructor(scope: Scope) {
    this.#scope = scope
    this.#plant = scope.plant ?? noPlant
    const eligible = this.#plant.joinersFound ? scope.nodes : (scope.eligible ?? scope.nodes)
    const all = Array.from({ length: eligible }, (_, i) => ({
      id: idOf(i + 1),
      node: nodeId(i + 1),
    }))
    this.#founderSets = subsets(all, scope.size)
    const proposers = Math.min(scope.ballots, eligible)
    this.#isPlain = scope.isPlain === true
    this.#renamings = permutations(proposers + 1, eligible).map((to) => ({
      to,
      states: new Map(),
      messages: new Map(),
    }))
  }

  /** Depth first; a world is checked when it is first seen. */
  run(): Explored {
    const first = this.#firstWorld()
    const path: { readonly moves: readonly Move[]; next: number }[] = []
    let violation = this.#visit(first)
    if (violation === undefined) path.push({ moves: this.#moves(first), next: 0 })
    const statesMax = this.#scope.statesMax ?? statesMaxDefault
    while (path.length > 0 && violation === undefined) {
      const top = path[path.length - 1] as (typeof path)[number]
      const move = top.moves[top.next++]
      if (move === undefined) {
        path.pop()
        continue
      }
      this.#stepCount++
      if (!this.#isNew(move.world)) continue
      if (this.#seen.size > statesMax) throw new WorldFailure(`more than ${statesMax} states`)
      violation = this.#visit(move.world)
      path.push({ moves: violation === undefined ? this.#moves(move.world) : [], next: 0 })
    }
    return {
      states: this.#seen.size,
      steps: this.#stepCount,
      outcomes: this.#outcomes.size,
      decided: this.#decided,
      completed: this.#completed,
      violation: violation === undefined ? undefined : `${violation}\n${tell(path)}`,
    }
  }

  #firstWorld(): World {
    const nodes = Array.from({ length: this.#scope.nodes }, (_, i) => {
      const record = newRecord(namespace, idOf(i + 1), nodeId(i + 1))
      return this.#states.number({ live: restart(record), durable: record })
    })
    const { ballots, crashes } = this.#scope
    const world = { nodes, messages: [], ballots, crashes }
    this.#isNew(world)
    return world
  }

  // ---- moves ----

  #moves(world: World): readonly Move[] {
    const moves: Move[] = []
    for (const [at, state] of world.nodes.entries()) {
      const node = at + 1
      if (world.ballots > 0 && node <= this.#scope.ballots && this.#mayFound(node)) {
        this.#addBallots(moves, world, node)
      }
      if (world.crashes > 0) this.#addCrash(moves, world, { node, state })
    }
    const answers: number[][] = world.nodes.map(() => [])
    for (const number of world.messages) {
      const { to, message } = this.#sent.value(number)
      if (isAnswer(message) && !this.#isPlain) answers[to - 1]?.push(number)
      else this.#addDelivery(moves, world, { number, state: world.nodes[to - 1] as number })
    }
    for (const [at, numbers] of answers.entries()) {
      if (numbers.length > 0) this.#addAnswers(moves, world, { node: at + 1, numbers })
    }
    return moves
  }

  /**
   * Answers to a ballot, in every order, up to the first that does more than add to what the proposer has
   * gathered: the steps before it are nobody else's to see, and whatever could come between them and it
   * either does not touch the proposer or ends its ballot.
   */
  #addAnswers(
    moves: Move[],
    world: World,
    { node, numbers }: { readonly node: number; readonly numbers: readonly number[] },
  ): void {
    const first = world.nodes[node - 1] as number
    const reached = new Set([first])
    for (const state of reached) {
      const { live } = this.#states.value(state)
      for (const number of numbers) {
        const taken = this.#take(state, number)
        if (taken.state === state) continue
        const after = this.#states.value(taken.state).live
        const isGathering =
          taken.sends.length === 0 &&
          !taken.isWritten &&
          after.proposal !== undefined &&
          after.roundSeen === live.roundSeen
        if (isGathering) reached.add(taken.state)
        else this.#addDelivery(moves, world, { number, state })
      }
    }
  }

  #addBallots(moves: Move[], world: World, node: number): void {
    const { live } = this.#states.value(world.nodes[node - 1] as number)
    if (live.record.cluster !== undefined) return
    for (const [at, wanted] of this.#founderSets.entries()) {
      if (!wanted.some((founder) => founder.node === node)) continue
      const taken = this.#cached(world.nodes[node - 1] as number, -1 - at, () =>
        beginBallot(live, this.#rules(node), { wanted, parameters }),
      )
      const names = wanted.map((founder) => founder.node).join(',')
      const after = { ...world, ballots: world.ballots - 1 }
      this.#addOutcomes(moves, after, { node, taken, what: () => `${node} begins for {${names}}` })
    }
  }

  #addDelivery(
    moves: Move[],
    world: World,
    { number, state }: { readonly number: number; readonly state: number },
  ): void {
    const sent = this.#sent.value(number)
    const taken = this.#take(state, number)
    this.#addOutcomes(moves, world, { node: sent.to, taken, what: () => describe(sent) })
  }

  #take(state: number, number: number): Taken {
    const { to, from, message } = this.#sent.value(number)
    return this.#cached(state, number, () =>
      takeBallotMessage(this.#states.value(state).live, this.#rules(to), {
        from: idOf(from),
        message,
      }),
    )
  }

  /** The step done; or, where it wrote, a crash before the write was durable, or after it and unsent. */
  #addOutcomes(
    moves: Move[],
    world: World,
    step: { readonly node: number; readonly taken: Taken; readonly what: () => string },
  ): void {
    const { node, taken, what } = step
    moves.push({ world: this.#after(world, node, taken.state, taken.sends), what })
    if (!taken.isWritten || world.crashes === 0) return
    const crashed = { ...world, crashes: world.crashes - 1 }
    moves.push({
      world: this.#after(crashed, node, taken.unwritten, []),
      what: () => `${what()}, and crashes before its write`,
    })
    moves.push({
      world: this.#after(crashed, node, taken.restarted, []),
      what: () => `${what()}, and crashes after its write`,
    })
  }

  #addCrash(
    moves: Move[],
    world: World,
    { node, state }: { readonly node: number; readonly state: number },
  ): void {
    const { durable } = this.#states.value(state)
    const restarted = this.#states.number({ live: restart(durable), durable })
    if (restarted === state) return
    const crashed = { ...world, crashes: world.crashes - 1 }
    moves.push({
      world: this.#after(crashed, node, restarted, []),
      what: () => `${node} crashes`,
    })
  }

  #after(world: World, node: number, state: number, sends: readonly number[]): World {
    if (this.#isPlain) {
      const messages = [...new Set([...world.messages, ...sends])].sort((a, b) => a - b)
      return { ...world, nodes: world.nodes.with(node - 1, state), messages }
    }
    const isLast = world.ballots === 0
    // When the last ballot began, the rounds that any node has seen ended to matter.
    const nodes = isLast
      ? world.nodes.map((other, at) => this.#settle(at === node - 1 ? state : other))
      : world.nodes.with(node - 1, node > this.#scope.ballots ? this.#settle(state) : state)
    const messages: number[] = []
    for (const number of world.messages) {
      if (!this.#isDead(nodes, number, isLast)) messages.push(number)
    }
    for (const number of sends) {
      if (!messages.includes(number) && !this.#isDead(nodes, number, isLast)) messages.push(number)
    }
    return { ...world, nodes, messages: messages.sort((a, b) => a - b) }
  }

  /** The state without what only a further ballot of this node would ask for. */
  #settle(state: number): number {
    const known = this.#settled.get(state)
    if (known !== undefined) return known
    const { live, durable } = this.#states.value(state)
    const roundSeen = live.record.promised.round
    const settled = this.#states.number({ live: { ...live, roundSeen }, durable })
    this.#settled.set(state, settled)
    return settled
  }

  #cached(state: number, input: number, step: () => BallotStep): Taken {
    const key = state * 0x20_0000 + input + 0x1_0000
    const known = this.#steps.get(key)
    if (known !== undefined) return known
    const before = this.#states.value(state)
    const raw = step()
    const { state: live, sends } = this.#plant.afterStep(raw, this.#scope.size)
    const isWritten = keyOf(live.record) !== keyOf(before.live.record)
    const isSynced = !isWritten || this.#plant.isSynced(before.live, { state: live, sends })
    const durable = isSynced && isWritten ? live.record : before.durable
    const from = nodeOf(live.record.id)
    const taken: Taken = {
      state: this.#states.number({ live, durable }),
      sends: sends.map(({ to, message }) => this.#sent.number({ from, to: nodeOf(to), message })),
      isWritten,
      unwritten: this.#states.number({ live: restart(before.durable), durable: before.durable }),
      restarted: this.#states.number({ live: restart(durable), durable }),
    }
    const { cluster } = before.live.record
    if (cluster !== undefined && live.record.cluster?.genesis !== cluster.genesis) {
      throw new WorldFailure(`node ${from} left the cluster that was decided`)
    }
    this.#steps.set(key, taken)
    return taken
  }

  /** A message that can never again change anything. */
  #isDead(nodes: readonly number[], number: number, isLast: boolean): boolean {
    const sent = this.#sent.value(number)
    const to = nodes[sent.to - 1] as number
    const from = nodes[sent.from - 1] as number
    const key = (to * 0x20_0000 + number) * 2 + (isLast ? 1 : 0)
    let known = this.#dead.get(key)
    if (known === undefined) {
      known = isWithoutEffect(sent, this.#states.value(to), isLast)
      this.#dead.set(key, known)
    }
    if (known || isAnswer(sent.message)) return known
    return isRepeatWithoutEffect(sent, this.#states.value(to), {
      from: this.#states.value(from),
      isLast,
    })
  }

  #mayFound(node: number): boolean {
    return this.#plant.joinersFound || node <= (this.#scope.eligible ?? this.#scope.nodes)
  }

  #rules(node: number): BallotRules {
    return { size: this.#scope.size, mayFound: this.#mayFound(node) }
  }

  // ---- seen before ----

  #isNew(world: World): boolean {
    let best: Int32Array | undefined
    let size = 0
    for (const renaming of this.#renamings) {
      const candidate = best === this.#code ? this.#bestCode : this.#code
      const count = this.#codeUnder(world, renaming, candidate)
      if (best === undefined || isBefore(candidate, best, count)) best = candidate
      size = count
      if (this.#isPlain) break
    }
    return this.#seen.add(best ?? this.#code, size)
  }

  /** Writes the world's numbers; how many there are does not depend on the renaming. */
  #codeUnder(world: World, renaming: Renaming, code: Int32Array): number {
    const { to } = renaming
    const isSame = renaming === this.#renamings[0]
    let size = 0
    code[size++] = world.ballots * 16 + world.crashes
    for (const [at, state] of world.nodes.entries()) {
      code[to[at + 1] ?? at + 1] = isSame ? state : this.#renamedState(state, renaming)
      size++
    }
    const messages = isSame
      ? world.messages
      : world.messages.map((number) => this.#renamedMessage(number, renaming)).sort((a, b) => a - b)
    for (const number of messages) code[size++] = number
    return size
  }

  #renamedState(state: number, { to, states }: Renaming): number {
    const known = states.get(state)
    if (known !== undefined) return known
    const number = this.#states.number(rename(this.#states.value(state), to))
    states.set(state, number)
    return number
  }

  #renamedMessage(number: number, { to, messages }: Renaming): number {
    const known = messages.get(number)
    if (known !== undefined) return known
    const renamed = this.#sent.number(rename(this.#sent.value(number), to))
    messages.set(number, renamed)
    return renamed
  }

  // ---- checks ----

  #visit(world: World): string | undefined {
    const records = world.nodes.map((state) => this.#states.value(state))
    const violation = findViolation(records) ?? this.#findTwoValues(world)
    if (violation !== undefined) return violation
    this.#outcomes.add(this.#outcomeOf(world))
    const isDecided = records.some(({ live }) => live.record.cluster !== undefined)
    if (isDecided) this.#decided++
    if (this.#seen.size % completeEvery !== 1 || this.#plant !== noPlant) return undefined
    this.#completed++
    return this.#completes(records) ? undefined : 'from here a run without faults never decides'
  }

  #outcomeOf(world: World): string {
    const keys = this.#renamings.map((renaming) => {
      const held: number[] = []
      for (const [at, state] of world.nodes.entries()) {
        const renamed = this.#states.value(this.#renamedState(state, renaming))
        held[(renaming.to[at + 1] ?? at + 1) - 1] = this.#records.number(renamed.durable)
      }
      return String.fromCharCode(...held)
    })
    return keys.sort()[0] ?? ''
  }

  #findTwoValues(world: World): string | undefined {
    const values = new Map<string, string>()
    for (const number of world.messages) {
      const { message } = this.#sent.value(number)
      if (message.kind !== 'accept') continue
      const ballot = keyOf(message.ballot)
      const known = values.get(ballot)
      if (known !== undefined && known !== message.genesis.clusterId)
        return 'a ballot with two values'
      values.set(ballot, message.genesis.clusterId)
    }
    return undefined
  }

  /** Everything on its way is lost, everybody is up, and the lowest node without a cluster tries again. */
  #completes(records: readonly NodeState[]): boolean {
    const live = records.map((record) => record.live)
    for (let round = 0; round < this.#scope.ballots + 2; round++) {
      const at = live.findIndex(({ record }) => record.cluster === undefined)
      if (at === -1) return true
      const wanted = this.#founderSets.find((set) => set.some(({ node }) => node === at + 1))
      if (wanted === undefined) return true
      this.#runBallot(live, { at, wanted })
      if (live.some(({ record }) => record.cluster !== undefined)) return true
    }
    return false
  }

  #runBallot(
    live: BallotState[],
    { at, wanted }: { readonly at: number; readonly wanted: readonly Founder[] },
  ): void {
    const queue: Sent[] = []
    const follow = (node: number, step: BallotStep): void => {
      live[node - 1] = step.state
      for (const { to, message } of step.sends) queue.push({ from: node, to: nodeOf(to), message })
    }
    const first = live[at] as BallotState
    follow(at + 1, beginBallot(first, this.#rules(at + 1), { wanted, parameters }))
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { from, to, message } = next
      const state = live[to - 1] as BallotState
      follow(to, takeBallotMessage(state, this.#rules(to), { from: idOf(from), message }))
    }
  }
}

type Taken = {
  readonly state: number
  readonly sends: readonly number[]
  readonly isWritten: boolean
  /** After a crash before the write, and after it. */
  readonly unwritten: number
  readonly restarted: number
}
type Renaming = {
  /** Where each node goes; index 0 is unused. */
  readonly to: readonly number[]
  readonly states: Map<number, number>
  readonly messages: Map<number, number>
}

function restart(record: FoundingRecord): BallotState {
  return { record, proposal: undefined, roundSeen: record.promised.round }
}

function isBefore(a: Int32Array, b: Int32Array, count: number): boolean {
  for (let at = 0; at < count; at++) {
    if (a[at] !== b[at]) return (a[at] as number) < (b[at] as number)
  }
  return false
}

function findViolation(states: readonly NodeState[]): string | undefined {
  const decided = new Map<string, NodeState>()
  for (const state of states) {
    const genesis = state.live.record.cluster?.genesis
    if (genesis !== undefined) decided.set(genesis.clusterId, state)
  }
  if (decided.size > 1) return 'two clusters were decided'
  for (const { live } of decided.values()) {
    for (const { node } of live.record.cluster?.genesis.founders ?? []) {
      const durable = states[node - 1]?.durable
      if (durable?.accepted?.genesis.clusterId !== live.record.cluster?.genesis.clusterId) {
        return `a cluster was decided and its founder ${node} has not durably accepted it`
      }
    }
  }
  return undefined
}

function describe({ from, to, message }: Sent): string {
  const ballot =
    'ballot' in message ? `${message.ballot.round}.${nodeOf(message.ballot.proposer)}` : ''
  return `${from} -> ${to}: ${message.kind} ${ballot}`
}

function tell(path: readonly { readonly moves: readonly Move[]; readonly next: number }[]): string {
  const lines = path.map(({ moves, next }) => moves[next - 1]?.what())
  return lines.filter((line) => line !== undefined).join('\n')
}

/** All subsets of so many members, in order. */
function subsets<T>(all: readonly T[], size: number): readonly (readonly T[])[] {
  if (size === 0) return [[]]
  return all.flatMap((first, at) =>
    subsets(all.slice(at + 1), size - 1).map((rest) => [first, ...rest]),
  )
}

/** All ways to rename the nodes from..to among themselves; the identity first. */
function permutations(from: number, to: number): readonly (readonly number[])[] {
  const fixed = Array.from({ length: from }, (_, i) => i)
  const extend = (rest: readonly number[]): readonly (readonly number[])[] =>
    rest.length === 0
      ? [[]]
      : rest.flatMap((first) =>
          extend(rest.filter((other) => other !== first)).map((tail) => [first, ...tail]),
        )
  const moving = Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)
  return extend(moving).map((order) => [...fixed, ...order])
}

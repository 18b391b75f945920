// Every behaviour of the ballots core at a small scope. A world is a state per node and the set of all
// messages ever sent: any of them may arrive now, again, later or never, which is loss, duplication and
// reordering at once. A node may begin a ballot for any founders of the right number (its view of who is
// there is arbitrary), and may crash at any moment and at every write of its record: before it is durable,
// or after it and before anything of that step was sent.
//
// Answers that a proposer only gathers are taken together with the one that makes it act.
//
// Left out because they can never change anything again, whatever else happens: messages that answer a
// ballot which their receiver has given up, and everything a node with a cluster ignores. Nodes that never
// propose are interchangeable (the core compares ids of proposers only), so worlds that differ by a renaming
// of those are one world.
//
// Held in every world: at most one genesis is decided; each founder of a decided genesis holds it durably as
// accepted; a ballot carries one genesis. Held of every step: what is decided stays.

import { nodeId } from '../../src/base/index.ts'
import {
  type BallotRules,
  type BallotState,
  type BallotStep,
  beginBallot,
  compareBallots,
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
const statesMaxDefault = 20_000_000

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
  readonly #seen = new Set<string>()
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
    const nodes = world.nodes.with(node - 1, state)
    const messages = new Set(world.messages)
    for (const number of sends) messages.add(number)
    const kept = [...messages].filter((number) => this.#isPlain || !this.#isDead(nodes, number))
    return { ...world, nodes, messages: kept.sort((a, b) => a - b) }
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
  #isDead(nodes: readonly number[], number: number): boolean {
    const state = nodes[(this.#sent.value(number).to - 1) as number] as number
    const key = state * 0x20_0000 + number
    const known = this.#dead.get(key)
    if (known !== undefined) return known
    const { live, durable } = this.#states.value(state)
    const isDead = isWithoutEffect(this.#sent.value(number), live, durable)
    this.#dead.set(key, isDead)
    return isDead
  }

  #mayFound(node: number): boolean {
    return this.#plant.joinersFound || node <= (this.#scope.eligible ?? this.#scope.nodes)
  }

  #rules(node: number): BallotRules {
    return { size: this.#scope.size, mayFound: this.#mayFound(node) }
  }

  // ---- seen before ----

  #isNew(world: World): boolean {
    let key: string | undefined
    for (const renaming of this.#renamings) {
      const candidate = this.#keyUnder(world, renaming)
      if (key === undefined || candidate < key) key = candidate
      if (this.#isPlain) break
    }
    const size = this.#seen.size
    this.#seen.add(key ?? '')
    return this.#seen.size > size
  }

  #keyUnder(world: World, renaming: Renaming): string {
    const codes: number[] = [world.ballots * 16 + world.crashes]
    const { to } = renaming
    const isSame = to.every((node, at) => node === at)
    const nodes: number[] = []
    for (const [at, state] of world.nodes.entries()) {
      nodes[(to[at + 1] ?? at + 1) - 1] = isSame ? state : this.#renamedState(state, renaming)
    }
    const messages = isSame
      ? world.messages
      : world.messages.map((number) => this.#renamedMessage(number, renaming)).sort((a, b) => a - b)
    for (const number of [...nodes, ...messages]) codes.push(number >>> 15, number & 0x7fff)
    return String.fromCharCode(...codes)
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

function isAnswer(message: Sent['message']): boolean {
  return message.kind === 'report' || message.kind === 'accepted'
}

function isWithoutEffect(sent: Sent, live: BallotState, durable: FoundingRecord): boolean {
  const { message } = sent
  const isAsking = message.kind === 'prepare' || message.kind === 'accept'
  if (durable.cluster !== undefined && live.record.cluster !== undefined) return !isAsking
  if (isAsking || message.kind === 'decided') return false
  const { proposal } = live
  const isPast =
    proposal === undefined ||
    compareBallots(proposal.ballot, message.ballot) !== 0 ||
    (message.kind === 'report' && proposal.genesis !== undefined) ||
    (message.kind === 'accepted' && proposal.acceptedBy.includes(idOf(sent.from)))
  if (message.kind === 'accepted') return isPast
  return isPast && message.promised.round <= durable.promised.round
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

// Founding one namespace: who was seen, when to try, whom to list, and what to tell people. Pure; the
// agreement itself is ballots.ts. One step at a time: when an outcome has a `record`, the driver makes it
// durable before it sends anything of that outcome and before it gives the next input. After a crash it
// begins again from the last durable record.
//
// Time decides when a ballot begins and who is listed in it, never who is the quorum: that is the expected
// size, and every listed founder has to accept. A node that has seen a cluster never founds: join first.
//
// Everybody who hears from a node without a cluster and knows one tells it. So a node that starts after the
// formation learns of it from the first node it meets, and asks that cluster for ever.

import { type ClusterId, type NodeId, nodeId } from '../../base/index.ts'
import { type Alarm, alarms } from './alarms.ts'
import { compareBallots } from './ballot.ts'
import {
  type BallotRules,
  type BallotState,
  type BallotStep,
  beginBallot,
  hasForgotten,
  takeBallotMessage,
} from './ballots.ts'
import { type FoundingConfig, sizeOf } from './config.ts'
import type { Founder, FounderId, Genesis } from './genesis.ts'
import type { BallotMessage, Body, Envelope } from './messages.ts'
import { forget, hear, learn, type Peer, type Peers, tellSightings } from './peers.ts'
import { type FoundingRecord, newRecord } from './record.ts'

export type FormationState = {
  readonly ballots: BallotState
  readonly peers: Peers
  readonly startedMs: number
  /** Named by a peer; its genesis follows. Forbids founding already. */
  readonly clusterHeard: ClusterId | undefined
  readonly nextTryMs: number
  /** Ballots begun, and whether the nodes that go first had their time. */
  readonly tries: number
  readonly hasYielded: boolean
  /** When the last ballot began. */
  readonly triedMs: number
  readonly nextExchangeMs: number
  readonly nextJoinMs: number
  /** Raised already: each is raised once in a node's life. */
  readonly raised: readonly string[]
}

export type FormationInput =
  /** At least every exchangeMs. `contacts`: addresses from the discovery and of open connections. */
  | { readonly kind: 'tick'; readonly contacts: readonly string[] }
  | { readonly kind: 'message'; readonly envelope: Envelope }
  /** The cluster has this node as a learner: its log brings the rest. */
  | { readonly kind: 'taken-in' }
  /** The cluster has removed this node, and it is to ask back: under a new identity. */
  | { readonly kind: 'removed'; readonly freshId: FounderId; readonly node: NodeId }

export type FormationOutcome = {
  readonly state: FormationState
  /** Present: durable before anything else of this outcome. */
  readonly record: FoundingRecord | undefined
  readonly sends: readonly { readonly address: string; readonly envelope: Envelope }[]
  readonly alarms: readonly Alarm[]
  /** Ask to be taken into this cluster as a learner, through any of these. */
  readonly join: { readonly genesis: Genesis; readonly via: readonly string[] } | undefined
}

export type Standing =
  | { readonly kind: 'searching'; readonly seen: number; readonly expected: number }
  | { readonly kind: 'founding'; readonly missing: readonly FounderId[] }
  /** A cluster was heard of; its genesis is awaited. */
  | { readonly kind: 'waiting'; readonly cluster: ClusterId }
  | { readonly kind: 'joining'; readonly genesis: Genesis }
  | { readonly kind: 'member'; readonly genesis: Genesis }

/** Exchanges that a peer may miss and still be listed. */
const silentExchangesMax = 8
/** Peers that nobody has heard for so many founding windows are forgotten. */
const forgetWindows = 30

export function startFormation(
  config: FoundingConfig,
  record: FoundingRecord,
  nowMs: number,
): FormationState {
  const { times, universe, isForced } = config
  const first = isForced ? 0 : universe.kind === 'list' ? 2 * times.exchangeMs : times.bootstrapMs
  return {
    ballots: { record, proposal: undefined, roundSeen: record.promised.round },
    peers: new Map(),
    startedMs: nowMs,
    clusterHeard: undefined,
    nextTryMs: nowMs + first,
    tries: 0,
    hasYielded: false,
    triedMs: nowMs,
    nextExchangeMs: nowMs,
    nextJoinMs: nowMs,
    raised: [],
  }
}

export function stepFormation(
  config: FoundingConfig,
  state: FormationState,
  given: { readonly input: FormationInput; readonly nowMs: number },
): FormationOutcome {
  const { input, nowMs } = given
  const step = new Step(config, state, nowMs)
  if (input.kind === 'tick') step.tick(input.contacts)
  else if (input.kind === 'message') step.take(input.envelope)
  else if (input.kind === 'taken-in') step.takenIn()
  else step.removed(input.freshId, input.node)
  return step.outcome()
}

export function standingOf(config: FoundingConfig, state: FormationState): Standing {
  const { record, proposal } = state.ballots
  if (record.cluster !== undefined) {
    const { genesis, isMember } = record.cluster
    return { kind: isMember ? 'member' : 'joining', genesis }
  }
  if (state.clusterHeard !== undefined) return { kind: 'waiting', cluster: state.clusterHeard }
  if (proposal !== undefined) return { kind: 'founding', missing: missingOf(state.ballots) }
  const seen = 1 + countEligible(state.peers)
  return { kind: 'searching', seen, expected: sizeOf(config) }
}

/** Whom the ballot under way waits for. */
function missingOf({ proposal }: BallotState): readonly FounderId[] {
  if (proposal === undefined) return []
  const { genesis, acceptedBy, asked, reports } = proposal
  if (genesis === undefined) return asked.filter((id) => !reports.has(id))
  return genesis.founders.map(({ id }) => id).filter((id) => !acceptedBy.includes(id))
}

function countEligible(peers: Peers): number {
  let count = 0
  for (const peer of peers.values()) if (peer.isEligible) count++
  return count
}

/** One step under construction: gathers effects in order. */
class Step {
  readonly #config: FoundingConfig
  readonly #nowMs: number
  readonly #before: FormationState
  #state: FormationState
  readonly #sends: { readonly address: string; readonly envelope: Envelope }[] = []
  readonly #alarms: Alarm[] = []
  #join: FormationOutcome['join']

  constructor(config: FoundingConfig, state: FormationState, nowMs: number) {
    this.#config = config
    this.#nowMs = nowMs
    this.#before = state
    this.#state = state
  }

  outcome(): FormationOutcome {
    const { record } = this.#state.ballots
    return {
      state: this.#state,
      record: record === this.#before.ballots.record ? undefined : record,
      sends: this.#sends,
      alarms: this.#alarms,
      join: this.#join,
    }
  }

  tick(contacts: readonly string[]): void {
    const { times } = this.#config
    const peers = forget(this.#state.peers, this.#nowMs - forgetWindows * times.bootstrapMs)
    this.#state = { ...this.#state, peers }
    if (this.#nowMs >= this.#state.nextExchangeMs) this.#exchange(contacts)
    if (this.#record.cluster !== undefined) this.#maybeJoin()
    else if (this.#nowMs >= this.#state.nextTryMs) this.#maybeTry()
  }

  take(envelope: Envelope): void {
    const { namespace, from, cluster, body } = envelope
    if (namespace !== this.#config.namespace) return
    if (from.id === this.#record.id) {
      const isOwn = from.address === this.#config.address
      if (!isOwn) this.#raise(alarms.sameIdentity(this.#record.id, from.address))
      return
    }
    const said = body.kind === 'hello' ? this.#takeHello(body, from) : undefined
    const isEligible = cluster === undefined && (said?.isEligible ?? true)
    const heard = said === undefined ? undefined : { size: said.size, isEligible }
    const peers = hear(this.#state.peers, from, this.#nowMs, heard)
    this.#state = { ...this.#state, peers }
    const own = this.#record.cluster
    if (own !== undefined) this.#takeAsMember(envelope, own.genesis)
    else {
      if (cluster !== undefined) this.#hearOfCluster(cluster)
      if (body.kind !== 'hello') this.#takeBallot(from.id, body)
    }
    if (body.kind === 'hello' && !body.isReply) this.#send(from.address, this.#hello(true))
  }

  takenIn(): void {
    const { cluster } = this.#record
    if (cluster === undefined || cluster.isMember) return
    this.#setRecord({ ...this.#record, cluster: { ...cluster, isMember: true } })
  }

  /** Keeps the cluster, so that it can never found another, and nothing else. */
  removed(freshId: FounderId, node: NodeId): void {
    const { cluster, namespace } = this.#record
    if (cluster === undefined) return
    const fresh = newRecord(namespace, freshId, node)
    this.#setRecord({ ...fresh, cluster: { ...cluster, isMember: false } })
    this.#state = { ...this.#state, nextJoinMs: this.#nowMs }
  }

  get #record(): FoundingRecord {
    return this.#state.ballots.record
  }

  #setRecord(record: FoundingRecord): void {
    this.#state = { ...this.#state, ballots: { ...this.#state.ballots, record } }
  }

  // ---- peers ----

  #exchange(contacts: readonly string[]): void {
    const { exchangeMs } = this.#config.times
    const isQuiet = this.#record.cluster?.isMember === true
    const nextExchangeMs = this.#nowMs + (isQuiet ? 4 * exchangeMs : exchangeMs)
    this.#state = { ...this.#state, nextExchangeMs }
    const known = [...this.#state.peers.values()].map((peer) => peer.address)
    const addresses = new Set([...contacts, ...known].sort())
    addresses.delete(this.#config.address)
    for (const address of addresses) this.#send(address, this.#hello(false))
  }

  #hello(isReply: boolean): Body {
    const sightings = tellSightings(this.#state.peers, this.#nowMs)
    return { kind: 'hello', isReply, size: this.#isEligible() ? this.#size : 0, sightings }
  }

  #takeHello(
    hello: Extract<Body, { readonly kind: 'hello' }>,
    from: { readonly id: FounderId },
  ): { readonly size: number; readonly isEligible: boolean } {
    const self = { id: this.#record.id, node: this.#record.node }
    const peers = learn(this.#state.peers, hello.sightings, { nowMs: this.#nowMs, self })
    this.#state = { ...this.#state, peers }
    const isOther = hello.size > 0 && this.#isFounderHere() && hello.size !== this.#size
    if (isOther && this.#record.cluster === undefined) {
      this.#raise(alarms.otherSize(from.id, { theirs: hello.size, ours: this.#size }))
    }
    return { size: hello.size, isEligible: hello.size > 0 }
  }

  // ---- clusters ----

  #hearOfCluster(cluster: ClusterId): void {
    if (this.#state.clusterHeard !== undefined) return
    const ballots = { ...this.#state.ballots, proposal: undefined }
    this.#state = { ...this.#state, clusterHeard: cluster, ballots }
  }

  #takeAsMember({ from, cluster, body }: Envelope, own: Genesis): void {
    const named = body.kind === 'decided' ? body.genesis.clusterId : cluster
    if (named !== undefined && named !== own.clusterId) {
      this.#raise(alarms.twoClusters(own.clusterId, named, from.address))
    } else if (named === undefined) {
      this.#send(from.address, { kind: 'decided', genesis: own })
    }
  }

  #maybeJoin(): void {
    const cluster = this.#record.cluster
    if (cluster === undefined || cluster.isMember || this.#nowMs < this.#state.nextJoinMs) return
    this.#state = { ...this.#state, nextJoinMs: this.#nowMs + this.#config.times.joinMs }
    const via = this.#present().map((peer) => peer.address)
    if (via.length > 0) this.#join = { genesis: cluster.genesis, via }
  }

  // ---- founding ----

  get #size(): number {
    return sizeOf(this.#config)
  }

  /** Whether this node could ever be a founder by its configuration. */
  #isFounderHere(): boolean {
    const { universe, isForced } = this.#config
    if (isForced) return true
    if (universe.kind === 'list') return universe.nodes.includes(this.#record.node)
    return universe.kind === 'size'
  }

  /** Whether others may count on it: it knows of no cluster. */
  #isEligible(): boolean {
    const isFree = this.#record.cluster === undefined && this.#state.clusterHeard === undefined
    return isFree && this.#isFounderHere()
  }

  #rules(): BallotRules {
    const { universe, isForced } = this.#config
    const isListed = universe.kind === 'list' && !isForced
    const mayFound =
      this.#isFounderHere() && this.#state.clusterHeard === undefined && !this.#areTooMany()
    return { size: this.#size, mayFound, nodes: isListed ? universe.nodes : undefined }
  }

  /** Two disjoint sets of founders could exist: nobody may begin. */
  #areTooMany(): boolean {
    const { universe, isForced } = this.#config
    if (isForced || universe.kind !== 'size') return false
    return 1 + countEligible(this.#state.peers) >= 2 * universe.size
  }

  #maybeTry(): void {
    const { attemptMs, exchangeMs } = this.#config.times
    const rules = this.#rules()
    if (rules.mayFound === false) {
      if (this.#areTooMany()) {
        const eligible = 1 + countEligible(this.#state.peers)
        this.#raise(alarms.tooMany(this.#size, eligible))
      }
      this.#state = { ...this.#state, nextTryMs: this.#nowMs + exchangeMs }
      return
    }
    const wanted = this.#chooseFounders()
    if (wanted === undefined) {
      this.#state = { ...this.#state, nextTryMs: this.#nowMs + exchangeMs }
      return
    }
    const rank = wanted.findIndex(({ id }) => id === this.#record.id)
    if (rank > 0 && !this.#state.hasYielded) {
      this.#state = { ...this.#state, nextTryMs: this.#nowMs + rank * attemptMs, hasYielded: true }
      return
    }
    this.#maybeRaiseMissing()
    const tries = this.#state.tries + 1
    const pause = attemptMs * (2 + rank + Math.min(tries, 4) * wanted.length)
    const turn = { tries, hasYielded: true, triedMs: this.#nowMs }
    this.#state = { ...this.#state, ...turn, nextTryMs: this.#nowMs + pause }
    const { parameters } = this.#config
    this.#follow(beginBallot(this.#state.ballots, rules, { wanted, parameters }))
  }

  /** Undefined: too few were seen, or others with lower ids are enough. */
  #chooseFounders(): readonly Founder[] | undefined {
    const { universe, isForced, times } = this.#config
    const self: Founder = { id: this.#record.id, node: this.#record.node }
    if (isForced) return [self]
    const isListed = universe.kind === 'list'
    const seenBeforeMs = isListed
      ? this.#nowMs
      : this.#nowMs - (1 - times.threshold) * times.bootstrapMs
    const others = this.#present().filter(
      (peer) =>
        peer.isEligible &&
        peer.size === this.#size &&
        peer.firstSeenMs <= seenBeforeMs &&
        (!isListed || universe.nodes.includes(peer.node)),
    )
    const founders = [self, ...others.map(({ id, node }) => ({ id, node }))]
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, this.#size)
    if (founders.length < this.#size) return undefined
    return founders.some(({ id }) => id === self.id) ? founders : undefined
  }

  /** Heard from directly within the last few exchanges, in order of id. */
  #present(): readonly Peer[] {
    const sinceMs = this.#nowMs - silentExchangesMax * this.#config.times.exchangeMs
    return [...this.#state.peers.values()]
      .filter((peer) => (peer.heardMs ?? Number.NEGATIVE_INFINITY) >= sinceMs)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  #takeBallot(from: FounderId, message: BallotMessage): void {
    const { ballots } = this.#state
    if (message.kind === 'decided' && hasForgotten(ballots.record, message.genesis)) {
      this.#raise(alarms.forgotten(message.genesis.clusterId))
      this.#hearOfCluster(message.genesis.clusterId)
      return
    }
    const step = takeBallotMessage(ballots, this.#rules(), { from, message })
    const isOvertaken =
      compareBallots(step.state.record.promised, ballots.record.promised) > 0 &&
      step.state.record.promised.proposer !== ballots.record.id
    if (isOvertaken) this.#maybeRaiseMissing()
    this.#follow(step)
    if (!isOvertaken) return
    const { attemptMs } = this.#config.times
    const rank = this.#present().filter((peer) => peer.id < ballots.record.id).length
    const restMs = this.#nowMs + attemptMs * (2 + rank)
    this.#state = { ...this.#state, nextTryMs: Math.max(this.#state.nextTryMs, restMs) }
  }

  #follow({ state, sends }: BallotStep): void {
    const wasFounding = this.#record.cluster === undefined
    this.#state = { ...this.#state, ballots: state }
    for (const { to, message } of sends) {
      const peer = this.#state.peers.get(to)
      if (peer !== undefined) this.#send(peer.address, message)
    }
    const isDecided = wasFounding && state.record.cluster !== undefined
    if (isDecided) this.#state = { ...this.#state, nextJoinMs: this.#nowMs }
  }

  // ---- telling ----

  /** Whom several ballots in a row had time to hear from and did not. */
  #maybeRaiseMissing(): void {
    const hadMs = this.#nowMs - this.#state.triedMs
    if (this.#state.tries < 3 || hadMs < this.#config.times.attemptMs / 2) return
    for (const id of missingOf(this.#state.ballots)) {
      this.#raise(alarms.founderMissing(id, this.#state.peers.get(id)?.address))
    }
  }

  #raise(alarm: Alarm): void {
    const { raised } = this.#state
    if (raised.includes(alarm.key) || raised.length >= raisedMax) return
    this.#state = { ...this.#state, raised: [...raised, alarm.key] }
    this.#alarms.push(alarm)
  }

  #send(address: string, body: Body): void {
    const { id, node, cluster } = this.#record
    const { namespace, address: own } = this.#config
    const from = { id, node, address: own }
    const known = cluster?.genesis.clusterId
    this.#sends.push({ address, envelope: { namespace, from, cluster: known, body } })
  }
}

const raisedMax = 1_000

/** The voters that the group of a decided genesis begins with, in ascending order. */
export function votersOf(genesis: Genesis): readonly NodeId[] {
  return genesis.founders.map(({ node }) => nodeId(node)).sort((a, b) => a - b)
}

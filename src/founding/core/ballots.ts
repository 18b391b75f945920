// Single-decree agreement on a genesis: which founders, which cluster. Pure: a state and an input give the
// next state, what to send, and (when `record` changed) what must be durable before that is sent.
//
// The universe has no fixed quorum: each genesis names its own founders F, and is decided when all of F
// accepted it at one ballot. Two proposers may name different founders; what keeps them together is that
// founder sets of size N among fewer than 2N nodes share a node. The rules:
//
// 1. A node promises a ballot, durably, before it reports what it last accepted; it never accepts below.
// 2. A founder accepts at exactly the ballot that it promised last.
// 3. Genesis G may be proposed at ballot b only when all founders of G promised b and each reported nothing,
//    or G, or a genesis that is dead. H is dead below b when some founder of H promised b and reported
//    nothing or another genesis than H.
// 4. What may be alive is finished before anything new is proposed: its other founders are asked as well.
//
// Why no two decided geneses share a founder. Let G1 be decided at b1, and (b, G) be the earliest proposal,
// in time, with b > b1, a founder x in common with G1, and G other than G1. x accepted G1 at b1 before it
// promised b, so it reported the genesis of a ballot in [b1, b), which by "earliest" is G1. So G1 was taken
// for dead: a founder z of G1 promised b and reported H, not G1. But z had accepted G1 at b1 < b before that,
// so H was accepted by z at a ballot in (b1, b): an earlier proposal of H, z in common with G1; so H is G1.
// (Lamport, "Paxos Made Simple", with the quorum a property of the value.)
//
// Without rule 4's asking, founders {1,2,3} where 3 accepted a genesis of {3,4,5} and 5 is gone for good
// would wait for ever, though 4's report alone may prove it dead.

import { assert } from '../../base/index.ts'
import { type Ballot, compareBallots, roundLeapMax } from './ballot.ts'
import {
  createGenesis,
  type Founder,
  type FounderId,
  type Genesis,
  type GenesisParameters,
  isSameGenesis,
  listsFounder,
} from './genesis.ts'
import type { BallotMessage } from './messages.ts'
import type { Accepted, FoundingRecord } from './record.ts'

/** What one founding attempt knows; lost in a crash, which costs the attempt only. */
export type Proposal = {
  readonly ballot: Ballot
  /** Whom this node would list in a genesis of its own. */
  readonly wanted: readonly Founder[]
  readonly parameters: GenesisParameters
  /** Asked for a promise so far, itself included. */
  readonly asked: readonly FounderId[]
  /** Who promised this ballot, and what each had accepted. */
  readonly reports: ReadonlyMap<FounderId, Accepted | undefined>
  /** Set once it is proposed. */
  readonly genesis: Genesis | undefined
  readonly acceptedBy: readonly FounderId[]
}

export type BallotState = {
  /** Durable. A step that answers another record than it was given must have it synced before it sends. */
  readonly record: FoundingRecord
  readonly proposal: Proposal | undefined
  /** Highest round seen anywhere, so that a new ballot outranks it. */
  readonly roundSeen: number
}

export type BallotRules = {
  /** How many founders a genesis has. */
  readonly size: number
  /** Present: the members of a genesis have exactly these numbers. */
  readonly nodes?: readonly number[] | undefined
  /** False: this node neither promises nor accepts nor proposes (it joins, or founding is refused). */
  readonly mayFound: boolean
}

export type BallotSend = { readonly to: FounderId; readonly message: BallotMessage }

export type BallotStep = { readonly state: BallotState; readonly sends: readonly BallotSend[] }

/** Begins a new ballot that outranks all that was seen. `wanted` has this node and rules.size members. */
export function beginBallot(
  state: BallotState,
  rules: BallotRules,
  given: { readonly wanted: readonly Founder[]; readonly parameters: GenesisParameters },
): BallotStep {
  const { record } = state
  const { wanted, parameters } = given
  assert(wanted.length === rules.size, 'a genesis lists as many founders as expected')
  assert(
    wanted.some(({ id }) => id === record.id),
    'a proposer lists itself',
  )
  assert(rules.mayFound && record.cluster === undefined, 'founding is allowed here')
  const round = Math.max(state.roundSeen, record.promised.round) + 1
  const ballot = { round, proposer: record.id }
  const proposal: Proposal = {
    ballot,
    wanted,
    parameters,
    asked: [record.id],
    reports: new Map([[record.id, record.accepted]]),
    genesis: undefined,
    acceptedBy: [],
  }
  const next = { record: { ...record, promised: ballot }, proposal, roundSeen: round }
  return advance(next)
}

/** Takes a message of another node; `from` is who sent it, as the transport has it. */
export function takeBallotMessage(
  state: BallotState,
  rules: BallotRules,
  given: { readonly from: FounderId; readonly message: BallotMessage },
): BallotStep {
  const { from, message } = given
  const known = state.record.cluster
  if (message.kind === 'decided') return takeDecided(state, message.genesis)
  if (known !== undefined) {
    const isAsking = message.kind === 'prepare' || message.kind === 'accept'
    return isAsking ? reply(state, from, { kind: 'decided', genesis: known.genesis }) : idle(state)
  }
  if (!rules.mayFound) return idle(state)
  switch (message.kind) {
    case 'prepare':
      return takePrepare(state, from, message.ballot)
    case 'accept':
      return takeAccept(state, rules, { from, ballot: message.ballot, genesis: message.genesis })
    case 'report':
      return takeReport(state, from, message)
    case 'accepted':
      return takeAccepted(state, from, message.ballot)
  }
}

/** Whether a node that is told of a decided genesis was one of its founders and has forgotten it. */
export function hasForgotten(record: FoundingRecord, decided: Genesis): boolean {
  if (!listsFounder(decided, record.id) || record.cluster !== undefined) return false
  return !isSameGenesis(record.accepted?.genesis, decided)
}

function takePrepare(state: BallotState, from: FounderId, ballot: Ballot): BallotStep {
  const { record } = state
  if (ballot.proposer !== from) return idle(state)
  const order = compareBallots(ballot, record.promised)
  if (order > 0 && ballot.round > record.promised.round + roundLeapMax) return idle(state)
  const next = order > 0 ? promise(state, ballot) : state
  const { promised, accepted } = next.record
  return reply(next, from, { kind: 'report', ballot, promised, accepted })
}

/** A node that promised another's ballot has given up its own. */
function promise(state: BallotState, ballot: Ballot): BallotState {
  return {
    record: { ...state.record, promised: ballot },
    proposal: undefined,
    roundSeen: Math.max(state.roundSeen, ballot.round),
  }
}

function takeAccept(
  state: BallotState,
  rules: BallotRules,
  given: { readonly from: FounderId; readonly ballot: Ballot; readonly genesis: Genesis },
): BallotStep {
  const { from, ballot, genesis } = given
  const { record } = state
  if (ballot.proposer !== from) return idle(state)
  if (genesis.namespace !== record.namespace || !fits(genesis, rules)) return idle(state)
  const self = genesis.founders.find(({ id }) => id === record.id)
  if (self === undefined || self.node !== record.node) return idle(state)
  const order = compareBallots(ballot, record.promised)
  if (order > 0) return idle(state)
  if (order < 0) {
    const { promised, accepted } = record
    return reply(state, from, { kind: 'report', ballot, promised, accepted })
  }
  const isAgain =
    record.accepted !== undefined && compareBallots(record.accepted.ballot, ballot) === 0
  const next = isAgain ? state : { ...state, record: { ...record, accepted: { ballot, genesis } } }
  return reply(next, from, { kind: 'accepted', ballot })
}

function takeReport(
  state: BallotState,
  from: FounderId,
  report: Extract<BallotMessage, { readonly kind: 'report' }>,
): BallotStep {
  const reported = report.accepted?.genesis
  if (reported !== undefined && reported.namespace !== state.record.namespace) return idle(state)
  if (reported !== undefined && !listsFounder(reported, from)) return idle(state)
  const seen =
    report.promised.round > state.roundSeen + roundLeapMax
      ? state
      : { ...state, roundSeen: Math.max(state.roundSeen, report.promised.round) }
  const { proposal } = seen
  if (proposal === undefined || compareBallots(proposal.ballot, report.ballot) !== 0)
    return idle(seen)
  const order = compareBallots(report.promised, proposal.ballot)
  if (order > 0) return idle({ ...seen, proposal: undefined })
  if (order < 0 || proposal.genesis !== undefined || !proposal.asked.includes(from)) {
    return idle(seen)
  }
  const reports = new Map(proposal.reports).set(from, report.accepted)
  return advance({ ...seen, proposal: { ...proposal, reports } })
}

function takeAccepted(state: BallotState, from: FounderId, ballot: Ballot): BallotStep {
  const { proposal } = state
  if (proposal?.genesis === undefined || compareBallots(proposal.ballot, ballot) !== 0) {
    return idle(state)
  }
  if (!listsFounder(proposal.genesis, from) || proposal.acceptedBy.includes(from))
    return idle(state)
  return concludeIfAll({
    ...state,
    proposal: { ...proposal, acceptedBy: [...proposal.acceptedBy, from].sort() },
  })
}

function takeDecided(state: BallotState, genesis: Genesis): BallotStep {
  const { record } = state
  if (record.cluster !== undefined || genesis.namespace !== record.namespace) return idle(state)
  if (hasForgotten(record, genesis)) return idle(state)
  return idle(concluded(state, genesis))
}

function concluded(state: BallotState, genesis: Genesis): BallotState {
  const isMember = listsFounder(genesis, state.record.id)
  const record = { ...state.record, cluster: { genesis, isMember } }
  return { ...state, record, proposal: undefined }
}

/** After a report: asks further founders, waits, or proposes. */
function advance(state: BallotState): BallotStep {
  const { proposal } = state
  assert(proposal !== undefined, 'a proposal is under way')
  const plan = planProposal(proposal, state.record.namespace)
  if (plan.kind === 'ask') {
    const missing = plan.whom.filter((id) => !proposal.asked.includes(id))
    const asked = [...proposal.asked, ...missing].sort()
    const sends = missing.map((to) => ({
      to,
      message: { kind: 'prepare', ballot: proposal.ballot } as const,
    }))
    return { state: { ...state, proposal: { ...proposal, asked } }, sends }
  }
  return propose(state, proposal, plan.genesis)
}

function propose(state: BallotState, proposal: Proposal, genesis: Genesis): BallotStep {
  const { ballot } = proposal
  const self = state.record.id
  const isFounder = listsFounder(genesis, self)
  const record = isFounder ? { ...state.record, accepted: { ballot, genesis } } : state.record
  const acceptedBy = isFounder ? [self] : []
  const sends = genesis.founders
    .filter(({ id }) => id !== self)
    .map(({ id }) => ({ to: id, message: { kind: 'accept', ballot, genesis } as const }))
  const next = { ...state, record, proposal: { ...proposal, genesis, acceptedBy } }
  const { state: after, sends: more } = concludeIfAll(next)
  return { state: after, sends: [...sends, ...more] }
}

function concludeIfAll(state: BallotState): BallotStep {
  const genesis = state.proposal?.genesis
  const acceptedBy = state.proposal?.acceptedBy ?? []
  if (genesis === undefined || acceptedBy.length < genesis.founders.length) return idle(state)
  const sends = genesis.founders
    .filter(({ id }) => id !== state.record.id)
    .map(({ id }) => ({ to: id, message: { kind: 'decided', genesis } as const }))
  return { state: concluded(state, genesis), sends }
}

type Plan =
  | { readonly kind: 'ask'; readonly whom: readonly FounderId[] }
  | { readonly kind: 'propose'; readonly genesis: Genesis }

/** Rules 3 and 4. Asking for nobody new is waiting. */
function planProposal(proposal: Proposal, namespace: string): Plan {
  const { ballot, wanted, parameters, reports } = proposal
  const candidates = listCandidates(reports)
  const alive = candidates.filter(({ genesis }) => !isDead(genesis, reports))
  for (const { genesis } of alive) {
    if (genesis.founders.every(({ id }) => reports.has(id))) return { kind: 'propose', genesis }
  }
  const whom = [...wanted, ...alive.flatMap(({ genesis }) => genesis.founders)].map(({ id }) => id)
  if (alive.length > 0 || whom.some((id) => !reports.has(id))) {
    return { kind: 'ask', whom: [...new Set(whom)] }
  }
  const again = candidates.find(({ genesis }) => hasFounders(genesis, wanted))
  if (again !== undefined) return { kind: 'propose', genesis: again.genesis }
  const genesis = createGenesis({ namespace, founders: wanted, parameters, born: ballot })
  return { kind: 'propose', genesis }
}

/** Every reported genesis once, of the highest ballot first. */
function listCandidates(reports: Proposal['reports']): readonly Accepted[] {
  const highest = new Map<string, Accepted>()
  for (const accepted of reports.values()) {
    if (accepted === undefined) continue
    const known = highest.get(accepted.genesis.clusterId)
    if (known !== undefined && compareBallots(known.ballot, accepted.ballot) >= 0) continue
    highest.set(accepted.genesis.clusterId, accepted)
  }
  return [...highest.values()].sort((a, b) => compareBallots(b.ballot, a.ballot))
}

function isDead(genesis: Genesis, reports: Proposal['reports']): boolean {
  return genesis.founders.some(
    ({ id }) => reports.has(id) && !isSameGenesis(reports.get(id)?.genesis, genesis),
  )
}

function fits({ founders }: Genesis, { size, nodes }: BallotRules): boolean {
  if (founders.length !== size) return false
  return nodes === undefined || founders.every(({ node }) => nodes.includes(node))
}

function hasFounders(genesis: Genesis, wanted: readonly Founder[]): boolean {
  return wanted.every(({ id }) => listsFounder(genesis, id))
}

function reply(state: BallotState, to: FounderId, message: BallotMessage): BallotStep {
  return { state, sends: [{ to, message }] }
}

function idle(state: BallotState): BallotStep {
  return { state, sends: [] }
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeId } from '../../base/index.ts'
import { type BallotState, type BallotStep, beginBallot, takeBallotMessage } from './ballots.ts'
import { createGenesis, type Founder } from './genesis.ts'
import type { BallotMessage } from './messages.ts'
import { newRecord } from './record.ts'

const idOf = (node: number): string => node.toString(16).padStart(32, '0')
const founder = (node: number): Founder => ({ id: idOf(node), node: nodeId(node) })
const parameters = { heartbeatMs: 100, electionMs: 500 }
const namespace = '/raft/a'

/** Nodes 1..count, and messages that are delivered when the test says so. */
class Nodes {
  readonly #size: number
  readonly states: BallotState[]
  queue: { readonly from: number; readonly to: number; readonly message: BallotMessage }[] = []

  constructor(count: number, size: number) {
    this.#size = size
    this.states = Array.from({ length: count }, (_, i) => ({
      record: newRecord(namespace, idOf(i + 1), nodeId(i + 1)),
      proposal: undefined,
      roundSeen: 0,
    }))
  }

  begin(node: number, wanted: readonly number[]): void {
    const given = { wanted: wanted.map(founder), parameters }
    this.#follow(node, beginBallot(this.state(node), this.#rules(), given))
  }

  /** Delivers until nothing is left; messages to `deaf` nodes are lost. */
  settle(deaf: readonly number[] = []): void {
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
      if (deaf.includes(next.to) || deaf.includes(next.from)) continue
      this.deliver(next.from, next.to, next.message)
    }
  }

  deliver(from: number, to: number, message: BallotMessage): void {
    const given = { from: idOf(from), message }
    this.#follow(to, takeBallotMessage(this.state(to), this.#rules(), given))
  }

  state(node: number): BallotState {
    const state = this.states[node - 1]
    assert.ok(state)
    return state
  }

  cluster(node: number): string | undefined {
    return this.state(node).record.cluster?.genesis.clusterId
  }

  foundersAt(node: number): readonly number[] | undefined {
    return this.state(node).record.cluster?.genesis.founders.map(({ node }) => node)
  }

  #rules() {
    return { size: this.#size, mayFound: true }
  }

  #follow(node: number, { state, sends }: BallotStep): void {
    this.states[node - 1] = state
    for (const { to, message } of sends) {
      this.queue.push({ from: node, to: Number.parseInt(to, 16), message })
    }
  }
}

test('without faults one ballot founds a cluster that all hold alike', () => {
  const nodes = new Nodes(3, 3)
  nodes.begin(2, [1, 2, 3])
  nodes.settle()
  assert.ok(nodes.cluster(1))
  assert.equal(nodes.cluster(2), nodes.cluster(1))
  assert.equal(nodes.cluster(3), nodes.cluster(1))
})

test('size 1 is decided at once, and needs nobody', () => {
  const nodes = new Nodes(1, 1)
  nodes.begin(1, [1])
  assert.deepEqual(nodes.foundersAt(1), [1])
  assert.equal(nodes.queue.length, 0)
})

test('all founders must accept: two of three decide nothing', () => {
  const nodes = new Nodes(3, 3)
  nodes.begin(1, [1, 2, 3])
  nodes.settle([3])
  assert.equal(nodes.cluster(1) ?? nodes.cluster(2), undefined)
})

test('whoever hears of an accepted genesis finishes that one', () => {
  const nodes = new Nodes(4, 3)
  nodes.begin(1, [1, 2, 3])
  while (nodes.queue.some(({ message }) => message.kind !== 'accepted')) {
    const next = nodes.queue.shift()
    assert.ok(next)
    if (next.message.kind === 'accepted') nodes.queue.push(next)
    else nodes.deliver(next.from, next.to, next.message)
  }
  nodes.queue = []
  nodes.begin(4, [2, 3, 4])
  nodes.settle()
  assert.deepEqual(nodes.foundersAt(2), [1, 2, 3])
  assert.deepEqual(nodes.foundersAt(1), [1, 2, 3])
})

test('a genesis that one founder can never accept is given up; one whose founder is silent is not', () => {
  const play = (silent: readonly number[]): Nodes => {
    const nodes = new Nodes(4, 3)
    nodes.begin(1, [1, 2, 3])
    const isLost = (kind: string, to: number): boolean => kind === 'accept' && to === 3
    for (let next = nodes.queue.shift(); next !== undefined; next = nodes.queue.shift()) {
      if (!isLost(next.message.kind, next.to)) nodes.deliver(next.from, next.to, next.message)
    }
    nodes.begin(4, [2, 3, 4])
    nodes.settle(silent)
    return nodes
  }
  assert.deepEqual(play([]).foundersAt(4), [2, 3, 4], '3 reports that it never accepted')
  assert.equal(play([3]).cluster(4), undefined)
  const nodes = play([])
  assert.equal(nodes.cluster(1), undefined, 'the first proposer learns of it by asking')
  nodes.begin(1, [1, 2, 3])
  nodes.settle()
  assert.deepEqual(nodes.foundersAt(1), [2, 3, 4])
})

test('a promise and an acceptance are only given to the proposer of the ballot, and never below', () => {
  const nodes = new Nodes(3, 3)
  const low = { round: 1, proposer: idOf(1) }
  const high = { round: 2, proposer: idOf(3) }
  nodes.deliver(3, 2, { kind: 'prepare', ballot: low })
  assert.equal(nodes.state(2).record.promised.round, 0)
  nodes.deliver(3, 2, { kind: 'prepare', ballot: high })
  const founders = [1, 2, 3].map(founder)
  const genesis = createGenesis({ namespace, founders, parameters, born: low })
  nodes.deliver(1, 2, { kind: 'accept', ballot: low, genesis })
  assert.equal(nodes.state(2).record.accepted, undefined)
  nodes.deliver(3, 2, { kind: 'accept', ballot: { ...high, round: 3 }, genesis })
  assert.equal(nodes.state(2).record.accepted, undefined, 'it promised no such ballot')
  nodes.deliver(3, 2, { kind: 'prepare', ballot: { round: 2 ** 39, proposer: idOf(3) } })
  assert.equal(nodes.state(2).record.promised.round, 2, 'rounds do not leap to the end')
})

test('a genesis of another size or namespace is not accepted', () => {
  const nodes = new Nodes(3, 3)
  const ballot = { round: 1, proposer: idOf(1) }
  nodes.deliver(1, 2, { kind: 'prepare', ballot })
  const pair = [1, 2].map(founder)
  const three = [1, 2, 3].map(founder)
  const small = createGenesis({ namespace, founders: pair, parameters, born: ballot })
  const other = createGenesis({ namespace: '/raft/b', founders: three, parameters, born: ballot })
  for (const genesis of [small, other]) {
    nodes.deliver(1, 2, { kind: 'accept', ballot, genesis })
    assert.equal(nodes.state(2).record.accepted, undefined)
  }
})

test('a decision is final, and is what every later question is answered with', () => {
  const nodes = new Nodes(3, 2)
  nodes.begin(1, [1, 2])
  nodes.settle()
  const decided = nodes.cluster(2)
  const born = { round: 9, proposer: idOf(3) }
  const rival = createGenesis({ namespace, founders: [2, 3].map(founder), parameters, born })
  nodes.deliver(3, 2, { kind: 'decided', genesis: rival })
  assert.equal(nodes.cluster(2), decided)
  nodes.begin(3, [2, 3])
  nodes.settle()
  assert.equal(nodes.cluster(3), decided)
  assert.equal(nodes.state(3).record.cluster?.isMember, false)
})

test('a founder that lost its synced acceptance does not become a member again', () => {
  const nodes = new Nodes(3, 3)
  const founders = [1, 2, 3].map(founder)
  const born = { round: 1, proposer: idOf(1) }
  const genesis = createGenesis({ namespace, founders, parameters, born })
  nodes.deliver(1, 2, { kind: 'decided', genesis })
  assert.equal(nodes.cluster(2), undefined)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, nodeId } from '../../base/index.ts'
import type { Alarm } from './alarms.ts'
import { checkConfig, type FoundingConfig, presets, type Universe } from './config.ts'
import {
  type FormationInput,
  type FormationState,
  standingOf,
  startFormation,
  stepFormation,
  votersOf,
} from './formation.ts'
import type { Envelope } from './messages.ts'
import { newRecord } from './record.ts'

const idOf = (node: number): string => node.toString(16).padStart(32, '0')

type Running = { readonly config: FoundingConfig; state: FormationState }

/** Nodes whose messages take no time, on one virtual clock. */
class Mesh {
  nowMs = 0
  readonly alarms: { readonly node: number; readonly alarm: Alarm }[] = []
  readonly joins: { readonly node: number; readonly via: readonly string[] }[] = []
  readonly knows = new Map<number, readonly number[]>()
  readonly cut = new Set<string>()
  readonly nodes = new Map<number, Running>()

  start(node: number, universe: Universe, more: Partial<FoundingConfig> = {}): void {
    const config: FoundingConfig = {
      namespace: '/raft/a',
      universe,
      isForced: false,
      ...presets.regional,
      address: String(node),
      ...more,
    }
    checkConfig(config)
    const record = newRecord('/raft/a', idOf(node), nodeId(node))
    this.nodes.set(node, { config, state: startFormation(config, record, this.nowMs) })
  }

  run(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; this.nowMs += 50) {
      for (const node of [...this.nodes.keys()]) {
        const contacts = (this.knows.get(node) ?? [...this.nodes.keys()]).map(String)
        this.give(node, { kind: 'tick', contacts })
      }
    }
  }

  give(node: number, input: FormationInput): void {
    const running = this.nodes.get(node)
    if (running === undefined) return
    const given = { input, nowMs: this.nowMs }
    const { state, sends, alarms, join } = stepFormation(running.config, running.state, given)
    running.state = state
    for (const alarm of alarms) this.alarms.push({ node, alarm })
    if (join !== undefined) this.joins.push({ node, via: join.via })
    for (const { address, envelope } of sends) this.#carry(node, Number(address), envelope)
  }

  standing(node: number) {
    const running = this.nodes.get(node)
    assert.ok(running)
    return standingOf(running.config, running.state)
  }

  members(): readonly number[] {
    return [...this.nodes.keys()].filter((node) => this.standing(node).kind === 'member')
  }

  founders(): readonly number[] {
    const standing = this.standing(this.members()[0] ?? 1)
    return standing.kind === 'member' ? votersOf(standing.genesis) : []
  }

  raised(kind: Alarm['kind']): readonly number[] {
    return this.alarms.filter(({ alarm }) => alarm.kind === kind).map(({ node }) => node)
  }

  #carry(from: number, to: number, envelope: Envelope): void {
    if (!this.cut.has(`${from}>${to}`)) this.give(to, { kind: 'message', envelope })
  }
}

const three: Universe = { kind: 'size', size: 3 }

test('founding waits for the bootstrap timeout, then takes one round', () => {
  const mesh = new Mesh()
  for (const node of [1, 2, 3]) mesh.start(node, three)
  mesh.run(9_900)
  assert.deepEqual(mesh.members(), [])
  mesh.run(300)
  assert.deepEqual(mesh.members(), [1, 2, 3])
})

test('seen before 0.8 of the timeout is a founder, after it a late joiner', () => {
  const early = new Mesh()
  for (const node of [2, 3, 4]) early.start(node, three)
  early.run(7_500)
  early.start(1, three)
  early.run(4_000)
  assert.deepEqual(early.founders(), [1, 2, 3])

  const late = new Mesh()
  for (const node of [2, 3, 4]) late.start(node, three)
  late.run(8_500)
  late.start(1, three)
  late.run(4_000)
  assert.deepEqual(late.founders(), [2, 3, 4])
  assert.equal(late.standing(1).kind, 'joining')
  assert.deepEqual(late.joins.at(-1), { node: 1, via: ['2', '3', '4'] })
  late.give(1, { kind: 'taken-in' })
  assert.deepEqual(late.members(), [2, 3, 4, 1])
})

test('who saw nobody founds alone with size 1 or by force only', () => {
  const mesh = new Mesh()
  mesh.start(1, { kind: 'size', size: 2 })
  mesh.run(120_000)
  assert.deepEqual(mesh.standing(1), { kind: 'searching', seen: 1, expected: 2 })
  const single = new Mesh()
  single.start(1, { kind: 'size', size: 1 })
  single.run(10_100)
  assert.deepEqual(single.members(), [1])
  const forced = new Mesh()
  forced.start(1, three, { isForced: true })
  forced.run(100)
  assert.deepEqual(forced.members(), [1])
})

test('A saw C, so B knows C: one contact each is enough', () => {
  const mesh = new Mesh()
  for (const node of [1, 2, 3]) mesh.start(node, three)
  mesh.knows.set(1, []).set(2, [1]).set(3, [2])
  mesh.run(10_500)
  assert.deepEqual(mesh.members(), [1, 2, 3])
})

test('without a path between two of three the third brings them together', () => {
  const mesh = new Mesh()
  for (const node of [1, 2, 3]) mesh.start(node, three)
  mesh.cut.add('1>3').add('3>1')
  mesh.run(30_000)
  assert.deepEqual(mesh.members(), [1, 2, 3])
})

test('a list founds as soon as all of it is there, and nobody else is a founder', () => {
  const mesh = new Mesh()
  const listed: Universe = { kind: 'list', nodes: [2, 3, 4] }
  for (const node of [1, 2, 3]) mesh.start(node, listed)
  mesh.run(60_000)
  assert.deepEqual(mesh.members(), [])
  mesh.start(4, listed)
  mesh.run(3_000)
  assert.deepEqual(mesh.members(), [2, 3, 4])
  assert.equal(mesh.standing(1).kind, 'joining')
})

test('2 N nodes that may found are refused, with advice; fewer are not', () => {
  const mesh = new Mesh()
  for (const node of [1, 2, 3, 4]) mesh.start(node, { kind: 'size', size: 2 })
  mesh.run(30_000)
  assert.deepEqual(mesh.members(), [])
  assert.deepEqual(mesh.raised('too-many-founders'), [1, 2, 3, 4])
  const again = new Mesh()
  for (const node of [1, 2, 3]) again.start(node, { kind: 'size', size: 2 })
  again.start(4, { kind: 'join' })
  again.run(15_000)
  assert.deepEqual(again.founders(), [1, 2])
  assert.equal(again.standing(4).kind, 'joining')
})

test('nodes that expect different numbers do not found together, and say so', () => {
  const mesh = new Mesh()
  for (const node of [1, 2]) mesh.start(node, three)
  mesh.start(3, { kind: 'size', size: 4 })
  mesh.run(30_000)
  assert.deepEqual(mesh.members(), [])
  assert.deepEqual([...new Set(mesh.raised('other-size'))].sort(), [1, 2, 3])
})

test('two clusters that meet refuse each other, and both say what to do, once', () => {
  const mesh = new Mesh()
  mesh.start(1, three, { isForced: true })
  mesh.start(2, three, { isForced: true })
  mesh.cut.add('1>2').add('2>1')
  mesh.run(500)
  assert.deepEqual(mesh.members(), [1, 2])
  mesh.cut.clear()
  mesh.run(20_000)
  assert.deepEqual([...mesh.raised('two-clusters')].sort(), [1, 2])
  assert.match(mesh.alarms[0]?.alarm.next ?? '', /delete the data directories/)
  assert.equal(mesh.joins.length, 0)
})

test('join first: force does nothing where a cluster was seen or is held', () => {
  const mesh = new Mesh()
  for (const node of [1, 2, 3]) mesh.start(node, three)
  mesh.run(11_000)
  const held = mesh.nodes.get(1)
  assert.ok(held)
  const before = held.state.ballots.record
  const forced = { ...held.config, isForced: true }
  mesh.nodes.set(1, { config: forced, state: startFormation(forced, before, mesh.nowMs) })
  mesh.run(5_000)
  assert.equal(mesh.nodes.get(1)?.state.ballots.record, before)
})

test('a removed node keeps the cluster, takes a new identity and asks back', () => {
  const mesh = new Mesh()
  for (const node of [1, 2, 3]) mesh.start(node, three)
  mesh.run(11_000)
  mesh.give(2, { kind: 'removed', freshId: idOf(22), node: nodeId(22) })
  assert.equal(mesh.standing(2).kind, 'joining')
  mesh.run(1_000)
  assert.equal(mesh.joins.at(-1)?.node, 2)
  const record = mesh.nodes.get(2)?.state.ballots.record
  assert.equal(record?.id, idOf(22))
  assert.equal(record?.accepted, undefined)
})

test('a copy of a data directory is told from the node', () => {
  const mesh = new Mesh()
  mesh.start(1, three)
  const running = mesh.nodes.get(1)
  assert.ok(running)
  const config = { ...running.config, address: '9' }
  mesh.nodes.set(9, { config, state: running.state })
  mesh.run(1_000)
  assert.deepEqual([...mesh.raised('same-identity')].sort(), [1, 9])
})

test('a founder that is silent is named once the others wait for it', () => {
  const mesh = new Mesh()
  const listed: Universe = { kind: 'list', nodes: [1, 2, 3] }
  for (const node of [1, 2, 3]) mesh.start(node, listed)
  for (const other of [1, 2]) mesh.cut.add(`${other}>3`)
  mesh.knows.set(3, [1, 2])
  mesh.run(60_000)
  assert.deepEqual(mesh.members(), [])
  assert.ok(mesh.raised('founder-missing').includes(1))
})

test('what cannot be meant is refused', () => {
  const good: FoundingConfig = {
    namespace: '/raft/a',
    universe: three,
    isForced: false,
    ...presets.regional,
    address: '1',
  }
  const bad: readonly FoundingConfig[] = [
    { ...good, namespace: '/other/a' },
    { ...good, namespace: '/raft/' },
    { ...good, universe: { kind: 'size', size: 0 } },
    { ...good, universe: { kind: 'size', size: 65 } },
    { ...good, universe: { kind: 'size', size: 1.5 } },
    { ...good, universe: { kind: 'list', nodes: [1, 1, 2] } },
    { ...good, times: { ...good.times, threshold: 0 } },
    { ...good, times: { ...good.times, exchangeMs: 0 } },
  ]
  for (const config of bad) {
    assert.throws(
      () => checkConfig(config),
      (error) => isFault(error, 'invalid'),
    )
  }
  for (const { times, parameters } of Object.values(presets)) {
    checkConfig({ ...good, times, parameters })
    assert.ok(parameters.electionMs >= 5 * parameters.heartbeatMs)
  }
  assert.equal(presets.regional.times.bootstrapMs, 10_000)
  assert.equal(presets.regional.times.threshold, 0.8)
})

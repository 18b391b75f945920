import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type NodeId, nodeId, type Random, seededRandom } from '../../base/index.ts'
import type { Member, PlacementRule } from '../cluster.ts'
import { chooseHolders, PlacementTable } from './placement.ts'
import { checkLabels, checkRule, unmetLabels } from './placement-rule.ts'
import { leastDrawWithin, remotenessOf, weightsOf } from './remoteness.ts'

const gibibyte = 2 ** 30

function member(id: number, told: Partial<Member> = {}): Member {
  const address = { host: '10.0.0.1', port: 1 }
  return {
    id: nodeId(id),
    name: `node-${id}`,
    state: 'online',
    control: address,
    bulk: address,
    admin: address,
    s3: address,
    labels: {},
    caps: [],
    version: '',
    capacityBytes: 0,
    replaces: undefined,
    ...told,
  }
}

const rule = (minDistinct: Record<string, number>): PlacementRule => ({
  dataShards: 2,
  parityShards: 1,
  minDistinct,
  weights: 'capacity',
  repairAfterMs: 0,
})

/** Racks of ten in `dcs` data centres; capacities of 1, 2 or 3 TiB. */
function fleet(count: number, dcs: number): Member[] {
  return Array.from({ length: count }, (_, at) =>
    member(at + 1, {
      labels: { dc: `dc-${at % dcs}`, rack: `rack-${at % dcs}-${Math.floor(at / dcs / 10)}` },
      capacityBytes: (1 + (at % 3)) * 1024 * gibibyte,
    }),
  )
}

const allUp = (): boolean => true
const chunksOf = (count: number, random: Random): Uint8Array[] =>
  Array.from({ length: count }, () => random.bytes(16))

test('the walk over the nearest finds what the walk over all finds', () => {
  const random = seededRandom(5)
  for (let round = 0; round < 150; round++) {
    const members = fleet(1 + random.integer(120), 1 + random.integer(6))
    const ruled = rule({ dc: random.integer(4), rack: random.integer(5) })
    const table = new PlacementTable(members, ruled)
    const down = new Set(members.filter(() => random.chance(0.2)).map(({ id }) => id))
    const isUp = (id: NodeId): boolean => !down.has(id)
    const count = 1 + random.integer(6)
    const held = random.chance(0.3) ? [members[0]?.id ?? nodeId(1)] : []
    for (const chunk of chunksOf(10, random)) {
      const options = { count, isUp, held }
      const places = table.explain(chunk, options).filter(({ place }) => place > 0)
      const walked = places.sort((a, b) => a.place - b.place).map(({ id }) => id)
      assert.deepEqual(table.choose(chunk, options), walked)
      const shuffled = [...members].sort((a, b) => ((a.id * 37) % 11) - ((b.id * 37) % 11))
      assert.deepEqual(chooseHolders(chunk, shuffled, { ...options, rule: ruled }), walked)
    }
  }
})

test('distances fall with the draw, and are those of the logarithm', () => {
  const random = seededRandom(2)
  let before = remotenessOf(0)
  for (let step = 1; step < 20_000; step++) {
    const draw = step * 214_748 + random.integer(214_748)
    const now = remotenessOf(draw)
    assert.ok(now <= before && Number.isInteger(now))
    const exact = -Math.log2((draw + 1) / 2 ** 32) * 2 ** 26
    assert.ok(Math.abs(now - exact) < 64 + exact * 1e-6, `${now} for ${exact}`)
    assert.ok(remotenessOf(leastDrawWithin(now)) <= now)
    before = now
  }
  assert.deepEqual([remotenessOf(0xffffffff), remotenessOf(0)], [0, 32 * 2 ** 26])
})

test('who has twice the bytes holds twice the shards; who has not told weighs as the least', () => {
  assert.deepEqual(weightsOf([0, 512 * gibibyte, 1024 * gibibyte]), [2048, 2048, 4096])
  assert.deepEqual(weightsOf([0, 0]), [1, 1])
  const sizes = [1, 1, 2, 4, 8]
  const members = sizes.map((size, at) => member(at + 1, { capacityBytes: size * 100 * gibibyte }))
  const table = new PlacementTable(members, rule({}))
  const held = new Map<NodeId, number>()
  for (const chunk of chunksOf(32_000, seededRandom(3))) {
    for (const id of table.choose(chunk, { count: 1, isUp: allUp })) {
      held.set(id, (held.get(id) ?? 0) + 1)
    }
  }
  for (const [at, size] of sizes.entries()) {
    const share = (held.get(nodeId(at + 1)) ?? 0) / 32_000
    assert.ok(Math.abs(share / (size / 16) - 1) < 0.08, `${share} for ${size} of 16`)
  }
})

test('equal capacities, known or not, choose as no capacities do', () => {
  const plain = Array.from({ length: 9 }, (_, at) => member(at + 1))
  const told = plain.map((one) => ({ ...one, capacityBytes: 77 * gibibyte }))
  const halfTold = told.map((one, at) => (at % 2 === 0 ? one : { ...one, capacityBytes: 0 }))
  const unequal = told.map((one, at) => ({ ...one, capacityBytes: (at + 1) * gibibyte }))
  const equalWeights: PlacementRule = { ...rule({}), weights: 'equal' }
  for (const chunk of chunksOf(500, seededRandom(4))) {
    const options = { count: 4, isUp: allUp }
    const chosen = chooseHolders(chunk, plain, options)
    assert.deepEqual(chooseHolders(chunk, told, options), chosen)
    assert.deepEqual(chooseHolders(chunk, halfTold, options), chosen)
    assert.deepEqual(chooseHolders(chunk, unequal, { ...options, rule: equalWeights }), chosen)
  }
})

test('labels get their distinct values where there are so many, and shards come first where not', () => {
  const members = fleet(60, 3)
  const labelsOf = (id: NodeId) => members[id - 1]?.labels ?? {}
  const distinct = (ids: readonly NodeId[], label: string): number =>
    new Set(ids.map((id) => labelsOf(id)[label])).size
  const table = new PlacementTable(members, rule({ dc: 2, rack: 3 }))
  const isOneDcUp = (id: NodeId): boolean => labelsOf(id).dc === 'dc-1'
  for (const chunk of chunksOf(1_000, seededRandom(6))) {
    const chosen = table.choose(chunk, { count: 3, isUp: allUp })
    assert.ok(distinct(chosen, 'dc') >= 2 && distinct(chosen, 'rack') === 3, chosen.join())
    const inOne = table.choose(chunk, { count: 3, isUp: isOneDcUp })
    assert.deepEqual([inOne.length, distinct(inOne, 'dc')], [3, 1])
    assert.ok(inOne.every(isOneDcUp), 'who is up comes first')
    const [first = nodeId(1), second = nodeId(1)] = chosen
    const repaired = table.choose(chunk, { count: 1, isUp: allUp, held: [first, second] })
    assert.equal(distinct([first, second, ...repaired], 'rack'), 3)
    assert.ok(distinct([first, second, ...repaired], 'dc') >= 2)
  }
})

/** How many shards are where they were not before. */
function movedBetween(
  chunks: readonly Uint8Array[],
  before: PlacementTable,
  after: PlacementTable,
): { readonly moved: number; readonly to: Map<NodeId, number> } {
  let moved = 0
  const to = new Map<NodeId, number>()
  const options = { count: 3, isUp: allUp }
  for (const chunk of chunks) {
    const was = before.choose(chunk, options)
    for (const id of after.choose(chunk, options)) {
      if (was.includes(id)) continue
      moved++
      to.set(id, (to.get(id) ?? 0) + 1)
    }
  }
  return { moved, to }
}

test('a member that comes takes its share and nothing else moves; one that goes moves what it held', () => {
  const chunks = chunksOf(20_000, seededRandom(7))
  const ruled = rule({ dc: 2, rack: 3 })
  const before = fleet(60, 3)
  const came = member(61, {
    labels: { dc: 'dc-0', rack: 'rack-0-9' },
    capacityBytes: 2048 * gibibyte,
  })
  const table = new PlacementTable(before, ruled)
  const grown = movedBetween(chunks, table, new PlacementTable([...before, came], ruled))
  const taken = grown.to.get(came.id) ?? 0
  assert.ok(taken > 0 && grown.moved <= taken * 1.05, `${grown.moved} moved, ${taken} taken`)
  const left = before.filter(({ id }) => id !== 31)
  const shrunk = movedBetween(chunks, table, new PlacementTable(left, ruled))
  let held = 0
  for (const chunk of chunks) {
    if (table.choose(chunk, { count: 3, isUp: allUp }).includes(nodeId(31))) held++
  }
  assert.ok(held > 0 && shrunk.moved <= held * 1.05, `${shrunk.moved} moved, ${held} held`)
})

test('explain tells why: chosen, too far, crowded, down, draining, held', () => {
  const members = [
    ...fleet(6, 2).map((one) => ({ ...one, labels: { dc: one.id === 6 ? 'b' : 'a' } })),
    member(7, { state: 'draining', labels: { dc: 'a' }, capacityBytes: gibibyte }),
    member(8, { state: 'removed' }),
  ]
  const table = new PlacementTable(members, rule({ dc: 2 }))
  const isUp = (id: NodeId): boolean => id !== 5
  const seen = new Set<string>()
  for (const chunk of chunksOf(200, seededRandom(8))) {
    const told = table.explain(chunk, { count: 2, isUp, held: [nodeId(1)] })
    assert.equal(told.length, 7)
    assert.deepEqual(
      told.map(({ rank }) => rank),
      [1, 2, 3, 4, 5, 6, 7],
    )
    for (const { verdict, place, labels, id } of told) {
      seen.add(verdict)
      assert.equal(place > 0, verdict === 'chosen')
      assert.deepEqual(labels, verdict === 'crowded' ? ['dc'] : [])
      if (id === 6) assert.equal(verdict, 'chosen')
    }
  }
  assert.deepEqual([...seen].sort(), ['chosen', 'crowded', 'down', 'draining', 'far', 'held'])
})

test('rules and labels that nobody can keep to are refused', () => {
  checkRule(rule({ dc: 2, 'topology/zone': 3 }))
  assert.throws(() => checkRule({ ...rule({}), dataShards: 0 }), /data shards/)
  assert.throws(() => checkRule({ ...rule({}), parityShards: 31 }), /data and parity/)
  assert.throws(() => checkRule(rule({ dc: 4 })), /distinct values of dc/)
  assert.throws(() => checkRule(rule({ 'no label': 2 })), /no name for a label/)
  assert.throws(() => checkRule({ ...rule({}), repairAfterMs: -1 }), /before repair/)
  checkLabels({ rack: 'r-1', dc: 'FRA.1' })
  assert.throws(() => checkLabels({ rack: '' }), /no value/)
  assert.throws(() => checkLabels({ rack: 'x'.repeat(64) }), /no value/)
  assert.throws(() => checkLabels({ 'Ra ck': 'x' }), /no name/)
  assert.deepEqual(unmetLabels(rule({ dc: 3, rack: 1 }), fleet(4, 2)), [
    { label: 'dc', wanted: 3, found: 2 },
  ])
})

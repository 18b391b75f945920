import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, nodeId, seededRandom, toHex } from '../../base/index.ts'
import { createGenesis, decodeGenesis, encodeGenesis, genesisHash } from './genesis.ts'
import { type Body, decodeEnvelope, encodeEnvelope, type Envelope } from './messages.ts'
import { decodeRecord, encodeRecord, type FoundingRecord, newRecord } from './record.ts'

const idOf = (node: number): string => node.toString(16).padStart(32, '0')
const ballot = { round: 3, proposer: idOf(2) }
const genesis = createGenesis({
  namespace: '/raft/cron',
  founders: [2, 1].map((node) => ({ id: idOf(node), node: nodeId(node) })),
  parameters: { heartbeatMs: 200, electionMs: 1_000 },
  born: ballot,
})
const record: FoundingRecord = {
  ...newRecord('/raft/cron', idOf(1), nodeId(1)),
  promised: ballot,
  accepted: { ballot, genesis },
  cluster: { genesis, isMember: true },
}
const bodies: readonly Body[] = [
  {
    kind: 'hello',
    isReply: true,
    size: 3,
    sightings: [
      {
        id: idOf(2),
        node: nodeId(2),
        address: '127.0.0.2:6660',
        firstSeenAgoMs: 7,
        heardAgoMs: 0,
        isEligible: true,
      },
    ],
  },
  { kind: 'prepare', ballot },
  { kind: 'report', ballot, promised: ballot, accepted: undefined },
  { kind: 'report', ballot, promised: ballot, accepted: { ballot, genesis } },
  { kind: 'accept', ballot, genesis },
  { kind: 'accepted', ballot },
  { kind: 'decided', genesis },
]
const envelopes: readonly Envelope[] = bodies.map((body) => ({
  namespace: '/raft/cron',
  from: { id: idOf(1), node: nodeId(1), address: '127.0.0.1:6660' },
  cluster: body.kind === 'decided' ? genesis.clusterId : undefined,
  body,
}))

/** Decodes mutated bytes: whatever is not refused as corrupt must be sound enough to encode again. */
function fuzz(seed: number, good: Uint8Array, decode: (bytes: Uint8Array) => unknown): number {
  const random = seededRandom(seed)
  let refused = 0
  for (let round = 0; round < 1_500; round++) {
    const bad = random.chance(0.3)
      ? random.bytes(random.integer(60))
      : good.slice(0, random.chance(0.5) ? good.length : random.integer(good.length + 1))
    for (let flips = random.integer(3); flips >= 0 && bad.length > 0; flips--) {
      bad[random.integer(bad.length)] = random.integer(256)
    }
    try {
      decode(bad)
    } catch (error) {
      assert.ok(isFault(error, 'corrupt'), String(error))
      refused++
    }
  }
  return refused
}

test('a genesis is the same bytes whoever writes it: golden', () => {
  assert.equal(
    toHex(encodeGenesis(genesis)),
    '01b51ca1420a0a2f726166742f63726f6e122065633932386535373661666531323836373035643139326530623265366130331a240a20303030303030303030303030303030303030303030303030303030303030303110011a240a203030303030303030303030303030303030303030303030303030303030303032100220c80128e80730033a203030303030303030303030303030303030303030303030303030303030303032',
  )
  assert.equal(
    genesisHash(genesis),
    'b4e2d73d6bed16ebb0f21542570cff9a46ea79ba921d9433685d6f74fc9ad969',
  )
  const { clusterId: _, ...rest } = genesis
  const turned = createGenesis({ ...rest, founders: [...rest.founders].reverse() })
  assert.deepEqual(turned, genesis)
  assert.deepEqual(decodeGenesis(encodeGenesis(genesis)), genesis)
})

test('anything else in it makes another cluster', () => {
  const { clusterId: _, ...rest } = genesis
  const others = [
    { ...rest, namespace: '/raft/other' },
    { ...rest, founders: rest.founders.slice(0, 1) },
    { ...rest, born: { ...ballot, round: 4 } },
    { ...rest, parameters: { heartbeatMs: 1, electionMs: 1_000 } },
  ]
  const ids = new Set(others.map((other) => createGenesis(other).clusterId))
  assert.equal(ids.size, others.length)
  assert.ok(!ids.has(genesis.clusterId))
  const lied = encodeGenesis({ ...genesis, clusterId: createGenesis(others[0] ?? rest).clusterId })
  assert.throws(
    () => decodeGenesis(lied),
    (error) => isFault(error, 'corrupt'),
  )
})

test('a record reads back; an old one still does: golden', () => {
  assert.deepEqual(decodeRecord(encodeRecord(record)), record)
  const fresh = newRecord('/raft/cron', idOf(1), nodeId(1))
  assert.deepEqual(decodeRecord(encodeRecord(fresh)), fresh)
  assert.equal(
    toHex(encodeRecord(fresh)),
    '01e8d017820a0a2f726166742f63726f6e122030303030303030303030303030303030303030303030303030303030303030311801',
  )
})

test('every message reads back; hello and prepare: golden', () => {
  for (const envelope of envelopes) {
    assert.deepEqual(decodeEnvelope(encodeEnvelope(envelope)), envelope)
  }
  assert.deepEqual(
    envelopes.slice(0, 2).map((envelope) => toHex(encodeEnvelope(envelope))),
    [
      '010a0a2f726166742f63726f6e122030303030303030303030303030303030303030303030303030303030303030311801220e3132372e302e302e313a36363630323e080110031a380a20303030303030303030303030303030303030303030303030303030303030303210021a0e3132372e302e302e323a3636363020073001',
      '010a0a2f726166742f63726f6e122030303030303030303030303030303030303030303030303030303030303030311801220e3132372e302e302e313a363636303a260a24080312203030303030303030303030303030303030303030303030303030303030303032',
    ],
  )
})

test('hostile bytes are refused as corrupt, and no flipped bit of a record goes unseen', () => {
  fuzz(1, encodeGenesis(genesis), decodeGenesis)
  fuzz(2, encodeRecord(record), decodeRecord)
  for (const [at, envelope] of envelopes.entries()) {
    const refused = fuzz(3 + at, encodeEnvelope(envelope), decodeEnvelope)
    assert.ok(refused > 300)
  }
  const sealed = encodeRecord(record)
  for (let at = 0; at < sealed.length; at++) {
    const flipped = sealed.slice()
    flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
    assert.throws(
      () => decodeRecord(flipped),
      (error) => isFault(error, 'corrupt'),
    )
  }
})

test('what no correct node writes is refused although its checksum is right', () => {
  const bad: readonly FoundingRecord[] = [
    { ...record, id: 'me' },
    { ...record, node: nodeId(0) },
    { ...record, promised: { round: 3, proposer: 'x' } },
    { ...record, promised: { round: 2 ** 50, proposer: idOf(1) } },
    { ...record, accepted: { ballot: { round: 0, proposer: '' }, genesis } },
  ]
  for (const record of bad) {
    assert.throws(
      () => decodeRecord(encodeRecord(record)),
      (error) => isFault(error, 'corrupt'),
    )
  }
  const [hello] = envelopes
  assert.ok(hello)
  const twice = encodeEnvelope({ ...hello, body: { kind: 'prepare', ballot } })
  const both = new Uint8Array([...encodeEnvelope(hello), ...twice.subarray(1)])
  assert.throws(
    () => decodeEnvelope(both),
    (error) => isFault(error, 'corrupt'),
  )
  const sightings = Array.from({ length: 65 }, () => ({
    ...hello.from,
    firstSeenAgoMs: 1,
    heardAgoMs: 1,
    isEligible: true,
  }))
  const many = { ...hello, body: { kind: 'hello', isReply: false, size: 3, sightings } } as const
  assert.throws(
    () => decodeEnvelope(encodeEnvelope(many)),
    (error) => isFault(error, 'corrupt'),
  )
})

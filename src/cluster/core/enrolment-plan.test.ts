import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, Fault, isFault, nodeId, seededRandom, utf8Encode } from '../../base/index.ts'
import type { Member } from '../cluster.ts'
import type { JoinFields } from '../enrolment.ts'
import { configDefaults } from './cluster-config.ts'
import {
  type JoinRequest,
  parseJoinAnswer,
  proofOf,
  readJoinRequest,
  renderJoinAnswer,
  renderJoinRequest,
  transcriptOf,
} from './enrol-messages.ts'
import type { EnrolmentRecord, TokenRecord } from './enrolment-records.ts'
import { type EnrolmentFacts, isCompatible, planEnrolment } from './enrolment-plan.ts'

const cluster = clusterId('00112233445566778899aabbccddeeff')
const nowMs = 1_800_000_000_000
const proofKey = new Uint8Array(32).fill(7)
const serverKeyHash = 'ab'.repeat(32)
const keyHash = 'cd'.repeat(32)

const at = (host: string) => ({
  control: { host, port: 6660 },
  bulk: { host, port: 9991 },
  admin: { host, port: 7777 },
  s3: { host, port: 9000 },
})
const fields: JoinFields = {
  clusterId: cluster,
  name: 'node2',
  region: 'ap-southeast-2',
  zone: 'ap-southeast-2a',
  ...at('10.11.12.2'),
  caps: ['control', 's3'],
  labels: { rack: 'r1' },
  capacityBytes: 5,
  version: '0.1.0',
  ts: nowMs / 1000,
}
const member = (id: number, change: Partial<Member> = {}): Member => ({
  id: nodeId(id),
  name: `node${id}`,
  state: 'online',
  ...at(`10.11.12.${id}`),
  labels: {},
  caps: [],
  version: '0.1.0',
  capacityBytes: 0,
  replaces: undefined,
  ...change,
})
const token: TokenRecord = {
  id: 'ABC123',
  proofKey: new Uint8Array(0),
  pin: '',
  createdMs: nowMs - 1000,
  expiresMs: nowMs + 1000,
  uses: 1,
  usesLeft: 1,
  name: '',
  addressPrefix: '',
  approval: 'automatic',
  replaces: undefined,
  createdBy: 'me',
  revokedMs: 0,
}
const facts: EnrolmentFacts = {
  nowMs,
  clusterId: cluster,
  region: 'ap-southeast-2',
  version: '0.1.0',
  config: configDefaults,
  serverKeyHashes: [serverKeyHash],
  keyHash,
  members: [member(1)],
  lastId: 1,
  listed: [],
  token,
  proofKey,
  enrolment: undefined,
  pendingCount: 0,
}

function ask(change: Partial<JoinFields> = {}, by: 'token' | 'cluster' = 'token'): JoinRequest {
  const transcribed = {
    fields: { ...fields, ...change },
    nodeRequestPem: 'node pem',
    serverRequestPem: 'server pem',
    serverKeyHash,
    tokenId: by === 'token' ? token.id : undefined,
  }
  const proof = by === 'token' ? proofOf(proofKey, transcriptOf(transcribed)) : undefined
  return { ...transcribed, proof, signature: new Uint8Array(64) }
}

function refusal(request: JoinRequest, change: Partial<EnrolmentFacts> = {}): string {
  try {
    return planEnrolment(request, { ...facts, ...change }).kind
  } catch (error) {
    if (!isFault(error)) throw error
    assert.ok((error.next ?? '').length > 0 || error.code === 'overloaded', 'a next step')
    return `${error.code}: ${error.message}`
  }
}

const record: EnrolmentRecord = {
  keyHash,
  state: 'pending',
  name: 'node2',
  address: '10.11.12.2:6660',
  region: '',
  zone: '',
  caps: [],
  version: '',
  tokenId: token.id,
  replaces: undefined,
  member: undefined,
  requestedMs: nowMs - 1000,
  decidedMs: 0,
  decidedBy: '',
  nodeCertificatePem: '',
  serverCertificatePem: '',
}

test('a machine with a good token becomes a member with the next number', () => {
  const decision = planEnrolment(ask(), facts)
  assert.equal(decision.kind, 'admit')
  if (decision.kind !== 'admit') return
  assert.deepEqual(decision.member, {
    ...member(2),
    state: 'joining',
    labels: { region: fields.region, zone: fields.zone, rack: 'r1' },
    caps: fields.caps,
    capacityBytes: 5,
  })
  assert.equal(decision.token?.usesLeft, 0)
  assert.equal(decision.lastId, 2)
  assert.deepEqual(
    [decision.record.state, decision.record.member, decision.record.address],
    ['joined', 2, '10.11.12.2:6660'],
  )
})

test('the number is the one that the topology file has for its address', () => {
  const listed = [1, 2, 3].map((id) => ({ id: nodeId(id), host: `10.11.12.${id}`, port: 6660 }))
  const given = (change: Partial<EnrolmentFacts>, host: string): number => {
    const decision = planEnrolment(ask(at(host)), { ...facts, listed, lastId: 3, ...change })
    return decision.kind === 'admit' ? decision.member.id : 0
  }
  assert.equal(given({}, '10.11.12.3'), 3)
  const all = { members: [member(1), member(2, { name: 'b', state: 'removed' }), member(3)] }
  assert.equal(given(all, '10.11.12.2'), 4, 'a number is given out once')
  assert.equal(given({ ...all, lastId: 7 }, '10.11.12.9'), 8, 'everybody who is listed has come')
  assert.match(refusal(ask(at('10.11.12.9')), { listed }), /invalid: cluster.toml has no node at/)
  const meant = { ...token, addressPrefix: '10.11.12.9' }
  assert.equal(given({ token: meant }, '10.11.12.9'), 4)
})

test('each refusal is its own', () => {
  const other = { serverKeyHashes: ['00'.repeat(32)] }
  assert.match(refusal(ask(), other), /unauthenticated: the request was made for another server/)
  assert.match(refusal(ask({ clusterId: 'f'.repeat(32) })), /invalid: this is cluster 0011/)
  assert.match(refusal(ask({ clusterId: '' }, 'cluster')), /unauthenticated: joining needs a token/)
  assert.match(
    refusal(ask(), { token: undefined, proofKey: undefined }),
    /unauthenticated: there is no token/,
  )
  assert.match(refusal(ask({ ts: fields.ts - 301 })), /precondition: .* clock is 301 s behind/)
  assert.match(refusal(ask({ ts: fields.ts + 400 })), /precondition: .* clock is 400 s ahead/)
  const has = (change: Partial<TokenRecord>) => ({ token: { ...token, ...change } })
  assert.match(refusal(ask(), has({ expiresMs: nowMs })), /denied: the token ABC123 has expired/)
  assert.match(refusal(ask(), has({ usesLeft: 0 })), /denied: the token ABC123 was used/)
  assert.match(refusal(ask(), has({ usesLeft: 0, uses: 3 })), /was used 3 times/)
  assert.match(refusal(ask(), has({ revokedMs: 1 })), /denied: the token ABC123 was revoked/)
  assert.match(refusal(ask(), has({ name: 'node9' })), /denied: .* for a node named node9/)
  assert.match(
    refusal(ask(), has({ addressPrefix: '10.12.0.0/16' })),
    /denied: .* addresses in 10.12/,
  )
  assert.match(
    refusal(ask({ region: 'eu' })),
    /precondition: this cluster is region ap-southeast-2/,
  )
  assert.match(refusal(ask({ version: '1.0.0' })), /precondition: version 1.0.0 cannot join/)
  assert.match(refusal(ask({ name: 'node1' })), /exists: there is a node named node1/)
  assert.match(refusal(ask(at('10.11.12.1'))), /exists: node 1 .* has the address 10.11.12.1:6660/)
  assert.match(
    refusal(ask(), { config: { ...configDefaults, membersMax: 1 } }),
    /no-space: .* is full/,
  )
  assert.match(refusal(ask({}, 'cluster'), { pendingCount: 256 }), /overloaded: 256 machines wait/)
})

test('a changed field, another secret and a proof for another time are refused', () => {
  const good = ask()
  const changes: readonly Partial<JoinRequest>[] = [
    { fields: { ...good.fields, name: 'node3' } },
    { fields: { ...good.fields, caps: ['control', 's3', 'ec2'] } },
    { fields: { ...good.fields, ts: good.fields.ts + 1 } },
    { fields: { ...good.fields, labels: {} } },
    { nodeRequestPem: 'another key' },
    { serverRequestPem: 'another key' },
    { proof: new Uint8Array(32) },
    { proof: undefined },
    { proof: proofOf(new Uint8Array(32).fill(8), transcriptOf(good)) },
  ]
  for (const change of changes) {
    assert.match(
      refusal({ ...good, ...change }),
      /unauthenticated: the proof for token ABC123 is wrong/,
    )
  }
})

test('nobody without the secret learns whether a token was used', () => {
  const forged = { ...ask(), proof: new Uint8Array(32) }
  const used = { token: { ...token, usesLeft: 0, revokedMs: 1 } }
  assert.equal(refusal(forged), refusal(forged, used))
})

test('the same key asking again is answered again and burns nothing', () => {
  const joined = { ...record, state: 'joined' as const, member: nodeId(2) }
  const members = [member(1), member(2, { state: 'joining' })]
  const used = { ...token, usesLeft: 0, expiresMs: nowMs - 1 }
  const again = { enrolment: joined, members, token: used }
  const decision = planEnrolment(ask(), { ...facts, ...again })
  assert.equal(decision.kind, 'again')
  assert.match(refusal(ask({ name: 'node3' }), again), /conflict: this key asked before as node2/)
  assert.match(refusal(ask(at('10.11.12.8')), again), /conflict: this key asked before/)
  const gone = { ...again, members: [member(1), member(2, { state: 'removed' })] }
  assert.match(refusal(ask(), gone), /denied: node2 was removed/)
  assert.match(
    refusal(ask(), { enrolment: { ...record, state: 'rejected' } }),
    /denied: an operator/,
  )
})

test('without a token, or where operators decide, a machine waits until it is approved', () => {
  const waiting = planEnrolment(ask({}, 'cluster'), { ...facts, token: undefined })
  assert.deepEqual([waiting.kind, waiting.kind === 'wait' && waiting.token], ['wait', undefined])
  const slow = { token: { ...token, approval: 'operator' as const } }
  const asked = planEnrolment(ask(), { ...facts, ...slow })
  assert.equal(asked.kind === 'wait' && asked.token?.usesLeft, 0)
  assert.equal(refusal(ask(), { ...slow, enrolment: record }), 'waits')
  const approved = { ...record, state: 'approved' as const, decidedBy: 'op' }
  const used = { token: { ...token, usesLeft: 0 } }
  assert.equal(refusal(ask(), { ...used, enrolment: approved }), 'admit')
  const late = { ...record, requestedMs: nowMs - 25 * 3_600_000 }
  assert.equal(refusal(ask({}, 'cluster'), { enrolment: late, token: undefined }), 'wait')
})

test('a token for a place replaces its member in the same step', () => {
  const forPlace = { token: { ...token, replaces: nodeId(1) } }
  const request = ask({ ...at('10.11.12.1'), name: 'node1' })
  const decision = planEnrolment(request, { ...facts, ...forPlace })
  assert.equal(decision.kind, 'admit')
  if (decision.kind !== 'admit') return
  assert.deepEqual(
    [decision.member.id, decision.member.replaces, decision.member.name],
    [2, 1, 'node1'],
  )
  assert.equal(decision.member.place, 1)
  assert.deepEqual([decision.removed?.id, decision.removed?.state], [1, 'removed'])
  assert.match(refusal(ask(), forPlace), /denied: the token is for the place of node 1/)
  const gone = { ...forPlace, members: [member(1, { state: 'removed' })] }
  assert.match(refusal(request, gone), /precondition: node 1, whose place this was, is removed/)
})

test('versions one minor number apart run together', () => {
  assert.ok(isCompatible('0.1.9', '0.2.0') && isCompatible('1.3.0', '1.2.7'))
  assert.ok(!isCompatible('0.1.0', '0.3.0') && !isCompatible('2.0.0', '1.9.0'))
})

test('a request and an answer read back; the document names the fields', () => {
  const request = ask()
  const sent = renderJoinRequest(request)
  assert.deepEqual(readJoinRequest(sent), request)
  const body = JSON.parse(new TextDecoder().decode(sent))
  const { cluster_id, node_id, addr, version, caps, ts } = body
  assert.deepEqual(
    { cluster_id, node_id, addr, version, caps, ts },
    {
      cluster_id: cluster,
      node_id: 'node2',
      addr: '10.11.12.2:7777',
      version: '0.1.0',
      caps: ['control', 's3'],
      ts: 1_800_000_000,
    },
  )
  const answer = {
    kind: 'joined',
    clusterId: cluster,
    nodeId: nodeId(2),
    name: 'node2',
    nodeCertificatePem: 'a',
    serverCertificatePem: 'b',
    authorityPem: 'c',
    topologyText: 'version = "1.0"\n',
    bundleText: '{}',
    founders: [nodeId(1)],
    members: [{ id: nodeId(1), name: 'node1', ...at('fd00::1') }],
  } as const
  const rendered = JSON.stringify(renderJoinAnswer(answer))
  assert.match(rendered, /"PredastoreConfig":/)
  assert.deepEqual(parseJoinAnswer(utf8Encode(rendered)), answer)
  const pending = { kind: 'pending', fingerprint: 'ab cd', retrySeconds: 2 } as const
  assert.deepEqual(parseJoinAnswer(utf8Encode(JSON.stringify(renderJoinAnswer(pending)))), pending)
})

test('hostile requests and answers are faults', () => {
  const random = seededRandom(3)
  const read = (value: unknown) => readJoinRequest(utf8Encode(JSON.stringify(value) ?? ''))
  const body: Record<string, unknown> = JSON.parse(
    new TextDecoder().decode(renderJoinRequest(ask())),
  )
  const strange = [
    undefined,
    null,
    0,
    -1,
    1.5,
    1e300,
    '',
    'x'.repeat(70_000),
    [],
    {},
    [1],
    { a: 1 },
    '\ud800',
    'a\nb',
    true,
  ]
  for (const name of Object.keys(body)) {
    for (const value of strange) {
      try {
        read({ ...body, [name]: value })
      } catch (error) {
        assert.ok(
          isFault(error, 'invalid') || isFault(error, 'too-large'),
          `${name}: ${String(error)}`,
        )
        assert.ok(error.message.length < 300)
      }
    }
  }
  for (const value of strange) assert.throws(() => read(value), Fault)
  const evil = { ['__proto__']: 'x', constructor: 'y' }
  assert.throws(() => read({ ...body, labels: evil, caps: ['UPPER'] }), Fault)
  // A label that nobody could change later, because changing one looks at all.
  for (const labels of [{ Rack: 'r1' }, { rack: 'r 1' }, { rack: 'r1,r2' }, { rack: '' }])
    assert.throws(() => read({ ...body, labels }), /label/)
  assert.throws(() => readJoinRequest(new Uint8Array(70_000)), /too long/)
  for (let round = 0; round < 500; round++) {
    assert.throws(
      () => parseJoinAnswer(random.bytes(random.integer(200))),
      (error) => isFault(error, 'corrupt'),
    )
  }
})

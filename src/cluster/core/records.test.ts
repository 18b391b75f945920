import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, fromHex, isFault, nodeId, seededRandom, toHex } from '../../base/index.ts'
import type { Member } from '../cluster.ts'
import { planFounders, planGenesis } from './genesis.ts'
import {
  bucketCodec,
  clusterCodec,
  counterCodec,
  credentialCodec,
  eventCodec,
  memberCodec,
  placementRuleCodec,
} from './records.ts'
import { planTopology } from './topology.ts'

const member: Member = {
  id: nodeId(4),
  name: 'node-4',
  state: 'joining',
  control: { host: '10.0.0.4', port: 6660 },
  bulk: { host: '10.0.0.4', port: 9991 },
  admin: { host: '10.0.0.4', port: 7777 },
  s3: { host: '10.0.0.4', port: 9000 },
  labels: { zone: 'b', rack: 'r1' },
  caps: [],
  version: '',
  capacityBytes: 0,
  replaces: nodeId(2),
}
const bucket = {
  name: 'predastore',
  region: 'ap-southeast-2',
  type: 'distributed',
  createdMs: 1_700_000_000_000,
  namespace: '/raft/objects/1',
  number: 1,
  allowsBareQuorum: true,
  tenant: '',
}
const cluster = {
  clusterId: clusterId('00112233445566778899aabbccddeeff'),
  region: 'ap-southeast-2',
  dataShards: 2,
  parityShards: 1,
  founders: [1, 2, 3],
}
const credential = { accessKeyId: 'AK', secretAccessKey: 'SK' }

const golden = {
  member:
    '0101080412066e6f64652d341802220d0a0831302e302e302e341084342a0d0a0831302e302e302e3410874e320d0a0831302e302e302e3410e13c3a0d0a0831302e302e302e3410a846420a0a047261636b1202723142090a047a6f6e65120162480246f33c8c',
  bucket:
    '02010a0a707265646173746f7265120e61702d736f757468656173742d321a0b64697374726962757465642080d095ffbc312a0f2f726166742f6f626a656374732f31300138010da5d32b',
  credential: '03010a02414b1202534b212a732a',
  cluster:
    '04010a203030313132323333343435353636373738383939616162626363646465656666120e61702d736f757468656173742d3218022001280128022803cd7bb626',
  counter: '050108ac02cedff83c',
}

test('bytes of version 1 stay as they are, and are read', () => {
  assert.equal(toHex(memberCodec.encode(member)), golden.member)
  assert.equal(toHex(bucketCodec.encode(bucket)), golden.bucket)
  assert.equal(toHex(credentialCodec.encode(credential)), golden.credential)
  assert.equal(toHex(clusterCodec.encode(cluster)), golden.cluster)
  assert.equal(toHex(counterCodec.encode({ value: 300 })), golden.counter)
  const read = (hex: string): Uint8Array => fromHex(hex) ?? new Uint8Array(0)
  assert.deepEqual(memberCodec.decode(read(golden.member)), member)
  assert.deepEqual(bucketCodec.decode(read(golden.bucket)), bucket)
  assert.deepEqual(credentialCodec.decode(read(golden.credential)), credential)
  assert.deepEqual(clusterCodec.decode(read(golden.cluster)), cluster)
  assert.deepEqual(counterCodec.decode(read(golden.counter)), { value: 300 })
})

test('every flipped bit and every cut is refused as corrupt', () => {
  const bytes = memberCodec.encode(member)
  const corrupt = (error: unknown): boolean => isFault(error, 'corrupt')
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = bytes.slice()
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.throws(() => memberCodec.decode(damaged), corrupt)
  }
  for (let end = 0; end < bytes.length; end++) {
    assert.throws(() => memberCodec.decode(bytes.subarray(0, end)), corrupt)
  }
  const random = seededRandom(3)
  for (let round = 0; round < 500; round++) {
    assert.throws(() => memberCodec.decode(random.bytes(random.integer(64))), corrupt)
  }
})

test('a record of another kind is not taken for this one', () => {
  assert.throws(
    () => bucketCodec.decode(memberCodec.encode(member)),
    (error) => isFault(error, 'corrupt'),
  )
})

test('genesis is one transaction that only the first proposer wins', () => {
  const topology = planTopology({
    region: 'r',
    rs: { data: 2, parity: 1 },
    s3Tls: { host: '0.0.0.0', port: 8443 },
    addresses: ['a', 'b', 'c'].map((host) => ({ host, controlPort: 6660, bulkPort: 9991 })),
    buckets: ['one'],
    auth: [credential],
  })
  const request = planGenesis(topology, { clusterId: cluster.clusterId, createdMs: 5 })
  assert.deepEqual(
    request.compares.map(({ target, result, operand }) => [target, result, operand]),
    [['create', 'equal', 0]],
  )
  const keys = request.success.map((operation) =>
    operation.kind === 'put' ? String.fromCharCode(...operation.key) : operation.kind,
  )
  assert.deepEqual(keys, [
    'cluster',
    'counter/node',
    'counter/bucket',
    'level',
    'member/1',
    'member/2',
    'member/3',
    'bucket/one',
    'credential/AK',
  ])
  assert.deepEqual(planFounders([7, 1, 3, 2, 5, 4]), { voters: [1, 2, 3, 4, 5], learners: [7] })
})

test('rules of placement and events: bytes of version 1 stay as they are, and are read', () => {
  const rule = {
    dataShards: 4,
    parityShards: 2,
    minDistinct: { rack: 3, dc: 2 },
    weights: 'capacity',
    repairAfterMs: 600_000,
  } as const
  const event = { number: 7, atMs: 1_700_000_000_000, kind: 'member-offline', node: 3, text: 'why' }
  const ruleHex = '1401080410021a060a02646310021a080a047261636b1003200128c0cf24b58c230b'
  const eventHex = '150108071080d095ffbc311a0e6d656d6265722d6f66666c696e6520032a0377687926c1abb2'
  assert.equal(toHex(placementRuleCodec.encode(rule)), ruleHex)
  assert.equal(toHex(eventCodec.encode(event)), eventHex)
  assert.deepEqual(placementRuleCodec.decode(fromHex(ruleHex) ?? new Uint8Array(0)), rule)
  assert.deepEqual(eventCodec.decode(fromHex(eventHex) ?? new Uint8Array(0)), event)
  const told = { ...member, caps: ['s3'], version: '0.1.0', capacityBytes: 2 ** 40 }
  const located = { ...told, publicUrl: 'https://a.example.org' }
  assert.deepEqual(memberCodec.decode(memberCodec.encode(located)), located)
})

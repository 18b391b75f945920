import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  clusterId,
  ed25519Pair,
  Fault,
  isFault,
  nodeId,
  seededRandom,
  toHex,
} from '../../base/index.ts'
import type { Member } from '../cluster.ts'
import { configDefaults } from './cluster-config.ts'
import {
  type BundleState,
  bundleContent,
  planBundleChange,
  readBundle,
  saysTheSame,
  signBundle,
  signHandover,
} from './settings-bundle.ts'

const cluster = clusterId('00112233445566778899aabbccddeeff')
const pair = ed25519Pair(new Uint8Array(32).fill(1))
const second = ed25519Pair(new Uint8Array(32).fill(2))
const third = ed25519Pair(new Uint8Array(32).fill(3))
const hex = (of: typeof pair): string => toHex(of.publicKey)

function member(id: number, change: Partial<Member> = {}): Member {
  const address = (port: number) => ({ host: `10.11.12.${id}`, port })
  return {
    id: nodeId(id),
    name: `node${id}`,
    state: 'online',
    control: address(6660),
    bulk: address(9991),
    admin: address(7777),
    s3: address(9000),
    labels: { zone: 'a' },
    caps: ['s3', 'control'],
    version: '0.1.0',
    capacityBytes: 0,
    replaces: undefined,
    ...change,
  }
}

const state: BundleState = {
  clusterId: cluster,
  config: { ...configDefaults, targetSize: 3 },
  members: [member(2), member(1), member(3, { state: 'removed' })],
  authorities: ['ab'],
  revoked: [],
  handovers: [],
}
const make = (epoch: number, change: Partial<BundleState> = {}, by = pair): string =>
  signBundle(bundleContent({ ...state, ...change }), { epoch, pair: by })

test('the file is the same bytes on every node and in every release', () => {
  assert.equal(
    make(1),
    '{"authorities":["ab"],"cluster_id":"00112233445566778899aabbccddeeff","epoch":1,"handovers":[],"members":[' +
      '{"addr":"10.11.12.1:7777","caps":["control","s3"],"id":1,"labels":{"zone":"a"},"node_id":"node1"},' +
      '{"addr":"10.11.12.2:7777","caps":["control","s3"],"id":2,"labels":{"zone":"a"},"node_id":"node2"}],' +
      '"revoked":[],"services":{"control":{"quorum":2},"ebs":{"block_size":4096,"replicas":3},' +
      '"ec2":{"api_bind":":9001"},"etcd":{"api_bind":":2379"},' +
      '"nats":{"cluster":"00112233445566778899aabbccddeeff","quorum":2},"s3":{"api_bind":":8443","replicas":2}},' +
      `"sig":"ed25519:87637866b856babbf64f2b8205a1300033bf9608e1de3702502751399d8a41dcea573ae405c494231867094ba15c9236cb0edefd77a471cda2b256699f5d0803","signer":"${hex(pair)}","target_size":3}`,
  )
  assert.equal(make(1, { members: [...state.members].reverse() }), make(1))
  assert.deepEqual(readBundle(make(1)), {
    clusterId: cluster,
    epoch: 1,
    signer: hex(pair),
    handovers: [],
    text: make(1),
  })
})

test('every changed byte is refused', () => {
  const text = make(1)
  for (let at = 0; at < text.length; at++) {
    const changed = String.fromCharCode(text.charCodeAt(at) ^ 1)
    const forged = text.slice(0, at) + changed + text.slice(at + 1)
    assert.throws(() => readBundle(forged), Fault, `byte ${at}`)
  }
  assert.throws(() => readBundle(`${text}\n`), /was changed/)
  assert.throws(() => readBundle(text.replace('"epoch":1', '"epoch":1.0')), /was changed/)
  assert.throws(() => readBundle(text.replace('"epoch":1', '"epoch":2')), /signature/)
})

test('noise is a fault', () => {
  const random = seededRandom(9)
  const text = make(1)
  for (let round = 0; round < 300; round++) {
    const cut = random.integer(text.length)
    const noise = text.slice(0, cut) + text.slice(cut + 1 + random.integer(40))
    assert.throws(
      () => readBundle(noise),
      (error) => isFault(error),
    )
  }
  for (const value of ['', 'null', '[]', '{}', '1', '"x"', '{"members":1}']) {
    assert.throws(
      () => readBundle(value),
      (error) => isFault(error, 'invalid'),
    )
  }
})

test('the newest epoch is taken; older, doubled and foreign ones are refused', () => {
  const offer = (held: string | undefined, offered: string, of = cluster): string => {
    const change = planBundleChange(
      held === undefined ? undefined : readBundle(held),
      readBundle(offered),
      of,
    )
    return change.kind === 'refuse' ? change.why : change.kind
  }
  const grown = { members: [member(1), member(2), member(4)] }
  assert.equal(offer(undefined, make(5)), 'take')
  assert.equal(offer(make(5), make(5)), 'keep')
  assert.equal(offer(make(5), make(6, grown)), 'take')
  assert.match(offer(make(5), make(4, grown)), /epoch 4 is older than 5/)
  assert.match(offer(make(5), make(5, grown)), /another one of epoch 5/)
  assert.match(offer(make(5), make(6, grown, second)), /nobody handed over/)
  assert.match(offer(make(5), make(6), clusterId('f'.repeat(32))), /is of cluster 0011/)
})

test('a handover lets the next key sign, also for a node that slept through it', () => {
  const first = signHandover(pair, hex(second), cluster)
  const then = signHandover(second, hex(third), cluster)
  const change = (held: string, offered: string): string =>
    planBundleChange(readBundle(held), readBundle(offered), cluster).kind
  assert.equal(change(make(5, { handovers: [first] }), make(6, {}, second)), 'take')
  assert.equal(change(make(5), make(9, { handovers: [first, then] }, third)), 'take')
  assert.equal(
    change(make(5, { handovers: [first] }), make(9, { handovers: [then] }, third)),
    'take',
  )
  assert.equal(change(make(5), make(9, { handovers: [then] }, third)), 'refuse')
  const forged = { ...first, to: hex(third) }
  assert.equal(change(make(5), make(9, { handovers: [forged] }, third)), 'refuse')
  // Back to a key that was given up: not by its own word.
  const back = signHandover(pair, hex(pair), cluster)
  assert.equal(change(make(9, {}, second), make(10, { handovers: [back] }, pair)), 'refuse')
})

test('what says the same makes no new epoch', () => {
  const content = bundleContent(state)
  assert.ok(saysTheSame(make(7), content, hex(pair)))
  assert.ok(!saysTheSame(make(7), content, hex(second)))
  assert.ok(!saysTheSame(make(7, { members: [member(1)] }), content, hex(pair)))
})

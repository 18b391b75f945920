import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, isFault, nodeId, seededRandom, utf8Encode } from '../../base/index.ts'
import type { Member } from '../cluster.ts'
import {
  decodeAnswer,
  decodeQuestion,
  type DiscoveryAnswer,
  encodeAnswer,
  encodeQuestion,
  questionBytes,
} from './discovery.ts'
import { renderDnsmasq, renderHosts } from './dns-hints.ts'
import {
  isJoinerProof,
  joinerProof,
  memberProof,
  readPairingRequest,
  renderPairingRequest,
} from './pairing-messages.ts'
import { formatWords, parseWords } from './words.ts'

const nonce = '0123456789abcdef0123456789abcdef'
const own = clusterId('82d50000000000000000000000000000')
const answer: DiscoveryAnswer = {
  nonce,
  cluster: own,
  region: 'eu',
  node: 'rpi1',
  host: '10.0.0.1',
  port: 7777,
}

test('questions and answers of discovery', () => {
  const question = encodeQuestion({ nonce, cluster: '82d5' })
  assert.equal(question.length, questionBytes)
  assert.deepEqual(decodeQuestion(question), { nonce, cluster: '82d5' })
  assert.deepEqual(decodeQuestion(encodeQuestion({ nonce })), { nonce })
  const bytes = encodeAnswer(answer)
  assert.ok(bytes !== undefined && bytes.length <= questionBytes)
  assert.deepEqual(decodeAnswer(bytes, nonce), answer)
  assert.equal(decodeAnswer(bytes, nonce.replace('0', '1')), undefined)
  assert.equal(encodeAnswer({ ...answer, host: 'h'.repeat(600) }), undefined)
})

test('what is not ours is not read as a question or an answer', () => {
  const random = seededRandom(5)
  const valid = [encodeQuestion({ nonce }), encodeAnswer(answer) ?? new Uint8Array(0)]
  for (let round = 0; round < 2_000; round++) {
    const bytes = (valid[round % 2] ?? new Uint8Array(0)).slice()
    for (let change = random.integer(3) + 1; change > 0; change--)
      bytes[random.integer(bytes.length)] = random.integer(256)
    const question = decodeQuestion(bytes)
    assert.ok(question === undefined || /^[0-9a-f]{32}$/.test(question.nonce))
    const found = decodeAnswer(bytes, nonce)
    assert.ok(
      found === undefined || /^[A-Za-z0-9._:-]+$/.test(found.host + found.node + found.region),
    )
  }
  for (const text of ['', 'null', '[]', '7', '{"atoll":2}']) {
    assert.equal(decodeAnswer(utf8Encode(text), nonce), undefined)
    assert.equal(decodeQuestion(utf8Encode(text.padEnd(questionBytes))), undefined)
  }
  const loud = utf8Encode(JSON.stringify({ atoll: 1, ...answer, node: 'a\u001b[2J' }))
  assert.equal(decodeAnswer(loud, nonce), undefined)
})

test('words are bytes, both ways, however they are typed', () => {
  // The examples of the proposal: 127.0.0.1 and 63.84.220.193.
  assert.equal(formatWords(Uint8Array.of(127, 0, 0, 1)), 'lusab babad')
  assert.equal(formatWords(Uint8Array.of(63, 84, 220, 193)), 'gutih tugad')
  const random = seededRandom(9)
  for (let round = 0; round < 500; round++) {
    const bytes = random.bytes(8)
    const words = formatWords(bytes)
    assert.deepEqual(parseWords(words, 4), bytes)
    assert.deepEqual(parseWords(`  ${words.toUpperCase().replaceAll(' ', '-')} `, 4), bytes)
  }
  for (const text of [
    '',
    'lusab',
    'lusab babad gutih',
    'lusab babad gutih tugax',
    'lusab babad gutih tugadd',
    'x'.repeat(100),
  ]) {
    assert.equal(parseWords(text, 4), undefined, text)
  }
})

test('a proof of pairing is for one server, one joiner, one time, one direction', () => {
  const key = new Uint8Array(32).fill(7)
  const transcript = {
    clusterId: own,
    nonce,
    joinerKeyHash: 'a'.repeat(64),
    serverKeyHash: 'b'.repeat(64),
  }
  const proof = joinerProof(key, transcript)
  assert.ok(isJoinerProof(key, transcript, proof))
  const others = [
    { ...transcript, nonce: nonce.replace('0', '1') },
    { ...transcript, joinerKeyHash: 'c'.repeat(64) },
    { ...transcript, serverKeyHash: 'c'.repeat(64) },
    { ...transcript, clusterId: 'f'.repeat(32) },
  ]
  for (const other of others) assert.ok(!isJoinerProof(key, other, proof))
  assert.ok(!isJoinerProof(new Uint8Array(32), transcript, proof))
  assert.notDeepEqual(memberProof(key, transcript, ''), proof)
  assert.notDeepEqual(memberProof(key, transcript, 'x'), memberProof(key, transcript, 'y'))
  const { clusterId: _, ...sent } = transcript
  const read = readPairingRequest(
    JSON.parse(Buffer.from(renderPairingRequest({ ...sent, proof })).toString()),
  )
  assert.deepEqual(read, { ...sent, proof })
  for (const wrong of [
    null,
    7,
    [],
    {},
    { nonce: 'x' },
    { ...sent, joiner: sent.joinerKeyHash, server: 1, proof: '' },
  ]) {
    assert.throws(
      () => readPairingRequest(wrong),
      (error) => isFault(error, 'invalid'),
    )
  }
})

test('hints name who is there, in both forms', () => {
  const at = { host: '10.0.0.1', port: 6660 }
  const member = (id: number, more: Partial<Member>): Member => ({
    id: nodeId(id),
    name: `rpi${id}`,
    state: 'online',
    control: at,
    bulk: at,
    admin: at,
    s3: at,
    labels: {},
    caps: [],
    version: '',
    capacityBytes: 0,
    replaces: undefined,
    ...more,
  })
  const members = [
    member(2, { control: { host: 'rpi2.local', port: 1 } }),
    member(1, { name: 'Rpi.1' }),
    member(3, { state: 'removed' }),
    member(4, { control: { host: 'fd00::4', port: 1 }, caps: ['ebs'] }),
  ]
  assert.equal(
    renderHosts(own, members).split('\n').slice(1).join('\n'),
    '10.0.0.1 rpi-1.c-82d5.atoll.internal s3.c-82d5.atoll.internal admin.c-82d5.atoll.internal n-rpi-1\n' +
      '# rpi2.c-82d5.atoll.internal s3.c-82d5.atoll.internal admin.c-82d5.atoll.internal is rpi2.local\n' +
      'fd00::4 rpi4.c-82d5.atoll.internal admin.c-82d5.atoll.internal n-rpi4\n',
  )
  assert.equal(
    renderDnsmasq(own, members).split('\n').slice(1).join('\n'),
    'host-record=rpi-1.c-82d5.atoll.internal,10.0.0.1\n' +
      'host-record=s3.c-82d5.atoll.internal,10.0.0.1\n' +
      'host-record=admin.c-82d5.atoll.internal,10.0.0.1\n' +
      'cname=rpi2.c-82d5.atoll.internal,rpi2.local\n' +
      'host-record=rpi4.c-82d5.atoll.internal,fd00::4\n' +
      'host-record=admin.c-82d5.atoll.internal,fd00::4\n',
  )
})

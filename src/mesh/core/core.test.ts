import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, nodeId, seededRandom, utf8Encode } from '../../base/index.ts'
import { type Configuration, judgeJoin, judgeRemoval, type Progress } from './admission.ts'
import { formatAddress, parseAddress } from './address.ts'
import { decodeIdentity, encodeIdentity } from './identity-record.ts'
import { apiName, groupOf, namespaceOfApi, transportName } from './names.ts'
import { command, decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from './wire.ts'

const isInvalid = (error: unknown): boolean => isFault(error, 'invalid')
const isCorrupt = (error: unknown): boolean => isFault(error, 'corrupt')

test('names: a command API names a namespace, and nothing else does', () => {
  for (const name of ['/raft/cron', '/raft/queues/global', '/raft/v1/x', '/raft/Zürich 2/#1']) {
    assert.equal(namespaceOfApi(apiName(name)), name)
  }
  for (const name of ['/raft/v1/cron', '/raft/cron', '']) {
    assert.throws(() => namespaceOfApi(name), isInvalid, name)
  }
})

test('names: API, transport and group number follow from the namespace, and do not move', () => {
  assert.equal(apiName('/raft/cron'), '/raft/v1/raft/cron')
  assert.equal(transportName('/raft/cron'), '/raft/v1/raft/cron/transport')
  assert.throws(() => namespaceOfApi(transportName('/raft/cron')), isInvalid)
  assert.equal(groupOf('/raft/cron'), groupOf('/raft/cron'))
  assert.notEqual(groupOf('/raft/cron'), groupOf('/raft/crom'))
  for (let i = 0; i < 1_000; i++) {
    const group = groupOf(`/raft/${i}`)
    assert.ok(Number.isSafeInteger(group) && group >= 2 ** 20)
  }
})

test('addresses: read and written, nonsense refused', () => {
  for (const text of ['127.0.0.1:6660', 'node-1.example:1', '[::1]:65535']) {
    assert.equal(formatAddress(parseAddress(text)), text)
  }
  for (const text of [
    '',
    'a',
    'a:',
    ':1',
    'a:0',
    'a:65536',
    '::1:5',
    'a b:1',
    `${'a'.repeat(300)}:1`,
  ]) {
    assert.throws(() => parseAddress(text), isInvalid, text)
  }
})

test('records and commands: read back, and hostile bytes are one fault', () => {
  const identity = { node: nodeId(7_000_000_000), incarnation: '0'.repeat(32), meshId: 'm' }
  const sealed = encodeIdentity(identity)
  assert.deepEqual(decodeIdentity(sealed), identity)
  const request = {
    api: apiName('/raft/cron'),
    command: command.join,
    key: utf8Encode('k'),
    value: utf8Encode('v'),
    barrierMs: 5,
    timeoutMs: 6,
    join: { node: nodeId(3), isTakenIn: true, wantsVote: false, address: 'a:1' },
    peers: [{ node: nodeId(4), address: 'b:1' }],
    isForwarded: true,
  }
  assert.deepEqual(decodeRequest(encodeRequest(request)), request)
  const member = { node: nodeId(4), address: 'b:1', isVoter: true, isLeader: false }
  const answer = { isFound: true, hasMore: true, keys: [utf8Encode('k')], members: [member] }
  const read = decodeAnswer(encodeAnswer(answer))
  assert.deepEqual({ ...read, ...answer }, read)
  const random = seededRandom(5)
  for (let round = 0; round < 2_000; round++) {
    const frame = round % 2 === 0 ? encodeRequest(request) : encodeAnswer(answer)
    frame[random.integer(frame.length)] = random.integer(256)
    for (const decode of [decodeRequest, decodeAnswer]) orCorrupt(() => decode(frame))
    orCorrupt(() => decodeRequest(random.bytes(round % 64)))
    const torn = sealed.slice()
    torn[random.integer(torn.length)] = random.integer(256)
    orCorrupt(() => decodeIdentity(torn))
  }
})

function orCorrupt(decode: () => unknown): void {
  try {
    decode()
  } catch (error) {
    assert.ok(isCorrupt(error), String(error))
  }
}

const [one, two, three, four] = [1, 2, 3, 4].map(nodeId) as [
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
]
const members: Configuration = { voters: [one, two, three], learners: [], votersOutgoing: [] }
const withLearner: Configuration = { ...members, learners: [four] }
const behind: Progress = { match: 5, target: 10, lastIndex: 12 }
const caughtUp: Progress = { match: 12, target: 10, lastIndex: 12 }
const everybody = (): boolean => true

function judge(
  node: number,
  how: {
    readonly isTakenIn?: boolean
    readonly wantsVote?: boolean
    readonly configuration?: Configuration
    readonly progress?: Progress
    readonly isAlive?: (node: number) => boolean
    readonly isJustAdded?: boolean
  },
) {
  const { isTakenIn = true, wantsVote = true } = how
  const given = { configuration: members, progress: behind, isAlive: everybody, isJustAdded: false }
  return judgeJoin({ node: nodeId(node), isTakenIn, wantsVote }, { ...given, ...how })
}

test('admission: learner first, voter when caught up and the quorum then is alive', () => {
  assert.deepEqual(judge(4, { isTakenIn: false }), {
    kind: 'change',
    change: { addLearners: [four] },
  })
  assert.equal(judge(4, { configuration: withLearner }).kind, 'learner')
  const ready = { configuration: withLearner, progress: caughtUp }
  assert.deepEqual(judge(4, ready), { kind: 'change', change: { addVoters: [four] } })
  assert.equal(judge(4, { ...ready, wantsVote: false }).kind, 'learner')
  const isAlive = (node: number): boolean => node === 1 || node === 4
  assert.equal(judge(4, { ...ready, isAlive }).kind, 'learner', 'two of four are no quorum')
  assert.equal(judge(4, { isAlive: (node) => node !== 4 }).kind, 'refuse')
  assert.equal(judge(1, {}).kind, 'voter')
})

test('admission: who lost everything never votes under its number again', () => {
  const verdict = judge(2, { isTakenIn: false })
  assert.ok(verdict.kind === 'refuse' && verdict.fault.code === 'denied')
  const again = judge(4, { isTakenIn: false, configuration: withLearner, progress: caughtUp })
  assert.deepEqual(again, { kind: 'change', change: { remove: [four] } })
  const isJustAdded = judge(4, { isTakenIn: false, configuration: withLearner, isJustAdded: true })
  assert.equal(isJustAdded.kind, 'learner')
})

test('admission: one change at a time, and no removal that stops the rest', () => {
  const joint = { ...members, votersOutgoing: [one] }
  const verdict = judge(4, { configuration: joint })
  assert.ok(verdict.kind === 'refuse' && verdict.fault.code === 'conflict')
  assert.ok(isFault(judgeRemoval(one, joint, everybody), 'conflict'))
  assert.equal(judgeRemoval(three, members, everybody), undefined)
  assert.ok(
    isFault(
      judgeRemoval(three, members, (node) => node === 1),
      'precondition',
    ),
  )
  assert.ok(isFault(judgeRemoval(four, members, everybody), 'not-found'))
  assert.equal(
    judgeRemoval(four, withLearner, () => false),
    undefined,
  )
  const alone = { ...members, voters: [one] }
  assert.ok(isFault(judgeRemoval(one, alone, everybody), 'precondition'))
})

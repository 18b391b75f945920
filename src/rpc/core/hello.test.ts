import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, type FaultCode, isFault, nodeId, seededRandom } from '../../base/index.ts'
import { backoffMs } from './backoff.ts'
import {
  checkHello,
  checkHelloLevel,
  createHello,
  type Hello,
  helloCodec,
  tooOld,
} from './hello.ts'

const proved = { nodeId: nodeId(3), clusterId: clusterId('ab'.repeat(16)) }
const limits = {
  callBytesMax: 1000,
  messageBytesMax: 2000,
  streamMessageBytesMax: 500,
  streamWindowBytes: 5000,
  callsInFlightMax: 10,
  queuedBytesMax: 10_000,
}
const hello = createHello({ ...proved, instance: new Uint8Array(8) }, limits)

test('a hello keeps its bytes and is accepted', () => {
  const bytes = helloCodec.encode(hello)
  assert.equal(
    Buffer.from(bytes).toString('hex'),
    `080110011a20${Buffer.from('ab'.repeat(16)).toString('hex')}20032a08000000000000000030e80738d00f40f4034888` +
      '27',
  )
  checkHello(helloCodec.decode(bytes), proved)
})

test('what does not fit is refused by its own fault', () => {
  const cases: readonly (readonly [FaultCode, Partial<Hello>])[] = [
    ['unsupported', { versionOldest: 2, versionNewest: 3 }],
    ['unsupported', { versionNewest: 0, versionOldest: 0 }],
    ['unauthenticated', { nodeId: 4 }],
    ['unauthenticated', { clusterId: 'cd'.repeat(16) }],
    ['invalid', { instance: new Uint8Array(7) }],
    ['invalid', { streamWindowBytes: 600 }],
  ]
  for (const [code, change] of cases) {
    assert.throws(
      () => checkHello({ ...hello, ...change }, proved),
      (error) => isFault(error, code),
    )
  }
  checkHello({ ...hello, versionNewest: 9 }, proved)
})

test('a program that the cluster has outgrown is refused, and told', () => {
  const told: number[] = []
  const level = (newest: number, active: number) => ({
    newest,
    active: () => active,
    onOutgrown: (theirs: number) => void told.push(theirs),
  })
  const from = (levelNewest: number, levelActive: number) => ({
    ...hello,
    levelNewest,
    levelActive,
  })
  const peer = nodeId(3)
  checkHelloLevel(hello, peer, undefined)
  checkHelloLevel(hello, peer, level(2, 1))
  checkHelloLevel(from(1, 1), peer, level(2, 1))
  checkHelloLevel(from(3, 2), peer, level(2, 1))
  for (const older of [hello, from(1, 1)]) {
    assert.throws(
      () => checkHelloLevel(older, peer, level(2, 2)),
      (error) =>
        isFault(error, 'unsupported') &&
        /node 3 knows .* up to 1, .* by level 2/.test(error.message),
    )
  }
  assert.deepEqual(told, [])
  assert.equal(tooOld(from(1, 9), peer, undefined), undefined)
  assert.equal(tooOld(from(2, 9), peer, level(2, 2)), undefined)
  assert.equal(tooOld(from(1, 9), peer, level(2, 2))?.code, 'unsupported')
  assert.deepEqual(told, [])
  assert.throws(
    () => checkHelloLevel(from(3, 3), peer, level(2, 2)),
    (error) => isFault(error, 'unsupported'),
  )
  assert.deepEqual(told, [3])
  const own = createHello({ ...proved, instance: new Uint8Array(8) }, limits, level(4, 3))
  const { levelNewest, levelActive } = helloCodec.decode(helloCodec.encode(own))
  assert.deepEqual([levelNewest, levelActive], [4, 3])
})

test('dialling again slows down to two seconds, drawn around', () => {
  const random = seededRandom(1)
  for (let attempt = 0; attempt < 2000; attempt++) {
    const middleMs = Math.min(2_000, 50 * 2 ** Math.min(attempt, 10))
    const ms = backoffMs(attempt, random)
    assert.ok(ms >= middleMs / 2 && ms < middleMs * 1.5)
  }
})

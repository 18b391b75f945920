import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  clusterId,
  codecOf,
  isFault,
  message,
  nodeId,
  seededRandom,
  text,
  uint,
} from '../../../base/index.ts'
import { answerGreeting, DialledGreeting, prologue } from './greeting.ts'
import { NoiseInitiator } from './noise.ts'

const random = seededRandom(1)
const psk = random.bytes(32)
const ours = clusterId('a'.repeat(32))
const one = { nodeId: nodeId(1), clusterId: ours }
const two = { nodeId: nodeId(2), clusterId: ours }
const options = (self = one) => ({ self, psk, ephemeral: random.bytes(32) })

/** What node 1 makes of a member's hello with this payload. */
function whoIs(payload: Uint8Array) {
  const hello = new NoiseInitiator({ prologue, psk, ephemeral: random.bytes(32) }).hello(payload)
  return answerGreeting(hello, options()).who
}

test('both sides learn who the other is, under the same keys', () => {
  const dialled = new DialledGreeting({ ...options(two), expected: nodeId(1) })
  const answered = answerGreeting(dialled.hello, options())
  const greeted = dialled.finish(answered.message)
  assert.deepEqual(greeted.peer, one)
  assert.deepEqual(answered.who, two)
  assert.deepEqual(greeted.keys, answered.keys)
})

test('versions, clusters and ids that do not fit are refused by name', () => {
  const codec = codecOf(
    message({
      versionNewest: uint(1),
      versionOldest: uint(2),
      clusterId: text(3),
      nodeId: uint(4),
    }),
  )
  const fine = { versionNewest: 1, versionOldest: 1, clusterId: ours as string, nodeId: 2 }
  assert.deepEqual(whoIs(codec.encode(fine)), two)
  assert.deepEqual(whoIs(codec.encode({ ...fine, versionNewest: 9 })), two, 'a newer node')
  const wrong: readonly (readonly [Partial<typeof fine>, RegExp])[] = [
    [{ versionNewest: 9, versionOldest: 2 }, /speaks version 2 to 9/],
    [{ versionNewest: 0, versionOldest: 0 }, /speaks version 0 to 0/],
    [{ clusterId: 'b'.repeat(32) }, /of another cluster, b{32}/],
    [{ clusterId: 'not hexadecimal' }, /names no cluster/],
    [{ clusterId: '' }, /names no cluster/],
    [{ nodeId: 0 }, /names no node/],
    [{ nodeId: 2 ** 32 }, /names no node/],
    [{ nodeId: 1 }, /says it is node 1, which is this node/],
  ]
  for (const [change, why] of wrong) {
    const who = whoIs(codec.encode({ ...fine, ...change }))
    assert.ok(isFault(who, 'unauthenticated') && why.test(who.message), JSON.stringify(change))
  }
})

test('a member that greets with nonsense is refused with a fault', () => {
  for (let round = 0; round < 300; round++) {
    const who = whoIs(random.bytes(random.integer(100)))
    assert.ok(isFault(who) || who.clusterId === ours)
  }
})

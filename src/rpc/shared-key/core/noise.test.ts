// The published vector of Noise_NNpsk0_25519_AESGCM_SHA256 (the cacophony set, in the public domain).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  concatBytes,
  fromHex,
  importCipherKey,
  openSealed,
  sealParts,
  seededRandom,
  toHex,
  utf8Encode,
  x25519Agree,
  x25519Pair,
} from '../../../base/index.ts'
import { NoiseInitiator, NoiseResponder, writeNonce } from './noise.ts'

const vector = {
  prologue: '4a6f686e2047616c74',
  psk: '54686973206973206d7920417573747269616e20706572737065637469766521',
  initiatorEphemeral: '893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a',
  responderEphemeral: 'bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b',
  handshakeHash: '9f3b1f9afd7767767b5b9d1069844a6154fdbdcc36dfb3e31c0fffc5c973d530',
  messages: [
    [
      '4c756477696720766f6e204d69736573',
      'ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79447c37a89fc17813788d30df2d59501d6066f5f8aecc3406bbd9829f2d24a531b1',
    ],
    [
      '4d757272617920526f746862617264',
      '95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088432f29d79368ef9de4e1ae7a362fb05bf0ad668e026bf5714554497b3a720461',
    ],
    ['462e20412e20486179656b', '7c01e898a6201f36aecee532e29cd0b7f8ffa29d3366ad0dce39a6'],
    ['4361726c204d656e676572', 'a9ff535aace3db6a1da1a7fb00fe2de2622bb373abad9fb42c00e0'],
    [
      '4a65616e2d426170746973746520536179',
      '6cfc49a3e65472edc2d0152abe5ce950170a8a47c959f30bd48b5f0aacf29adbfd',
    ],
    [
      '457567656e2042f6686d20766f6e2042617765726b',
      '9bc86e6d974ed21ba04604a94aa68de21677eb409ead070c0cd569b069ee19ba142aa4c1a9',
    ],
  ],
} as const

function bytesOf(hex: string): Uint8Array {
  const bytes = fromHex(hex)
  assert.ok(bytes !== undefined)
  return bytes
}

const given = { prologue: bytesOf(vector.prologue), psk: bytesOf(vector.psk) }

test('both sides of the published handshake, and its transport messages', () => {
  const initiator = new NoiseInitiator({ ...given, ephemeral: bytesOf(vector.initiatorEphemeral) })
  const responder = new NoiseResponder({ ...given, ephemeral: bytesOf(vector.responderEphemeral) })
  const [[hello, helloSealed], [answer, answerSealed], ...rest] = vector.messages
  assert.equal(toHex(initiator.hello(bytesOf(hello))), helloSealed)
  assert.equal(toHex(responder.read(bytesOf(helloSealed)) ?? new Uint8Array()), hello)
  const answered = responder.answer(bytesOf(answer))
  assert.equal(toHex(answered?.message ?? new Uint8Array()), answerSealed)
  const finished = initiator.finish(bytesOf(answerSealed))
  assert.ok(finished !== undefined && answered !== undefined)
  assert.equal(toHex(finished.payload), answer)
  assert.deepEqual(finished.keys, answered.keys)
  assert.equal(toHex(finished.keys.handshakeHash), vector.handshakeHash)
  for (const [at, [plain, sealed]] of rest.entries()) {
    const bytes = at % 2 === 0 ? finished.keys.initiatorKey : finished.keys.responderKey
    const key = importCipherKey(bytes)
    const under = {
      nonce: writeNonce(new Uint8Array(12), Math.floor(at / 2)),
      aad: new Uint8Array(0),
    }
    const pieces: Uint8Array[] = []
    sealParts(key, [bytesOf(plain)], { ...under, target: pieces })
    assert.equal(toHex(concatBytes(pieces)), sealed)
    assert.deepEqual(openSealed(key, bytesOf(sealed), under), bytesOf(plain))
  }
})

test('another key, another prologue, changed or cut bytes, a key of small order: no handshake', () => {
  const random = seededRandom(1)
  const hello = new NoiseInitiator({ ...given, ephemeral: random.bytes(32) }).hello(
    utf8Encode('me'),
  )
  const read = (bytes: Uint8Array, options = given) =>
    new NoiseResponder({ ...options, ephemeral: random.bytes(32) }).read(bytes)
  assert.ok(read(hello))
  assert.equal(read(hello, { ...given, psk: random.bytes(32) }), undefined)
  assert.equal(read(hello, { ...given, prologue: utf8Encode('other') }), undefined)
  for (let at = 0; at < hello.length; at++) {
    const changed = hello.slice()
    changed[at] = (changed[at] as number) ^ 1
    assert.equal(read(changed), undefined)
    assert.equal(read(hello.subarray(0, at)), undefined)
  }
})

test('a public key of small order gives no secret', () => {
  const pair = x25519Pair(seededRandom(4).bytes(32))
  const smallOrder = [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    `ec${'ff'.repeat(30)}7f`,
  ]
  for (const key of smallOrder) assert.equal(x25519Agree(pair, bytesOf(key)), undefined, key)
  assert.equal(x25519Agree(pair, new Uint8Array(31)), undefined)
})

test('two handshakes never share keys', () => {
  const random = seededRandom(2)
  const keys = new Set<string>()
  for (let round = 0; round < 20; round++) {
    const initiator = new NoiseInitiator({ ...given, ephemeral: random.bytes(32) })
    const responder = new NoiseResponder({ ...given, ephemeral: random.bytes(32) })
    responder.read(initiator.hello(utf8Encode('one')))
    const answered = responder.answer(utf8Encode('two'))
    const finished = answered === undefined ? undefined : initiator.finish(answered.message)
    assert.ok(answered !== undefined && finished !== undefined)
    keys.add(toHex(finished.keys.initiatorKey)).add(toHex(finished.keys.responderKey))
  }
  assert.equal(keys.size, 40)
})

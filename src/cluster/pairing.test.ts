import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterId, equalBytes, fromHex, hmacSha256, isFault, seededRandom } from '../base/index.ts'
import type { Host } from '../host/index.ts'
import { joinerProof, memberProof, pairingCost, pairingSalt } from './core/pairing-messages.ts'
import { parseWords } from './core/words.ts'
import { createPairing, pairingMs } from './pairing.ts'
import { MemoryKeyspace } from './testing/memory-keyspace.ts'

const own = clusterId('82d50000000000000000000000000000')
const serverKeyHash = 'b'.repeat(64)
const joinerKeyHash = 'a'.repeat(64)

function open() {
  let nowMs = 1_000
  const made: string[] = []
  const host = {
    clock: { wallMs: () => nowMs },
    random: seededRandom(3),
    passwords: {
      stretch: async (password: Uint8Array, { salt }: { salt: Uint8Array }) =>
        hmacSha256(salt, password),
    },
  } as unknown as Host
  const system = new MemoryKeyspace()
  const desk = {
    async createToken({ createdBy }: { createdBy: string }) {
      made.push(createdBy)
      return { token: `token-${made.length}`, view: undefined as never }
    },
  }
  const pairing = createPairing({
    host,
    system,
    clusterId: own,
    desk,
    serverKeyHashes: () => [serverKeyHash],
  })
  const keyOf = async (words: string) => {
    const code = parseWords(words, 4)
    assert.ok(code !== undefined)
    return await host.passwords.stretch(code, { salt: pairingSalt(own), cost: pairingCost })
  }
  const request = (key: Uint8Array, given: { server?: string; nonce?: string } = {}) => {
    const nonce = given.nonce ?? '0'.repeat(32)
    const sent = { nonce, joinerKeyHash, serverKeyHash: given.server ?? serverKeyHash }
    return { ...sent, proof: joinerProof(key, { ...sent, clusterId: own }) }
  }
  return { pairing, request, keyOf, made, pass: (ms: number) => (nowMs += ms) }
}

const refused = (error: unknown): boolean => isFault(error, 'unauthenticated')

test('who knows the words gets one token, and the proof that the member knows them too', async () => {
  const { pairing, request, keyOf, made } = open()
  const { words, expiresMs } = await pairing.createCode('root')
  assert.equal(expiresMs, 1_000 + pairingMs)
  const key = await keyOf(words)
  const asked = request(key)
  const { token, proof } = await pairing.redeem(asked)
  assert.deepEqual([token, made], ['token-1', ['pairing by root']])
  const expected = memberProof(key, { ...asked, clusterId: own }, token)
  assert.ok(equalBytes(fromHex(proof) ?? new Uint8Array(0), expected))
  await assert.rejects(pairing.redeem(asked), refused)
  assert.equal(made.length, 1)
})

test('five wrong tries end the code, however many come at once', async () => {
  const { pairing, request, keyOf, made } = open()
  const { words } = await pairing.createCode('root')
  const right = request(await keyOf(words))
  const wrong = Array.from({ length: 40 }, (_, at) =>
    pairing.redeem(request(new Uint8Array(32).fill(at))),
  )
  for (const one of await Promise.allSettled(wrong)) assert.equal(one.status, 'rejected')
  await assert.rejects(pairing.redeem(right), refused)
  assert.equal(made.length, 0)
})

test('a code ends after ten minutes, and is for the server that the machine saw', async () => {
  const { pairing, request, keyOf, pass } = open()
  const { words } = await pairing.createCode('root')
  const key = await keyOf(words)
  await assert.rejects(pairing.redeem(request(key, { server: 'c'.repeat(64) })), refused)
  const moved = { ...request(key), nonce: '1'.repeat(32) }
  await assert.rejects(pairing.redeem(moved), refused)
  pass(pairingMs)
  await assert.rejects(pairing.redeem(request(key)), refused)
})

test('several codes are open at a time, eight at most', async () => {
  const { pairing, request, keyOf, made, pass } = open()
  const codes = []
  for (let at = 0; at < 8; at++) codes.push(await pairing.createCode('root'))
  await assert.rejects(pairing.createCode('root'), (error) => isFault(error, 'overloaded'))
  for (const { words } of codes) await pairing.redeem(request(await keyOf(words)))
  assert.equal(made.length, 8)
  pass(pairingMs)
  await pairing.createCode('root')
})

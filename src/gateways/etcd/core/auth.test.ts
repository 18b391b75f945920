// Ranges that permissions cover, against a naive look at every key; tokens and the document against hostile bytes.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isFault, seededRandom, utf8Encode } from '../../../base/index.ts'
import { addRole, addUser, decodeAuthState, encodeAuthState, noAuth } from './auth-state.ts'
import { type AuthPermission, KeyRanges } from './permissions.ts'
import { formatToken, parseToken, tokenMsMax, TokenUses } from './token.ts'

const none = new Uint8Array(0)

describe('ranges of permissions', () => {
  it('cover what every key of it says, for random ranges of short keys', () => {
    const random = seededRandom(7)
    const letter = (): Uint8Array => Uint8Array.of(97 + random.integer(8))
    const range = (): AuthPermission => {
      const kind = random.integer(3)
      if (kind === 0) return { kind: 0, key: letter(), rangeEnd: none }
      if (kind === 1 && random.chance(0.1)) {
        return { kind: 0, key: letter(), rangeEnd: Uint8Array.of(0) }
      }
      return { kind: 0, key: letter(), rangeEnd: letter() }
    }
    // Keys are one letter, or one letter and a zero byte, which a point does not hold.
    const universe = Array.from({ length: 20 }, (_, i) =>
      i % 2 === 0 ? [97 + i / 2] : [97 + (i - 1) / 2, 0],
    )
    const holds = ({ key, rangeEnd }: AuthPermission, point: readonly number[]): boolean => {
      const [at, zero = -1] = point
      const rank = ((at as number) - 97) * 2 + (zero === 0 ? 1 : 0)
      const start = ((key[0] as number) - 97) * 2
      if (rangeEnd.length === 0) return rank === start
      const end = rangeEnd[0] === 0 ? 1000 : ((rangeEnd[0] as number) - 97) * 2
      return rank >= start && rank < end
    }
    for (let round = 0; round < 2000; round++) {
      const permissions = Array.from({ length: random.integer(5) }, range)
      const asked = range()
      const points = universe.filter((point) => holds(asked, point))
      if (points.length === 0) continue
      const isOpen = asked.rangeEnd[0] === 0
      const hasOpen = permissions.some(({ rangeEnd }) => rangeEnd[0] === 0)
      const expected =
        points.every((point) => permissions.some((held) => holds(held, point))) &&
        (!isOpen || hasOpen)
      const covers = new KeyRanges(permissions).covers(asked.key, asked.rangeEnd)
      assert.equal(covers, expected, JSON.stringify({ permissions, asked }))
    }
  })
})

describe('tokens', () => {
  const key = utf8Encode('a key')
  const claim = { user: 'alice', serial: 3, issuedMs: 1000, nonce: Uint8Array.of(1, 2) }

  it('come back as they were given, and only with the key and every letter', () => {
    const token = formatToken(claim, key)
    assert.match(token, /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/)
    assert.deepEqual(parseToken(token, key), claim)
    assert.equal(parseToken(token, utf8Encode('another')), undefined)
    assert.equal(parseToken(token, none), undefined)
    const random = seededRandom(3)
    for (let i = 0; i < 500; i++) {
      const at = random.integer(token.length)
      const letter = String.fromCharCode(33 + random.integer(94))
      const other = token.slice(0, at) + letter + token.slice(at + 1)
      // The last letter of the signature holds two bits that are none of it.
      const isSameBits = at === token.length - 1
      if (other !== token && !isSameBits) assert.equal(parseToken(other, key), undefined, other)
    }
    assert.equal(parseToken('x'.repeat(5000), key), undefined)
  })

  it('end when they rest too long', () => {
    const uses = new TokenUses()
    assert.equal(uses.renew('t', claim, 1000 + tokenMsMax), true)
    assert.equal(uses.renew('t', claim, 1000 + 2 * tokenMsMax), true)
    assert.equal(uses.renew('t', claim, 1001 + 3 * tokenMsMax), false)
    assert.equal(new TokenUses().renew('t', claim, 1001 + tokenMsMax), false)
  })
})

describe('the document of users and roles', () => {
  it('comes back as it was, and hostile bytes are faults', () => {
    const state = addRole(addUser(noAuth, 'alice', Uint8Array.of(1, 2)), 'r')
    const document = encodeAuthState(state)
    assert.deepEqual(decodeAuthState(document), state)
    assert.deepEqual(decodeAuthState(none), noAuth)
    assert.throws(() => decodeAuthState(Uint8Array.of(9, 1)), { code: 'unsupported' })
    const random = seededRandom(5)
    for (let i = 0; i < 500; i++) {
      const bytes = document.slice(0, random.integer(document.length) + 1)
      bytes[random.integer(bytes.length)] = random.integer(256)
      try {
        decodeAuthState(bytes)
      } catch (error) {
        assert.ok(isFault(error))
      }
    }
  })
})

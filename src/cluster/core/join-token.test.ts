import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom, toHex } from '../../base/index.ts'
import { canonicalBase32, checkCharacter, formatBase32, hasCheck, parseBase32 } from './base32.ts'
import { formatJoinToken, parseJoinToken, tokenIdOf } from './join-token.ts'

const random = seededRandom(7)
const draw = () => ({
  id: tokenIdOf(random.bytes(4)),
  secret: random.bytes(16),
  pin: random.bytes(16),
})

test('a token reads back, however it was typed', () => {
  for (let round = 0; round < 200; round++) {
    const token = draw()
    const text = formatJoinToken(token)
    assert.match(
      text,
      /^at1\.[0-9A-HJKMNP-TV-Z]{6}\.[0-9A-HJKMNP-TV-Z]{26}\.[0-9A-HJKMNP-TV-Z]{27}$/,
    )
    assert.deepEqual(parseJoinToken(text), token)
    const typed = text.toLowerCase().replaceAll('0', 'o').replaceAll('1', 'l').replace('atl', 'at1')
    assert.deepEqual(
      parseJoinToken(` ${typed.replace(/(.{9})/g, '$1-').replace('at1.', 'AT1.')} `),
      token,
    )
  }
})

test('the form of a token stays as it is', () => {
  const token = {
    id: 'ABC123',
    secret: new Uint8Array(16).fill(1),
    pin: new Uint8Array(16).fill(255),
  }
  const text = formatJoinToken(token)
  assert.equal(text, 'at1.ABC123.01040G2081040G2081040G2081.7ZZZZZZZZZZZZZZZZZZZZZZZZZ3')
})

test('every single typo and every swap of neighbours is found', () => {
  const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
  const text = formatJoinToken(draw())
  const isRefused = (typo: string): void => {
    assert.throws(
      () => parseJoinToken(typo),
      (error) => isFault(error, 'invalid'),
    )
  }
  for (let at = 4; at < text.length; at++) {
    if (text[at] === '.') continue
    for (const letter of alphabet) {
      if (letter !== text[at]) isRefused(text.slice(0, at) + letter + text.slice(at + 1))
    }
    const [here = '', next = ''] = text.slice(at, at + 2)
    if (next !== '' && next !== '.' && here !== next) {
      isRefused(text.slice(0, at) + next + here + text.slice(at + 2))
    }
    isRefused(text.slice(0, at) + text.slice(at + 1))
  }
})

test('what is wrong is said, and the secret is not', () => {
  const text = formatJoinToken(draw())
  const said = (typed: string): string => {
    try {
      parseJoinToken(typed)
    } catch (error) {
      if (isFault(error, 'invalid')) return error.message
    }
    return 'taken'
  }
  const parts = text.split('.')
  assert.match(said(''), /does not begin with at1\./)
  assert.match(said('K10abc::server:xyz'), /does not begin with at1\./)
  assert.match(said(`at2${text.slice(3)}`), /of a newer program/)
  assert.match(said(parts.slice(0, 3).join('.')), /has 2 parts after at1\., not 3/)
  assert.match(said(text.slice(0, -2)), /its last part has 25 characters, not 27/)
  assert.match(said(`at1.AB*123.${parts[2]}.${parts[3]}`), /its first part holds '\*'/)
  assert.match(said(`at1.ABU123.${parts[2]}.${parts[3]}`), /its first part holds 'U'/)
  assert.match(said(`at1.AB\u0000123.${parts[2]}.${parts[3]}`), /a character that no token has/)
  assert.match(said('a'.repeat(10_000)), /too long/)
  assert.ok(!said(text.slice(0, -2)).includes(parts[2] ?? '?'))
})

test('hostile text is a fault, never an exception of another kind', () => {
  for (let round = 0; round < 2_000; round++) {
    const text = formatJoinToken(draw()).split('')
    for (let hit = random.integer(4); hit >= 0; hit--) {
      text[random.integer(text.length)] = String.fromCodePoint(random.integer(0x3000))
    }
    try {
      parseJoinToken(text.join(''))
    } catch (error) {
      assert.ok(isFault(error, 'invalid'), String(error))
    }
  }
})

test('base32 holds any bytes, and refuses what no bytes give', () => {
  for (let count = 1; count < 40; count++) {
    const bytes = random.bytes(count)
    assert.equal(toHex(parseBase32(formatBase32(bytes), count) ?? new Uint8Array(0)), toHex(bytes))
  }
  assert.equal(parseBase32('Z'.repeat(26), 16), undefined)
  assert.equal(parseBase32('U0', 1), undefined)
  assert.equal(canonicalBase32('il o-0'), '1100')
  assert.ok(hasCheck(`HE110${checkCharacter('HE110')}`))
  assert.ok(!hasCheck(''))
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../../base/index.ts'
import { base64UrlOf } from './base64-url.ts'
import { csrfTokenOf, hasCsrfToken, originOf, secretOf } from './cookie.ts'
import { LoginLimits, networkOf } from './login-limits.ts'
import { operatorCodec, sessionCodec } from './records.ts'

const minute = 60_000
const options = { perPair: 3, perOperator: 10, perAddress: 5, refillMs: 15 * minute, namesMax: 4 }

test('tries of one operator from one address run out first, and come back with time', () => {
  const limits = new LoginLimits(options)
  for (let at = 0; at < 3; at++) assert.equal(limits.take('ann', '10.0.0.1', 0), 0)
  assert.equal(limits.take('ann', '10.0.0.1', 0), 5 * minute)
  // The operator himself, elsewhere, is not shut out.
  assert.equal(limits.take('ann', '10.0.0.2', 0), 0)
  assert.ok(limits.take('ann', '10.0.0.1', 5 * minute - 1_000) > 0)
  assert.equal(limits.take('ann', '10.0.0.1', 5 * minute + 1), 0)
})

test('an address is bounded whatever names it tries, and refused tries cost nothing', () => {
  const limits = new LoginLimits(options)
  for (let at = 0; at < 5; at++) assert.equal(limits.take(`user${at}`, '10.0.0.1', 0), 0)
  for (let at = 0; at < 50; at++) assert.ok(limits.take(`user${at}`, '10.0.0.1', 0) > 0)
  assert.equal(limits.take('user9', '10.0.0.1', 3 * minute), 0)
})

test('an operator is bounded from however many addresses', () => {
  const limits = new LoginLimits({ ...options, namesMax: 1_000 })
  let taken = 0
  for (let at = 0; at < 40; at++) if (limits.take('ann', `10.0.1.${at}`, 0) === 0) taken++
  assert.equal(taken, options.perOperator)
})

test('a right password gives the try back', () => {
  const limits = new LoginLimits(options)
  for (let at = 0; at < 30; at++) {
    assert.equal(limits.take('ann', '10.0.0.1', 0), 0)
    limits.giveBack('ann', '10.0.0.1', 0)
  }
})

test('one customer is one address', () => {
  assert.equal(networkOf('::ffff:10.0.0.1'), '10.0.0.1')
  assert.equal(networkOf('10.0.0.1'), '10.0.0.1')
  assert.equal(networkOf('2001:db8:1:2:3:4:5:6'), networkOf('2001:0db8:1:2::9'))
  assert.notEqual(networkOf('2001:db8:1:2::1'), networkOf('2001:db8:1:3::1'))
  assert.equal(networkOf('fe80::1%eth0'), networkOf('fe80::2'))
  assert.equal(networkOf('::1'), '0:0:0:0::/64')
})

test('base64url as the system has it', () => {
  const random = seededRandom(7)
  for (let length = 0; length < 40; length++) {
    const bytes = random.bytes(length)
    assert.equal(base64UrlOf(bytes), Buffer.from(bytes).toString('base64url'))
  }
})

const secret = 'A'.repeat(43)
const cookies = (...values: string[]) => ({
  headers: values.map((value) => ['cookie', value] as const),
})

test('a cookie is the secret of a session only in its one right form', () => {
  assert.equal(secretOf(cookies(`a=b; __Host-atoll=${secret}; c=d`)), secret)
  assert.equal(secretOf(cookies('a=b', `__Host-atoll=${secret}`)), secret)
  for (const wrong of [
    '',
    '__Host-atoll=',
    `__Host-atoll=${secret}x`,
    `__Host-atoll="${secret}"`,
    `atoll=${secret}`,
    `__Host-atoll=${secret}; __Host-atoll=${'B'.repeat(43)}`,
  ]) {
    assert.equal(secretOf(cookies(wrong)), undefined, wrong)
  }
})

test('the CSRF token is the session’s own', () => {
  const given = (value: string) => ({ headers: [['x-atoll-csrf', value] as const] })
  assert.ok(hasCsrfToken(given(csrfTokenOf(secret)), secret))
  assert.ok(!hasCsrfToken(given(csrfTokenOf('B'.repeat(43))), secret))
  assert.ok(!hasCsrfToken(given(secret), secret))
  assert.ok(!hasCsrfToken({ headers: [] }, secret))
})

test('an origin is the same only by scheme, name and port', () => {
  const from = (origin: string | undefined, host = 'atoll:7777') =>
    originOf({
      headers: [['host', host], ...(origin === undefined ? [] : [['origin', origin] as const])],
    })
  assert.equal(from('https://atoll:7777'), 'same')
  assert.equal(from('https://ATOLL:7777'), 'same')
  assert.equal(from(undefined), 'absent')
  for (const other of ['http://atoll:7777', 'https://atoll', 'https://atoll:7777.evil', 'null']) {
    assert.equal(from(other), 'other', other)
  }
  assert.equal(from('https://', ''), 'other')
})

test('records come back as they were, and damage is noticed', () => {
  const operator = {
    name: 'ann',
    scopes: ['metadata', 'admin'] as const,
    passwordHash: seededRandom(1).bytes(50),
    stamp: 2 ** 52 - 1,
    createdMs: 1_700_000_000_000,
    changedMs: 1_700_000_000_001,
  }
  assert.deepEqual(operatorCodec.decode(operatorCodec.encode(operator)), operator)
  const session = { operator: 'ann', stamp: 5, createdMs: 1, expiresMs: 2, source: '::1' }
  const bytes = sessionCodec.encode(session)
  assert.deepEqual(sessionCodec.decode(bytes), session)
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice()
    damaged[at] = (damaged[at] ?? 0) ^ 1
    assert.throws(() => sessionCodec.decode(damaged), { code: 'corrupt' })
  }
  assert.throws(() => operatorCodec.decode(bytes), { code: 'corrupt' })
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../base/index.ts'
import { checkAddressPrefix, isWithinPrefix, parseIp } from './address-prefix.ts'

test('an address is within a range by its first bits', () => {
  const rows: readonly (readonly [string, string, boolean])[] = [
    ['10.11.12.7', '10.11.12.0/24', true],
    ['10.11.13.7', '10.11.12.0/24', false],
    ['10.11.12.7', '10.11.12.7', true],
    ['10.11.12.8', '10.11.12.7', false],
    ['10.11.12.7', '0.0.0.0/0', true],
    ['10.11.12.127', '10.11.12.0/25', true],
    ['10.11.12.128', '10.11.12.0/25', false],
    ['fd00::1', 'fd00::/8', true],
    ['fe00::1', 'fd00::/8', false],
    ['fd00:0:0:0:0:0:0:1', 'fd00::1', true],
    ['::1', '0.0.0.0/0', false],
    ['rpi2.local', 'RPI2.local', true],
    ['rpi2.local', '10.0.0.0/8', false],
    ['10.0.0.1', 'rpi2.local', false],
  ]
  for (const [host, prefix, expected] of rows) {
    checkAddressPrefix(prefix)
    assert.equal(isWithinPrefix(host, prefix), expected, `${host} in ${prefix}`)
  }
})

test('what is no range is refused, and noise is never within one', () => {
  for (const text of [
    '',
    '10.0.0.0/33',
    '10.0.0/8',
    '1.2.3.4.5',
    '10.0.0.0/08',
    '::/129',
    ':::',
    'a b',
    '1.2.3.256',
    'fd00::1::2',
    '10.0.0.0/8/8',
  ]) {
    assert.throws(() => checkAddressPrefix(text), /is not an address, a range or a host name/, text)
  }
  const random = seededRandom(5)
  const letters = '0123456789abcdef:./'
  for (let round = 0; round < 5_000; round++) {
    let noise = ''
    for (let at = random.integer(50); at >= 0; at--)
      noise += letters[random.integer(letters.length)]
    const bytes = parseIp(noise)
    assert.ok(bytes === undefined || bytes.length === 4 || bytes.length === 16)
    assert.equal(isWithinPrefix('203.0.113.9', `${noise}x`), false)
  }
})

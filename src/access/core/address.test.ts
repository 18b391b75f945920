import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isInRange, parseAddress, parseRange } from './address.ts'

function isIn(address: string, range: string): boolean | undefined {
  const bytes = parseAddress(address)
  const within = parseRange(range)
  return bytes === undefined || within === undefined ? undefined : isInRange(bytes, within)
}

test('ranges of both families, and addresses that are mapped', () => {
  const table: readonly (readonly [
    address: string,
    range: string,
    expected: boolean | undefined,
  ])[] = [
    ['10.1.2.3', '10.0.0.0/8', true],
    ['11.1.2.3', '10.0.0.0/8', false],
    ['10.1.2.3', '10.1.2.3', true],
    ['10.1.2.3', '10.1.2.7/29', true],
    ['10.1.2.3', '10.1.2.8/29', false],
    ['203.0.113.7', '0.0.0.0/0', true],
    ['::1', '0.0.0.0/0', false],
    ['10.1.2.3', '::/0', false],
    ['::ffff:10.1.2.3', '10.0.0.0/8', true],
    ['::ffff:a01:203', '10.0.0.0/8', true],
    ['0:0:0:0:0:ffff:10.1.2.3', '10.1.2.3/32', true],
    ['10.1.2.3', '::ffff:10.0.0.0/104', true],
    ['11.1.2.3', '::ffff:10.0.0.0/104', false],
    ['2001:db8::1', '2001:db8::/32', true],
    ['2001:db9::1', '2001:db8::/32', false],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1', true],
    ['fe80::1%eth0', 'fe80::/10', true],
    ['::10.1.2.3', '10.0.0.0/8', false],
    ['010.1.2.3', '10.0.0.0/8', undefined],
    ['10.1.2', '10.0.0.0/8', undefined],
    ['10.1.2.256', '10.0.0.0/8', undefined],
    ['1::2::3', '::/0', undefined],
    ['1:2:3:4:5:6:7', '::/0', undefined],
    ['1:2:3:4:5:6:7:8::', '::/0', undefined],
    ['', '::/0', undefined],
    ['10.1.2.3, 4.4.4.4', '0.0.0.0/0', undefined],
    ['10.1.2.3', '10.0.0.0/33', undefined],
    ['10.1.2.3', '10.0.0.0/', undefined],
    ['10.1.2.3', '10.0.0.0/08', undefined],
    ['10.1.2.3', '10.0.0.0/-1', undefined],
    ['10.1.2.3', '*', undefined],
  ]
  for (const [address, range, expected] of table) {
    assert.equal(isIn(address, range), expected, `${address} in ${range}`)
  }
})

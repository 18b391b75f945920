// RFC 7914, section 12: scrypt of 'pleaseletmein'.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex, utf8Encode } from '../../base/index.ts'
import { realPasswords } from './passwords.ts'

test('a password is stretched by scrypt', async () => {
  const options = { salt: utf8Encode('SodiumChloride'), cost: 14 }
  const hash = await realPasswords.stretch(utf8Encode('pleaseletmein'), options)
  assert.equal(toHex(hash), '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2')
})

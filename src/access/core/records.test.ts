import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Codec, fromHex, isFault, seededRandom, toHex, utf8Encode } from '../../base/index.ts'
import {
  auditCodec,
  bucketPolicyCodec,
  counterCodec,
  groupCodec,
  keyCodec,
  policyCodec,
  tenantCodec,
  tokenCodec,
  userCodec,
} from './records.ts'

type Sample = { readonly codec: Codec<unknown>; readonly value: unknown; readonly hex: string }
const sample = <T>(codec: Codec<T>, value: T, hex: string): Sample => ({
  codec: codec as Codec<unknown>,
  value,
  hex,
})

const samples: readonly Sample[] = [
  sample(
    tenantCodec,
    { id: '123456789012', name: 'acme', createdMs: 5, keys: ['AKIA1'] },
    '30010a0c313233343536373839303132120461636d6518052205414b49413161a65d6e',
  ),
  sample(
    userCodec,
    {
      tenant: '123456789012',
      name: 'alice',
      id: 'AIDA1',
      createdMs: 5,
      groups: ['devs'],
      policies: ['read', 'write'],
      keys: ['AKIA2'],
    },
    '31010a0c3132333435363738393031321205616c6963651a05414944413120052a0464657673320472656164320577726974653a05414b49413243e397f1',
  ),
  sample(
    groupCodec,
    { tenant: '123456789012', name: 'devs', createdMs: 5, policies: ['read'] },
    '32010a0c3132333435363738393031321204646576731805220472656164da8a3e79',
  ),
  sample(
    policyCodec,
    { tenant: '123456789012', name: 'read', document: '{}', createdMs: 5, changedMs: 6 },
    '33010a0c3132333435363738393031321204726561641a027b7d200528068f4f1b48',
  ),
  sample(
    keyCodec,
    {
      id: 'AKIA2',
      tenant: '123456789012',
      user: 'alice',
      secret: utf8Encode('SK'),
      wrappedBy: 'w1',
      createdMs: 5,
      isInactive: true,
      expiresMs: 7,
    },
    '34010a05414b494132120c3132333435363738393031321a05616c6963652202534b2a0277313005380140075ca3dcac',
  ),
  sample(
    tokenCodec,
    {
      id: 'T',
      tenant: '123456789012',
      name: 'ci',
      hash: Uint8Array.of(1, 2),
      scopes: ['metadata', 'admin'],
      createdMs: 5,
      expiresMs: 7,
    },
    '35010a0154120c3132333435363738393031321a026369220201022a086d657461646174612a0561646d696e3005380701afec0b',
  ),
  sample(
    auditCodec,
    {
      sequence: 9,
      atMs: 5,
      actor: 'a',
      action: 'admin:CreateUser',
      resource: 'r',
      source: '10.0.0.1',
      outcome: 'ok',
    },
    '3601080910051a0161221061646d696e3a437265617465557365722a0172320831302e302e302e313a026f6bc8d03647',
  ),
  sample(counterCodec, { value: 300 }, '370108ac022a77f3e0'),
  sample(bucketPolicyCodec, { document: '{}', changedMs: 6 }, '38010a027b7d1006a9669930'),
]

test('bytes of version 1 stay as they are, and are read', () => {
  for (const { codec, value, hex } of samples) {
    assert.equal(toHex(codec.encode(value)), hex)
    assert.deepEqual(codec.decode(fromHex(hex) ?? new Uint8Array(0)), value)
  }
})

test('every flipped bit, every cut and every other kind is refused as corrupt', () => {
  const corrupt = (error: unknown): boolean => isFault(error, 'corrupt')
  for (const { codec, value } of samples) {
    const bytes = codec.encode(value)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = bytes.slice()
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.throws(() => codec.decode(damaged), corrupt)
    }
    for (let end = 0; end < bytes.length; end++) {
      assert.throws(() => codec.decode(bytes.subarray(0, end)), corrupt)
    }
    for (const other of samples) {
      if (other.codec !== codec) assert.throws(() => other.codec.decode(bytes), corrupt)
    }
  }
  const random = seededRandom(3)
  for (let round = 0; round < 300; round++) {
    assert.throws(() => userCodec.decode(random.bytes(random.integer(64))), corrupt)
  }
})

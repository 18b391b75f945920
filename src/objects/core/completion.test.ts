import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32, crc32c, seededRandom } from '../../base/index.ts'
import { chooseParts, completedEtag, partBytesMin } from './completion.ts'
import { combineCrc, crcPolynomials } from './crc-combination.ts'
import type { Part } from './records.ts'

function part(length: number, etag: string): Part {
  const body = {
    kind: 'small',
    length,
    version: new Uint8Array(16),
    chunks: [],
    uploadId: new Uint8Array(0),
  } as const
  return { body, etag, modifiedMs: 0, checksum: undefined }
}

function code(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    return (error as { s3: { code: string } }).s3.code
  }
  return 'none'
}

test('the CRC of a whole follows from the CRCs of its parts', () => {
  const random = seededRandom(3)
  for (const [name, sum] of [
    ['CRC32', crc32],
    ['CRC32C', crc32c],
  ] as const) {
    const polynomial = crcPolynomials[name]
    assert.ok(polynomial)
    for (const count of [0, 1, 7, 4096, 70_000]) {
      const a = random.bytes(random.integer(5000))
      const b = random.bytes(count)
      const whole = BigInt(sum(new Uint8Array([...a, ...b])))
      const sums = { first: BigInt(sum(a)), second: BigInt(sum(b)), secondBytes: count }
      assert.equal(combineCrc(polynomial, sums), whole)
    }
  }
})

test('CRC-64/NVME has its published check value and combines', () => {
  const polynomial = crcPolynomials.CRC64NVME
  assert.ok(polynomial)
  const text = new TextEncoder().encode('123456789')
  assert.equal(polynomial.sum(text), 0xae8b14860a799888n)
  const first = polynomial.sum(text.subarray(0, 4))
  const second = polynomial.sum(text.subarray(4))
  assert.equal(combineCrc(polynomial, { first, second, secondBytes: 5 }), polynomial.sum(text))
})

test('parts are checked as S3 checks them', () => {
  const stored = new Map([
    [1, part(partBytesMin, 'aa')],
    [2, part(3, 'bb')],
    [3, part(1, 'cc')],
  ])
  const one = { number: 1, etag: '"aa"' }
  assert.equal(chooseParts([one, { number: 2, etag: 'bb' }], stored).length, 2)
  assert.equal(
    code(() => chooseParts([], stored)),
    'MalformedXML',
  )
  assert.equal(
    code(() => chooseParts([{ number: 2, etag: 'bb' }, one], stored)),
    'InvalidPartOrder',
  )
  assert.equal(
    code(() => chooseParts([one, one], stored)),
    'InvalidPartOrder',
  )
  assert.equal(
    code(() => chooseParts([{ number: 1, etag: 'zz' }], stored)),
    'InvalidPart',
  )
  assert.equal(
    code(() => chooseParts([{ number: 9, etag: 'aa' }], stored)),
    'InvalidPart',
  )
  const small = [
    { number: 2, etag: 'bb' },
    { number: 3, etag: 'cc' },
  ]
  assert.equal(
    code(() => chooseParts(small, stored)),
    'EntityTooSmall',
  )
})

test('the ETag of a completed upload is the MD5 of its MD5s', () => {
  const md5 = 'd41d8cd98f00b204e9800998ecf8427e'
  const chosen = [1, 2].map((number) => ({ number, part: part(0, md5) }))
  assert.equal(completedEtag(chosen), '5873dd45edd01f09c1ef2e7819369e8e-2')
})

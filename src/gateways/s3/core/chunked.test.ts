import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes, isFault, seededRandom, utf8Encode } from '../../../base/index.ts'
import { encodeChunked } from '../testing/signing.ts'
import { ChunkedDecoder, type ChunkedOptions, type ChunkSigner } from './chunked.ts'
import { deriveSigningKey } from './sigv4.ts'

/** The user guide's examples of streaming uploads. */
const day = { day: '20130524', region: 'us-east-1', service: 's3' }
const exampleSigner: ChunkSigner = {
  signingKey: deriveSigningKey('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', day),
  timestamp: '20130524T000000Z',
  scope: '20130524/us-east-1/s3/aws4_request',
  seed: '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
}
const exampleBytes = new Uint8Array(66_560).fill(0x61)

type Outcome = { bytes: Uint8Array; trailers: ReadonlyMap<string, string> }

function decode(slices: readonly Uint8Array[], options: ChunkedOptions): Outcome {
  const decoder = new ChunkedDecoder(options)
  const parts: Uint8Array[] = []
  for (const slice of slices) {
    decoder.push(slice)
    for (let part = decoder.next(); part !== undefined; part = decoder.next()) parts.push(part)
  }
  const trailers = decoder.finish()
  return { bytes: concatBytes(parts), trailers }
}

function code(run: () => unknown): string {
  try {
    run()
    return 'ok'
  } catch (error) {
    assert.ok(isFault(error), String(error))
    return error.s3.code
  }
}

function cutRandomly(bytes: Uint8Array, seed: number): Uint8Array[] {
  const random = seededRandom(seed)
  const slices: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const count = 1 + random.integer(random.chance(0.5) ? 4 : 3000)
    slices.push(bytes.subarray(at, at + count))
    at += count
  }
  return slices
}

function signedExample(signatures: readonly string[], tail: string): Uint8Array {
  const [first, second, last] = signatures
  return concatBytes([
    utf8Encode(`10000;chunk-signature=${first}\r\n`),
    exampleBytes.subarray(0, 65_536),
    utf8Encode(`\r\n400;chunk-signature=${second}\r\n`),
    exampleBytes.subarray(65_536),
    utf8Encode(`\r\n0;chunk-signature=${last}\r\n${tail}`),
  ])
}

const chain = [
  'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
  '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
  'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
]

test("S3's documented example of signed chunks, cut anywhere", () => {
  const options = { signer: exampleSigner, decodedLength: 66_560, trailers: [] }
  const body = signedExample(chain, '\r\n')
  for (let seed = 0; seed < 20; seed++) {
    assert.deepEqual(decode(cutRandomly(body, seed), options).bytes, exampleBytes)
  }
  const flipped = body.slice()
  flipped[30_000] = 0x62
  assert.equal(
    code(() => decode([flipped], options)),
    'SignatureDoesNotMatch',
  )
  const swapped = signedExample([chain[1] ?? '', chain[0] ?? '', chain[2] ?? ''], '\r\n')
  assert.equal(
    code(() => decode([swapped], options)),
    'SignatureDoesNotMatch',
  )
})

test("S3's documented example of a signed trailer", () => {
  const signatures = [
    'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
    '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
    '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
  ]
  const options = {
    signer: {
      ...exampleSigner,
      seed: '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e',
    },
    decodedLength: 66_560,
    trailers: ['x-amz-checksum-crc32c'],
  }
  const tail =
    'x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n'
  const { trailers, bytes } = decode([signedExample(signatures, tail)], options)
  assert.deepEqual(bytes, exampleBytes)
  assert.equal(trailers.get('x-amz-checksum-crc32c'), 'sOO8/Q==')
  const changed = tail.replace('sOO8', 'sOO9')
  assert.equal(
    code(() => decode([signedExample(signatures, changed)], options)),
    'SignatureDoesNotMatch',
  )
  const unsigned = 'x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n\r\n'
  assert.equal(
    code(() => decode([signedExample(signatures, unsigned)], options)),
    'MalformedTrailerError',
  )
})

test('what the encoder writes, strictly or loosely, reads back from any cut', () => {
  const random = seededRandom(5)
  const signed = { ...exampleSigner, signature: exampleSigner.seed }
  for (let round = 0; round < 60; round++) {
    const isSigned = random.chance(0.5)
    const chunks = Array.from({ length: random.integer(4) }, () =>
      random.bytes(isSigned ? 8192 + random.integer(3000) : 1 + random.integer(3000)),
    )
    const bytes = concatBytes(chunks)
    const trailers = random.chance(0.5) ? [['x-amz-checksum-crc32', 'AAAAAA=='] as const] : []
    const isLoose = random.chance(0.5)
    const body = encodeChunked(chunks, { ...(isSigned ? { signed } : {}), trailers, isLoose })
    const options = {
      signer: isSigned ? exampleSigner : undefined,
      decodedLength: bytes.length,
      trailers: trailers.map(([name]) => name),
    }
    const result = decode(cutRandomly(concatBytes(body), round), options)
    assert.deepEqual(result.bytes, bytes)
    assert.equal(result.trailers.size, trailers.length)
  }
})

test('a view of the slice comes out, not a copy', () => {
  const slice = utf8Encode('5\r\nhello\r\n0\r\n\r\n')
  const decoder = new ChunkedDecoder({ signer: undefined, decodedLength: 5, trailers: [] })
  decoder.push(slice)
  assert.equal(decoder.next()?.buffer, slice.buffer)
  assert.equal(decoder.next(), undefined)
})

test('lies and stumps are refused with the exact code', () => {
  const outcome = (body: string, length = 5, trailers: string[] = []): string =>
    code(() => decode([utf8Encode(body)], { signer: undefined, decodedLength: length, trailers }))
  assert.equal(outcome('5\r\nhello\r\n0\r\n\r\n'), 'ok')
  assert.equal(outcome('5\r\nhello\r\n0\r\n\r\n', 6), 'IncompleteBody')
  assert.equal(outcome('5\r\nhello\r\n0\r\n\r\n', 4), 'IncompleteBody')
  assert.equal(outcome('5\r\nhello\r\n'), 'IncompleteBody')
  assert.equal(outcome('5\r\nhello\r\n0\r\n'), 'IncompleteBody')
  assert.equal(outcome('5\r\nhel'), 'IncompleteBody')
  assert.equal(outcome(''), 'IncompleteBody')
  assert.equal(outcome('5\r\nhelloX\r\n0\r\n\r\n'), 'InvalidRequest')
  assert.equal(outcome('zz\r\n'), 'InvalidRequest')
  assert.equal(outcome('-5\r\n'), 'InvalidRequest')
  assert.equal(outcome('5\nhello\r\n'), 'InvalidRequest')
  assert.equal(outcome('ffffffffffff\r\n'), 'IncompleteBody')
  assert.equal(outcome(`${'0'.repeat(400)}5\r\n`), 'InvalidRequest')
  assert.equal(outcome('5\r\nhello\r\n0\r\n\r\nrest\r\n'), 'IncompleteBody')
  const sum = ['x-amz-checksum-crc32']
  assert.equal(outcome('5\r\nhello\r\n0\r\nx-amz-checksum-crc32:a\r\n\r\n', 5, sum), 'ok')
  assert.equal(outcome('5\r\nhello\r\n0\r\n\r\n', 5, sum), 'MalformedTrailerError')
  assert.equal(outcome('5\r\nhello\r\n0\r\nx:y\r\n\r\n', 5, sum), 'MalformedTrailerError')
  const twice = 'x-amz-checksum-crc32:a\r\n'.repeat(2)
  assert.equal(outcome(`5\r\nhello\r\n0\r\n${twice}\r\n`, 5, sum), 'MalformedTrailerError')
  const signed = { signer: exampleSigner, decodedLength: 5, trailers: [] }
  assert.equal(
    code(() => decode([utf8Encode('5\r\nhello\r\n0\r\n\r\n')], signed)),
    'InvalidRequest',
  )
})

test('small signed chunks are refused', () => {
  const signed = { ...exampleSigner, signature: exampleSigner.seed }
  const chunks = [new Uint8Array(10), new Uint8Array(10)]
  const options = { signer: exampleSigner, decodedLength: 20, trailers: [] }
  assert.equal(
    code(() => decode(encodeChunked(chunks, { signed }), options)),
    'InvalidChunkSizeError',
  )
})

test('random damage never passes for the original', () => {
  const random = seededRandom(9)
  const signed = { ...exampleSigner, signature: exampleSigner.seed }
  const bytes = random.bytes(9000)
  const body = concatBytes(encodeChunked([bytes], { signed }))
  const options = { signer: exampleSigner, decodedLength: bytes.length, trailers: [] }
  for (let i = 0; i < 400; i++) {
    const damaged = body.slice(0, random.chance(0.2) ? random.integer(body.length) : body.length)
    if (damaged.length === body.length) {
      const at = random.integer(body.length)
      damaged[at] = (damaged[at] as number) ^ (1 << random.integer(8))
    }
    const outcome = code(() => {
      const decoded = decode([damaged], options)
      assert.deepEqual(decoded.bytes, bytes)
    })
    assert.match(
      outcome,
      /^(ok|SignatureDoesNotMatch|IncompleteBody|InvalidRequest|InvalidChunkSizeError)$/,
    )
  }
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom, utf8Encode } from '../../../base/index.ts'
import { isChecksumValue, readChecksumClaim, readChecksumType, startChecksum } from './checksums.ts'
import { checkRead, rangeApplies, readWriteCondition } from './conditions.ts'
import {
  formatBasicDate,
  formatHttpDate,
  formatXmlDate,
  parseBasicDate,
  parseHttpDate,
} from './dates.ts'
import { checkFeatures } from './features.ts'
import { readObjectHeaders, writeObjectHeaders } from './metadata.ts'
import { checkBucketName, locate } from './names.ts'
import { formatToken, parseToken } from './paging.ts'
import { readCopyRange, readRange } from './range.ts'
import { routeRequest } from './route.ts'
import {
  base64Decode,
  base64Encode,
  headerText,
  percentDecode,
  uriEncode,
  uriEncodePath,
  utf8AsLatin1,
  utf8Length,
} from './text.ts'
import { effectiveHeaders, readWireRequest } from './wire-request.ts'
import { escapeXml } from './xml.ts'
import { readCompleteUpload, readCreateBucket, readDelete } from './xml-read.ts'

function code(run: () => unknown): string {
  try {
    run()
    return 'ok'
  } catch (error) {
    assert.ok(isFault(error), String(error))
    return `${error.s3.status} ${error.s3.code}`
  }
}

function headersOf(record: Record<string, string>): Map<string, string> {
  return new Map(Object.entries(record))
}

test('dates agree with the calendar of the runtime', () => {
  const random = seededRandom(1)
  for (let i = 0; i < 1000; i++) {
    const ms = random.integer(4_000_000_000) * 1000 + random.integer(1000) - 900_000_000_000
    const date = new Date(ms)
    assert.equal(formatHttpDate(ms), date.toUTCString())
    const second = Math.floor(ms / 1000) * 1000
    assert.equal(formatXmlDate(ms), new Date(second).toISOString())
    assert.equal(parseHttpDate(date.toUTCString()), second)
    assert.equal(parseBasicDate(formatBasicDate(ms)), second)
  }
  const example = Date.UTC(1994, 10, 6, 8, 49, 37)
  assert.equal(parseHttpDate('Sunday, 06-Nov-94 08:49:37 GMT'), example)
  assert.equal(parseHttpDate('Sun Nov  6 08:49:37 1994'), example)
  for (const bad of ['20150230T000000Z', '20151301T000000Z', '20150101T250000Z', '2015', '']) {
    assert.equal(parseBasicDate(bad), undefined)
  }
  assert.equal(parseHttpDate('Sun, 31 Feb 1994 08:49:37 GMT'), undefined)
})

test('base64 and percent-encoding agree with the runtime', () => {
  const random = seededRandom(2)
  for (let i = 0; i < 500; i++) {
    const bytes = random.bytes(random.integer(40))
    const text = Buffer.from(bytes).toString('base64')
    assert.equal(base64Encode(bytes), text)
    assert.deepEqual(base64Decode(text), bytes)
    const escaped = [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
    let expected: string | undefined
    try {
      expected = decodeURIComponent(escaped)
    } catch {
      expected = undefined
    }
    assert.equal(percentDecode(escaped, false), expected)
  }
  for (const bad of ['A', 'AA', 'AAA', 'AA=A', '====', 'A===', 'AB==', 'AA-_', 'ÀAAA']) {
    assert.equal(base64Decode(bad), undefined, bad)
  }
  assert.equal(uriEncode("a/b c~!*'()"), 'a%2Fb%20c~%21%2A%27%28%29')
  assert.equal(uriEncodePath('a/b ü'), 'a/b%20%C3%BC')
  assert.equal(percentDecode('a+b%2b', true), 'a b+')
  assert.equal(percentDecode('a+b', false), 'a+b')
  for (const bad of ['%', '%4', '%zz', '%ff', '%c0%80', '%ed%a0%80']) {
    assert.equal(percentDecode(bad, false), undefined, bad)
  }
  for (const text of ['', 'a', 'é', '日', '🦀', 'aé日🦀']) {
    assert.equal(utf8Length(text), utf8Encode(text).length)
    assert.equal(headerText(utf8AsLatin1(text)), text)
  }
})

test('bucket and key by path and by host', () => {
  const domains = ['localhost', 's3.localhost']
  const at = (host: string, path: string): string => {
    const { bucket, key } = locate(host, path, domains)
    return `${bucket ?? '-'} ${key ?? '-'}`
  }
  assert.equal(at('localhost:9000', '/'), '- -')
  assert.equal(at('localhost:9000', '/bucket'), 'bucket -')
  assert.equal(at('localhost:9000', '/bucket/'), 'bucket -')
  assert.equal(at('127.0.0.1', '/bucket//a/../b/'), 'bucket /a/../b/')
  assert.equal(at('photos.localhost', '/'), 'photos -')
  assert.equal(at('photos.s3.localhost:80', '/bucket/key'), 'photos bucket/key')
  assert.equal(at('s3.localhost', '/bucket/key'), 'bucket key')
  assert.equal(at('my.bucket.S3.localhost', '/k'), 'my.bucket k')
  assert.equal(at('[::1]:9000', '/bucket/key'), 'bucket key')
  assert.equal(
    code(() => at('x', '//key')),
    '400 InvalidURI',
  )
  assert.equal(
    code(() => at('x', `/bucket/${'k'.repeat(1025)}`)),
    '400 KeyTooLongError',
  )
  assert.equal(
    code(() => at('x', `/bucket/${'é'.repeat(513)}`)),
    '400 KeyTooLongError',
  )
  assert.equal(
    code(() => at('x', `/bucket/${'é'.repeat(512)}`)),
    'ok',
  )
  for (const bad of ['ab', 'A-b', '-ab', 'ab-', 'a..b', '10.0.0.1', 'a_b', 'x'.repeat(64), '...']) {
    assert.equal(
      code(() => checkBucketName(bad)),
      '400 InvalidBucketName',
      bad,
    )
  }
})

test('targets that are no paths', () => {
  const path = (target: string) => readWireRequest('GET', target, []).path
  assert.equal(path('http://host:1/a/b?x'), '/a/b')
  assert.equal(path('/a%2Fb'), '/a/b')
  for (const bad of ['*', 'a', '/%', '/%ff', '/?a=%', 'ftp://x/']) {
    assert.equal(
      code(() => path(bad)),
      '400 InvalidURI',
      bad,
    )
  }
})

test('an unknown sub-resource is never mistaken for the object', () => {
  const route = (method: string, target: string): string => {
    const wire = readWireRequest(method, target, [])
    let operation = ''
    const outcome = code(() => {
      operation = routeRequest(wire, locate('h', wire.path, []), wire.headers)
    })
    return outcome === 'ok' ? operation : outcome
  }
  assert.equal(route('GET', '/'), 'ListBuckets')
  assert.equal(route('PUT', '/'), '405 MethodNotAllowed')
  assert.equal(route('PATCH', '/bucket/key'), '405 MethodNotAllowed')
  assert.equal(route('OPTIONS', '/bucket/key'), '501 NotImplemented')
  assert.equal(route('PUT', '/bucket/key?x-id=PutObject'), 'PutObject')
  assert.equal(route('GET', '/bucket/key?versionId=null'), 'GetObject')
  assert.equal(route('GET', '/bucket/key?versionId=3'), '501 NotImplemented')
  assert.equal(route('GET', '/bucket?list-type=3'), '400 InvalidArgument')
  assert.equal(route('PUT', '/bucket/key?partNumber=1'), '400 InvalidArgument')
  assert.equal(route('POST', '/bucket'), '501 NotImplemented')
  assert.equal(route('PUT', '/bucket?versioning'), '501 NotImplemented')
  assert.equal(route('GET', '/bucket/key?uploads'), '501 NotImplemented')
  assert.equal(route('GET', '/bucket?uploads&location'), '400 InvalidArgument')
  assert.equal(route('GET', '/bucket?policy'), 'GetBucketPolicy')
  assert.equal(route('POST', '/bucket?policy'), '501 NotImplemented')
  assert.equal(route('PUT', '/bucket/key?policy'), '501 NotImplemented')
  assert.equal(route('GET', '/bucket?policyStatus'), '501 NotImplemented')
  for (const name of ['acl', 'tagging', 'cors', 'object-lock', 'newest-feature']) {
    for (const method of ['GET', 'PUT', 'DELETE', 'POST']) {
      for (const path of ['/bucket', '/bucket/key']) {
        assert.equal(route(method, `${path}?${name}`), '501 NotImplemented')
        assert.equal(route(method, `${path}?${name}=`), '501 NotImplemented')
      }
    }
  }
  assert.equal(route('GET', '/bucket?select=x&select-type=2'), '501 NotImplemented')
  assert.equal(route('GET', '/bucket/key?cache-buster=7'), 'GetObject')
})

test('headers that ask for what is not here are refused', () => {
  const asks = (name: string, value: string) =>
    code(() => checkFeatures(headersOf({ [name]: value })))
  assert.equal(asks('x-amz-server-side-encryption', 'AES256'), '501 NotImplemented')
  assert.equal(asks('x-amz-acl', 'public-read'), '501 NotImplemented')
  assert.equal(asks('x-amz-acl', 'Private'), 'ok')
  assert.equal(asks('x-amz-grant-read', 'id=1'), '501 NotImplemented')
  assert.equal(asks('x-amz-of-next-year', '1'), '501 NotImplemented')
  assert.equal(asks('x-amz-meta-acl', 'public-read'), 'ok')
  assert.equal(asks('x-amz-request-payer', 'requester'), 'ok')
  assert.equal(asks('constructor', 'x'), 'ok')
})

test('signed query parameters stand for headers, checksums excepted', () => {
  const wire = readWireRequest(
    'PUT',
    '/b/k?X-Amz-Meta-A=1&x-amz-acl=public-read&x-amz-checksum-crc32=AAAAAA==&X-Amz-Date=x',
    [['x-amz-acl', 'public-read']],
  )
  const headers = effectiveHeaders(wire)
  assert.equal(headers.get('x-amz-meta-a'), '1')
  assert.equal(headers.has('x-amz-checksum-crc32'), false)
  assert.equal(headers.has('x-amz-date'), false)
  const differs = readWireRequest('PUT', '/b/k?x-amz-acl=private', [['x-amz-acl', 'public-read']])
  assert.equal(
    code(() => effectiveHeaders(differs)),
    '400 InvalidRequest',
  )
})

test('ranges of reads are lenient, of part copies strict', () => {
  const range = (text: string, size = 10) => {
    let found: unknown
    const outcome = code(() => {
      found = readRange(text, size)
    })
    return outcome === 'ok' ? found : outcome
  }
  assert.deepEqual(range('bytes=0-0'), { at: 0, count: 1 })
  assert.deepEqual(range('bytes=-0'), '416 InvalidRange')
  assert.deepEqual(range('bytes=10-'), '416 InvalidRange')
  assert.deepEqual(range('bytes=0-', 0), '416 InvalidRange')
  assert.deepEqual(range('bytes=-5', 0), '416 InvalidRange')
  for (const whole of ['bytes=-', 'bytes=5-4', 'items=0-1', 'bytes=0-1,3-4', 'bytes=a-b', '']) {
    assert.equal(range(whole), undefined, whole)
  }
  assert.deepEqual(readCopyRange('bytes=2-3', 4), { at: 2, count: 2 })
  assert.equal(
    code(() => readCopyRange('bytes=2-', 4)),
    '400 InvalidArgument',
  )
  assert.equal(
    code(() => readCopyRange('bytes=3-2', 4)),
    '400 InvalidArgument',
  )
  assert.equal(
    code(() => readCopyRange('bytes=2-4', 4)),
    '416 InvalidRange',
  )
})

test('preconditions have their precedence', () => {
  const modifiedMs = Date.UTC(2026, 0, 2, 3, 4, 5) + 678
  const version = { etag: 'e', modifiedMs }
  const same = formatHttpDate(modifiedMs)
  const before = formatHttpDate(modifiedMs - 1000)
  const read = (record: Record<string, string>): string => {
    let outcome = ''
    const fault = code(() => {
      outcome = checkRead(headersOf(record), version)
    })
    return fault === 'ok' ? outcome : fault
  }
  assert.equal(read({ 'if-modified-since': same }), 'not-modified')
  assert.equal(read({ 'if-modified-since': before }), 'go-on')
  assert.equal(read({ 'if-unmodified-since': same }), 'go-on')
  assert.equal(read({ 'if-unmodified-since': before }), '412 PreconditionFailed')
  assert.equal(read({ 'if-match': '"e"', 'if-unmodified-since': before }), 'go-on')
  assert.equal(read({ 'if-none-match': '"x"', 'if-modified-since': same }), 'go-on')
  assert.equal(read({ 'if-match': 'W/"a", "e"' }), 'go-on')
  assert.equal(read({ 'if-none-match': '*' }), 'not-modified')
  assert.equal(read({ 'if-modified-since': 'whenever' }), 'go-on')
  assert.equal(rangeApplies(headersOf({ 'if-range': '"e"' }), version), true)
  assert.equal(rangeApplies(headersOf({ 'if-range': '"x"' }), version), false)
  assert.equal(rangeApplies(headersOf({ 'if-range': before }), version), false)
  const write = (record: Record<string, string>) =>
    code(() => readWriteCondition(headersOf(record)))
  assert.equal(write({ 'if-none-match': '*' }), 'ok')
  assert.equal(write({ 'if-none-match': '"e"' }), '501 NotImplemented')
  assert.equal(write({ 'if-match': '"e"', 'if-none-match': '*' }), '400 InvalidRequest')
  assert.equal(write({ 'if-modified-since': same }), '501 NotImplemented')
})

test('checksum claims', () => {
  const claim = (record: Record<string, string>) => code(() => readChecksumClaim(headersOf(record)))
  assert.equal(claim({ 'x-amz-checksum-crc32': 'AAAAAA==' }), 'ok')
  assert.equal(claim({ 'x-amz-checksum-crc32': 'AAAAAAA=' }), '400 InvalidRequest')
  assert.equal(claim({ 'x-amz-checksum-crc32': '' }), '400 InvalidRequest')
  const two = { 'x-amz-checksum-crc32': 'AAAAAA==', 'x-amz-checksum-crc32c': 'AAAAAA==' }
  assert.equal(claim(two), '400 InvalidRequest')
  assert.equal(claim({ 'x-amz-sdk-checksum-algorithm': 'CRC32' }), '400 InvalidRequest')
  assert.equal(claim({ 'x-amz-sdk-checksum-algorithm': 'MD4' }), '400 InvalidRequest')
  assert.equal(claim({ 'x-amz-trailer': 'x-amz-checksum-sha1' }), 'ok')
  assert.equal(claim({ 'x-amz-trailer': 'expires' }), '501 NotImplemented')
  const type = (algorithm: 'CRC32' | 'CRC64NVME' | 'SHA256', value?: string) => {
    let found: unknown
    const headers = headersOf(value === undefined ? {} : { 'x-amz-checksum-type': value })
    const outcome = code(() => {
      found = readChecksumType(headers, algorithm)
    })
    return outcome === 'ok' ? found : outcome
  }
  assert.equal(type('CRC32'), 'COMPOSITE')
  assert.equal(type('CRC32', 'FULL_OBJECT'), 'FULL_OBJECT')
  assert.equal(type('CRC64NVME'), 'FULL_OBJECT')
  assert.equal(type('CRC64NVME', 'COMPOSITE'), '400 InvalidRequest')
  assert.equal(type('SHA256', 'FULL_OBJECT'), '400 InvalidRequest')
  assert.equal(isChecksumValue('CRC32', 'AAAAAA==-3', true), true)
  const check = utf8Encode('123456789')
  const published = {
    CRC32: 'cbf43926',
    CRC32C: 'e3069283',
    CRC64NVME: 'ae8b14860a799888',
  } as const
  for (const [algorithm, hex] of Object.entries(published)) {
    const sum = startChecksum(algorithm as keyof typeof published)
    sum.update(check.subarray(0, 4))
    sum.update(check.subarray(4))
    assert.equal(Buffer.from(sum.digest()).toString('hex'), hex)
  }
})

test('metadata keeps its bytes and its bound', () => {
  const headers = readObjectHeaders(
    headersOf({
      'content-encoding': 'aws-chunked,gzip',
      'content-type': 'a/b',
      'x-amz-meta-__proto__': 'x',
      'x-amz-meta-latin': '\u00e9',
    }),
  )
  assert.deepEqual(headers.content, { 'content-encoding': 'gzip', 'content-type': 'a/b' })
  assert.deepEqual(Object.entries(headers.user), [
    ['__proto__', 'x'],
    ['latin', '\u00e9'],
  ])
  assert.deepEqual(writeObjectHeaders(headers).at(-1), ['x-amz-meta-latin', '\u00e9'])
  const sized = (count: number) =>
    code(() => readObjectHeaders(headersOf({ 'x-amz-meta-a': 'x'.repeat(count) })))
  assert.equal(sized(2047), 'ok')
  assert.equal(sized(2048), '400 MetadataTooLarge')
})

test('tokens are read only as they were made', () => {
  for (const after of ['a', 'ü/🦀', 'nul\u0000', ''])
    assert.equal(parseToken(formatToken(after)), after)
  for (const bad of ['', 'abc', 'MmE=', '*', formatToken('a').slice(0, -1)]) {
    assert.equal(
      code(() => parseToken(bad)),
      '400 InvalidArgument',
      bad,
    )
  }
})

test('XML in: exact documents only', () => {
  const complete = (xml: string) => code(() => readCompleteUpload(utf8Encode(xml)))
  const part = '<Part><PartNumber>1</PartNumber><ETag>"e"</ETag></Part>'
  const whole = `<CompleteMultipartUpload xmlns="x">${part}</CompleteMultipartUpload>`
  assert.deepEqual(readCompleteUpload(utf8Encode(whole)), [{ number: 1, etag: 'e' }])
  assert.equal(complete(`\ufeff<?xml version="1.0"?>\n${whole}`), 'ok')
  for (const bad of [
    '',
    'x',
    '<a/>',
    whole.slice(0, -1),
    `<!DOCTYPE a [<!ENTITY b "c">]>${whole}`,
    whole.replace('1', '&b;'),
    whole.replace('1', '-1'),
    whole.replace('1', '1e3'),
    whole.replace('<ETag>', '<Etag>'),
    '<CompleteMultipartUpload/>',
    `<CompleteMultipartUpload>${part.repeat(10_001)}</CompleteMultipartUpload>`,
    '<x>'.repeat(10_000),
    `${whole}${whole}`,
  ]) {
    assert.equal(complete(bad), '400 MalformedXML', bad.slice(0, 80))
  }
  const remove =
    '<Delete><Object><Key> a&amp;&#x1F980;\n</Key></Object><Quiet>true</Quiet></Delete>'
  assert.deepEqual(readDelete(utf8Encode(remove)), {
    isQuiet: true,
    objects: [{ key: ' a&🦀\n', etag: undefined, isVersioned: false }],
  })
  const versioned = remove.replace('</Key>', '</Key><VersionId>7</VersionId>')
  assert.equal(
    code(() => readDelete(utf8Encode(versioned))),
    '501 NotImplemented',
  )
  const bucket =
    '<CreateBucketConfiguration><LocationConstraint>x</LocationConstraint></CreateBucketConfiguration>'
  assert.equal(readCreateBucket(utf8Encode(bucket)), 'x')
  assert.equal(readCreateBucket(new Uint8Array(0)), undefined)
  assert.equal(
    code(() => readDelete(new Uint8Array([0xff]))),
    '400 MalformedXML',
  )
})

test('XML out escapes what must be and round-trips through the reader', () => {
  assert.equal(escapeXml('a<b>&"\u0000\r\n'), 'a&lt;b&gt;&amp;&quot;&#x0;&#xD;&#xA;')
  const random = seededRandom(3)
  const alphabet = ['<', '&', '"', '\r', '\n', '\t', ' ', 'a', 'ü', '🦀', ']]>', '\u0085', '\u2028']
  for (let i = 0; i < 300; i++) {
    let key = 'k'
    for (let n = random.integer(10); n > 0; n--) key += alphabet[random.integer(alphabet.length)]
    const xml = `<Delete><Object><Key>${escapeXml(key)}</Key></Object></Delete>`
    assert.equal(readDelete(utf8Encode(xml)).objects[0]?.key, key)
  }
})

test('random documents and queries end in a value or a fault', () => {
  const random = seededRandom(4)
  const seed = utf8Encode(
    '<?xml version="1.0"?><Delete><Object><Key>k</Key><ETag>e</ETag></Object><![CDATA[x]]><!-- c --></Delete>',
  )
  for (let i = 0; i < 700; i++) {
    const bytes = seed.slice(0, random.chance(0.1) ? random.integer(seed.length) : seed.length)
    for (let n = random.integer(4); n > 0 && bytes.length > 0; n--) {
      bytes[random.integer(bytes.length)] = random.integer(256)
    }
    assert.match(
      code(() => readDelete(bytes)),
      /^(ok|400 MalformedXML|501 NotImplemented)$/,
    )
  }
  for (let i = 0; i < 700; i++) {
    const target = `/${Buffer.from(random.bytes(random.integer(30))).toString('latin1')}`
    assert.match(
      code(() => readWireRequest('GET', target, [])),
      /^(ok|400 InvalidURI)$/,
    )
  }
})

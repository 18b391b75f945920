import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { digestHex, hmacSha256, isFault, seededRandom, toHex } from '../../../base/index.ts'
import {
  canonicalRequest,
  checkClaim,
  checkSignature,
  deriveSigningKey,
  readClaim,
  SigningKeys,
  scopeOf,
  stringToSign,
} from './sigv4.ts'
import { SigningKey } from './signing-key.ts'
import { readWireRequest, type WireRequest } from './wire-request.ts'

const vectors = new URL('../../../../../shared/vectors/sigv4/', import.meta.url)
const isAbsent = !existsSync(vectors)

/** A request as in the vector files; folded lines are joined as HTTP did. */
function parseRequest(text: string): { wire: WireRequest; body: string } {
  const [head = '', ...rest] = text.split('\n\n')
  const [start = '', ...lines] = head.split('\n')
  const method = start.slice(0, start.indexOf(' '))
  const target = start.slice(method.length + 1, start.lastIndexOf(' HTTP/1.1'))
  const headers: [string, string][] = []
  for (const line of lines) {
    const last = headers.at(-1)
    if (/^\s/.test(line) && last !== undefined) {
      last[1] += ` ${line.trim()}`
      continue
    }
    const colon = line.indexOf(':')
    headers.push([line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()])
  }
  return { wire: readWireRequest(method, target, headers), body: rest.join('\n\n') }
}

function read(name: string, file: string): string {
  const bytes = readFileSync(new URL(`${name}/${file}`, vectors))
  return bytes.toString('latin1').replaceAll('\r', '')
}

test('the published vectors, in header and in query', {
  skip: isAbsent ? 'the folder shared/vectors/sigv4 is absent' : false,
}, () => {
  let count = 0
  for (const name of readdirSync(vectors).sort()) {
    const context = JSON.parse(read(name, 'context.json'))
    for (const form of ['header', 'query'] as const) {
      const { wire, body } = parseRequest(read(name, `${form}-signed-request.txt`))
      const claim = readClaim(wire)
      assert.equal(claim.kind, form)
      const rules = { normalizesPath: context.normalize, encodesAsSent: true }
      const canonical = canonicalRequest(wire, claim, digestHex('sha256', body), rules)
      const expected = Buffer.from(read(name, `${form}-canonical-request.txt`), 'latin1')
      assert.equal(canonical, expected.toString('utf8'), `${name} ${form}`)
      const toSign = stringToSign(claim.timestamp, scopeOf(claim), canonical)
      assert.equal(toSign, read(name, `${form}-string-to-sign.txt`), `${name} ${form}`)
      const key = deriveSigningKey(context.credentials.secret_access_key, claim)
      assert.equal(key.sign(toSign), claim.signature, `${name} ${form}`)
      assert.equal(claim.signature, read(name, `${form}-signature.txt`).trim())
      count++
    }
  }
  assert.ok(count >= 50, `${count} vectors`)
})

const secret = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const nowMs = Date.UTC(2013, 4, 24)
const rules = { region: 'us-east-1', service: 's3', nowMs, clockSkewMsMax: 900_000 }
const empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

function verify(wire: WireRequest, payloadHash: string, at = nowMs): void {
  const claim = readClaim(wire)
  checkClaim(wire, claim, { ...rules, nowMs: at })
  checkSignature(wire, claim, { signingKey: deriveSigningKey(secret, claim), payloadHash })
}

function s3Get(change: Record<string, string | undefined> = {}, target = '/test.txt'): WireRequest {
  const headers = new Map<string, string>([
    ['host', 'examplebucket.s3.amazonaws.com'],
    ['range', 'bytes=0-9'],
    ['x-amz-content-sha256', empty],
    ['x-amz-date', '20130524T000000Z'],
    [
      'authorization',
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    ],
  ])
  for (const [name, value] of Object.entries(change)) {
    if (value === undefined) headers.delete(name)
    else headers.set(name, value)
  }
  return readWireRequest('GET', target, [...headers])
}

function code(run: () => void): string {
  try {
    run()
    return 'ok'
  } catch (error) {
    assert.ok(isFault(error))
    return `${error.s3.status} ${error.s3.code}`
  }
}

test("S3's documented examples", () => {
  verify(s3Get(), empty)
  const put = readWireRequest('PUT', '/test$file.text', [
    ['host', 'examplebucket.s3.amazonaws.com'],
    ['date', 'Fri, 24 May 2013 00:00:00 GMT'],
    ['x-amz-content-sha256', '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072'],
    ['x-amz-date', '20130524T000000Z'],
    ['x-amz-storage-class', 'REDUCED_REDUNDANCY'],
    [
      'authorization',
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    ],
  ])
  verify(put, '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072')
})

const presigned =
  '/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404'

test('a presigned URL holds exactly as long as it says', () => {
  const wire = (target: string, more: [string, string][] = []): WireRequest =>
    readWireRequest('GET', target, [['host', 'examplebucket.s3.amazonaws.com'], ...more])
  const at = (ms: number) => code(() => verify(wire(presigned), 'UNSIGNED-PAYLOAD', ms))
  assert.equal(at(nowMs), 'ok')
  assert.equal(at(nowMs + 86_400_000), 'ok')
  assert.equal(at(nowMs + 86_400_001), '403 AccessDenied')
  assert.equal(at(nowMs - 900_001), '403 AccessDenied')
  const changed = (from: string, to: string) =>
    code(() => verify(wire(presigned.replace(from, to)), 'UNSIGNED-PAYLOAD'))
  assert.equal(changed('86400', '604801'), '400 AuthorizationQueryParametersError')
  assert.equal(changed('86400', '-1'), '400 AuthorizationQueryParametersError')
  assert.equal(changed('86400', 'x'), '400 AuthorizationQueryParametersError')
  assert.equal(changed('86400', '86401'), '403 SignatureDoesNotMatch')
  assert.equal(changed('us-east-1', 'mars'), '400 AuthorizationQueryParametersError')
  assert.equal(changed('&X-Amz-Expires=86400', ''), '400 AuthorizationQueryParametersError')
  const twice = `${presigned}&X-Amz-Expires=1`
  assert.equal(
    code(() => verify(wire(twice), '')),
    '400 AuthorizationQueryParametersError',
  )
  const unsigned = wire(presigned, [['x-amz-copy-source', '/a/b']])
  assert.equal(
    code(() => verify(unsigned, 'UNSIGNED-PAYLOAD')),
    '403 AccessDenied',
  )
  const both = wire(presigned, [['authorization', 'AWS4-HMAC-SHA256 x']])
  assert.equal(
    code(() => verify(both, '')),
    '400 InvalidArgument',
  )
})

test('each defect of a header has its own code', () => {
  const of = (change: Record<string, string | undefined>, at = nowMs) =>
    code(() => verify(s3Get(change), empty, at))
  assert.equal(of({ authorization: undefined }), '403 AccessDenied')
  assert.equal(of({ authorization: 'AWS AKID:sig' }), '400 InvalidRequest')
  assert.equal(of({ authorization: 'AWS4-HMAC-SHA256' }), '400 AuthorizationHeaderMalformed')
  assert.equal(of({ 'x-amz-date': undefined }), '403 AccessDenied')
  assert.equal(of({ 'x-amz-date': 'yesterday' }), '403 AccessDenied')
  assert.equal(of({ range: 'bytes=0-8' }), '403 SignatureDoesNotMatch')
  assert.equal(of({ 'x-amz-acl': 'private' }), '403 AccessDenied')
  assert.equal(of({}, nowMs + 900_000), 'ok')
  assert.equal(of({}, nowMs + 900_001), '403 RequestTimeTooSkewed')
  assert.equal(of({}, nowMs - 900_001), '403 RequestTimeTooSkewed')
  const authorization = s3Get().headers.get('authorization') ?? ''
  const changed = (from: string, to: string) =>
    of({ authorization: authorization.replace(from, to) })
  assert.equal(changed('us-east-1', 'us-west-2'), '400 AuthorizationHeaderMalformed')
  assert.equal(changed('/s3/', '/ec2/'), '400 AuthorizationHeaderMalformed')
  assert.equal(changed('aws4_request', 'aws4'), '400 AuthorizationHeaderMalformed')
  assert.equal(changed('20130524', '20130523'), '400 AuthorizationHeaderMalformed')
  assert.equal(changed('host;', ''), '403 AccessDenied')
  assert.equal(changed('Signature=f0', 'Signature=f1'), '403 SignatureDoesNotMatch')
  assert.equal(changed('Signature=f0', 'Signature=F0'), '400 AuthorizationHeaderMalformed')
})

test('metadata is signed as its bytes, whatever they are', () => {
  const key = new SigningKey(new Uint8Array(32))
  const claim = { kind: 'header', signedHeaders: ['x-amz-meta-a'] } as const
  const canonical = (value: string) => {
    const wire = readWireRequest('GET', '/', [['x-amz-meta-a', value]])
    return key.sign(canonicalRequest(wire, claim, ''))
  }
  const utf8 = Buffer.from('grün', 'utf8').toString('latin1')
  assert.equal(canonical(utf8), canonical('grün'))
  assert.equal(canonical('  a   b '), canonical('a b'))
})

test('random headers and queries fail with a fault, never otherwise', () => {
  const random = seededRandom(11)
  const words = ['AWS4-HMAC-SHA256', 'Credential=', 'a/20130524/us-east-1/s3/aws4_request', ',']
  words.push(
    'SignedHeaders=',
    'host',
    ';',
    'Signature=',
    'f'.repeat(64),
    '=',
    ' ',
    '%',
    '\u00ff',
    '&',
  )
  for (let i = 0; i < 1500; i++) {
    let text = ''
    for (let n = random.integer(12); n > 0; n--) text += words[random.integer(words.length)]
    const isQuery = random.chance(0.5)
    const target = isQuery ? `/?X-Amz-Algorithm=${text}` : '/'
    const outcome = code(() => {
      const headers: [string, string][] = [
        ['host', 'h'],
        ['x-amz-date', '20130524T000000Z'],
      ]
      if (!isQuery) headers.push(['authorization', text])
      verify(readWireRequest('GET', target, headers), empty)
    })
    assert.match(outcome, /^40[03] /)
  }
})

test('the written-out HMAC is the library’s', () => {
  const random = seededRandom(8)
  for (let i = 0; i < 200; i++) {
    const key = random.bytes(random.integer(65))
    const text = Buffer.from(random.bytes(random.integer(200))).toString('latin1')
    assert.equal(new SigningKey(key).sign(text), toHex(hmacSha256(key, text)))
  }
})

test('signing keys are kept for the last used, and never for a replaced secret', () => {
  const keys = new SigningKeys(2)
  const claim = readClaim(s3Get())
  const key = keys.get(secret, claim)
  assert.equal(keys.get(secret, claim), key)
  assert.notEqual(keys.get('other', claim).sign('x'), key.sign('x'))
  const again = keys.get(secret, claim)
  assert.equal(again.sign('x'), key.sign('x'))
  for (const day of ['20130525', '20130526']) keys.get(secret, { ...claim, day })
  assert.notEqual(keys.get(secret, claim), again)
})

// AWS Signature Version 4 as S3 uses it ("Authenticating requests", API reference): the claim of a
// request (header or query), its checks in S3's order with S3's codes, the canonical request, and the
// comparison in constant time.
//
// S3 differs from the other services in two rules, which are therefore explicit (`CanonicalRules`): the
// path is decoded and encoded once (the others encode it as sent, so that its escapes are escaped), and
// it is never normalised, because '..' and '//' are key characters.

import { digestHex, equalSecret, type Fault, hmacSha256, utf8Encode } from '../../../base/index.ts'
import { formatBasicDate, formatXmlDate, parseBasicDate, parseHttpDate } from './dates.ts'
import { accessDenied, invalidArgument, invalidRequest, s3Fault } from './fault.ts'
import { SigningKey } from './signing-key.ts'
import { headerText, uriEncode, uriEncodePath } from './text.ts'
import { type QueryPair, queryValue, type WireRequest } from './wire-request.ts'

const algorithm = 'AWS4-HMAC-SHA256'
const expiresSecondsMax = 604_800
const signedHeadersMax = 128

/** What a request says about who signed it. Nothing of it is proved yet. */
export type Claim = {
  readonly kind: 'header' | 'query'
  readonly accessKeyId: string
  /** '20150830'. */
  readonly day: string
  readonly region: string
  readonly service: string
  readonly terminal: string
  readonly signedHeaders: readonly string[]
  /** 64 hexadecimal digits. */
  readonly signature: string
  /** '20150830T123600Z'. */
  readonly timestamp: string
  readonly signedAtMs: number
  /** Of a query claim: how long it holds. */
  readonly expiresSeconds: number | undefined
}

export type CanonicalRules = {
  /** Remove '.', '..' and empty segments from the path. */
  readonly normalizesPath: boolean
  /** Encode the path as it was sent, escapes included. */
  readonly encodesAsSent: boolean
}
export const s3Rules: CanonicalRules = { normalizesPath: false, encodesAsSent: false }

/** The claim of a request. Faults: AccessDenied for none, and S3's codes for each malformed part. */
export function readClaim(request: WireRequest): Claim {
  const authorization = request.headers.get('authorization')
  const inQuery = request.query.some(
    ({ name }) => name === 'X-Amz-Algorithm' || name === 'X-Amz-Signature' || name === 'Signature',
  )
  if (authorization !== undefined && inQuery) {
    throw invalidArgument(
      'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified',
      'Authorization',
      authorization.slice(0, 64),
    )
  }
  if (authorization !== undefined) return readHeaderClaim(request, authorization)
  if (inQuery) return readQueryClaim(request)
  throw accessDenied()
}

function readHeaderClaim(request: WireRequest, authorization: string): Claim {
  const space = authorization.indexOf(' ')
  const scheme = space < 0 ? authorization : authorization.slice(0, space)
  if (scheme !== algorithm) {
    throw invalidRequest(
      `The authorization mechanism you have provided is not supported. Please use ${algorithm}.`,
    )
  }
  const parts = new Map<string, string>()
  for (const part of authorization.slice(space + 1).split(',')) {
    const equals = part.indexOf('=')
    if (equals < 0) throw malformedHeader('a part has no value')
    parts.set(part.slice(0, equals).trim(), part.slice(equals + 1).trim())
  }
  const credential = parts.get('Credential')
  const signedHeaders = parts.get('SignedHeaders')
  const signature = parts.get('Signature')
  if (credential === undefined) throw malformedHeader('the header has no Credential')
  if (signedHeaders === undefined) throw malformedHeader('the header has no SignedHeaders')
  if (signature === undefined) throw malformedHeader('the header has no Signature')
  const scope = readScope(credential, malformedHeader)
  if (!/^[0-9a-f]{64}$/.test(signature)) throw malformedHeader('the Signature is malformed')
  const { timestamp, signedAtMs } = readRequestTime(request)
  return {
    kind: 'header',
    ...scope,
    signedHeaders: splitHeaders(signedHeaders),
    signature,
    timestamp,
    signedAtMs,
    expiresSeconds: undefined,
  }
}

/** From x-amz-date, else from Date. */
function readRequestTime(request: WireRequest): { timestamp: string; signedAtMs: number } {
  const basic = request.headers.get('x-amz-date')
  const http = request.headers.get('date')
  const signedAtMs =
    basic !== undefined
      ? parseBasicDate(basic)
      : http === undefined
        ? undefined
        : (parseBasicDate(http) ?? parseHttpDate(http))
  if (signedAtMs === undefined) {
    throw accessDenied('AWS authentication requires a valid Date or x-amz-date header')
  }
  return { timestamp: formatBasicDate(signedAtMs), signedAtMs }
}

function readQueryClaim(request: WireRequest): Claim {
  const given = (name: string): string => {
    const value = queryValue(request, name)
    if (value !== undefined) return value
    throw malformedQuery(
      'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.',
    )
  }
  checkParametersOnce(request.query)
  if (
    queryValue(request, 'Signature') !== undefined &&
    queryValue(request, 'X-Amz-Algorithm') === undefined
  ) {
    throw invalidRequest(
      `The authorization mechanism you have provided is not supported. Please use ${algorithm}.`,
    )
  }
  if (given('X-Amz-Algorithm') !== algorithm) {
    throw malformedQuery(`X-Amz-Algorithm only supports "${algorithm}"`)
  }
  const scope = readScope(given('X-Amz-Credential'), (what) =>
    malformedQuery(`Error parsing the X-Amz-Credential parameter; ${what}`),
  )
  const signature = given('X-Amz-Signature')
  const timestamp = given('X-Amz-Date')
  const signedAtMs = parseBasicDate(timestamp)
  if (signedAtMs === undefined) {
    throw malformedQuery("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
  }
  const expiresSeconds = readExpires(given('X-Amz-Expires'))
  const signedHeaders = splitHeaders(given('X-Amz-SignedHeaders'))
  if (!/^[0-9a-f]{64}$/.test(signature))
    throw signatureMismatch(scope.accessKeyId, signature, '', '')
  return {
    kind: 'query',
    ...scope,
    signedHeaders,
    signature,
    timestamp,
    signedAtMs,
    expiresSeconds,
  }
}

/** A second X-Amz-Expires must not be read by one part and ignored by another. */
function checkParametersOnce(query: readonly QueryPair[]): void {
  const seen = new Set<string>()
  for (const { name } of query) {
    const lower = name.toLowerCase()
    if (!lower.startsWith('x-amz-')) continue
    if (seen.has(lower)) throw malformedQuery(`${name} is given twice`)
    seen.add(lower)
  }
}

function readExpires(text: string): number {
  if (/^-\d+$/.test(text)) throw malformedQuery('X-Amz-Expires must be non-negative')
  if (!/^\d{1,12}$/.test(text)) throw malformedQuery('X-Amz-Expires should be a number')
  const seconds = Number(text)
  if (seconds <= expiresSecondsMax) return seconds
  throw malformedQuery(
    `X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than ${expiresSecondsMax} seconds`,
  )
}

type Scope = Pick<Claim, 'accessKeyId' | 'day' | 'region' | 'service' | 'terminal'>

function readScope(credential: string, fault: (what: string) => Fault): Scope {
  const parts = credential.split('/')
  const [accessKeyId = '', day = '', region = '', service = '', terminal = ''] = parts
  if (parts.length !== 5 || accessKeyId === '') {
    throw fault(
      'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
    )
  }
  if (!/^\d{8}$/.test(day)) {
    throw fault(
      `incorrect date format "${day.slice(0, 16)}". This date in the credential must be in the format "yyyyMMdd".`,
    )
  }
  return { accessKeyId, day, region, service, terminal }
}

function splitHeaders(text: string): readonly string[] {
  const names = text.split(';')
  if (names.length > signedHeadersMax) throw malformedHeader('too many SignedHeaders')
  return names.map((name) => name.toLowerCase())
}

export type ClaimRules = {
  readonly region: string
  readonly service: string
  readonly nowMs: number
  readonly clockSkewMsMax: number
}

/** Everything about a claim that needs no secret: scope, time, and what it must cover. */
export function checkClaim(request: WireRequest, claim: Claim, rules: ClaimRules): void {
  checkScope(claim, rules)
  checkTime(claim, rules)
  checkCoverage(request, claim)
}

function checkScope(claim: Claim, rules: ClaimRules): void {
  const fault = (what: string, fields?: Record<string, string>): Fault =>
    claim.kind === 'header'
      ? malformedHeader(what, fields)
      : malformedQuery(`Error parsing the X-Amz-Credential parameter; ${what}`, fields)
  if (claim.region !== rules.region) {
    throw fault(`the region '${claim.region}' is wrong; expecting '${rules.region}'`, {
      Region: rules.region,
    })
  }
  if (claim.service !== rules.service) {
    throw fault(
      `incorrect service "${claim.service}". This endpoint belongs to "${rules.service}".`,
    )
  }
  if (claim.terminal !== 'aws4_request') {
    throw fault(`incorrect terminal "${claim.terminal}". This endpoint uses "aws4_request".`)
  }
  if (claim.day !== claim.timestamp.slice(0, 8)) {
    throw fault(
      `Invalid credential date "${claim.day}". This date is not the same as X-Amz-Date: "${claim.timestamp.slice(0, 8)}".`,
    )
  }
}

function checkTime(claim: Claim, rules: ClaimRules): void {
  const serverTime = formatXmlDate(rules.nowMs)
  const aheadMs = claim.signedAtMs - rules.nowMs
  if (claim.expiresSeconds === undefined) {
    if (Math.abs(aheadMs) <= rules.clockSkewMsMax) return
    throw s3Fault(
      'RequestTimeTooSkewed',
      403,
      'The difference between the request time and the current time is too large.',
      {
        RequestTime: claim.timestamp,
        ServerTime: serverTime,
        MaxAllowedSkewMilliseconds: String(rules.clockSkewMsMax),
      },
    )
  }
  if (aheadMs > rules.clockSkewMsMax) {
    throw accessDenied('Request is not valid yet', { ServerTime: serverTime })
  }
  const expiresMs = claim.signedAtMs + claim.expiresSeconds * 1000
  if (rules.nowMs <= expiresMs) return
  throw accessDenied('Request has expired', {
    'X-Amz-Expires': String(claim.expiresSeconds),
    Expires: formatXmlDate(expiresMs),
    ServerTime: serverTime,
  })
}

/**
 * The host and every x-amz-* header must be signed. Without this, whoever holds a presigned PUT adds
 * x-amz-copy-source and reads any object with the signer's rights.
 */
function checkCoverage(request: WireRequest, claim: Claim): void {
  const missing: string[] = []
  if (!claim.signedHeaders.includes('host')) missing.push('host')
  for (const name of request.headers.keys()) {
    if (name.startsWith('x-amz-') && !claim.signedHeaders.includes(name)) missing.push(name)
  }
  if (missing.length === 0) return
  throw accessDenied('There were headers present in the request which were not signed', {
    HeadersNotSigned: missing.join(', '),
  })
}

/** The canonical request (step 1 of the specification). */
export function canonicalRequest(
  request: WireRequest,
  claim: Pick<Claim, 'kind' | 'signedHeaders'>,
  payloadHash: string,
  rules: CanonicalRules = s3Rules,
): string {
  const query = canonicalQuery(request.query, claim.kind === 'query')
  let headers = ''
  for (const name of claim.signedHeaders) {
    headers += `${name}:${canonicalValue(request.headers.get(name) ?? '')}\n`
  }
  return `${request.method}\n${canonicalPath(request, rules)}\n${query}\n${headers}\n${claim.signedHeaders.join(';')}\n${payloadHash}`
}

function canonicalPath(request: WireRequest, rules: CanonicalRules): string {
  const path = rules.encodesAsSent ? headerText(request.rawPath) : request.path
  return uriEncodePath(rules.normalizesPath ? normalizePath(path) : path)
}

function normalizePath(path: string): string {
  const kept: string[] = []
  const segments = path.split('/')
  for (const segment of segments) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(segment)
  }
  const isOpen = kept.length > 0 && path.endsWith('/')
  return `/${kept.join('/')}${isOpen ? '/' : ''}`
}

function canonicalQuery(query: readonly QueryPair[], isPresigned: boolean): string {
  if (query.length === 0) return ''
  const pairs: (readonly [string, string])[] = []
  for (const { name, value } of query) {
    if (isPresigned && name === 'X-Amz-Signature') continue
    pairs.push([uriEncode(name), uriEncode(value)])
  }
  pairs.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
  let text = ''
  for (const [name, value] of pairs) text += `${text === '' ? '' : '&'}${name}=${value}`
  return text
}

/** Trimmed, runs of spaces as one. Bytes that are no UTF-8 are read as latin-1, as clients sign them. */
function canonicalValue(value: string): string {
  const text = headerText(value).trim()
  return text.includes('  ') ? text.replaceAll(/ {2,}/g, ' ') : text
}

/** 'day/region/service/aws4_request'. */
export function scopeOf(claim: Pick<Claim, 'day' | 'region' | 'service'>): string {
  return `${claim.day}/${claim.region}/${claim.service}/aws4_request`
}

/** The string to sign (step 2). */
export function stringToSign(timestamp: string, scope: string, canonical: string): string {
  return `${algorithm}\n${timestamp}\n${scope}\n${digestHex('sha256', canonical)}`
}

/** The signing key (step 3): valid for one day, region and service. */
export function deriveSigningKey(
  secret: string,
  scope: Pick<Claim, 'day' | 'region' | 'service'>,
): SigningKey {
  const day = hmacSha256(`AWS4${secret}`, scope.day)
  const region = hmacSha256(day, scope.region)
  const service = hmacSha256(region, scope.service)
  return new SigningKey(hmacSha256(service, 'aws4_request'))
}

/** SignatureDoesNotMatch unless the claim's signature is that of the request under the key. */
export function checkSignature(
  request: WireRequest,
  claim: Claim,
  proof: { readonly signingKey: SigningKey; readonly payloadHash: string },
): void {
  const canonical = canonicalRequest(request, claim, proof.payloadHash)
  const toSign = stringToSign(claim.timestamp, scopeOf(claim), canonical)
  const expected = proof.signingKey.sign(toSign)
  if (equalSecret(utf8Encode(expected), utf8Encode(claim.signature))) return
  throw signatureMismatch(claim.accessKeyId, claim.signature, toSign, canonical)
}

function signatureMismatch(
  accessKeyId: string,
  signature: string,
  toSign: string,
  canonical: string,
): Fault {
  return s3Fault(
    'SignatureDoesNotMatch',
    403,
    'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
    {
      AWSAccessKeyId: accessKeyId,
      SignatureProvided: signature,
      StringToSign: toSign,
      CanonicalRequest: canonical,
    },
  )
}

function malformedHeader(what: string, fields?: Record<string, string>): Fault {
  return s3Fault(
    'AuthorizationHeaderMalformed',
    400,
    `The authorization header is malformed; ${what}`,
    fields,
  )
}

function malformedQuery(what: string, fields?: Record<string, string>): Fault {
  return s3Fault('AuthorizationQueryParametersError', 400, what, fields)
}

/**
 * Signing keys of the last used (key, day, region), at most `countMax`: deriving one costs four HMACs. The
 * secret is compared, so that a replaced secret is never answered from here.
 */
export class SigningKeys {
  readonly #countMax: number
  readonly #keys = new Map<string, { readonly secret: string; readonly key: SigningKey }>()

  constructor(countMax: number) {
    this.#countMax = countMax
  }

  get(secret: string, claim: Claim): SigningKey {
    const name = `${claim.accessKeyId}/${scopeOf(claim)}`
    const known = this.#keys.get(name)
    if (known !== undefined && known.secret === secret) {
      this.#keys.delete(name)
      this.#keys.set(name, known)
      return known.key
    }
    const key = deriveSigningKey(secret, claim)
    this.#keys.delete(name)
    this.#keys.set(name, { secret, key })
    for (const oldest of this.#keys.keys()) {
      if (this.#keys.size <= this.#countMax) break
      this.#keys.delete(oldest)
    }
    return key
  }
}

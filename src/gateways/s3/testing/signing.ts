// The client's side of Signature Version 4, from the same pure parts: for tests, and for workloads that
// speak S3 to a handler without a network.

import { digestHex, utf8Encode } from '../../../base/index.ts'
import type { Credential } from '../../../cluster/index.ts'
import { formatBasicDate } from '../core/dates.ts'
import { canonicalRequest, deriveSigningKey, scopeOf, stringToSign } from '../core/sigv4.ts'
import type { SigningKey } from '../core/signing-key.ts'
import { readWireRequest } from '../core/wire-request.ts'

export type Pairs = readonly (readonly [string, string])[]

export type UnsignedRequest = {
  readonly method: string
  /** Path and query as they go on the wire. */
  readonly target: string
  /** With 'host'. Names in lower case. */
  readonly headers: Pairs
  /** What x-amz-content-sha256 says. */
  readonly payloadHash: string
}

export type SigningContext = {
  readonly credential: Credential
  readonly region: string
  readonly nowMs: number
}

export type SignedRequest = {
  readonly headers: Pairs
  readonly signature: string
  readonly signingKey: SigningKey
  readonly timestamp: string
  readonly scope: string
}

/** The headers with x-amz-date, x-amz-content-sha256 and Authorization; every header is signed. */
export function signHeaders(request: UnsignedRequest, context: SigningContext): SignedRequest {
  const timestamp = formatBasicDate(context.nowMs)
  const headers: Pairs = [
    ...request.headers,
    ['x-amz-content-sha256', request.payloadHash],
    ['x-amz-date', timestamp],
  ]
  const part = { day: timestamp.slice(0, 8), region: context.region, service: 's3' }
  const scope = scopeOf(part)
  const signedHeaders = [...new Set(headers.map(([name]) => name))].sort()
  const wire = readWireRequest(request.method, request.target, headers)
  const canonical = canonicalRequest(wire, { kind: 'header', signedHeaders }, request.payloadHash)
  const signingKey = deriveSigningKey(context.credential.secretAccessKey, part)
  const signature = signingKey.sign(stringToSign(timestamp, scope, canonical))
  const credential = `Credential=${context.credential.accessKeyId}/${scope}`
  const authorization = `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${signedHeaders.join(';')}, Signature=${signature}`
  return {
    headers: [...headers, ['authorization', authorization]],
    signature,
    signingKey,
    timestamp,
    scope,
  }
}

/** The target with a signature in its query. Only the host is signed. */
export function presign(
  request: Pick<UnsignedRequest, 'method' | 'target'> & {
    readonly host: string
    readonly expiresSeconds: number
  },
  context: SigningContext,
): string {
  const timestamp = formatBasicDate(context.nowMs)
  const part = { day: timestamp.slice(0, 8), region: context.region, service: 's3' }
  const scope = scopeOf(part)
  const credential = encodeURIComponent(`${context.credential.accessKeyId}/${scope}`)
  const parameters = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${credential}&X-Amz-Date=${timestamp}&X-Amz-Expires=${request.expiresSeconds}&X-Amz-SignedHeaders=host`
  const target = `${request.target}${request.target.includes('?') ? '&' : '?'}${parameters}`
  const wire = readWireRequest(request.method, target, [['host', request.host]])
  const claim = { kind: 'query', signedHeaders: ['host'] } as const
  const canonical = canonicalRequest(wire, claim, 'UNSIGNED-PAYLOAD')
  const signingKey = deriveSigningKey(context.credential.secretAccessKey, part)
  return `${target}&X-Amz-Signature=${signingKey.sign(stringToSign(timestamp, scope, canonical))}`
}

/** A body in aws-chunked coding; `signed`: with the chain of signatures that starts at the request's. */
export function encodeChunked(
  chunks: readonly Uint8Array[],
  options: {
    readonly signed?: Omit<SignedRequest, 'headers'>
    readonly trailers?: Pairs
    /** Line ends as minio-go writes them: bare line feeds, an empty line before the signature. */
    readonly isLoose?: boolean
  },
): Uint8Array[] {
  const { signed, trailers = [], isLoose = false } = options
  const parts: Uint8Array[] = []
  let previous = signed?.signature ?? ''
  for (const chunk of [...chunks, new Uint8Array(0)]) {
    let extension = ''
    if (signed !== undefined) {
      const toSign = `AWS4-HMAC-SHA256-PAYLOAD\n${signed.timestamp}\n${signed.scope}\n${previous}\n${digestHex('sha256', '')}\n${digestHex('sha256', chunk)}`
      previous = signed.signingKey.sign(toSign)
      extension = `;chunk-signature=${previous}`
    }
    parts.push(utf8Encode(`${chunk.length.toString(16)}${extension}\r\n`))
    if (chunk.length > 0) parts.push(chunk, utf8Encode('\r\n'))
  }
  const lineEnd = isLoose ? '\n' : '\r\n'
  for (const [name, value] of trailers) parts.push(utf8Encode(`${name}:${value}${lineEnd}`))
  if (signed !== undefined && trailers.length > 0) {
    const canonical = trailers.map(([name, value]) => `${name}:${value}\n`).join('')
    const toSign = `AWS4-HMAC-SHA256-TRAILER\n${signed.timestamp}\n${signed.scope}\n${previous}\n${digestHex('sha256', canonical)}`
    const signature = signed.signingKey.sign(toSign)
    parts.push(utf8Encode(`${isLoose ? '\r\n' : ''}x-amz-trailer-signature:${signature}\r\n`))
  } else if (isLoose && trailers.length > 0) parts.push(utf8Encode('\r\n'))
  parts.push(utf8Encode('\r\n'))
  return parts
}

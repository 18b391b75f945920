// The client's side of AWS Signature Version 4 with the signature in the header, written apart from the
// gateway's so that the two check each other.

import { digestHex, hmacSha256, toHex, utf8Encode } from '../../src/base/index.ts'

export type S3Key = { readonly accessKeyId: string; readonly secretAccessKey: string }

export type S3Call = {
  readonly method: string
  /** Path only, already percent-encoded. */
  readonly path: string
  /** Names and values of the query, unencoded. */
  readonly query: readonly (readonly [string, string])[]
  /** Further headers, names in lower case. */
  readonly headers: readonly (readonly [string, string])[]
  readonly host: string
  readonly body: Uint8Array
}

type Pairs = readonly (readonly [string, string])[]

/** Target and headers of the signed request. `timestamp` as in 20260101T000000Z. */
export function signed(
  call: S3Call,
  signer: { readonly key: S3Key; readonly region: string; readonly timestamp: string },
): { readonly target: string; readonly headers: Pairs } {
  const { timestamp, region, key } = signer
  const payloadHash = digestHex('sha256', call.body)
  const headers: Pairs = [
    ...call.headers,
    ['content-length', String(call.body.length)] as const,
    ['host', call.host] as const,
    ['x-amz-content-sha256', payloadHash] as const,
    ['x-amz-date', timestamp] as const,
  ].sort(byName)
  const query = [...call.query]
    .sort(byName)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .join('&')
  const names = headers.map(([name]) => name).join(';')
  const lines = headers.map(([name, value]) => `${name}:${value}\n`).join('')
  const canonical = [call.method, call.path, query, lines, names, payloadHash].join('\n')
  const day = timestamp.slice(0, 8)
  const scope = `${day}/${region}/s3/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', timestamp, scope, digestHex('sha256', canonical)].join('\n')
  const signingKey = signingKeyOf(key.secretAccessKey, day, region)
  const signature = toHex(hmacSha256(signingKey, toSign))
  const authorization = `AWS4-HMAC-SHA256 Credential=${key.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`
  return {
    target: query === '' ? call.path : `${call.path}?${query}`,
    headers: [...headers, ['authorization', authorization]],
  }
}

/** The key of the last day and region: deriving it costs more than the rest of a signature. */
const derived = { name: '', key: new Uint8Array(0) }

function signingKeyOf(secret: string, day: string, region: string): Uint8Array {
  const name = `${secret} ${day} ${region}`
  if (derived.name === name) return derived.key
  let signingKey = hmacSha256(utf8Encode(`AWS4${secret}`), day)
  for (const part of [region, 's3', 'aws4_request']) signingKey = hmacSha256(signingKey, part)
  derived.name = name
  derived.key = new Uint8Array(signingKey)
  return derived.key
}

function byName(a: readonly [string, string], b: readonly [string, string]): number {
  return a[0] < b[0] ? -1 : 1
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

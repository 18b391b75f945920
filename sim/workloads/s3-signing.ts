// The client's side of AWS Signature Version 4 with the signature in the header, written apart from the
// gateway's so that the two check each other.

import { digestHex, hmacSha256, toHex, utf8Encode } from '../../src/base/index.ts'

export type S3Key = { readonly accessKeyId: string; readonly secretAccessKey: string }

export type S3Call = {
  readonly method: string
  /** Path only, already percent-encoded; no query. */
  readonly path: string
  readonly host: string
  readonly body: Uint8Array
}

/** Headers of the signed request. `timestamp` as in 20260101T000000Z. */
export function signedHeaders(
  call: S3Call,
  signer: { readonly key: S3Key; readonly region: string; readonly timestamp: string },
): readonly (readonly [string, string])[] {
  const { timestamp, region, key } = signer
  const payloadHash = digestHex('sha256', call.body)
  const headers: readonly (readonly [string, string])[] = [
    ['content-length', String(call.body.length)],
    ['host', call.host],
    ['x-amz-content-sha256', payloadHash],
    ['x-amz-date', timestamp],
  ]
  const names = headers.map(([name]) => name).join(';')
  const lines = headers.map(([name, value]) => `${name}:${value}\n`).join('')
  const canonical = [call.method, call.path, '', lines, names, payloadHash].join('\n')
  const day = timestamp.slice(0, 8)
  const scope = `${day}/${region}/s3/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', timestamp, scope, digestHex('sha256', canonical)].join('\n')
  let signingKey = hmacSha256(utf8Encode(`AWS4${key.secretAccessKey}`), day)
  for (const part of [region, 's3', 'aws4_request']) signingKey = hmacSha256(signingKey, part)
  const signature = toHex(hmacSha256(signingKey, toSign))
  const authorization = `AWS4-HMAC-SHA256 Credential=${key.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`
  return [...headers, ['authorization', authorization]]
}

/** Milliseconds since 1970 as 20260101T000000Z (proleptic Gregorian, Howard Hinnant's civil_from_days). */
export function basicTimestamp(wallMs: number): string {
  const seconds = Math.floor(wallMs / 1_000)
  const days = Math.floor(seconds / 86_400)
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  const rest = seconds - days * 86_400
  const two = (value: number): string => String(value).padStart(2, '0')
  const time = `${two(Math.floor(rest / 3_600))}${two(Math.floor(rest / 60) % 60)}${two(rest % 60)}`
  return `${year}${two(month)}${two(day)}T${time}Z`
}

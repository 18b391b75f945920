// How the body of a request comes: plain or aws-chunked, signed or not, and how long it is. Decided from
// x-amz-content-sha256 alone and in the same way wherever the signature stands (header or query): a
// payload mode that one of them skipped would be a body that nobody verifies.

import { announcedTrailers } from './checksums.ts'
import { invalidArgument, invalidRequest, s3Fault } from './fault.ts'
import type { Claim } from './sigv4.ts'
import { queryValue, type WireRequest } from './wire-request.ts'

export type Payload = {
  /** Last line of the canonical request. */
  readonly hash: string
  readonly mode:
    | { readonly kind: 'plain'; readonly sha256: string | undefined }
    | {
        readonly kind: 'chunked'
        readonly isSigned: boolean
        /** Announced names, lower case. */
        readonly trailers: readonly string[]
      }
}

const emptySha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/**
 * Faults: InvalidRequest when the header is missing, InvalidArgument when its value is none of S3's. A
 * request without a body may leave the header out (older curl does): it then claims the empty body.
 */
export function readPayload(request: WireRequest, claim: Pick<Claim, 'kind'>): Payload {
  const value =
    request.headers.get('x-amz-content-sha256') ??
    (claim.kind === 'query'
      ? (queryValue(request, 'X-Amz-Content-Sha256') ?? 'UNSIGNED-PAYLOAD')
      : isBodiless(request)
        ? emptySha256
        : undefined)
  if (value === undefined) {
    throw invalidRequest('Missing required header for this request: x-amz-content-sha256')
  }
  return { hash: value, mode: readMode(request, value) }
}

function isBodiless(request: WireRequest): boolean {
  const length = request.headers.get('content-length')
  return (length === undefined || length === '0') && !request.headers.has('transfer-encoding')
}

function readMode(request: WireRequest, value: string): Payload['mode'] {
  const trailers = announcedTrailers(request.headers)
  const hasTrailer = value.endsWith('-TRAILER')
  if (trailers.length > 0 && !hasTrailer) {
    throw invalidRequest(
      'x-amz-trailer is given, but x-amz-content-sha256 says there is no trailer.',
    )
  }
  switch (value) {
    case 'UNSIGNED-PAYLOAD':
      return { kind: 'plain', sha256: undefined }
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD':
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER':
      return { kind: 'chunked', isSigned: true, trailers }
    case 'STREAMING-UNSIGNED-PAYLOAD-TRAILER':
      return { kind: 'chunked', isSigned: false, trailers }
    default:
      if (/^[0-9a-f]{64}$/.test(value)) return { kind: 'plain', sha256: value }
      throw invalidArgument(
        'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.',
        'x-amz-content-sha256',
        value.slice(0, 128),
      )
  }
}

/**
 * Bytes of the body once decoded; undefined when only HTTP's own chunking frames it. Fault
 * MissingContentLength when nothing says where the body ends.
 */
export function readBodyLength(request: WireRequest, payload: Payload): number | undefined {
  if (payload.mode.kind === 'chunked') {
    const declared = request.headers.get('x-amz-decoded-content-length')
    if (declared === undefined) throw missingLength()
    return readLength('x-amz-decoded-content-length', declared)
  }
  const length = request.headers.get('content-length')
  if (length !== undefined) return readLength('content-length', length)
  if (request.headers.get('transfer-encoding') === undefined) throw missingLength()
  return undefined
}

function readLength(name: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw invalidArgument(`${name} must be a number of bytes`, name, text.slice(0, 64))
}

function missingLength(): Error {
  return s3Fault('MissingContentLength', 411, 'You must provide the Content-Length HTTP header.')
}

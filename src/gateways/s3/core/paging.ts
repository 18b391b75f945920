// Paging parameters: how many at most, and tokens that clients hand back unread.

import { utf8Encode } from '../../../base/index.ts'
import { invalidArgument } from './fault.ts'
import { base64Decode, base64Encode, strictUtf8 } from './text.ts'
import { queryValue, type WireRequest } from './wire-request.ts'

/**
 * A count between 0 and `most`; more is `most`, as in S3, and none is `otherwise` (default: `most`).
 * InvalidArgument for anything that is no 31-bit number.
 */
export function readLimit(
  request: WireRequest,
  name: string,
  bounds: { readonly most: number; readonly otherwise?: number },
): number {
  const text = queryValue(request, name)
  if (text === undefined || text === '') return bounds.otherwise ?? bounds.most
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (value <= 2_147_483_647) return Math.min(value, bounds.most)
  throw invalidArgument(
    `Provided ${name} not an integer or within integer range`,
    name,
    text.slice(0, 64),
  )
}

/** Whether keys are to be percent-encoded in the answer. */
export function readsEncoded(request: WireRequest): boolean {
  const type = queryValue(request, 'encoding-type')
  if (type === undefined) return false
  if (type === 'url') return true
  throw invalidArgument(
    'Invalid Encoding Method specified in Request',
    'encoding-type',
    type.slice(0, 64),
  )
}

const tokenVersion = '1'

/** An opaque token for "after this key or prefix". */
export function formatToken(after: string): string {
  return base64Encode(utf8Encode(tokenVersion + after))
}

/** InvalidArgument for what formatToken has not made. */
export function parseToken(token: string): string {
  const bytes = base64Decode(token)
  const text = bytes === undefined ? undefined : strictUtf8(bytes)
  if (text?.startsWith(tokenVersion) === true) return text.slice(tokenVersion.length)
  throw invalidArgument(
    'The continuation token provided is incorrect',
    'continuation-token',
    token.slice(0, 64),
  )
}

// Headers of an object as it is stored, read from a request and written to an answer.
//
// Values are kept as the bytes that arrived (as latin-1 text, which is what HTTP headers are), so that an
// answer repeats exactly what was sent, be it UTF-8 or latin-1.

import type { ObjectHeaders } from '../../../objects/index.ts'
import { s3Fault } from './fault.ts'

export const userMetadataBytesMax = 2048
const prefix = 'x-amz-meta-'

const contentNames = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
] as const

/** Fault MetadataTooLarge when names and values of x-amz-meta-* exceed 2 KiB. */
export function readObjectHeaders(headers: ReadonlyMap<string, string>): ObjectHeaders {
  const content: Record<string, string> = {}
  for (const name of contentNames) {
    const value = headers.get(name)
    if (value === undefined) continue
    const kept = name === 'content-encoding' ? withoutChunked(value) : value
    if (kept !== '') content[name] = kept
  }
  const user: Record<string, string> = {}
  let size = 0
  for (const [name, value] of headers) {
    if (!name.startsWith(prefix)) continue
    const short = name.slice(prefix.length)
    size += short.length + value.length
    // An own property even for '__proto__'.
    Object.defineProperty(user, short, {
      value,
      enumerable: true,
      writable: true,
      configurable: true,
    })
  }
  if (size > userMetadataBytesMax) {
    throw s3Fault(
      'MetadataTooLarge',
      400,
      'Your metadata headers exceed the maximum allowed metadata size',
      { Size: String(size), MaxSizeAllowed: String(userMetadataBytesMax) },
    )
  }
  return { content, user }
}

/** aws-chunked is the coding of the transfer, not of the object. */
function withoutChunked(value: string): string {
  if (!value.includes('aws-chunked')) return value
  return value
    .split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding !== 'aws-chunked' && coding !== '')
    .join(', ')
}

/** The stored headers as headers of an answer. */
export function writeObjectHeaders(headers: ObjectHeaders): [string, string][] {
  const pairs: [string, string][] = []
  for (const name of contentNames) {
    const value = headers.content[name]
    if (value !== undefined) pairs.push([name, value])
  }
  if (headers.content['content-type'] === undefined) {
    pairs.push(['content-type', 'binary/octet-stream'])
  }
  for (const [name, value] of Object.entries(headers.user)) pairs.push([`${prefix}${name}`, value])
  return pairs
}

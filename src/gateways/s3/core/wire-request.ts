// A request as the gateway works with it: target split and decoded once, headers in one map. Everything
// later (signature, routing, features) reads from here, so that no two of them see different requests.

import { invalidRequest } from './fault.ts'
import { decodePath, invalidUri } from './names.ts'
import { percentDecode } from './text.ts'

export type QueryPair = { readonly name: string; readonly value: string }

export type WireRequest = {
  readonly method: string
  /** As sent, without the query. */
  readonly rawPath: string
  /** Percent-decoded, starting with '/'. */
  readonly path: string
  /** In order of arrival, decoded ('+' is a space). */
  readonly query: readonly QueryPair[]
  /** As received: lower-case names; values of a repeated header joined by ','. */
  readonly headers: ReadonlyMap<string, string>
}

/** Faults: InvalidURI. */
export function readWireRequest(
  method: string,
  target: string,
  headerPairs: readonly (readonly [string, string])[],
): WireRequest {
  const headers = new Map<string, string>()
  for (const [name, value] of headerPairs) {
    const before = headers.get(name)
    headers.set(name, before === undefined ? value : `${before},${value}`)
  }
  const origin = originForm(target)
  const mark = origin.indexOf('?')
  const rawPath = mark < 0 ? origin : origin.slice(0, mark)
  const query = mark < 0 ? [] : readQuery(origin.slice(mark + 1))
  return { method, rawPath, path: decodePath(rawPath), query, headers }
}

/** '/path?query' of a target that may name a scheme and an authority before it. */
function originForm(target: string): string {
  if (target.startsWith('/')) return target
  const found = /^https?:\/\/[^/?]*/i.exec(target)
  if (found === null) throw invalidUri()
  const rest = target.slice(found[0].length)
  return rest.startsWith('/') ? rest : `/${rest}`
}

function readQuery(raw: string): readonly QueryPair[] {
  if (raw === '') return []
  const pairs: QueryPair[] = []
  for (const part of raw.split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = percentDecode(equals < 0 ? part : part.slice(0, equals), true)
    const value = equals < 0 ? '' : percentDecode(part.slice(equals + 1), true)
    if (name === undefined || value === undefined) throw invalidUri()
    pairs.push({ name, value })
  }
  return pairs
}

/** The first value of a query parameter. */
export function queryValue(request: WireRequest, name: string): string | undefined {
  for (const pair of request.query) if (pair.name === name) return pair.value
  return undefined
}

/**
 * Checksum parameters of a query are not claims. Presigning libraries write the checksum of the empty body
 * that they have at that time:
 *   1. a library presigns a PUT with its defaults: x-amz-checksum-crc32=AAAAAA== enters the URL;
 *   2. a browser puts a file to the URL; S3 ignores the parameter and takes the file;
 *   3. a store that verified it would refuse every such upload.
 */
const unclaimed = /^x-amz-(?:checksum-(?!mode$|type$|algorithm$)|sdk-checksum-)/

/**
 * Headers, and with them the x-amz-* parameters of the query that stand for headers (which the signature
 * covers). InvalidRequest when a header and a parameter of one name differ.
 */
export function effectiveHeaders(request: WireRequest): ReadonlyMap<string, string> {
  let merged: Map<string, string> | undefined
  for (const { name, value } of request.query) {
    const lower = name.toLowerCase()
    if (!lower.startsWith('x-amz-') || isOfSignature(lower) || unclaimed.test(lower)) continue
    const before = (merged ?? request.headers).get(lower)
    if (before !== undefined && before !== value) {
      throw invalidRequest(`${lower} is given twice, with different values.`)
    }
    merged ??= new Map(request.headers)
    merged.set(lower, value)
  }
  return merged ?? request.headers
}

function isOfSignature(name: string): boolean {
  switch (name) {
    case 'x-amz-algorithm':
    case 'x-amz-credential':
    case 'x-amz-date':
    case 'x-amz-expires':
    case 'x-amz-signedheaders':
    case 'x-amz-signature':
    case 'x-amz-content-sha256':
      return true
    default:
      return false
  }
}

// GetObject and HeadObject.
//
// The first slice is fetched before the answer begins, so that an object that cannot be read is an error
// with a status and not a broken connection; small objects leave as one piece.

import type { HttpResponse } from '../../../host/index.ts'
import type { ObjectRecord, ReadBody } from '../../../objects/index.ts'
import type { Call, Headers } from '../call.ts'
import { checksumHeader } from '../core/checksums.ts'
import { checkRead, rangeApplies } from '../core/conditions.ts'
import { formatHttpDate } from '../core/dates.ts'
import { invalidArgument, invalidRequest, notImplemented, s3Fault } from '../core/fault.ts'
import { writeObjectHeaders } from '../core/metadata.ts'
import { type ByteRange, readRange } from '../core/range.ts'
import { utf8AsLatin1 } from '../core/text.ts'
import { queryValue, type WireRequest } from '../core/wire-request.ts'

const pieceBytesMax = 64 * 1024

/** response-* parameters and the headers that they replace. */
const overrides: Readonly<Record<string, string>> = {
  'response-cache-control': 'cache-control',
  'response-content-disposition': 'content-disposition',
  'response-content-encoding': 'content-encoding',
  'response-content-language': 'content-language',
  'response-content-type': 'content-type',
  'response-expires': 'expires',
}

export async function getObject(call: Call): Promise<HttpResponse> {
  const { record, read } = await call.objects.get(call.bucket, call.key)
  const answer = describe(call, record)
  if (answer.status === 304 || answer.range.count === 0) return withoutBody(answer)
  return openBody(answer, read)
}

export async function headObject(call: Call): Promise<HttpResponse> {
  return withoutBody(describe(call, await call.objects.head(call.bucket, call.key)))
}

type Answer = {
  readonly status: 200 | 206 | 304
  readonly headers: Headers
  readonly range: ByteRange
}

/** Everything about the answer but the bytes. Faults: PreconditionFailed, InvalidRange. */
function describe(call: Call, record: ObjectRecord): Answer {
  const stamps: Headers = [
    ['etag', `"${record.etag}"`],
    ['last-modified', formatHttpDate(record.modifiedMs)],
    ['accept-ranges', 'bytes'],
  ]
  if (checkRead(call.headers, record) === 'not-modified') {
    return { status: 304, headers: stamps, range: { at: 0, count: 0 } }
  }
  const found = findRange(call, record)
  const range = found ?? { at: 0, count: record.size }
  const headers = [...stamps, ...overridden(call.wire, writeObjectHeaders(record.headers))]
  headers.push(['content-length', String(range.count)])
  if (found !== undefined) {
    const last = found.at + found.count - 1
    headers.push(['content-range', `bytes ${found.at}-${last}/${record.size}`])
  }
  const wantsChecksum = call.headers.get('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED'
  if (record.checksum !== undefined && wantsChecksum && found === undefined) {
    headers.push([checksumHeader[record.checksum.algorithm], record.checksum.value])
    headers.push(['x-amz-checksum-type', record.checksum.type])
  }
  return { status: found === undefined ? 200 : 206, headers, range }
}

function findRange(call: Call, record: ObjectRecord): ByteRange | undefined {
  const header = call.headers.get('range')
  const part = queryValue(call.wire, 'partNumber')
  if (part === undefined) {
    return rangeApplies(call.headers, record) ? readRange(header, record.size) : undefined
  }
  if (header !== undefined) {
    throw invalidRequest('Cannot specify both Range header and partNumber query parameter')
  }
  return findPart(part, record)
}

/** An object that was not put in parts is its own first part. */
function findPart(part: string, record: ObjectRecord): ByteRange | undefined {
  const number = /^\d{1,5}$/.test(part) ? Number(part) : 0
  if (number < 1 || number > 10_000) {
    throw invalidArgument(
      'Part number must be an integer between 1 and 10000, inclusive',
      'partNumber',
      part.slice(0, 64),
    )
  }
  if (record.partCount !== undefined) {
    throw notImplemented('Reading a part of an object by its number is not implemented.')
  }
  if (number > 1) {
    throw s3Fault('InvalidPartNumber', 416, 'The requested partnumber is not satisfiable', {
      PartNumber: String(number),
    })
  }
  return record.size === 0 ? undefined : { at: 0, count: record.size }
}

function overridden(wire: WireRequest, stored: [string, string][]): [string, string][] {
  let headers = stored
  for (const { name, value } of wire.query) {
    const header = Object.hasOwn(overrides, name) ? overrides[name] : undefined
    if (header === undefined) continue
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters would end the header
    if (/[\u0000-\u001f\u007f]/.test(value)) {
      throw invalidArgument('Header values cannot contain control characters', name, '')
    }
    headers = headers.filter(([other]) => other !== header)
    headers.push([header, utf8AsLatin1(value)])
  }
  return headers
}

function withoutBody(answer: Answer): HttpResponse {
  return { status: answer.status, headers: answer.headers }
}

async function openBody(answer: Answer, read: ReadBody): Promise<HttpResponse> {
  const { status, headers, range } = answer
  const slices = read(range)[Symbol.asyncIterator]()
  if (range.count <= pieceBytesMax) {
    return { status, headers, body: await gather(slices, range.count) }
  }
  const first = await slices.next()
  return { status, headers, body: follow(slices, first) }
}

/** Exactly `count` bytes as one piece. */
async function gather(slices: AsyncIterator<Uint8Array>, count: number): Promise<Uint8Array> {
  const piece = new Uint8Array(count)
  let at = 0
  try {
    while (at < count) {
      const next = await slices.next()
      if (next.done === true || next.value.length > count - at) throw wrongLength()
      piece.set(next.value, at)
      at += next.value.length
    }
  } finally {
    await slices.return?.()
  }
  return piece
}

function wrongLength(): Error {
  return s3Fault('InternalError', 500, 'the bytes of an object are not as long as its record says')
}

/**
 * What an iterator gives, begun by hand. Not a generator: one that was never asked for its first slice
 * would not pass return() on, and a client that has gone would leave a read behind.
 */
function follow(
  slices: AsyncIterator<Uint8Array>,
  first: IteratorResult<Uint8Array>,
): AsyncIterable<Uint8Array> {
  let begun: IteratorResult<Uint8Array> | undefined = first
  const iterator: AsyncIterator<Uint8Array> = {
    next() {
      if (begun === undefined) return slices.next()
      const result = begun
      begun = undefined
      return Promise.resolve(result)
    },
    async return() {
      await slices.return?.()
      return { done: true, value: undefined }
    },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}

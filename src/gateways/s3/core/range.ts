// Byte ranges: of reads (lenient, RFC 9110 section 14.2: what cannot be read as one range is no range) and
// of part copies (strict).

import { invalidArgument, s3Fault } from './fault.ts'

export type ByteRange = { readonly at: number; readonly count: number }

/**
 * The one range that a read asks for; undefined means the whole object: no header, another unit, several
 * ranges, or a malformed one. Fault InvalidRange (416) when none of its bytes exist.
 */
export function readRange(header: string | undefined, size: number): ByteRange | undefined {
  if (header === undefined) return undefined
  const found = /^bytes=\s*(\d{0,16})\s*-\s*(\d{0,16})\s*$/.exec(header)
  if (found === null) return undefined
  const [, first = '', last = ''] = found
  if (first === '') {
    if (last === '') return undefined
    const count = Math.min(Number(last), size)
    if (count === 0) throw invalidRange(header, size)
    return { at: size - count, count }
  }
  const at = Number(first)
  if (last !== '' && Number(last) < at) return undefined
  if (at >= size) throw invalidRange(header, size)
  const end = last === '' ? size : Math.min(Number(last) + 1, size)
  return { at, count: end - at }
}

/** x-amz-copy-source-range: both ends given and within the source. */
export function readCopyRange(header: string | undefined, size: number): ByteRange | undefined {
  if (header === undefined) return undefined
  const found = /^bytes=(\d{1,16})-(\d{1,16})$/.exec(header)
  const at = Number(found?.[1])
  const last = Number(found?.[2])
  if (found === null || last < at) {
    throw invalidArgument(
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
      'x-amz-copy-source-range',
      header.slice(0, 64),
    )
  }
  if (last >= size) throw invalidRange(header, size)
  return { at, count: last - at + 1 }
}

function invalidRange(header: string, size: number): Error {
  return s3Fault('InvalidRange', 416, 'The requested range is not satisfiable', {
    RangeRequested: header.slice(0, 64),
    ActualObjectSize: String(size),
  })
}

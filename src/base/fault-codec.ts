// A Fault as bytes. Unknown codes of a newer node read as 'internal'.

import { type Codec, decodeBytes, encodeBytes, message, text, uint } from './codec.ts'
import { Fault, faultCodeOf } from './fault.ts'

const faultFields = message({
  code: text(1),
  what: text(2),
  isUnknown: uint(3),
  next: text(4),
  fields: text(5),
  s3Code: text(6),
  s3Status: uint(7),
})

/** A Fault as bytes, to cross nodes and threads. */
export const faultCodec: Codec<Fault> = {
  encode(fault) {
    return encodeBytes(faultFields, {
      code: fault.code,
      what: fault.message,
      isUnknown: fault.outcome === 'unknown' ? 1 : 0,
      next: fault.next ?? '',
      fields: JSON.stringify(fault.fields),
      s3Code: fault.s3.code,
      s3Status: fault.s3.status,
    })
  },
  decode(bytes) {
    const read = decodeBytes(faultFields, bytes)
    const code = faultCodeOf(read.code)
    return new Fault(code, read.what, {
      outcome: read.isUnknown === 1 ? 'unknown' : 'failed',
      ...(read.next === '' ? {} : { next: read.next }),
      fields: parseFields(read.fields),
      s3: { code: read.s3Code, status: read.s3Status },
    })
  },
}

function parseFields(json: string): Record<string, string> {
  try {
    const value: unknown = JSON.parse(json)
    if (typeof value !== 'object' || value === null) return {}
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, String(field)]))
  } catch {
    return {}
  }
}

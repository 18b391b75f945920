// The little of DER (X.690) that certificates need: making values, and stepping through our own ones.
// A value is tag, length, content; lengths below 128 take one byte.

import { concatBytes, Fault, fromHex, utf8Encode } from '../base/index.ts'

export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** Tag of the n-th alternative of a context, primitive or constructed. */
export function contextTag(number: number, isConstructed: boolean): number {
  return (isConstructed ? 0xa0 : 0x80) + number
}

export function value(tagByte: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(parts)
  return concatBytes([Uint8Array.of(tagByte, ...lengthBytes(content.length)), content])
}

export function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return value(tag.sequence, ...parts)
}

/** From its dotted form, whose first two arcs are below 40. */
export function objectId(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return value(tag.objectId, Uint8Array.from([first * 40 + second, ...rest.flatMap(arcBytes)]))
}

export function utf8String(text: string): Uint8Array {
  return value(tag.utf8String, utf8Encode(text))
}

/** `usedBits` of the last byte count. */
export function bitString(bytes: Uint8Array, usedBits = 8): Uint8Array {
  return value(tag.bitString, Uint8Array.of(8 - usedBits), bytes)
}

/** To the second; two digits of the year until 2049, four from then on (RFC 5280, 4.1.2.5). */
export function time(date: Date): Uint8Array {
  const digits = date.toISOString().replace(/[-:T]|\..*$/g, '')
  if (date.getUTCFullYear() >= 2050) return value(tag.generalizedTime, utf8Encode(`${digits}Z`))
  return value(tag.utcTime, utf8Encode(`${digits.slice(2)}Z`))
}

/** Four bytes, or sixteen when it has colons ('::' stands for the zeros that are left out). */
export function addressBytes(address: string): Uint8Array {
  if (!address.includes(':')) return Uint8Array.from(address.split('.').map(Number))
  const [head = '', tail] = address.split('::')
  const groups = (text: string): readonly string[] =>
    text === '' ? [] : text.split(':').map((group) => group.padStart(4, '0'))
  const before = groups(head)
  const after = groups(tail ?? '')
  const left = tail === undefined ? 0 : 8 - before.length - after.length
  const zeros = Array.from({ length: Math.max(0, left) }, () => '0000')
  const bytes = fromHex([...before, ...zeros, ...after].join(''))
  if (bytes?.length !== 16) throw new Fault('invalid', `'${address}' is no address`)
  return bytes
}

/** The values inside a constructed value that this program wrote, whole, in order. */
export function partsOf(whole: Uint8Array): readonly Uint8Array[] {
  const parts: Uint8Array[] = []
  const { end, contentAt } = extentOf(whole, 0)
  for (let at = contentAt; at < end; ) {
    const part = extentOf(whole, at)
    parts.push(whole.subarray(at, part.end))
    at = part.end
  }
  return parts
}

/** What a value holds. */
export function contentOf(whole: Uint8Array): Uint8Array {
  const { contentAt, end } = extentOf(whole, 0)
  return whole.subarray(contentAt, end)
}

function extentOf(bytes: Uint8Array, at: number): { contentAt: number; end: number } {
  const first = bytes[at + 1] ?? 0
  if (first < 0x80) return { contentAt: at + 2, end: at + 2 + first }
  const count = first - 0x80
  let length = 0
  for (let i = 0; i < count; i++) length = length * 256 + (bytes[at + 2 + i] ?? 0)
  return { contentAt: at + 2 + count, end: at + 2 + count + length }
}

function lengthBytes(length: number): readonly number[] {
  if (length < 0x80) return [length]
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
}

/** Seven bits per byte, the highest first; all but the last are marked. */
function arcBytes(arc: number): readonly number[] {
  const bytes = [arc % 128]
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) {
    bytes.unshift((rest % 128) + 128)
  }
  return bytes
}

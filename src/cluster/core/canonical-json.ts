// JSON Canonicalization Scheme (RFC 8785): one text for one value, so that it can be signed and compared. Numbers and
// strings are as ECMAScript writes them, members sorted by UTF-16 code units, nothing between.

import { Fault } from '../../base/index.ts'
import type { JsonValue } from '../enrolment.ts'

const depthMax = 16

/** Fault 'invalid' for numbers that JSON has not, text that is not Unicode, and deep nesting. */
export function canonicalJson(value: JsonValue): string {
  return write(value, 0)
}

function write(value: JsonValue, depth: number): string {
  if (depth > depthMax) throw new Fault('invalid', `JSON nested deeper than ${depthMax}`)
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new Fault('invalid', 'JSON has no such number')
    return JSON.stringify(value)
  }
  if (typeof value === 'string') return quote(value)
  if (isList(value)) return `[${value.map((item) => write(item, depth + 1)).join(',')}]`
  const names = Object.keys(value).sort()
  const members = names.map((name) => `${quote(name)}:${write(value[name] ?? null, depth + 1)}`)
  return `{${members.join(',')}}`
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function quote(value: string): string {
  if (!value.isWellFormed()) throw new Fault('invalid', 'text with half a character')
  return JSON.stringify(value)
}

/** The value of a text of at most `charsMax`; Fault 'invalid' for anything that is not JSON. */
export function readJsonText(text: string, charsMax: number): JsonValue {
  if (text.length > charsMax) throw new Fault('invalid', `JSON of more than ${charsMax} characters`)
  try {
    return JSON.parse(text) as JsonValue
  } catch {
    throw new Fault('invalid', 'this is not JSON')
  }
}

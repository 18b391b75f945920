// Messages as JSON, as grpc-gateway maps them for etcd: names as in the protocol files (both spellings are read),
// 64-bit integers as text, bytes in base64, enums by name, nothing for a field at its default.

import { concatBytes, Fault, utf8Decode } from '../../../base/index.ts'
import { base64Decode, base64Encode } from '../../s3/core/text.ts'
import type { AnySchema, EtcdField, JsonShape } from '../../../keyspace/etcd/wire.ts'

const depthMax = 16
const listMax = 16_384

// biome-ignore lint/suspicious/noExplicitAny: values of any schema
type AnyMessage = Record<string, any>

export function messageToJson(schema: AnySchema, value: AnyMessage): Record<string, unknown> {
  const json: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(schema.fields) as [string, EtcdField<unknown>][]) {
    const member = value[name]
    if (!isDefault(member)) json[jsonNameOf(name, field)] = shapeToJson(field.json, member)
  }
  return json
}

/** Fault 'invalid'. Unknown names are ignored. */
export function messageFromJson(schema: AnySchema, json: unknown, depth = 0): AnyMessage {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw malformed('an object')
  if (depth > depthMax) throw new Fault('invalid', `nested deeper than ${depthMax}`)
  const given = json as Record<string, unknown>
  const value: AnyMessage = {}
  for (const [name, field] of Object.entries(schema.fields) as [string, EtcdField<unknown>][]) {
    const shown = jsonNameOf(name, field)
    const member = Object.hasOwn(given, shown)
      ? given[shown]
      : Object.hasOwn(given, name)
        ? given[name]
        : undefined
    value[name] =
      member === undefined || member === null
        ? field.initial()
        : shapeFromJson(field.json, member, depth)
  }
  return value
}

function jsonNameOf(name: string, field: EtcdField<unknown>): string {
  return field.jsonName ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function isDefault(value: unknown): boolean {
  if (value === undefined || value === 0 || value === '' || value === false) return true
  return (value instanceof Uint8Array || Array.isArray(value)) && value.length === 0
}

function shapeToJson(shape: JsonShape, value: unknown): unknown {
  switch (shape.kind) {
    case 'int64':
    case 'wide':
      return String(value)
    case 'bytes':
      return base64Encode(value as Uint8Array)
    case 'enum':
      return shape.names[value as number] ?? value
    case 'message':
      return messageToJson(shape.schema(), (value ?? {}) as AnyMessage)
    case 'list':
      return (value as readonly unknown[]).map((one) => shapeToJson(shape.of, one))
    default:
      return value
  }
}

function shapeFromJson(shape: JsonShape, json: unknown, depth: number): unknown {
  switch (shape.kind) {
    case 'int64':
    case 'uint32':
      return integerFromJson(json)
    case 'wide':
      return wideFromJson(json)
    case 'bytes':
      if (typeof json !== 'string') throw malformed('base64')
      return base64Decode(json) ?? refuse('base64')
    case 'text':
      if (typeof json !== 'string') throw malformed('a string')
      return json
    case 'bool':
      if (typeof json !== 'boolean') throw malformed('true or false')
      return json
    case 'enum': {
      const number = typeof json === 'string' ? shape.names.indexOf(json) : json
      if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0) {
        throw malformed(`one of ${shape.names.join(', ')}`)
      }
      return number
    }
    case 'message':
      return messageFromJson(shape.schema(), json, depth + 1)
    case 'list':
      if (!Array.isArray(json) || json.length > listMax) throw malformed('a list')
      return json.map((one) => shapeFromJson(shape.of, one, depth))
  }
}

function wideFromJson(json: unknown): number | bigint {
  const value = integerFromJson(json)
  if (Number.isSafeInteger(value)) return value
  return BigInt.asIntN(64, BigInt(typeof json === 'string' ? json : value))
}

function integerFromJson(json: unknown): number {
  const isText = typeof json === 'string' && /^-?[0-9]{1,20}$/.test(json)
  if (!isText && !(typeof json === 'number' && Number.isInteger(json)))
    throw malformed('an integer')
  return Number(json)
}

function refuse(expected: string): never {
  throw malformed(expected)
}

function malformed(expected: string): Fault {
  return new Fault('invalid', `expected ${expected}`)
}

/** JSON objects one after the other, as a client streams them; at most `bytesMax` wait for their end. */
export class JsonStream {
  readonly #bytesMax: number
  #parts: Uint8Array[] = []
  #bytes = 0
  #depth = 0
  #isInText = false
  #isEscaped = false

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The objects that are whole now. Faults 'invalid', 'too-large'. */
  add(slice: Uint8Array): readonly unknown[] {
    const values: unknown[] = []
    let start = 0
    for (let at = 0; at < slice.length; at++) {
      if (!this.#step(slice[at] as number)) continue
      values.push(parseJson(concatBytes([...this.#parts, slice.subarray(start, at + 1)])))
      this.#parts = []
      this.#bytes = 0
      start = at + 1
    }
    const rest = slice.slice(start)
    this.#bytes += rest.length
    if (this.#bytes > this.#bytesMax) {
      throw new Fault('too-large', 'etcdserver: request is too large')
    }
    if (rest.length > 0) this.#parts.push(rest)
    return values
  }

  /** True when an object ends with this byte. */
  #step(byte: number): boolean {
    if (this.#isEscaped) this.#isEscaped = false
    else if (this.#isInText) {
      if (byte === backslash) this.#isEscaped = true
      else if (byte === quote) this.#isInText = false
    } else if (byte === quote) this.#isInText = true
    else if (byte === openBrace) this.#depth++
    else if (byte === closeBrace) {
      this.#depth = Math.max(0, this.#depth - 1)
      return this.#depth === 0
    }
    return false
  }
}

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d

/** Fault 'invalid'. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8Decode(bytes))
  } catch {
    throw new Fault('invalid', 'the body is not JSON')
  }
}

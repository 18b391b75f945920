// Protocol Buffers wire format (https://protobuf.dev/programming-guides/encoding/), declared in
// TypeScript: a schema is a value, its message type is inferred, and no code is generated.
// Every stored record and every message that is not one of the hot fixed-header frames uses it.
//
// Rules: fields are written in order of declaration; a field at its default (0, empty, false,
// undefined) is not written, so equal messages have equal bytes; unknown fields are skipped, so
// that older readers read newer writers; unsigned varints beyond 2^53-1 are refused.
// Hostile input: nothing is allocated beyond the bytes at hand, nesting is limited, and every
// violation is a Fault 'corrupt' that names the field.

import { Fault } from './fault.ts'

/** How a value crosses threads, nodes and disks. decode throws Fault 'corrupt' on hostile bytes. */
export type Codec<T> = {
  encode(value: T): Uint8Array
  decode(bytes: Uint8Array): T
}

export type Field<T> = {
  readonly number: number
  /** 0 varint, 1 64-bit, 2 length-delimited. */
  readonly wireType: 0 | 1 | 2
  readonly initial: () => T
  /** Writes key and value, or nothing for a default. */
  write(writer: Writer, value: T): void
  /** Reads one occurrence; `previous` is what earlier occurrences gave. */
  read(reader: Reader, previous: T): T
}

export type Fields = Readonly<Record<string, Field<unknown>>>
// biome-ignore lint/suspicious/noExplicitAny: inference over an open record of fields
type AnyFields = Record<string, Field<any>>
export type Message<F extends AnyFields> = {
  readonly fields: F
  readonly byNumber: ReadonlyMap<number, readonly [string, Field<unknown>]>
  /** The fields in order of declaration. */
  readonly names: readonly string[]
  readonly list: readonly Field<unknown>[]
  /** A message in which nothing was read. Its lists and bytes are shared: nobody writes into them. */
  readonly blank: Readonly<Record<string, unknown>>
}
export type MessageOf<M> =
  M extends Message<infer F> ? { [K in keyof F]: F[K] extends Field<infer T> ? T : never } : never

const depthMax = 16
const noBytes = new Uint8Array(0)
const noValues: readonly unknown[] = Object.freeze([])
const utf8 = new TextEncoder()
const utf8Strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Declares a message. Field numbers are unique and, once released, never used for another meaning. */
export function message<F extends AnyFields>(fields: F): Message<F> {
  const byNumber = new Map<number, readonly [string, Field<unknown>]>()
  const blank: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(fields)) {
    byNumber.set(field.number, [name, field])
    blank[name] = field.initial()
  }
  const names = Object.keys(fields)
  if (byNumber.size !== names.length) throw new Fault('internal', 'field number twice')
  return { fields, byNumber, names, list: Object.values(fields), blank }
}

export function encodeBytes<F extends AnyFields>(
  schema: Message<F>,
  value: MessageOf<Message<F>>,
): Uint8Array {
  const writer = new Writer()
  writeFields(writer, schema, value)
  return writer.finish()
}

export function decodeBytes<F extends AnyFields>(
  schema: Message<F>,
  bytes: Uint8Array,
): MessageOf<Message<F>> {
  return readFields(new Reader(bytes, 0), schema)
}

/** The codec of a message. */
export function codecOf<F extends AnyFields>(schema: Message<F>): Codec<MessageOf<Message<F>>> {
  return {
    encode: (value) => encodeBytes(schema, value),
    decode: (bytes) => decodeBytes(schema, bytes),
  }
}

/** Unsigned integer up to 2^53-1. */
export function uint(number: number): Field<number> {
  return {
    number,
    wireType: 0,
    initial: () => 0,
    write(writer, value) {
      if (value === 0) return
      writer.key(number, 0)
      writer.varint(value)
    },
    read: (reader) => reader.varint(),
  }
}

/**
 * Signed integer as other programs' int64: negative ones take ten bytes. Decoded to the nearest number, so
 * what lies beyond 2^53-1 is no safe integer any more: it is the reader's to refuse.
 */
export function int(number: number): Field<number> {
  return {
    number,
    wireType: 0,
    initial: () => 0,
    write(writer, value) {
      if (value === 0) return
      writer.key(number, 0)
      writer.signedVarint(value)
    },
    read: (reader) => reader.signedVarint(),
  }
}

export function bool(number: number): Field<boolean> {
  return {
    number,
    wireType: 0,
    initial: () => false,
    write(writer, value) {
      if (!value) return
      writer.key(number, 0)
      writer.varint(1)
    },
    read: (reader) => reader.varint() !== 0,
  }
}

/** Raw bytes. Decoded as a view of the input: copy it to keep it beyond the input's life. */
export function bytes(number: number): Field<Uint8Array> {
  return {
    number,
    wireType: 2,
    initial: () => noBytes,
    write(writer, value) {
      if (value.length === 0) return
      writer.key(number, 2)
      writer.bytes(value)
    },
    read: (reader) => reader.bytes(),
  }
}

/** UTF-8 text; malformed UTF-8 is refused. */
export function text(number: number): Field<string> {
  return {
    number,
    wireType: 2,
    initial: () => '',
    write(writer, value) {
      if (value === '') return
      writer.key(number, 2)
      writer.bytes(utf8.encode(value))
    },
    read(reader) {
      const raw = reader.bytes()
      try {
        return utf8Strict.decode(raw)
      } catch {
        throw corrupt(`field ${number} is not UTF-8`)
      }
    },
  }
}

/** A nested message; absent is undefined. */
export function nested<F extends AnyFields>(
  number: number,
  schema: Message<F>,
): Field<MessageOf<Message<F>> | undefined> {
  return {
    number,
    wireType: 2,
    initial: () => undefined,
    write(writer, value) {
      if (value === undefined) return
      writer.key(number, 2)
      const mark = writer.open()
      writeFields(writer, schema, value)
      writer.close(mark)
    },
    read: (reader) => readFields(reader.nested(), schema),
  }
}

/** A nested message whose schema is declared later (recursion); the caller states its type. */
export function lazy<T>(number: number, schema: () => Message<AnyFields>): Field<T | undefined> {
  return {
    number,
    wireType: 2,
    initial: () => undefined,
    write(writer, value) {
      if (value === undefined) return
      writer.key(number, 2)
      const mark = writer.open()
      writeFields(writer, schema(), value as MessageOf<Message<AnyFields>>)
      writer.close(mark)
    },
    read: (reader) => readFields(reader.nested(), schema()) as T,
  }
}

/** Zero or more of a field, each occurrence with its own key (not packed). Defaults inside are kept. */
export function repeated<T>(field: Field<T>): Field<readonly T[]> {
  return {
    number: field.number,
    wireType: field.wireType,
    initial: () => noValues as readonly T[],
    write(writer, values) {
      for (const value of values) {
        const before = writer.length
        field.write(writer, value)
        if (writer.length === before) {
          writer.key(field.number, field.wireType)
          writer.varint(0)
        }
      }
    },
    read(reader, previous) {
      const list = previous.length === 0 ? [] : (previous as T[])
      list.push(field.read(reader, field.initial()))
      return list
    },
  }
}

function writeFields<F extends AnyFields>(
  writer: Writer,
  schema: Message<F>,
  value: MessageOf<Message<F>>,
): void {
  const values = value as Record<string, unknown>
  const { names, list } = schema
  for (let i = 0; i < list.length; i++) {
    const field = list[i] as Field<unknown>
    field.write(writer, values[names[i] as string])
  }
}

function readFields<F extends AnyFields>(
  reader: Reader,
  schema: Message<F>,
): MessageOf<Message<F>> {
  const values: Record<string, unknown> = { ...schema.blank }
  while (!reader.isAtEnd) {
    const key = reader.varint()
    const wireType = key & 7
    const known = schema.byNumber.get(Math.floor(key / 8))
    if (known === undefined) {
      reader.skip(wireType)
      continue
    }
    const [name, field] = known
    if (field.wireType !== wireType) throw corrupt(`field ${name} has wire type ${wireType}`)
    values[name] = field.read(reader, values[name])
  }
  return values as MessageOf<Message<F>>
}

const spareBytes = 4096
const sparesMax = 8
/** Buffers of writers that have finished: an allocation of its own costs as much as a short message. */
const spares: Uint8Array<ArrayBuffer>[] = []

/** Grows by doubling; finish() returns a copy of exactly what was written, and ends the writer. */
export class Writer {
  #buffer = spares.pop() ?? new Uint8Array(spareBytes)
  length = 0

  key(number: number, wireType: number): void {
    this.varint(number * 8 + wireType)
  }

  varint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new Fault('internal', `not an unsigned integer: ${value}`)
    }
    this.#reserve(8)
    let rest = value
    while (rest > 0x7f) {
      this.#buffer[this.length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.#buffer[this.length++] = rest
  }

  /** Two's complement of 64 bits. */
  /** A bigint is a number of 64 bits, as signedInt64 reads them. */
  signedVarint(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0) {
      this.varint(value)
      return
    }
    this.#reserve(10)
    let rest = BigInt.asUintN(64, BigInt(value))
    for (; rest > 0x7fn; rest >>= 7n) this.#buffer[this.length++] = Number(rest & 0x7fn) | 0x80
    this.#buffer[this.length++] = Number(rest)
  }

  /** Length, then the bytes. */
  bytes(value: Uint8Array): void {
    this.varint(value.length)
    this.append(value)
  }

  /** Bytes that are encoded fields already. */
  append(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#buffer.set(value, this.length)
    this.length += value.length
  }

  /** Begins a nested message; what is written until close() is its bytes. */
  open(): number {
    this.#reserve(1)
    return this.length++
  }

  /** Puts the length before the nested message, which moves when that takes more than one byte. */
  close(mark: number): void {
    const bytes = this.length - mark - 1
    if (bytes <= 0x7f) {
      this.#buffer[mark] = bytes
      return
    }
    let digits = 1
    for (let rest = bytes; rest > 0x7f; rest >>>= 7) digits++
    this.#reserve(digits - 1)
    this.#buffer.copyWithin(mark + digits, mark + 1, this.length)
    this.length += digits - 1
    let rest = bytes
    for (let at = mark; at < mark + digits; at++, rest >>>= 7) {
      this.#buffer[at] = at === mark + digits - 1 ? rest : (rest & 0x7f) | 0x80
    }
  }

  finish(): Uint8Array {
    const buffer = this.#buffer
    const written = buffer.slice(0, this.length)
    this.#buffer = noBytes
    this.length = 0
    if (buffer.length === spareBytes && spares.length < sparesMax) spares.push(buffer)
    return written
  }

  #reserve(count: number): void {
    const need = this.length + count
    if (need <= this.#buffer.length) return
    const grown = new Uint8Array(Math.max(need, this.#buffer.length * 2))
    grown.set(this.#buffer.subarray(0, this.length))
    this.#buffer = grown
  }
}

/** Reads within its bytes only; anything beyond is Fault 'corrupt'. */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #depth: number
  #at = 0

  constructor(bytes: Uint8Array, depth: number) {
    if (depth > depthMax) throw corrupt(`nested deeper than ${depthMax}`)
    this.#bytes = bytes
    this.#depth = depth
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (let count = 0; count < 8; count++) {
      const byte = this.#bytes[this.#at]
      if (byte === undefined) throw corrupt('a varint runs past the end')
      this.#at++
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) throw corrupt('a varint exceeds 2^53-1')
        return value
      }
      scale *= 128
    }
    throw corrupt('a varint exceeds 2^53-1')
  }

  /** Two's complement of 64 bits, as the nearest number. */
  signedVarint(): number {
    const start = this.#at
    let value = 0
    let scale = 1
    for (let count = 0; count < 7; count++) {
      const byte = this.#next()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    this.#at = start
    let long = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#next()
      long |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return Number(BigInt.asIntN(64, long))
    }
    throw corrupt('a varint exceeds 64 bits')
  }

  /** A bigint where a number would not be exact. */
  signedInt64(): number | bigint {
    const start = this.#at
    const value = this.signedVarint()
    if (Number.isSafeInteger(value)) return value
    let long = 0n
    for (let at = start; at < this.#at; at++) {
      long |= BigInt((this.#bytes[at] ?? 0) & 0x7f) << BigInt(7 * (at - start))
    }
    return BigInt.asIntN(64, long)
  }

  bytes(): Uint8Array {
    return this.#take(this.varint())
  }

  nested(): Reader {
    return new Reader(this.bytes(), this.#depth + 1)
  }

  skip(wireType: number): void {
    if (wireType === 0) this.signedVarint()
    else if (wireType === 1) this.#take(8)
    else if (wireType === 2) this.bytes()
    else if (wireType === 5) this.#take(4)
    else throw corrupt(`wire type ${wireType} is not known`)
  }

  #next(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw corrupt('a varint runs past the end')
    this.#at++
    return byte
  }

  #take(count: number): Uint8Array {
    if (count > this.#bytes.length - this.#at) throw corrupt('a field runs past the end')
    const taken = this.#bytes.subarray(this.#at, this.#at + count)
    this.#at += count
    return taken
  }
}

function corrupt(what: string): Fault {
  return new Fault('corrupt', `malformed message: ${what}`)
}

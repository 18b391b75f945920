// HPACK (RFC 7541): fields of HTTP/2's headers. The decoder keeps the client's dynamic table, the encoder keeps none:
// it says so once (a table of size 0) and writes whole fields, so that an answer's block never depends on the
// ones before it and can be kept ready.
//
// A block is bounded by its reader before it comes here. What it says is not: an index of one byte can stand for a
// field of 4 KiB, so fields share the table's strings and are counted, not kept, beyond the list's limit.

import { Fault } from '../../base/index.ts'
import { decodeHuffman, staticFields } from './hpack-tables.ts'

const tableBytesMax = 4096
/** What a field costs beside its text (RFC 7541, 4.1; RFC 9113, 6.5.2). */
const fieldCost = 32
const integerMax = 2 ** 28

/** A field, and whether HTTP/2 lets a request have it (RFC 9113, 8.2). */
export type Field = {
  readonly pair: readonly [name: string, value: string]
  readonly isSound: boolean
}

export type FieldList = {
  readonly fields: readonly Field[]
  /** There were more than the limit allows; the rest was read and left out. */
  readonly isTooLarge: boolean
}

const staticTable: readonly Field[] = staticFields.map((pair) => ({ pair, isSound: true }))
const staticNames = new Map<string, number>()
for (const [at, [name]] of staticFields.entries()) {
  if (!staticNames.has(name)) staticNames.set(name, at + 1)
}

/** Of one connection. Every fault ends it: the table would no longer be the client's (COMPRESSION_ERROR). */
export class HpackDecoder {
  readonly #listBytesMax: number
  /** The newest is last. */
  readonly #table: Field[] = []
  #tableBytes = 0
  #tableLimit = tableBytesMax
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0

  constructor(listBytesMax: number) {
    this.#listBytesMax = listBytesMax
  }

  /** A whole block. Fault 'invalid' when it is none. */
  decode(block: Buffer): FieldList {
    this.#bytes = block
    this.#at = 0
    const fields: Field[] = []
    let listBytes = 0
    let mayResize = true
    while (this.#at < block.length) {
      const first = block[this.#at] as number
      if ((first & 0xe0) === 0x20) {
        if (!mayResize) throw broken('a change of the table after fields')
        this.#resize(this.#integer(5))
        continue
      }
      mayResize = false
      const field = this.#field(first)
      listBytes += costOf(field)
      if (listBytes <= this.#listBytesMax) fields.push(field)
    }
    this.#bytes = Buffer.alloc(0)
    return { fields, isTooLarge: listBytes > this.#listBytesMax }
  }

  #field(first: number): Field {
    if ((first & 0x80) !== 0) return this.#entry(this.#integer(7))
    const isKept = (first & 0x40) !== 0
    const index = this.#integer(isKept ? 6 : 4)
    const name = index === 0 ? this.#text() : this.#entry(index).pair[0]
    const field = fieldOf(name, this.#text())
    if (isKept) this.#keep(field)
    return field
  }

  #entry(index: number): Field {
    const own = index - staticTable.length
    const field = own > 0 ? this.#table[this.#table.length - own] : staticTable[index - 1]
    if (field === undefined) throw broken(`no field has index ${index}`)
    return field
  }

  #keep(field: Field): void {
    this.#table.push(field)
    this.#tableBytes += costOf(field)
    this.#evict()
  }

  #resize(limit: number): void {
    if (limit > tableBytesMax) throw broken('a larger table than was offered')
    this.#tableLimit = limit
    this.#evict()
  }

  #evict(): void {
    while (this.#tableBytes > this.#tableLimit) {
      const oldest = this.#table.shift()
      if (oldest === undefined) return
      this.#tableBytes -= costOf(oldest)
    }
  }

  /** An integer whose first byte has `prefix` bits of it (5.1). */
  #integer(prefix: number): number {
    const mask = (1 << prefix) - 1
    let value = this.#byte() & mask
    if (value < mask) return value
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#byte()
      value += (byte & 0x7f) * scale
      if (value > integerMax || scale > integerMax) throw broken('an integer that is too large')
      if (byte < 0x80) return value
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw broken('a block that ends within a field')
    return byte
  }

  #text(): string {
    const isCoded = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0
    const length = this.#integer(7)
    const start = this.#at
    const end = start + length
    if (end > this.#bytes.length) throw broken('a block that ends within a field')
    this.#at = end
    if (!isCoded) return this.#bytes.toString('latin1', start, end)
    const text = decodeHuffman(this.#bytes, start, end)
    if (text === undefined) throw broken('a string that is not of the Huffman code')
    return text
  }
}

function costOf({ pair }: Field): number {
  return pair[0].length + pair[1].length + fieldCost
}

// Control characters that no value may have, and names: tokens in lower case, with a colon first for HTTP/2's own.
const badValue = /[\0\r\n]|^[ \t]|[ \t]$/
const goodName = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/
const hopNames = new Set([
  ...['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade'],
])

function fieldOf(name: string, value: string): Field {
  const isSound =
    goodName.test(name) &&
    !badValue.test(value) &&
    !hopNames.has(name) &&
    (name !== 'te' || value === 'trailers')
  return { pair: [name, value], isSound }
}

function broken(what: string): Fault {
  return new Fault('invalid', `HPACK: ${what}`)
}

/** The first block of a connection begins with it: our table has size 0. */
export const noTable = Buffer.from([0x20])

const sendable = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * A block of whole fields. Names become lower case; what is of one hop only is left out. Fault 'internal' for a text
 * that is not of latin-1's visible characters.
 */
export function encodeFields(fields: readonly (readonly [string, string])[]): Buffer {
  const kept = fields.filter(([name]) => !hopNames.has(name.toLowerCase()))
  let length = 0
  for (const [name, value] of kept) {
    if (!sendable.test(name) || !sendable.test(value)) {
      throw new Fault('internal', `the header '${name}' has a character that none may have`)
    }
    // Each of the two lengths and the name's index take at most five bytes.
    length += name.length + value.length + 11
  }
  const bytes = Buffer.allocUnsafe(length)
  let at = 0
  for (const [name, value] of kept) at = encodeField(bytes, at, name.toLowerCase(), value)
  return bytes.subarray(0, at)
}

function encodeField(bytes: Buffer, start: number, name: string, value: string): number {
  const index = staticNames.get(name) ?? 0
  let at = writeInteger(bytes, start, { value: index, prefix: 4, flags: 0 })
  if (index === 0) at = writeText(bytes, at, name)
  return writeText(bytes, at, value)
}

function writeText(bytes: Buffer, start: number, text: string): number {
  const at = writeInteger(bytes, start, { value: text.length, prefix: 7, flags: 0 })
  return at + bytes.write(text, at, 'latin1')
}

function writeInteger(
  bytes: Buffer,
  start: number,
  given: { readonly value: number; readonly prefix: number; readonly flags: number },
): number {
  const mask = (1 << given.prefix) - 1
  let at = start
  if (given.value < mask) {
    bytes[at++] = given.flags | given.value
    return at
  }
  bytes[at++] = given.flags | mask
  let rest = given.value - mask
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes[at++] = (rest % 128) | 0x80
  bytes[at++] = rest
  return at
}

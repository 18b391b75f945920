// Records of the memory store's journal file.
//
//   offset 0  u32  magic: 'A' 'J', kind, version (bytes in this order)
//          4  u32  CRC32C of everything else: the magic, then offset 8 to the end of the payload
//          8  u64  record number, little-endian; consecutive within a file
//         16  u32  payload length
//         20  payload
//
// A file is: one `begin` (names of tables), rows of the state it starts from, one `ready`, and then
// commits. A file without `ready` was never put to use. Operations in a payload are varints and
// length-prefixed bytes (base's Writer): operation, table number, key, value.

import { crc32c, Reader, Writer } from '../../base/index.ts'

export const journalHeaderBytes = 20
const version = 1

export type JournalKind = 'begin' | 'rows' | 'ready' | 'commit'
const kinds: readonly JournalKind[] = ['begin', 'rows', 'ready', 'commit']

export type JournalRecord = {
  readonly kind: JournalKind
  readonly number: number
  readonly payload: Uint8Array
}

export type Operation =
  | {
      readonly kind: 'put'
      readonly table: number
      readonly key: Uint8Array
      readonly value: Uint8Array
    }
  | { readonly kind: 'delete'; readonly table: number; readonly key: Uint8Array }

export function encodeJournalRecord(record: JournalRecord): Uint8Array {
  const bytes = new Uint8Array(journalHeaderBytes + record.payload.length)
  const view = new DataView(bytes.buffer)
  bytes.set([0x41, 0x4a, kinds.indexOf(record.kind), version])
  view.setUint32(8, record.number >>> 0, true)
  view.setUint32(12, Math.floor(record.number / 0x1_0000_0000), true)
  view.setUint32(16, record.payload.length, true)
  bytes.set(record.payload, journalHeaderBytes)
  view.setUint32(4, checksum(bytes), true)
  return bytes
}

/** The longest valid prefix of a journal file, and where it ends. */
export function decodeJournal(bytes: Uint8Array): {
  readonly records: readonly JournalRecord[]
  readonly end: number
} {
  const records: JournalRecord[] = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  while (at + journalHeaderBytes <= bytes.length) {
    const kind = kinds[bytes[at + 2] as number]
    const isKnown = bytes[at] === 0x41 && bytes[at + 1] === 0x4a && bytes[at + 3] === version
    const number = view.getUint32(at + 8, true) + view.getUint32(at + 12, true) * 0x1_0000_0000
    const end = at + journalHeaderBytes + view.getUint32(at + 16, true)
    if (!isKnown || kind === undefined || number !== records.length || end > bytes.length) break
    if (checksum(bytes.subarray(at, end)) !== view.getUint32(at + 4, true)) break
    records.push({ kind, number, payload: bytes.subarray(at + journalHeaderBytes, end) })
    at = end
  }
  return { records, end: at }
}

function checksum(record: Uint8Array): number {
  return crc32c(record.subarray(8), crc32c(record.subarray(0, 4)))
}

export function encodeTableNames(names: readonly string[]): Uint8Array {
  const writer = new Writer()
  writer.varint(names.length)
  for (const name of names) writer.bytes(new TextEncoder().encode(name))
  return writer.finish()
}

export function decodeTableNames(payload: Uint8Array): readonly string[] {
  const reader = new Reader(payload, 0)
  const names: string[] = []
  for (let left = reader.varint(); left > 0; left--)
    names.push(new TextDecoder().decode(reader.bytes()))
  return names
}

export function writePut(
  writer: Writer,
  table: number,
  row: { key: Uint8Array; value: Uint8Array },
): void {
  writer.varint(1)
  writer.varint(table)
  writer.bytes(row.key)
  writer.bytes(row.value)
}

export function writeDelete(writer: Writer, table: number, key: Uint8Array): void {
  writer.varint(2)
  writer.varint(table)
  writer.bytes(key)
}

/** Keys and values are views of the payload. Fault 'corrupt' on a malformed one. */
export function* decodeOperations(payload: Uint8Array): Generator<Operation> {
  const reader = new Reader(payload, 0)
  while (!reader.isAtEnd) {
    const kind = reader.varint()
    const table = reader.varint()
    if (kind === 1) yield { kind: 'put', table, key: reader.bytes(), value: reader.bytes() }
    else yield { kind: 'delete', table, key: reader.bytes() }
  }
}

// The bytes of stored records. Each has a version and a CRC32C that begins with a hash of its key, so
// that a row under a wrong key is noticed (law 9); 'key' here is the row's key without its space. What
// is written for every put has a fixed header; the others are messages.
//
// latest   version 1, flags 1, modRevision 8, sub 4, createRevision 8, version 8, lease 8, valueBytes 4,
//          tail, crc32c 4. The tail is the value (inline), its CRC32C (short), its SHA-256 and the
//          revision 8 and sub 4 of the version that brought it (long): a put that keeps the value names
//          the bytes of the one before.
// history  version 1, flags 1, createRevision 8, version 8, lease 8, previousRevision 8, previousSub 4,
//          keyBytes 2, valueBytes 4, key, then the value (inline and short) or the tail (long), crc32c 4.
// All integers are big-endian. previousRevision 0: there is no older version.

import {
  crc32,
  crc32c,
  decodeBytes,
  encodeBytes,
  Fault,
  message,
  sha256,
  uint,
} from '../../base/index.ts'
import { type Allocate, allocateOwn, getUint32, getUint64, putUint32, putUint64 } from './bytes.ts'
import { historyBytesMax, inlineBytesMax, versionOverheadBytes } from './limits.ts'

const recordVersion = 2
const latestHeadBytes = 42
const historyHeadBytes = 44
const sha256Bytes = 32
const longTailBytes = 44
const emptyBytes: Uint8Array = new Uint8Array(0)

/** tombstone: the key is deleted. inline: in 'latest' too. short: in 'history' only. long: apart. */
export type ValueKind = 'tombstone' | 'inline' | 'short' | 'long'
const kinds: readonly ValueKind[] = ['tombstone', 'inline', 'short', 'long']

export type Version = {
  readonly kind: ValueKind
  readonly modRevision: number
  readonly sub: number
  readonly createRevision: number
  /** Puts since creation; 0 for a tombstone. */
  readonly version: number
  readonly lease: number
  readonly valueBytes: number
  /** The value (inline), or what stands for it: CRC32C (short), SHA-256 and where it is (long). */
  readonly tail: Uint8Array
}

export type HistoryRecord = Omit<Version, 'modRevision' | 'sub'> & {
  readonly key: Uint8Array
  readonly previousRevision: number
  readonly previousSub: number
}

export function valueKind(valueBytes: number): ValueKind {
  if (valueBytes <= inlineBytesMax) return 'inline'
  return valueBytes <= historyBytesMax ? 'short' : 'long'
}

/** What 'latest' keeps of a value that the version `at` brings. */
export function valueTail(
  value: Uint8Array,
  at: { readonly modRevision: number; readonly sub: number },
): Uint8Array {
  const kind = valueKind(value.length)
  if (kind === 'inline') return value
  if (kind === 'short') return crcBytes(crc32c(value))
  const tail = new Uint8Array(longTailBytes)
  tail.set(sha256(value))
  putUint64(tail, sha256Bytes, at.modRevision)
  putUint32(tail, sha256Bytes + 8, at.sub)
  return tail
}

/** Of a long value: its digest, and the version under whose key its bytes are. */
export function readLongTail(tail: Uint8Array): {
  readonly digest: Uint8Array
  readonly modRevision: number
  readonly sub: number
} {
  if (tail.length !== longTailBytes) throw damaged('a long value is named by too few bytes')
  return {
    digest: tail.subarray(0, sha256Bytes),
    modRevision: getUint64(tail, sha256Bytes),
    sub: getUint32(tail, sha256Bytes + 8),
  }
}

/** The bytes of a long value belong to an older version. */
export function isBorrowed(version: {
  readonly kind: ValueKind
  readonly modRevision: number
  readonly sub: number
  readonly tail: Uint8Array
}): boolean {
  if (version.kind !== 'long') return false
  const { modRevision, sub } = readLongTail(version.tail)
  return modRevision !== version.modRevision || sub !== version.sub
}

/** What a version counts against the quota. */
export function versionBytes(
  keyBytes: number,
  version: Parameters<typeof isBorrowed>[0] & { readonly valueBytes: number },
): number {
  return versionOverheadBytes + keyBytes + (isBorrowed(version) ? 0 : version.valueBytes)
}

/** Two 32-bit hashes of a row, for the running digest. */
export type RowHash = { readonly a: number; readonly b: number }

export function encodeLatest(
  key: Uint8Array,
  version: Version,
  allocate: Allocate = allocateOwn,
): Uint8Array {
  const record = allocate(latestHeadBytes + version.tail.length + 4)
  record[0] = recordVersion
  record[1] = kinds.indexOf(version.kind)
  putUint64(record, 2, version.modRevision)
  putUint32(record, 10, version.sub)
  putUint64(record, 14, version.createRevision)
  putUint64(record, 22, version.version)
  putUint64(record, 30, version.lease)
  putUint32(record, 38, version.valueBytes)
  record.set(version.tail, latestHeadBytes)
  putUint32(record, record.length - 4, checksum(key, record))
  return record
}

/** The tail is a view of `record`. */
export function decodeLatest(key: Uint8Array, record: Uint8Array): Version {
  openRecord(key, record, latestHeadBytes)
  return {
    kind: readKind(record),
    modRevision: getUint64(record, 2),
    sub: getUint32(record, 10),
    createRevision: getUint64(record, 14),
    version: getUint64(record, 22),
    lease: getUint64(record, 30),
    valueBytes: getUint32(record, 38),
    tail: record.subarray(latestHeadBytes, record.length - 4),
  }
}

/** The hash of a row of 'latest'; tombstones are no part of the digest. */
export function latestHash(key: Uint8Array, record: Uint8Array): RowHash {
  return { a: getUint32(record, record.length - 4), b: crc32(record, keySeed(key)) >>> 0 }
}

export function encodeHistory(
  rowKey: Uint8Array,
  record: HistoryRecord,
  content: { readonly value: Uint8Array; readonly allocate?: Allocate },
): Uint8Array {
  const { key } = record
  const kept = record.kind === 'long' ? record.tail : content.value
  const allocate = content.allocate ?? allocateOwn
  const encoded = allocate(historyHeadBytes + key.length + kept.length + 4)
  encoded[0] = recordVersion
  encoded[1] = kinds.indexOf(record.kind)
  putUint64(encoded, 2, record.createRevision)
  putUint64(encoded, 10, record.version)
  putUint64(encoded, 18, record.lease)
  putUint64(encoded, 26, record.previousRevision)
  putUint32(encoded, 34, record.previousSub)
  encoded[38] = key.length >>> 8
  encoded[39] = key.length
  putUint32(encoded, 40, record.valueBytes)
  encoded.set(key, historyHeadBytes)
  encoded.set(kept, historyHeadBytes + key.length)
  putUint32(encoded, encoded.length - 4, checksum(rowKey, encoded))
  return encoded
}

/** For inline and short values the tail is the value itself. Views of `encoded`. */
export function decodeHistory(rowKey: Uint8Array, encoded: Uint8Array): HistoryRecord {
  openRecord(rowKey, encoded, historyHeadBytes)
  const keyBytes = ((encoded[38] as number) << 8) | (encoded[39] as number)
  const keyEnd = historyHeadBytes + keyBytes
  if (keyEnd > encoded.length - 4) throw damaged('a key runs past the end')
  return {
    kind: readKind(encoded),
    createRevision: getUint64(encoded, 2),
    version: getUint64(encoded, 10),
    lease: getUint64(encoded, 18),
    previousRevision: getUint64(encoded, 26),
    previousSub: getUint32(encoded, 34),
    valueBytes: getUint32(encoded, 40),
    key: encoded.subarray(historyHeadBytes, keyEnd),
    tail: encoded.subarray(keyEnd, encoded.length - 4),
  }
}

export function tombstone(modRevision: number, sub: number): Version {
  return {
    kind: 'tombstone',
    modRevision,
    sub,
    createRevision: 0,
    version: 0,
    lease: 0,
    valueBytes: 0,
    tail: emptyBytes,
  }
}

const keyspaceFields = message({
  generation: uint(1),
  revision: uint(2),
  compacted: uint(3),
  digestA: uint(4),
  digestB: uint(5),
  timeMs: uint(6),
  requests: uint(7),
  entries: uint(8),
  addedBytes: uint(9),
  answers: uint(10),
  alarms: uint(11),
})

/** The row of 'keyspaces': what a group's state is as a whole. */
export type KeyspaceRecord = {
  /** Local to this node. */
  generation: number
  revision: number
  compacted: number
  digestA: number
  digestB: number
  /** Of the newest entry. */
  timeMs: number
  /** Requests applied, duplicates not counted. */
  requests: number
  /** Entries applied: no two turns leave the same record. */
  entries: number
  /** Weight of all versions ever made; what was swept is counted per replica. */
  addedBytes: number
  /** Running sum of hashes of all answers remembered, 32 bits: the sessions' part of the digest. */
  answers: number
  /** A bit per alarm. */
  alarms: number
}

export function emptyKeyspaceRecord(): KeyspaceRecord {
  return {
    generation: 0,
    revision: 1,
    compacted: 0,
    digestA: 0,
    digestB: 0,
    timeMs: 0,
    requests: 0,
    entries: 0,
    addedBytes: 0,
    answers: 0,
    alarms: 0,
  }
}

export function encodeKeyspaceRecord(rowKey: Uint8Array, record: KeyspaceRecord): Uint8Array {
  return seal(rowKey, encodeBytes(keyspaceFields, record))
}

export function decodeKeyspaceRecord(rowKey: Uint8Array, bytes: Uint8Array): KeyspaceRecord {
  return { ...decodeBytes(keyspaceFields, unseal(rowKey, bytes)) }
}

export type SessionAnswer = {
  readonly sequence: number
  /** CRC32C of the request: the same id with another request is refused. */
  readonly requestCrc: number
  readonly answer: Uint8Array
}
export type SessionRecord = {
  readonly lowestOpen: number
  readonly timeMs: number
  readonly openedMs: number
  readonly answers: readonly SessionAnswer[]
}

const sessionHeadBytes = 25
const answerHeadBytes = 16

/** version 1, lowestOpen 8, timeMs 8, openedMs 8, answers (sequence 8, requestCrc 4, length 4, bytes), crc32c 4. */
export function encodeSession(rowKey: Uint8Array, record: SessionRecord): Uint8Array {
  let length = sessionHeadBytes + 4
  for (const { answer } of record.answers) length += answerHeadBytes + answer.length
  const encoded = new Uint8Array(length)
  encoded[0] = recordVersion
  putUint64(encoded, 1, record.lowestOpen)
  putUint64(encoded, 9, record.timeMs)
  putUint64(encoded, 17, record.openedMs)
  let at = sessionHeadBytes
  for (const { sequence, requestCrc, answer } of record.answers) {
    putUint64(encoded, at, sequence)
    putUint32(encoded, at + 8, requestCrc)
    putUint32(encoded, at + 12, answer.length)
    encoded.set(answer, at + answerHeadBytes)
    at += answerHeadBytes + answer.length
  }
  putUint32(encoded, length - 4, checksum(rowKey, encoded))
  return encoded
}

/** Answers are views of `encoded`. */
export function decodeSession(rowKey: Uint8Array, encoded: Uint8Array): SessionRecord {
  openRecord(rowKey, encoded, sessionHeadBytes)
  const end = encoded.length - 4
  const answers: SessionAnswer[] = []
  let at = sessionHeadBytes
  while (at < end) {
    if (end - at < answerHeadBytes) throw damaged('an answer runs past the end')
    const answerEnd = at + answerHeadBytes + getUint32(encoded, at + 12)
    if (answerEnd > end) throw damaged('an answer runs past the end')
    answers.push({
      sequence: getUint64(encoded, at),
      requestCrc: getUint32(encoded, at + 8),
      answer: encoded.subarray(at + answerHeadBytes, answerEnd),
    })
    at = answerEnd
  }
  const [lowestOpen, timeMs] = [getUint64(encoded, 1), getUint64(encoded, 9)]
  return { lowestOpen, timeMs, openedMs: getUint64(encoded, 17), answers }
}

/** version 1, body, crc32c 4 over key, version and body. */
export function seal(rowKey: Uint8Array, body: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(body.length + 5)
  sealed[0] = recordVersion
  sealed.set(body, 1)
  putUint32(sealed, sealed.length - 4, checksum(rowKey, sealed))
  return sealed
}

/** The checksum that a sealed record carries, over its key too. */
export function sealedHash(sealed: Uint8Array): number {
  return getUint32(sealed, sealed.length - 4)
}

/** A cheap hash of an answer to a request, for the running sum. */
export function answerHash(sequence: number, requestCrc: number, answer: Uint8Array): number {
  const short = answer.length <= 64 ? keySeed(answer) : crc32c(answer)
  return Math.imul((short ^ requestCrc) + sequence, 0x9e3779b1) >>> 0
}

export function unseal(rowKey: Uint8Array, sealed: Uint8Array): Uint8Array {
  openRecord(rowKey, sealed, 1)
  return sealed.subarray(1, sealed.length - 4)
}

function openRecord(key: Uint8Array, record: Uint8Array, headBytes: number): void {
  if (record.length < headBytes + 4) throw damaged('it is too short')
  if (record[0] !== recordVersion) throw damaged(`version ${record[0]} is not known`)
  if (getUint32(record, record.length - 4) !== checksum(key, record)) {
    throw damaged('its checksum differs')
  }
}

function checksum(key: Uint8Array, record: Uint8Array): number {
  return crc32c(record.subarray(0, record.length - 4), keySeed(key)) >>> 0
}

/** FNV-1a, 32 bits: a call for each short key's CRC would cost more than the key's row. */
function keySeed(key: Uint8Array): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ (key[i] as number), 0x01000193)
  return hash >>> 0
}

function readKind(record: Uint8Array): ValueKind {
  const kind = kinds[record[1] as number]
  if (kind === undefined) throw damaged('its kind is not known')
  return kind
}

function crcBytes(crc: number): Uint8Array {
  const tail = new Uint8Array(4)
  putUint32(tail, 0, crc)
  return tail
}

function damaged(what: string): Fault {
  return damagedRows(`a stored record of a keyspace is damaged: ${what}`)
}

/** Rows that cannot be trusted: no answer to an entry, but the end of this replica. */
export function damagedRows(what: string): Fault {
  return new Fault('corrupt', what, { fields: { rows: 'damaged' } })
}

// The bytes of a snapshot: records, one after the other, cut into chunks anywhere.
//
//   record   length of payload 4, type 1, version 1, payload, crc32c 4 over everything before it
//   types    1 head (record of 'keyspaces' without what is local), 2 row (table, key without its space,
//            value), 3 part of a long value (revision, sub, bytes; the last part says so), 4 end (count)
//
// A reader refuses anything that is not exactly this, and the state is taken only when the end record
// agrees with the number of records seen and the digest of the rows with the head.

import {
  bool,
  bytes,
  crc32c,
  decodeBytes,
  encodeBytes,
  Fault,
  message,
  uint,
} from '../../base/index.ts'

const formatVersion = 2
const headBytes = 6
export const snapshotChunkBytes = 256 * 1024
/** A value is cut into parts of this length. */
export const partBytes = 128 * 1024
const payloadBytesMax = 8 * 1024 * 1024

export type SnapshotHead = {
  readonly revision: number
  readonly compacted: number
  readonly digestA: number
  readonly digestB: number
  readonly timeMs: number
  readonly requests: number
  readonly entries: number
  readonly addedBytes: number
  readonly answers: number
  readonly alarms: number
  /** Sum of the hashes of its leases' rows and of its guard's. */
  readonly leaseDigest: number
}
export type SnapshotRow = {
  /** 1 latest, 2 history, 3 sessions, 4 leases, 5 the guard. The keys of leases are made from the first. */
  readonly table: number
  readonly key: Uint8Array
  readonly value: Uint8Array
}
export type SnapshotPart = {
  readonly revision: number
  readonly sub: number
  readonly bytes: Uint8Array
  readonly isLast: boolean
}
export type SnapshotRecord =
  | ({ readonly kind: 'head' } & SnapshotHead)
  | ({ readonly kind: 'row' } & SnapshotRow)
  | ({ readonly kind: 'part' } & SnapshotPart)
  | { readonly kind: 'end'; readonly records: number }

const headFields = message({
  revision: uint(1),
  compacted: uint(2),
  digestA: uint(3),
  digestB: uint(4),
  timeMs: uint(5),
  requests: uint(6),
  entries: uint(7),
  addedBytes: uint(8),
  answers: uint(9),
  alarms: uint(10),
  leaseDigest: uint(11),
})
const rowFields = message({ table: uint(1), key: bytes(2), value: bytes(3) })
const partFields = message({ revision: uint(1), sub: uint(2), bytes: bytes(3), isLast: bool(4) })
const endFields = message({ records: uint(1) })

export function encodeSnapshotRecord(record: SnapshotRecord): Uint8Array {
  switch (record.kind) {
    case 'head':
      return frame(1, encodeBytes(headFields, record))
    case 'row':
      return frame(2, encodeBytes(rowFields, record))
    case 'part':
      return frame(3, encodeBytes(partFields, record))
    case 'end':
      return frame(4, encodeBytes(endFields, record))
  }
}

function frame(type: number, payload: Uint8Array): Uint8Array {
  const framed = new Uint8Array(headBytes + payload.length + 4)
  const view = new DataView(framed.buffer)
  view.setUint32(0, payload.length)
  framed[4] = type
  framed[5] = formatVersion
  framed.set(payload, headBytes)
  view.setUint32(framed.length - 4, crc32c(framed.subarray(0, framed.length - 4)) >>> 0)
  return framed
}

/** Records out of chunks. Fault 'corrupt' for anything malformed; holds at most one record's bytes. */
export class SnapshotParser {
  #rest = new Uint8Array(0)

  /** The records that this chunk completes; views of its bytes or of a copy. */
  push(chunk: Uint8Array): SnapshotRecord[] {
    let input = chunk
    if (this.#rest.length > 0) {
      input = new Uint8Array(this.#rest.length + chunk.length)
      input.set(this.#rest)
      input.set(chunk, this.#rest.length)
    }
    const records: SnapshotRecord[] = []
    const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
    let at = 0
    while (input.length - at >= headBytes) {
      const payloadBytes = view.getUint32(at)
      if (payloadBytes > payloadBytesMax) throw malformed('a record is too long')
      const end = at + headBytes + payloadBytes + 4
      if (end > input.length) break
      records.push(openFrame(input.subarray(at, end)))
      at = end
    }
    this.#rest = input.slice(at)
    return records
  }

  get isBetweenRecords(): boolean {
    return this.#rest.length === 0
  }
}

function openFrame(framed: Uint8Array): SnapshotRecord {
  const view = new DataView(framed.buffer, framed.byteOffset, framed.byteLength)
  const sum = crc32c(framed.subarray(0, framed.length - 4)) >>> 0
  if (view.getUint32(framed.length - 4) !== sum) throw malformed('a checksum differs')
  if (framed[5] !== formatVersion) throw malformed(`version ${framed[5]} is not known`)
  const payload = framed.subarray(headBytes, framed.length - 4)
  switch (framed[4]) {
    case 1:
      return { kind: 'head', ...decodeBytes(headFields, payload) }
    case 2:
      return { kind: 'row', ...decodeBytes(rowFields, payload) }
    case 3:
      return { kind: 'part', ...decodeBytes(partFields, payload) }
    case 4:
      return { kind: 'end', ...decodeBytes(endFields, payload) }
    default:
      throw malformed(`type ${framed[4]} is not known`)
  }
}

function malformed(what: string): Fault {
  return new Fault('corrupt', `malformed snapshot: ${what}`)
}

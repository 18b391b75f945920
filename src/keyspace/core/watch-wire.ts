// Watches between threads and nodes. A thread pulls what a watch has missed, and is sent what is new; both
// come as chunks of events, encoded once per thread.
//
//   chunk  version 1, flags 1 (1 joined, 2 lost), next revision 8, next sub 4, revision 8, count 4, events
//   event  flags 1 (1 delete, 2 has a previous pair), sub 4, pair with key, previous pair without
//   pair   modRevision 8, createRevision 8, version 8, lease 8, valueBytes 4, [keyBytes 4, key], value
//
// All integers are big-endian.

import {
  bool,
  bytes,
  decodeBytes,
  encodeBytes,
  Fault,
  message,
  revision as toRevision,
  uint,
} from '../../base/index.ts'
import type { KeyValue, WatchEvent } from '../keyspace.ts'
import { getUint32, getUint64, putUint32, putUint64 } from './bytes.ts'
import type { EventCursor } from './events.ts'

const chunkVersion = 1
const chunkHeadBytes = 26
const eventHeadBytes = 5
const pairHeadBytes = 36
const emptyBytes = new Uint8Array(0)
const [isDeleteFlag, hasPreviousFlag] = [1, 2]
const [joinedFlag, lostFlag] = [1, 2]

/** Asks for what a key or range has seen from a cursor on. */
export type WatchPull = {
  readonly key: Uint8Array
  readonly rangeEnd: Uint8Array | undefined
  /** Revision 0: what follows now. */
  readonly from: EventCursor
  readonly previous: boolean
  /** How long another node may wait for something to give. */
  readonly waitMs: number
}

const pullFields = message({
  key: bytes(1),
  rangeEnd: bytes(2),
  modRevision: uint(3),
  sub: uint(4),
  previous: bool(5),
  waitMs: uint(6),
})

export function encodePull(pull: WatchPull): Uint8Array {
  const { key, rangeEnd = emptyBytes, from, previous, waitMs } = pull
  return encodeBytes(pullFields, { key, rangeEnd, ...from, previous, waitMs })
}

export function decodePull(encoded: Uint8Array): WatchPull {
  const { key, rangeEnd, modRevision, sub, previous, waitMs } = decodeBytes(pullFields, encoded)
  const end = rangeEnd.length === 0 ? undefined : rangeEnd
  return { key, rangeEnd: end, from: { modRevision, sub }, previous, waitMs }
}

export type ChunkEvent = WatchEvent & { readonly sub: number }

export type WatchChunk = {
  readonly events: readonly ChunkEvent[]
  /** Everything before it was given, in this chunk or earlier. */
  readonly next: EventCursor
  /** The replica's revision. */
  readonly revision: number
  /** Answer to a pull: what follows is sent without asking. */
  readonly isJoined: boolean
  /** Nothing more is sent: every watch has to pull from where it is. */
  readonly isLost: boolean
}

export function encodeChunk(chunk: WatchChunk): Uint8Array {
  let length = chunkHeadBytes
  for (const event of chunk.events) {
    length += eventHeadBytes + pairBytes(event.kv) + 4 + event.kv.key.length
    if (event.previous !== undefined) length += pairBytes(event.previous)
  }
  const encoded = new Uint8Array(length)
  encoded[0] = chunkVersion
  encoded[1] = (chunk.isJoined ? joinedFlag : 0) | (chunk.isLost ? lostFlag : 0)
  putUint64(encoded, 2, chunk.next.modRevision)
  putUint32(encoded, 10, chunk.next.sub)
  putUint64(encoded, 14, chunk.revision)
  putUint32(encoded, 22, chunk.events.length)
  let at = chunkHeadBytes
  for (const event of chunk.events) at = putEvent(encoded, at, event)
  return encoded
}

function putEvent(target: Uint8Array, start: number, event: ChunkEvent): number {
  const { kind, kv, previous } = event
  target[start] =
    (kind === 'delete' ? isDeleteFlag : 0) | (previous === undefined ? 0 : hasPreviousFlag)
  putUint32(target, start + 1, event.sub)
  let at = putPair(target, start + eventHeadBytes, kv)
  putUint32(target, at, kv.key.length)
  target.set(kv.key, at + 4)
  at += 4 + kv.key.length
  target.set(kv.value, at)
  at += kv.value.length
  if (previous === undefined) return at
  at = putPair(target, at, previous)
  target.set(previous.value, at)
  return at + previous.value.length
}

function putPair(target: Uint8Array, at: number, pair: KeyValue): number {
  putUint64(target, at, pair.modRevision)
  putUint64(target, at + 8, pair.createRevision)
  putUint64(target, at + 16, pair.version)
  putUint64(target, at + 24, pair.lease)
  putUint32(target, at + 32, pair.value.length)
  return at + pairHeadBytes
}

function pairBytes(pair: KeyValue): number {
  return pairHeadBytes + pair.value.length
}

/** Keys and values are views of `encoded`. Fault 'corrupt', 'unsupported' for another version. */
export function decodeChunk(encoded: Uint8Array): WatchChunk {
  if (encoded[0] !== chunkVersion) {
    throw new Fault('unsupported', `events of version ${encoded[0]} are not known here`)
  }
  const reader = new ChunkReader(encoded)
  const flags = encoded[1] as number
  const next = { modRevision: reader.uint64(2), sub: reader.uint32(10) }
  const revision = reader.uint64(14)
  const count = reader.uint32(22)
  const events: ChunkEvent[] = []
  reader.at = chunkHeadBytes
  for (let i = 0; i < count; i++) events.push(reader.event())
  if (reader.at !== encoded.length) throw malformed()
  const [isJoined, isLost] = [(flags & joinedFlag) !== 0, (flags & lostFlag) !== 0]
  return { events, next, revision, isJoined, isLost }
}

class ChunkReader {
  readonly #bytes: Uint8Array
  at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  uint32(at: number): number {
    if (at + 4 > this.#bytes.length) throw malformed()
    return getUint32(this.#bytes, at)
  }

  uint64(at: number): number {
    if (at + 8 > this.#bytes.length) throw malformed()
    const value = getUint64(this.#bytes, at)
    if (!Number.isSafeInteger(value)) throw malformed()
    return value
  }

  event(): ChunkEvent {
    const start = this.at
    const sub = this.uint32(start + 1)
    const flags = this.#bytes[start] as number
    const kind = (flags & isDeleteFlag) === 0 ? 'put' : 'delete'
    this.at += eventHeadBytes
    const kv = this.#pair(undefined)
    if ((flags & hasPreviousFlag) === 0) return { kind, kv, sub }
    return { kind, kv, sub, previous: this.#pair(kv.key) }
  }

  #pair(known: Uint8Array | undefined): KeyValue {
    const start = this.at
    const valueBytes = this.uint32(start + 32)
    this.at += pairHeadBytes
    const key = known ?? this.#key()
    const value = this.#take(valueBytes)
    return {
      key,
      value,
      createRevision: toRevision(this.uint64(start + 8)),
      modRevision: toRevision(this.uint64(start)),
      version: this.uint64(start + 16),
      lease: this.uint64(start + 24),
    }
  }

  #key(): Uint8Array {
    const keyBytes = this.uint32(this.at)
    this.at += 4
    return this.#take(keyBytes)
  }

  #take(length: number): Uint8Array {
    const end = this.at + length
    if (end > this.#bytes.length) throw malformed()
    const taken = this.#bytes.subarray(this.at, end)
    this.at = end
    return taken
  }
}

function malformed(): Fault {
  return new Fault('corrupt', 'malformed events')
}

// The transition of most writes, straight from their bytes: a transaction that is one put of a short value, without
// compares, lease, or a wish for what was there before. It does to the rows what runTxn() does with the same request, to
// the byte; anything else, and whatever could be refused, is left to that. What it saves is the request as objects
// and the passes that such a request has no need of.
//
// Bytes of such a request (wire.ts), lengths as varints:
//   0x12 length ( 0x12 length ( 0x0a length key  0x12 length value ) )  0x20 guard + 1
// A request that says the same in other bytes is not recognised, and takes the long way.

import { Fault } from '../../base/index.ts'
import { type Allocate, allocateOwn, putUint64 } from './bytes.ts'
import { checkKey } from './check.ts'
import {
  historyBytesMax,
  inlineBytesMax,
  keyBytesMax,
  requestBytesMax,
  versionOverheadBytes,
} from './limits.ts'
import {
  decodeLatest,
  encodeHistory,
  encodeLatest,
  type KeyspaceRecord,
  latestHash,
  type Version,
  valueKind,
  valueTail,
} from './records.ts'
import { latestKey, type Rows, type Space, spaceBytes, userKey, versionKey } from './rows.ts'

const successTag = 2 * 8 + 2
const putTag = 2 * 8 + 2
const keyTag = 1 * 8 + 2
const valueTag = 2 * 8 + 2
const guardTag = 4 * 8
const noBytes = new Uint8Array(0)
/** Keys up to this length have their row's key made in memory that is kept. */
const keptKeyBytesMax = 256

/** The bytes that a plain put has as a transaction. Faults 'invalid' and 'too-large', as checkTxn and encodeTxn. */
export function encodePlainPut(
  key: Uint8Array,
  value: Uint8Array,
  allocate: Allocate = allocateOwn,
): Uint8Array {
  checkKey(key, undefined)
  const field = 1 + varintBytes(key.length) + key.length
  const put = value.length === 0 ? field : field + 1 + varintBytes(value.length) + value.length
  const success = 1 + varintBytes(put) + put
  const length = 1 + varintBytes(success) + success
  if (length > requestBytesMax) throw new Fault('too-large', 'etcdserver: request is too large')
  const encoded = allocate(length)
  let at = writeHead(encoded, 0, { tag: successTag, length: success })
  at = writeHead(encoded, at, { tag: putTag, length: put })
  at = writeHead(encoded, at, { tag: keyTag, length: key.length })
  encoded.set(key, at)
  if (value.length === 0) return encoded
  at = writeHead(encoded, at + key.length, { tag: valueTag, length: value.length })
  encoded.set(value, at)
  return encoded
}

function varintBytes(value: number): number {
  let count = 1
  for (let rest = value; rest > 0x7f; rest >>>= 7) count++
  return count
}

function writeHead(
  encoded: Uint8Array,
  start: number,
  { tag, length }: { readonly tag: number; readonly length: number },
): number {
  let at = start
  encoded[at++] = tag
  let rest = length
  for (; rest > 0x7f; rest >>>= 7) encoded[at++] = (rest & 0x7f) | 0x80
  encoded[at++] = rest
  return at
}

/** none: the request is not of this kind, and nothing has changed. */
export type PlainOutcome = 'none' | 'created' | 'superseded'

export class PlainPuts {
  readonly #rows: Rows
  readonly #space: Space
  readonly #allocate: Allocate
  readonly #historyKey: Uint8Array
  readonly #historyUserKey: Uint8Array
  readonly #latestKeys: (Uint8Array | undefined)[] = []
  /** Of the request that is being read. */
  #at = 0
  #end = 0
  #guard = 0

  constructor(rows: Rows, space: Space, allocate: Allocate) {
    this.#rows = rows
    this.#space = space
    this.#allocate = allocate
    this.#historyKey = versionKey(space, { modRevision: 0, sub: 0 })
    this.#historyUserKey = userKey(this.#historyKey)
  }

  /** Moves `record` on when the request was a plain put under this guard, and no alarm is on. */
  run(encoded: Uint8Array, record: KeyspaceRecord, guardRevision: number): PlainOutcome {
    if (record.alarms !== 0) return 'none'
    const key = this.#readKey(encoded)
    if (key === undefined) return 'none'
    const value = this.#readValue(encoded)
    if (value === undefined) return 'none'
    if (this.#guard !== 0 && this.#guard !== guardRevision + 1) return 'none'
    const rowKey = this.#latestKey(key)
    const before = this.#rows.get('latest', rowKey)
    const old = before === undefined ? undefined : decodeLatest(key, before)
    if (old !== undefined && old.lease !== 0) return 'none'
    const modRevision = record.revision + 1
    const isLive = old !== undefined && old.kind !== 'tombstone'
    const version: Version = {
      kind: valueKind(value.length),
      modRevision,
      sub: 0,
      createRevision: isLive ? old.createRevision : modRevision,
      version: isLive ? old.version + 1 : 1,
      lease: 0,
      valueBytes: value.length,
      tail: value.length <= inlineBytesMax ? value : valueTail(value, { modRevision, sub: 0 }),
    }
    this.#writeHistory(key, value, { version, old })
    const latest = encodeLatest(key, version, this.#allocate)
    this.#rows.put('latest', rowKey, latest)
    if (isLive && before !== undefined) {
      const hash = latestHash(key, before)
      record.digestA = (record.digestA - hash.a) >>> 0
      record.digestB = (record.digestB - hash.b) >>> 0
    }
    const hash = latestHash(key, latest)
    record.digestA = (record.digestA + hash.a) >>> 0
    record.digestB = (record.digestB + hash.b) >>> 0
    record.revision = modRevision
    record.addedBytes += versionOverheadBytes + key.length + value.length
    return old === undefined ? 'created' : 'superseded'
  }

  #writeHistory(
    key: Uint8Array,
    value: Uint8Array,
    of: { readonly version: Version; readonly old: Version | undefined },
  ): void {
    const { version, old } = of
    putUint64(this.#historyKey, spaceBytes, version.modRevision)
    const row = {
      kind: version.kind,
      createRevision: version.createRevision,
      version: version.version,
      lease: 0,
      valueBytes: version.valueBytes,
      tail: version.tail,
      key,
      previousRevision: old?.modRevision ?? 0,
      previousSub: old?.sub ?? 0,
    }
    const content = { value, allocate: this.#allocate }
    this.#rows.put('history', this.#historyKey, encodeHistory(this.#historyUserKey, row, content))
  }

  #latestKey(key: Uint8Array): Uint8Array {
    const { length } = key
    if (length > keptKeyBytesMax) return latestKey(this.#space, key)
    const kept = this.#latestKeys[length] ?? latestKey(this.#space, key)
    this.#latestKeys[length] = kept
    kept.set(key, spaceBytes)
    return kept
  }

  /** Up to the value; undefined when the bytes are not those of a plain put. */
  #readKey(encoded: Uint8Array): Uint8Array | undefined {
    this.#at = 0
    const success = this.#readLength(encoded, successTag)
    const successEnd = this.#at + success
    const put = success < 0 ? -1 : this.#readLength(encoded, putTag)
    if (put < 0 || this.#at + put !== successEnd || successEnd > encoded.length) return undefined
    const length = this.#readLength(encoded, keyTag)
    const start = this.#at
    if (length <= 0 || length > keyBytesMax || start + length > successEnd) return undefined
    this.#at = start + length
    this.#end = successEnd
    return encoded.subarray(start, this.#at)
  }

  /** After #readKey(): to the end of the request. */
  #readValue(encoded: Uint8Array): Uint8Array | undefined {
    let value: Uint8Array | undefined = noBytes
    if (this.#at < this.#end) {
      const length = this.#readLength(encoded, valueTag)
      const start = this.#at
      if (length <= 0 || length > historyBytesMax || start + length !== this.#end) return undefined
      value = encoded.subarray(start, this.#end)
      this.#at = this.#end
    }
    this.#guard = 0
    if (this.#at === encoded.length) return value
    if (encoded[this.#at++] !== guardTag) return undefined
    this.#guard = this.#readVarint(encoded)
    return this.#guard > 0 && this.#at === encoded.length ? value : undefined
  }

  /** -1: it is another field. */
  #readLength(encoded: Uint8Array, tag: number): number {
    if (encoded[this.#at] !== tag) return -1
    this.#at++
    return this.#readVarint(encoded)
  }

  /** -1: it is cut, or of more than four bytes. */
  #readVarint(encoded: Uint8Array): number {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = encoded[this.#at++]
      if (byte === undefined) return -1
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    return -1
  }
}

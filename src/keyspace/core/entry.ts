// What the log carries, and the requests inside. All integers are big-endian.
//
//   WriteRequest  version 1, kind 1, session 8, openedMs 8, sequence 8, lowestOpen 8, body
//   Entry         version 1, kind 1, timeMs 8, seed 4, body
//
// A write is somebody's request and is applied once. The other entries are proposed by the leader alone
// and are harmless when they come twice.

import { bool, bytes, decodeBytes, encodeBytes, Fault, message, uint } from '../../base/index.ts'
import type { KeyspaceAlarm } from '../keyspace.ts'
import { type Allocate, allocateOwn, getUint32, getUint64, putUint32, putUint64 } from './bytes.ts'
import { decodeGuardRevision, encodeGuardRevision } from './guard.ts'

const entryVersion = 2

export type RequestId = {
  /** Drawn per boot of a node. */
  readonly session: number
  /** Entries' time when the session began, as its node knew it: not later than its first request. */
  readonly openedMs: number
  /** Counts the session's requests to one namespace, from 1. */
  readonly sequence: number
  /** Every lower sequence of the session has ended: its answer is not needed any more. */
  readonly lowestOpen: number
}

/** txn: a TxnRequest. Others: an UpkeepRequest. */
export const writeKinds = [
  'txn',
  'lease-grant',
  'lease-revoke',
  'compact',
  'disarm',
  'set-guard',
  'arm',
] as const
export type WriteKind = (typeof writeKinds)[number]
export type WriteRequest = RequestId & { readonly kind: WriteKind; readonly body: Uint8Array }

const writeHeadBytes = 34

export function encodeWrite(request: WriteRequest, allocate: Allocate = allocateOwn): Uint8Array {
  const encoded = allocate(writeHeadBytes + request.body.length)
  encoded[0] = entryVersion
  encoded[1] = writeKinds.indexOf(request.kind) + 1
  putUint64(encoded, 2, request.session)
  putUint64(encoded, 10, request.openedMs)
  putUint64(encoded, 18, request.sequence)
  putUint64(encoded, 26, request.lowestOpen)
  encoded.set(request.body, writeHeadBytes)
  return encoded
}

/** Of an encoded write. Faults as decodeWrite(), which looks at more. */
export function writeKindOf(encoded: Uint8Array): WriteKind {
  checkHead(encoded, writeHeadBytes)
  const kind = writeKinds[(encoded[1] as number) - 1]
  if (kind === undefined) throw new Fault('unsupported', 'a request of an unknown kind')
  return kind
}

/** The body is a view of `encoded`. Fault 'unsupported' for a newer version or an unknown kind. */
export function decodeWrite(encoded: Uint8Array): WriteRequest {
  return {
    kind: writeKindOf(encoded),
    session: readNumber(encoded, 2),
    openedMs: readNumber(encoded, 10),
    sequence: readNumber(encoded, 18),
    lowestOpen: readNumber(encoded, 26),
    body: encoded.subarray(writeHeadBytes),
  }
}

/**
 * write: a WriteRequest. writes: several as parts (base/parts.ts), applied one after the other; the answer has as many
 * parts. compact: revision 8. expire: lease ids, 8 each. alarm: number 1, isOn 1.
 * mark: nothing; every replica keeps its digest at the entry's index. verdict: index 8, the digest that
 * most replicas had there.
 */
export const entryKinds = [
  'write',
  'compact',
  'expire',
  'alarm',
  'mark',
  'verdict',
  'writes',
] as const
export type Entry = {
  readonly kind: (typeof entryKinds)[number]
  readonly timeMs: number
  readonly seed: number
  readonly body: Uint8Array
}

const entryHeadBytes = 14

export function encodeEntry(entry: Entry): Uint8Array {
  const encoded = new Uint8Array(entryHeadBytes + entry.body.length)
  encoded[0] = entryVersion
  encoded[1] = entryKinds.indexOf(entry.kind) + 1
  putUint64(encoded, 2, entry.timeMs)
  putUint32(encoded, 10, entry.seed)
  encoded.set(entry.body, entryHeadBytes)
  return encoded
}

/** Fault 'unsupported' for an entry of a newer version or an unknown kind. A view of `encoded`. */
export function decodeEntry(encoded: Uint8Array): Entry {
  checkHead(encoded, entryHeadBytes)
  const kind = entryKinds[(encoded[1] as number) - 1]
  if (kind === undefined) throw new Fault('unsupported', 'an entry of an unknown kind')
  return {
    kind,
    timeMs: readNumber(encoded, 2),
    seed: getUint32(encoded, 10),
    body: encoded.subarray(entryHeadBytes),
  }
}

/** Bodies of compact and expire. */
export function encodeNumbers(numbers: readonly number[]): Uint8Array {
  const encoded = new Uint8Array(numbers.length * 8)
  for (const [i, number] of numbers.entries()) putUint64(encoded, i * 8, number)
  return encoded
}

export function decodeNumbers(encoded: Uint8Array): number[] {
  if (encoded.length % 8 !== 0) throw malformed('its numbers are cut')
  const numbers: number[] = []
  for (let at = 0; at < encoded.length; at += 8) numbers.push(readNumber(encoded, at))
  return numbers
}

export const alarms: readonly KeyspaceAlarm[] = ['no-space', 'corrupt']

/** Of an alarm that its cause raised. */
export function alarmBit(alarm: KeyspaceAlarm): number {
  return 1 << alarms.indexOf(alarm)
}

/** Of an alarm that was raised by hand: it lasts until it is ended by hand. */
export function heldBit(alarm: KeyspaceAlarm): number {
  return alarmBit(alarm) << 8
}

/** Whether it is on, however it was raised. */
export function isAlarmOn(bits: number, alarm: KeyspaceAlarm): boolean {
  return (bits & (alarmBit(alarm) | heldBit(alarm))) !== 0
}

export function encodeAlarm(alarm: KeyspaceAlarm, isOn: boolean): Uint8Array {
  return Uint8Array.of(alarms.indexOf(alarm), isOn ? 1 : 0)
}

export function decodeAlarm(encoded: Uint8Array): { alarm: KeyspaceAlarm; isOn: boolean } {
  const alarm = alarms[encoded[0] ?? alarms.length]
  if (alarm === undefined || encoded.length !== 2) throw malformed('an alarm is not known')
  return { alarm, isOn: encoded[1] === 1 }
}

/** A replica's digest at an index of the log. */
export type DigestMark = { readonly index: number; readonly digest: Uint8Array }

export function encodeMark(mark: DigestMark): Uint8Array {
  const encoded = new Uint8Array(8 + mark.digest.length)
  putUint64(encoded, 0, mark.index)
  encoded.set(mark.digest, 8)
  return encoded
}

export function decodeMark(encoded: Uint8Array): DigestMark {
  if (encoded.length < 8) throw malformed('a mark is too short')
  return { index: readNumber(encoded, 0), digest: encoded.subarray(8) }
}

// ---- requests that are no transactions ----

/**
 * lease-grant: id (0: to be chosen), ttlSeconds. lease-revoke: id. compact: revision. disarm, arm: alarm (its
 * number). keepalive and ttl ask the leader and never enter the log. set-guard: the revision that is replaced,
 * and the document. guard: the revision that the asker knows. All: the guard's revision that the request names.
 */
export type UpkeepRequest = {
  readonly id: number
  readonly ttlSeconds: number
  readonly revision: number
  readonly alarm: number
  readonly isPhysical: boolean
  readonly withKeys: boolean
  readonly guard: number | undefined
  readonly document: Uint8Array
}

const upkeepFields = message({
  id: uint(1),
  ttlSeconds: uint(2),
  revision: uint(3),
  alarm: uint(4),
  isPhysical: bool(5),
  withKeys: bool(6),
  guard: uint(7),
  document: bytes(8),
})
const noUpkeep: UpkeepRequest = {
  id: 0,
  ttlSeconds: 0,
  revision: 0,
  alarm: 0,
  isPhysical: false,
  withKeys: false,
  guard: undefined,
  document: new Uint8Array(0),
}

export function encodeUpkeep(request: Partial<UpkeepRequest>): Uint8Array {
  const whole = { ...noUpkeep, ...request }
  return encodeBytes(upkeepFields, { ...whole, guard: encodeGuardRevision(whole.guard) })
}

export function decodeUpkeep(encoded: Uint8Array): UpkeepRequest {
  const fields = decodeBytes(upkeepFields, encoded)
  return { ...fields, guard: decodeGuardRevision(fields.guard) }
}

function checkHead(encoded: Uint8Array, headBytes: number): void {
  if (encoded[0] !== entryVersion) {
    throw new Fault('unsupported', `entries of version ${encoded[0]} are not known here`)
  }
  if (encoded.length < headBytes) throw malformed('it is too short')
}

function readNumber(encoded: Uint8Array, at: number): number {
  const value = getUint64(encoded, at)
  if (Number.isSafeInteger(value)) return value
  throw malformed('a number exceeds 2^53-1')
}

function malformed(what: string): Fault {
  return new Fault('corrupt', `malformed entry: ${what}`)
}

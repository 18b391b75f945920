// Requests as they travel between threads and nodes, and the answers of those that are no transactions.

import {
  bool,
  bytes,
  decodeBytes,
  encodeBytes,
  Fault,
  type Field,
  faultCodec,
  message,
  repeated,
  revision as toRevision,
  uint,
} from '../../base/index.ts'
import type {
  KeyspaceHash,
  KeyspaceStatus,
  LeaseList,
  LeaseTime,
  LeaseTimeToLive,
} from '../keyspace.ts'
import { alarmBit, alarms, type WriteKind, writeKinds } from './entry.ts'

/**
 * range: a RangeRequest. read: a TxnRequest that cannot write. Of writeKinds: the body of a
 * WriteRequest. keepalive, ttl, leases: an UpkeepRequest for the leader. hash, status: one for this
 * replica. events: a WatchPull. mark: the index of an entry 'mark', for the digest there. session: nothing,
 * for entries' time at the leader, which a session begins with. guard: an UpkeepRequest, for the guard.
 */
export const requestKinds = [
  'range',
  'read',
  ...writeKinds,
  'keepalive',
  'ttl',
  'leases',
  'hash',
  'status',
  'events',
  'mark',
  'session',
  'guard',
] as const
export type RequestKind = (typeof requestKinds)[number]
export type QueryKind = Exclude<RequestKind, WriteKind>

export function isWriteKind(kind: RequestKind): kind is WriteKind {
  return (writeKinds as readonly RequestKind[]).includes(kind)
}

export function isRequestKind(kind: string): kind is RequestKind {
  return (requestKinds as readonly string[]).includes(kind)
}

const leaderQueries: readonly RequestKind[] = ['keepalive', 'ttl', 'leases', 'session']

/** Kinds that only the leader answers. */
export function isLeaderKind(kind: RequestKind): boolean {
  return isWriteKind(kind) || leaderQueries.includes(kind)
}

const callFields = message({
  group: uint(1),
  kind: uint(2),
  isSerializable: bool(3),
  body: bytes(4),
})
/**
 * Numbers of kinds are for ever: new ones go to the end. write: a WriteRequest of any kind. value: the revision and
 * sub of a version (as in the keys of its rows), for the bytes of its long value as this replica has them. writes:
 * several WriteRequests as parts; the answer has the outcome of each as a part.
 */
const callKinds = [
  'range',
  'read',
  'write',
  'keepalive',
  'ttl',
  'leases',
  'hash',
  'status',
  'events',
  'mark',
  'session',
  'guard',
  'value',
  'writes',
] as const
export type CallKind = (typeof callKinds)[number]

/** A request at another node's replica. */
export type KeyspaceCall = {
  readonly group: number
  readonly kind: CallKind
  readonly isSerializable: boolean
  readonly body: Uint8Array
}

export function callKindOf(kind: RequestKind): Exclude<CallKind, 'writes'> {
  return isWriteKind(kind) ? 'write' : kind
}

export function encodeCall(call: KeyspaceCall): Uint8Array {
  return encodeBytes(callFields, { ...call, kind: callKinds.indexOf(call.kind) + 1 })
}

export function decodeCall(encoded: Uint8Array): KeyspaceCall {
  const fields = decodeBytes(callFields, encoded)
  const kind = callKinds[fields.kind - 1]
  if (kind === undefined) throw new Fault('unsupported', 'a keyspace call of an unknown kind')
  return { ...fields, kind }
}

// ---- answers ----

/** As in the answer of a transaction, so that its fault can be told before anything else is known. */
const fault = bytes(4)

/** Of leases, compactions and alarms. */
export type UpkeepAnswer = {
  readonly revision: number
  readonly id: number
  /** -1: no such lease. */
  readonly ttlSeconds: number
  readonly grantedTtlSeconds: number
  readonly keys: readonly Uint8Array[]
  readonly ids: readonly number[]
  /** Entries' time. */
  readonly timeMs: number
  /** Of the guard; `revision` is the guard's then. */
  readonly document: Uint8Array
}

const upkeepAnswerFields = message({
  revision: uint(1),
  fault,
  id: uint(6),
  /** Plus one. */
  ttlSeconds: uint(7),
  grantedTtlSeconds: uint(8),
  keys: repeated(bytes(9)),
  ids: repeated(uint(10)) as Field<readonly number[]>,
  timeMs: uint(11),
  document: bytes(12),
})
const noAnswer: UpkeepAnswer = {
  revision: 0,
  id: 0,
  ttlSeconds: 0,
  grantedTtlSeconds: 0,
  keys: [],
  ids: [],
  timeMs: 0,
  document: new Uint8Array(0),
}

export function encodeUpkeepAnswer(answer: Partial<UpkeepAnswer>): Uint8Array {
  const whole = { ...noAnswer, ...answer }
  return encodeBytes(upkeepAnswerFields, {
    ...whole,
    ttlSeconds: whole.ttlSeconds + 1,
    fault: new Uint8Array(0),
  })
}

/** Throws the fault that the request was answered with. */
export function decodeUpkeepAnswer(encoded: Uint8Array): UpkeepAnswer {
  const fields = decodeBytes(upkeepAnswerFields, encoded)
  if (fields.fault.length > 0) throw faultCodec.decode(fields.fault)
  return { ...fields, ttlSeconds: fields.ttlSeconds - 1 }
}

export function leaseTimeOf(answer: UpkeepAnswer): LeaseTime {
  const { id, ttlSeconds } = answer
  return { revision: toRevision(answer.revision), id, ttlSeconds }
}

export function leaseTimeToLiveOf(answer: UpkeepAnswer): LeaseTimeToLive {
  const { grantedTtlSeconds, keys } = answer
  return { ...leaseTimeOf(answer), grantedTtlSeconds, keys }
}

export function leaseListOf(answer: UpkeepAnswer): LeaseList {
  return { revision: toRevision(answer.revision), ids: answer.ids }
}

const hashFields = message({
  revision: uint(1),
  hashRevision: uint(2),
  compacted: uint(3),
  hash: uint(4),
})

export function encodeHashAnswer(hash: KeyspaceHash): Uint8Array {
  return encodeBytes(hashFields, hash)
}

export function decodeHashAnswer(encoded: Uint8Array): KeyspaceHash {
  const { revision, hashRevision, compacted, hash } = decodeBytes(hashFields, encoded)
  return {
    revision: toRevision(revision),
    hashRevision: toRevision(hashRevision),
    compacted: toRevision(compacted),
    hash,
  }
}

const statusFields = message({
  revision: uint(1),
  compacted: uint(2),
  usedBytes: uint(3),
  quotaBytes: uint(4),
  alarms: uint(5),
  leases: uint(6),
  isDiverged: bool(7),
})

export function encodeStatusAnswer(status: KeyspaceStatus): Uint8Array {
  let bits = 0
  for (const alarm of status.alarms) bits |= alarmBit(alarm)
  return encodeBytes(statusFields, { ...status, alarms: bits })
}

export function decodeStatusAnswer(encoded: Uint8Array): KeyspaceStatus {
  const fields = decodeBytes(statusFields, encoded)
  return {
    ...fields,
    revision: toRevision(fields.revision),
    compacted: toRevision(fields.compacted),
    alarms: alarms.filter((alarm) => (fields.alarms & alarmBit(alarm)) !== 0),
  }
}

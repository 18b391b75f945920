// One group's keyspace: what applying entries does to its rows. Deterministic (law 7): everything that
// decides comes from the entries and the rows. Effects are the writes to `rows`, made inside the
// caller's transaction; the answers of a turn's entries come back together.
//
// In memory are the group's record and the numbers of open requests. Should a transaction of the store
// not have committed, memory would be ahead of the rows; so each turn begins by comparing the stored
// record with the one that the last turn wrote, and loads everything anew when they differ.

import {
  crc32c,
  decodeParts,
  encodeParts,
  equalBytes,
  Fault,
  type GroupId,
  isFault,
  uint64Bytes,
  utf8Encode,
} from '../../base/index.ts'
import { createSlab, getUint64, putUint32, putUint64 } from './bytes.ts'
import { encodeUpkeepAnswer } from './calls.ts'
import {
  alarmBit,
  alarms,
  decodeAlarm,
  decodeEntry,
  decodeMark,
  decodeNumbers,
  decodeUpkeep,
  decodeWrite,
  type DigestMark,
  type Entry,
  encodeMark,
  heldBit,
  isAlarmOn,
  type UpkeepRequest,
  type WriteRequest,
} from './entry.ts'
import { checkGuard, guardName, type GuardRow, readGuard, replaceGuard } from './guard.ts'
import { leaseNotFound, LeaseTable } from './leases.ts'
import {
  decodeLongDelete,
  dropLongDelete,
  type LongDelete,
  outcomeOf,
  planLongDelete,
  readLongDeleteRow,
  runSlice,
  writeLongDelete,
} from './long-delete.ts'
import {
  answerHash,
  damagedRows,
  decodeKeyspaceRecord,
  emptyKeyspaceRecord,
  encodeKeyspaceRecord,
  type KeyspaceRecord,
  seal,
  unseal,
} from './records.ts'
import { PlainPuts } from './plain-put.ts'
import { latestKey, type RowReader, type Rows, type Space, spaceOf } from './rows.ts'
import { checkRevision, compactedFault } from './scan.ts'
import { SessionTable } from './sessions.ts'
import { SupersedingRevisions } from './superseding.ts'
import { deleteCursor } from './sweep.ts'
import { checkAlarms, runDeletes, runTxn, type TxnOutcome } from './txn.ts'
import type { TxnRequest } from '../keyspace.ts'
import { decodeTxn, encodeAnswer, encodeFaultAnswer, encodePutAnswer } from './wire.ts'

/** Marks whose digests are kept for comparison. */
const marksMax = 8
const emptyBytes = new Uint8Array(0)
const divergedName = utf8Encode('diverged')

export type AppliedPayload = { readonly index: number; readonly payload: Uint8Array }

export class KeyspaceState {
  readonly group: GroupId
  readonly #rows: Rows
  readonly #rowKey: Uint8Array
  readonly #allocate = createSlab()
  #record: KeyspaceRecord
  #stored: Uint8Array | undefined
  #space: Space
  #sessions: SessionTable
  #leases: LeaseTable
  #superseding: SupersedingRevisions
  #plainPuts: PlainPuts
  #marks: DigestMark[] = []
  #divergedAt: number
  #guard: GuardRow
  /** What the entry that is being applied has done so far, and the row that says so. */
  #long: LongDelete | undefined
  #longRow: Uint8Array | undefined
  #index = 0
  /** The write of an entry with several, and the answers of those before it. */
  #part = 0
  #partAnswers: Uint8Array[] = []
  /** Bytes put into 'pending' by the last turn. */
  pendingBytes = 0

  constructor(rows: Rows, group: GroupId) {
    this.group = group
    this.#rows = rows
    this.#rowKey = uint64Bytes(group)
    this.#stored = rows.get('keyspaces', this.#rowKey)
    this.#record = readRecord(this.#rowKey, this.#stored)
    this.#space = spaceOf(group, this.#record.generation)
    this.#sessions = new SessionTable(rows, this.#space)
    this.#leases = new LeaseTable(rows, this.#space)
    this.#superseding = new SupersedingRevisions(this.#record.revision + 1)
    this.#plainPuts = new PlainPuts(rows, this.#space, this.#allocate)
    this.#divergedAt = readDiverged(rows, this.#space)
    this.#guard = readGuard(rows, this.#space)
    this.#longRow = readLongDeleteRow(rows, this.#space)
    this.#long = this.#longRow === undefined ? undefined : decodeLongDelete(this.#longRow)
  }

  get record(): Readonly<KeyspaceRecord> {
    return this.#record
  }

  get space(): Space {
    return this.#space
  }

  get leases(): LeaseTable {
    return this.#leases
  }

  /** Revisions that left something to sweep. */
  get superseding(): SupersedingRevisions {
    return this.#superseding
  }

  get guard(): GuardRow {
    return this.#guard
  }

  get sessionCount(): number {
    return this.#sessions.sessionCount
  }

  /** The index at which most replicas had another digest than this one; 0: none. Ends with an install. */
  get divergedAt(): number {
    return this.#divergedAt
  }

  /** Raised by hand or by its cause. */
  showsAlarm(alarm: (typeof alarms)[number]): boolean {
    return isAlarmOn(this.#record.alarms, alarm)
  }

  /** Raised by its cause. */
  hasAlarm(alarm: (typeof alarms)[number]): boolean {
    return (this.#record.alarms & alarmBit(alarm)) !== 0
  }

  /** True when a compaction at this time would forget a session. */
  hasExpiredSession(timeMs: number): boolean {
    return this.#sessions.hasExpired(timeMs)
  }

  /** The digest kept at an entry 'mark'; undefined when it is not known any more. */
  markAt(index: number): Uint8Array | undefined {
    return this.#marks.find((mark) => mark.index === index)?.digest
  }

  /**
   * revision 8, compacted 8, live rows 4 + 4, leases and guard 4, answers 4, timeMs 8, addedBytes 8, requests 8,
   * alarms 4: equal on all replicas that applied the same entries.
   */
  digest(): Uint8Array {
    const { revision, compacted, digestA, digestB, answers, timeMs } = this.#record
    const digest = new Uint8Array(60)
    putUint64(digest, 0, revision)
    putUint64(digest, 8, compacted)
    putUint32(digest, 16, digestA)
    putUint32(digest, 20, digestB)
    putUint32(digest, 24, (this.#leases.digest + this.#guard.hash) >>> 0)
    putUint32(digest, 28, answers)
    putUint64(digest, 32, timeMs)
    putUint64(digest, 40, this.#record.addedBytes)
    putUint64(digest, 48, this.#record.requests)
    putUint32(digest, 56, this.#record.alarms)
    return digest
  }

  /** Loads what the rows say, after an installed snapshot or a transaction that did not commit. */
  reload(): void {
    this.#stored = this.#rows.get('keyspaces', this.#rowKey)
    this.#record = readRecord(this.#rowKey, this.#stored)
    this.#space = spaceOf(this.group, this.#record.generation)
    this.#sessions = new SessionTable(this.#rows, this.#space)
    this.#leases = new LeaseTable(this.#rows, this.#space)
    this.#superseding = new SupersedingRevisions(this.#record.revision + 1)
    this.#plainPuts = new PlainPuts(this.#rows, this.#space, this.#allocate)
    this.#marks = []
    this.#divergedAt = readDiverged(this.#rows, this.#space)
    this.#guard = readGuard(this.#rows, this.#space)
    this.#partAnswers = []
    this.#longRow = readLongDeleteRow(this.#rows, this.#space)
    this.#long = this.#longRow === undefined ? undefined : decodeLongDelete(this.#longRow)
  }

  /** An entry is applied in slices and not at its end: 'latest' has what no revision has yet. */
  get isUnfinished(): boolean {
    return this.#long !== undefined
  }

  /**
   * The answers of a turn's entries, in their order; fewer when an entry is not at its end, which then comes
   * again, first. Throws for damaged rows only.
   */
  apply(entries: readonly AppliedPayload[]): Uint8Array[] {
    const stored = this.#rows.get('keyspaces', this.#rowKey)
    if (!isSame(stored, this.#stored) || !this.#isLongStored()) this.reload()
    if (this.#long !== undefined && this.#long.index !== entries[0]?.index) {
      throw damagedRows(`entry ${this.#long.index} was begun, and another one follows`)
    }
    this.pendingBytes = 0
    const answers: Uint8Array[] = []
    // Should this turn not end, memory is ahead of the rows: nothing stored looks like this.
    this.#stored = emptyBytes
    for (const entry of entries) {
      const answer = this.#applyEntry(entry)
      if (answer === undefined) break
      answers.push(answer)
    }
    this.#sessions.flush(this.#rows)
    this.#stored = encodeKeyspaceRecord(this.#rowKey, this.#record)
    this.#rows.put('keyspaces', this.#rowKey, this.#stored)
    return answers
  }

  #isLongStored(): boolean {
    if (this.#longRow === undefined) return true
    return isSame(readLongDeleteRow(this.#rows, this.#space), this.#longRow)
  }

  /** Undefined: it is not at its end. */
  #applyEntry({ index, payload }: AppliedPayload): Uint8Array | undefined {
    if (payload.length === 0) return payload
    this.#index = index
    this.#part = 0
    const answer = this.#answerOf({ index, payload })
    if (answer !== undefined) this.#record.entries++
    return answer
  }

  #answerOf({ index, payload }: AppliedPayload): Uint8Array | undefined {
    try {
      const entry = decodeEntry(payload)
      this.#record.timeMs = Math.max(this.#record.timeMs, entry.timeMs)
      switch (entry.kind) {
        case 'write':
          return this.#applyWrite(entry.body, entry)
        case 'writes':
          return this.#applyWrites(entry)
        case 'compact':
          return this.#compactWindow(entry)
        case 'expire':
          return this.#expireLeases(entry)
        case 'alarm':
          return this.#setAlarm(entry)
        case 'mark':
          return this.#mark(index)
        case 'verdict':
          return this.#takeVerdict(entry)
      }
    } catch (error) {
      return answerFault(error)
    }
  }

  /** Moves the floor of readable revisions; the rows below go later (sweep.ts). */
  #compactWindow(entry: Entry): Uint8Array {
    const { revision, compacted } = this.#record
    const [asked = 0] = decodeNumbers(entry.body)
    this.#sessions.expire(this.#record.timeMs)
    this.#record.compacted = Math.max(compacted, Math.min(asked, revision))
    return emptyBytes
  }

  /** Leases that ended. Those that are gone already are passed over: the entry may come twice. */
  #expireLeases(entry: Entry): Uint8Array {
    for (const id of decodeNumbers(entry.body)) {
      if (this.#leases.find(id) !== undefined) this.#dropLease(id)
    }
    return emptyBytes
  }

  #setAlarm(entry: Entry): Uint8Array {
    const { alarm, isOn } = decodeAlarm(entry.body)
    const bit = alarmBit(alarm)
    this.#record.alarms = isOn ? this.#record.alarms | bit : this.#record.alarms & ~bit
    return emptyBytes
  }

  #mark(index: number): Uint8Array {
    const mark = { index, digest: this.digest() }
    this.#marks.push(mark)
    if (this.#marks.length > marksMax) this.#marks.shift()
    return encodeMark(mark)
  }

  /** What most replicas had at a mark: whoever had something else is wrong from then on. */
  #takeVerdict(entry: Entry): Uint8Array {
    const { index, digest } = decodeMark(entry.body)
    const own = this.markAt(index)
    if (own === undefined || equalBytes(own, digest) || this.#divergedAt > 0) return emptyBytes
    this.#divergedAt = index
    const row = seal(divergedName, uint64Bytes(index))
    this.#rows.put('keyspaces', latestKey(this.#space, divergedName), row)
    return emptyBytes
  }

  /**
   * The seed of each is its own: two leases that are granted in one entry get different ids. One that is not at its
   * end is come back to; those before it are not applied again. After a restart nobody waits for their answers.
   */
  #applyWrites(entry: Entry): Uint8Array | undefined {
    const parts = decodeParts(entry.body)
    const answers = this.#partAnswers
    while (answers.length < (this.#long?.part ?? 0)) answers.push(emptyBytes)
    for (let i = answers.length; i < parts.length; i++) {
      this.#part = i
      const seed = (entry.seed + i) % 2 ** 32
      const answer = this.#answerPart(parts[i] as Uint8Array, { seed, timeMs: entry.timeMs })
      if (answer === undefined) return undefined
      answers.push(answer)
    }
    this.#partAnswers = []
    return encodeParts(answers)
  }

  #answerPart(encoded: Uint8Array, entry: Pick<Entry, 'seed' | 'timeMs'>): Uint8Array | undefined {
    try {
      return this.#applyWrite(encoded, entry)
    } catch (error) {
      return answerFault(error)
    }
  }

  #applyWrite(encoded: Uint8Array, entry: Pick<Entry, 'seed' | 'timeMs'>): Uint8Array | undefined {
    const write = decodeWrite(encoded)
    const requestCrc = crc32c(write.body) >>> 0
    const duplicate = this.#sessions.find(this.#rows, write, this.#record.timeMs)
    if (duplicate !== undefined) {
      if (duplicate.requestCrc === requestCrc) return duplicate.answer
      throw new Fault('invalid', 'the request id was used for another request')
    }
    const answer = this.#run(write, entry)
    if (answer === undefined) return undefined
    const { sequence } = write
    this.#record.requests++
    this.#record.answers = (this.#record.answers + answerHash(sequence, requestCrc, answer)) >>> 0
    this.#sessions.remember(write, { sequence, requestCrc, answer }, this.#record.timeMs)
    return answer
  }

  #run(write: WriteRequest, entry: Pick<Entry, 'seed' | 'timeMs'>): Uint8Array | undefined {
    try {
      switch (write.kind) {
        case 'txn':
          return this.#runTxn(write.body)
        case 'lease-grant':
          return this.#grantLease(write, entry)
        case 'lease-revoke':
          return this.#revokeLease(write)
        case 'compact':
          return this.#compact(write)
        case 'disarm':
          return this.#disarm(write)
        case 'arm':
          return this.#arm(write)
        case 'set-guard':
          return this.#setGuard(write)
      }
    } catch (error) {
      return answerFault(error)
    }
  }

  #runTxn(encoded: Uint8Array): Uint8Array | undefined {
    const plain = this.#plainPuts.run(encoded, this.#record, this.#guard.revision)
    if (plain !== 'none') {
      if (plain === 'superseded') this.#superseding.note(this.#record.revision)
      return encodePutAnswer(this.#record.revision)
    }
    const { request, guard } = decodeTxn(encoded)
    checkGuard(guard, this.#guard.revision)
    const at = { request, state: this.#record, index: this.#index, part: this.#part }
    const long = this.#long ?? planLongDelete(this.#rows, this.#space, at)
    if (long !== undefined) return this.#runSlice(long, request)
    const outcome = runTxn(this.#rows, this.#space, {
      request,
      state: this.#record,
      leases: this.#leases,
      allocate: this.#allocate,
    })
    this.#take(outcome)
    return encodeAnswer(outcome.response, { hasApart: outcome.hasApart })
  }

  #runSlice(begun: LongDelete, request: TxnRequest): Uint8Array | undefined {
    const { long, isDone } = runSlice(this.#rows, this.#space, {
      long: begun,
      request,
      state: this.#record,
      leases: this.#leases,
      allocate: this.#allocate,
    })
    if (!isDone) {
      this.#long = long
      this.#longRow = writeLongDelete(this.#rows, this.#space, long)
      return undefined
    }
    if (this.#long !== undefined) dropLongDelete(this.#rows, this.#space)
    this.#long = undefined
    this.#longRow = undefined
    const outcome = outcomeOf(long, this.#record)
    this.#take(outcome)
    return encodeAnswer(outcome.response, { hasApart: false })
  }

  #take(outcome: TxnOutcome): void {
    this.#record.digestA = (this.#record.digestA + outcome.digest.a) >>> 0
    this.#record.digestB = (this.#record.digestB + outcome.digest.b) >>> 0
    this.#record.revision = Math.max(this.#record.revision, outcome.revision)
    this.#record.addedBytes += outcome.addedBytes
    if (outcome.isSuperseding) this.#superseding.note(outcome.revision)
    this.pendingBytes += outcome.pendingBytes
  }

  #grantLease(write: WriteRequest, entry: Pick<Entry, 'seed' | 'timeMs'>): Uint8Array {
    checkAlarms(this.#record.alarms, true)
    const { id, ttlSeconds } = this.#openUpkeep(write)
    const seed = entry.seed * 2 ** 20 + (entry.timeMs % 2 ** 20) + 1
    const lease = this.#leases.grant(this.#rows, { id, ttlSeconds, seed })
    return encodeUpkeepAnswer({ revision: this.#record.revision, ...lease })
  }

  #revokeLease(write: WriteRequest): Uint8Array {
    checkAlarms(this.#record.alarms, false)
    const { id } = this.#openUpkeep(write)
    if (this.#leases.find(id) === undefined) throw leaseNotFound()
    this.#dropLease(id)
    return encodeUpkeepAnswer({ revision: this.#record.revision, id })
  }

  /** Deletes its keys in one revision, then the lease. */
  #dropLease(id: number): void {
    const keys = this.#leases.keysOf(this.#rows, id)
    const run = { keys, state: this.#record, leases: this.#leases }
    if (keys.length > 0) this.#take(runDeletes(this.#rows, this.#space, run))
    this.#leases.drop(this.#rows, id)
  }

  #compact(write: WriteRequest): Uint8Array {
    const asked = this.#openUpkeep(write).revision
    const { revision, compacted } = this.#record
    checkRevision(asked, this.#record)
    if (asked <= compacted) throw compactedFault(compacted)
    this.#record.compacted = asked
    return encodeUpkeepAnswer({ revision })
  }

  #disarm(write: WriteRequest): Uint8Array {
    const alarm = alarms[this.#openUpkeep(write).alarm]
    if (alarm === undefined) throw new Fault('invalid', 'the alarm is not known')
    this.#record.alarms &= ~(alarmBit(alarm) | heldBit(alarm))
    return encodeUpkeepAnswer({ revision: this.#record.revision })
  }

  #arm(write: WriteRequest): Uint8Array {
    const alarm = alarms[this.#openUpkeep(write).alarm]
    if (alarm === undefined) throw new Fault('invalid', 'the alarm is not known')
    this.#record.alarms |= heldBit(alarm)
    return encodeUpkeepAnswer({ revision: this.#record.revision })
  }

  #setGuard(write: WriteRequest): Uint8Array {
    checkAlarms(this.#record.alarms, false)
    const { revision: expected, document } = this.#openUpkeep(write)
    const change = { now: this.#guard, expected, document }
    this.#guard = replaceGuard(this.#rows, this.#space, change)
    return encodeUpkeepAnswer({ revision: this.#guard.revision })
  }

  #openUpkeep(write: WriteRequest): UpkeepRequest {
    const request = decodeUpkeep(write.body)
    checkGuard(request.guard, this.#guard.revision)
    return request
  }
}

/** What is stored of a group, without opening it. */
export function readKeyspaceRecord(rows: RowReader, group: GroupId): KeyspaceRecord {
  const rowKey = uint64Bytes(group)
  return readRecord(rowKey, rows.get('keyspaces', rowKey))
}

/** What 'keyspaces' holds of a generation that is to be used anew. */
export function deleteLocalRows(rows: Rows, space: Space): void {
  deleteCursor(rows, space)
  dropLongDelete(rows, space)
  rows.delete('keyspaces', latestKey(space, divergedName))
  rows.delete('keyspaces', latestKey(space, guardName))
}

function readDiverged(rows: RowReader, space: Space): number {
  const row = rows.get('keyspaces', latestKey(space, divergedName))
  return row === undefined ? 0 : getUint64(unseal(divergedName, row), 0)
}

function readRecord(rowKey: Uint8Array, stored: Uint8Array | undefined): KeyspaceRecord {
  return stored === undefined ? emptyKeyspaceRecord() : decodeKeyspaceRecord(rowKey, stored)
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return equalBytes(a, b)
}

/**
 * A fault that an entry can cause becomes its answer, the same on every replica. Damaged rows are not
 * the entry's doing: the replica must stop rather than answer differently from the others.
 */
function answerFault(error: unknown): Uint8Array {
  if (isFault(error) && error.fields.rows !== 'damaged') return encodeFaultAnswer(error)
  throw error
}

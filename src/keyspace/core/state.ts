// One group's keyspace: what applying entries does to its rows. Deterministic (law 7): everything that
// decides comes from the entries and the rows. Effects are the writes to `rows`, made inside the
// caller's transaction; the answers of a turn's entries come back together.
//
// In memory are the group's record and the numbers of open requests. Should a transaction of the store
// not have committed, memory would be ahead of the rows; so each turn begins by comparing the stored
// record with the one that the last turn wrote, and loads everything anew when they differ.

import { crc32c, equalBytes, Fault, type GroupId, isFault, uint64Bytes } from '../../base/index.ts'
import { createSlab } from './bytes.ts'
import {
  decodeKeyspaceRecord,
  emptyKeyspaceRecord,
  encodeKeyspaceRecord,
  type KeyspaceRecord,
} from './records.ts'
import { type RowReader, type Rows, type Space, spaceOf } from './rows.ts'
import { SessionTable } from './sessions.ts'
import { runTxn } from './txn.ts'
import {
  decodeEntry,
  decodeTxn,
  decodeWrite,
  type Entry,
  encodeAnswer,
  encodeFaultAnswer,
} from './wire.ts'

export class KeyspaceState {
  readonly group: GroupId
  readonly #rows: Rows
  readonly #rowKey: Uint8Array
  readonly #allocate = createSlab()
  #record: KeyspaceRecord
  #stored: Uint8Array | undefined
  #space: Space
  #sessions: SessionTable
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
  }

  get record(): Readonly<KeyspaceRecord> {
    return this.#record
  }

  get space(): Space {
    return this.#space
  }

  get sessionCount(): number {
    return this.#sessions.sessionCount
  }

  /** True when a compaction at this time would forget a session. */
  hasExpiredSession(timeMs: number): boolean {
    return this.#sessions.hasExpired(timeMs)
  }

  /** Loads what the rows say, after an installed snapshot or a transaction that did not commit. */
  reload(): void {
    this.#stored = this.#rows.get('keyspaces', this.#rowKey)
    this.#record = readRecord(this.#rowKey, this.#stored)
    this.#space = spaceOf(this.group, this.#record.generation)
    this.#sessions = new SessionTable(this.#rows, this.#space)
  }

  /** The answers of a turn's entries, in their order. Throws for damaged rows only. */
  apply(payloads: readonly Uint8Array[]): Uint8Array[] {
    const stored = this.#rows.get('keyspaces', this.#rowKey)
    if (!isSame(stored, this.#stored)) this.reload()
    this.pendingBytes = 0
    const answers: Uint8Array[] = []
    for (const payload of payloads) answers.push(this.#applyEntry(payload))
    this.#sessions.flush(this.#rows)
    this.#stored = encodeKeyspaceRecord(this.#rowKey, this.#record)
    this.#rows.put('keyspaces', this.#rowKey, this.#stored)
    return answers
  }

  #applyEntry(payload: Uint8Array): Uint8Array {
    if (payload.length === 0) return payload
    try {
      const entry = decodeEntry(payload)
      this.#record.timeMs = Math.max(this.#record.timeMs, entry.timeMs)
      if (entry.compactRevision > 0) return this.#compact(entry)
      return this.#applyWrite(entry)
    } catch (error) {
      return answerFault(error)
    }
  }

  /** Moves the floor of readable revisions; the rows below go later (sweep.ts). */
  #compact(entry: Entry): Uint8Array {
    const { revision, compacted } = this.#record
    this.#sessions.expire(this.#record.timeMs)
    this.#record.compacted = Math.max(compacted, Math.min(entry.compactRevision, revision))
    return new Uint8Array(0)
  }

  #applyWrite(entry: Entry): Uint8Array {
    const id = decodeWrite(entry.write)
    const requestCrc = crc32c(id.txn) >>> 0
    const duplicate = this.#sessions.find(this.#rows, id)
    if (duplicate !== undefined) {
      if (duplicate.requestCrc === requestCrc) return duplicate.answer
      throw new Fault('invalid', 'the request id was used for another request')
    }
    const answer = this.#run(id.txn)
    this.#record.requests++
    this.#sessions.remember(id, { sequence: id.sequence, requestCrc, answer }, this.#record.timeMs)
    return answer
  }

  #run(encoded: Uint8Array): Uint8Array {
    try {
      const request = decodeTxn(encoded)
      const outcome = runTxn(this.#rows, this.#space, {
        request,
        state: this.#record,
        allocate: this.#allocate,
      })
      this.#record.digestA = (this.#record.digestA + outcome.digest.a) >>> 0
      this.#record.digestB = (this.#record.digestB + outcome.digest.b) >>> 0
      this.#record.revision = Math.max(this.#record.revision, outcome.revision)
      this.pendingBytes += outcome.pendingBytes
      return encodeAnswer(outcome.response, { hasApart: outcome.hasApart })
    } catch (error) {
      return answerFault(error)
    }
  }
}

/** What is stored of a group, without opening it. */
export function readKeyspaceRecord(rows: RowReader, group: GroupId): KeyspaceRecord {
  const rowKey = uint64Bytes(group)
  return readRecord(rowKey, rows.get('keyspaces', rowKey))
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

// Once only (law 11; Raft thesis 6.3): the answers of applied requests, kept until their asker has
// closed them (lowestOpen) or has been silent for long (sessionExpiryMs in entries' time).
//
// All answers that a session got in one turn share a row, so a batch costs one row per session. Which
// answers share a row differs between replicas; which answers are known does not: everything that
// decides (sequences, lowestOpen, timeMs, the bounds) comes from entries alone. In memory there are
// numbers only: for each open sequence, the row that has its answer.
// Without the time at which a session began (openedMs), a duplicate that outlives its session would run
// again: to the table it looks like the first request of a new one. A session that began at B and is
// unknown at T was never heard of only if T - B is less than the expiry; otherwise the request is refused,
// in words of its own, and its asker begins a session anew.
//
// Without lowestOpen as a floor this would go wrong:
// 1. request 5 is proposed twice (its first leader was lost); the first copy commits and is answered;
// 2. the asker closes 5, its answer is pruned;
// 3. the second copy commits and would be applied again. It is below the floor, so it is refused.

import { Fault } from '../../base/index.ts'
import { sessionAnswersMax, sessionExpiryMs, sessionsMax } from './limits.ts'
import { damagedRows, decodeSession, encodeSession, type SessionAnswer } from './records.ts'
import {
  latestKey,
  readSessionKey,
  type RowReader,
  type RowWriter,
  type Space,
  sessionKey,
  spaceEnd,
  userKey,
} from './rows.ts'
import type { RequestId } from './entry.ts'

const pageRows = 64

type Session = {
  lowestOpen: number
  timeMs: number
  openedMs: number
  /** Open sequence -> the row that has its answer. */
  readonly rowOf: Map<number, number>
  /** Row -> its answers that are still open. */
  readonly openOf: Map<number, number>
  /** Answers of this turn, not yet in a row. */
  readonly fresh: Map<number, SessionAnswer>
}

export type Duplicate = { readonly requestCrc: number; readonly answer: Uint8Array }

export class SessionTable {
  readonly #space: Space
  readonly #sessions = new Map<number, Session>()
  /** Sessions with fresh answers, in the order of their first one. */
  readonly #touched = new Set<number>()
  /** Rows whose answers are all closed. */
  #emptied: Uint8Array[] = []

  constructor(rows: RowReader, space: Space) {
    this.#space = space
    let start = latestKey(space, new Uint8Array(0))
    for (;;) {
      const page = rows.range('sessions', { start, end: spaceEnd(space), limit: pageRows })
      for (const row of page) this.#load(row.key, row.value)
      const last = page.at(-1)
      if (last === undefined || page.length < pageRows) break
      start = new Uint8Array(last.key.length + 1)
      start.set(last.key)
    }
    for (const [number, session] of this.#sessions) {
      const floor = session.lowestOpen
      session.lowestOpen = 0
      this.#close(session, { number, floor })
    }
  }

  get sessionCount(): number {
    return this.#sessions.size
  }

  /**
   * The answer that the request got when it was applied before; undefined when it is new. Fault
   * 'invalid' for a request that its asker has closed, 'overloaded' beyond the bounds, sessionExpired().
   */
  find(rows: RowReader, id: RequestId, timeMs: number): Duplicate | undefined {
    const session = this.#sessions.get(id.session)
    if (session === undefined) {
      if (timeMs - id.openedMs >= sessionExpiryMs) throw sessionExpired(timeMs)
      if (this.#sessions.size < sessionsMax) return undefined
      throw new Fault('overloaded', `the keyspace remembers at most ${sessionsMax} sessions`)
    }
    if (id.openedMs < session.openedMs) throw sessionExpired(timeMs)
    if (id.sequence < session.lowestOpen) {
      throw new Fault('invalid', 'the request was closed by its asker before it was applied')
    }
    const fresh = session.fresh.get(id.sequence)
    if (fresh !== undefined) return fresh
    const rowSequence = session.rowOf.get(id.sequence)
    if (rowSequence !== undefined) return this.#readAnswer(rows, id, rowSequence)
    const open = session.rowOf.size + session.fresh.size
    if (open < sessionAnswersMax || id.lowestOpen > session.lowestOpen) return undefined
    throw new Fault('overloaded', `a session has at most ${sessionAnswersMax} open requests`)
  }

  remember(id: RequestId, answer: SessionAnswer, timeMs: number): void {
    const session = this.#session(id.session)
    session.timeMs = Math.max(session.timeMs, timeMs)
    session.openedMs = Math.max(session.openedMs, id.openedMs)
    session.fresh.set(id.sequence, answer)
    this.#touched.add(id.session)
    const floor = Math.min(id.lowestOpen, id.sequence)
    if (floor > session.lowestOpen) this.#close(session, { number: id.session, floor })
  }

  /** Writes what the turn has changed. */
  flush(rows: RowWriter): void {
    for (const number of this.#touched) {
      const session = this.#sessions.get(number)
      const answers = session === undefined ? [] : [...session.fresh.values()]
      const first = answers[0]
      if (session === undefined || first === undefined) continue
      const rowKey = sessionKey(this.#space, number, first.sequence)
      rows.put('sessions', rowKey, encodeSession(userKey(rowKey), { ...session, answers }))
      session.openOf.set(first.sequence, answers.length)
      for (const answer of answers) session.rowOf.set(answer.sequence, first.sequence)
      session.fresh.clear()
    }
    this.#touched.clear()
    for (const rowKey of this.#emptied) rows.delete('sessions', rowKey)
    this.#emptied = []
  }

  /** Forgets sessions that were last heard before timeMs - sessionExpiryMs. */
  expire(timeMs: number): void {
    for (const [number, session] of this.#sessions) {
      if (session.timeMs + sessionExpiryMs > timeMs) continue
      for (const row of session.openOf.keys()) {
        this.#emptied.push(sessionKey(this.#space, number, row))
      }
      this.#sessions.delete(number)
    }
  }

  hasExpired(timeMs: number): boolean {
    for (const session of this.#sessions.values()) {
      if (session.timeMs + sessionExpiryMs <= timeMs) return true
    }
    return false
  }

  #load(rowKey: Uint8Array, value: Uint8Array): void {
    const { session: number, sequence } = readSessionKey(rowKey)
    const record = decodeSession(userKey(rowKey), value)
    const session = this.#session(number)
    session.lowestOpen = Math.max(session.lowestOpen, record.lowestOpen)
    session.timeMs = Math.max(session.timeMs, record.timeMs)
    session.openedMs = Math.max(session.openedMs, record.openedMs)
    session.openOf.set(sequence, record.answers.length)
    for (const answer of record.answers) session.rowOf.set(answer.sequence, sequence)
  }

  #session(number: number): Session {
    let session = this.#sessions.get(number)
    if (session === undefined) {
      const numbers = { lowestOpen: 0, timeMs: 0, openedMs: 0 }
      session = { ...numbers, rowOf: new Map(), openOf: new Map(), fresh: new Map() }
      this.#sessions.set(number, session)
    }
    return session
  }

  #close(session: Session, to: { readonly number: number; readonly floor: number }): void {
    const { number, floor } = to
    if (floor - session.lowestOpen <= session.rowOf.size + session.fresh.size) {
      for (let sequence = session.lowestOpen; sequence < floor; sequence++) {
        this.#closeOne(session, number, sequence)
      }
    } else {
      for (const sequence of [...session.rowOf.keys(), ...session.fresh.keys()]) {
        if (sequence < floor) this.#closeOne(session, number, sequence)
      }
    }
    session.lowestOpen = floor
  }

  #closeOne(session: Session, number: number, sequence: number): void {
    session.fresh.delete(sequence)
    const row = session.rowOf.get(sequence)
    if (row === undefined) return
    session.rowOf.delete(sequence)
    const open = (session.openOf.get(row) ?? 1) - 1
    session.openOf.set(row, open)
    if (open > 0) return
    session.openOf.delete(row)
    this.#emptied.push(sessionKey(this.#space, number, row))
  }

  #readAnswer(rows: RowReader, id: RequestId, rowSequence: number): Duplicate {
    const rowKey = sessionKey(this.#space, id.session, rowSequence)
    const encoded = rows.get('sessions', rowKey)
    if (encoded !== undefined) {
      const { answers } = decodeSession(userKey(rowKey), encoded)
      const found = answers.find((answer) => answer.sequence === id.sequence)
      if (found !== undefined) return found
    }
    throw damagedRows(`an answer of session ${id.session} is missing`)
  }
}

const expiredMark = 'expired'

/**
 * The request's session was forgotten: whether the request was applied before is not known any more. It
 * was not applied now.
 */
export function sessionExpired(timeMs: number): Fault {
  return new Fault('not-found', 'the session of the request has expired', {
    outcome: 'unknown',
    next: 'Read whether the change is there before asking again.',
    fields: { session: expiredMark, timeMs: String(timeMs) },
  })
}

/** The entries' time that such a fault tells; undefined for every other. */
export function readSessionExpired(fault: Fault): number | undefined {
  if (fault.fields.session !== expiredMark) return undefined
  const timeMs = Number(fault.fields.timeMs)
  return Number.isSafeInteger(timeMs) ? timeMs : undefined
}

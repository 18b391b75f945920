// Sessions of operators, honoured by every node.
//
// A session is a record under the hash of its secret, so that what is stored lets nobody in. It holds while its record is
// there and not expired, and while its operator is there with the stamp that it was opened under. Both are read from
// this node's replica while that heard the leader within staleMsMax; otherwise, and for what the replica does not know,
// the leader is asked. So an end is effective everywhere within staleMsMax, and a node that is cut off lets nobody in.
//
// Use prolongs a session, by a write an hour at most, and never beyond lifeMsMax after it was opened.

import type { TokenScope } from '../../access/index.ts'
import { Fault, isFault, prefixEnd, type Revision, revision } from '../../base/index.ts'
import type { Host } from '../../host/index.ts'
import type { Keyspace, KeyValue } from '../../keyspace/index.ts'
import { base64UrlOf } from './core/base64-url.ts'
import {
  type Operator,
  operatorCodec,
  operatorKey,
  type Session,
  sessionCodec,
  sessionKey,
  sessionPrefix,
} from './core/records.ts'

export const sessionMs = 12 * 60 * 60 * 1000
const renewAfterMs = 60 * 60 * 1000
const lifeMsMax = 7 * 24 * 60 * 60 * 1000
export const sessionsPerOperatorMax = 16
const sessionsMax = 4_096
const staleMsMax = 1_000
const askDeadlineMs = 3_000
const secretBytes = 32

/** A session that holds now. */
export type OpenSession = {
  readonly operator: string
  readonly scopes: readonly TokenScope[]
  readonly createdMs: number
  readonly expiresMs: number
}

export class Sessions {
  readonly #host: Host
  readonly #system: Keyspace
  #wroteAt: Revision = revision(0)

  constructor(host: Host, system: Keyspace) {
    this.#host = host
    this.#system = system
  }

  /** The secret is told this once. Ends the operator's oldest sessions beyond sessionsPerOperatorMax, and expired ones. */
  async open(
    operator: Operator,
    source: string,
  ): Promise<{ readonly secret: string; readonly session: OpenSession }> {
    const secret = base64UrlOf(this.#host.random.bytes(secretBytes))
    const nowMs = this.#nowMs()
    const session: Session = {
      operator: operator.name,
      stamp: operator.stamp,
      createdMs: nowMs,
      expiresMs: nowMs + sessionMs,
      source,
    }
    const superfluous = await this.#superfluous(operator.name, nowMs)
    const { revision: at } = await this.#system.txn({
      compares: [],
      success: [
        ...superfluous.map((key) => ({ kind: 'delete', key }) as const),
        { kind: 'put', key: sessionKey(secret), value: sessionCodec.encode(session) },
      ],
      failure: [],
    })
    this.#wrote(at)
    return { secret, session: openOf(session, operator) }
  }

  /** Undefined: there is none, or it has ended. Fault 'unavailable' when nobody can be asked. */
  async find(secret: string): Promise<OpenSession | undefined> {
    const kv = await this.#read(sessionKey(secret))
    if (kv === undefined) return undefined
    const session = sessionCodec.decode(kv.value)
    const nowMs = this.#nowMs()
    if (session.expiresMs <= nowMs || session.createdMs + lifeMsMax <= nowMs) return undefined
    const found = await this.#read(operatorKey(session.operator))
    if (found === undefined) return undefined
    const operator = operatorCodec.decode(found.value)
    if (operator.stamp !== session.stamp) return undefined
    const prolonged = await this.#prolong(kv, session, nowMs)
    return openOf(prolonged, operator)
  }

  /** Nothing to end is no fault. */
  async end(secret: string): Promise<void> {
    const { revision: at } = await this.#system.txn({
      compares: [],
      success: [{ kind: 'delete', key: sessionKey(secret) }],
      failure: [],
    })
    this.#wrote(at)
  }

  async #superfluous(operator: string, nowMs: number): Promise<readonly Uint8Array[]> {
    const { kvs } = await this.#system.range({
      key: sessionPrefix,
      rangeEnd: prefixEnd(sessionPrefix),
      limit: sessionsMax,
    })
    const all = kvs.map((kv) => ({ key: kv.key, session: sessionCodec.decode(kv.value) }))
    const expired = all.filter(({ session }) => session.expiresMs <= nowMs)
    const live = all.filter(({ session }) => session.expiresMs > nowMs)
    const own = live
      .filter(({ session }) => session.operator === operator)
      .sort((a, b) => b.session.expiresMs - a.session.expiresMs)
    const surplus = own.slice(sessionsPerOperatorMax - 1)
    if (live.length - surplus.length >= sessionsMax - 1) {
      throw new Fault('overloaded', 'too many sessions are open', { next: 'log some out' })
    }
    return [...expired, ...surplus].map(({ key }) => key)
  }

  /** What fails leaves the session as it was; whoever ended it meanwhile wins. */
  async #prolong(kv: KeyValue, session: Session, nowMs: number): Promise<Session> {
    const expiresMs = Math.min(nowMs + sessionMs, session.createdMs + lifeMsMax)
    if (expiresMs - session.expiresMs < renewAfterMs) return session
    const next = { ...session, expiresMs }
    const { key, modRevision } = kv
    try {
      const { succeeded } = await this.#system.txn({
        compares: [{ key, target: 'mod', result: 'equal', operand: modRevision }],
        success: [{ kind: 'put', key, value: sessionCodec.encode(next) }],
        failure: [],
      })
      return succeeded ? next : session
    } catch (error) {
      if (isFault(error)) return session
      throw error
    }
  }

  async #read(key: Uint8Array): Promise<KeyValue | undefined> {
    const { revision: at, heardMsAgo } = this.#system.freshness()
    if (heardMsAgo <= staleMsMax && at >= this.#wroteAt) {
      const local = await this.#system.range({ key, isSerializable: true })
      if (local.kvs[0] !== undefined) return local.kvs[0]
    }
    return (await this.#system.range({ key }, { deadlineMs: askDeadlineMs })).kvs[0]
  }

  #wrote(at: Revision): void {
    if (at > this.#wroteAt) this.#wroteAt = at
  }

  #nowMs(): number {
    return Math.floor(this.#host.clock.wallMs())
  }
}

function openOf({ operator, createdMs, expiresMs }: Session, { scopes }: Operator): OpenSession {
  return { operator, scopes, createdMs, expiresMs }
}

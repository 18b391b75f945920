// Once only on etcd, which remembers no request: every mutation is a transaction that also counts itself.
//
// A session is one boot of one thread: a lease, and a key under it. A mutation takes a slot of the session, a key
// whose version is the number of requests that were run in it, and travels as
//
//   if the session's key is the one that was made at the session's begin, and the slot's version is n
//   then put the slot (version n + 1, the value names the branch), run the caller's transaction
//   else tell the session's key and the slot
//
// so that however often it is sent, it runs at most once:
// 1. It runs, the answer is lost, it is sent again: the version is n + 1, nothing runs, and the slot says at which
//    revision it ran and which branch it took; its answer is put together from history (replay.ts).
// 2. A copy is delayed and arrives after its slot was used again: its n is past, nothing runs.
// 3. A copy outlives its session's lease: the session's key is gone and can never be created at that revision again,
//    so nothing runs, although all slots are at version 0 again.
// A slot whose request ended in doubt is never used again; it goes with the lease.

import { Fault, isFault } from '../../base/index.ts'
import type { Host, Timer } from '../../host/index.ts'
import type { EtcdChannel } from './channel.ts'
import type { EtcdKeyValue, EtcdTxn, EtcdTxnResponse } from './core/messages.ts'
import { sessionKey, slotKey } from './core/names.ts'
import { noCompare, noOperation, plainRange } from './core/translate.ts'
import type { Attempt } from './attempts.ts'
import { etcdMethods } from './methods.ts'

/** Leases of sessions, apart from those that callers may name. */
export const sessionIdsFrom = 2 ** 52
const halfOfIds = 2 ** 26
const ttlSeconds = 600
const keepAliveMs = 60_000
const slotsMax = 1024
/** A session with more slots in doubt is left for a new one. */
const doubtfulMax = 4096
const equal = 0
const onVersion = 0
const onCreate = 1
const noBytes = new Uint8Array(0)

type Session = { readonly id: number; readonly createdAt: number }
type Slot = {
  readonly session: Session
  readonly number: number
  readonly key: Uint8Array
  /** Requests that were run in it. */
  version: number
}

/** What a mutation is inside of its slot's transaction. */
export type Marked = {
  /** `slot` is written in every branch, with `lease`. */
  txnOf(slot: { readonly key: Uint8Array; readonly lease: number }): EtcdTxn
}

/** The answer, or the mark that an earlier copy left. */
export type Ran =
  | { readonly kind: 'answer'; readonly response: EtcdTxnResponse; readonly revision: number }
  | { readonly kind: 'mark'; readonly mark: EtcdKeyValue }

export class OnceSessions {
  readonly #host: Host
  readonly #channel: EtcdChannel
  readonly #root: string
  readonly #timer: Timer
  #session: Session | undefined
  #beginning: Promise<Session> | undefined
  #free: Slot[] = []
  #slots = 0
  #inUse = 0
  #doubtful = 0

  constructor(host: Host, channel: EtcdChannel, root: string) {
    this.#host = host
    this.#channel = channel
    this.#root = root
    this.#timer = host.clock.every(keepAliveMs, () => this.#keepAlive())
  }

  /** A mutation from its first attempt to its last. Fault 'overloaded' beyond slotsMax at a time. */
  open(): Mutation {
    if (this.#inUse >= slotsMax) {
      throw new Fault('overloaded', `the engine etcd has ${slotsMax} mutations under way`)
    }
    this.#inUse++
    return new Mutation(this)
  }

  /** The lease of the session, which begins when there is none. */
  async lease(attempt: Attempt): Promise<number> {
    return (await this.session(attempt)).id
  }

  /** Best effort: what stays behind ends with its lease. */
  async close(): Promise<void> {
    this.#timer.cancel()
    const session = this.#session
    this.#session = undefined
    if (session === undefined) return
    const limit = { ms: 500, signal: undefined }
    await this.#channel.unary(etcdMethods.leaseRevoke, { id: session.id }, limit).catch(() => null)
  }

  async session(attempt: Attempt): Promise<Session> {
    if (this.#session !== undefined) return this.#session
    this.#beginning ??= this.#begin(attempt).finally(() => {
      this.#beginning = undefined
    })
    return await this.#beginning
  }

  async take(attempt: Attempt): Promise<Slot> {
    const session = await this.session(attempt)
    const free = this.#free.pop()
    if (free !== undefined) return free
    const number = this.#slots++
    return { session, number, key: slotKey(this.#root, session.id, number), version: 0 }
  }

  /** Back after its request; one in doubt is left. */
  give(slot: Slot | undefined, isDoubtful: boolean): void {
    this.#inUse--
    if (slot === undefined || slot.session !== this.#session) return
    if (!isDoubtful) this.#free.push(slot)
    else if (++this.#doubtful > doubtfulMax) this.forget(slot.session)
  }

  forget(session: Session): void {
    if (this.#session !== session) return
    this.#session = undefined
    this.#free = []
    this.#slots = 0
    this.#doubtful = 0
  }

  async send(slot: Slot, marked: Marked, attempt: Attempt): Promise<Ran | 'expired'> {
    const { session, key, version } = slot
    const own = sessionKey(this.#root, session.id)
    const inner = marked.txnOf({ key, lease: session.id })
    const read = (one: Uint8Array) => ({
      ...noOperation,
      requestRange: { ...plainRange, key: one },
    })
    const outer: EtcdTxn = {
      compare: [
        {
          ...noCompare,
          result: equal,
          target: onCreate,
          key: own,
          createRevision: session.createdAt,
        },
        { ...noCompare, result: equal, target: onVersion, key, version },
      ],
      success: [{ ...noOperation, requestTxn: inner }],
      failure: [read(own), read(key)],
    }
    const answer = await this.#channel.unary(etcdMethods.txn, outer, attempt)
    const [first, second] = answer.responses
    if (answer.succeeded) {
      const response = first?.responseTxn
      if (response === undefined) throw strange()
      return { kind: 'answer', response, revision: answer.header?.revision ?? 0 }
    }
    const found = first?.responseRange?.kvs[0]
    if (found?.createRevision !== session.createdAt) return 'expired'
    const mark = second?.responseRange?.kvs[0]
    if (mark?.version !== version + 1) throw strange()
    return { kind: 'mark', mark }
  }

  /** Attempts that end in doubt leave a lease behind, which ends by itself. */
  async #begin(attempt: Attempt): Promise<Session> {
    const { random } = this.#host
    const id = sessionIdsFrom + random.integer(halfOfIds) * halfOfIds + random.integer(halfOfIds)
    const limit = { ms: attempt.ms, signal: undefined }
    const asFailed = (error: unknown): never => {
      if (!isFault(error)) throw error
      const { code, message, fields } = error
      throw new Fault(code, message, { fields, cause: error })
    }
    const grant = { id, ttl: ttlSeconds }
    await this.#channel.unary(etcdMethods.leaseGrant, grant, limit).catch(asFailed)
    const key = sessionKey(this.#root, id)
    const put = {
      key,
      value: noBytes,
      lease: id,
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    }
    const answer = await this.#channel.unary(etcdMethods.put, put, limit).catch(asFailed)
    const session = { id, createdAt: answer.header?.revision ?? 0 }
    this.#session = session
    return session
  }

  #keepAlive(): void {
    const session = this.#session
    if (session === undefined) return
    const stream = this.#channel.stream(etcdMethods.leaseKeepAlive, {
      onMessage: ({ ttl }) => {
        if (ttl <= 0) this.forget(session)
        stream.end()
      },
      onEnded: () => undefined,
    })
    stream.send({ id: session.id })
  }
}

/** One mutation: the same slot through all attempts, unless the session went before any was run. */
export class Mutation {
  readonly #sessions: OnceSessions
  #slot: Slot | undefined
  #isSettled = true

  constructor(sessions: OnceSessions) {
    this.#sessions = sessions
  }

  async run(marked: Marked, attempt: Attempt): Promise<Ran> {
    for (;;) {
      this.#slot ??= await this.#sessions.take(attempt)
      const slot = this.#slot
      this.#isSettled = false
      try {
        const ran = await this.#sessions.send(slot, marked, attempt)
        this.#isSettled = true
        if (ran !== 'expired') {
          slot.version++
          return ran
        }
      } catch (error) {
        if (isFault(error) && error.outcome === 'failed' && !attempt.isDoubtful)
          this.#isSettled = true
        throw error
      }
      this.#sessions.forget(slot.session)
      this.#slot = undefined
      if (attempt.isDoubtful) {
        throw new Fault('not-found', 'the session of the request has expired', {
          outcome: 'unknown',
        })
      }
    }
  }

  close(): void {
    this.#sessions.give(this.#slot, !this.#isSettled)
  }
}

function strange(): Fault {
  const what = 'the mark of a request is not what its own session left'
  return new Fault('corrupt', what, { outcome: 'unknown' })
}

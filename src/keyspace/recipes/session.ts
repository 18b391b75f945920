// A session: a lease that is kept alive, and what its owner may believe about it. Everything a recipe
// puts for an owner hangs on the session's lease, so that the owner's end is everybody's to see.
//
// The owner's view errs on the safe side: its time runs from the moment at which the last confirmed
// keepalive was *sent*, by its own monotonic clock, and an eighth earlier than the lease's. It never comes
// back: a session that was lost once stays lost, even if the lease was alive. A process that was paused
// finds out at its first look (isLive), before any timer has run.
//
// What it cannot do: a pause between the look and the deed. 1. the owner looks, it holds; 2. it is paused
// for a minute, its lease ends, another one holds; 3. it wakes and writes. Only a fence stops step 3: the
// guard() of a hold as a compare of the transaction, or its token at the resource (Kleppmann 2016).

import { Fault, isFault, toHex } from '../../base/index.ts'
import type { Timer } from '../../host/index.ts'
import type { RequestOptions } from '../keyspace.ts'
import { checkBound, type Ground, inBackground } from './ground.ts'

/** Locks, places and permits that one session may have at a time. */
const placesMax = 1024
const ttlSecondsDefault = 15
const ttlSecondsMax = 3600
/** The owner's time is shorter than the lease's by this share: for clocks that differ. */
const cautionShare = 1 / 8
const revokeMs = 5_000
const requestMsMax = 120_000
const retryMsMin = 100

export type SessionOptions = {
  /**
   * How long the session outlives its owner: between 2 and 3,600 s, default 15. Longer pauses and outages are
   * survived with more; others wait longer for what a dead owner held.
   */
  readonly ttlSeconds?: number
  readonly signal?: AbortSignal
}

/** Grants a lease and keeps it alive. Faults of Leases.grant; 'cancelled'. */
export async function openSession(ground: Ground, options: SessionOptions = {}): Promise<Session> {
  const { ttlSeconds = ttlSecondsDefault, signal } = options
  checkBound(ttlSeconds, 'ttlSeconds', [2, ttlSecondsMax])
  const sentMs = ground.host.clock.monotonicMs()
  const request = signal === undefined ? {} : { signal }
  const lease = await ground.keyspace.leases.grant({ ttlSeconds }, request)
  const session = new Session(ground, { lease: lease.id, ttlSeconds: lease.ttlSeconds, sentMs })
  session.keep()
  return session
}

export class Session {
  readonly ground: Ground
  readonly lease: number
  readonly ttlSeconds: number
  readonly #ended = new AbortController()
  readonly #atEnd = new Set<() => void>()
  readonly #places = new Set<string>()
  #endsAtMs: number
  #timer: Timer | undefined

  /** For openSession. */
  constructor(
    ground: Ground,
    of: { readonly lease: number; readonly ttlSeconds: number; readonly sentMs: number },
  ) {
    this.ground = ground
    this.lease = of.lease
    this.ttlSeconds = of.ttlSeconds
    this.#endsAtMs = of.sentMs + this.#trustMs
  }

  /** Aborts when the session is lost or closed; its reason is a Fault that says which. */
  get signal(): AbortSignal {
    return this.#ended.signal
  }

  /** Looks at the clock: false from the moment on at which the owner must stop. */
  isLive(): boolean {
    if (this.#ended.signal.aborted) return false
    if (this.leftMs() > 0) return true
    this.#end(lost('its time ran out without an answer to a keepalive'))
    return false
  }

  /** For how long the owner may go on if no keepalive is answered any more. */
  leftMs(): number {
    if (this.#ended.signal.aborted) return 0
    return Math.max(0, this.#endsAtMs - this.ground.host.clock.monotonicMs())
  }

  /** Fault 'precondition' with the field {session: 'ended'} when the session is lost or closed. */
  mustBeLive(): void {
    if (!this.isLive()) throw toFaultOf(this.#ended.signal)
  }

  /**
   * Ends it and revokes its lease: everything that hung on it is gone when this settles. When it rejects (the
   * keyspace cannot be reached), that happens when the lease ends by itself.
   */
  async close(): Promise<void> {
    if (this.#ended.signal.aborted) return
    this.#stop(lost('it was closed'))
    await this.#revoke()
  }

  /** Calls back when the session ends; at once when it has. Answers what takes it back. */
  onEnd(run: () => void): () => void {
    if (this.#ended.signal.aborted) {
      run()
      return () => {}
    }
    this.#atEnd.add(run)
    return () => {
      this.#atEnd.delete(run)
    }
  }

  /**
   * A write whose effect hangs on the lease, tried for as long as the session has time. When its outcome
   * stays unknown the session ends: nobody could say what it holds.
   */
  async write<T>(run: (options: RequestOptions) => Promise<T>): Promise<T> {
    this.mustBeLive()
    const deadlineMs = Math.max(1, Math.min(requestMsMax, this.leftMs()))
    try {
      return await run({ deadlineMs })
    } catch (error) {
      if (!isFault(error) || error.outcome !== 'unknown') throw error
      this.#end(lost('the outcome of a write of its own is not known'))
      throw error
    }
  }

  /** A write that gives something up, tried until it is done or the session ends: the lease does it then. */
  async insist(run: (options: RequestOptions) => Promise<unknown>): Promise<void> {
    while (this.isLive()) {
      try {
        await this.write(run)
        return
      } catch (error) {
        if (!isFault(error)) throw error
      }
      await this.ground.host.clock.sleep(retryMsMin)
    }
  }

  /** A place is taken once at a time. Faults 'conflict', 'overloaded'. Answers what gives it back. */
  reserve(key: Uint8Array): () => void {
    this.mustBeLive()
    const place = toHex(key)
    if (this.#places.has(place)) {
      throw new Fault('conflict', 'the session stands in this line already, or is leaving it')
    }
    if (this.#places.size >= placesMax) {
      throw new Fault('overloaded', `a session has at most ${placesMax} places`)
    }
    this.#places.add(place)
    return () => {
      this.#places.delete(place)
    }
  }

  /** For openSession: keeps the lease alive until the session ends. */
  keep(): void {
    const third = (this.ttlSeconds * 1000) / 3
    this.#timer = this.ground.host.clock.after(third, () => {
      if (this.isLive()) inBackground(this.#keepOnce())
    })
  }

  get #trustMs(): number {
    return this.ttlSeconds * 1000 * (1 - cautionShare)
  }

  async #keepOnce(): Promise<void> {
    const { clock } = this.ground.host
    const sentMs = clock.monotonicMs()
    const deadlineMs = Math.max(1, Math.min(this.leftMs(), (this.ttlSeconds * 1000) / 3))
    try {
      const { leases } = this.ground.keyspace
      const { ttlSeconds } = await leases.keepAlive(this.lease, { deadlineMs })
      if (!this.isLive()) return
      if (ttlSeconds === 0) {
        this.#end(lost('its lease is gone'))
        return
      }
      this.#endsAtMs = Math.max(this.#endsAtMs, sentMs + this.#trustMs)
      this.keep()
    } catch (error) {
      if (!isFault(error)) throw error
      if (!this.isLive()) return
      const pauseMs = Math.max(retryMsMin, Math.min(this.leftMs(), this.ttlSeconds * 50))
      this.#timer = clock.after(pauseMs, () => {
        if (this.isLive()) inBackground(this.#keepOnce())
      })
    }
  }

  /** Lost: the owner hears of it first, then the lease is revoked, so that others need not wait. */
  #end(fault: Fault): void {
    if (this.#ended.signal.aborted) return
    this.#stop(fault)
    inBackground(this.#revoke())
  }

  #stop(fault: Fault): void {
    this.#timer?.cancel()
    this.#ended.abort(fault)
    const callbacks = [...this.#atEnd]
    this.#atEnd.clear()
    for (const run of callbacks) run()
  }

  async #revoke(): Promise<void> {
    try {
      await this.ground.keyspace.leases.revoke(this.lease, { deadlineMs: revokeMs })
    } catch (error) {
      if (!isFault(error, 'not-found')) throw error
    }
  }
}

function lost(why: string): Fault {
  return new Fault('precondition', `the session has ended: ${why}`, {
    fields: { session: 'ended' },
    next: 'Open another session.',
  })
}

/** Why a session ended, as a fault to be thrown. */
export function toFaultOf(signal: AbortSignal): Fault {
  return isFault(signal.reason) ? signal.reason : lost('it was closed')
}

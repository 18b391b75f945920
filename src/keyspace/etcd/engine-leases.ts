// Leases on an etcd cluster, where an id is the cluster's and not a namespace's: who grants without an id gets a
// random one, and the ids of our own sessions are kept apart and never listed.
//
// A grant that is repeated under an id that this thread chose is known by it; one under the caller's id that finds
// the lease there after an attempt in doubt cannot tell whose it is, and says so. A revoke that finds nothing after
// an attempt in doubt has done what it was asked.

import {
  compareBytes,
  Fault,
  isFault,
  type Revision,
  revision as toRevision,
} from '../../base/index.ts'
import { checkNumber } from '../core/check.ts'
import type { LeaseList, Leases, LeaseTime, LeaseTimeToLive, RequestOptions } from '../keyspace.ts'
import { type Attempt, optionsOf } from './attempts.ts'
import type { Space } from './core/names.ts'
import { plainRange } from './core/translate.ts'
import type { Engine } from './engine.ts'
import { etcdMethods } from './methods.ts'
import { sessionIdsFrom } from './once.ts'

const halfOfIds = 2 ** 26

export class EngineLeases implements Leases {
  readonly #engine: Engine
  readonly #space: Space

  constructor(engine: Engine, space: Space) {
    this.#engine = engine
    this.#space = space
  }

  async grant(
    request: { readonly id?: number; readonly ttlSeconds: number },
    options: RequestOptions = {},
  ): Promise<LeaseTime> {
    const { id: asked = 0, ttlSeconds: ttl } = request
    checkId(asked)
    checkNumber(ttl, 'ttlSeconds')
    const { random } = this.#engine.host
    const drawn = random.integer(halfOfIds - 1) * halfOfIds + random.integer(halfOfIds) + 1
    const id = asked === 0 ? drawn : asked
    return this.#engine.mutate(options, async (attempt) => {
      const { channel } = this.#engine
      try {
        const answer = await channel.unary(etcdMethods.leaseGrant, { id, ttl }, attempt)
        return timeOf(answer.header?.revision ?? 0, answer)
      } catch (error) {
        if (!attempt.isDoubtful || !isFault(error, 'precondition')) throw error
        if (asked === 0) return await this.timeToLive(id, optionsOf(attempt))
        const { message } = error
        throw new Fault('precondition', message, { outcome: 'unknown', cause: error })
      }
    })
  }

  async revoke(id: number, options: RequestOptions = {}): Promise<Revision> {
    checkId(id)
    return this.#engine.mutate(options, async (attempt) => {
      try {
        const { channel } = this.#engine
        const { header } = await channel.unary(etcdMethods.leaseRevoke, { id }, attempt)
        return toRevision(header?.revision ?? 0)
      } catch (error) {
        if (!attempt.isDoubtful || !isFault(error, 'not-found')) throw error
        return await this.#revision(attempt)
      }
    })
  }

  async keepAlive(id: number, options: RequestOptions = {}): Promise<LeaseTime> {
    checkId(id)
    return this.#engine.read(options, (attempt) => this.#keepAlive(id, attempt))
  }

  async timeToLive(
    id: number,
    options: RequestOptions & { readonly withKeys?: boolean } = {},
  ): Promise<LeaseTimeToLive> {
    checkId(id)
    const keys = options.withKeys === true
    return this.#engine.read(options, async (attempt) => {
      const { channel } = this.#engine
      const answer = await channel.unary(etcdMethods.leaseTimeToLive, { id, keys }, attempt)
      return {
        ...timeOf(answer.header?.revision ?? 0, { id, ttl: answer.ttl }),
        grantedTtlSeconds: answer.grantedTtl,
        keys: answer.keys.flatMap((key) => this.#space.inner(key) ?? []).sort(compareBytes),
      }
    })
  }

  async list(options: RequestOptions = {}): Promise<LeaseList> {
    return this.#engine.read(options, async (attempt) => {
      const { header, leases } = await this.#engine.channel.unary(etcdMethods.leases, {}, attempt)
      const ids = [...ownLeasesOf(leases)].sort((a, b) => a - b)
      return { revision: toRevision(header?.revision ?? 0), ids }
    })
  }

  /** A stream of one request: a keepalive is rare, and a lost stream loses nothing. */
  #keepAlive(id: number, attempt: Attempt): Promise<LeaseTime> {
    const { channel, host } = this.#engine
    return new Promise((resolve, reject) => {
      const end = (): void => {
        timer.cancel()
        attempt.signal?.removeEventListener('abort', onAbort)
        stream.cancel()
      }
      const stop = (fault: Fault): void => {
        end()
        reject(fault)
      }
      const onAbort = (): void => stop(new Fault('cancelled', 'the request was cancelled'))
      const timer = host.clock.after(attempt.ms, () => {
        channel.leave()
        stop(new Fault('deadline', 'no answer of etcd in time'))
      })
      attempt.signal?.addEventListener('abort', onAbort)
      const stream = channel.stream(etcdMethods.leaseKeepAlive, {
        onMessage: (answer) => {
          end()
          resolve(timeOf(answer.header?.revision ?? 0, { id, ttl: Math.max(0, answer.ttl) }))
        },
        onEnded: (fault) => {
          channel.leave()
          stop(fault)
        },
      })
      stream.send({ id })
    })
  }

  async #revision(attempt: Attempt): Promise<Revision> {
    const range = { ...plainRange, key: this.#space.outer(Uint8Array.of(0)), countOnly: true }
    const { header } = await this.#engine.channel.unary(etcdMethods.range, range, attempt)
    return toRevision(header?.revision ?? 0)
  }
}

/** Those of callers; ids that etcd chose for others have up to 63 bits. */
export function ownLeasesOf(
  leases: readonly ({ readonly id: number | bigint } | undefined)[],
): readonly number[] {
  return leases.flatMap((lease) => {
    const id = lease?.id ?? 0
    return typeof id === 'number' && id > 0 && id < sessionIdsFrom ? [id] : []
  })
}

function timeOf(revision: number, time: { readonly id: number; readonly ttl: number }): LeaseTime {
  return { revision: toRevision(revision), id: time.id, ttlSeconds: time.ttl }
}

function checkId(id: number): void {
  checkNumber(id, 'id')
  if (id < sessionIdsFrom) return
  throw new Fault('unsupported', 'with the engine etcd a lease has an id below 2^52')
}

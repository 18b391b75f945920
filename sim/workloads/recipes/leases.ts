// Leases with keys, kept alive for a while, revoked or left to end. Checked: no lease ends before its time after the
// grant or keepalive that was confirmed last, counted from when it was sent; after a revoke that was answered
// its keys are gone for everybody who reads; the keys of a lease go in one revision; and once nobody keeps it
// alive and faults are over, each ends.

import { isFault, type Random, utf8Decode, utf8Encode } from '../../../src/base/index.ts'
import type { FullKeyspace } from '../../../src/keyspace/index.ts'
import { WorldFailure } from '../../failures.ts'
import type { RunningNode } from '../keyspace-cluster.ts'
import { type Exercise, type ExerciseKind, repeat, type Stage } from '../recipes.ts'

const keysPerLease = 3
/** Clocks differ by 0.2 % each way, skewed ones apart. */
const lowerBound = 0.995
/** A new leader gives a lease all of its time again, and looks every half second. */
const endsWithinMs = 30_000

export const leases: ExerciseKind = {
  name: 'lease',
  promises: ['leases granted', 'keepalives', 'leases revoked', 'leases ended', 'ends watched'],
  create: (stage) => new LeaseExercise(stage),
}

type Known = {
  readonly id: number
  readonly ttlMs: number
  /** Of the last confirmed grant or keepalive. */
  aliveSentMs: number
  /** Somebody has asked for its end, with whatever outcome. */
  isRevokeAsked: boolean
  /** A revoke was answered. */
  isRevoked: boolean
  /** Revisions at which watches saw keys of it go, except by a delete of its own. */
  readonly ends: Set<number>
}

class LeaseExercise implements Exercise {
  readonly #stage: Stage
  readonly #leases = new Map<number, Known>()

  constructor(stage: Stage) {
    this.#stage = stage
  }

  opened(node: RunningNode): void {
    for (let i = 0; i < 2; i++) repeat(this.#stage, node, (random) => this.#own(node, random))
    repeat(this.#stage, node, () => this.#look(node))
    this.#watch(node, 0)
  }

  async #own(node: RunningNode, random: Random): Promise<void> {
    const { keyspace, host } = node
    const sentMs = this.#stage.world.nowMs
    const { id, ttlSeconds } = await keyspace.leases.grant({ ttlSeconds: 2 + random.integer(3) })
    this.#stage.world.count('leases granted')
    const lease: Known = {
      id,
      ttlMs: ttlSeconds * 1000 * lowerBound,
      aliveSentMs: sentMs,
      isRevokeAsked: false,
      isRevoked: false,
      ends: new Set(),
    }
    if (this.#leases.has(id)) throw new WorldFailure(`lease ${id} was granted twice`)
    this.#leases.set(id, lease)
    await this.#putKeys(keyspace, id)
    const rounds = random.integer(6)
    for (let i = 0; i < rounds; i++) {
      await host.clock.sleep(random.integer(1_200))
      await this.#keepAlive(keyspace, lease)
    }
    if (random.chance(0.6)) return
    lease.isRevokeAsked = true
    await keyspace.leases.revoke(id)
    lease.isRevoked = true
    this.#stage.world.count('leases revoked')
    const { kvs } = await keyspace.range(rangeOf(id))
    if (kvs.length > 0) throw new WorldFailure(`lease ${id} was revoked and has keys`)
  }

  /** In one transaction: all or none of them are there. */
  async #putKeys(keyspace: FullKeyspace, id: number): Promise<void> {
    const success = Array.from({ length: keysPerLease }, (_, i) => {
      const key = utf8Encode(`lease/${id}/${i}`)
      return { kind: 'put', key, value: utf8Encode(String(id)), lease: id } as const
    })
    await keyspace.txn({ compares: [], success, failure: [] })
  }

  async #keepAlive(keyspace: FullKeyspace, lease: Known): Promise<void> {
    const sentMs = this.#stage.world.nowMs
    const { ttlSeconds } = await keyspace.leases.keepAlive(lease.id)
    if (ttlSeconds === 0) {
      this.#ended(lease, 'a keepalive found nothing')
      return
    }
    if (lease.isRevoked) throw new WorldFailure(`lease ${lease.id} is kept alive after its end`)
    this.#stage.world.count('keepalives')
    lease.aliveSentMs = Math.max(lease.aliveSentMs, sentMs)
  }

  /** Somebody was told that it has ended: now or before. */
  #ended(lease: Known, how: string): void {
    const { id, isRevokeAsked, aliveSentMs, ttlMs } = lease
    const { nowMs, clockRateMax } = this.#stage.world
    // The leader counts by its own clock.
    const endsMs = aliveSentMs + ttlMs / clockRateMax
    if (isRevokeAsked || nowMs >= endsMs) return
    const leftMs = Math.round(endsMs - nowMs)
    throw new WorldFailure(`lease ${id} ended ${leftMs} ms early: ${how}`)
  }

  /** What there is, at a moment that a linearizable read fixes. */
  async #look({ keyspace, host }: RunningNode): Promise<void> {
    await host.clock.sleep(400)
    const known = [...this.#leases.values()].filter(({ ends }) => ends.size === 0).slice(-8)
    const { ids } = await keyspace.leases.list()
    const there = new Set(ids)
    for (const lease of known) {
      if (there.has(lease.id)) {
        const isLate = lease.isRevoked && known.includes(lease)
        if (isLate) await this.#mustBeGone(keyspace, lease)
      } else this.#ended(lease, 'it is in no list')
    }
  }

  async #mustBeGone(keyspace: FullKeyspace, { id }: Known): Promise<void> {
    const { ids } = await keyspace.leases.list()
    if (ids.includes(id)) throw new WorldFailure(`lease ${id} was revoked and is listed`)
  }

  #watch(node: RunningNode, startRevision: number): void {
    const range = { key: utf8Encode('lease/'), rangeEnd: utf8Encode('lease0') }
    let next = startRevision
    node.keyspace.watch(
      { ...range, startRevision, withoutPuts: true },
      {
        onResponse: ({ events, revision }) => {
          next = revision + 1
          for (const { kv } of events) this.#deleted(utf8Decode(kv.key), kv.modRevision)
          return true
        },
        onEnded: (fault) => {
          const compacted = isFault(fault, 'compacted') ? Number(fault.fields.compacted) + 1 : next
          node.host.schedule(100, 'watch again', () => this.#watch(node, compacted))
        },
      },
    )
  }

  #deleted(key: string, revision: number): void {
    const lease = this.#leases.get(Number(key.split('/')[1]))
    if (lease === undefined) return
    this.#stage.world.count('ends watched')
    lease.ends.add(revision)
    try {
      this.#ended(lease, `${key} was deleted at ${revision}`)
      if (lease.ends.size > 1) {
        throw new WorldFailure(`the keys of lease ${lease.id} went at ${[...lease.ends].join()}`)
      }
    } catch (error) {
      this.#stage.world.fail(error)
    }
  }

  async settle(): Promise<void> {
    const { cluster, world } = this.#stage
    await world.sleep(endsWithinMs)
    const { ids } = await cluster.ask('leases', (keyspace) => keyspace.leases.list())
    const left = ids.filter((id) => this.#leases.has(id))
    if (left.length > 0) throw new WorldFailure(`leases ${left.join()} do not end`)
    const range = { key: utf8Encode('lease/'), rangeEnd: utf8Encode('lease0') }
    const { kvs } = await cluster.ask('keys', (keyspace) => keyspace.range(range))
    if (kvs.length > 0) throw new WorldFailure(`${kvs.length} keys have no lease any more`)
    world.count('leases ended', this.#leases.size)
  }

  check(): void {}
}

function rangeOf(id: number) {
  return { key: utf8Encode(`lease/${id}/`), rangeEnd: utf8Encode(`lease/${id}0`) }
}

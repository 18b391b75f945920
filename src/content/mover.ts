// Moves of shards that lie on members that leave, or elsewhere than placement wants them since members have come or
// gone. Audits find them (auditor.ts) and each node queues those that it shall have itself; this fetches them, two at
// a time and throttled (pace.ts), asking for record and plan anew before each.
//
// Bounded: the queue holds so many; what an audit finds beyond is found again by the next, which follows when the
// queue has run empty. A move that fails is left to that audit too.

import { BoundedQueue, isFault, type NodeId, toHex } from '../base/index.ts'
import type { Context } from './context.ts'
import { copyShard } from './copy-shard.ts'
import { shardBytes } from './core/layout.ts'
import { caught } from './faults.ts'
import { rebuildShard } from './rebuild.ts'
import { hasNote, relocateShard } from './relocate.ts'
import type { Repairer } from './repairer.ts'
import type { StoredShards } from './stored-shards.ts'

export const queuedMax = 8_192
const workers = 2
/** A rate is told over this long. */
const rateWindowMs = 10_000

export type WantedMove = {
  readonly namespace: string
  readonly id: Uint8Array
  readonly shard: number
  readonly from: NodeId
  readonly bytes: number
}

export type MovesStatus = {
  /** That this node shall fetch, as of the last audit and what it fetched since. */
  readonly shardsLeft: number
  readonly bytesLeft: number
  /** Since this node started. */
  readonly movedShards: number
  readonly movedBytes: number
  /** Lately. 0: nothing moves. */
  readonly bytesPerSecond: number
  /** What disk and network gave when nothing held them back; 0: not measured yet. */
  readonly idleBytesPerSecond: number
}

export class Mover {
  readonly #context: Context
  readonly #stored: StoredShards
  readonly #repairer: Repairer
  #queue = new BoundedQueue<WantedMove>(queuedMax)
  #left = { shards: 0, bytes: 0 }
  #moved = { shards: 0, bytes: 0 }
  #window = { sinceMs: 0, bytes: 0, bytesPerSecond: 0 }
  #postponedCount = 0
  #isStopped = false

  constructor(context: Context, stored: StoredShards, repairer: Repairer) {
    this.#context = context
    this.#stored = stored
    this.#repairer = repairer
  }

  /** The findings of a whole audit take the place of those before. */
  found(
    wanted: readonly WantedMove[],
    all: { readonly shards: number; readonly bytes: number },
  ): void {
    const queue = new BoundedQueue<WantedMove>(queuedMax)
    for (const move of wanted) queue.push(move)
    this.#queue = queue
    this.#left = { ...all }
  }

  get hasWork(): boolean {
    return this.#queue.length > 0
  }

  stop(): void {
    this.#isStopped = true
    this.#context.pace.stop()
  }

  status(): MovesStatus {
    const isOld = this.#context.host.clock.monotonicMs() - this.#window.sinceMs > 2 * rateWindowMs
    return {
      shardsLeft: this.#left.shards,
      bytesLeft: this.#left.bytes,
      movedShards: this.#moved.shards,
      movedBytes: this.#moved.bytes,
      bytesPerSecond: isOld ? 0 : Math.round(this.#window.bytesPerSecond),
      idleBytesPerSecond: this.#context.pace.idleBytesPerSecond,
    }
  }

  /** Works the queue off; answers how many shards were moved, and how many could not be now. */
  async run(): Promise<{ readonly moved: number; readonly postponed: number }> {
    const before = this.#moved.shards
    this.#postponedCount = 0
    await Promise.all(Array.from({ length: workers }, () => this.#work()))
    return { moved: this.#moved.shards - before, postponed: this.#postponedCount }
  }

  async #work(): Promise<void> {
    for (;;) {
      const move = this.#isStopped ? undefined : this.#queue.shift()
      if (move === undefined) return
      const isDone = await this.#move(move).catch((error: unknown) => this.#postponed(error))
      if (!isDone) {
        this.#postponedCount++
        continue
      }
      this.#left = {
        shards: Math.max(0, this.#left.shards - 1),
        bytes: Math.max(0, this.#left.bytes - move.bytes),
      }
    }
  }

  /** True when nothing is left to do for it. */
  async #move({ namespace, id, shard }: WantedMove): Promise<boolean> {
    const { self, table, pace } = this.#context
    const keyspace = await table.open(namespace)
    const found = await table.find(keyspace, id)
    if (found === undefined) return true
    const facts = this.#repairer.facts()
    const planned = this.#repairer
      .planMoves(id, found.record, facts)
      .find((move) => move.shard === shard)
    if (planned?.to !== self) return true
    if (await hasNote(keyspace, self, id)) return false
    const { from } = planned
    const chunk = { keyspace, id, record: found.record }
    const fault = await relocateShard(this.#context, chunk, {
      found,
      shard,
      previous: from,
      isPreviousMember: facts.members.has(from),
      holder: self,
      bring: async (stamp) => {
        const failed = await copyShard(this.#context, this.#stored, {
          chunk,
          shard,
          from,
          stamp,
          pace,
        })
        if (failed === undefined || isFault(failed, 'no-space')) return failed
        const request = { chunk, shard, holder: self, stamp, pace }
        return await rebuildShard(this.#context, this.#stored, request)
      },
    })
    if (fault !== undefined) {
      this.#context.holders.note(self, fault)
      const fields = { chunk: toHex(id), shard, code: fault.code, why: fault.message }
      this.#context.host.journal.event('debug', 'content.move_failed', fields)
      return false
    }
    this.#count(shardBytes(found.record))
    return true
  }

  #postponed(error: unknown): boolean {
    const { code } = caught(error)
    this.#context.host.journal.event('debug', 'content.move_postponed', { code })
    return false
  }

  #count(bytes: number): void {
    this.#moved = { shards: this.#moved.shards + 1, bytes: this.#moved.bytes + bytes }
    const nowMs = this.#context.host.clock.monotonicMs()
    const window = this.#window
    const tookMs = nowMs - window.sinceMs
    if (tookMs > 2 * rateWindowMs) {
      this.#window = { sinceMs: nowMs, bytes, bytesPerSecond: 0 }
      return
    }
    const total = window.bytes + bytes
    const bytesPerSecond = (1000 * total) / Math.max(1, tookMs)
    this.#window =
      tookMs > rateWindowMs
        ? { sinceMs: nowMs - rateWindowMs / 2, bytes: total / 2, bytesPerSecond }
        : { ...window, bytes: total, bytesPerSecond }
  }
}

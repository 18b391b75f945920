// Repair of single shards: one that this node should have and has not (or has damaged), and one that has no
// lasting holder and falls to this node.
// A member that drains and is up is not gone: its shards are moved (mover.ts), not repaired.

import { type Fault, isFault, type NodeId, toHex } from '../base/index.ts'
import { type Member, ruleOf } from '../cluster/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { FoundChunk } from './chunk-table.ts'
import type { Context } from './context.ts'
import { type Move, planMoves } from './core/move-plan.ts'
import { type Assignment, planRepair, type RepairFacts } from './core/repair-plan.ts'
import { type ChunkRecord, namespaceTag, noHolder, shardKey } from './core/records.ts'
import { rebuildShard } from './rebuild.ts'
import { hasNote, relocateShard } from './relocate.ts'
import type { StoredShards } from './stored-shards.ts'

export type RepairOutcome = 'repaired' | 'needless' | 'failed'

export class Repairer {
  readonly #context: Context
  readonly #stored: StoredShards
  readonly #repairAfterMs: number | undefined
  /** Since when a member is seen offline; only members are kept. */
  readonly #offlineSince = new Map<NodeId, number>()

  constructor(context: Context, stored: StoredShards, repairAfterMs: number | undefined) {
    this.#context = context
    this.#stored = stored
    this.#repairAfterMs = repairAfterMs
  }

  /** What the cluster looks like now; to be asked again for each page of an audit. */
  facts(): ClusterFacts {
    const members = this.#context.view.members()
    const nowMs = this.#context.host.clock.monotonicMs()
    const repairAfterMs = this.#repairAfterMs ?? ruleOf(this.#context.view.settings()).repairAfterMs
    const byId = new Map(members.map((member) => [member.id, member]))
    const heirs = new Map<NodeId, NodeId>()
    for (const { id, replaces, state } of members) {
      if (replaces !== undefined) heirs.set(replaces, id)
      if (state !== 'offline') this.#offlineSince.delete(id)
      else if (!this.#offlineSince.has(id)) this.#offlineSince.set(id, nowMs)
    }
    for (const id of this.#offlineSince.keys()) if (!byId.has(id)) this.#offlineSince.delete(id)
    return {
      members: byId,
      replacement: (holder) => heirs.get(holder),
      isGone: (holder) => {
        const member = byId.get(holder)
        if (member === undefined || heirs.has(holder)) return true
        if (member.state === 'draining') return !this.#context.holders.isUp(holder)
        const sinceMs = this.#offlineSince.get(holder)
        return sinceMs !== undefined && nowMs - sinceMs >= repairAfterMs
      },
    }
  }

  plan(id: Uint8Array, record: ChunkRecord, facts: ClusterFacts): readonly Assignment[] {
    const isWhole = record.holders.every((holder) => holder !== noHolder && !facts.isGone(holder))
    if (isWhole) return []
    return planRepair(record, { ...facts, preferred: this.#preferred(id, record, facts) })
  }

  /** Where the shards of a whole chunk should go; empty for one that needs repair first. */
  planMoves(id: Uint8Array, record: ChunkRecord, facts: ClusterFacts): readonly Move[] {
    const { holders } = this.#context
    const ideal = holders.ideal(id, record.holders.length)
    const isLeaving = (holder: NodeId): boolean => facts.members.get(holder)?.state === 'draining'
    const isRight = record.holders.every((holder) => ideal.includes(holder))
    if (isRight) return []
    const canTake = (holder: NodeId): boolean => holders.canTake(holder)
    const isLeft = (holder: NodeId): boolean => facts.isGone(holder) || isLeaving(holder)
    const preferred = record.holders.some(isLeaving)
      ? this.#preferred(id, record, { ...facts, isGone: isLeft })
      : []
    return planMoves(record, { ...facts, ideal, isLeaving, canTake, preferred })
  }

  /** Makes this node's own shard again when the record, asked anew, still wants it here. */
  async restoreOwn(keyspace: Keyspace, id: Uint8Array, shard: number): Promise<RepairOutcome> {
    const { self, table } = this.#context
    const found = await table.find(keyspace, id)
    if (found === undefined || found.record.holders[shard] !== self) return 'needless'
    if (this.#stored.segments.find(keyOfShard(keyspace, id, shard)) === undefined) {
      const fields = { chunk: toHex(id), shard }
      this.#context.host.journal.event('warning', 'content.shard_missing', fields)
    }
    const { number: stamp } = await table.freshSweepNumber(keyspace)
    const chunk = { keyspace, id, record: found.record }
    const request = { chunk, shard, holder: self, stamp }
    const fault = await rebuildShard(this.#context, this.#stored, request)
    if (fault === undefined) return 'repaired'
    this.#journalFailure(id, shard, fault)
    return 'failed'
  }

  /** Makes a shard without a lasting holder, if it still falls to this node. */
  async adopt(keyspace: Keyspace, id: Uint8Array, shard: number): Promise<RepairOutcome> {
    const { self, table } = this.#context
    const found = await table.find(keyspace, id)
    if (found === undefined) return 'needless'
    const facts = this.facts()
    const mine = this.plan(id, found.record, facts).find((assigned) => assigned.shard === shard)
    if (mine?.target !== self) return 'needless'
    const others = this.#preferred(id, found.record, facts).filter(
      (holder) => holder !== self && !found.record.holders.includes(holder),
    )
    for (const holder of [self, ...others]) {
      if (await hasNote(keyspace, holder, id)) continue
      const fault = await this.#move(keyspace, id, { found, assignment: mine, holder, facts })
      if (fault === undefined) return 'repaired'
      this.#journalFailure(id, shard, fault)
      if (!isFault(fault, 'no-space')) return 'failed'
      this.#context.holders.note(holder, fault)
    }
    return 'failed'
  }

  async #move(
    keyspace: Keyspace,
    id: Uint8Array,
    move: {
      readonly found: FoundChunk
      readonly assignment: Assignment
      readonly holder: NodeId
      readonly facts: ClusterFacts
    },
  ): Promise<Fault | undefined> {
    const { found, assignment, holder, facts } = move
    const { shard, previous } = assignment
    const chunk = { keyspace, id, record: found.record }
    const isPreviousMember = facts.members.has(previous)
    const relocation = { found, shard, previous, isPreviousMember, holder }
    return await relocateShard(this.#context, chunk, {
      ...relocation,
      bring: (stamp) => rebuildShard(this.#context, this.#stored, { chunk, shard, holder, stamp }),
    })
  }

  /** For the shards that lack a holder; those that have one keep it, and count for the labels. */
  #preferred(id: Uint8Array, record: ChunkRecord, facts: ClusterFacts): readonly NodeId[] {
    const { holders } = this.#context
    const held = record.holders.filter((holder) => holder !== noHolder && !facts.isGone(holder))
    const beside = { held, shards: record.holders.length }
    return holders
      .choose(id, holders.eligible().length, beside)
      .filter((holder) => holders.canTake(holder))
  }

  #journalFailure(id: Uint8Array, shard: number, fault: Fault): void {
    this.#context.host.journal.event('notice', 'content.repair_failed', {
      chunk: toHex(id),
      shard,
      code: fault.code,
      why: fault.message,
    })
  }
}

export type ClusterFacts = Omit<RepairFacts, 'preferred'> & {
  readonly members: ReadonlyMap<NodeId, Member>
}

/** The key of a chunk's shard on a node's disk. */
export function keyOfShard(keyspace: Keyspace, id: Uint8Array, shard: number): Uint8Array {
  return shardKey({ tag: namespaceTag(keyspace.name), id, shard })
}

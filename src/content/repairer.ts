// Repair of single shards: one that this node should have and has not (or has damaged), and one that has no
// lasting holder and falls to this node.
//
// Moving a shard is bytes first, name last, like any write: the shard is written with the present sweep
// number, then one transaction changes the record, on condition that record and sweep number are as read.
// A node that still has a note to delete a shard of the chunk ('x/') is no target. Otherwise: 1. a shard leaves
// node 3, which is down, and a note waits for it; 2. node 3 returns and is given the shard again; 3. node 3
// follows the note. A note made later comes with a change of the record, which fails the transaction.

import { equalBytes, Fault, isFault, type NodeId, toHex } from '../base/index.ts'
import { type Member, ruleOf } from '../cluster/index.ts'
import type { Keyspace, Operation } from '../keyspace/index.ts'
import { type FoundChunk, sweepCompare } from './chunk-table.ts'
import type { Context } from './context.ts'
import { type Assignment, planRepair, type RepairFacts } from './core/repair-plan.ts'
import {
  type ChunkRecord,
  chunkTable,
  encodeChunk,
  encodeFreed,
  namespaceTag,
  noHolder,
  shardKey,
} from './core/records.ts'
import { rebuildShard } from './rebuild.ts'
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
        if (member === undefined || heirs.has(holder) || member.state === 'draining') return true
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

  /** Makes this node's own shard again when the record, asked anew, still wants it here. */
  async restoreOwn(keyspace: Keyspace, id: Uint8Array, shard: number): Promise<RepairOutcome> {
    const { self, table } = this.#context
    const found = await table.find(keyspace, id)
    if (found === undefined || found.record.holders[shard] !== self) return 'needless'
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
      if (await this.#hasNote(keyspace, holder, id)) continue
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
    const { found, assignment, holder } = move
    const { shard, previous } = assignment
    const sweep = await this.#context.table.freshSweepNumber(keyspace)
    const chunk = { keyspace, id, record: found.record }
    const request = { chunk, shard, holder, stamp: sweep.number }
    const fault = await rebuildShard(this.#context, this.#stored, request)
    if (fault !== undefined) return fault
    const record = { ...found.record, holders: found.record.holders.with(shard, holder) }
    const key = chunkTable.chunk(id)
    const { succeeded } = await keyspace.txn({
      compares: [
        { key, target: 'mod', result: 'equal', operand: found.modRevision },
        sweepCompare(sweep),
      ],
      success: [
        { kind: 'put', key, value: encodeChunk(record) },
        { kind: 'put', key: chunkTable.atNode(holder, id), value: new Uint8Array(0) },
        ...this.#leavingOperations(id, { shard, previous, facts: move.facts }),
      ],
      failure: [],
    })
    if (succeeded) return undefined
    return new Fault('conflict', 'the chunk or the sweep number changed during the repair')
  }

  #leavingOperations(
    id: Uint8Array,
    left: { readonly shard: number; readonly previous: NodeId; readonly facts: ClusterFacts },
  ): Operation[] {
    const { shard, previous, facts } = left
    if (previous === noHolder) return []
    const leave: Operation = { kind: 'delete', key: chunkTable.atNode(previous, id) }
    if (!facts.members.has(previous)) return [leave]
    const value = encodeFreed({ shard, freedMs: this.#context.host.clock.wallMs() })
    return [leave, { kind: 'put', key: chunkTable.freed(previous, id), value }]
  }

  async #hasNote(keyspace: Keyspace, holder: NodeId, id: Uint8Array): Promise<boolean> {
    const key = chunkTable.freed(holder, id)
    const { kvs } = await keyspace.range({ key })
    return kvs.some((row) => equalBytes(row.key, key))
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

// Audit: one pass over the chunk tables by pages. For each record it sees which shards lack a lasting holder
// and whether this node's own shards are here, repairs what falls to this node, and counts the rest. Of whole chunks
// it collects the shards that this node shall fetch (mover.ts), and what each member holds.
//
// Pages are read from this node's replica where it has one: an audit is a hint, every repair asks again before
// it acts. At most repairsMax repairs run at a time, so an audit holds a few stripes of memory whatever
// the table's size.

import { keyAfter, type NodeId, prefixEnd } from '../base/index.ts'
import type { Keyspace, KeyValue } from '../keyspace/index.ts'
import type { Context } from './context.ts'
import { type ChunkRecord, chunkIdOf, chunkTable, decodeChunk, noHolder } from './core/records.ts'
import { shardBytes } from './core/layout.ts'
import { caught } from './faults.ts'
import { queuedMax, type WantedMove } from './mover.ts'
import { type ClusterFacts, keyOfShard, type Repairer, type RepairOutcome } from './repairer.ts'

const pageRows = 256
const repairsMax = 2
const heardMsMax = 1_000

export type AuditReport = {
  readonly chunks: number
  readonly repaired: number
  /** Shards without a lasting holder that is up, after the repairs of this pass. */
  readonly missing: number
  /** What this node shall fetch: the first of them, and all of them counted. */
  readonly moves: readonly WantedMove[]
  readonly movesLeft: { readonly shards: number; readonly bytes: number }
  /** By node id, of every holder that a record names. */
  readonly holders: readonly HolderCount[]
}

/** What one pass saw at a holder. */
export type HolderCount = {
  readonly node: NodeId
  readonly shards: number
  readonly bytes: number
  /** Chunks of which too few shards are readable without it. */
  readonly lastCopies: number
}

type Seen = {
  chunks: number
  repaired: number
  missing: number
  moves: WantedMove[]
  movesLeft: { shards: number; bytes: number }
  holders: Map<NodeId, { shards: number; bytes: number; lastCopies: number }>
}

type Repair = {
  readonly id: Uint8Array
  readonly shard: number
  readonly kind: 'restore' | 'adopt'
}

type AuditedChunk = {
  readonly id: Uint8Array
  readonly record: ChunkRecord
  readonly facts: ClusterFacts
}

export class Auditor {
  readonly #context: Context
  readonly #repairer: Repairer
  #isStopped = false

  constructor(context: Context, repairer: Repairer) {
    this.#context = context
    this.#repairer = repairer
  }

  /** Ends a running pass at its next page. */
  stop(): void {
    this.#isStopped = true
  }

  /** One pass. Faults of the keyspace are thrown; a repair that fails is counted as missing. */
  async run(namespaces: readonly string[]): Promise<AuditReport> {
    const seen: Seen = {
      chunks: 0,
      repaired: 0,
      missing: 0,
      moves: [],
      movesLeft: { shards: 0, bytes: 0 },
      holders: new Map(),
    }
    for (const namespace of namespaces) {
      const keyspace = await this.#context.table.open(namespace)
      await this.#dropDanglingRows(keyspace)
      for await (const page of this.#pages(keyspace, chunkTable.chunkPrefix)) {
        await this.#auditPage(keyspace, page, seen)
      }
    }
    const holders = [...seen.holders].map(([node, counts]) => ({ node, ...counts }))
    return { ...seen, holders: holders.sort((a, b) => a.node - b.node) }
  }

  async #auditPage(keyspace: Keyspace, page: readonly KeyValue[], seen: Seen): Promise<void> {
    const facts = this.#repairer.facts()
    const repairs: Repair[] = []
    for (const row of page) {
      const chunk = { id: chunkIdOf(row.key), record: decodeChunk(row.value), facts }
      const found = this.#auditChunk(keyspace, chunk)
      seen.missing += found.missing
      repairs.push(...found.repairs)
      this.#countHolders(chunk, seen)
      if (found.missing === 0) this.#collectMoves(keyspace.name, chunk, seen)
    }
    const { repaired, settled } = await this.#runAll(keyspace, repairs)
    seen.chunks += page.length
    seen.repaired += repaired
    seen.missing -= settled
  }

  #collectMoves(namespace: string, { id, record, facts }: AuditedChunk, seen: Seen): void {
    for (const { shard, from, to } of this.#repairer.planMoves(id, record, facts)) {
      if (to !== this.#context.self) continue
      const bytes = shardBytes(record)
      seen.movesLeft.shards++
      seen.movesLeft.bytes += bytes
      if (seen.moves.length < queuedMax) seen.moves.push({ namespace, id, shard, from, bytes })
    }
  }

  #countHolders({ record, facts }: AuditedChunk, seen: Seen): void {
    const bytes = shardBytes(record)
    const isReadable = (holder: NodeId): boolean =>
      holder !== noHolder && !facts.isGone(holder) && this.#context.holders.isUp(holder)
    const readable = record.holders.filter(isReadable)
    for (const holder of record.holders) {
      if (holder === noHolder) continue
      const others = readable.length - (readable.includes(holder) ? 1 : 0)
      const counts = seen.holders.get(holder) ?? { shards: 0, bytes: 0, lastCopies: 0 }
      counts.shards++
      counts.bytes += bytes
      if (others < record.dataShards) counts.lastCopies++
      seen.holders.set(holder, counts)
    }
  }

  #auditChunk(
    keyspace: Keyspace,
    { id, record, facts }: AuditedChunk,
  ): { readonly missing: number; readonly repairs: readonly Repair[] } {
    const { self, segments, holders } = this.#context
    const repairs: Repair[] = []
    let missing = 0
    for (const [shard, holder] of record.holders.entries()) {
      const isHere = holder !== self || segments.find(keyOfShard(keyspace, id, shard)) !== undefined
      const isHeld = holder !== noHolder && !facts.isGone(holder) && holders.isUp(holder)
      if (!isHere) repairs.push({ id, shard, kind: 'restore' })
      if (!isHere || !isHeld) missing++
    }
    for (const { shard, target } of this.#repairer.plan(id, record, facts)) {
      if (target === self) repairs.push({ id, shard, kind: 'adopt' })
    }
    return { missing, repairs }
  }

  /** How many were made again, and how many are in order now, for whatever reason. */
  async #runAll(
    keyspace: Keyspace,
    repairs: readonly Repair[],
  ): Promise<{ readonly repaired: number; readonly settled: number }> {
    let repaired = 0
    let settled = 0
    for (let at = 0; at < repairs.length && !this.#isStopped; at += repairsMax) {
      const some = repairs.slice(at, at + repairsMax)
      const outcomes = await Promise.all(some.map((repair) => this.#repair(keyspace, repair)))
      repaired += outcomes.filter((outcome) => outcome === 'repaired').length
      settled += outcomes.filter((outcome) => outcome !== 'failed').length
    }
    return { repaired, settled }
  }

  async #repair(keyspace: Keyspace, { id, shard, kind }: Repair): Promise<RepairOutcome> {
    try {
      if (kind === 'restore') return await this.#repairer.restoreOwn(keyspace, id, shard)
      return await this.#repairer.adopt(keyspace, id, shard)
    } catch (error) {
      const { code } = caught(error)
      this.#context.host.journal.event('debug', 'content.repair_postponed', { code })
      return 'failed'
    }
  }

  /** Index rows of this node whose chunk was freed while repair put it there (release.ts). */
  async #dropDanglingRows(keyspace: Keyspace): Promise<void> {
    const prefix = chunkTable.ofNode(this.#context.self)
    for await (const page of this.#pages(keyspace, prefix)) {
      const ids = page.map((row) => chunkIdOf(row.key))
      const results = await Promise.all(
        ids.map((id) =>
          keyspace.range({
            key: chunkTable.chunk(id),
            countOnly: true,
            isSerializable: this.#isReplicaFresh(keyspace),
          }),
        ),
      )
      for (const [i, id] of ids.entries()) {
        if (results[i]?.count !== 0) continue
        await keyspace.txn({
          compares: [{ key: chunkTable.chunk(id), target: 'mod', result: 'equal', operand: 0 }],
          success: [{ kind: 'delete', key: chunkTable.atNode(this.#context.self, id) }],
          failure: [],
        })
      }
    }
  }

  async *#pages(keyspace: Keyspace, prefix: Uint8Array): AsyncGenerator<readonly KeyValue[]> {
    const rangeEnd = prefixEnd(prefix)
    let key = prefix
    for (;;) {
      if (this.#isStopped) return
      const isSerializable = this.#isReplicaFresh(keyspace)
      const { kvs, more } = await keyspace.range({ key, rangeEnd, limit: pageRows, isSerializable })
      const last = kvs.at(-1)
      if (last === undefined) return
      yield kvs
      if (!more) return
      key = keyAfter(last.key)
      await new Promise<void>((resolve) => this.#context.host.clock.soon(resolve))
    }
  }

  #isReplicaFresh(keyspace: Keyspace): boolean {
    return keyspace.freshness().heardMsAgo <= heardMsMax
  }
}

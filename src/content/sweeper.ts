// Deleting shards of this node: those that were freed (a note under 'x/<self>/' says so) and those that nobody
// named and nobody can name any more. DESIGN.md has the argument; in short: a naming transaction compares the
// sweep number that its shards carry as stamp, so once the number was raised and the chunk table, read
// after that, does not name a shard with an older stamp, no transaction can name it without touching it first.

import { keyAfter, prefixEnd } from '../base/index.ts'
import type { Keyspace } from '../keyspace/index.ts'
import type { SegmentObject } from '../storage/index.ts'
import { sweepCompare } from './chunk-table.ts'
import type { Context } from './context.ts'
import {
  chunkIdOf,
  chunkTable,
  decodeFreed,
  encodeSweepNumber,
  namespaceTag,
  nodeOf,
  parseShardKey,
  type ShardName,
  shardKey,
  sweepKey,
} from './core/records.ts'
import type { StoredShards } from './stored-shards.ts'

const pageRows = 256
/** Raises that a stamp survives: long uploads look at the number once a minute and touch (writer.ts). */
const lag = 1

type Sweep = { readonly keyspace: Keyspace; readonly number: number }

export type SweeperOptions = {
  /** How long a freed shard stays for readers that began before; asked anew for each round. */
  readonly graceMs: () => number
}

export class Sweeper {
  readonly #context: Context
  readonly #stored: StoredShards
  readonly #options: SweeperOptions

  constructor(context: Context, stored: StoredShards, options: SweeperOptions) {
    this.#context = context
    this.#stored = stored
    this.#options = options
  }

  /** On the first live member: raises the sweep number of each namespace, drops notes of nodes that are gone. */
  async raise(namespaces: readonly string[]): Promise<void> {
    const { holders, self, table, view } = this.#context
    const first = view.members().find((member) => holders.isUp(member.id))
    if (first?.id !== self) return
    for (const namespace of namespaces) {
      const keyspace = await table.open(namespace)
      const seen = await table.freshSweepNumber(keyspace)
      await keyspace.txn({
        compares: [sweepCompare(seen)],
        success: [{ kind: 'put', key: sweepKey, value: encodeSweepNumber(seen.number + 1) }],
        failure: [],
      })
      await table.freshSweepNumber(keyspace)
      await this.#dropNotesOfGone(keyspace)
    }
  }

  /** Deletes shards that were freed longer ago than the grace (default: of the options). Answers how many. */
  async deleteFreed(
    namespaces: readonly string[],
    graceMs = this.#options.graceMs(),
  ): Promise<number> {
    let deleted = 0
    for (const namespace of namespaces) {
      const keyspace = await this.#context.table.open(namespace)
      deleted += await this.#deleteFreedOf(keyspace, graceMs)
    }
    return deleted
  }

  /** Deletes shards that are named nowhere and are too old to be. Answers how many. */
  async deleteUnnamed(namespaces: readonly string[]): Promise<number> {
    const sweeps = new Map<number, Sweep[]>()
    for (const namespace of namespaces) {
      const keyspace = await this.#context.table.open(namespace)
      const { number } = await this.#context.table.freshSweepNumber(keyspace)
      const tag = namespaceTag(namespace)
      sweeps.set(tag, [...(sweeps.get(tag) ?? []), { keyspace, number }])
    }
    let deleted = 0
    let after: Uint8Array | undefined
    for (;;) {
      const page = this.#stored.segments.list(after, pageRows)
      const last = page.at(-1)
      if (last === undefined) return deleted
      after = last.key
      deleted += await this.#sweepPage(page, sweeps)
    }
  }

  async #sweepPage(
    page: readonly SegmentObject[],
    sweeps: ReadonlyMap<number, readonly Sweep[]>,
  ): Promise<number> {
    let deleted = 0
    for (const object of page) {
      const name = parseShardKey(object.key)
      const ofTag = sweeps.get(name.tag) ?? []
      const isOld = ofTag.length > 0 && ofTag.every(({ number }) => object.stamp + lag < number)
      if (!isOld || (await this.#isNamed(name, ofTag))) continue
      await this.#stored.exclusive(async () => {
        if (this.#stored.segments.find(object.key)?.stamp !== object.stamp) return
        await this.#stored.segments.delete([object.key])
        deleted++
      })
    }
    return deleted
  }

  /** Linearizable, hence at least as late as the sweep numbers read before. */
  async #isNamed(name: ShardName, sweeps: readonly Sweep[]): Promise<boolean> {
    for (const { keyspace } of sweeps) {
      const found = await this.#context.table.find(keyspace, name.id)
      if (found?.record.holders[name.shard] === this.#context.self) return true
    }
    return false
  }

  async #deleteFreedOf(keyspace: Keyspace, graceMs: number): Promise<number> {
    const { self, host } = this.#context
    const prefix = chunkTable.freedOfNode(self)
    const tag = namespaceTag(keyspace.name)
    let deleted = 0
    let key = prefix
    for (;;) {
      const { kvs, more } = await keyspace.range({
        key,
        rangeEnd: prefixEnd(prefix),
        limit: pageRows,
      })
      const due = kvs.filter((row) => {
        const ageMs = host.clock.wallMs() - decodeFreed(row.value).freedMs
        return Math.abs(ageMs) >= graceMs
      })
      if (due.length > 0) {
        await this.#stored.segments.delete(
          due.map((row) => {
            const { shard } = decodeFreed(row.value)
            return shardKey({ tag, id: chunkIdOf(row.key), shard })
          }),
        )
        await keyspace.txn({
          compares: [],
          success: due.map((row) => ({ kind: 'delete', key: row.key })),
          failure: [],
        })
        deleted += due.length
      }
      const last = kvs.at(-1)
      if (last === undefined || !more) return deleted
      key = keyAfter(last.key)
    }
  }

  async #dropNotesOfGone(keyspace: Keyspace): Promise<void> {
    const rangeEnd = prefixEnd(chunkTable.freedPrefix)
    const members = new Set(this.#context.view.members().map((member) => member.id))
    let key = chunkTable.freedPrefix
    for (;;) {
      const { kvs } = await keyspace.range({ key, rangeEnd, limit: 1, keysOnly: true })
      const [row] = kvs
      if (row === undefined) return
      const node = nodeOf(row.key)
      const ofNode = chunkTable.freedOfNode(node)
      if (!members.has(node)) await keyspace.delete(ofNode, { rangeEnd: prefixEnd(ofNode) })
      key = prefixEnd(ofNode)
    }
  }
}

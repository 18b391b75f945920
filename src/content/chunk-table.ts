// Access to the chunk tables: records behind a bounded cache, and sweep numbers.
//
// A record changes only when a shard moves, so the cache may be stale: a reader that finds a shard missing
// asks fresh(). The sweep number is cached too; a stale one only makes the naming transaction fail, and
// Draft.refresh() asks again.

import { Fault, isFault, type NodeId, prefixEnd, toHex } from '../base/index.ts'
import type { Compare, Keyspace, Keyspaces, RangeResponse } from '../keyspace/index.ts'
import {
  type ChunkRecord,
  chunkTable,
  decodeChunk,
  decodeSweepNumber,
  sweepKey,
} from './core/records.ts'

const cachedMax = 8_192
/** A replica that heard from the leader within this answers reads of records. */
const heardMsMax = 1_000

/** The sweep number and the revision that set it (0: never raised). */
export type SweepNumber = { readonly number: number; readonly modRevision: number }

export type FoundChunk = { readonly record: ChunkRecord; readonly modRevision: number }

export class ChunkTable {
  readonly #keyspaces: Keyspaces
  readonly #records = new Map<string, ChunkRecord>()
  readonly #sweepNumbers = new Map<string, SweepNumber>()

  constructor(keyspaces: Keyspaces) {
    this.#keyspaces = keyspaces
  }

  open(namespace: string): Promise<Keyspace> {
    return this.#keyspaces.open(namespace)
  }

  /** Possibly stale. Fault 'not-found' when the table has no such chunk. */
  async record(keyspace: Keyspace, id: Uint8Array): Promise<ChunkRecord> {
    const cached = this.#records.get(cacheKey(keyspace, id))
    if (cached !== undefined) return cached
    if (keyspace.freshness().heardMsAgo <= heardMsMax) {
      const request = { key: chunkTable.chunk(id), isSerializable: true }
      const found = foundIn(await keyspace.range(request))
      if (found !== undefined) return this.#remember(keyspace, id, found.record)
    }
    return (await this.fresh(keyspace, id)).record
  }

  /** As of now. Fault 'not-found'. */
  async fresh(keyspace: Keyspace, id: Uint8Array): Promise<FoundChunk> {
    this.#records.delete(cacheKey(keyspace, id))
    const found = foundIn(await keyspace.range({ key: chunkTable.chunk(id) }))
    if (found === undefined) throw new Fault('not-found', `chunk ${toHex(id)} is not in the table`)
    this.#remember(keyspace, id, found.record)
    return found
  }

  /** As of now, or undefined when there is none. */
  async find(keyspace: Keyspace, id: Uint8Array): Promise<FoundChunk | undefined> {
    try {
      return await this.fresh(keyspace, id)
    } catch (error) {
      if (isFault(error, 'not-found')) return undefined
      throw error
    }
  }

  /** The last one seen, asked for when none was. */
  async sweepNumber(keyspace: Keyspace): Promise<SweepNumber> {
    return this.#sweepNumbers.get(keyspace.name) ?? (await this.freshSweepNumber(keyspace))
  }

  async freshSweepNumber(keyspace: Keyspace): Promise<SweepNumber> {
    const { kvs } = await keyspace.range({ key: sweepKey })
    const [row] = kvs
    const seen =
      row === undefined
        ? { number: 0, modRevision: 0 }
        : { number: decodeSweepNumber(row.value), modRevision: row.modRevision }
    this.#sweepNumbers.set(keyspace.name, seen)
    return seen
  }

  #remember(keyspace: Keyspace, id: Uint8Array, record: ChunkRecord): ChunkRecord {
    const oldest = this.#records.size >= cachedMax ? this.#records.keys().next() : undefined
    if (oldest?.done === false) this.#records.delete(oldest.value)
    this.#records.set(cacheKey(keyspace, id), record)
    return record
  }
}

/** How many shards of the namespace are named at a node, as of now. */
export async function countShardsOf(keyspace: Keyspace, node: NodeId): Promise<number> {
  const key = chunkTable.ofNode(node)
  const { count } = await keyspace.range({ key, rangeEnd: prefixEnd(key), countOnly: true })
  return count
}

/** Holds while nobody has raised the sweep number since it was read. */
export function sweepCompare(seen: SweepNumber): Compare {
  return { key: sweepKey, target: 'mod', result: 'equal', operand: seen.modRevision }
}

function foundIn(response: RangeResponse): FoundChunk | undefined {
  const [row] = response.kvs
  if (row === undefined) return undefined
  return { record: decodeChunk(row.value), modRevision: row.modRevision }
}

function cacheKey(keyspace: Keyspace, id: Uint8Array): string {
  return `${keyspace.name}:${toHex(id)}`
}

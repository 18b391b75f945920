// Freeing chunks: the operations that drop them from the chunk table and leave each holder a note to delete
// its shard. The record may be stale: a shard that repair has moved meanwhile gets no note, is named nowhere
// and falls to the sweep; its index row falls to the audit of its node.

import { isFault } from '../base/index.ts'
import type { Keyspace, Operation } from '../keyspace/index.ts'
import type { ChunkTable } from './chunk-table.ts'
import type { ChunkRef, Manifest } from './content.ts'
import { type ChunkRecord, chunkTable, encodeFreed, noHolder } from './core/records.ts'

const lookupsMax = 32

/** A chunk that the table does not know any more is skipped. */
export async function releaseChunks(
  table: ChunkTable,
  keyspace: Keyspace,
  manifest: Manifest,
  freedMs: number,
): Promise<readonly Operation[]> {
  const operations: Operation[] = []
  for (let at = 0; at < manifest.chunks.length; at += lookupsMax) {
    const refs = manifest.chunks.slice(at, at + lookupsMax)
    const records = await Promise.all(refs.map((ref) => recordOf(table, keyspace, ref)))
    for (const [i, ref] of refs.entries()) {
      const record = records[i]
      if (record !== undefined) operations.push(...freeingOperations(ref.id, record, freedMs))
    }
  }
  return operations
}

async function recordOf(
  table: ChunkTable,
  keyspace: Keyspace,
  ref: ChunkRef,
): Promise<ChunkRecord | undefined> {
  try {
    return await table.record(keyspace, ref.id)
  } catch (error) {
    if (isFault(error, 'not-found')) return undefined
    throw error
  }
}

function freeingOperations(id: Uint8Array, record: ChunkRecord, freedMs: number): Operation[] {
  const operations: Operation[] = [{ kind: 'delete', key: chunkTable.chunk(id) }]
  for (const [shard, holder] of record.holders.entries()) {
    if (holder === noHolder) continue
    operations.push({ kind: 'delete', key: chunkTable.atNode(holder, id) })
    const value = encodeFreed({ shard, freedMs })
    operations.push({ kind: 'put', key: chunkTable.freed(holder, id), value })
  }
  return operations
}

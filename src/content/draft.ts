// Durable chunks that nobody has named yet: the operations that name them, touching their shards when the
// sweep number has moved, and deleting them when they will never be named.

import { Fault, type NodeId } from '../base/index.ts'
import type { Keyspace, Operation } from '../keyspace/index.ts'
import { bulkMethod } from '../rpc/index.ts'
import { type SweepNumber, sweepCompare } from './chunk-table.ts'
import { durableCount, type StoredChunk } from './chunk-writer.ts'
import type { Draft } from './content.ts'
import { callDeadlineMs, type Context } from './context.ts'
import { shardCount } from './core/layout.ts'
import { chunkTable, encodeChunk, namespaceTag, noHolder, shardKey } from './core/records.ts'
import { keysMax, shardKeysCodec } from './core/shard-requests.ts'
import { caught } from './faults.ts'
import type { StoredShards } from './stored-shards.ts'

export type StoredContent = {
  readonly keyspace: Keyspace
  readonly chunks: readonly StoredChunk[]
  readonly sweep: SweepNumber
  readonly allowsBareQuorum: boolean
}

/** All chunks carry stamps of at least the sweep number. */
export function createDraft(context: Context, stored: StoredShards, content: StoredContent): Draft {
  const { keyspace, chunks, sweep, allowsBareQuorum } = content
  const lengths = chunks.map(({ id, record }) => ({ id, length: record.length }))
  return {
    manifest: { length: lengths.reduce((sum, chunk) => sum + chunk.length, 0), chunks: lengths },
    compares: chunks.length === 0 ? [] : [sweepCompare(sweep)],
    operations: chunks.flatMap(namingOperations),
    async refresh() {
      const present = await context.table.freshSweepNumber(keyspace)
      const touched = await touchChunks(context, stored, {
        keyspace,
        chunks,
        stamp: present.number,
        allowsBareQuorum,
      })
      return createDraft(context, stored, { ...content, chunks: touched, sweep: present })
    },
    async discard() {
      const places = chunks.map(({ id, record }) => ({ id, places: placesOf(record.holders) }))
      await discardShards(context, stored, keyspace.name, places)
    },
  }
}

function namingOperations({ id, record }: StoredChunk): Operation[] {
  const rows = placesOf(record.holders).map(
    ({ holder }): Operation => ({
      kind: 'put',
      key: chunkTable.atNode(holder, id),
      value: new Uint8Array(0),
    }),
  )
  return [{ kind: 'put', key: chunkTable.chunk(id), value: encodeChunk(record) }, ...rows]
}

export type TouchRequest = {
  readonly keyspace: Keyspace
  readonly chunks: readonly StoredChunk[]
  readonly stamp: number
  readonly allowsBareQuorum: boolean
}

/**
 * Raises the stamps of chunks that are below `stamp`. A shard whose holder does not answer or no longer has
 * it is struck from its record; Fault 'unavailable' when too few are left.
 */
export async function touchChunks(
  context: Context,
  stored: StoredShards,
  { keyspace, chunks, stamp, allowsBareQuorum }: TouchRequest,
): Promise<StoredChunk[]> {
  const older = chunks.filter((chunk) => chunk.stamp < stamp)
  if (older.length === 0) return [...chunks]
  const tag = namespaceTag(keyspace.name)
  const missing = new Set<string>()
  await Promise.all(
    [...keysByHolder(tag, older.map(toPlaced))].map(async ([holder, keys]) => {
      const isHere = await touchAt(context, stored, holder, { keys, stamp })
      for (const [i, key] of keys.entries()) if (isHere[i] !== true) missing.add(String(key))
    }),
  )
  return chunks.map((chunk) => {
    if (chunk.stamp >= stamp) return chunk
    const holders = chunk.record.holders.map((holder, shard) =>
      missing.has(String(shardKey({ tag, id: chunk.id, shard }))) ? noHolder : holder,
    )
    const touched = { ...chunk, stamp, record: { ...chunk.record, holders } }
    checkEnough(context, touched, allowsBareQuorum)
    return touched
  })
}

function checkEnough(context: Context, { record }: StoredChunk, allowsBareQuorum: boolean): void {
  const wanted = Math.min(record.dataShards + 1, shardCount(record))
  const durable = durableCount(record)
  const isBare = allowsBareQuorum && context.holders.upCount() < wanted
  if (durable >= (isBare ? record.dataShards : wanted)) return
  throw new Fault('unavailable', `only ${durable} shards of an unnamed chunk are still there`, {
    next: 'Repeat the upload.',
  })
}

/** For each key whether the holder has the shard; a holder that does not answer has none. */
async function touchAt(
  context: Context,
  stored: StoredShards,
  holder: NodeId,
  { keys, stamp }: { readonly keys: readonly Uint8Array[]; readonly stamp: number },
): Promise<readonly boolean[]> {
  try {
    if (holder === context.self) return await stored.touch(keys, stamp)
    const isHere: boolean[] = []
    for (let at = 0; at < keys.length; at += keysMax) {
      const request = shardKeysCodec.encode({ keys: keys.slice(at, at + keysMax), stamp })
      const options = { deadlineMs: callDeadlineMs }
      const answer = await context.rpc.call(holder, bulkMethod.shardTouch, request, options)
      for (const byte of answer) isHere.push(byte === 1)
    }
    return isHere
  } catch (error) {
    context.holders.note(holder, caught(error))
    return []
  }
}

export type PlacedChunk = {
  readonly id: Uint8Array
  readonly places: readonly { readonly shard: number; readonly holder: NodeId }[]
}

/** Best effort: what cannot be reached now is unnamed and falls to the sweep. Never fails. */
export async function discardShards(
  context: Context,
  stored: StoredShards,
  namespace: string,
  chunks: readonly PlacedChunk[],
): Promise<void> {
  const byHolder = keysByHolder(namespaceTag(namespace), chunks)
  await Promise.all(
    [...byHolder].map(async ([holder, keys]) => {
      try {
        await deleteAt(context, stored, holder, keys)
      } catch (error) {
        const { code } = caught(error)
        context.host.journal.event('debug', 'content.discard_failed', { holder, code })
      }
    }),
  )
}

async function deleteAt(
  context: Context,
  stored: StoredShards,
  holder: NodeId,
  keys: readonly Uint8Array[],
): Promise<void> {
  if (holder === context.self) {
    await stored.segments.delete(keys)
    return
  }
  for (let at = 0; at < keys.length; at += keysMax) {
    const request = shardKeysCodec.encode({ keys: keys.slice(at, at + keysMax), stamp: 0 })
    const options = { deadlineMs: callDeadlineMs }
    await context.rpc.call(holder, bulkMethod.shardDelete, request, options)
  }
}

function toPlaced({ id, record }: StoredChunk): PlacedChunk {
  return { id, places: placesOf(record.holders) }
}

function placesOf(
  holders: readonly NodeId[],
): readonly { readonly shard: number; readonly holder: NodeId }[] {
  return holders.flatMap((holder, shard) => (holder === noHolder ? [] : [{ shard, holder }]))
}

function keysByHolder(tag: number, chunks: readonly PlacedChunk[]): Map<NodeId, Uint8Array[]> {
  const keys = new Map<NodeId, Uint8Array[]>()
  for (const { id, places } of chunks) {
    for (const { shard, holder } of places) {
      const ofHolder = keys.get(holder) ?? []
      ofHolder.push(shardKey({ tag, id, shard }))
      keys.set(holder, ofHolder)
    }
  }
  return keys
}

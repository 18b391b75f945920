// Gives a shard to another node: bytes first, name last, like any write. The shard is written with the present sweep
// number, then one transaction changes the record, on condition that record and sweep number are as read, and
// leaves the node before it a note to delete its copy. Until then readers find the old copy, and the chunk never has
// a shard less than it had.
//
// A node that still has a note to delete a shard of the chunk ('x/') is no target. Otherwise: 1. a shard leaves
// node 3, which is down, and a note waits for it; 2. node 3 returns and is given the shard again; 3. node 3
// follows the note. A note made later comes with a change of the record, which fails the transaction.

import { equalBytes, Fault, type NodeId } from '../base/index.ts'
import type { Keyspace, Operation } from '../keyspace/index.ts'
import { type FoundChunk, sweepCompare } from './chunk-table.ts'
import type { Context } from './context.ts'
import { chunkTable, encodeChunk, encodeFreed, noHolder } from './core/records.ts'

export type Relocation = {
  readonly found: FoundChunk
  readonly shard: number
  /** noHolder: it has none. */
  readonly previous: NodeId
  /** The previous holder is a member, so that a note reaches it. */
  readonly isPreviousMember: boolean
  readonly holder: NodeId
}

/** `bring` makes the shard durable on its new holder, or answers why it cannot. Undefined when the move is done. */
export async function relocateShard(
  context: Context,
  chunk: { readonly keyspace: Keyspace; readonly id: Uint8Array },
  move: Relocation & { readonly bring: (stamp: number) => Promise<Fault | undefined> },
): Promise<Fault | undefined> {
  const { keyspace, id } = chunk
  const { found, shard, holder } = move
  const sweep = await context.table.freshSweepNumber(keyspace)
  const fault = await move.bring(sweep.number)
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
      ...leavingOperations(context, id, move),
    ],
    failure: [],
  })
  if (succeeded) return undefined
  return new Fault('conflict', 'the chunk or the sweep number changed during the repair')
}

/** The node has a copy of a shard of this chunk to delete yet. */
export async function hasNote(
  keyspace: Keyspace,
  holder: NodeId,
  id: Uint8Array,
): Promise<boolean> {
  const key = chunkTable.freed(holder, id)
  const { kvs } = await keyspace.range({ key })
  return kvs.some((row) => equalBytes(row.key, key))
}

function leavingOperations(
  context: Context,
  id: Uint8Array,
  { shard, previous, isPreviousMember }: Relocation,
): Operation[] {
  if (previous === noHolder) return []
  const leave: Operation = { kind: 'delete', key: chunkTable.atNode(previous, id) }
  if (!isPreviousMember) return [leave]
  const value = encodeFreed({ shard, freedMs: context.host.clock.wallMs() })
  return [leave, { kind: 'put', key: chunkTable.freed(previous, id), value }]
}

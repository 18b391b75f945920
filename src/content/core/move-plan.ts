// Which shards of a whole chunk should lie elsewhere: those on members that leave, and those that placement would put
// on another member now that members have come or gone. Every node computes the same plan; the one that shall have
// the shard fetches it. A chunk that lacks a holder is not moved: repair comes first (repair-plan.ts).
//
// Rendezvous hashing makes this minimal: a member that comes takes a shard of a chunk from one holder, and no other
// shard of it moves. What lies right is never touched, and a member that is merely down moves nothing.

import type { NodeId } from '../../base/index.ts'
import { type ChunkRecord, noHolder } from './records.ts'

export type MoveFacts = {
  /** Draining and up: it serves its shards while they are fetched. */
  readonly isLeaving: (holder: NodeId) => boolean
  /** Removed, replaced or lost for long. */
  readonly isGone: (holder: NodeId) => boolean
  /** Where placement wants the shards, members that are down for a while included; at most one per shard. */
  readonly ideal: readonly NodeId[]
  /** Up, with room. */
  readonly canTake: (id: NodeId) => boolean
  /** All that can take shards now, most wanted for this chunk first. */
  readonly preferred: readonly NodeId[]
}

export type Move = {
  readonly shard: number
  readonly from: NodeId
  /** Undefined: nobody can take it now. */
  readonly to: NodeId | undefined
}

export function planMoves(record: ChunkRecord, facts: MoveFacts): readonly Move[] {
  const { holders } = record
  if (holders.some((holder) => holder === noHolder || facts.isGone(holder))) return []
  const taken = new Set(holders)
  const free = facts.ideal.filter((id) => !taken.has(id))
  const leaving = shardsOf(holders, facts.isLeaving)
  if (leaving.length > 0) {
    return leaving.map((shard) => {
      const isOpen = (id: NodeId): boolean => !taken.has(id) && facts.canTake(id)
      const to = free.find(isOpen) ?? facts.preferred.find(isOpen)
      if (to !== undefined) taken.add(to)
      return { shard, from: holders[shard] ?? noHolder, to }
    })
  }
  const wrong = shardsOf(holders, (holder) => !facts.ideal.includes(holder))
  return wrong.flatMap((shard, i) => {
    const to = free[i]
    if (to === undefined || !facts.canTake(to)) return []
    return [{ shard, from: holders[shard] ?? noHolder, to }]
  })
}

function shardsOf(
  holders: readonly NodeId[],
  isMeant: (holder: NodeId) => boolean,
): readonly number[] {
  return holders.flatMap((holder, shard) => (isMeant(holder) ? [shard] : []))
}

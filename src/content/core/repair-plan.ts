// Which shards of a chunk lack a holder, and who shall make them again. Every node computes the same plan from
// the same members; the target does the work itself, so that a repair writes locally and no node directs
// another. Nodes that disagree for a moment do the work twice; the record changes for one of them only.

import type { NodeId } from '../../base/index.ts'
import { type ChunkRecord, noHolder } from './records.ts'

export type RepairFacts = {
  /** Removed, replaced, draining, or offline for too long: its shards are made again elsewhere. */
  readonly isGone: (holder: NodeId) => boolean
  /** Members that can take shards now, most wanted for this chunk first. */
  readonly preferred: readonly NodeId[]
  /** The member that took over from a gone one. */
  readonly replacement: (holder: NodeId) => NodeId | undefined
}

export type Assignment = {
  readonly shard: number
  /** noHolder, or the gone one. */
  readonly previous: NodeId
  /** Undefined: no member is free to take it. */
  readonly target: NodeId | undefined
}

/** One assignment per shard without a lasting holder, in shard order. */
export function planRepair(record: ChunkRecord, facts: RepairFacts): readonly Assignment[] {
  const taken = new Set(record.holders.filter((id) => id !== noHolder && !facts.isGone(id)))
  const vacant = record.holders.flatMap((holder, shard) =>
    taken.has(holder) ? [] : [{ shard, previous: holder }],
  )
  const isFree = (id: NodeId): boolean => !taken.has(id) && facts.preferred.includes(id)
  const targets = vacant.map(({ previous }) => {
    const heir = previous === noHolder ? undefined : facts.replacement(previous)
    if (heir === undefined || !isFree(heir)) return undefined
    taken.add(heir)
    return heir
  })
  return vacant.map(({ shard, previous }, i) => {
    const target = targets[i] ?? facts.preferred.find(isFree)
    if (target !== undefined) taken.add(target)
    return { shard, previous, target }
  })
}

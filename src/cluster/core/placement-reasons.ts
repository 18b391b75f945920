// Why each member holds a chunk's shards or does not, in words: what `placement explain` shows.

import type { NodeId } from '../../base/index.ts'
import type { Member, PlacementRule } from '../cluster.ts'
import { PlacementTable, type Verdict } from './placement.ts'

export type PlacementReason = {
  readonly node: NodeId
  readonly name: string
  readonly state: string
  readonly labels: Readonly<Record<string, string>>
  /** Its share is this of the sum of all. 0: takes no shards. */
  readonly weight: number
  /** By distance, from 1; 0: takes no shards. */
  readonly rank: number
  /** Would be given a shard if the chunk were written now. */
  readonly isChosen: boolean
  /** Numbers of the shards that it holds. */
  readonly shards: readonly number[]
  readonly why: string
}

export type ExplainedChunk = {
  readonly members: readonly Member[]
  readonly rule: PlacementRule
  readonly isUp: (id: NodeId) => boolean
  /** In shard order; empty when nobody holds anything. */
  readonly holders: readonly NodeId[]
}

/** Members that are given new shards. */
export function takesShards({ state }: Member): boolean {
  return state === 'online' || state === 'suspect' || state === 'joining'
}

/** The chosen first, in their order, then by rank, then those that take none. */
export function explainPlacement(
  chunk: Uint8Array,
  { members, rule, isUp, holders }: ExplainedChunk,
): readonly PlacementReason[] {
  const count = rule.dataShards + rule.parityShards
  const taking = members.filter(takesShards)
  const verdicts = new PlacementTable(taking, rule).explain(chunk, { count, isUp })
  const byId = new Map(verdicts.map((verdict) => [verdict.id, verdict]))
  const rows = members.map((member): PlacementReason & { readonly order: number } => {
    const { id, name, state, labels } = member
    const verdict = byId.get(id)
    const shards = holders.flatMap((holder, shard) => (holder === id ? [shard] : []))
    return {
      node: id,
      name,
      state,
      labels,
      weight: verdict?.weight ?? 0,
      rank: verdict?.rank ?? 0,
      isChosen: verdict?.verdict === 'chosen',
      shards,
      why: reasonOf(member, verdict, count),
      order: orderOf(verdict),
    }
  })
  return rows.sort((a, b) => a.order - b.order || a.node - b.node).map(({ order, ...row }) => row)
}

function orderOf(verdict: Verdict | undefined): number {
  if (verdict === undefined) return Number.MAX_SAFE_INTEGER
  return verdict.place > 0 ? verdict.place : 1_000 + verdict.rank
}

function reasonOf(member: Member, verdict: Verdict | undefined, count: number): string {
  if (verdict === undefined) return `takes no new shards: it is ${member.state}`
  switch (verdict.verdict) {
    case 'chosen':
      return `place ${verdict.place} of ${count}: ${verdict.rank === verdict.place ? 'nearest' : `rank ${verdict.rank}, nearest that fits`}`
    case 'crowded': {
      const labels = verdict.labels.map((label) => `${label}=${member.labels[label] ?? ''}`)
      return `passed over at rank ${verdict.rank}: ${labels.join(', ')} is there, and the places left are for other values`
    }
    case 'far':
      return `rank ${verdict.rank}: nearer members were chosen`
    case 'down':
      return 'not reachable now'
    case 'draining':
      return 'draining: only if nobody else is left'
    case 'held':
      return 'holds another shard'
  }
}

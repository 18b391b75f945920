// Giving up a lost quorum, offline: the replica of one surviving node becomes the only voter of a new
// generation of its group (fence.ts). The node must be stopped; the caller holds its lock.
//
// One row of the store decides everything in one transaction: the configuration (this node alone), the new
// generation, and `voidedTo`: changes of members in the log up to that entry have no effect when they are
// applied. The log stays as it is. All of its entries will be committed, also those of which this node
// never knew whether they were: what was acknowledged and is here is kept.
//
// Without `voidedTo`: (1) the log ends with a change to voters 1, 2 and 4 that was never known as committed;
// (2) the recovered node commits and applies it; (3) it waits for 2 and 4 again.
//
// The generation is a count and 24 random bits, so that two survivors that are both recovered by mistake
// refuse each other instead of taking themselves for one cluster.

import {
  Fault,
  type GroupId,
  groupId,
  type NodeId,
  nodeId,
  type Random,
  readUint64,
} from '../base/index.ts'
import type { Log, LogEntry, Store } from '../storage/index.ts'
import { formatFence, generationCount, nextGeneration, wipeAndRejoin } from './fence.ts'
import {
  decodeStateRow,
  emptyConfState,
  encodeStateRow,
  raftTable,
  readStateRow,
  type StateRow,
  stateRowKey,
} from './state-row.ts'

/** What a recovery of one group would do, and what it may lose. */
export type QuorumRecovery = {
  readonly group: GroupId
  /** '' for state of an older version that did not keep it. */
  readonly name: string
  readonly cluster: string
  readonly generation: number
  /** Members until now; in the middle of a change, those of both configurations. */
  readonly voters: readonly NodeId[]
  readonly learners: readonly NodeId[]
  /** Whether this node was a learner: its copy may lag far behind. */
  readonly wasLearner: boolean
  readonly applied: number
  /** Up to here this node knew entries as committed. */
  readonly committed: number
  readonly last: number
  /** Entries behind `committed` that will take effect although they may never have been acknowledged. */
  readonly uncertain: number
  /** Changes of members among the entries not yet applied: they will have no effect. */
  readonly voidedChanges: number
}

export type StoredGroup = { readonly group: GroupId; readonly name: string }

/** The groups that have state in this store, by id. */
export function storedGroups(store: Store): readonly StoredGroup[] {
  return store
    .range(raftTable, { start: new Uint8Array(0), end: new Uint8Array(0) })
    .map(({ key, value }) => ({
      group: groupId(readUint64(key, 0)),
      name: decodeStateRow(value).name,
    }))
}

/**
 * Fault 'not-found' without state of the group here; 'precondition' when this node already is the only
 * voter, when this state was itself given up, or when log and store do not belong together.
 */
export function planQuorumRecovery(
  { log, store }: { readonly log: Log; readonly store: Store },
  { group, self }: { readonly group: GroupId; readonly self: NodeId },
): QuorumRecovery {
  const row = mustHaveState(store, group)
  const { voters, votersOutgoing, learners } = row.confState
  const everyone = [...new Set([...voters, ...votersOutgoing])].sort((a, b) => a - b)
  if (everyone.length === 1 && everyone[0] === self) {
    throw new Fault('precondition', `node ${self} is the only voter of the group already`)
  }
  const kept = log.recovered.get(group)
  const entries = (kept?.entries ?? []).filter((entry) => entry.index > row.applied)
  const cutIndex: number = kept?.cut.index ?? 0
  if (cutIndex > row.applied) {
    const what = `the store holds the state of entry ${row.applied}, but the log begins after entry ${cutIndex}`
    throw new Fault('precondition', what, { next: 'recover another survivor' })
  }
  const last = row.applied + entries.length
  const committed = Math.min(last, Math.max(row.applied, kept?.hardState.commit ?? 0))
  return {
    group,
    name: row.name,
    cluster: formatFence(row.fence),
    generation: generationCount(row.fence.generation),
    voters: everyone.map(nodeId),
    learners: learners.map(nodeId),
    wasLearner: !everyone.includes(self),
    applied: row.applied,
    committed,
    last,
    uncertain: last - committed,
    voidedChanges: entries.filter(isChange).length,
  }
}

/** Durable when it settles. Must follow its plan with nothing between. */
export async function runQuorumRecovery(
  { store, random }: { readonly store: Store; readonly random: Random },
  { plan, self }: { readonly plan: QuorumRecovery; readonly self: NodeId },
): Promise<void> {
  const row = mustHaveState(store, plan.group)
  const generation = nextGeneration(row.fence.generation, random)
  const recovered: StateRow = {
    ...row,
    confState: { ...emptyConfState, voters: [self] },
    fence: { ...row.fence, generation },
    voidedTo: Math.max(row.voidedTo, plan.last),
  }
  store.transaction(() => {
    store.put(raftTable, stateRowKey(plan.group), encodeStateRow(recovered))
  })
  await store.checkpoint()
}

function mustHaveState(store: Store, group: GroupId): StateRow {
  const row = readStateRow(store, group)
  if (row === undefined) {
    throw new Fault('not-found', `this data directory holds no state of group ${group}`)
  }
  if (row.supersededBy > 0) {
    const what = `the state of group ${group} here was given up when another node was recovered`
    throw new Fault('precondition', what, { next: wipeAndRejoin })
  }
  return row
}

function isChange({ kind }: LogEntry): boolean {
  return kind !== 0
}

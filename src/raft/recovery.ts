// Where a group starts on this node: what the log kept, held against what the store holds.
//
//   store    log                               start
//   none     none, and self is a founder       genesis: the state after entry 1 of term 1, empty
//   none     nothing but terms and votes       empty: waits for the leader's snapshot
//   applied  holds that entry                  as recovered; entries after it are applied again
//   applied  ends before it, or another term   from the store: a snapshot was installed and the crash
//                                              came before the log was cut
//   older than the log's cut                   Fault 'corrupt': entries in between are gone
//   of another cluster than the owner says     Fault 'precondition' (fence.ts), as of an older generation
//   without a cluster, and the owner names one takes it on
//
// Genesis is entry 1 and not entry 0, so that the configuration of the founders is never missing from
// what a newcomer receives: its log is empty, entry 1 cannot be sent, so it always starts from a
// snapshot, which carries the configuration.

import { equalBytes, Fault, type GroupId, logIndex, type NodeId, term } from '../base/index.ts'
import type { GroupAppend, LogEntry, RecoveredGroup } from '../storage/index.ts'
import type { Entry, HardState } from './core/index.ts'
import {
  type Fence,
  fenceOf,
  formatFence,
  generationCount,
  logFenceNumber,
  wipeAndRejoin,
} from './fence.ts'
import type { GroupOptions } from './group.ts'
import { kindNumber, kindOf } from './messages.ts'
import { emptyConfState, type StateRow } from './state-row.ts'

export type GroupStart = {
  /** Written to the store first when it is not there yet. */
  readonly row: StateRow
  readonly isNewRow: boolean
  readonly hardState: HardState
  readonly cut: { readonly index: number; readonly term: number }
  readonly entries: readonly Entry[]
  /** To be durable before the group runs. */
  readonly repair: readonly GroupAppend[]
}

const genesis = { index: 1, term: 1 }
const noBytes = new Uint8Array(0)

type StartOptions = Pick<GroupOptions, 'group' | 'name' | 'founders' | 'clusterId' | 'generation'>

export function planStart(
  options: StartOptions,
  found: {
    readonly self: NodeId
    readonly row: StateRow | undefined
    readonly recovered: RecoveredGroup | undefined
  },
): GroupStart {
  const fence = admittedFence(options, found)
  const start = planUnfenced(options, fence, found)
  const number = logFenceNumber(options.group, fence.clusterId)
  if (number === (found.recovered?.fence ?? 0)) return start
  return { ...start, repair: [...start.repair, { group: options.group, fence: number }] }
}

/** Faults tell apart what is of another cluster and what a recovery has given up. */
function admittedFence(
  { group, name, clusterId, generation = 0 }: StartOptions,
  {
    row,
    recovered,
  }: { readonly row?: StateRow | undefined; readonly recovered?: RecoveredGroup | undefined },
): Fence {
  const asked = fenceOf(clusterId, generation)
  const kept = row?.fence ?? { clusterId: new Uint8Array(0), generation: 0 }
  const isAsked = asked.clusterId.length > 0
  if (isAsked && kept.clusterId.length > 0 && !equalBytes(asked.clusterId, kept.clusterId)) {
    throw ofAnotherCluster(name, kept, asked)
  }
  const fence = {
    clusterId: isAsked ? asked.clusterId : kept.clusterId,
    generation: Math.max(kept.generation, generation),
  }
  const inLog = recovered?.fence ?? 0
  if (isAsked && inLog !== 0 && inLog !== logFenceNumber(group, fence.clusterId)) {
    throw ofAnotherCluster(name, undefined, asked)
  }
  const newest = Math.max(row?.supersededBy ?? 0, fence.generation)
  if (row !== undefined && newest > kept.generation) {
    const what = `group ${name}: the data here is of generation ${generationCount(kept.generation)}, the cluster is at generation ${generationCount(newest)}`
    throw new Fault('precondition', what, { next: wipeAndRejoin })
  }
  return fence
}

function ofAnotherCluster(name: string, kept: Fence | undefined, asked: Fence): Fault {
  const owner = kept === undefined ? 'another cluster' : `cluster ${formatFence(kept)}`
  return new Fault(
    'precondition',
    `group ${name}: this data directory belongs to ${owner}, but the node is of cluster ${formatFence(asked)}`,
    { next: "start the node with its own cluster's data directory, or with an empty one" },
  )
}

function planUnfenced(
  options: StartOptions,
  fence: Fence,
  found: {
    readonly self: NodeId
    readonly row: StateRow | undefined
    readonly recovered: RecoveredGroup | undefined
  },
): GroupStart {
  const { recovered } = found
  if (found.row === undefined) return planWithoutState(options, fence, found)
  const row = { ...found.row, fence, name: options.name }
  const isNewRow =
    found.row.name !== row.name || !equalBytes(fence.clusterId, found.row.fence.clusterId)
  const kept = recovered ?? emptyLog(options.group)
  if (kept.cut.index > row.applied) {
    throw new Fault(
      'corrupt',
      `group ${options.name}: the store holds the state of entry ${row.applied}, but the log begins after entry ${kept.cut.index}; the entries between are lost`,
      { next: 'replace this node: delete its data directory and give it a new identity' },
    )
  }
  const last = kept.cut.index + kept.entries.length
  if (row.applied > last || termAt(kept, row.applied) !== row.term) {
    return { ...startFromStore(options.group, row, kept), isNewRow }
  }
  return {
    row,
    isNewRow,
    hardState: { ...kept.hardState, commit: Math.max(kept.hardState.commit, row.applied) },
    cut: kept.cut,
    entries: kept.entries.map((entry) => ({ ...entry, kind: kindOf(entry.kind) })),
    repair: [],
  }
}

/** The log starts anew after an installed snapshot, whatever it holds now. */
export function restartAppends(
  group: GroupId,
  at: { readonly index: number; readonly term: number },
  options: { readonly lastIndex: number; readonly hardState: HardState | undefined },
): readonly GroupAppend[] {
  const index = logIndex(at.index)
  const cut = { index, term: term(at.term) }
  const hardState =
    options.hardState === undefined ? {} : { hardState: brandHardState(options.hardState) }
  if (options.lastIndex < at.index) return [{ group, ...hardState, cut }]
  // Entries at and after the snapshot belong to an abandoned branch. Overwriting the one at its index
  // drops all that follow it; the placeholder itself is cut at once.
  const placeholder = { index, term: cut.term, kind: 0, payload: noBytes }
  return [
    { group, ...hardState, entries: [placeholder] },
    { group, cut },
  ]
}

function brandHardState(state: HardState): NonNullable<GroupAppend['hardState']> {
  return { term: term(state.term), vote: state.vote, commit: logIndex(state.commit) }
}

/** Undefined when there is nothing to write. */
export function appendOf(
  group: GroupId,
  hardState: HardState | undefined,
  entries: readonly Entry[],
): GroupAppend | undefined {
  if (entries.length === 0 && hardState === undefined) return undefined
  return {
    group,
    ...(hardState === undefined ? {} : { hardState: brandHardState(hardState) }),
    ...(entries.length === 0 ? {} : { entries: entries.map(logEntryOf) }),
  }
}

export function entriesAppend(group: GroupId, entries: readonly Entry[]): GroupAppend {
  return { group, entries: entries.map(logEntryOf) }
}

function logEntryOf(entry: Entry): LogEntry {
  const { index, term: entryTerm, kind, payload } = entry
  return { index: logIndex(index), term: term(entryTerm), kind: kindNumber(kind), payload }
}

function planWithoutState(
  options: StartOptions,
  fence: Fence,
  { self, recovered }: { readonly self: NodeId; readonly recovered: RecoveredGroup | undefined },
): GroupStart {
  if (recovered !== undefined && recovered.cut.index + recovered.entries.length > 0) {
    throw new Fault(
      'corrupt',
      `group ${options.name}: the log holds entries, but the store has no state of the group`,
      { next: 'replace this node: delete its data directory and give it a new identity' },
    )
  }
  const { voters, learners = [] } = options.founders
  if (!voters.includes(self) && !learners.includes(self)) {
    const blank = { applied: 0, term: 0, confState: emptyConfState, digest: noBytes }
    const empty = { ...blank, fence, ...newRow(options) }
    const hardState = recovered?.hardState ?? { term: 0, vote: 0, commit: 0 }
    const cut = { index: 0, term: 0 }
    return { row: empty, isNewRow: false, hardState, cut, entries: [], repair: [] }
  }
  const confState = {
    ...emptyConfState,
    voters: [...voters].sort((a, b) => a - b),
    learners: [...learners].sort((a, b) => a - b),
  }
  const founded = { applied: genesis.index, term: genesis.term, confState, digest: noBytes }
  const row = { ...founded, fence, ...newRow(options) }
  return { ...startFromStore(options.group, row, emptyLog(options.group)), isNewRow: true }
}

function newRow({ name }: StartOptions): Pick<StateRow, 'supersededBy' | 'name' | 'voidedTo'> {
  return { supersededBy: 0, name, voidedTo: 0 }
}

function startFromStore(group: GroupId, row: StateRow, kept: RecoveredGroup): GroupStart {
  const at = { index: row.applied, term: row.term }
  const hardState = {
    term: Math.max(kept.hardState.term, row.term),
    vote: kept.hardState.term >= row.term ? kept.hardState.vote : 0,
    commit: row.applied,
  }
  const lastIndex = kept.cut.index + kept.entries.length
  const repair = restartAppends(group, at, { lastIndex, hardState })
  return { row, isNewRow: false, hardState, cut: at, entries: [], repair }
}

function emptyLog(group: GroupId): RecoveredGroup {
  return {
    group,
    hardState: { term: term(0), vote: 0, commit: logIndex(0) },
    cut: { index: logIndex(0), term: term(0) },
    entries: [],
  }
}

function termAt(kept: RecoveredGroup, index: number): number | undefined {
  if (index === kept.cut.index) return kept.cut.term
  return kept.entries[index - kept.cut.index - 1]?.term
}

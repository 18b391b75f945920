// EntryIndex: where every live entry, hard state, cut and fence of every group is in the log's segments.
//
// It is built by reading records in order, live or at recovery. At recovery the segments before the
// oldest that matters are gone, so that entries may appear before those that they follow; what was
// live in a segment that went was restated in a later one, and in the end each group is contiguous.
//
// Invariant: segment.live counts exactly the items (entries, hard states, cuts, fences) whose latest statement
// is in that segment; a segment with none may go once all older ones have gone.

import {
  assert,
  Fault,
  type GroupId,
  type LogIndex,
  logIndex,
  type Term,
  term,
} from '../../base/index.ts'
import type { HardState } from '../log.ts'
import type { BatchSink, Cut } from './log-batch.ts'

export type IndexedSegment = { readonly sequence: number; live: number; liveBytes: number }

/** A record as the index knows it. */
export type IndexedRecord<S extends IndexedSegment> = { readonly segment: S; readonly at: number }

export type Slot<R> = {
  readonly record: R
  readonly term: Term
  /** Of the entry's header in the record's payload. */
  readonly at: number
  /** Of header and payload. */
  readonly length: number
}

export type GroupState<R> = {
  readonly group: GroupId
  hardState: HardState
  hardStateIn: R | undefined
  cut: Cut
  cutIn: R | undefined
  /** 0: none. */
  fence: number
  fenceIn: R | undefined
  /** The last index, cut.index when there is no entry. */
  last: number
  readonly slots: Map<number, Slot<R>>
}

/** Bytes that a hard state, a cut or a fence stands for in liveBytes. */
const stateBytes = 64
const noHardState: HardState = { term: term(0), vote: 0, commit: logIndex(0) }
const noCut: Cut = { index: logIndex(0), term: term(0) }

export class EntryIndex<S extends IndexedSegment, R extends IndexedRecord<S>> implements BatchSink {
  readonly groups = new Map<GroupId, GroupState<R>>()
  #record: R | undefined

  /** The record that what follows comes from. */
  begin(record: R): void {
    this.#record = record
  }

  onHardState(group: GroupId, hardState: HardState): void {
    const state = this.#state(group)
    state.hardState = hardState
    this.#dropState(state.hardStateIn)
    state.hardStateIn = this.#keepState()
  }

  onCut(group: GroupId, cut: Cut, isRestart: boolean): void {
    const state = this.#state(group)
    if (isRestart || cut.index >= state.last || this.isRestart(group, cut)) {
      for (const slot of state.slots.values()) dropSlot(slot)
      state.slots.clear()
      state.last = cut.index
    } else this.#dropBetween(state, state.cut.index + 1, cut.index)
    state.cut = cut
    this.#dropState(state.cutIn)
    state.cutIn = this.#keepState()
  }

  onFence(group: GroupId, fence: number): void {
    const state = this.#state(group)
    state.fence = fence
    this.#dropState(state.fenceIn)
    state.fenceIn = this.#keepState()
  }

  onTruncate(group: GroupId, first: LogIndex): void {
    const state = this.#state(group)
    this.#dropBetween(state, first, state.last)
    state.last = Math.max(state.cut.index, first - 1)
  }

  onEntry(
    group: GroupId,
    entry: {
      readonly index: LogIndex
      readonly term: Term
      readonly at: number
      readonly length: number
    },
  ): void {
    const state = this.#state(group)
    if (entry.index <= state.cut.index) return
    const record = this.#current()
    this.#drop(state, entry.index)
    state.slots.set(entry.index, { record, term: entry.term, at: entry.at, length: entry.length })
    record.segment.live++
    record.segment.liveBytes += entry.length
    state.last = Math.max(state.last, entry.index)
  }

  onRemove(group: GroupId): void {
    const state = this.groups.get(group)
    if (state === undefined) return
    for (const slot of state.slots.values()) dropSlot(slot)
    this.#dropState(state.hardStateIn)
    this.#dropState(state.cutIn)
    this.#dropState(state.fenceIn)
    this.groups.delete(group)
  }

  /** Whether a cut leaves nothing behind: the entry at the cut is of another term. */
  isRestart(group: GroupId, cut: Cut): boolean {
    const slot = this.groups.get(group)?.slots.get(cut.index)
    return slot !== undefined && slot.term !== cut.term
  }

  /** Fault 'corrupt' when a group's entries have a gap. */
  mustBeContiguous(): void {
    for (const state of this.groups.values()) {
      for (let index: number = state.cut.index + 1; index <= state.last; index++) {
        if (state.slots.has(index)) continue
        throw new Fault('corrupt', `the log lacks entry ${index} of group ${state.group}`, {
          next: 'restore the log from a copy, or remove this data directory and let the node rejoin',
        })
      }
    }
  }

  /** What of `segment` is live, group by group, up to bytesMax (but something): to be written again. */
  plan(segment: S, bytesMax: number): readonly Rewrite[] {
    const rewrites: Rewrite[] = []
    let bytes = 0
    for (const group of [...this.groups.keys()].sort((a, b) => a - b)) {
      const state = this.groups.get(group) as GroupState<R>
      const stated = [state.hardStateIn, state.cutIn, state.fenceIn]
      const hasState = stated.some((record) => record?.segment === segment)
      const indexes: LogIndex[] = []
      for (let index: number = state.cut.index + 1; index <= state.last; index++) {
        const slot = state.slots.get(index)
        if (slot?.record.segment !== segment) continue
        if (bytes + slot.length > bytesMax && bytes > 0) break
        bytes += slot.length
        indexes.push(logIndex(index))
      }
      if (!hasState && indexes.length === 0) continue
      bytes += stateBytes
      rewrites.push({ group, indexes })
      if (bytes >= bytesMax) break
    }
    return rewrites
  }

  #state(group: GroupId): GroupState<R> {
    const known = this.groups.get(group)
    if (known !== undefined) return known
    const state: GroupState<R> = {
      group,
      hardState: noHardState,
      hardStateIn: undefined,
      cut: noCut,
      cutIn: undefined,
      fence: 0,
      fenceIn: undefined,
      last: 0,
      slots: new Map(),
    }
    this.groups.set(group, state)
    return state
  }

  #current(): R {
    assert(this.#record !== undefined, 'a record is begun before it is read')
    return this.#record
  }

  #drop(state: GroupState<R>, index: number): void {
    const slot = state.slots.get(index)
    if (slot === undefined) return
    dropSlot(slot)
    state.slots.delete(index)
  }

  /** Both inclusive. Takes no longer than there are entries, however far apart the two are. */
  #dropBetween(state: GroupState<R>, low: number, high: number): void {
    if (high - low > state.slots.size) {
      for (const index of [...state.slots.keys()]) {
        if (index >= low && index <= high) this.#drop(state, index)
      }
    } else for (let index = low; index <= high; index++) this.#drop(state, index)
  }

  #keepState(): R {
    const record = this.#current()
    record.segment.live++
    record.segment.liveBytes += stateBytes
    return record
  }

  #dropState(record: R | undefined): void {
    if (record === undefined) return
    record.segment.live--
    record.segment.liveBytes -= stateBytes
  }
}

/** As a field of an append or of a recovered group. */
export function fenceOf({ fence }: { readonly fence: number }): { readonly fence?: number } {
  return fence === 0 ? {} : { fence }
}

export type Rewrite = { readonly group: GroupId; readonly indexes: readonly LogIndex[] }

function dropSlot<S extends IndexedSegment>(slot: Slot<IndexedRecord<S>>): void {
  slot.record.segment.live--
  slot.record.segment.liveBytes -= slot.length
}

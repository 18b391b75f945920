// Committed entries of one group into its state machine, and what hangs on that: the row that ties store
// and log, answers to proposers, changes of members.
//
// Invariant: the row in the store, `applied` and the state machine stand at the same entry at the end of
// every transaction.

import { assert } from '../base/index.ts'
import type { Store } from '../storage/index.ts'
import {
  type ConfChange,
  type ConfState,
  decodeConfChange,
  type Entry,
  type RawNode,
  type SnapshotMetadata,
} from './core/index.ts'
import type { Fence } from './fence.ts'
import type { AppliedEntry, GroupOptions } from './group.ts'
import { encodeStateRow, raftTable, stateRowKey } from './state-row.ts'

export type ApplierEnds = {
  readonly options: GroupOptions
  readonly store: Store
  readonly node: () => RawNode
  readonly fence: () => Fence
  readonly onAnswer: (entry: Entry, answer: Uint8Array | undefined) => void
  readonly onMembers: (change: ConfChange, confState: ConfState) => void
}

export class Applier {
  readonly #ends: ApplierEnds
  #applied: SnapshotMetadata
  readonly #voidedTo: number
  #answers: { readonly entry: Entry; readonly answer: Uint8Array | undefined }[] = []
  #changes: { readonly change: ConfChange; readonly confState: ConfState }[] = []

  constructor(
    ends: ApplierEnds,
    start: { readonly applied: SnapshotMetadata; readonly voidedTo: number },
  ) {
    this.#ends = ends
    this.#applied = start.applied
    this.#voidedTo = start.voidedTo
  }

  get applied(): SnapshotMetadata {
    return this.#applied
  }

  /** Inside the turn's transaction. Answers wait for settle(). */
  apply(entries: readonly Entry[]): void {
    const normal: Entry[] = []
    for (const entry of entries) {
      assert(entry.index === this.#applied.index + 1, 'entries are applied one after the other')
      const isNormal = entry.kind === 'normal'
      const isVoid = isNormal || entry.index <= this.#voidedTo
      const confState = isVoid ? this.#applied.confState : this.#applyChange(entry)
      this.#applied = { index: entry.index, term: entry.term, confState }
      if (isNormal && entry.payload.length > 0) normal.push(entry)
      else this.#answers.push({ entry, answer: undefined })
    }
    if (normal.length > 0) this.#applyNormal(normal)
    this.#putRow()
  }

  /** The transaction has committed. */
  settle(): void {
    const answers = this.#answers
    this.#answers = []
    for (const { entry, answer } of answers) this.#ends.onAnswer(entry, answer)
    const changes = this.#changes
    this.#changes = []
    for (const { change, confState } of changes) this.#ends.onMembers(change, confState)
  }

  /** Inside the transaction that finishes an installation. */
  adopt(metadata: SnapshotMetadata): void {
    this.#applied = metadata
    this.#putRow()
  }

  /** In a transaction: the state was given up by the recovery of this generation. */
  supersede(generation: number): void {
    this.#putRow(generation)
  }

  #applyNormal(entries: readonly Entry[]): void {
    const { stateMachine } = this.#ends.options
    const answers = stateMachine.apply(entries as unknown as readonly AppliedEntry[])
    assert(answers.length === entries.length, 'the state machine answers every entry')
    for (let i = 0; i < entries.length; i++) {
      this.#answers.push({ entry: entries[i] as Entry, answer: answers[i] })
    }
  }

  #applyChange(entry: Entry): ConfState {
    const change = decodeConfChange(entry)
    assert(change !== undefined, 'a committed change of members is well formed')
    const confState = this.#ends.node().applyConfChange(change)
    this.#changes.push({ change, confState })
    return confState
  }

  #putRow(supersededBy = 0): void {
    const { options, store, fence } = this.#ends
    const { index: applied, term, confState } = this.#applied
    const digest = options.stateMachine.digest()
    const row = encodeStateRow({
      applied,
      term,
      confState,
      digest,
      fence: fence(),
      supersededBy,
      name: options.name,
      voidedTo: this.#voidedTo,
    })
    store.put(raftTable, stateRowKey(options.group), row)
  }
}

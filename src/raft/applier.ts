// Committed entries of one group into its state machine, and what hangs on that: the row that ties store
// and log, answers to proposers, changes of members.
//
// Invariant: the row in the store, `applied` and the state machine stand at the same entry at the end of
// every transaction, except that the state machine may have begun the next one (StateMachine.apply).
// Everything behind such an entry waits.

import { assert } from '../base/index.ts'
import type { Store } from '../storage/index.ts'
import {
  type ConfChange,
  type ConfState,
  decodeConfChange,
  type Entry,
  type Message,
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

type Work = { entries: readonly Entry[]; readonly responses: readonly Message[] }

export class Applier {
  readonly #ends: ApplierEnds
  #applied: SnapshotMetadata
  readonly #voidedTo: number
  #waiting: Work[] = []
  /** For the core, once the transaction has committed. */
  #responses: Message[] = []
  /** The first entry that waits was begun. */
  #isWithin = false
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

  /** Entries that can be applied now. */
  get hasWork(): boolean {
    return this.isBehind && this.#ends.options.stateMachine.intake?.isFull !== true
  }

  /** Committed entries wait, be it for the state machine's room. */
  get isBehind(): boolean {
    return this.#waiting.length > 0
  }

  /** The state machine has begun an entry and is not at its end: its state is that of no index. */
  get isWithin(): boolean {
    return this.#isWithin
  }

  /** Entries to be applied, and what the core is told when all of them are. */
  add(entries: readonly Entry[], responses: readonly Message[]): void {
    this.#waiting.push({ entries, responses })
  }

  /** Inside the turn's transaction: what waits, up to an entry that takes more than one turn. */
  apply(): void {
    this.#isWithin = false
    for (let work = this.#waiting[0]; work !== undefined; work = this.#waiting[0]) {
      const applied = this.#apply(work.entries)
      if (applied < work.entries.length) {
        work.entries = work.entries.slice(applied)
        this.#isWithin = true
        return
      }
      this.#responses.push(...work.responses)
      this.#waiting.shift()
    }
  }

  /** Answers how many of them are applied. */
  #apply(entries: readonly Entry[]): number {
    const normal = entries.filter((entry) => entry.kind === 'normal' && entry.payload.length > 0)
    const answers = normal.length === 0 ? [] : this.#applyNormal(normal)
    let applied = 0
    let answered = 0
    for (const entry of entries) {
      assert(entry.index === this.#applied.index + 1, 'entries are applied one after the other')
      const isNormal = entry.kind === 'normal'
      const hasAnswer = isNormal && entry.payload.length > 0
      if (hasAnswer && answered === answers.length) break
      const isVoid = isNormal || entry.index <= this.#voidedTo
      const confState = isVoid ? this.#applied.confState : this.#applyChange(entry)
      this.#applied = { index: entry.index, term: entry.term, confState }
      this.#answers.push({ entry, answer: hasAnswer ? answers[answered++] : undefined })
      applied++
    }
    this.#putRow()
    return applied
  }

  /** The transaction has committed. Answers what the core is to be told. */
  settle(): readonly Message[] {
    const answers = this.#answers
    this.#answers = []
    for (const { entry, answer } of answers) this.#ends.onAnswer(entry, answer)
    const changes = this.#changes
    this.#changes = []
    for (const { change, confState } of changes) this.#ends.onMembers(change, confState)
    const responses = this.#responses
    this.#responses = []
    return responses
  }

  /** Inside the transaction that finishes an installation, which covers all that waits. */
  adopt(metadata: SnapshotMetadata): void {
    for (const { responses } of this.#waiting) this.#responses.push(...responses)
    this.#waiting = []
    this.#isWithin = false
    this.#applied = metadata
    this.#putRow()
  }

  /** In a transaction: the state was given up by the recovery of this generation. */
  supersede(generation: number): void {
    this.#putRow(generation)
  }

  #applyNormal(entries: readonly Entry[]): readonly Uint8Array[] {
    const { stateMachine } = this.#ends.options
    const answers = stateMachine.apply(entries as unknown as readonly AppliedEntry[])
    assert(answers.length <= entries.length, 'the state machine answers entries that it was given')
    return answers
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

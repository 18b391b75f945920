// Installing a leader's snapshot on a follower. The chunks are staged before the core hears of it; when
// the core's Ready carries the snapshot:
//   1. one transaction makes the state visible together with its applied index and configuration;
//   2. the state machine is synced and the store checkpointed, so that the state survives a crash;
//   3. the log is cut and starts anew after the snapshot;
//   4. the core hears that the snapshot is durable, and the leader gets its acknowledgement.
// A crash before 3 leaves a store that is ahead of the log: recovery starts from the store.
// Cutting the log (3) before the store is durable (2) would lose the entries between for good.
//
// The group is frozen from 1 to 3: its core keeps stepping, but no further effects are taken, so the
// order of its writes holds.

import { assert, type Fault, isFault, toFault } from '../base/index.ts'
import type { HardState, Message, SnapshotMetadata } from './core/index.ts'
import type { SnapshotSink } from './group.ts'
import type { GroupDriver, GroupEnds } from './group-driver.ts'
import { entriesAppend, restartAppends } from './recovery.ts'

type Staged = {
  readonly metadata: SnapshotMetadata
  readonly sink: SnapshotSink
  readonly resolve: (isInstalled: boolean) => void
  readonly reject: (fault: Fault) => void
}

export class Installation {
  readonly #group: GroupDriver
  readonly #ends: GroupEnds
  #staged: Staged | undefined
  #isFrozen = false

  constructor(group: GroupDriver, ends: GroupEnds) {
    this.#group = group
    this.#ends = ends
  }

  get isBusy(): boolean {
    return this.#isFrozen || this.#staged !== undefined
  }

  get isFrozen(): boolean {
    return this.#isFrozen
  }

  stage(message: Message, sink: SnapshotSink): Promise<boolean> {
    assert(!this.isBusy && message.snapshot !== undefined, 'one snapshot is installed at a time')
    const { metadata } = message.snapshot
    return new Promise((resolve, reject) => {
      this.#staged = { metadata, sink, resolve, reject }
    })
  }

  /** The core did not want the staged snapshot. */
  dismiss(): void {
    if (this.#isFrozen) return
    const staged = this.#staged
    this.#staged = undefined
    staged?.resolve(false)
  }

  begin(
    metadata: SnapshotMetadata,
    effects: { readonly hardState: HardState | undefined; readonly work: Message },
  ): void {
    const staged = this.#staged
    assert(
      staged?.metadata.index === metadata.index && staged.metadata.term === metadata.term,
      'the snapshot that the core restores is the one that is staged',
    )
    this.#isFrozen = true
    this.#run(staged, effects).catch((error: unknown) => {
      const fault = toFault(error)
      staged.reject(fault)
      this.#ends.onFatal(fault)
    })
  }

  async #run(
    staged: Staged,
    effects: { readonly hardState: HardState | undefined; readonly work: Message },
  ): Promise<void> {
    const { store, queue, host } = this.#ends
    const group = this.#group
    const { metadata } = staged
    await this.#earlierWrites()
    store.transaction(() => {
      staged.sink.finish()
      group.adoptSnapshot(metadata)
    })
    group.snapshotAdopted()
    await this.#makeDurable()
    const appends = restartAppends(group.group, metadata, {
      lastIndex: group.cache.lastIndex(),
      hardState: effects.hardState,
    })
    for (const append of appends) queue.push({ append, isUrgent: true, onDurable: () => {} })
    const { entries, responses } = effects.work
    queue.push({
      append: entries.length === 0 ? undefined : entriesAppend(group.group, entries),
      isUrgent: true,
      onDurable: () => {
        group.cache.restart(metadata.index, metadata.term)
        group.cache.append(entries)
        this.#isFrozen = false
        this.#staged = undefined
        this.#ends.counts.snapshotsInstalled++
        const fields = { group: group.group, index: metadata.index }
        host.journal.event('notice', 'raft.snapshot_installed', fields)
        group.stepLocal(responses)
        this.#ends.wake(group)
        staged.resolve(true)
      },
    })
    queue.flush()
  }

  /** The group's writes that were given to the queue before are durable, so the cache is complete. */
  #earlierWrites(): Promise<void> {
    const { queue } = this.#ends
    return new Promise((resolve) => {
      queue.push({ append: undefined, isUrgent: false, onDurable: resolve })
      queue.flush()
    })
  }

  /** Tries again while the disk is full: the state is visible already, only its durability waits. */
  async #makeDurable(): Promise<void> {
    for (;;) {
      try {
        await this.#group.options.stateMachine.sync()
        await this.#ends.store.checkpoint()
        return
      } catch (error) {
        if (!isFault(error, 'no-space')) throw error
        await this.#ends.host.clock.sleep(this.#ends.settings.tickMs)
      }
    }
  }
}

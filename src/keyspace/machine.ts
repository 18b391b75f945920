// The state machine of one group on one node: raft's driver calls it, the core transition (core/state.ts)
// decides. Around it: what is slow or local and has no part in any decision: moving long values to
// segments, sweeping compacted history, purging generations that an install left behind.

import { Fault, type GroupId, isFault, uint64Bytes } from '../base/index.ts'
import type { Host, Timer } from '../host/index.ts'
import type { AppliedEntry, SnapshotSink, SnapshotSource, StateMachine } from '../raft/index.ts'
import type { Store } from '../storage/index.ts'
import {
  readVersionKey,
  type Space,
  spaceEnd,
  spaceOf,
  spaceTables,
  versionKey,
} from './core/rows.ts'
import { deleteLocalRows, KeyspaceState } from './core/state.ts'
import { readCursor, sweepStep, writeCursor } from './core/sweep.ts'
import { KeyspaceSink, openSnapshotSource } from './snapshot.ts'
import type { ValueShelf } from './values.ts'

const sweepRowsMax = 128
const purgeRowsMax = 256
const upkeepMs = 1000
/** Times and revisions kept to know what is older than the window. */
const samplesMax = 64
const sampleMs = 5000

export type KeyspaceMachine = StateMachine & {
  readonly state: KeyspaceState
  /** Keeps versions that are readable at `revision` from being swept. Answers what ends it. */
  pin(revision: number): () => void
  /** The newest revision that is at least `ageMs` old in entries' time; 0 when unknown. */
  revisionBefore(ageMs: number): number
  /** What its versions weigh here, against the quota. */
  usedBytes(): number
  /** Settles when no entry is half applied (KeyspaceState.isUnfinished). Fault 'unavailable' when it closes. */
  whole(): Promise<void>
  /** Removes what compaction made unreachable; settles when nothing is left to remove. */
  sweep(): Promise<void>
  close(): Promise<void>
}

export type MachineDependencies = {
  readonly host: Host
  readonly store: Store
  readonly values: ValueShelf
  readonly group: GroupId
  readonly onFatal: (error: unknown) => void
}

export function createMachine(dependencies: MachineDependencies): KeyspaceMachine {
  return new Machine(dependencies)
}

class Machine implements KeyspaceMachine {
  readonly state: KeyspaceState
  readonly #host: Host
  readonly #store: Store
  readonly #values: ValueShelf
  readonly #onFatal: (error: unknown) => void
  readonly #pins = new Map<number, number>()
  readonly #samples: { readonly timeMs: number; readonly revision: number }[] = []
  readonly #timer: Timer
  #installing: number | undefined
  #upkeep: Promise<void> | undefined
  /** Other generations, and values that no row names, may be left from before. */
  #mustPurge = true
  #mustCollect = true
  #isClosed = false
  /** Who waits for the end of an entry. */
  #waiting: { readonly resolve: () => void; readonly reject: (fault: Fault) => void }[] = []
  #freedBytes: number
  /** Everything up to here was visited by this process. */
  #sweptFloor = 0

  constructor(dependencies: MachineDependencies) {
    this.#host = dependencies.host
    this.#store = dependencies.store
    this.#values = dependencies.values
    this.#onFatal = dependencies.onFatal
    this.state = new KeyspaceState(dependencies.store, dependencies.group)
    this.#freedBytes = readCursor(this.#store, this.state.space).freedBytes
    this.#timer = this.#host.clock.every(upkeepMs, () => {
      if (this.#isUpkeepDue()) this.#startUpkeep()
    })
  }

  apply(entries: readonly AppliedEntry[]): readonly Uint8Array[] {
    const answers = this.state.apply(entries)
    this.#values.note(this.state.pendingBytes)
    this.#sample()
    if (this.#waiting.length > 0 && !this.state.isUnfinished) this.#release()
    return answers
  }

  whole(): Promise<void> {
    if (!this.state.isUnfinished) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  #release(fault?: Fault): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { resolve, reject } of waiting) fault === undefined ? resolve() : reject(fault)
  }

  snapshot(): SnapshotSource {
    return openSnapshotSource(this.#store, this.#values, this.state.group)
  }

  install(): SnapshotSink {
    const generation = this.#freeGeneration()
    this.#installing = generation
    return new KeyspaceSink({
      store: this.#store,
      values: this.#values,
      group: this.state.group,
      generation,
      installed: () => {
        this.#installing = undefined
        this.state.reload()
        this.#release()
        this.#freedBytes = readCursor(this.#store, this.state.space).freedBytes
        this.#sweptFloor = 0
        this.#samples.length = 0
        this.#mustPurge = true
        this.#mustCollect = true
      },
      aborted: () => {
        if (this.#installing === generation) this.#installing = undefined
        this.#mustPurge = true
        this.#mustCollect = true
      },
    })
  }

  sync(): Promise<void> {
    return this.#values.sync()
  }

  digest(): Uint8Array {
    return this.state.digest()
  }

  usedBytes(): number {
    return this.state.record.addedBytes - this.#freedBytes
  }

  pin(revision: number): () => void {
    let isHeld = true
    this.#pins.set(revision, (this.#pins.get(revision) ?? 0) + 1)
    const unpinValues = this.#values.pin()
    return () => {
      if (!isHeld) return
      isHeld = false
      unpinValues()
      const left = (this.#pins.get(revision) ?? 1) - 1
      if (left === 0) this.#pins.delete(revision)
      else this.#pins.set(revision, left)
    }
  }

  revisionBefore(ageMs: number): number {
    const limit = this.state.record.timeMs - ageMs
    let found = 0
    for (const sample of this.#samples) {
      if (sample.timeMs <= limit) found = sample.revision
    }
    return found
  }

  async sweep(): Promise<void> {
    while (this.#upkeep !== undefined) await this.#upkeep
    this.#startUpkeep()
    await this.#upkeep
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer.cancel()
    this.#release(new Fault('unavailable', 'the node is stopping'))
    while (this.#upkeep !== undefined) await this.#upkeep
  }

  #sample(): void {
    const { timeMs, revision } = this.state.record
    const last = this.#samples.at(-1)
    if (last !== undefined && timeMs < last.timeMs + sampleMs) return
    this.#samples.push({ timeMs, revision })
    if (this.#samples.length > samplesMax) this.#samples.shift()
  }

  /** A node may have thousands of machines, most of them idle. */
  #isUpkeepDue(): boolean {
    if (this.#mustPurge || this.#mustCollect || this.#values.hasGarbage) return true
    return this.#sweptFloor < this.#floor()
  }

  /** Revisions at and below are read by nobody. */
  #floor(): number {
    let floor = this.state.record.compacted
    for (const revision of this.#pins.keys()) floor = Math.min(floor, revision)
    return floor
  }

  /** With a full disk nothing is removed; the next round tries again. */
  #startUpkeep(): void {
    if (this.#upkeep !== undefined || this.#isClosed) return
    this.#upkeep = this.#runUpkeep().then(
      () => {
        this.#upkeep = undefined
      },
      (error: unknown) => {
        this.#upkeep = undefined
        if (!isFault(error, 'no-space')) this.#onFatal(error)
      },
    )
  }

  async #runUpkeep(): Promise<void> {
    while (!this.#isClosed && this.#sweepSome()) await this.#nextTurn()
    if (this.#mustPurge) {
      this.#mustPurge = false
      while (!this.#isClosed && this.#purgeSome()) await this.#nextTurn()
    }
    if (this.#mustCollect && !this.#isClosed) {
      this.#mustCollect = false
      await this.#values.collect(this.state.group, (key) => this.#isNamed(key))
    }
    if (!this.#isClosed) await this.#values.removeGarbage()
  }

  /** One bounded transaction of sweeping; false when the floor is reached. */
  #sweepSome(): boolean {
    const { space } = this.state
    const floor = this.#floor()
    if (this.#sweptFloor >= floor) return false
    const cursor = readCursor(this.#store, space)
    const step = this.#store.transaction(() => {
      const { superseding } = this.state
      const limits = { floor, rowsMax: sweepRowsMax }
      const swept = sweepStep(this.#store, space, { cursor, superseding, ...limits })
      writeCursor(this.#store, space, swept.cursor)
      return swept
    })
    this.#freedBytes = step.cursor.freedBytes
    this.state.superseding.forgetBefore(step.cursor.modRevision)
    if (step.isDone) this.#sweptFloor = floor
    this.#values.discard(step.garbage)
    return !step.isDone
  }

  /** Removes rows of generations that do not count; false when there are none. */
  #purgeSome(): boolean {
    for (const space of this.#otherSpaces()) {
      for (const table of spaceTables) {
        const keys = this.#store.keys(table, {
          start: space.start,
          end: space.end,
          limit: purgeRowsMax,
        })
        if (keys.length === 0) continue
        this.#store.transaction(() => {
          for (const key of keys) this.#store.delete(table, key)
        })
        return true
      }
    }
    return false
  }

  /** Key ranges of this group around the generations in use. */
  #otherSpaces(): { readonly start: Uint8Array; readonly end: Uint8Array }[] {
    const { group, record } = this.state
    const used = [record.generation]
    if (this.#installing !== undefined) used.push(this.#installing)
    used.sort((a, b) => a - b)
    const ranges: { start: Uint8Array; end: Uint8Array }[] = []
    let start: Space = spaceOf(group, 0)
    for (const generation of used) {
      const space = spaceOf(group, generation)
      ranges.push({ start, end: space })
      start = spaceEnd(space)
    }
    ranges.push({ start, end: uint64Bytes(group + 1) })
    return ranges
  }

  /** The next generation that has no rows and is not being cleared. */
  #freeGeneration(): number {
    let generation = Math.max(this.state.record.generation, this.#installing ?? 0) + 1
    while (this.#hasRows(spaceOf(this.state.group, generation))) generation++
    const space = spaceOf(this.state.group, generation)
    this.#store.transaction(() => deleteLocalRows(this.#store, space))
    return generation
  }

  #hasRows(space: Space): boolean {
    return spaceTables.some(
      (table) =>
        this.#store.keys(table, { start: space, end: spaceEnd(space), limit: 1 }).length > 0,
    )
  }

  #isNamed(key: Uint8Array): boolean {
    const { group, record, space } = this.state
    const version = readVersionKey(key)
    const generation = new DataView(key.buffer, key.byteOffset).getUint32(8)
    if (generation !== record.generation) {
      return this.#installing !== undefined && generation === this.#installing
    }
    if (version.modRevision > record.revision || key.length !== spaceOf(group, 0).length + 12)
      return true
    return this.#store.get('history', versionKey(space, version)) !== undefined
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#host.clock.soon(resolve))
  }
}

// The one way from the driver to the log. At most one batch is with the log; what arrives meanwhile
// becomes the next batch, so one sync covers everything that waited (group commit), and a batch that
// the log refuses can be given again unchanged, in order.
//
// A full disk (Fault 'no-space'): nothing of the batch is durable, so nothing is acknowledged. The
// queue is then stalled: it keeps the batch and gives it again on every tick until the log takes it.
// Any other fault means that the disk cannot be trusted: onFatal (law 12).
//
// Work that is not urgent (a commit index alone) causes no sync of its own: its hard state rides with
// the next batch. A lost commit index is learned again from the leader.

import { assert, type Fault, type GroupId, isFault, toFault } from '../base/index.ts'
import type { GroupAppend, Log, LogEntry } from '../storage/index.ts'

export type AppendWork = {
  readonly append: GroupAppend | undefined
  readonly isUrgent: boolean
  /** Runs once the work and everything pushed before it is durable. */
  readonly onDurable: () => void
}

export type AppendQueueEnds = {
  /** After the onDurable calls of a batch. */
  readonly onBatch: () => void
  readonly onStalled: (fault: Fault) => void
  readonly onResumed: () => void
  readonly onFatal: (fault: Fault) => void
}

export class AppendQueue {
  readonly #log: Log
  readonly #ends: AppendQueueEnds
  #waiting: AppendWork[] = []
  #deferred: GroupAppend[] = []
  #flying: readonly AppendWork[] = []
  #batch: readonly GroupAppend[] | undefined
  /** The batch is with the log now; a refused one waits for the next tick. */
  #isWithLog = false
  #isStalled = false
  #isClosed = false
  #idle: (() => void)[] = []

  constructor(log: Log, ends: AppendQueueEnds) {
    this.#log = log
    this.#ends = ends
  }

  /** True while the disk is full. */
  get isStalled(): boolean {
    return this.#isStalled
  }

  /** The batch that is with the log now; the same object as long as it is the same batch. */
  get writing(): readonly GroupAppend[] | undefined {
    return this.#isWithLog ? this.#batch : undefined
  }

  push(work: AppendWork): void {
    this.#waiting.push(work)
  }

  /** Gives what waits to the log, unless a batch is with it already. */
  flush(): void {
    if (this.#batch !== undefined || this.#isClosed) return
    if (this.#waiting.length === 0) {
      this.#settleIdle()
      return
    }
    const works = this.#waiting
    this.#waiting = []
    for (const work of works) if (work.append !== undefined) this.#deferred.push(work.append)
    if (!works.some((work) => work.isUrgent)) {
      this.#deferred = mergeAppends(this.#deferred)
      for (const work of works) work.onDurable()
      this.#settleIdle()
      return
    }
    this.#flying = works
    this.#batch = mergeAppends(this.#deferred)
    this.#deferred = []
    this.#submit(this.#batch)
  }

  /** Called on every tick: gives a refused batch again. */
  retry(): void {
    if (this.#isWithLog || this.#isClosed || this.#batch === undefined) return
    this.#submit(this.#batch)
  }

  /** Settles when nothing waits and nothing is with the log. */
  drained(): Promise<void> {
    if (this.#batch === undefined && this.#waiting.length === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /** Acknowledgements that arrive later are ignored. */
  close(): void {
    this.#isClosed = true
    this.#settleIdle()
  }

  #submit(batch: readonly GroupAppend[]): void {
    this.#isWithLog = true
    try {
      this.#log.append(batch, (fault) => this.#ended(batch, fault))
    } catch (error) {
      this.#ended(batch, toFault(error))
    }
  }

  #ended(batch: readonly GroupAppend[], fault: Fault | undefined): void {
    if (this.#isClosed) return
    this.#isWithLog = false
    assert(batch === this.#batch, 'the log answers for the batch that it was given')
    if (fault !== undefined) {
      this.#refused(fault)
      return
    }
    const works = this.#flying
    this.#flying = []
    this.#batch = undefined
    for (const work of works) work.onDurable()
    if (this.#isStalled) {
      this.#isStalled = false
      this.#ends.onResumed()
    }
    this.#ends.onBatch()
    this.flush()
  }

  #refused(fault: Fault): void {
    if (!isFault(fault, 'no-space') && !isFault(fault, 'overloaded')) {
      this.close()
      this.#ends.onFatal(fault)
      return
    }
    if (this.#isStalled) return
    this.#isStalled = true
    this.#ends.onStalled(fault)
  }

  #settleIdle(): void {
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }
}

/** One append per group where order allows it: the last hard state, entries after Raft's conflict rule. */
export function mergeAppends(appends: readonly GroupAppend[]): GroupAppend[] {
  const merged: GroupAppend[] = []
  const positions = new Map<GroupId, number>()
  for (const append of appends) {
    const position = positions.get(append.group)
    const before = position === undefined ? undefined : merged[position]
    const isApart = isStandingApart(append) || (before !== undefined && isStandingApart(before))
    if (position === undefined || before === undefined || isApart) {
      positions.set(append.group, merged.length)
      merged.push(append)
      continue
    }
    const hardState = append.hardState ?? before.hardState
    merged[position] = {
      group: append.group,
      ...(hardState === undefined ? {} : { hardState }),
      entries: mergeEntries(before.entries ?? [], append.entries ?? []),
    }
  }
  return merged
}

function isStandingApart({ cut, fence, remove }: GroupAppend): boolean {
  return cut !== undefined || fence !== undefined || remove === true
}

function mergeEntries(
  before: readonly LogEntry[],
  after: readonly LogEntry[],
): readonly LogEntry[] {
  const first = after[0]
  if (first === undefined) return before
  const keep = before.findIndex((entry) => entry.index >= first.index)
  return [...(keep < 0 ? before : before.slice(0, keep)), ...after]
}

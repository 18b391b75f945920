// What a leader knows of one member: the highest index known to be on its disk (match), the next index
// to send (next), and how it is being fed:
//   probe      one append at a time, until a response shows where the logs agree;
//   replicate  optimistic and pipelined, limited by the inflight window;
//   snapshot   paused until the member has taken a snapshot.
//
// Invariant: match < next. Idea and names as in etcd/raft's tracker.

import { unreachable } from '../../base/index.ts'
import { Inflights } from './inflights.ts'
import type { Progress, ProgressState } from './types.ts'

export type WindowLimits = { readonly messagesMax: number; readonly bytesMax: number }

export class PeerProgress {
  match = 0
  next: number
  /** The highest commit index sent along in the current stream of appends and heartbeats. */
  sentCommit = 0
  state: ProgressState = 'probe'
  /** In state snapshot: the index of the snapshot on its way. */
  pendingSnapshot = 0
  /** Heard since the last check of the quorum. */
  isRecentActive = false
  /** Appends are paused: probing and one was sent, or replicating and the window is full. */
  isAppendPaused = false
  readonly inflights: Inflights
  isLearner: boolean

  constructor(next: number, isLearner: boolean, limits: WindowLimits) {
    this.next = next
    this.isLearner = isLearner
    this.inflights = new Inflights(limits.messagesMax, limits.bytesMax)
  }

  get isPaused(): boolean {
    return this.state === 'snapshot' || this.isAppendPaused
  }

  becomeProbe(): void {
    const next =
      this.state === 'snapshot'
        ? Math.max(this.match + 1, this.pendingSnapshot + 1)
        : this.match + 1
    this.#enter('probe')
    this.next = next
    this.sentCommit = Math.min(this.sentCommit, this.next - 1)
  }

  becomeReplicate(): void {
    this.#enter('replicate')
    this.next = this.match + 1
  }

  becomeSnapshot(index: number): void {
    this.#enter('snapshot')
    this.pendingSnapshot = index
    this.next = index + 1
    this.sentCommit = index
  }

  /** An append message with this many entries was sent. */
  sentEntries(count: number, bytes: number): void {
    switch (this.state) {
      case 'replicate':
        if (count > 0) {
          this.next += count
          this.inflights.add(this.next - 1, bytes)
        }
        this.isAppendPaused = this.inflights.isFull
        return
      case 'probe':
        if (count > 0) this.isAppendPaused = true
        return
      case 'snapshot':
        return
      default:
        unreachable(this.state)
    }
  }

  /**
   * Whether an empty append would tell the member of a higher commit index. Without the second
   * condition a commit index beyond what was sent would be repeated in every message.
   */
  canBumpCommit(commit: number): boolean {
    return commit > this.sentCommit && this.sentCommit < this.next - 1
  }

  /** An acknowledgement up to index; false when it says nothing new. */
  maybeUpdate(index: number): boolean {
    if (index <= this.match) return false
    this.match = index
    this.next = Math.max(this.next, index + 1)
    this.isAppendPaused = false
    return true
  }

  /** A rejection of the append after `rejected`; false when it is stale. */
  maybeDecreaseTo(rejected: number, matchHint: number): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false
      this.next = this.match + 1
      this.sentCommit = Math.min(this.sentCommit, this.next - 1)
      return true
    }
    if (this.next - 1 !== rejected) return false
    this.next = Math.max(Math.min(rejected, matchHint + 1), this.match + 1)
    this.sentCommit = Math.min(this.sentCommit, this.next - 1)
    this.isAppendPaused = false
    return true
  }

  view(): Progress {
    return {
      match: this.match,
      next: this.next,
      state: this.state,
      pendingSnapshot: this.pendingSnapshot,
      isRecentActive: this.isRecentActive,
      isPaused: this.isPaused,
      isLearner: this.isLearner,
      inflightCount: this.inflights.count,
      isInflightFull: this.inflights.isFull,
    }
  }

  #enter(state: ProgressState): void {
    this.isAppendPaused = false
    this.pendingSnapshot = 0
    this.state = state
    this.inflights.clear()
  }
}

const stateNames: Readonly<Record<ProgressState, string>> = {
  probe: 'StateProbe',
  replicate: 'StateReplicate',
  snapshot: 'StateSnapshot',
}

/** One line in the notation of etcd/raft: `StateReplicate match=3 next=5 inflight=1`. */
export function formatProgress(progress: Progress): string {
  let text = `${stateNames[progress.state]} match=${progress.match} next=${progress.next}`
  if (progress.isLearner) text += ' learner'
  if (progress.isPaused) text += ' paused'
  if (progress.pendingSnapshot > 0) text += ` pendingSnap=${progress.pendingSnapshot}`
  if (!progress.isRecentActive) text += ' inactive'
  if (progress.inflightCount > 0) {
    text += ` inflight=${progress.inflightCount}`
    if (progress.isInflightFull) text += '[full]'
  }
  return text
}

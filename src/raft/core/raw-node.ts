// The door of the core: RawNode over a Replica. Collects what changed since the last Ready, and turns the
// work of storage into messages (asynchronous storage writes) or into steps of advance() (synchronous).
//
// Order is the contract: messages of a Ready that claim something durable (responses, votes) leave only
// once its entries and hard state are on disk. Asynchronously they are `responses` of storage-append.

import { assert } from '../../base/index.ts'
import { encodeConfChange } from './confchange-codec.ts'
import { entriesSize } from './entries.ts'
import { applyConfChange, loadMembership } from './membership.ts'
import { draft, type Draft, isAcceptable, isLocalTarget, isResponse } from './messages.ts'
import { observe } from './observing.ts'
import type { PeerProgress } from './progress.ts'
import {
  becomeFollower,
  createReplica,
  hardStateOf,
  nameOf,
  type Replica,
  softStateOf,
} from './replica.ts'
import { canRest, canRestUnder, resumeFollower, resumeLeader } from './rest.ts'
import { step, tick } from './step.ts'
import {
  type ConfChange,
  type ConfState,
  type CoreConfig,
  type Entry,
  type EntryKind,
  type HardState,
  localAppendThread,
  localApplyThread,
  type Message,
  none,
  type Progress,
  type RawNode,
  type ReadState,
  type Ready,
  type Snapshot,
  type SoftState,
} from './types.ts'
import { allVoters } from './confchange.ts'

const noReadStates: readonly ReadState[] = []

/** Starts a replica from what storage holds; it begins as a follower. */
export function createRawNode(config: CoreConfig): RawNode {
  return new CoreNode(config)
}

class CoreNode implements RawNode {
  readonly #replica: Replica
  readonly #isAsync: boolean
  #softState: SoftState
  #hardState: HardState
  #stepsOnAdvance: Message[] = []

  constructor(config: CoreConfig) {
    this.#replica = startReplica(config)
    this.#isAsync = config.asyncStorageWrites
    this.#softState = softStateOf(this.#replica)
    this.#hardState = hardStateOf(this.#replica)
  }

  tick(): void {
    tick(this.#replica)
  }

  campaign(): void {
    step(this.#replica, draft('hup', none))
  }

  propose(payload: Uint8Array): 'ok' | 'dropped' {
    return this.#propose([proposal('normal', payload)])
  }

  proposeMany(payloads: readonly Uint8Array[]): 'ok' | 'dropped' {
    if (payloads.length === 0) return 'ok'
    const entries: Entry[] = []
    for (const payload of payloads) entries.push(proposal('normal', payload))
    return this.#propose(entries)
  }

  proposeConfChange(change: ConfChange): 'ok' | 'dropped' {
    return this.#propose([proposal('conf-change-v2', encodeConfChange(change))])
  }

  applyConfChange(change: ConfChange): ConfState {
    return applyConfChange(this.#replica, change)
  }

  step(message: Message): 'ok' | 'dropped' | 'peer-not-found' {
    const replica = this.#replica
    if (!isAcceptable(message, replica.id)) {
      replica.trace(`WARN ${nameOf(replica.id)} refused a ${message.type} message`)
      return 'dropped'
    }
    const isFromPeer = !isLocalTarget(message.from)
    if (isFromPeer && isResponse(message.type) && replica.tracker.get(message.from) === undefined) {
      return 'peer-not-found'
    }
    return step(replica, message)
  }

  hasReady(): boolean {
    const replica = this.#replica
    const { log } = replica
    return (
      replica.messages.length > 0 ||
      replica.messagesAfterAppend.length > 0 ||
      replica.readStates.length > 0 ||
      log.unstable.hasNextEntries ||
      log.unstable.nextSnapshot() !== undefined ||
      log.hasNextCommitted(!this.#isAsync) ||
      this.#hasNewSoftState() ||
      this.#hasNewHardState()
    )
  }

  ready(): Ready {
    const replica = this.#replica
    const { log } = replica
    const softState = this.#hasNewSoftState() ? softStateOf(replica) : undefined
    const hardState = this.#hasNewHardState() ? hardStateOf(replica) : undefined
    const entries = log.unstable.nextEntries()
    const snapshot = log.unstable.nextSnapshot()
    const committedEntries = log.nextCommitted(!this.#isAsync)
    const messages = replica.messages
    const mustSync =
      entries.length > 0 ||
      replica.vote !== this.#hardState.vote ||
      replica.term !== this.#hardState.term
    if (this.#isAsync) this.#addStorageMessages(messages, hardState, entries, snapshot)
    else this.#queueSteps(messages, snapshot)
    if (committedEntries.length > 0) this.#acceptCommitted(messages, committedEntries)
    const readStates = replica.readStates.length === 0 ? noReadStates : replica.readStates
    this.#accept(softState, hardState)
    return {
      softState,
      hardState,
      readStates,
      entries,
      snapshot,
      committedEntries,
      messages,
      mustSync,
    }
  }

  advance(): void {
    assert(!this.#isAsync, 'advance belongs to synchronous storage')
    const steps = this.#stepsOnAdvance
    this.#stepsOnAdvance = []
    for (const message of steps) step(this.#replica, message)
  }

  readIndex(context: Uint8Array): void {
    const request = draft('read-index', none)
    request.entries = [proposal('normal', context)]
    step(this.#replica, request)
  }

  transferLeader(to: number): void {
    this.#report('transfer-leader', to, false)
  }

  stepDown(): void {
    const replica = this.#replica
    if (replica.role === 'leader') becomeFollower(replica, replica.term, none)
  }

  forgetLeader(): void {
    step(this.#replica, draft('forget-leader', none))
  }

  setElectionTimeout(ticks: number): void {
    assert(ticks > 0, 'an election timeout is positive')
    this.#replica.electionTimeout = ticks
  }

  canRest(isUp: (id: number) => boolean): boolean {
    return !this.hasReady() && canRest(this.#replica, isUp)
  }

  canRestUnder(leader: Parameters<RawNode['canRestUnder']>[0]): boolean {
    return canRestUnder(this.#replica, leader)
  }

  resumeLeader(wasHeard: (id: number) => boolean): void {
    resumeLeader(this.#replica, wasHeard)
  }

  resumeFollower(silentTicks: number): void {
    resumeFollower(this.#replica, silentTicks)
  }

  reportUnreachable(id: number): void {
    this.#report('unreachable', id, false)
  }

  reportSnapshot(id: number, isSuccess: boolean): void {
    this.#report('snapshot-status', id, !isSuccess)
  }

  status(): ReturnType<RawNode['status']> {
    const replica = this.#replica
    const progress = new Map<number, Progress>()
    if (replica.role === 'leader') {
      for (const id of replica.tracker.ids) {
        progress.set(id, (replica.tracker.get(id) as PeerProgress).view())
      }
    }
    return {
      id: replica.id,
      hardState: hardStateOf(replica),
      softState: softStateOf(replica),
      applied: replica.log.applied,
      confState: replica.tracker.membership,
      progress,
      leadTransferee: replica.leadTransferee,
    }
  }

  #propose(entries: readonly Entry[]): 'ok' | 'dropped' {
    const message = draft('propose', none)
    message.from = this.#replica.id
    message.entries = entries
    return step(this.#replica, message)
  }

  #report(type: Message['type'], from: number, isRejected: boolean): void {
    const message = draft(type, none)
    message.from = from
    message.isRejected = isRejected
    step(this.#replica, message)
  }

  #hasNewSoftState(): boolean {
    const { leader, role } = this.#replica
    return leader !== this.#softState.leader || role !== this.#softState.role
  }

  #hasNewHardState(): boolean {
    const { term, vote, log } = this.#replica
    const { term: oldTerm, vote: oldVote, commit } = this.#hardState
    return term !== oldTerm || vote !== oldVote || log.committed !== commit
  }

  /** Asynchronous: the work of the append thread, with what may leave once it is done. */
  #addStorageMessages(
    messages: Message[],
    hardState: HardState | undefined,
    entries: readonly Entry[],
    snapshot: Snapshot | undefined,
  ): void {
    const replica = this.#replica
    const responses = replica.messagesAfterAppend
    const isNeeded = entries.length > 0 || hardState !== undefined || snapshot !== undefined
    if (!isNeeded && responses.length === 0) return
    const work = draft('storage-append', localAppendThread)
    work.from = replica.id
    work.entries = entries
    work.snapshot = snapshot
    if (hardState !== undefined) {
      work.term = hardState.term
      work.vote = hardState.vote
      work.commit = hardState.commit
    }
    const done = this.#storageAppendResponse(snapshot)
    if (done !== undefined) responses.push(done)
    work.responses = responses
    messages.push(work)
  }

  /** Synchronous: what goes out after the write is part of the Ready, what comes back waits. */
  #queueSteps(messages: Message[], snapshot: Snapshot | undefined): void {
    const replica = this.#replica
    assert(this.#stepsOnAdvance.length === 0, 'every Ready is followed by advance')
    for (const message of replica.messagesAfterAppend) {
      if (message.to === replica.id) this.#stepsOnAdvance.push(message)
      else messages.push(message)
    }
    const done = this.#storageAppendResponse(snapshot)
    if (done !== undefined) this.#stepsOnAdvance.push(done)
  }

  /**
   * Confirms the whole unstable log, also what earlier writes carry: the append thread works in order.
   * It bears the current term, and is ignored in a later one. Without that: (1) entries of term 1
   * are being written; (2) a leader of term 2 replaces them; (3) a leader of term 3 restores
   * entries of term 1 at the same index; (4) the first confirmation would cover the third write.
   */
  #storageAppendResponse(snapshot: Snapshot | undefined): Draft | undefined {
    const { log, id, term } = this.#replica
    const hasEntries = log.unstable.count > 0
    if (!hasEntries && snapshot === undefined) return undefined
    const done = draft('storage-append-response', id)
    done.from = localAppendThread
    done.term = term
    if (hasEntries) {
      const last = log.lastEntryId()
      done.index = last.index
      done.logTerm = last.term
    }
    done.snapshot = snapshot
    return done
  }

  #acceptCommitted(messages: Message[], entries: readonly Entry[]): void {
    const { log, id } = this.#replica
    const done = draft('storage-apply-response', id)
    done.from = localApplyThread
    done.entries = entries
    if (this.#isAsync) {
      const work = draft('storage-apply', localApplyThread)
      work.from = id
      work.entries = entries
      work.responses = [done]
      messages.push(work)
    } else {
      this.#stepsOnAdvance.push(done)
    }
    const last = entries[entries.length - 1] as Entry
    log.acceptApplying(last.index, entriesSize(entries), !this.#isAsync)
  }

  #accept(softState: SoftState | undefined, hardState: HardState | undefined): void {
    const replica = this.#replica
    if (softState !== undefined) this.#softState = softState
    if (hardState !== undefined) this.#hardState = hardState
    if (replica.readStates.length > 0) replica.readStates = []
    replica.messages = []
    replica.messagesAfterAppend = []
    replica.log.unstable.acceptInProgress()
    observe(replica, 'Ready')
  }
}

function startReplica(config: CoreConfig): Replica {
  const replica = createReplica(config)
  observe(replica, 'InitState')
  const { log, tracker } = replica
  const { hardState, confState } = config.storage.initialState()
  loadMembership(replica, confState)
  // What is cut from the log or applied was committed, even if that was not yet written down.
  const committed = Math.max(log.committed, hardState.commit, config.applied)
  assert(committed <= log.lastIndex, 'what is committed or applied is in the stored log')
  log.committed = committed
  replica.term = hardState.term
  replica.vote = hardState.vote
  if (config.applied > 0) log.appliedTo(config.applied, 0)
  becomeFollower(replica, replica.term, none)
  const voters = allVoters(tracker.membership).map(nameOf).join(',')
  const last = log.lastEntryId()
  replica.trace(
    `INFO newRaft ${nameOf(replica.id)} [peers: [${voters}], term: ${replica.term}, commit: ${log.committed}, applied: ${log.applied}, lastindex: ${last.index}, lastterm: ${last.term}]`,
  )
  return replica
}

/** Term and index are given by the leader. */
function proposal(kind: EntryKind, payload: Uint8Array): Entry {
  return { term: 0, index: 0, kind, payload }
}

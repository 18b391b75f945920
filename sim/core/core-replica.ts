// One replica over all its lives: the core, and around it what the driver does, without its promises: one batch at the
// log at a time, hard states that only move the commit index ride along, committed entries are applied at
// once, snapshots are streamed and installed between two writes.

import { concatBytes, type Random, readUint64, uint64Bytes } from '../../src/base/index.ts'
import {
  type ConfState,
  createRawNode,
  decodeConfChange,
  type Entry,
  type HardState,
  localAppendThread,
  localApplyThread,
  type Message,
  type RawNode,
  type Ready,
} from '../../src/raft/core/index.ts'
import { CoreDisk, type LogWork, type StoredState } from './core-disk.ts'
import { fail, type Oracle, quorumHolds } from './oracle.ts'

export type Tuning = {
  readonly preVote: boolean
  readonly checkQuorum: boolean
  readonly maxInflightMessages: number
  readonly maxSizePerMessage: number
  readonly maxUncommittedSize: number
  /** Kept behind a cut. */
  readonly keep: number
}

/** What a replica needs of its world. */
export type ReplicaWorld = {
  readonly oracle: Oracle
  readonly random: Random
  readonly count: (kind: string, by?: number) => void
  readonly trace: (line: string) => void
  /** Runs unless the replica's life has ended by then; waits while it is paused. */
  readonly later: (replica: CoreReplica, delayMs: number, run: () => void) => void
  readonly send: (from: CoreReplica, message: Message) => void
  readonly sendSnapshot: (from: CoreReplica, message: Message, state: StoredState) => void
  readonly find: (id: number) => CoreReplica | undefined
  readonly elected: (replica: CoreReplica) => void
  readonly voted: (replica: CoreReplica) => void
}

const electionTicks = 10
const heartbeatTicks = 4
const contextBytes = 24

export class CoreReplica {
  readonly id: number
  readonly disk: CoreDisk
  /** Counts lives: what an earlier one waited for never comes. */
  life = 0
  isUp = false
  pausedUntilMs = 0
  /** Every operation of the disk takes this many times as long. */
  slowness = 1
  /** Real milliseconds per millisecond of its own clock. */
  pace = 1
  raw: RawNode
  role = 'follower'
  readonly #world: ReplicaWorld
  readonly #tuning: Tuning
  /** The log as the core sees it: index to term. */
  #terms = new Map<number, number>()
  #waiting: LogWork[] = []
  #isWriting = false
  #deferred: HardState | undefined
  #isFrozen = false
  #staged: { readonly state: StoredState; readonly from: number } | undefined
  #proposed = new Set<number>()
  #nextRound: number
  #turnIsDue = false
  #termMax = 0
  #commitMax = 0
  #durableCommit = 0

  constructor(id: number, state: StoredState, world: ReplicaWorld, tuning: Tuning) {
    this.id = id
    this.disk = new CoreDisk(state)
    this.#world = world
    this.#tuning = tuning
    this.#nextRound = world.random.integer(2 ** 31)
    this.raw = this.#boot()
  }

  get state(): StoredState {
    return this.disk.state
  }

  /** Whether its members may soon be others than its state says. */
  get isChangingMembers(): boolean {
    const isChange = ({ kind }: Entry): boolean => kind !== 'normal'
    return (
      this.disk.hasUnappliedChange || this.#waiting.some(({ entries }) => entries.some(isChange))
    )
  }

  start(): void {
    if (this.isUp) return
    this.disk.recover()
    this.raw = this.#boot()
    this.isUp = true
    this.life++
    this.#scheduleTick()
  }

  /** The process is gone. What was being written may be whole, in part, or not there. */
  crash(how: 'kill' | 'power'): void {
    if (!this.isUp) return
    this.isUp = false
    this.life++
    this.role = 'follower'
    const { random, count } = this.#world
    if (this.#isWriting) {
      const survive = random.integer(this.#waiting.length + 1)
      for (const work of this.#waiting.slice(0, survive)) this.disk.write(work)
      if (survive < this.#waiting.length) count('writes lost on the way to the disk')
    }
    if (how === 'power') this.disk.losePower(random)
    this.#waiting = []
    this.#isWriting = false
    this.#deferred = undefined
    this.#isFrozen = false
    this.#staged = undefined
    this.#proposed.clear()
    this.#turnIsDue = false
  }

  receive(message: Message): void {
    if (!this.isUp) return
    this.raw.step(message)
    this.#turnSoon()
  }

  /** The state of a leader has come whole; `answer` says whether it was wanted. */
  receiveSnapshot(message: Message, state: StoredState, answer: (isTaken: boolean) => void): void {
    if (
      !this.isUp ||
      this.#isFrozen ||
      this.#staged !== undefined ||
      message.snapshot === undefined
    ) {
      answer(false)
      return
    }
    const { index, term, confState } = state
    const { payload } = message.snapshot
    this.#staged = { state, from: message.from }
    this.raw.step({ ...message, snapshot: { metadata: { index, term, confState }, payload } })
    this.#turn()
    answer(this.#isFrozen || this.state.index >= index)
    if (!this.#isFrozen) this.#staged = undefined
  }

  propose(payload: Uint8Array): void {
    if (!this.isUp || this.role !== 'leader') return
    if (this.raw.propose(payload) === 'ok') this.#turnSoon()
  }

  read(): void {
    if (!this.isUp) return
    const floor = this.#world.oracle.acknowledgedMax
    const number = this.#nextRound++
    const context = concatBytes([uint64Bytes(this.id), uint64Bytes(number), uint64Bytes(floor)])
    this.raw.readIndex(context)
    this.#turnSoon()
  }

  turnAfter(change: () => void): void {
    if (!this.isUp) return
    change()
    this.#turnSoon()
  }

  /** Checkpoint and cut, as the driver does when its log has grown. */
  compact(): void {
    if (!this.isUp || this.#isFrozen) return
    this.disk.checkpoint()
    this.disk.cut(this.#tuning.keep)
    this.#world.count('cuts')
  }

  // ---- the life of the core ----

  #boot(): RawNode {
    const { random } = this.#world
    const { disk } = this
    this.#terms = new Map()
    this.#termMax = disk.hardState.term
    this.#commitMax = disk.hardState.commit
    for (let index = disk.firstIndex() - 1; index <= disk.lastIndex(); index++) {
      this.#terms.set(index, disk.term(index) as number)
    }
    const { preVote, checkQuorum, maxInflightMessages, maxSizePerMessage, maxUncommittedSize } =
      this.#tuning
    return createRawNode({
      id: this.id,
      electionTicks,
      heartbeatTicks,
      storage: disk,
      applied: disk.state.index,
      asyncStorageWrites: true,
      maxSizePerMessage,
      maxCommittedSizePerReady: 4 * maxSizePerMessage,
      maxUncommittedSize,
      maxInflightMessages,
      maxInflightBytes: 8 * maxSizePerMessage,
      checkQuorum,
      preVote,
      readOnly: 'safe',
      disableProposalForwarding: true,
      disableConfChangeValidation: false,
      stepDownOnRemoval: true,
      handOverOnRemoval: true,
      random,
      trace: () => {},
    })
  }

  #scheduleTick(): void {
    this.#world.later(this, tickMs * this.pace, () => {
      this.raw.tick()
      this.#turnSoon()
      this.#scheduleTick()
    })
  }

  #turnSoon(): void {
    if (this.#turnIsDue) return
    this.#turnIsDue = true
    this.#world.later(this, 0, () => {
      this.#turnIsDue = false
      this.#turn()
    })
  }

  #turn(): void {
    if (this.#isFrozen || !this.raw.hasReady()) return
    const ready = this.raw.ready()
    this.#note(ready)
    for (const { index, context } of ready.readStates) {
      if (context.length !== contextBytes || readUint64(context, 0) !== this.id) continue
      this.#world.oracle.read(this.id, index, readUint64(context, 16))
    }
    const committed: Message[] = []
    for (const message of ready.messages) {
      if (message.to === localAppendThread) this.#append(ready, message)
      else if (message.to === localApplyThread) committed.push(message)
      else if (message.type === 'snapshot') this.#world.sendSnapshot(this, message, this.state)
      else this.#send(message)
    }
    this.#flush()
    for (const message of committed) {
      for (const entry of message.entries) this.#apply(entry)
      this.#respond(message.responses)
    }
    if (this.raw.hasReady()) this.#turnSoon()
  }

  /** Tells the oracle what this Ready claims. */
  #note({ softState, hardState, entries, committedEntries }: Ready): void {
    const { oracle } = this.#world
    if (hardState !== undefined) {
      const { term, commit } = hardState
      if (term < this.#termMax)
        fail(`node ${this.id} goes back to term ${term} from ${this.#termMax}`)
      this.#termMax = term
      if (commit < this.#commitMax) {
        fail(`node ${this.id} takes back the commit of ${this.#commitMax}: ${commit}`)
      }
      this.#commitMax = commit
    }
    for (const entry of entries) this.#noteEntry(entry)
    if (softState !== undefined) this.role = softState.role
    if (softState?.role === 'leader') {
      if (this.disk.hardState.term !== this.raw.status().hardState.term) {
        fail(`node ${this.id} leads in a term that its disk does not know`)
      }
      oracle.elected(this.id, this.raw.status().hardState.term, (index) => this.#terms.get(index))
      this.#world.trace(`leader ${this.id} term ${this.#termMax}`)
      this.#world.elected(this)
    }
    for (const entry of committedEntries) oracle.committed(this.id, entry)
    if (this.role === 'leader' && hardState !== undefined) this.#mustBeDurable(hardState.commit)
  }

  #noteEntry(entry: Entry): void {
    const { index, term } = entry
    for (let later = index; this.#terms.delete(later); later++);
    this.#terms.set(index, term)
    this.#world.oracle.appended(this.id, entry, this.#terms.get(index - 1))
    if (this.role === 'leader' && entry.payload.length > 0) this.#proposed.add(keyOf(entry))
  }

  /**
   * A leader's commit index rests on disks. Held against the configuration in force, which is the one that it was
   * counted in: only applying changes it, and that comes after this.
   */
  #mustBeDurable(index: number): void {
    const term = this.#terms.get(index)
    if (index <= this.#durableCommit || term === undefined) return
    this.#durableCommit = index
    const { confState } = this.raw.status()
    const voters = [...confState.voters, ...confState.votersOutgoing]
    const replicas = voters.map((id) => this.#world.find(id))
    if (replicas.includes(undefined)) return
    const holders = replicas.flatMap((one) => (one?.disk.holds(index, term) ? [one.id] : []))
    if (quorumHolds(confState, (id) => holders.includes(id))) return
    fail(
      `node ${this.id} commits entry ${index}, which nodes ${holders} have on disk; voters are ${confState.voters} and ${confState.votersOutgoing}`,
    )
  }

  // ---- the log ----

  #append(ready: Ready, work: Message): void {
    const { hardState, entries, snapshot } = ready
    if (snapshot !== undefined) {
      this.#install(hardState, work)
      return
    }
    const isUrgent = ready.mustSync || work.responses.length > 0
    if (!isUrgent) {
      this.#deferred = hardState ?? this.#deferred
      return
    }
    this.#queue({
      hardState: hardState ?? this.#takeDeferred(),
      entries,
      restart: undefined,
      onDurable: () => this.#respond(work.responses),
    })
  }

  #takeDeferred(): HardState | undefined {
    const deferred = this.#deferred
    this.#deferred = undefined
    return deferred
  }

  #queue(work: LogWork): void {
    if (work.hardState !== undefined) this.#deferred = undefined
    this.#waiting.push(work)
  }

  /** Group commit: one write and one sync for everything that waits. */
  #flush(): void {
    if (this.#isWriting || this.#waiting.length === 0) return
    this.#isWriting = true
    const { length } = this.#waiting
    this.#world.later(this, this.#diskMs(), () => {
      const works = this.#waiting.slice(0, length)
      this.#waiting = this.#waiting.slice(length)
      this.#isWriting = false
      for (const work of works) this.disk.write(work)
      for (const work of works) work.onDurable()
      this.#flush()
      this.#turnSoon()
    })
  }

  #send(message: Message): void {
    if (message.type === 'vote-response' && !message.isRejected) {
      this.#world.oracle.voted(this.id, message.term, message.to)
      this.#world.voted(this)
    }
    if (message.to === this.id) this.raw.step(message)
    else this.#world.send(this, message)
  }

  #diskMs(): number {
    return this.slowness * (0.2 + this.#world.random.integer(200) / 100)
  }

  #respond(responses: readonly Message[]): void {
    for (const response of responses) this.#send(response)
    this.#turnSoon()
  }

  // ---- the state ----

  #apply(entry: Entry): void {
    const { index, term } = entry
    const { state } = this
    if (index !== state.index + 1) fail(`node ${this.id} applies ${index} after ${state.index}`)
    let confState = state.confState
    if (entry.kind !== 'normal') {
      const change = decodeConfChange(entry)
      if (change === undefined) fail(`entry ${index} is no change of members`)
      confState = this.raw.applyConfChange(change)
      this.#world.count('configuration changes')
    }
    const sum = this.#world.oracle.applied(this.id, entry, state.sum)
    this.disk.commit({ index, term, confState, sum })
    if (this.#proposed.delete(keyOf(entry))) this.#world.oracle.acknowledged(entry)
  }

  /** installation.ts: visible, durable, then the log anew, then the acknowledgement. */
  #install(hardState: HardState | undefined, work: Message): void {
    const staged = this.#staged
    if (staged === undefined) fail(`node ${this.id} restores a snapshot that nobody sent`)
    this.#isFrozen = true
    const { state } = staged
    const proceed = (): void => {
      if (this.#isWriting || this.#waiting.length > 0) {
        this.#flush()
        this.#world.later(this, 1, proceed)
        return
      }
      this.disk.commit(state)
      this.#world.oracle.installed(this.id, state.index, state.sum)
      this.#world.later(this, 2 * this.#diskMs(), () => {
        this.disk.checkpoint()
        this.#world.later(this, this.#diskMs(), () => this.#restartLog(state, hardState, work))
      })
    }
    proceed()
  }

  #restartLog(state: StoredState, hardState: HardState | undefined, work: Message): void {
    const own = this.disk.hardState
    this.disk.write({
      hardState: hardState ?? own,
      entries: [],
      restart: state,
      onDurable: () => {},
    })
    this.#terms = new Map([[state.index, state.term]])
    this.#isFrozen = false
    this.#staged = undefined
    this.#respond(work.responses)
  }
}

const tickMs = 50

/** An entry of a log: terms of a run stay below a million. */
function keyOf({ index, term }: Entry): number {
  return index * 2 ** 20 + term
}

export function membersOf({
  voters,
  votersOutgoing,
  learners,
  learnersNext,
}: ConfState): readonly number[] {
  return [...new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext])]
}

// Values of the pure core, in the manner of etcd/raft (raftpb and Ready). Numbers are safe integers;
// 0 means "none" for ids, terms and indices, as in etcd/raft.

export const none = 0
/** Pseudo-ids of the local storage threads in asynchronous storage writes (etcd/raft doc.go). */
export const localAppendThread = -1
export const localApplyThread = -2

export type EntryKind = 'normal' | 'conf-change' | 'conf-change-v2'

export type Entry = {
  readonly term: number
  readonly index: number
  readonly kind: EntryKind
  readonly payload: Uint8Array
}

export type ConfState = {
  readonly voters: readonly number[]
  readonly learners: readonly number[]
  readonly votersOutgoing: readonly number[]
  readonly learnersNext: readonly number[]
  readonly autoLeave: boolean
}

export type SnapshotMetadata = {
  readonly index: number
  readonly term: number
  readonly confState: ConfState
}
/** The core carries metadata only; the driver streams the state apart from messages. */
export type Snapshot = { readonly metadata: SnapshotMetadata; readonly payload: Uint8Array }

export type HardState = { readonly term: number; readonly vote: number; readonly commit: number }

export type MessageType =
  | 'hup'
  | 'beat'
  | 'propose'
  | 'append'
  | 'append-response'
  | 'vote'
  | 'vote-response'
  | 'snapshot'
  | 'heartbeat'
  | 'heartbeat-response'
  | 'unreachable'
  | 'snapshot-status'
  | 'check-quorum'
  | 'transfer-leader'
  | 'timeout-now'
  | 'read-index'
  | 'read-index-response'
  | 'prevote'
  | 'prevote-response'
  | 'storage-append'
  | 'storage-append-response'
  | 'storage-apply'
  | 'storage-apply-response'
  | 'forget-leader'

export type Message = {
  readonly type: MessageType
  readonly to: number
  readonly from: number
  readonly term: number
  readonly logTerm: number
  readonly index: number
  readonly commit: number
  readonly vote: number
  readonly entries: readonly Entry[]
  readonly snapshot: Snapshot | undefined
  readonly isRejected: boolean
  readonly rejectHint: number
  readonly context: Uint8Array
  /** storage-append and storage-apply only: to be delivered once the work is durable or applied. */
  readonly responses: readonly Message[]
}

export type SoftState = { readonly leader: number; readonly role: CoreRole }
export type CoreRole = 'follower' | 'candidate' | 'leader' | 'precandidate'

export type ReadState = { readonly index: number; readonly context: Uint8Array }

/**
 * What one step wants done. Without asynchronous storage writes the caller, in this order: makes
 * hardState and entries and snapshot durable; sends messages; applies committedEntries; calls advance().
 * With them, storage-append and storage-apply messages in `messages` carry the work and its responses;
 * each kind is worked off in order. A snapshot in a storage-append takes effect after the storage-apply
 * work handed out before it, or instead of it: none of that may be applied later.
 */
export type Ready = {
  readonly softState: SoftState | undefined
  readonly hardState: HardState | undefined
  readonly readStates: readonly ReadState[]
  readonly entries: readonly Entry[]
  readonly snapshot: Snapshot | undefined
  readonly committedEntries: readonly Entry[]
  readonly messages: readonly Message[]
  readonly mustSync: boolean
}

export type ConfChangeKind = 'add-voter' | 'remove' | 'update' | 'add-learner'
export type ConfChange = {
  /** auto: simple when one change suffices, else joint with auto-leave. */
  readonly transition: 'auto' | 'joint-implicit' | 'joint-explicit'
  readonly changes: readonly { readonly kind: ConfChangeKind; readonly nodeId: number }[]
  readonly context: Uint8Array
}

export type ProgressState = 'probe' | 'replicate' | 'snapshot'
export type Progress = {
  readonly match: number
  readonly next: number
  readonly state: ProgressState
  readonly pendingSnapshot: number
  readonly isRecentActive: boolean
  readonly isPaused: boolean
  readonly isLearner: boolean
  readonly inflightCount: number
  readonly isInflightFull: boolean
}

/** What the core reads of the persisted log (etcd/raft Storage). Errors are the two named values. */
export type CoreStorage = {
  initialState(): { readonly hardState: HardState; readonly confState: ConfState }
  /** Entries [low, high), at most maxBytes of them but at least one. 'compacted' | 'unavailable' otherwise. */
  entries(
    low: number,
    high: number,
    maxBytes: number,
  ): readonly Entry[] | 'compacted' | 'unavailable'
  term(index: number): number | 'compacted' | 'unavailable'
  lastIndex(): number
  firstIndex(): number
  /** 'unavailable': the snapshot is being prepared; the core asks again later. */
  snapshot(): Snapshot | 'unavailable'
}

/** Names of etcd's trace specification. */
export type CoreEventName =
  | 'InitState'
  | 'BecomeCandidate'
  | 'BecomeFollower'
  | 'BecomeLeader'
  | 'Commit'
  | 'Replicate'
  | 'ChangeConf'
  | 'ApplyConfChange'
  | 'Ready'
  | 'SendAppendEntriesRequest'
  | 'ReceiveAppendEntriesRequest'
  | 'SendAppendEntriesResponse'
  | 'ReceiveAppendEntriesResponse'
  | 'SendRequestVoteRequest'
  | 'ReceiveRequestVoteRequest'
  | 'SendRequestVoteResponse'
  | 'ReceiveRequestVoteResponse'

/** A transition, with the state of the replica: before it for Receive, Replicate and the two of a change. */
export type CoreEvent = {
  readonly name: CoreEventName
  readonly id: number
  readonly term: number
  readonly vote: number
  readonly commit: number
  readonly role: CoreRole
  readonly lastIndex: number
  readonly voters: readonly number[]
  readonly votersOutgoing: readonly number[]
  /** The leader's own. */
  readonly progress: { readonly match: number; readonly next: number } | undefined
  readonly message?: {
    readonly type: string
    readonly term: number
    readonly from: number
    readonly to: number
    /** Of a snapshot: its index. */
    readonly entries: number
    readonly logTerm: number
    readonly index: number
    readonly commit: number
    readonly vote: number
    readonly reject: boolean
    readonly rejectHint: number
  }
  readonly change?: ConfChange
  readonly newVoters?: readonly number[]
}

export type CoreConfig = {
  readonly id: number
  readonly electionTicks: number
  readonly heartbeatTicks: number
  readonly storage: CoreStorage
  /** Index up to which the state machine has applied, at least that of the snapshot; 0 when unused. */
  readonly applied: number
  readonly asyncStorageWrites: boolean
  /** Bytes of entries per append message, at least one entry; Infinity for no limit. */
  readonly maxSizePerMessage: number
  /** Bytes of committed entries handed out and not yet applied; 0: as maxSizePerMessage. */
  readonly maxCommittedSizePerReady: number
  /** Payload bytes appended and not yet committed, beyond which proposals drop; 0 for no limit. */
  readonly maxUncommittedSize: number
  /** Append messages on the way per peer. */
  readonly maxInflightMessages: number
  /** Payload bytes on the way per peer, at least maxSizePerMessage; 0 for no limit. */
  readonly maxInflightBytes: number
  readonly checkQuorum: boolean
  readonly preVote: boolean
  readonly readOnly: 'safe' | 'lease-based'
  readonly disableProposalForwarding: boolean
  readonly disableConfChangeValidation: boolean
  /** A leader whose own removal or demotion is applied becomes a follower at once. */
  readonly stepDownOnRemoval: boolean
  /**
   * With stepDownOnRemoval: a leader that is about to be removed takes no proposals until the change is
   * applied, and then has the voter with its whole log stand. Without this: (1) of voters 2 and 3, leader
   * 3 removes itself and goes on appending; (2) it applies the change and steps down before 2 learns of
   * the commit; (3) 2 needs 3's vote, which 3's longer log denies, and 3 may not stand: deadlock.
   */
  readonly handOverOnRemoval?: boolean
  /**
   * For one election timeout after its start a replica refuses votes, as if it had just heard a leader, and does not
   * stand. Without this, with leases: (1) leader 1 is heard by 2, which restarts and has forgotten it; (2) 3,
   * cut off from 1, gets the vote of 2 and leads; (3) 1 still answers reads by the lease that 2 gave.
   */
  readonly holdsVoteAfterStart?: boolean
  /** Draws the election timeout: uniform in [0, limit). Seeded by the driver. */
  readonly random: { integer(limit: number): number }
  /** Told of every transition (observing.ts). */
  readonly observe?: (event: CoreEvent) => void
  /** Free logging; the script runner prints it, the driver drops it. */
  readonly trace: (line: string) => void
}

/** The door of the core: a state that steps. Faults of a proposal are values, not exceptions. */
export type RawNode = {
  tick(): void
  campaign(): void
  /** 'dropped' when there is no leader, a transfer runs, or the uncommitted size limit is reached. */
  propose(payload: Uint8Array): 'ok' | 'dropped'
  /** Several entries in one append. */
  proposeMany(payloads: readonly Uint8Array[]): 'ok' | 'dropped'
  proposeConfChange(change: ConfChange): 'ok' | 'dropped'
  /**
   * Called for every committed conf-change entry when it is applied, and only then. A change that the
   * configuration in force does not allow changes nothing, on every member alike.
   */
  applyConfChange(change: ConfChange): ConfState
  /**
   * A message of a peer, or a response of a storage thread. The driver has checked that a peer's
   * message names that peer in `from` (transfer-leader excepted, which names the transferee).
   * 'dropped': a proposal not taken, or a message that no correct peer sends.
   */
  step(message: Message): 'ok' | 'dropped' | 'peer-not-found'
  hasReady(): boolean
  /** Takes the effects; the caller must execute all of them. */
  ready(): Ready
  /** Synchronous storage only: the last Ready has been persisted and applied. */
  advance(): void
  readIndex(context: Uint8Array): void
  transferLeader(to: number): void
  forgetLeader(): void
  /** A leader follows nobody from now on, in the same term: it cannot do its work. */
  stepDown(): void
  /** Replaces the drawn election timeout until the next draw (scripts; standing sooner or later). */
  setElectionTimeout(ticks: number): void
  /** Leader: nothing is left to do or tell, and with those that are up there is a quorum (rest.ts). */
  canRest(isUp: (id: number) => boolean): boolean
  /** Follower: holds as committed all that this leader of this term has, which ends at `index`. */
  canRestUnder(leader: {
    readonly leader: number
    readonly term: number
    readonly index: number
  }): boolean
  /** Ticks begin again after a rest: of a leader, whose members were heard within the election timeout. */
  resumeLeader(wasHeard: (id: number) => boolean): void
  /** Of a follower, whose leader's node was last heard so many ticks ago. */
  resumeFollower(silentTicks: number): void
  reportUnreachable(id: number): void
  /** Owed for every snapshot message sent: until then, or an acknowledgement, the member gets nothing. */
  reportSnapshot(id: number, isSuccess: boolean): void
  status(): {
    readonly id: number
    readonly hardState: HardState
    readonly softState: SoftState
    readonly applied: number
    readonly confState: ConfState
    /** Leader only. */
    readonly progress: ReadonlyMap<number, Progress>
    readonly leadTransferee: number
  }
}

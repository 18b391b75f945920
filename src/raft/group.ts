// The driver's contract: many groups on one node, each with a state machine of its owner.
// The pure core (core/) decides; the driver persists, sends, applies and answers.

import type { Fault, GroupId, LogIndex, NodeId, Term } from '../base/index.ts'
import type { Fence, FenceRelation } from './fence.ts'

export type AppliedEntry = {
  readonly index: LogIndex
  readonly term: Term
  readonly payload: Uint8Array
}

/**
 * What a group replicates. All calls come from the core thread. apply() runs inside one
 * Store.transaction that the driver opens for all groups of a turn and that also records the applied
 * index, so state and index move together. It is deterministic (law 7) and may not fail for anything
 * an entry can contain: it answers with bytes (an encoded failure if need be).
 */
export type StateMachine = {
  /**
   * Answers in the order of entries; the proposer's promise settles with its answer. Fewer answers: the
   * first entry without one is not at its end. It comes again in a later turn, first, until it is answered;
   * what it wrote is committed meanwhile, while the applied index stays before it, and no snapshot is taken.
   */
  apply(entries: readonly AppliedEntry[]): readonly Uint8Array[]
  /** The state as it is now (the driver calls it between applies), as a stream of chunks <= 256 KiB. */
  snapshot(): SnapshotSource
  /** Begins replacing the whole state; nothing is visible until finish(), which runs in a transaction. */
  install(): SnapshotSink
  /** Makes everything applied so far durable besides the store itself (value segments). */
  sync(): Promise<void>
  /** Running digest of the state at the applied index (law 7). */
  digest(): Uint8Array
  /** Absent: it takes entries whenever there are some. */
  readonly intake?: Intake
}

/** Of a state machine that may have to wait for something slower. */
export type Intake = {
  /** It is given no entries now: what is committed waits in the log, and costs no turns. */
  readonly isFull: boolean
  /** Set by the driver; to be called once it is full no more. */
  onRoom: () => void
}

export type SnapshotSource = {
  readonly chunks: AsyncIterable<Uint8Array>
  /** Always called, also when chunks were not read to the end. */
  close(): void
}
export type SnapshotSink = {
  /** May write to places that are not yet visible. */
  write(chunk: Uint8Array): Promise<void>
  /** Synchronous, inside the driver's transaction together with the new applied index. */
  finish(): void
  abort(): Promise<void>
}

export type Role = 'follower' | 'precandidate' | 'candidate' | 'leader'

export type GroupStatus = {
  readonly group: GroupId
  readonly name: string
  readonly role: Role
  readonly isLearner: boolean
  readonly term: Term
  readonly leader: NodeId | undefined
  readonly commit: LogIndex
  readonly applied: LogIndex
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly voters: readonly NodeId[]
  readonly learners: readonly NodeId[]
  /** Voters that are leaving in a joint configuration. */
  readonly votersOutgoing: readonly NodeId[]
  /** Leader only: match index per member. */
  readonly match: ReadonlyMap<NodeId, LogIndex>
  /** Monotonic ms when this node last heard the leader (or, as leader, a quorum). */
  readonly heardMs: number
  readonly fence?: Fence
}

export type MembershipChange = {
  readonly addVoters?: readonly NodeId[]
  readonly addLearners?: readonly NodeId[]
  readonly remove?: readonly NodeId[]
}

export type Group = {
  readonly group: GroupId
  /**
   * Settles with the state machine's answer once committed and applied here. Fault 'not-leader' with
   * field leader (node id, '' when unknown), outcome failed: it was not appended. Fault 'unavailable'
   * with outcome unknown: it was appended, leadership was lost, it may still commit. Fault
   * 'overloaded', failed: too many bytes uncommitted.
   */
  propose(payload: Uint8Array): Promise<Uint8Array>
  /**
   * Settles once this node has applied everything that was committed when it was called (ReadIndex,
   * thesis 6.4; forwarded from followers). Concurrent calls share a round.
   */
  readBarrier(signal?: AbortSignal): Promise<void>
  changeMembers(change: MembershipChange): Promise<void>
  /** Settles when the transfer ended; Fault 'deadline' when the target did not take over. */
  transferLeadership(to: NodeId): Promise<void>
  status(): GroupStatus
  onLeadership(changed: (leader: NodeId | undefined, isSelf: boolean) => void): void
  /** After each turn that applied entries. */
  onApplied(applied: (index: LogIndex) => void): void
}

export type GroupOptions = {
  readonly group: GroupId
  readonly name: string
  readonly stateMachine: StateMachine
  /** The configuration at index 0, the same on every founder; ignored once the group has state here. */
  readonly founders: { readonly voters: readonly NodeId[]; readonly learners?: readonly NodeId[] }
  /** Higher stands for election sooner (0 to 10). Default 5. */
  readonly electionPriority?: number
  /**
   * Learners that have caught up become voters by themselves while there are fewer voters than this. Absent: they
   * stay learners until changeMembers says otherwise.
   */
  readonly votersWanted?: number
  /**
   * The cluster this group belongs to, 1 to 32 bytes, drawn when it was founded. Carried by every frame,
   * snapshot and record of the group; a group of another cluster is refused, never merged: at open
   * with Fault 'precondition', from peers by counting and `onForeign`. State without an id takes it on.
   * Absent: as recorded here, or none.
   */
  readonly clusterId?: Uint8Array
  /** The recovery generation that this node was told when it joined; older state is refused. Default 0. */
  readonly generation?: number
  /** A peer of another fence was met, at most once per second and peer. */
  readonly onForeign?: (foreign: Foreign) => void
}

export type Foreign = {
  readonly group: GroupId
  readonly from: NodeId
  readonly theirs: Fence
  readonly ours: Fence
  /** 'superseded': this replica has stopped for good; its data directory must be wiped. */
  readonly relation: FenceRelation
}

export type RaftOptions = {
  readonly self: NodeId
  /** Period of the logical clock. Default 50 ms. */
  readonly tickMs?: number
  /** Ticks without a leader before standing, drawn in [n, 2n). Default 10. */
  readonly electionTicks?: number
  readonly heartbeatTicks?: number
  readonly inflightMessagesMax?: number
  readonly inflightBytesMax?: number
  readonly appendBytesMax?: number
  readonly uncommittedBytesMax?: number
  /** Snapshot and cut when the shared log holds more than this. Default 64 MiB under load, 8 MiB when quiet. */
  readonly logBytesMax?: number
  readonly snapshots?: SnapshotOptions
  /**
   * Reads of the leader need no message while its lease holds (lease.ts). Off when absent, because then reads
   * rest on nothing but quorums. Set it on all nodes or on none, with the same bound: clocks of any node
   * are faster or slower than true time by at most this ratio (0.02: 2 %), and a suspended machine shows in its wall clock.
   */
  readonly readLease?: { readonly clockDriftRatio: number }
  /** Election timeouts without a word of the log after which a leader gives leadership away. Default 4. */
  readonly stallElections?: number
}

/** Files of a group's whole state: sent to members that lag behind the log, kept to restore groups from. */
export type SnapshotOptions = {
  /** Directory of the files, below the disk that they are on. Default 'snapshots'. */
  readonly path?: string
  /** Files kept of each group. Default 3. */
  readonly retained?: number
  /**
   * A group of which everyEntries were applied since its last file gets a new one after so long; one of
   * which fewer were, after 24 times that. 0: never. Default one hour.
   */
  readonly everyMs?: number
  /** Default 10,000. */
  readonly everyEntries?: number
  /** What this node takes and sends, all groups together. 0: no limit. Default 64 MiB. */
  readonly bytesPerSecond?: number
}

export type RaftStatistics = {
  readonly elections: number
  readonly snapshotsSent: number
  readonly snapshotsInstalled: number
  readonly membershipChanges: number
  /** Turns in which readers were answered by the lease. */
  readonly leaseReads?: number
  /** Messages and streams of other clusters or generations. */
  readonly foreignRefused?: number
  /** Lateness of the last ticks: how late the loop ran them. */
  readonly tickLatenessMs: { readonly p50: number; readonly p99: number; readonly max: number }
}

/** All groups of one node. */
export type Raft = {
  open(options: GroupOptions): Promise<Group>
  group(id: GroupId): Group | undefined
  groups(): readonly Group[]
  statistics(): RaftStatistics
  /** Ends with everything applied made durable (checkpoint), so that a restart is quick. */
  close(): Promise<void>
  /** Set by the node: called when a disk or a replica can no longer be trusted. */
  readonly onFatal: (fault: Fault) => void
}

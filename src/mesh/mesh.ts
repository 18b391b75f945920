// The contract of the mesh: one process's place among others, and the namespaces that it has opened there.
// A namespace is an independent cluster with its own members, leader and log; all of them share one
// identity, one log, one store and one connection per pair of nodes.
//
// Faults tell whether something happened: outcome 'failed' did not and will not, 'unknown' may have.

import type { GroupId, NodeId } from '../base/index.ts'
import type { PresetName, Standing, Universe } from '../founding/index.ts'
import type { Disk, PeerIdentity, Transport } from '../host/index.ts'
import type { FullKeyspace } from '../keyspace/index.ts'

/**
 * Finds nodes that host a namespace; the namespace is the rendezvous key. Beside it, the mesh always asks
 * the nodes it is connected to.
 */
export type Discovery = {
  /** This node hosts it at this address; answers what takes that back. */
  announce(namespace: string, address: string): () => void
  /** Addresses (`host:port`) as of now; never waits. */
  contacts(namespace: string): readonly string[]
}

export type MeshOptions = {
  /** Where this node listens, `host:port`. */
  readonly listen: string
  /** Where others reach it. Default: `listen`. */
  readonly address?: string
  /**
   * Secured connections. As a function it is given this node's identity, whose number is drawn with the data
   * directory: a wiped one comes back as another node. As a transport its number is the certificate's;
   * a directory that was lost must get a new certificate then, or it is refused for as long as the old
   * number is a member.
   */
  readonly transport: Transport | ((self: PeerIdentity) => Transport | Promise<Transport>)
  /** Of all nodes that may connect, 32 hexadecimal digits; part of every transport's handshake. */
  readonly meshId?: string
  /** Addresses to begin with, `host:port`; any one that leads to others is enough. */
  readonly contacts?: readonly string[]
  readonly discovery?: Discovery
  /** Distances between the nodes: timeouts of founding, joining and elections. Default 'regional'. */
  readonly preset?: PresetName
  /** Directory under the host's root. Default 'mesh'. */
  readonly directory?: string
  /** Where snapshot files are kept, three of each namespace. Default: the host's own disk, in the directory. */
  readonly snapshotDisk?: Disk
  /**
   * The leader answers reads without asking a quorum each time, for as long as a lease holds. Off when absent. On all nodes
   * or on none, with one bound: no node's clock is faster or slower than true time by more than this ratio
   * (0.02: 2 %), and a machine that was suspended shows it in its wall clock.
   */
  readonly readLease?: { readonly clockDriftRatio: number }
  /** False: the log on this loop (simulator). Default true. */
  readonly ownLogThread?: boolean
  /** Snapshot and cut when the log holds more. Default 64 MiB. */
  readonly logBytesMax?: number
  /** Closes the mesh with the last of its namespaces. Default false. */
  readonly closesWithLast?: boolean
  /** Everything was closed, also what failed to: nothing here touches the directory any more. */
  readonly onClosed?: () => void
}

/**
 * What a namespace replicates when it is not the built-in keyspace. It lives in memory; the mesh keeps its
 * commands and snapshots durable and rebuilds it at start. apply() is deterministic: the same bytes in
 * the same order give the same state and answers on every node, with no clock, random or outside world.
 */
export type ClusterMachine = {
  /** May not throw for anything a payload can contain: a refusal is an answer. */
  apply(entry: { readonly index: number; readonly payload: Uint8Array }): Uint8Array
  /** The whole state, at most 64 MiB. */
  snapshot(): Uint8Array
  /** Replaces the whole state; of a snapshot that an equal machine made. */
  restore(state: Uint8Array): void
}

export type OpenOptions = {
  /**
   * Who may found: `{kind: 'size', size}` any so many nodes, more than half of all that may ever found;
   * `{kind: 'list', nodes}` exactly these; `{kind: 'join'}` never this node. Must be the same everywhere.
   */
  readonly founders: Universe
  /** Absent: the built-in keyspace. */
  readonly machine?: ClusterMachine
  /** Found alone and at once. Only when that is meant: it makes a second cluster where one exists unseen. */
  readonly forceBootstrap?: boolean
  /** Looking for others before founding is tried. Default: the preset's (regional: 10,000). */
  readonly bootstrapTimeoutMs?: number
  /** Who is seen after this share of it is a late joiner. Default 0.8. */
  readonly bootstrapThreshold?: number
  /** A joiner becomes a voter once it has caught up; false: it stays a learner. Default true. */
  readonly wantsVote?: boolean
  readonly electionPriority?: number
  /** Of the built-in keyspace. 0: none. Default 2 GiB. */
  readonly quotaBytes?: number
}

export type CallOptions = { readonly timeoutMs?: number }

/**
 * searching, founding: no cluster yet; waiting: one was heard of; joining: asks to be taken in; learner to
 * leader: a member, by its role; removed: the cluster goes on without this node, rejoin() asks back.
 */
export type ClusterState =
  | Exclude<Standing['kind'], 'member'>
  | 'learner'
  | 'follower'
  | 'candidate'
  | 'leader'
  | 'removed'
  | 'closed'

export type Member = {
  readonly node: NodeId
  readonly isVoter: boolean
  readonly isLeader: boolean
  /** As this node last knew it. */
  readonly address: string | undefined
  readonly isReachable: boolean
}

export type MeshAlarm = {
  readonly kind: string
  readonly what: string
  /** What the reader should do. */
  readonly next: string
}

export type ClusterStatus = {
  readonly namespace: string
  readonly group: GroupId
  /** Names of the command API and of the consensus transport. */
  readonly api: string
  readonly transport: string
  readonly state: ClusterState
  readonly standing: Standing
  readonly leader: NodeId | undefined
  readonly term: number
  readonly commit: number
  readonly applied: number
  readonly members: readonly Member[]
  /** The newest last; at most 64. */
  readonly alarms: readonly MeshAlarm[]
}

/**
 * One namespace on this node. Before this node is a member every operation fails with 'unavailable'. Writes and
 * changes of members are the leader's: elsewhere they fail with 'not-leader', failed, with field
 * `leader` (its node number, '' when unknown). A Client forwards instead. Timeouts default to 5 s and
 * end with 'deadline'; outcome unknown for what was on its way.
 */
export type Cluster = {
  readonly namespace: string
  readonly node: NodeId
  /** Built-in keyspace only, as set, delete and keys. */
  set(key: string, value: Uint8Array, options?: CallOptions): Promise<void>
  /** From this node's replica, which may be behind: barrier() first where that matters. */
  get(key: string): Promise<Uint8Array | undefined>
  /** Whether it was there. */
  delete(key: string, options?: CallOptions): Promise<boolean>
  /** In order of their bytes, from this node's replica. Fault 'too-large' beyond 100,000. */
  keys(prefix?: string): Promise<readonly string[]>
  /** The built-in keyspace with everything etcd's has. Forwards to the leader by itself. */
  keyspace(): FullKeyspace
  /** Settles with the machine's answer. Own machine only, at most 1 MiB. */
  apply(payload: Uint8Array, options?: CallOptions): Promise<Uint8Array>
  /** Everything acknowledged anywhere before the call is applied here when it settles. */
  barrier(options?: CallOptions): Promise<void>
  isLeader(): boolean
  leader(): NodeId | undefined
  state(): ClusterState
  members(): readonly Member[]
  /** Settles with the leader that this node knows. Fault 'deadline' after so long. */
  waitForLeader(timeoutMs: number): Promise<NodeId>
  /** Learner first, promoted when it has caught up, if the resulting quorum is alive ('precondition'). */
  addVoter(node: NodeId, options?: CallOptions): Promise<void>
  addLearner(node: NodeId, options?: CallOptions): Promise<void>
  /** Fault 'precondition' when the rest would have no living quorum. */
  removeServer(node: NodeId, options?: CallOptions): Promise<void>
  /** To the given voter, or to the one that is furthest. */
  transferLeadership(to?: NodeId): Promise<void>
  /** Asks to be taken in again after a removal. Opening the namespace does the same. */
  rejoin(): void
  status(): ClusterStatus
  /**
   * Ends its use here; a leader hands over first. The replica stays a member of the cluster, and the data
   * stays, until the mesh closes; open() gives it back. Afterwards everything fails with 'cancelled', and no leader
   * and no members are known.
   */
  close(): Promise<void>
}

export type ClientOptions = {
  /** Of each call that says no other. Default 5,000. */
  readonly timeoutMs?: number
}
export type ClientCallOptions = CallOptions & {
  /** Ask this node; it forwards to the leader where it has to. Default: any that hosts the namespace. */
  readonly to?: NodeId
}

/**
 * Talks to the nodes that host a namespace; this node need not. What has failed for certain is tried at other
 * nodes until the timeout; an unknown outcome is told at once and never repeated by itself.
 */
export type Client = {
  readonly namespace: string
  set(key: string, value: Uint8Array, options?: ClientCallOptions): Promise<void>
  /** `barrierMs`: everything acknowledged before is seen; Fault 'deadline' when that takes longer. */
  get(
    key: string,
    options?: ClientCallOptions & { readonly barrierMs?: number },
  ): Promise<Uint8Array | undefined>
  delete(key: string, options?: ClientCallOptions): Promise<boolean>
  keys(
    options?: ClientCallOptions & { readonly prefix?: string; readonly barrierMs?: number },
  ): Promise<readonly string[]>
  /** To the machine of the namespace's owners. */
  apply(payload: Uint8Array, options?: ClientCallOptions): Promise<Uint8Array>
  /** Asks the leader to take a node in: `voter` once it is one, `learner` while it catches up. */
  joinVoter(node: NodeId, options?: ClientCallOptions): Promise<'learner' | 'voter'>
  /** Tells a node whom this one knows, and learns whom it knows. */
  exchangePeers(options?: ClientCallOptions): Promise<readonly KnownPeer[]>
  members(options?: ClientCallOptions): Promise<readonly Member[]>
  /** Calls under way fail with 'cancelled'. */
  close(): void
}

export type KnownPeer = { readonly node: NodeId; readonly address: string }

export type MeshStatus = {
  readonly node: NodeId
  /** 32 hexadecimal digits, drawn with the data directory. */
  readonly incarnation: string
  readonly meshId: string
  readonly address: string
  readonly peers: readonly (KnownPeer & { readonly isReachable: boolean })[]
  readonly namespaces: readonly ClusterStatus[]
}

export type Mesh = {
  readonly node: NodeId
  /**
   * Opens a namespace, founds or joins its cluster in the background. Faults 'invalid' for a bad name or
   * option, 'exists' while it is open here, 'conflict' when another namespace has its group number.
   */
  open(namespace: string, options: OpenOptions): Promise<Cluster>
  client(namespace: string, options?: ClientOptions): Client
  status(): MeshStatus
  /** Everything applied is durable when it settles. */
  close(): Promise<void>
}

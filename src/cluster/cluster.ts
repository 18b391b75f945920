// Cluster: who is a member, where things go, settings and buckets. Contract only.
// All of it is replicated state in '/raft/system'; every thread of a node sees it through a cache that
// is valid while the node's replica of the namespace heard the leader within staleMsMax (1 s).

import type { ClusterId, NodeId } from '../base/index.ts'
import type { Address } from '../host/index.ts'

export type MemberState =
  | 'unpaired'
  | 'pending'
  | 'joining'
  | 'online'
  | 'suspect'
  | 'offline'
  | 'draining'
  | 'removed'

export type Member = {
  readonly id: NodeId
  /** 'node-1'. */
  readonly name: string
  readonly state: MemberState
  /** The [[db]] address: consensus and control. */
  readonly control: Address
  /** The [[nodes]] address: bulk bytes. */
  readonly bulk: Address
  readonly admin: Address
  readonly s3: Address
  /** Rules of placement speak of these: 'zone', 'rack', 'host'. */
  readonly labels: Readonly<Record<string, string>>
  /** Capabilities: which services run here ('control', 's3', 'etcd', 'ebs', 'ec2', ...). Empty: all there are. */
  readonly caps: readonly string[]
  /** Of its program, '0.1.0'; '' as long as it has not told. */
  readonly version: string
  /** What its disk offers to shards; 0 as long as it has not told. */
  readonly capacityBytes: number
  /** Where people and programs outside reach it, if that is not `admin`: 'https://eu.example.org:7777'. */
  readonly publicUrl?: string
  /** The member whose place this one took (its disk was lost). */
  readonly replaces: NodeId | undefined
  /**
   * The first member of the chain of replacements that this one ends. Placement scores it under this id, so that a
   * replacement should hold what its predecessor held. Absent: its own id.
   */
  readonly place?: NodeId
}

/** Of the founding. Who may do what is the room access's to say. */
export type Credential = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export type BucketRecord = {
  readonly name: string
  readonly region: string
  /** 'distributed': erasure-coded. */
  readonly type: string
  readonly createdMs: number
  /** Namespace that holds its objects: '/raft/objects/1'. */
  readonly namespace: string
  /** Number within that namespace, so that a deleted and re-created bucket shares no keys. */
  readonly number: number
  /** A write may end with k durable shards while fewer than k+1 nodes are up. Default true. */
  readonly allowsBareQuorum: boolean
  /** The tenant that owns it, 12 digits; '': the first tenant. */
  readonly tenant: string
}

/** What placement keeps to. One record in '/raft/system'; changed at any time, for chunks written from then on. */
export type PlacementRule = {
  /** Any so many shards of a chunk suffice. A replication factor of n is 1 data and n - 1 parity shards. */
  readonly dataShards: number
  readonly parityShards: number
  /**
   * Of each label named, the shards of a chunk lie on members with at least so many different values, as far as the
   * members that are up have so many. A member without the label has the value ''.
   */
  readonly minDistinct: Readonly<Record<string, number>>
  /** 'capacity': twice the bytes, twice the shards. Members that have not told count as the smallest that has. */
  readonly weights: 'capacity' | 'equal'
  /** Shards of a member that is offline for longer are made again elsewhere. */
  readonly repairAfterMs: number
}

export type Settings = {
  readonly clusterId: ClusterId
  readonly region: string
  /** Of the rule, if one was set. */
  readonly dataShards: number
  readonly parityShards: number
  /** Of what disk and network give when idle, how much background moves may use: 0.01 to 1. Absent: 0.3. */
  readonly movesShare?: number
  /** Undefined: none was set; weights by capacity, no labels asked for. */
  readonly placement?: PlacementRule
  /** What operators have set for services, by capability (core/capability-settings.ts). Absent: nothing. */
  readonly services?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** The active feature level: ask `levelOf(settings).supports(...)`. Absent: the first. */
  readonly level?: number
}

/** What every room above needs to know, from the local replica: no hop. */
export type ClusterView = {
  /** Members that hold or may hold data: joining, online, suspect, offline, draining. Sorted by id. */
  members(): readonly Member[]
  settings(): Settings
  /**
   * Whether this node reaches the member now (itself: always). A local opinion of this moment, good for
   * choosing whom to ask first and for suspicion shown to people; never for deciding who is a member.
   */
  isUp(id: NodeId): boolean
  /** Fault 'unavailable' when the replica is staler than staleMsMax and nobody can be asked. */
  bucket(name: string): Promise<BucketRecord | undefined>
  /** Every change of the member list or settings. Answers a function that ends it. */
  onChange(changed: () => void): () => void
}

/** Changes, each one transaction on '/raft/system'. */
export type ClusterAdmin = {
  /**
   * For the first tenant, unless another is given. Fault 'exists' when there is one of the name: BucketAlreadyOwnedByYou
   * when it is the same tenant's, otherwise BucketAlreadyExists.
   */
  createBucket(
    name: string,
    region: string,
    options?: { readonly tenant?: string },
  ): Promise<BucketRecord>
  /** The caller has made sure that it is empty; removes the record only if unchanged since. */
  deleteBucket(record: BucketRecord): Promise<void>
  listBuckets(): Promise<readonly BucketRecord[]>
}

/** What happened to the cluster, kept for people and programs that watch: the newest 1,024. */
export type ClusterEvent = {
  /** Counts up without gaps. */
  readonly number: number
  readonly atMs: number
  /** 'member-suspect', 'member-offline', 'member-online', 'rule-changed', ... */
  readonly kind: string
  /** The member that it is about; 0: none. */
  readonly node: number
  /** For people. */
  readonly text: string
}

/**
 * Placement: `count` distinct members for a chunk, most wanted first, by weighted rendezvous hashing (highest
 * random weight: Thaler and Ravishankar 1998): the same on every node for the same members and rule; a member
 * that leaves moves only what it held. Members that are up come before the others; within each part those that
 * bring the minimum of distinct labels come first.
 */
export type ChooseHolders = (
  chunk: Uint8Array,
  members: readonly Member[],
  options: PlacementOptions,
) => readonly NodeId[]

export type PlacementOptions = {
  readonly count: number
  readonly isUp: (id: NodeId) => boolean
  /** Undefined: weights by capacity, no labels. */
  readonly rule?: PlacementRule | undefined
  /** Members that keep other shards of the chunk: never chosen, but their labels count. */
  readonly held?: readonly NodeId[]
  /** Shards that labels are counted over, held ones included; those beyond go by score. Default: all chosen. */
  readonly shards?: number
}

// Cluster: who is a member, where things go, settings and credentials. Contract only.
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
  /** The member whose place this one took (its disk was lost). */
  readonly replaces: NodeId | undefined
  /**
   * The first member of the chain of replacements that this one ends. Placement scores it under this id, so that a
   * replacement should hold what its predecessor held. Absent: its own id.
   */
  readonly place?: NodeId
}

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
}

export type Settings = {
  readonly clusterId: ClusterId
  readonly region: string
  readonly dataShards: number
  readonly parityShards: number
  /** Of what disk and network give when idle, how much background moves may use: 0.01 to 1. Absent: 0.3. */
  readonly movesShare?: number
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
  credential(accessKeyId: string): Promise<Credential | undefined>
  bucket(name: string): Promise<BucketRecord | undefined>
  /** Every change of the member list or settings. Answers a function that ends it. */
  onChange(changed: () => void): () => void
}

/** Changes, each one transaction on '/raft/system'. */
export type ClusterAdmin = {
  /** Fault 'exists' when there is one of the name. */
  createBucket(name: string, region: string): Promise<BucketRecord>
  /** The caller has made sure that it is empty; removes the record only if unchanged since. */
  deleteBucket(record: BucketRecord): Promise<void>
  listBuckets(): Promise<readonly BucketRecord[]>
}

/**
 * Placement: `count` distinct members for a chunk, most wanted first, by rendezvous hashing (highest
 * random weight: Thaler and Ravishankar 1998): the same on every node for the same members; a member
 * that leaves moves only what it held. `isPreferred` members (up now) come before the others.
 */
export type ChooseHolders = (
  chunk: Uint8Array,
  members: readonly Member[],
  options: { readonly count: number; readonly isUp: (id: NodeId) => boolean },
) => readonly NodeId[]

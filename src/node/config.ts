// Everything a node is built from besides its host: one frozen plain value, so that it can cross to
// threads as bytes and the simulator can make it without a file or a certificate.

import { Fault, type NodeId, utf8Decode, utf8Encode } from '../base/index.ts'
import type { EnrolmentSettings, FounderFacts, Topology } from '../cluster/index.ts'
import type { EtcdEngineOptions } from '../keyspace/etcd/index.ts'
import type { Address, NodeIdentity } from '../host/index.ts'

export type NodeConfig = {
  readonly self: NodeId
  readonly identity: NodeIdentity
  /** The cluster's file: peers until this node's replica of the member list is read. */
  readonly topology: Topology
  /** Who founded the groups. A node that is not among them joins with what the leader sends. */
  readonly founders: readonly NodeId[]
  /** Of a node that founds a cluster by itself: what its member record begins with. */
  readonly facts?: FounderFacts
  /** Name of the topology's file in the data directory. Absent: it is not kept up (simulator, `atoll up`). */
  readonly topologyFile?: string
  readonly listen: {
    /** 6660: consensus and control. */
    readonly control: Address
    /** 9991: bulk bytes. */
    readonly bulk: Address
    /** 7777: admin API. Absent: none (simulator). */
    readonly admin?: Address
    /** 9000: S3 over plain HTTP. */
    readonly s3?: Address
    /** 8443: S3 over TLS. */
    readonly s3Tls?: Address
    /** 2379: etcd's API, gRPC and JSON. On all nodes of a cluster or on none: its namespace is theirs together. */
    readonly etcd?: Address
    /** 4001: rqlite's HTTP API over the SQL databases. */
    readonly sql?: Address
  }
  /** Present: the etcd port speaks TLS; with an authority only to clients with a certificate of it. */
  readonly etcdTls?: {
    readonly certificatePem: string
    readonly privateKeyPem: string
    readonly clientAuthorityPem?: string
  }
  /** The SQL port speaks TLS, with this node's certificate (serverTls). */
  readonly isSqlTls?: boolean
  /** Between two notices of progress to a quiet watch of etcd's API that asked for them. Default: the gateway's. */
  readonly etcdProgressMs?: number
  /**
   * Present: connections between nodes are secured by this key (32 bytes, hexadecimal) instead of certificates,
   * on all nodes of the cluster alike. A secret: never journaled.
   */
  readonly sharedKeyHex?: string
  /**
   * Present: machines can join through this node, and its certificates are renewed. Absent in the simulator, with a
   * shared key instead of certificates, and where an etcd keeps the state.
   */
  readonly enrolment?: EnrolmentSettings
  /** Present: the replicated state is kept by this cluster of etcd, and the node has no groups of its own. */
  readonly control?: EtcdEngineOptions
  /** For the admin API and S3 over TLS. */
  readonly serverTls: { readonly certificatePem: string; readonly privateKeyPem: string }
  /** Bearer token of the admin API. */
  readonly adminToken: string
  /** Gateways, content and bulk rpc: 0 on the core's loop, 1 in a thread of their own. */
  readonly dataThreads: number
  /** False: the log writes on the core's loop (simulator). Default true. */
  readonly ownLogThread?: boolean
  /** Free disk space that shards leave to names and to deleting. Default: planReserves(). */
  readonly reserveBytes?: number
  readonly raft?: {
    readonly tickMs?: number
    readonly electionTicks?: number
    readonly logBytesMax?: number
    readonly readLease?: { readonly clockDriftRatio: number }
  }
  readonly content?: {
    readonly auditEveryMs?: number
    readonly scrubBytesPerSecond?: number
  }
}

/** Directories of a node under its host's disk root, as the topology names them. */
export function pathsOf(config: NodeConfig): { readonly db: string; readonly nodes: string } {
  const withoutSlash = (path: string): string => path.replace(/\/+$/, '')
  const db = config.topology.db.find((listed) => listed.id === config.self)
  const nodes = config.topology.nodes.find((listed) => listed.id === config.self)
  if (db === undefined || nodes === undefined) {
    throw new Fault('invalid', `the topology does not list node ${config.self}`)
  }
  return { db: withoutSlash(db.path), nodes: withoutSlash(nodes.path) }
}

/** Of raft's snapshot files, below the disk that they are on. */
export function snapshotsPathOf(config: NodeConfig): string {
  return `${pathsOf(config).db}/snapshots`
}

const mebibyte = 1024 * 1024

/**
 * Free bytes that each kind of data leaves on a disk. Shards stop first, then long values, so that a node
 * whose disk is full of objects can still write the entries and rows that deleting them needs.
 */
export function planReserves(totalBytes: number): {
  readonly shards: number
  readonly values: number
} {
  const between = (share: number, least: number, most: number): number =>
    Math.min(Math.max(totalBytes * share, least), most, totalBytes / 3)
  return {
    shards: between(0.05, 48 * mebibyte, 1024 * mebibyte),
    values: between(0.02, 24 * mebibyte, 256 * mebibyte),
  }
}

/** Size of a shard file: small on a small disk, so that compaction finds room for the copy of one. */
export function planFileBytes(totalBytes: number): number {
  const share = Math.floor(totalBytes / 64 / mebibyte) * mebibyte
  return Math.min(Math.max(share, 4 * mebibyte), 64 * mebibyte)
}

/** A node's config crosses to a thread of the same program: JSON of plain values loses nothing. */
export function encodeConfig(config: NodeConfig): Uint8Array {
  return utf8Encode(JSON.stringify(config))
}

export function decodeConfig(bytes: Uint8Array): NodeConfig {
  return JSON.parse(utf8Decode(bytes)) as NodeConfig
}

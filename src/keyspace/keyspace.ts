// A namespace is a name ('/raft/system', '/raft/objects/1') and the keyspace that its group replicates:
// an ordered map from bytes to bytes with etcd v3's semantics (etcd API reference v3.5: KV service).
// Every transaction that changes something raises the revision by one. Contract only. Messages of faults
// are etcd's own where etcd has one, because clients match on them.
//
// Any thread and any node may ask any namespace: requests are bytes that travel to the core thread
// (over a port) and to the leader (over rpc); the room hides routing, retries and once-only requests.

import type { Fault, Revision } from '../base/index.ts'

export type KeyValue = {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly createRevision: Revision
  readonly modRevision: Revision
  /** 1 at creation, raised by each put; a deleted and re-created key starts again at 1. */
  readonly version: number
  /** 0: none. */
  readonly lease: number
}

export type RangeRequest = {
  readonly key: Uint8Array
  /** Absent: the one key. [0]: every key >= key. Otherwise exclusive end. (etcd's range_end) */
  readonly rangeEnd?: Uint8Array
  /** Key-value pairs at most; 0: no limit but the response's 1 MiB bound, `more` tells. */
  readonly limit?: number
  /** 0: now. Fault 'compacted' below the compacted revision; 'invalid' in the future. */
  readonly revision?: number
  /** True: this node's applied state without asking anyone. Default: linearizable. */
  readonly isSerializable?: boolean
  readonly keysOnly?: boolean
  /** No pairs; `count` of the whole range, whatever else is asked for. */
  readonly countOnly?: boolean
  /** Also count every key of the range, whatever the limit and the bounds below (etcd always does). */
  readonly isCounted?: boolean
  /** From the last to the first, by key or by what sortBy names. */
  readonly isReverse?: boolean
  /**
   * Absent: by key. Equal ones are in order of key. At most 16,384 keys are sorted (Fault 'too-large'),
   * and no values longer than 1 KiB by value (Fault 'unsupported'). An answer that its 1 MiB bound cut
   * cannot be continued: ask by key and sort where there is room.
   */
  readonly sortBy?: 'version' | 'create' | 'mod' | 'value'
  /** Pairs outside of these are left out before the limit counts; 0 or absent: no bound. */
  readonly minModRevision?: number
  readonly maxModRevision?: number
  readonly minCreateRevision?: number
  readonly maxCreateRevision?: number
}

export type RangeResponse = {
  readonly revision: Revision
  readonly kvs: readonly KeyValue[]
  readonly more: boolean
  /** Keys within the range with countOnly or isCounted; otherwise the number of `kvs`. */
  readonly count: number
}

export type Compare = {
  readonly key: Uint8Array
  /** Compares every key of [key, rangeEnd); all must satisfy it. Absent: the one key. */
  readonly rangeEnd?: Uint8Array
  readonly target: 'version' | 'create' | 'mod' | 'value' | 'lease'
  readonly result: 'equal' | 'greater' | 'less' | 'not-equal'
  /** For value: bytes; otherwise a number. A missing key has version, create and mod 0. */
  readonly operand: number | Uint8Array
}

export type Operation =
  | { readonly kind: 'range'; readonly request: RangeRequest }
  | {
      readonly kind: 'put'
      readonly key: Uint8Array
      readonly value: Uint8Array
      /** Fault 'not-found' (etcdserver: requested lease not found) when there is no such lease. */
      readonly lease?: number
      readonly previous?: boolean
      /** Keeps the value (lease) that the key has; `value` is empty (`lease` absent) then. Fault
       *  'invalid' (etcdserver: key not found) when the key does not exist. */
      readonly ignoreValue?: boolean
      readonly ignoreLease?: boolean
    }
  | {
      readonly kind: 'delete'
      readonly key: Uint8Array
      readonly rangeEnd?: Uint8Array
      readonly previous?: boolean
    }
  | { readonly kind: 'txn'; readonly request: TxnRequest }

/**
 * All compares hold: `success`, otherwise `failure`, atomically. At most 8,192 operations with nesting,
 * 1.5 MiB of request; no key is put twice (etcd: duplicate key given in txn request).
 */
export type TxnRequest = {
  readonly compares: readonly Compare[]
  readonly success: readonly Operation[]
  readonly failure: readonly Operation[]
}

export type OperationResult =
  | { readonly kind: 'range'; readonly response: RangeResponse }
  | { readonly kind: 'put'; readonly previous?: KeyValue }
  | { readonly kind: 'delete'; readonly deleted: number; readonly previous: readonly KeyValue[] }
  | { readonly kind: 'txn'; readonly response: TxnResponse }

export type TxnResponse = {
  /** The keyspace's revision after the transaction. */
  readonly revision: Revision
  readonly succeeded: boolean
  readonly results: readonly OperationResult[]
}

export type RequestOptions = {
  /** Retries with the same request id go on until then. Default 10,000. */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
  /**
   * The revision of the guard under which the asker found the request allowed. Fault 'conflict' with field
   * guard, nothing done, when it is another where and when the request takes effect (of a write: in the log;
   * of a read: at the replica, after its barrier). Absent: not looked at.
   */
  readonly guard?: number
}

export type Freshness = {
  readonly revision: Revision
  readonly guard: number
  readonly heardMsAgo: number
}

/**
 * One namespace, as seen from one thread. Mutating requests carry a request id of this client's session
 * and are applied once, however often they are retried inside. Faults: 'unavailable' or 'deadline' with
 * outcome unknown only when the deadline passed without an answer.
 */
export type Keyspace = {
  readonly name: string
  range(request: RangeRequest, options?: RequestOptions): Promise<RangeResponse>
  txn(request: TxnRequest, options?: RequestOptions): Promise<TxnResponse>
  /** txn of one put without compares. */
  put(key: Uint8Array, value: Uint8Array, options?: RequestOptions): Promise<Revision>
  /** txn of one delete without compares; answers how many keys went. */
  delete(
    key: Uint8Array,
    options?: RequestOptions & { readonly rangeEnd?: Uint8Array },
  ): Promise<number>
  /**
   * How fresh this node's replica is: its applied revision, the revision of its guard, and how many ms ago
   * it heard from the leader (Infinity: has no replica). Cheap: every thread is told a new revision
   * within 100 ms, and the age at least every 400 ms.
   */
  freshness(): Freshness
  /**
   * Calls back when this node's replica has applied more, or has another guard, and this thread knows of it, perhaps once for
   * several revisions. It runs within the replica's turn, so it is quick and asks for nothing itself.
   * Answers what ends it.
   */
  onRevision(changed: () => void): () => void
}

// ---- leases ----

/**
 * A lease is a time to live that keys share: when it is revoked or runs out, its keys are deleted in one
 * revision. Its time is a lower bound: the leader counts it in memory, a new leader begins every lease
 * anew, and a lease ends only by a revoke that is committed. At most 16,384 keys per lease (Fault
 * 'too-large'), 65,536 leases (Fault 'overloaded').
 */
export type Leases = {
  /**
   * `id` 0 or absent: chosen. At most 2^53 - 1. The time granted is at least 2 s. Faults 'precondition'
   * (etcdserver: lease already exists), 'too-large' (etcdserver: too large lease TTL: 9,000,000,000 s).
   */
  grant(
    request: { readonly id?: number; readonly ttlSeconds: number },
    options?: RequestOptions,
  ): Promise<LeaseTime>
  /** Deletes its keys. Fault 'not-found' (etcdserver: requested lease not found). */
  revoke(id: number, options?: RequestOptions): Promise<Revision>
  /** Begins its time anew, without a log entry; ttlSeconds 0 when there is no such lease. */
  keepAlive(id: number, options?: RequestOptions): Promise<LeaseTime>
  /** ttlSeconds (whole seconds left) is -1 when there is no such lease. */
  timeToLive(
    id: number,
    options?: RequestOptions & { readonly withKeys?: boolean },
  ): Promise<LeaseTimeToLive>
  /** Ids in order. */
  list(options?: RequestOptions): Promise<LeaseList>
}

export type LeaseTime = {
  readonly revision: Revision
  readonly id: number
  readonly ttlSeconds: number
}
export type LeaseTimeToLive = LeaseTime & {
  readonly grantedTtlSeconds: number
  /** In order; empty unless asked for. */
  readonly keys: readonly Uint8Array[]
}
export type LeaseList = { readonly revision: Revision; readonly ids: readonly number[] }

// ---- watch ----

export type WatchRequest = {
  readonly key: Uint8Array
  /** As in RangeRequest. */
  readonly rangeEnd?: Uint8Array
  /** First revision of interest, also one that is yet to come. 0 or absent: what follows now. */
  readonly startRevision?: number
  readonly withoutPuts?: boolean
  readonly withoutDeletes?: boolean
  /** Events carry the pair before them, unless it was compacted. */
  readonly previous?: boolean
  /**
   * Revisions with many bytes of events come in several responses (isFragment on all but the last).
   * Without it every revision comes whole; one of more than 64 MiB of events ends the watch ('too-large').
   */
  readonly isFragmented?: boolean
  /** A progress response after this long without another. Absent: only when asked for. */
  readonly progressMs?: number
}

export type WatchEvent = {
  readonly kind: 'put' | 'delete'
  /** Of a delete: key and modRevision, all else empty. A put is a creation if version is 1. */
  readonly kv: KeyValue
  readonly previous?: KeyValue
}

/**
 * Events in order, each once, none left out, from the start revision on; a revision's events are in one
 * response unless it is fragmented. Without events: progress, everything up to `revision` was given.
 * Watches that see the same events get the same `events` array, so its encoding can be shared.
 */
export type WatchResponse = {
  /** Everything up to here was given, this response included; a fragment's own revision is yet to end. */
  readonly revision: Revision
  readonly events: readonly WatchEvent[]
  readonly isFragment: boolean
}

/** Called in order, from the loop of the thread that opened the watch. */
export type WatchReceiver = {
  /** Once, before anything else: where the watch begins. `revision` is the node's at that moment. */
  onOpened?(opened: { readonly revision: Revision }): void
  /**
   * False: no more until resume(). Nothing is buffered meanwhile: the watch falls behind and catches up
   * from history afterwards.
   */
  onResponse(response: WatchResponse): boolean
  /**
   * Once, unless closed: the watch ended by itself. Fault 'compacted' with field 'compacted' (the
   * compacted revision: history from there on can be watched) when the next revision is gone; other
   * faults: open it again at the last response's revision + 1, here or on another node.
   */
  onEnded(fault: Fault): void
}

export type Watch = {
  resume(): void
  /** A response without events follows as soon as everything up to the node's revision was given. */
  requestProgress(): void
  close(): void
}

// ---- upkeep ----

/** A digest of all live pairs at a revision: equal on all replicas; no digest of etcd's. */
export type KeyspaceHash = {
  readonly revision: Revision
  /** The revision whose pairs were hashed. */
  readonly hashRevision: Revision
  readonly compacted: Revision
  /** 32 bits. */
  readonly hash: number
}

/**
 * no-space: beyond the quota; everything that puts is refused (Fault 'no-space', etcdserver: mvcc:
 * database space exceeded) until deletion and compaction have brought it back, which ends the alarm by
 * itself. corrupt: replicas disagree and no majority is right; nothing is written (Fault 'corrupt').
 */
export type KeyspaceAlarm = 'no-space' | 'corrupt'

/** Of this node's replica, or of the leader where there is none. */
export type KeyspaceStatus = {
  readonly revision: Revision
  readonly compacted: Revision
  /** Keys and values of all readable versions, with what they weigh beside their bytes. */
  readonly usedBytes: number
  /** 0: none. */
  readonly quotaBytes: number
  readonly alarms: readonly KeyspaceAlarm[]
  readonly leases: number
  /** This replica differs from the majority: it serves nothing until it is made anew. */
  readonly isDiverged: boolean
}

/**
 * A document beside the keyspace, replaced as a whole: who may do what, for those who ask in the name of
 * others. It is replicated in the same log as the keys, is no key, and raises no revision but its own. Requests that
 * name its revision (RequestOptions.guard) take effect under that very document or not at all.
 */
export type Guard = {
  /** 0 before the first document, then one more with each. */
  readonly revision: number
  /** At most 1 MiB; empty before the first, and when the asker knew this revision. */
  readonly document: Uint8Array
}

/** A keyspace with everything that etcd's KV, Lease, Watch and Maintenance services need of it. */
export type FullKeyspace = Keyspace & {
  readonly leases: Leases
  /** Served from this node's own replica; where it has none, from another's. */
  watch(request: WatchRequest, receiver: WatchReceiver): Watch
  /**
   * Forgets what was superseded at or before `revision`; isPhysical: settles when the rows are gone from
   * the leader. Fault 'compacted' at or below the compacted revision, 'invalid' in the future.
   */
  compact(
    revision: number,
    options?: RequestOptions & { readonly isPhysical?: boolean },
  ): Promise<Revision>
  /** 0: now. Of this node's replica. Faults of a range's revision. */
  hash(revision: number, options?: RequestOptions): Promise<KeyspaceHash>
  status(options?: RequestOptions): Promise<KeyspaceStatus>
  /** Linearizable, unless isSerializable. `known`: a revision whose document the asker has. */
  guard(
    options?: RequestOptions & { readonly known?: number; readonly isSerializable?: boolean },
  ): Promise<Guard>
  /** Replaces the document of revision `expected`; answers the next revision. Fault 'conflict' with field guard. */
  setGuard(
    next: { readonly expected: number; readonly document: Uint8Array },
    options?: RequestOptions,
  ): Promise<number>
  /** Raises an alarm by hand: it lasts until it is ended by hand, whatever the space or the replicas are like. */
  arm(alarm: KeyspaceAlarm, options?: RequestOptions): Promise<Revision>
  /** Ends an alarm by hand; one whose cause lasts comes back. */
  disarm(alarm: KeyspaceAlarm, options?: RequestOptions): Promise<Revision>
}

/** What createKeyspaces and createLaneKeyspaces answer with. */
export type FullKeyspaces = {
  open(name: string): Promise<FullKeyspace>
  close(): Promise<void>
}

/** Opens namespaces by name. The core thread has the real ones, data threads talk to it over a port. */
export type Keyspaces = {
  open(name: string): Promise<Keyspace>
  close(): Promise<void>
}

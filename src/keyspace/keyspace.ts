// A namespace is a name ('/raft/system', '/raft/objects/1') and the keyspace that its group replicates:
// an ordered map from bytes to bytes with etcd v3's semantics (etcd API reference v3.5: KV service).
// Every transaction that changes something raises the revision by one. Contract only.
//
// Any thread and any node may ask any namespace: requests are bytes that travel to the core thread
// (over a port) and to the leader (over rpc); the room hides routing, retries and once-only requests.

import type { Revision } from '../base/index.ts'

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
  readonly countOnly?: boolean
  readonly isReverse?: boolean
}

export type RangeResponse = {
  readonly revision: Revision
  readonly kvs: readonly KeyValue[]
  readonly more: boolean
  /** Keys within the range, whatever the limit; only counted when countOnly is asked for. */
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
      readonly lease?: number
      readonly previous?: boolean
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
   * How fresh this node's replica is: its applied revision, and how many ms ago it heard from the leader
   * (Infinity: has no replica). Cheap: every thread is told a new revision
   * within 100 ms, and the age at least every 400 ms.
   */
  freshness(): { readonly revision: Revision; readonly heardMsAgo: number }
}

/** Opens namespaces by name. The core thread has the real ones, data threads talk to it over a port. */
export type Keyspaces = {
  open(name: string): Promise<Keyspace>
  close(): Promise<void>
}

// What every part of this room works with, and the few steps that all of them share.

import { Fault, type Revision } from '../base/index.ts'
import type { BucketRecord, ClusterAdmin, ClusterView } from '../cluster/index.ts'
import type { Content } from '../content/index.ts'
import type { Host } from '../host/index.ts'
import type {
  Compare,
  Keyspace,
  Keyspaces,
  KeyValue,
  Operation,
  TxnResponse,
} from '../keyspace/index.ts'
import { gateKey, headKey } from './core/keys.ts'
import { type Body, decodeHead, type Head } from './core/records.ts'

export type Rooms = {
  readonly host: Host
  readonly view: ClusterView
  readonly admin: ClusterAdmin
  readonly keyspaces: Keyspaces
  readonly content: Content
  /** Objects and parts up to this many bytes ride in the log entry. */
  readonly smallBytesMax: number
}

export type OpenBucket = { readonly record: BucketRecord; readonly keyspace: Keyspace }

/** Fault NoSuchBucket. */
export async function openBucket(rooms: Rooms, name: string): Promise<OpenBucket> {
  const record = await rooms.view.bucket(name)
  if (record === undefined) throw noSuchBucket(name)
  return { record, keyspace: await rooms.keyspaces.open(record.namespace) }
}

export function noSuchBucket(name: string): Fault {
  return new Fault('not-found', 'The specified bucket does not exist', {
    s3: { code: 'NoSuchBucket', status: 404 },
    fields: { BucketName: name },
  })
}

export function noSuchKey(key: string): Fault {
  return new Fault('not-found', 'The specified key does not exist.', {
    s3: { code: 'NoSuchKey', status: 404 },
    fields: { Key: key },
  })
}

export type FoundHead = { readonly head: Head; readonly modRevision: Revision }

export async function findHead(
  bucket: OpenBucket,
  key: string,
  options: { readonly isSerializable: boolean },
): Promise<FoundHead | undefined> {
  const response = await bucket.keyspace.range({
    key: headKey(bucket.record.number, key),
    isSerializable: options.isSerializable,
  })
  return toFoundHead(response.kvs[0])
}

export function toFoundHead(kv: KeyValue | undefined): FoundHead | undefined {
  return kv === undefined ? undefined : { head: decodeHead(kv.value), modRevision: kv.modRevision }
}

/** Holds while the bucket has not been closed for deletion. */
export function bucketIsOpen(bucket: OpenBucket): Compare {
  return exists(gateKey(bucket.record.number), false)
}

export function exists(key: Uint8Array, isPresent: boolean): Compare {
  return { key, target: 'version', result: isPresent ? 'greater' : 'equal', operand: 0 }
}

export function isUnchanged(key: Uint8Array, modRevision: number): Compare {
  return { key, target: 'mod', result: 'equal', operand: modRevision }
}

export function put(key: Uint8Array, value: Uint8Array): Operation {
  return { kind: 'put', key, value }
}

export function remove(key: Uint8Array): Operation {
  return { kind: 'delete', key }
}

export function read(key: Uint8Array): Operation {
  return { kind: 'range', request: { key } }
}

/** The first pair of the n-th result of a transaction's failure branch. */
export function resultKv(response: TxnResponse, n: number): KeyValue | undefined {
  const result = response.results[n]
  return result?.kind === 'range' ? result.response.kvs[0] : undefined
}

export function emptyBody(version: Uint8Array): Body {
  return { kind: 'small', length: 0, version, chunks: [], uploadId: new Uint8Array(0) }
}

/**
 * How a page after the first is read: at the revision that was told, 0 for none yet, and here without asking anybody when
 * the replica of this node has got there. Without the look: 1. the first page is answered by another node, which is ahead;
 * 2. the next one is asked for here, at a revision that is still to come; 3. the list is refused.
 */
export function laterPage(
  keyspace: Keyspace,
  revision: number,
): { readonly revision?: number; readonly isSerializable?: boolean } {
  if (revision === 0) return {}
  return { revision, isSerializable: keyspace.freshness().revision >= revision }
}

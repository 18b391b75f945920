// One consistent read of everything that enrolment decides on, with what a transaction needs to state that it is
// still so.

import { Fault, type NodeId, prefixEnd } from '../base/index.ts'
import type { Keyspace, KeyValue, Operation, OperationResult } from '../keyspace/index.ts'
import type { Member } from './cluster.ts'
import {
  type AuthorityRecord,
  authorityCodec,
  authorityKey,
  type BundleRecord,
  bundleCodec,
  bundleKey,
  type CertificateRecord,
  certificateCodec,
  certificatePrefix,
  type ConfigRecord,
  configCodec,
  configKey,
} from './core/enrolment-records.ts'
import {
  type ClusterRecord,
  clusterCodec,
  clusterKey,
  counterCodec,
  memberCodec,
  memberPrefix,
  nodeCounterKey,
} from './core/records.ts'

export type SystemSight = {
  readonly cluster: ClusterRecord
  readonly lastId: number
  readonly counterKv: KeyValue | undefined
  /** Every member there ever was, sorted by id. */
  readonly members: readonly Member[]
  readonly memberKvs: ReadonlyMap<NodeId, KeyValue>
  /** Undefined in a cluster that cannot enrol: nobody sealed an authority. */
  readonly authority: AuthorityRecord | undefined
  readonly authorityKv: KeyValue | undefined
  readonly config: ConfigRecord | undefined
  readonly configKv: KeyValue | undefined
  readonly bundle: BundleRecord | undefined
  readonly bundleKv: KeyValue | undefined
  readonly certificates: readonly CertificateRecord[]
  /** What else was asked for, in that order. */
  readonly others: readonly (KeyValue | undefined)[]
}

const deadlineMs = 5_000

/** Linearizable. Fault 'unavailable' before the cluster's first state. */
export async function readSystem(
  system: Keyspace,
  others: readonly Uint8Array[] = [],
): Promise<SystemSight> {
  const keys = [clusterKey, nodeCounterKey, authorityKey, configKey, bundleKey, ...others]
  const success: Operation[] = keys.map((key) => ({ kind: 'range', request: { key } }))
  for (const key of [memberPrefix, certificatePrefix]) {
    success.push({ kind: 'range', request: { key, rangeEnd: prefixEnd(key) } })
  }
  const answer = await system.txn({ compares: [], success, failure: [] }, { deadlineMs })
  const found = answer.results.map(pairsOf)
  const one = (at: number): KeyValue | undefined => found[at]?.[0]
  const [cluster, counterKv, authorityKv, configKv, bundleKv] = keys.map((_, at) => one(at))
  if (cluster === undefined) throw new Fault('unavailable', 'the cluster has no state yet')
  const memberKvs = new Map<NodeId, KeyValue>()
  const members: Member[] = []
  for (const kv of found[keys.length] ?? []) {
    const member = memberCodec.decode(kv.value)
    members.push(member)
    memberKvs.set(member.id, kv)
  }
  const certificates = (found[keys.length + 1] ?? []).map((kv) => certificateCodec.decode(kv.value))
  return {
    cluster: clusterCodec.decode(cluster.value),
    lastId: counterKv === undefined ? 0 : counterCodec.decode(counterKv.value).value,
    counterKv,
    members: members.sort((a, b) => a.id - b.id),
    memberKvs,
    authority: authorityKv === undefined ? undefined : authorityCodec.decode(authorityKv.value),
    authorityKv,
    config: configKv === undefined ? undefined : configCodec.decode(configKv.value),
    configKv,
    bundle: bundleKv === undefined ? undefined : bundleCodec.decode(bundleKv.value),
    bundleKv,
    certificates: certificates.sort((a, b) => a.member - b.member),
    others: others.map((_, at) => one(5 + at)),
  }
}

function pairsOf(result: OperationResult): readonly KeyValue[] {
  if (result.kind !== 'range') return []
  if (result.response.more) {
    throw new Fault('too-large', 'there are more members than one read can show')
  }
  return result.response.kvs
}

/** All pairs below a prefix, page by page; for lists that people look at. */
export async function listBelow(
  system: Keyspace,
  prefix: Uint8Array,
): Promise<readonly KeyValue[]> {
  const rangeEnd = prefixEnd(prefix)
  const all: KeyValue[] = []
  let key = prefix
  for (;;) {
    const page = await system.range({ key, rangeEnd, limit: 128 }, { deadlineMs })
    all.push(...page.kvs)
    const last = page.kvs.at(-1)
    if (!page.more || last === undefined) return all
    key = new Uint8Array([...last.key, 0])
  }
}

// Keys and stored records of '/raft/system'.
//
//   cluster                 ClusterRecord: identity, region, default code, founders. Its presence is genesis.
//   counter/node            the last member id given out
//   counter/bucket          the last bucket number given out
//   member/<id>             MemberRecord, decimal id
//   drained/<id>            the mod revision of the member's record under which it found itself empty
//   bucket/<name>           BucketRecord
//   credential/<access key> CredentialRecord
//   counter/namespace       the last group number given to a user's namespace; written by every change of them
//   namespace/<name>        NamespaceRecord
//   database/<name>         NamespaceRecord of a SQL database
//   rule/placement          PlacementRule; absent: as the cluster record says
//   level                   LevelRecord: the active feature level and who raises it; absent: the first
//   counter/event           the number of the newest event
//   event/<number>          ClusterEvent, 16 decimal digits; the newest eventsMax
//
// Every value is a sealed record (base/sealed.ts). Kinds: here 1 to 6, 20 to 22; enrolment-records.ts 24 to 29; pairing.ts
// 32; the room access 48 to 63.

import {
  bool,
  type Codec,
  clusterId,
  codecOf,
  Fault,
  type GroupId,
  groupId,
  type MessageOf,
  mapped,
  message,
  nested,
  type NodeId,
  nodeId,
  repeated,
  sealedRecord,
  text,
  uint,
  utf8Encode,
} from '../../base/index.ts'
import type { Address } from '../../host/index.ts'
import type {
  BucketRecord,
  ClusterEvent,
  Credential,
  Member,
  MemberState,
  PlacementRule,
  Settings,
} from '../cluster.ts'

export const systemNamespace = '/raft/system'

export const clusterKey = utf8Encode('cluster')
export const nodeCounterKey = utf8Encode('counter/node')
export const bucketCounterKey = utf8Encode('counter/bucket')
export const namespaceCounterKey = utf8Encode('counter/namespace')
export const namespacePrefix = utf8Encode('namespace/')
export const namespaceKey = (name: string): Uint8Array => utf8Encode(`namespace/${name}`)
export const ownNamespacePrefix = utf8Encode('own-namespace/')
export const ownNamespaceKey = (name: string): Uint8Array => utf8Encode(`own-namespace/${name}`)
export const databasePrefix = utf8Encode('database/')
export const databaseKey = (name: string): Uint8Array => utf8Encode(`database/${name}`)
export const placementRuleKey = utf8Encode('rule/placement')
export const levelKey = utf8Encode('level')
export const eventCounterKey = utf8Encode('counter/event')
export const eventPrefix = utf8Encode('event/')
export const eventKey = (number: number): Uint8Array =>
  utf8Encode(`event/${String(number).padStart(16, '0')}`)
export const memberPrefix = utf8Encode('member/')
export const bucketPrefix = utf8Encode('bucket/')
export const memberKey = (id: number): Uint8Array => utf8Encode(`member/${id}`)
export const drainedPrefix = utf8Encode('drained/')
export const drainedKey = (id: number): Uint8Array => utf8Encode(`drained/${id}`)
export const bucketKey = (name: string): Uint8Array => utf8Encode(`bucket/${name}`)
export const credentialKey = (accessKeyId: string): Uint8Array =>
  utf8Encode(`credential/${accessKeyId}`)

const addressFields = message({ host: text(1), port: uint(2) })
const toAddress = (raw: MessageOf<typeof addressFields> | undefined): Address => ({
  host: raw?.host ?? '',
  port: raw?.port ?? 0,
})

/** Wire numbers of member states; a number keeps its meaning for ever. */
const memberStates = [
  'unpaired',
  'pending',
  'joining',
  'online',
  'suspect',
  'offline',
  'draining',
  'removed',
] as const satisfies readonly MemberState[]

const labelFields = message({ key: text(1), value: text(2) })
const memberFields = message({
  id: uint(1),
  name: text(2),
  state: uint(3),
  control: nested(4, addressFields),
  bulk: nested(5, addressFields),
  admin: nested(6, addressFields),
  s3: nested(7, addressFields),
  labels: repeated(nested(8, labelFields)),
  replaces: uint(9),
  caps: repeated(text(10)),
  version: text(11),
  capacityBytes: uint(12),
  place: uint(13),
  publicUrl: text(20),
})

export const memberCodec: Codec<Member> = sealedRecord(
  'member',
  1,
  mapped(
    codecOf(memberFields),
    (member: Member) => ({
      ...member,
      state: memberStates.indexOf(member.state),
      labels: Object.entries(member.labels)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => ({ key, value })),
      publicUrl: member.publicUrl ?? '',
      replaces: member.replaces ?? 0,
      place: member.place ?? 0,
    }),
    (raw): Member => {
      const state = memberStates[raw.state]
      if (state === undefined) throw new Fault('corrupt', `member state ${raw.state} is not known`)
      const labels: Record<string, string> = {}
      for (const label of raw.labels) if (label !== undefined) labels[label.key] = label.value
      return {
        id: nodeId(raw.id),
        name: raw.name,
        state,
        control: toAddress(raw.control),
        bulk: toAddress(raw.bulk),
        admin: toAddress(raw.admin),
        s3: toAddress(raw.s3),
        labels,
        caps: raw.caps,
        version: raw.version,
        capacityBytes: raw.capacityBytes,
        ...(raw.publicUrl === '' ? {} : { publicUrl: raw.publicUrl }),
        replaces: raw.replaces === 0 ? undefined : nodeId(raw.replaces),
        ...(raw.place === 0 ? {} : { place: nodeId(raw.place) }),
      }
    },
  ),
)

const bucketFields = message({
  name: text(1),
  region: text(2),
  type: text(3),
  createdMs: uint(4),
  namespace: text(5),
  number: uint(6),
  allowsBareQuorum: bool(7),
  tenant: text(8),
})
export const bucketCodec: Codec<BucketRecord> = sealedRecord('bucket', 2, codecOf(bucketFields))

const credentialFields = message({ accessKeyId: text(1), secretAccessKey: text(2) })
export const credentialCodec: Codec<Credential> = sealedRecord(
  'credential',
  3,
  codecOf(credentialFields),
)

/** Settings, and who founded the groups: what a node that joins later must know before it has state. */
export type ClusterRecord = Settings & { readonly founders: readonly number[] }

const clusterFields = message({
  clusterId: text(1),
  region: text(2),
  dataShards: uint(3),
  parityShards: uint(4),
  founders: repeated(uint(5)),
  /** Thousandths; 0: the default. */
  movesShare: uint(6),
})
export const clusterCodec: Codec<ClusterRecord> = sealedRecord(
  'cluster',
  4,
  mapped(
    codecOf(clusterFields),
    (record: ClusterRecord) => ({
      ...record,
      movesShare: Math.round((record.movesShare ?? 0) * 1_000),
    }),
    ({ movesShare, ...raw }): ClusterRecord => ({
      ...raw,
      clusterId: clusterId(raw.clusterId),
      ...(movesShare === 0 ? {} : { movesShare: movesShare / 1_000 }),
    }),
  ),
)

const leastFields = message({ label: text(1), count: uint(2) })
const ruleFields = message({
  dataShards: uint(1),
  parityShards: uint(2),
  minDistinct: repeated(nested(3, leastFields)),
  isByCapacity: bool(4),
  repairAfterMs: uint(5),
})
export const placementRuleCodec: Codec<PlacementRule> = sealedRecord(
  'placement rule',
  20,
  mapped(
    codecOf(ruleFields),
    (rule: PlacementRule) => ({
      ...rule,
      isByCapacity: rule.weights === 'capacity',
      minDistinct: Object.entries(rule.minDistinct)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([label, count]) => ({ label, count })),
    }),
    ({ minDistinct, isByCapacity, ...raw }): PlacementRule => ({
      ...raw,
      minDistinct: Object.fromEntries(
        minDistinct.flatMap((least) => (least === undefined ? [] : [[least.label, least.count]])),
      ),
      weights: isByCapacity ? 'capacity' : 'equal',
    }),
  ),
)

const eventFields = message({
  number: uint(1),
  atMs: uint(2),
  kind: text(3),
  node: uint(4),
  text: text(5),
})
export const eventCodec: Codec<ClusterEvent> = sealedRecord('event', 21, codecOf(eventFields))

/** What the cluster goes by, and whether an operator says when it may rise. */
export type LevelRecord = {
  readonly level: number
  readonly isByOperator: boolean
  /** When it was raised last; 0: by the founding. */
  readonly raisedMs: number
}

const levelFields = message({ level: uint(1), isByOperator: bool(2), raisedMs: uint(3) })
export const levelCodec: Codec<LevelRecord> = sealedRecord('level', 22, codecOf(levelFields))

const counterFields = message({ value: uint(1) })
export const counterCodec: Codec<{ readonly value: number }> = sealedRecord(
  'counter',
  5,
  codecOf(counterFields),
)

/** A namespace that users opened: its group, and the configuration that the group begins with. */
export type NamespaceRecord = {
  readonly name: string
  readonly group: GroupId
  readonly voters: readonly NodeId[]
  readonly learners: readonly NodeId[]
  readonly createdMs: number
  /** Its contents are being deleted: nobody is served any more. */
  readonly isClosing: boolean
}

const namespaceFields = message({
  name: text(1),
  group: uint(2),
  voters: repeated(uint(3)),
  learners: repeated(uint(4)),
  createdMs: uint(5),
  isClosing: bool(6),
})
export const namespaceCodec: Codec<NamespaceRecord> = sealedRecord(
  'namespace',
  6,
  mapped(
    codecOf(namespaceFields),
    (record: NamespaceRecord) => record,
    (raw): NamespaceRecord => ({
      ...raw,
      group: groupId(raw.group),
      voters: raw.voters.map(nodeId),
      learners: raw.learners.map(nodeId),
    }),
  ),
)

// Messages of etcd's KV, Watch, Lease, Cluster and Maintenance (etcd API reference v3.5: etcdserverpb/rpc.proto
// and mvccpb/kv.proto): numbers and names are etcd's, the declarations are ours. Fields that only other servers
// understand are left out; unknown fields are skipped on the wire.

import { lazy, type Message, type MessageOf, message, Writer } from '../../../base/index.ts'
import {
  type AnySchema,
  bool,
  bytes,
  echoed,
  type EtcdField,
  enumeration,
  int64,
  later,
  nested,
  packedEnumeration,
  repeated,
  sharedList,
  text,
  uint32,
} from './fields.ts'

export const header = message({
  clusterId: int64(1),
  memberId: int64(2),
  revision: int64(3),
  raftTerm: int64(4),
})
export type Header = MessageOf<typeof header>

/** A request without fields. */
export const empty = message({})
/** An answer of nothing but the header. */
export const headerOnly = message({ header: nested(1, header) })

export const keyValue = message({
  key: bytes(1),
  createRevision: int64(2),
  modRevision: int64(3),
  version: int64(4),
  value: bytes(5),
  lease: int64(6),
})
export type EtcdKeyValue = MessageOf<typeof keyValue>

// ---- KV ----

export const sortOrders = ['NONE', 'ASCEND', 'DESCEND'] as const
export const sortTargets = ['KEY', 'VERSION', 'CREATE', 'MOD', 'VALUE'] as const

export const rangeRequest = message({
  key: bytes(1),
  rangeEnd: bytes(2),
  limit: int64(3),
  revision: int64(4),
  sortOrder: enumeration(5, sortOrders),
  sortTarget: enumeration(6, sortTargets),
  serializable: bool(7),
  keysOnly: bool(8),
  countOnly: bool(9),
  minModRevision: int64(10),
  maxModRevision: int64(11),
  minCreateRevision: int64(12),
  maxCreateRevision: int64(13),
})
export type EtcdRange = MessageOf<typeof rangeRequest>

export const rangeResponse = message({
  header: nested(1, header),
  kvs: repeated(nested(2, keyValue)),
  more: bool(3),
  count: int64(4),
})
export type EtcdRangeResponse = MessageOf<typeof rangeResponse>

export const putRequest = message({
  key: bytes(1),
  value: bytes(2),
  lease: int64(3),
  prevKv: bool(4),
  ignoreValue: bool(5),
  ignoreLease: bool(6),
})
export type EtcdPut = MessageOf<typeof putRequest>
export const putResponse = message({ header: nested(1, header), prevKv: nested(2, keyValue) })

export const deleteRequest = message({ key: bytes(1), rangeEnd: bytes(2), prevKv: bool(3) })
export type EtcdDelete = MessageOf<typeof deleteRequest>
export const deleteResponse = message({
  header: nested(1, header),
  deleted: int64(2),
  prevKvs: repeated(nested(3, keyValue)),
})

export const compareResults = ['EQUAL', 'GREATER', 'LESS', 'NOT_EQUAL'] as const
export const compareTargets = ['VERSION', 'CREATE', 'MOD', 'VALUE', 'LEASE'] as const

export const compare = message({
  result: enumeration(1, compareResults),
  target: enumeration(2, compareTargets),
  key: bytes(3),
  version: int64(4),
  createRevision: int64(5),
  modRevision: int64(6),
  value: bytes(7),
  lease: int64(8),
  rangeEnd: bytes(64),
})
export type EtcdCompare = MessageOf<typeof compare>

export type EtcdTxn = {
  readonly compare: readonly (EtcdCompare | undefined)[]
  readonly success: readonly (EtcdOperation | undefined)[]
  readonly failure: readonly (EtcdOperation | undefined)[]
}
export type EtcdOperation = {
  readonly requestRange: EtcdRange | undefined
  readonly requestPut: EtcdPut | undefined
  readonly requestDeleteRange: EtcdDelete | undefined
  readonly requestTxn: EtcdTxn | undefined
}

/** A schema whose fields are stated, because it refers to one that refers to it. */
type SchemaOf<T> = Message<{ [K in keyof T]: EtcdField<T[K]> }>

const operation: SchemaOf<EtcdOperation> = message({
  requestRange: nested(1, rangeRequest),
  requestPut: nested(2, putRequest),
  requestDeleteRange: nested(3, deleteRequest),
  requestTxn: later(
    lazy<EtcdTxn>(4, (): AnySchema => txnRequest as AnySchema),
    (): AnySchema => txnRequest as AnySchema,
  ),
})
export const txnRequest = message({
  compare: repeated(nested(1, compare)),
  success: repeated(nested(2, operation)),
  failure: repeated(nested(3, operation)),
})

export type EtcdTxnResponse = {
  readonly header: Header | undefined
  readonly succeeded: boolean
  readonly responses: readonly (EtcdOperationResponse | undefined)[]
}
export type EtcdOperationResponse = {
  readonly responseRange: EtcdRangeResponse | undefined
  readonly responsePut: MessageOf<typeof putResponse> | undefined
  readonly responseDeleteRange: MessageOf<typeof deleteResponse> | undefined
  readonly responseTxn: EtcdTxnResponse | undefined
}

const operationResponse: SchemaOf<EtcdOperationResponse> = message({
  responseRange: nested(1, rangeResponse),
  responsePut: nested(2, putResponse),
  responseDeleteRange: nested(3, deleteResponse),
  responseTxn: later(
    lazy<EtcdTxnResponse>(4, (): AnySchema => txnResponse as AnySchema),
    (): AnySchema => txnResponse as AnySchema,
  ),
})
export const txnResponse = message({
  header: nested(1, header),
  succeeded: bool(2),
  responses: repeated(nested(3, operationResponse)),
})

export const compactionRequest = message({ revision: int64(1), physical: bool(2) })

// ---- Watch ----

export const watchFilters = ['NOPUT', 'NODELETE'] as const

export const watchCreate = message({
  key: bytes(1),
  rangeEnd: bytes(2),
  startRevision: int64(3),
  progressNotify: bool(4),
  filters: packedEnumeration(5, watchFilters),
  prevKv: bool(6),
  watchId: int64(7),
  fragment: bool(8),
})
export type EtcdWatchCreate = MessageOf<typeof watchCreate>

export const watchRequest = message({
  createRequest: nested(1, watchCreate),
  cancelRequest: nested(2, message({ watchId: int64(1) })),
  progressRequest: nested(3, empty),
})
export type EtcdWatchRequest = MessageOf<typeof watchRequest>

const event = message({
  type: enumeration(1, ['PUT', 'DELETE']),
  kv: nested(2, keyValue),
  prevKv: nested(3, keyValue),
})
export type EtcdEvent = MessageOf<typeof event>

const eventField = nested(11, event)
export const watchResponse = message({
  header: nested(1, header),
  watchId: int64(2),
  created: bool(3),
  canceled: bool(4),
  compactRevision: int64(5),
  cancelReason: text(6),
  fragment: bool(7),
  /** The same list given to many watches is encoded once. */
  events: sharedList(eventField, (events) => {
    const writer = new Writer()
    for (const one of events) eventField.write(writer, one)
    return writer.finish()
  }),
})
export type EtcdWatchResponse = MessageOf<typeof watchResponse>

// ---- Lease ----

export const leaseGrantRequest = message({ ttl: int64(1, 'TTL'), id: int64(2, 'ID') })
/** Of a lease that may be none of ours. */
const anyLease = echoed(1, 'ID')
export const leaseGrantResponse = message({
  header: nested(1, header),
  id: int64(2, 'ID'),
  ttl: int64(3, 'TTL'),
  error: text(4),
})
export const leaseIdRequest = message({ id: anyLease })
export const leaseKeepAliveResponse = message({
  header: nested(1, header),
  id: echoed(2, 'ID'),
  ttl: int64(3, 'TTL'),
})
export const leaseTimeToLiveRequest = message({ id: anyLease, keys: bool(2) })
export const leaseTimeToLiveResponse = message({
  header: nested(1, header),
  id: echoed(2, 'ID'),
  ttl: int64(3, 'TTL'),
  grantedTtl: int64(4, 'grantedTTL'),
  keys: repeated(bytes(5)),
})
export const leaseListResponse = message({
  header: nested(1, header),
  leases: repeated(nested(2, leaseIdRequest)),
})

// ---- Cluster ----

export const member = message({
  id: int64(1, 'ID'),
  name: text(2),
  peerUrls: repeated(text(3, 'peerURLs')),
  clientUrls: repeated(text(4, 'clientURLs')),
  isLearner: bool(5, 'isLearner'),
})
export type EtcdMemberMessage = MessageOf<typeof member>

export const memberAddRequest = message({
  peerUrls: repeated(text(1, 'peerURLs')),
  isLearner: bool(2, 'isLearner'),
})
export const memberIdRequest = message({ id: int64(1, 'ID') })
export const memberUpdateRequest = message({
  id: int64(1, 'ID'),
  peerUrls: repeated(text(2, 'peerURLs')),
})
export const memberListRequest = message({ linearizable: bool(1) })
export const memberAddResponse = message({
  header: nested(1, header),
  member: nested(2, member),
  members: repeated(nested(3, member)),
})
export const memberListResponse = message({
  header: nested(1, header),
  members: repeated(nested(2, member)),
})

// ---- Maintenance ----

export const alarmTypes = ['NONE', 'NOSPACE', 'CORRUPT'] as const
export const alarmRequest = message({
  action: enumeration(1, ['GET', 'ACTIVATE', 'DEACTIVATE']),
  memberId: echoed(2, 'memberID'),
  alarm: enumeration(3, alarmTypes),
})
const alarmMember = message({
  memberId: echoed(1, 'memberID'),
  alarm: enumeration(2, alarmTypes),
})
export const alarmResponse = message({
  header: nested(1, header),
  alarms: repeated(nested(2, alarmMember)),
})

export const statusResponse = message({
  header: nested(1, header),
  version: text(2),
  dbSize: int64(3, 'dbSize'),
  leader: int64(4),
  raftIndex: int64(5, 'raftIndex'),
  raftTerm: int64(6, 'raftTerm'),
  raftAppliedIndex: int64(7, 'raftAppliedIndex'),
  errors: repeated(text(8)),
  dbSizeInUse: int64(9, 'dbSizeInUse'),
  isLearner: bool(10, 'isLearner'),
  storageVersion: text(11, 'storageVersion'),
  dbSizeQuota: int64(12, 'dbSizeQuota'),
})
export const hashResponse = message({ header: nested(1, header), hash: uint32(2) })
export const hashKvRequest = message({ revision: int64(1) })
export const hashKvResponse = message({
  header: nested(1, header),
  hash: uint32(2),
  compactRevision: int64(3),
  hashRevision: int64(4),
})
export const snapshotResponse = message({
  header: nested(1, header),
  remainingBytes: int64(2),
  blob: bytes(3),
  version: text(4),
})
export const moveLeaderRequest = message({ targetId: int64(1, 'targetID') })

// ---- health (grpc.health.v1) ----

export const healthRequest = message({ about: text(1, 'service') })
export const healthResponse = message({
  status: enumeration(1, ['UNKNOWN', 'SERVING', 'NOT_SERVING']),
})

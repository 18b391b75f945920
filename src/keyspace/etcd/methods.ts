// The methods of etcd's API that the engine calls: their names and messages (etcd API reference v3.4, rpc.proto).

import { type Message, message } from '../../base/index.ts'
import { memberAlarmRequest, memberAlarmResponse } from './core/alarms.ts'
import { nested, text } from './core/fields.ts'
import {
  compactionRequest,
  empty,
  hashKvRequest,
  hashKvResponse,
  header,
  headerOnly,
  leaseGrantRequest,
  leaseGrantResponse,
  leaseIdRequest,
  leaseKeepAliveResponse,
  leaseListResponse,
  leaseTimeToLiveRequest,
  leaseTimeToLiveResponse,
  putRequest,
  putResponse,
  rangeRequest,
  rangeResponse,
  statusResponse,
  txnRequest,
  txnResponse,
  watchRequest,
  watchResponse,
} from './core/messages.ts'

// biome-ignore lint/suspicious/noExplicitAny: inference over open records of fields
type Fields = Record<string, any>

export type EtcdMethod<Q extends Fields, A extends Fields> = {
  readonly path: string
  readonly request: Message<Q>
  readonly answer: Message<A>
}

const authenticateRequest = message({ name: text(1), password: text(2) })
const authenticateResponse = message({ header: nested(1, header), token: text(2) })

function method<Q extends Fields, A extends Fields>(
  name: string,
  [request, answer]: readonly [Message<Q>, Message<A>],
): EtcdMethod<Q, A> {
  return { path: `/etcdserverpb.${name}`, request, answer }
}

export const etcdMethods = {
  range: method('KV/Range', [rangeRequest, rangeResponse]),
  put: method('KV/Put', [putRequest, putResponse]),
  txn: method('KV/Txn', [txnRequest, txnResponse]),
  compact: method('KV/Compact', [compactionRequest, headerOnly]),
  watch: method('Watch/Watch', [watchRequest, watchResponse]),
  leaseGrant: method('Lease/LeaseGrant', [leaseGrantRequest, leaseGrantResponse]),
  leaseRevoke: method('Lease/LeaseRevoke', [leaseIdRequest, headerOnly]),
  leaseKeepAlive: method('Lease/LeaseKeepAlive', [leaseIdRequest, leaseKeepAliveResponse]),
  leaseTimeToLive: method('Lease/LeaseTimeToLive', [
    leaseTimeToLiveRequest,
    leaseTimeToLiveResponse,
  ]),
  leases: method('Lease/LeaseLeases', [empty, leaseListResponse]),
  alarm: method('Maintenance/Alarm', [memberAlarmRequest, memberAlarmResponse]),
  status: method('Maintenance/Status', [empty, statusResponse]),
  hashKv: method('Maintenance/HashKV', [hashKvRequest, hashKvResponse]),
  authenticate: method('Auth/Authenticate', [authenticateRequest, authenticateResponse]),
} as const

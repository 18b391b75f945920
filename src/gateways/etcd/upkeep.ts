// etcd's Maintenance, and gRPC's health protocol.

import { type MessageOf, toFault, utf8Encode } from '../../base/index.ts'
import type { RequestOptions } from '../../keyspace/index.ts'
import { type Context, type Method, streaming, unary } from './context.ts'
import { EtcdRefusal, etcdErrors, grpcCode, toEtcdError } from './core/errors.ts'
import {
  alarmRequest,
  alarmResponse,
  alarmTypes,
  empty,
  hashKvRequest,
  hashKvResponse,
  hashResponse,
  headerOnly,
  healthRequest,
  healthResponse,
  moveLeaderRequest,
  snapshotResponse,
  statusResponse,
} from '../../keyspace/etcd/wire.ts'
import { sendSnapshot } from './snapshot.ts'

/** The release of etcd whose API this is: clients turn features on by it. */
export const apiVersion = '3.5.13'

export const maintenanceMethods: readonly Method[] = [
  unary('etcdserverpb.Maintenance/Alarm', [alarmRequest, alarmResponse], answerAlarm),
  unary('etcdserverpb.Maintenance/Status', [empty, statusResponse], answerStatus),
  unary('etcdserverpb.Maintenance/Defragment', [empty, headerOnly], async (context) => ({
    header: context.localHeader(),
  })),
  unary(
    'etcdserverpb.Maintenance/Hash',
    [empty, hashResponse],
    async (context, _request, options) => {
      const { hash, revision } = await context.keyspace.hash(0, options)
      return { header: context.header(revision), hash }
    },
  ),
  unary(
    'etcdserverpb.Maintenance/HashKV',
    [hashKvRequest, hashKvResponse],
    async (context, request, options) => {
      if (request.revision > Number.MAX_SAFE_INTEGER) {
        throw new EtcdRefusal(etcdErrors.futureRevision)
      }
      const found = await context.keyspace.hash(Math.max(0, request.revision), options)
      const { hash, revision, compacted, hashRevision } = found
      return { header: context.header(revision), hash, compactRevision: compacted, hashRevision }
    },
  ),
  streaming('etcdserverpb.Maintenance/Snapshot', [empty, snapshotResponse], (context, stream) =>
    sendSnapshot(context, stream, apiVersion),
  ),
  unary(
    'etcdserverpb.Maintenance/MoveLeader',
    [moveLeaderRequest, headerOnly],
    async (context, request) => {
      const { cluster } = context
      const { voters } = cluster.group()
      if (!voters.includes(request.targetId)) throw new EtcdRefusal(etcdErrors.badTransferee)
      await cluster.moveLeader(request.targetId)
      return { header: context.localHeader() }
    },
  ),
]

async function answerStatus(context: Context): Promise<MessageOf<typeof statusResponse>> {
  const status = await context.keyspace.status()
  const { leader, term, commit, applied, isLearner } = context.cluster.group()
  return {
    header: context.header(status.revision),
    version: apiVersion,
    dbSize: status.usedBytes,
    leader,
    raftIndex: commit,
    raftTerm: term,
    raftAppliedIndex: applied,
    errors: [
      ...(leader === 0 ? [etcdErrors.noLeader.text] : []),
      ...status.alarms.map((alarm) => `alarm:${alarm === 'no-space' ? 'NOSPACE' : 'CORRUPT'}`),
    ],
    dbSizeInUse: status.usedBytes,
    isLearner,
    storageVersion: '3.5.0',
    dbSizeQuota: status.quotaBytes,
  }
}

const alarmNames = [undefined, 'no-space', 'corrupt'] as const
const unknownAlarm = { code: grpcCode.invalidArgument, text: 'etcdserver: an alarm of no kind' }
const actions = { get: 0, activate: 1, deactivate: 2 } as const

async function answerAlarm(
  context: Context,
  request: MessageOf<typeof alarmRequest>,
  options: RequestOptions,
): Promise<MessageOf<typeof alarmResponse>> {
  const { keyspace, cluster } = context
  const wanted = alarmNames[request.alarm]
  if (request.action === actions.activate) {
    if (wanted === undefined) throw new EtcdRefusal(unknownAlarm)
    const revision = await keyspace.arm(wanted, options)
    const { memberId, alarm } = request
    return { header: context.header(revision), alarms: [{ memberId, alarm }] }
  }
  const status = await keyspace.status()
  const chosen = status.alarms.filter((alarm) => wanted === undefined || alarm === wanted)
  if (request.action === actions.deactivate) {
    for (const alarm of chosen) await keyspace.disarm(alarm, options)
  }
  return {
    header: context.header(status.revision),
    alarms: chosen.map((alarm) => ({
      memberId: cluster.self,
      alarm: alarmTypes.indexOf(alarm === 'no-space' ? 'NOSPACE' : 'CORRUPT'),
    })),
  }
}

export const healthMethods: readonly Method[] = [
  unary('grpc.health.v1.Health/Check', [healthRequest, healthResponse], async (context, asked) => {
    if (asked.about !== '') throw new EtcdRefusal(unknownName)
    return { status: (await ailmentOf(context, wholeHealth)) === undefined ? 1 : 2 }
  }),
]

const unknownName = { code: grpcCode.notFound, text: 'unknown service' }

/** What is looked at, as /health asks for it. */
export type HealthQuestion = {
  /** Whether this node can read what it has, rather than what was written last. */
  readonly isSerializable: boolean
  /** Alarms that do not count. */
  readonly excluded: readonly string[]
}
export const wholeHealth: HealthQuestion = { isSerializable: false, excluded: [] }

const healthMsMax = 5_000

/** Why it is not well, in the words of etcd's own /health; undefined when it is. */
export async function ailmentOf(
  context: Context,
  { isSerializable, excluded }: HealthQuestion,
): Promise<string | undefined> {
  const { keyspace, cluster } = context
  try {
    const { alarms } = await keyspace.status({ deadlineMs: healthMsMax })
    const names = alarms.map((alarm) => (alarm === 'no-space' ? 'NOSPACE' : 'CORRUPT'))
    const counted = names.find((name) => !excluded.includes(name))
    if (counted !== undefined) return `ALARM ${counted}`
    if (!isSerializable && cluster.group().leader === 0) return 'RAFT NO LEADER'
    const request = { key: utf8Encode('health'), isSerializable }
    await keyspace.range(request, { deadlineMs: healthMsMax })
    return undefined
  } catch (error) {
    return `RANGE ERROR:${toEtcdError(toFault(error)).text}`
  }
}

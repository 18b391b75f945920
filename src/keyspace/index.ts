export { judge, type Judgement } from './core/judge.ts'
export { keyspaceTables } from './core/rows.ts'
export type {
  Compare,
  Freshness,
  FullKeyspace,
  FullKeyspaces,
  Guard,
  Keyspace,
  KeyspaceAlarm,
  KeyspaceHash,
  Keyspaces,
  KeyspaceStatus,
  KeyValue,
  LeaseList,
  Leases,
  LeaseTime,
  LeaseTimeToLive,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  RequestOptions,
  TxnRequest,
  TxnResponse,
  Watch,
  WatchEvent,
  WatchReceiver,
  WatchRequest,
  WatchResponse,
} from './keyspace.ts'
export {
  type CoreKeyspaces,
  createKeyspaces,
  type KeyspaceDependencies,
  type KeyspacesOptions,
  type NamespaceOptions,
  serveKeyspaces,
} from './keyspaces.ts'
export { createLaneKeyspaces } from './lane-client.ts'
export {
  awaitBarrier,
  type BarrierRound,
  enterBarrier,
  lowerBarrier,
  raiseBarrier,
} from './recipes/barrier.ts'
export type { Delivery } from './recipes/claims.ts'
export { type Cron, parseCron } from './recipes/core/cron.ts'
export type { Ground } from './recipes/ground.ts'
export type { Hold } from './recipes/hold.ts'
export {
  announce,
  enterLine,
  isPlaced,
  isPlaceLost,
  leaveLine,
  linePrefix,
  observeFirst,
  type Place,
  readFirst,
  untilFirst,
} from './recipes/line.ts'
export {
  acquireLock,
  campaign,
  type Leader,
  type Leadership,
  observeLeader,
  readLeader,
  tryLock,
  type WaitOptions,
} from './recipes/lock.ts'
export { createQueue, type DeadLetter, type Queue, type QueueOptions } from './recipes/queue.ts'
export {
  type DeadTick,
  readSchedule,
  type Schedule,
  type ScheduleOptions,
  type ScheduleStatus,
  startSchedule,
  type Tick,
} from './recipes/schedule.ts'
export { acquirePermit } from './recipes/semaphore.ts'
export { openSession, type Session, type SessionOptions } from './recipes/session.ts'

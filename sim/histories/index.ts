// Histories of concurrent operations and whether they are linearizable.

export { type CheckLimits, check, formatViolation, type Verdict } from './check.ts'
export { type History, HistoryRecorder, type OpenCall, type Operation } from './history.ts'
export type { Known, Model } from './model.ts'
export { type ListInput, type ListOutput, listModel } from './models/list.ts'
export { type LockInput, type LockOutput, lockModel } from './models/lock.ts'
export { type QueueInput, type QueueOutput, queueModel } from './models/queue.ts'
export {
  type RegisterInput,
  type RegisterOutput,
  type RegisterValue,
  registerModel,
} from './models/register.ts'
export { elementModel, type SetInput, type SetOutput, setModel } from './models/set.ts'
export { type TextMapInput, type TextMapOutput, textMapModel } from './models/text-map.ts'
export {
  checkWatches,
  type WatchedEvent,
  type WatchedWrite,
  type WatchRecord,
} from './watches.ts'

export type {
  GroupAppend,
  HardState,
  Log,
  LogEntry,
  LogOptions,
  LogStatistics,
  RecoveredGroup,
} from './log.ts'
export { openMemoryStore } from './memory-store.ts'
export { openLog } from './open-log.ts'
export { openSegments } from './open-segments.ts'
export { openStore } from './open-store.ts'
export {
  type SegmentObject,
  type Segments,
  type SegmentsOptions,
  type SegmentStatistics,
  type SegmentWrite,
  type StoredUnit,
  unitHeadRoomBytes,
} from './segments.ts'
export type { Store, StoreOptions, StoreRange, StoreReader, StoreRow, StoreView } from './store.ts'

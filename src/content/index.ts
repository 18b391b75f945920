export type {
  ChunkRef,
  Content,
  ContentDependencies,
  ContentOptions,
  ContentReports,
  ContentStatus,
  ContentWriteOptions,
  Draft,
  Manifest,
  ReplicationItem,
  ReplicationPlan,
} from './content.ts'
export { countShardsOf } from './chunk-table.ts'
export { createContent } from './create-content.ts'
export { crc64Nvme } from './kernel/crc64.ts'

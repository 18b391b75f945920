export type {
  ChunkRef,
  Content,
  ContentDependencies,
  ContentOptions,
  ContentStatus,
  ContentWriteOptions,
  Draft,
  Manifest,
} from './content.ts'
export { countShardsOf } from './chunk-table.ts'
export { createContent } from './create-content.ts'
export { crc64Nvme } from './kernel/crc64.ts'

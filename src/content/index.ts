export type {
  ChunkRef,
  Content,
  ContentOptions,
  ContentStatus,
  ContentWriteOptions,
  Draft,
  Manifest,
} from './content.ts'
export { crc64Nvme } from './kernel/crc64.ts'

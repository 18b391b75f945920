export type {
  ChunkRef,
  Content,
  ContentOptions,
  ContentStatus,
  ContentWriteOptions,
  Draft,
  Manifest,
} from './content.ts'

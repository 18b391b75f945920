export { createObjects, type ObjectsOptions, type OwnObjects } from './create.ts'
export type {
  BodyDigests,
  Checksum,
  ChecksumAlgorithm,
  ListPage,
  ListRequest,
  ObjectHeaders,
  ObjectRecord,
  Objects,
  PartRecord,
  PutRequest,
  ReadBody,
  UploadRecord,
  WriteCondition,
} from './objects.ts'

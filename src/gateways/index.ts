export type { S3Dependencies } from './s3/call.ts'
export { formatBasicDate } from './s3/core/dates.ts'
export { createS3Handler, type S3Options, s3Malformed } from './s3/handler.ts'

// The admin gateway's own door: it runs on the core's thread, which needs nothing of S3.

export { type AdminActions, adminMalformed, createAdminHandler } from './handler.ts'

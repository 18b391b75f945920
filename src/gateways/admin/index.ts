export { type AdminActions, adminMalformed, createAdminHandler } from './handler.ts'

export { createTestAuthority, type TestAuthority } from './certificates.ts'
export { settled } from './waiting.ts'

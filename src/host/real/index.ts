export { createLoopThreads } from '../loop-threads.ts'
export type { JournalFormat, JournalLevel, JournalOptions } from './journal.ts'
export { realPki } from './pki.ts'
export { createRealHost, type RealHostOptions } from './real-host.ts'

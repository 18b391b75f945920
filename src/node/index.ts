export type { NodeConfig } from './config.ts'

export { createEtcdKeyspaces, type EtcdEngineOptions } from './engine.ts'
export type { EtcdEndpoint } from './channel.ts'

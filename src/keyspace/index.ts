export { keyspaceTables } from './core/rows.ts'
export type {
  Compare,
  Keyspace,
  Keyspaces,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResponse,
  RequestOptions,
  TxnRequest,
  TxnResponse,
} from './keyspace.ts'
export {
  type CoreKeyspaces,
  createKeyspaces,
  type KeyspaceDependencies,
  type KeyspacesOptions,
  type NamespaceOptions,
  serveKeyspaces,
} from './keyspaces.ts'
export { createLaneKeyspaces } from './lane-client.ts'

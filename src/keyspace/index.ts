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

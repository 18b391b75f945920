// The fields of etcd's messages lie below the keyspace's engine, which speaks the same protocol as a client.

export {
  type AnySchema,
  bool,
  bytes,
  echoed,
  enumeration,
  type EtcdField,
  int64,
  type JsonShape,
  later,
  nested,
  packedEnumeration,
  repeated,
  sharedList,
  text,
  uint32,
} from '../../../keyspace/etcd/wire.ts'

export { apiName, groupOf, transportName } from './core/names.ts'
export { createMesh } from './create-mesh.ts'
export type {
  CallOptions,
  Client,
  ClientCallOptions,
  ClientOptions,
  Cluster,
  ClusterMachine,
  ClusterState,
  ClusterStatus,
  Discovery,
  KnownPeer,
  Member,
  Mesh,
  MeshAlarm,
  MeshOptions,
  MeshStatus,
  OpenOptions,
} from './mesh.ts'

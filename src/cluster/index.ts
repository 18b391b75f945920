export type {
  BucketRecord,
  ChooseHolders,
  ClusterAdmin,
  ClusterView,
  Credential,
  Member,
  MemberState,
  Settings,
} from './cluster.ts'

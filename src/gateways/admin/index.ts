// The admin gateway's own door: it runs on the core's thread, which needs nothing of S3.
export { servicesRoutes, whileServed } from './services-routes.ts'
export { type EnrolDependencies, enrolRoutes } from './enrol-routes.ts'
export { EventStreams } from './event-stream.ts'
export { type LeavingRoutesActions, leavingRoutes } from './leaving-routes.ts'
export { type AccessRouteDeps, accessRoutes } from './access-routes.ts'
export { createAuthority, scopeOf } from './authority.ts'
export { adminMalformed, createAdminHandler, type EnterAct } from './handler.ts'
export { type NodeActions, nodeRoutes } from './node-routes.ts'
export { type UpgradeActions, upgradeRoutes } from './upgrade-routes.ts'
export { trustRoutes } from './trust-routes.ts'
export { type RaftActions, raftRoutes } from './raft-api.ts'
export {
  type NodeDescription,
  type RegistryActions,
  registryRoutes,
  type RuleChanges,
} from './registry-routes.ts'
export {
  type AdminAction,
  type AdminCall,
  type AdminCaller,
  type AdminRoute,
  answerJson,
  type Authorise,
} from './routes.ts'

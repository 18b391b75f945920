export {
  type Access,
  type AccessAdmin,
  type AccessKey,
  type Actor,
  type AuditEntry,
  type ClientCertificate,
  type ClientToken,
  firstTenant,
  type Group,
  type Identity,
  type NamedPolicy,
  type NewAccessKey,
  type NewClientToken,
  type Tenant,
  type TokenScope,
  tokenScopes,
  type User,
} from './access.ts'
export {
  type AccessRequest,
  type Decision,
  decide,
  type Principal,
  type Target,
} from './core/evaluate.ts'
export { formatMoment } from './core/moments.ts'
export { checkName, checkTenantId, groupArn, policyArn, rootArn, userArn } from './core/names.ts'
export { parsePolicy, type Policy, policyBytesMax } from './core/policy.ts'
export type { Context } from './core/template.ts'
export { type AccessOptions, openAccess } from './open-access.ts'
export type { Wrapping, WrappingKey } from './wrap.ts'

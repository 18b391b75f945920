// The decision: may this principal do this action to this resource. (IAM: "Policy evaluation logic".)
//
//   1. The operator (the cluster's root credential) may do everything: there must be one whom no policy locks out.
//   2. A statement that denies, in any policy that applies, decides. Only the owner's tenant may always see, set and
//      delete the policy of its bucket: whoever locked himself out must be able to undo it.
//   3. Within one tenant a statement that allows is enough: in the principal's own policies, or in the bucket's, where it
//      names the principal or everybody. The tenant's owner needs none.
//   4. Across tenants both sides allow: the principal's own policies, and the bucket's, where it names the principal,
//      his account or everybody. Of an owner only the bucket's is asked. Who is nobody has no own side: everybody must
//      be named.
//   5. Otherwise it is denied.
//
// Everything here is pure and allocates nothing on its way, unless a policy has variables.

import { holds } from './conditions.ts'
import type { Policy, Principals, Statement } from './policy.ts'
import type { Context } from './template.ts'

export type Principal =
  | { readonly kind: 'operator'; readonly tenant: string; readonly arn: string }
  /** The root of a tenant. */
  | { readonly kind: 'owner'; readonly tenant: string; readonly arn: string }
  | {
      readonly kind: 'user'
      readonly tenant: string
      readonly arn: string
      readonly name: string
      /** Unlike the name never given to another user. */
      readonly id: string
      /** His own and those of his groups. */
      readonly policies: readonly Policy[]
    }
  | { readonly kind: 'anonymous' }

export type AccessRequest = {
  /** As its table spells it: 's3:GetObject'. */
  readonly action: string
  /** Literal: nothing in it is a wildcard. Decoded as it is stored. */
  readonly resource: string
  readonly context: Context
}

/** What is asked for belongs to a tenant, and may have a policy of its own. */
export type Target = { readonly tenant: string; readonly policy: Policy | undefined }

export type Decision = {
  readonly isAllowed: boolean
  /** What decided. */
  readonly by: 'operator' | 'owner' | 'own-policy' | 'resource-policy' | 'denied' | 'not-allowed'
}

const allowed = {
  operator: { isAllowed: true, by: 'operator' },
  owner: { isAllowed: true, by: 'owner' },
  own: { isAllowed: true, by: 'own-policy' },
  resource: { isAllowed: true, by: 'resource-policy' },
} as const satisfies Record<string, Decision>
const denied: Decision = { isAllowed: false, by: 'denied' }
const notAllowed: Decision = { isAllowed: false, by: 'not-allowed' }

const ownersAlways: ReadonlySet<string> = new Set([
  's3:GetBucketPolicy',
  's3:PutBucketPolicy',
  's3:DeleteBucketPolicy',
])

export function decide(principal: Principal, request: AccessRequest, target: Target): Decision {
  if (principal.kind === 'operator') return allowed.operator
  const isHome = principal.kind !== 'anonymous' && principal.tenant === target.tenant
  if (isHome && principal.kind === 'owner' && ownersAlways.has(request.action)) {
    return allowed.owner
  }
  const policies = principal.kind === 'user' ? principal.policies : noPolicies
  for (const policy of policies) if (denies(policy, request, undefined)) return denied
  const { policy } = target
  if (policy !== undefined && denies(policy, request, principal)) return denied
  const isOwnAllowed = principal.kind === 'owner' || allowsAny(policies, request)
  if (isHome) {
    if (principal.kind === 'owner') return allowed.owner
    if (isOwnAllowed) return allowed.own
    if (policy !== undefined && allows(policy, request, { principal, byAccount: false })) {
      return allowed.resource
    }
    return notAllowed
  }
  const hasOwnSide = principal.kind !== 'anonymous'
  if (policy === undefined || (hasOwnSide && !isOwnAllowed)) return notAllowed
  const isAllowed = allows(policy, request, { principal, byAccount: true })
  return isAllowed ? allowed.resource : notAllowed
}

const noPolicies: readonly Policy[] = []

/** `principal` undefined: the policy is the principal's own. */
function denies(policy: Policy, request: AccessRequest, principal: Principal | undefined): boolean {
  for (const statement of policy.concerning(request.action).denies) {
    if (principal !== undefined && !isFor(statement, principal)) continue
    if (applies(statement, request)) return true
  }
  return false
}

function allowsAny(policies: readonly Policy[], request: AccessRequest): boolean {
  for (const policy of policies) {
    for (const statement of policy.concerning(request.action).allows) {
      if (applies(statement, request)) return true
    }
  }
  return false
}

/** Of a resource policy; `byAccount`: naming the account is enough. */
function allows(
  policy: Policy,
  request: AccessRequest,
  who: { readonly principal: Principal; readonly byAccount: boolean },
): boolean {
  for (const statement of policy.concerning(request.action).allows) {
    const { principals } = statement
    if (principals === undefined || !names(principals, who)) continue
    if (applies(statement, request)) return true
  }
  return false
}

/** Of a Deny. An account that is named is denied as a whole. */
function isFor({ principals, isNotPrincipal }: Statement, principal: Principal): boolean {
  if (principals === undefined) return true
  return names(principals, { principal, byAccount: true }) !== isNotPrincipal
}

function names(
  { hasEverybody, accounts, users }: Principals,
  { principal, byAccount }: { readonly principal: Principal; readonly byAccount: boolean },
): boolean {
  if (hasEverybody) return true
  if (principal.kind === 'anonymous') return false
  if (accounts.has(principal.tenant) && (byAccount || principal.kind === 'owner')) return true
  return users.has(principal.arn)
}

/** Resources and conditions. A variable without a value widens a Deny and narrows an Allow. */
function applies(statement: Statement, { resource, context }: AccessRequest): boolean {
  const { isDeny, isNotResource } = statement
  const missing = isDeny === isNotResource ? 'nothing' : 'anything'
  let isNamed = false
  for (const pattern of statement.resources) {
    if (!pattern.matches(resource, context, missing)) continue
    isNamed = true
    break
  }
  if (isNamed === isNotResource) return false
  for (const condition of statement.conditions) {
    if (!holds(condition, context, isDeny)) return false
  }
  return true
}

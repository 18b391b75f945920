// The gate: between authentication and the operation, before any byte of the body is read, every request is held
// against what its operation must be allowed (core/rights.ts).
//
// A bucket of another tenant answers AccessDenied, whatever is asked for, unless both sides allow it. A bucket that does
// not exist is asked for in the caller's own name: who may do the operation on it hears that there is none.

import {
  type Access,
  decide,
  firstTenant,
  type Policy,
  type Principal,
} from '../../access/index.ts'
import type { BucketRecord, ClusterView } from '../../cluster/index.ts'
import type { HttpRequest } from '../../host/index.ts'
import { readSourcePlace, type SourcePlace } from './core/copy-source.ts'
import { accessDenied } from './core/fault.ts'
import type { Place } from './core/names.ts'
import { contextOf } from './core/request-context.ts'
import { type Right, rights, sourceRight } from './core/rights.ts'
import type { Operation } from './core/route.ts'
import { queryValue, type WireRequest } from './core/wire-request.ts'

export type GateRequest = {
  readonly wire: WireRequest
  readonly headers: ReadonlyMap<string, string>
  readonly http: Pick<HttpRequest, 'remoteAddress' | 'isSecure'>
  readonly place: Place
  readonly operation: Operation
  readonly principal: Principal
  readonly signedAtMs: number
  readonly nowMs: number
  readonly region: string
}

export type Passed = {
  /** The tenant that owns the bucket, or would own it. */
  readonly owner: string
  /** Of a copy: the source that was looked at. */
  readonly source: SourcePlace | undefined
  /** Whether the caller may do this to a key of the bucket. */
  permits(action: string, key: string | undefined): boolean
  /** Whether he may know that a key (of a copy: of the source) does not exist. */
  mayMiss(): boolean
}

type Target = { readonly owner: string; readonly policy: Policy | undefined }

/** The tenant of a bucket's record. */
export function ownerOf(bucket: Pick<BucketRecord, 'tenant'>): string {
  return bucket.tenant === '' ? firstTenant : bucket.tenant
}

/** Fault AccessDenied. */
export async function passGate(
  request: GateRequest,
  deps: { readonly access: Access; readonly view: ClusterView },
): Promise<Passed> {
  const { wire, place, operation, principal } = request
  const right: Right = rights[operation]
  if (principal.kind === 'operator') return passOperator(request, right, deps)
  const target = await targetOf(right.isNew === true ? undefined : place.bucket, request, deps)
  const isVersioned = queryValue(wire, 'versionId') !== undefined
  const { bucket } = place
  const permits = (action: string, key: string | undefined): boolean =>
    isPermitted(request, { action, bucket, key, target, right })
  if (right.on !== 'keys') {
    const action = actionOf(right, isVersioned)
    const key = right.on === 'object' ? place.key : undefined
    if (!permits(action, key)) throw refused(request, action)
  } else if (!mayHaveRights(principal, target)) throw refused(request, right.action)
  const { owner } = target
  if (right.readsSource !== true) {
    const mayMiss = (): boolean => permits('s3:ListBucket', undefined)
    return { owner, source: undefined, permits, mayMiss }
  }
  return { owner, permits, ...(await passSource(request, deps)) }
}

/** Nothing is denied him, so nothing is looked up that the answer does not show. */
async function passOperator(
  request: GateRequest,
  right: Right,
  { view }: { readonly view: ClusterView },
): Promise<Passed> {
  const { bucket: name } = request.place
  const isShown = right.showsOwner === true && name !== undefined
  const bucket = isShown ? await view.bucket(name) : undefined
  const source = right.readsSource === true ? readSourcePlace(request.headers) : undefined
  const owner = bucket === undefined ? firstTenant : ownerOf(bucket)
  return { owner, source, permits: always, mayMiss: always }
}

const always = (): boolean => true

async function passSource(
  request: GateRequest,
  deps: { readonly access: Access; readonly view: ClusterView },
): Promise<Pick<Passed, 'source' | 'mayMiss'>> {
  const source = readSourcePlace(request.headers)
  const target = await targetOf(source.bucket, request, deps)
  const action = actionOf(sourceRight, source.isVersioned)
  const { bucket } = source
  const right: Right = { ...sourceRight, on: 'object' }
  const permits = (asked: string, key: string | undefined): boolean =>
    isPermitted(request, { action: asked, bucket, key, target, right })
  if (!permits(action, source.key)) throw refused(request, action)
  return { source, mayMiss: () => permits('s3:ListBucket', undefined) }
}

async function targetOf(
  name: string | undefined,
  { principal }: GateRequest,
  { access, view }: { readonly access: Access; readonly view: ClusterView },
): Promise<Target> {
  const own = principal.kind === 'anonymous' ? '' : principal.tenant
  const bucket = name === undefined ? undefined : await view.bucket(name)
  if (bucket === undefined) return { owner: own, policy: undefined }
  return { owner: ownerOf(bucket), policy: await access.bucketPolicy(bucket.number) }
}

function actionOf(right: Pick<Right, 'action' | 'versioned'>, isVersioned: boolean): string {
  return isVersioned ? (right.versioned ?? right.action) : right.action
}

/** Rights of single keys are asked later; a stranger without any is told before he sends their names. */
function mayHaveRights(principal: Principal, { owner, policy }: Target): boolean {
  if (principal.kind === 'operator' || policy !== undefined) return true
  if (principal.kind === 'anonymous' || principal.tenant !== owner) return false
  return principal.kind === 'owner' || principal.policies.length > 0
}

function isPermitted(
  request: GateRequest,
  asked: {
    readonly action: string
    readonly bucket: string | undefined
    readonly key: string | undefined
    readonly target: Target
    readonly right: Right
  },
): boolean {
  const { wire, headers, principal, signedAtMs, nowMs, region, http } = request
  const { action, target, right } = asked
  const context = contextOf({
    wire,
    headers,
    principal,
    right,
    remoteAddress: http.remoteAddress,
    isSecure: http.isSecure,
    nowMs,
    signedAtMs,
    region,
    owner: target.owner,
  })
  const resource = resourceOf(asked.bucket, asked.key)
  const { isAllowed } = decide(
    principal,
    { action, resource, context },
    { tenant: target.owner, policy: target.policy },
  )
  return isAllowed
}

/** Names as they are stored: decoded once, and never again. */
function resourceOf(bucket: string | undefined, key: string | undefined): string {
  if (bucket === undefined) return 'arn:aws:s3:::*'
  return key === undefined ? `arn:aws:s3:::${bucket}` : `arn:aws:s3:::${bucket}/${key}`
}

/** Says who may not do what, which the caller knows anyway; never why, and never of what it was not told. */
function refused({ principal }: GateRequest, action: string): Error {
  if (principal.kind === 'anonymous') return accessDenied()
  return accessDenied(`User: ${principal.arn} is not authorized to perform: ${action}`)
}

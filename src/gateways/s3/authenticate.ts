// Who sends a request. Runs before any byte of the body is read and before the request is routed; an
// anonymous request is denied, because nothing here is public.

import type { Access, Principal } from '../../access/index.ts'
import type { ChunkSigner } from './core/chunked.ts'
import { s3Fault } from './core/fault.ts'
import { type Payload, readPayload } from './core/payload.ts'
import {
  type ClaimRules,
  checkClaim,
  checkSignature,
  readClaim,
  type SigningKeys,
  scopeOf,
} from './core/sigv4.ts'
import { queryValue, type WireRequest } from './core/wire-request.ts'

export type Authenticated = {
  readonly principal: Principal
  readonly signedAtMs: number
  readonly payload: Payload
  /** Where the chain of chunk signatures starts. */
  readonly signer: ChunkSigner
}

/** Faults: AccessDenied, InvalidAccessKeyId, SignatureDoesNotMatch and the codes of a malformed claim. */
export async function authenticate(
  wire: WireRequest,
  context: {
    readonly access: Access
    readonly keys: SigningKeys
    readonly rules: ClaimRules
  },
): Promise<Authenticated> {
  const claim = readClaim(wire)
  const payload = readPayload(wire, claim)
  checkClaim(wire, claim, context.rules)
  const token = wire.headers.get('x-amz-security-token') ?? queryValue(wire, 'X-Amz-Security-Token')
  if (token !== undefined) {
    throw s3Fault('InvalidToken', 400, 'The provided token is malformed or otherwise invalid.')
  }
  const identity = await context.access.identify(claim.accessKeyId)
  if (identity === undefined) {
    throw s3Fault(
      'InvalidAccessKeyId',
      403,
      'The AWS Access Key Id you provided does not exist in our records.',
      { AWSAccessKeyId: claim.accessKeyId },
    )
  }
  const signingKey = context.keys.get(identity.secretAccessKey, claim)
  checkSignature(wire, claim, { signingKey, payloadHash: payload.hash })
  const { timestamp, signature: seed } = claim
  return {
    principal: identity.principal,
    signedAtMs: claim.signedAtMs,
    payload,
    signer: { signingKey, timestamp, scope: scopeOf(claim), seed },
  }
}

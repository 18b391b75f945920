// What members ask each other about trust, over connections that proved who asks: what they hold, new certificates,
// and the seal key.

import {
  bytes,
  type Codec,
  codecOf,
  Fault,
  isFault,
  message,
  type NodeId,
  text,
} from '../base/index.ts'
import { controlMethod, type Rpc } from '../rpc/index.ts'
import type { Member } from './cluster.ts'
import { hasCapability } from './core/capabilities.ts'
import type { RenewAnswer, RenewRequest } from './enrolment.ts'
import { type TrustReport, trustReportCodec } from './trust-report.ts'

const askMs = 3_000
const renewMs = 10_000

const renewRequestCodec: Codec<RenewRequest> = codecOf(
  message({ nodeRequestPem: text(1), serverRequestPem: text(2) }),
)
const renewAnswerCodec: Codec<RenewAnswer> = codecOf(
  message({ nodeCertificatePem: text(1), serverCertificatePem: text(2), authorityPem: text(3) }),
)
const sealKeyCodec = codecOf(message({ key: bytes(1) }))
const nothing = new Uint8Array(0)

export type TrustHandlers = {
  report(): TrustReport
  renew(from: NodeId, request: RenewRequest): Promise<RenewAnswer>
  /** Decides whether the asker may have it. */
  sealKey(from: NodeId): Promise<Uint8Array>
}

/** Before the port listens. */
export function serveTrust(rpc: Rpc, handlers: TrustHandlers): void {
  rpc.serve(controlMethod.trustReport, async () => trustReportCodec.encode(handlers.report()))
  rpc.serve(controlMethod.trustRenew, async ({ from, request }) => {
    return renewAnswerCodec.encode(await handlers.renew(from, renewRequestCodec.decode(request)))
  })
  rpc.serve(controlMethod.trustSealKey, async ({ from }) => {
    return sealKeyCodec.encode({ key: await handlers.sealKey(from) })
  })
}

export async function askReport(rpc: Rpc, to: NodeId): Promise<TrustReport> {
  const answer = await rpc.call(to, controlMethod.trustReport, nothing, { deadlineMs: askMs })
  return trustReportCodec.decode(answer)
}

/** Of the first that gives it. */
export async function askToRenew(
  rpc: Rpc,
  members: readonly NodeId[],
  request: RenewRequest,
): Promise<RenewAnswer> {
  const bytesOfRequest = renewRequestCodec.encode(request)
  return await askInTurn(members, async (to) => {
    const options = { deadlineMs: renewMs }
    return renewAnswerCodec.decode(
      await rpc.call(to, controlMethod.trustRenew, bytesOfRequest, options),
    )
  })
}

export async function askSealKey(rpc: Rpc, members: readonly NodeId[]): Promise<Uint8Array> {
  return await askInTurn(members, async (to) => {
    const options = { deadlineMs: askMs }
    const answer = await rpc.call(to, controlMethod.trustSealKey, nothing, options)
    return sealKeyCodec.decode(answer).key.slice()
  })
}

async function askInTurn<T>(
  members: readonly NodeId[],
  ask: (to: NodeId) => Promise<T>,
): Promise<T> {
  let last = new Fault('unavailable', "no other member with the capability 'control' is there")
  for (const to of members) {
    try {
      return await ask(to)
    } catch (error) {
      if (!isFault(error)) throw error
      last = error
    }
  }
  throw last
}

export function hasControl({ caps, state }: Pick<Member, 'caps' | 'state'>): boolean {
  return state !== 'removed' && hasCapability(caps, 'control')
}

// Routes of enrolment:
//
//   POST   /join                           a machine asks to become a member: 200 with everything it needs, 202 while it
//                                          waits for an operator (enrolment.ts says what is in both)
//   POST   /pair                           {"nonce", "joiner", "server", "proof"} -> {"token", "proof"}: pairing.ts
//   POST   /v1/pairings                    {"words", "expiresMs"}; the words are told this once
//   GET    /v1/members                     {"clusterId", "region", "targetSize", "epoch", "members", "waiting"}: members with
//                                          the epoch of the settings bundle that each holds, and who waits
//   GET    /v1/tokens                      {"tokens": [view]}, newest first
//   POST   /v1/tokens                      {"uses"?, "lifetimeSeconds"?, "name"?, "addressPrefix"?, "approval"?, "replaces"?}
//                                          -> {"token", "view"}; the token is told this once
//   DELETE /v1/tokens/{id}                 {"token": view}
//   GET    /v1/enrolments                  {"enrolments": [view]}
//   POST   /v1/enrolments/{fingerprint}/approve, .../reject   {"enrolment": view}

import { type ClusterId, Fault, nodeId } from '../../base/index.ts'
import type { EnrolmentDesk, Member, Pairing, TokenOptions } from '../../cluster/index.ts'
import { formatAddress, readPairingRequest, renderJoinAnswer } from '../../cluster/index.ts'
import { type AdminCall, type AdminRoute, answerJson, bodyBytesMax, readBytes } from './routes.ts'

export type EnrolDependencies = {
  readonly desk: EnrolmentDesk
  readonly pairing: Pairing
  readonly clusterId: ClusterId
  readonly region: () => string
  /** Every member there ever was. */
  readonly members: () => readonly Member[]
}

export function enrolRoutes(deps: EnrolDependencies): readonly AdminRoute[] {
  return [
    joinRoute(deps),
    ...pairingRoutes(deps),
    membersRoute(deps),
    ...tokenRoutes(deps),
    ...enrolmentRoutes(deps),
  ]
}

function joinRoute({ desk }: EnrolDependencies): AdminRoute {
  return {
    method: 'POST',
    path: '/join',
    needs: { publicBecause: 'who asks proves that it knows a token, or waits for an operator' },
    async answer(call) {
      const { remoteAddress } = call.request
      const body = await readBytes(call.request, bodyBytesMax)
      const answer = await desk.admit(body, { remoteAddress })
      return answerJson(answer.kind === 'joined' ? 200 : 202, renderJoinAnswer(answer))
    },
  }
}

function pairingRoutes({ pairing }: EnrolDependencies): readonly AdminRoute[] {
  return [
    {
      method: 'POST',
      path: '/pair',
      needs: {
        publicBecause: 'who asks proves that it knows a pairing code; wrong tries end the code',
      },
      answer: async (call) =>
        answerJson(200, await pairing.redeem(readPairingRequest(await call.body()))),
    },
    {
      method: 'POST',
      path: '/v1/pairings',
      needs: 'admin:CreatePairing',
      answer: async ({ caller }) => answerJson(200, await pairing.createCode(caller.name)),
    },
  ]
}

function membersRoute({ desk, clusterId, region, members }: EnrolDependencies): AdminRoute {
  return {
    method: 'GET',
    path: '/v1/members',
    needs: 'admin:ListMembers',
    async answer() {
      const [{ config }, bundle, held, enrolments] = await Promise.all([
        desk.config(),
        desk.bundle(),
        desk.acknowledgements(),
        desk.listEnrolments(),
      ])
      const present = members().filter((member) => member.state !== 'removed')
      return answerJson(200, {
        clusterId,
        region: region(),
        targetSize: config.targetSize,
        epoch: bundle?.epoch ?? 0,
        members: present.map((member) => shownMember(member, held.get(member.id) ?? 0)),
        waiting: enrolments.filter(({ state }) => state === 'pending'),
      })
    },
  }
}

function shownMember(member: Member, epoch: number) {
  const { id, name, state, admin, caps, labels, version, capacityBytes } = member
  const address = formatAddress(admin)
  return { id, name, state, address, caps, labels, version, capacityBytes, epoch }
}

function tokenRoutes({ desk }: EnrolDependencies): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/v1/tokens',
      needs: 'admin:ListTokens',
      answer: async () => answerJson(200, { tokens: await desk.listTokens() }),
    },
    {
      method: 'POST',
      path: '/v1/tokens',
      needs: 'admin:CreateToken',
      answer: async (call) => answerJson(200, await desk.createToken(await readTokenOptions(call))),
    },
    {
      method: 'DELETE',
      path: '/v1/tokens/{id}',
      needs: 'admin:RevokeToken',
      answer: async ({ params }) =>
        answerJson(200, { token: await desk.revokeToken(params.id ?? '') }),
    },
  ]
}

function enrolmentRoutes({ desk }: EnrolDependencies): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/v1/enrolments',
      needs: 'admin:ListEnrolments',
      answer: async () => answerJson(200, { enrolments: await desk.listEnrolments() }),
    },
    {
      method: 'POST',
      path: '/v1/enrolments/{fingerprint}/approve',
      needs: 'admin:ApproveEnrolment',
      answer: async ({ params, caller }) =>
        answerJson(200, { enrolment: await desk.approve(params.fingerprint ?? '', caller.name) }),
    },
    {
      method: 'POST',
      path: '/v1/enrolments/{fingerprint}/reject',
      needs: 'admin:RejectEnrolment',
      answer: async ({ params, caller }) =>
        answerJson(200, { enrolment: await desk.reject(params.fingerprint ?? '', caller.name) }),
    },
  ]
}

/** Fields and their types; the desk checks what they say. */
async function readTokenOptions(call: AdminCall): Promise<TokenOptions> {
  const body = await call.body()
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new Fault('invalid', 'expected an object')
  }
  const fields = body as Readonly<Record<string, unknown>>
  const known = ['uses', 'lifetimeSeconds', 'name', 'addressPrefix', 'approval', 'replaces']
  const unknown = Object.keys(fields).find((key) => !known.includes(key))
  if (unknown !== undefined)
    throw new Fault('invalid', `there is no field "${unknown.slice(0, 64)}"`)
  const seconds = numberOf(fields, 'lifetimeSeconds')
  const uses = numberOf(fields, 'uses')
  const replaces = numberOf(fields, 'replaces')
  const name = textOf(fields, 'name')
  const addressPrefix = textOf(fields, 'addressPrefix')
  const { approval } = fields
  if (approval !== undefined && approval !== 'automatic' && approval !== 'operator') {
    throw new Fault('invalid', '"approval" is "automatic" or "operator"')
  }
  return {
    createdBy: call.caller.name,
    ...(seconds === undefined ? {} : { lifetimeMs: seconds * 1000 }),
    ...(uses === undefined ? {} : { uses }),
    ...(name === undefined ? {} : { name }),
    ...(addressPrefix === undefined ? {} : { addressPrefix }),
    ...(approval === undefined ? {} : { approval }),
    ...(replaces === undefined ? {} : { replaces: nodeId(replaces) }),
  }
}

function numberOf(fields: Readonly<Record<string, unknown>>, key: string): number | undefined {
  const value = fields[key]
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
  throw new Fault('invalid', `"${key}" is a number above 0`)
}

function textOf(fields: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const value = fields[key]
  if (value === undefined || typeof value === 'string') return value
  throw new Fault('invalid', `"${key}" is a text`)
}

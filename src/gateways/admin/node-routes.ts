// Routes of the node itself:
//
//   GET  /health               200 {"status":"ok"} while this node serves
//   GET  /v1/status            the cluster as this node and its peers see it
//   POST /v1/scrub             {"verified", "damaged"}: reads every shard of this node now; damaged ones are made
//                              again from the others
//   POST /v1/members/replace   {"old": id} -> {"id", "replaces", "founders"}: gives the place of a member
//                              whose disk is lost to a new identity

import { Fault, type NodeId, nodeId } from '../../base/index.ts'
import { type AdminRoute, answerJson } from './routes.ts'

export type NodeActions = {
  /** Plain JSON values. */
  status(): Promise<unknown>
  scrub(): Promise<{ readonly verified: number; readonly damaged: number }>
  replaceMember(
    old: NodeId,
    signal: AbortSignal,
  ): Promise<{
    readonly id: NodeId
    readonly replaces: NodeId
    readonly founders: readonly NodeId[]
  }>
}

export function nodeRoutes(actions: NodeActions): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/health',
      needs: { publicBecause: 'balancers ask it; it says no more than that this node serves' },
      answer: async () => answerJson(200, { status: 'ok' }),
    },
    {
      method: 'GET',
      path: '/v1/status',
      needs: 'admin:ReadStatus',
      answer: async () => answerJson(200, await actions.status()),
    },
    {
      method: 'POST',
      path: '/v1/scrub',
      needs: 'admin:Scrub',
      async answer() {
        const { verified, damaged } = await actions.scrub()
        return answerJson(200, { verified, damaged })
      },
    },
    {
      method: 'POST',
      path: '/v1/members/replace',
      needs: 'admin:ReplaceMember',
      async answer(call) {
        const old = readOld(await call.body())
        const { id, replaces, founders } = await actions.replaceMember(old, call.request.signal)
        return answerJson(200, { id, replaces, founders })
      },
    },
  ]
}

function readOld(body: unknown): NodeId {
  const old = typeof body === 'object' && body !== null && 'old' in body ? body.old : undefined
  if (typeof old === 'number' && Number.isSafeInteger(old) && old > 0) return nodeId(old)
  throw new Fault('invalid', 'expected {"old": id of the member that is lost}')
}

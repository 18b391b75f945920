// Routes of upgrades:
//
//   GET  /v1/upgrade          whether a node may be stopped for its upgrade now, each node's version and feature level, what
//                             switches on afterwards
//   POST /v1/upgrade/level    {"level", "raise", "raisedMs"}: raises the level as far as every member supports it
//   PUT  /v1/upgrade/policy   {"raise": "automatic" | "by-operator"} -> the same

import { Fault } from '../../base/index.ts'
import { type AdminRoute, answerJson } from './routes.ts'

/** Answers are plain JSON values. */
export type UpgradeActions = {
  check(): Promise<unknown>
  /** Fault 'precondition' that names who stands in the way. */
  raise(): Promise<unknown>
  setPolicy(isByOperator: boolean): Promise<unknown>
}

export function upgradeRoutes(actions: UpgradeActions): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/v1/upgrade',
      needs: 'admin:ReadUpgrade',
      answer: async () => answerJson(200, await actions.check()),
    },
    {
      method: 'POST',
      path: '/v1/upgrade/level',
      needs: 'admin:RaiseLevel',
      answer: async () => answerJson(200, await actions.raise()),
    },
    {
      method: 'PUT',
      path: '/v1/upgrade/policy',
      needs: 'admin:ChangeLevelPolicy',
      async answer(call) {
        return answerJson(200, await actions.setPolicy(readPolicy(await call.body())))
      },
    },
  ]
}

function readPolicy(body: unknown): boolean {
  const raise = typeof body === 'object' && body !== null && 'raise' in body ? body.raise : ''
  if (raise === 'automatic' || raise === 'by-operator') return raise === 'by-operator'
  throw new Fault('invalid', 'expected {"raise": "automatic" or "by-operator"}')
}

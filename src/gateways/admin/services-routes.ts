// Services over the admin API:
//
//   GET /v1/services   {"services": [{"name", "about", "isHere", "settings", "nodes": [{"id", "name", "isWanted", "runs"?}]}]}
//
// and routes of a service that a node has only while its capabilities name it.

import { Fault } from '../../base/index.ts'
import { type AdminRoute, answerJson } from './routes.ts'

export function servicesRoutes(report: () => Promise<unknown>): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/v1/services',
      needs: 'admin:ListServices',
      answer: async () => answerJson(200, { services: await report() }),
    },
  ]
}

/** The same routes, answered only while the service runs here: Fault 'unavailable' otherwise. */
export function whileServed(
  routes: readonly AdminRoute[],
  service: string,
  isServed: () => boolean,
): readonly AdminRoute[] {
  return routes.map((route) => ({
    ...route,
    async answer(call) {
      if (isServed()) return await route.answer(call)
      throw new Fault('unavailable', `this node does not run ${service}`, {
        next: `ask another; \`atoll admin services\` says which run it`,
      })
    },
  }))
}
